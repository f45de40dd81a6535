//! Checkpoints: a run goes on from whatever lies in its folder, or says why it cannot.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use dbksvd::faer::Mat;
use dbksvd::learn::{Checkpoints, Every, Progress, Resume};
use dbksvd::source::HeldOut;
use dbksvd::{DbKsvd, Error, Outliers};

use crate::{Seed, scratch};

const NAME: &str = "checkpoint-000000000003.safetensors";

fn data() -> Mat<f32> {
    Mat::from_fn(3, 40, |i, j| ((i * 40 + j * j) as f32 * 0.37).sin() + 0.1)
}

fn learner() -> DbKsvd {
    DbKsvd::builder(5, 2)
        .epochs(2)
        .minibatch(12)
        .seed(1)
        .center(true)
        .outliers(Outliers::Clip(3.0))
        .held_out(HeldOut::Share(0.1))
        .evaluate_every(Every::Steps(2))
        .build()
        .expect("a configuration")
}

fn folder() -> PathBuf {
    let folder = scratch().join("run");
    std::fs::create_dir_all(&folder).expect("a folder");
    for entry in std::fs::read_dir(&folder).expect("a folder") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("a file");
    }
    folder
}

fn run(folder: &Path, resume: Resume, last: u64) -> Result<u64, Error> {
    let checkpoints = Checkpoints::new(folder).every(None).resume(resume);
    let mut end = |progress: &Progress| match progress.total_steps {
        step if step >= last => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let fit = learner().run(&data()).observer(&mut end).checkpoints(checkpoints).finish()?;
    Ok(fit.report.steps)
}

pub fn seeds() -> Vec<Seed> {
    [("early", 1), ("within", 3), ("late", 5), ("done", 6)]
        .map(|(name, last)| {
            let folder = folder();
            run(&folder, Resume::Never, last).expect("a run");
            let mut files =
                std::fs::read_dir(&folder).expect("a folder").map(|e| e.unwrap().path());
            let file = files.find(|file| file.extension().is_some_and(|e| e == "safetensors"));
            (name, std::fs::read(file.expect("a checkpoint")).expect("a file"))
        })
        .into()
}

pub fn try_out(bytes: &[u8]) {
    let folder = folder();
    std::fs::write(folder.join(NAME), bytes).expect("a file");
    if let Err(error) = run(&folder, Resume::Always, u64::MAX) {
        let line = error.to_string();
        assert!(!line.contains('\n') && line.len() < 20_000, "{line}");
    }
}
