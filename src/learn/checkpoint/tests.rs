//! Runs that are saved in memory: learning needs no file to go on where it was.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::*;
use crate::DbKsvd;
use crate::learn::{Fit, Progress, StopToken};
use crate::source::HeldOut;
use crate::synthetic::Planted;

thread_local! {
    /// What the runs of a test have stored, by steps.
    static SAVED: RefCell<BTreeMap<u64, (Parameters, SavedRun<'static, f32>)>> = RefCell::default();
}

/// The steps of what is in `SAVED`.
struct Memory(Vec<u64>);

fn open(_: &Path) -> Result<Box<dyn CheckpointStore<f32>>, Error> {
    Ok(Box::new(Memory(saved_steps())))
}

fn saved_steps() -> Vec<u64> {
    SAVED.with_borrow(|saved| saved.keys().copied().collect())
}

impl CheckpointStore<f32> for Memory {
    fn steps(&self) -> &[u64] {
        &self.0
    }

    fn save(&mut self, identity: &Parameters, run: &SavedRun<'_, f32>) -> Result<PathBuf, Error> {
        let run = run.clone();
        let (step, record) = (run.training.steps, Cow::Owned(run.record.into_owned()));
        let run = SavedRun { record, ..run };
        SAVED.with_borrow_mut(|saved| saved.insert(step, (identity.clone(), run)));
        self.0.push(step);
        Ok(PathBuf::new())
    }

    fn load(
        &self,
        step: u64,
        identity: &Parameters,
        dim: usize,
        sizes: &[usize],
    ) -> Result<SavedRun<'static, f32>, Error> {
        let (saved, run) = SAVED.with_borrow(|saved| saved[&step].clone());
        assert_eq!(&saved, identity);
        assert_eq!(run.training.dictionary.nrows(), dim);
        assert!(sizes.contains(&run.training.dictionary.ncols()));
        Ok(run)
    }

    fn remove(&mut self, step: u64) -> Result<(), Error> {
        SAVED.with_borrow_mut(|saved| saved.remove(&step));
        self.0.retain(|&other| other != step);
        Ok(())
    }
}

/// A run that ends after so many steps; with 0, before the first that it would take.
fn run(last: u64, plan: Option<Checkpoints>) -> Fit<f32> {
    let data = Planted::new(8, 12, 2, 300).noise(0.05).generate::<f32>().unwrap().samples;
    let learner = DbKsvd::builder(12, 2).epochs(3).minibatch(40).center(true);
    let learner = learner.held_out(HeldOut::Share(0.1)).build().unwrap();
    let mut end = |progress: &Progress| match progress.total_steps {
        step if step >= last => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let token = StopToken::new();
    if last == 0 {
        token.stop();
    }
    let mut run = learner.run(&data).observer(&mut end).stop_token(token);
    run.checkpoints = plan.map(|plan| (plan, open as OpenStore<f32>));
    run.finish().unwrap()
}

fn plan() -> Checkpoints {
    Checkpoints::new("memory").every(None).every_steps(3)
}

#[test]
fn a_run_goes_on_from_the_newest_value_that_was_stored() {
    let whole = run(u64::MAX, None);
    run(5, Some(plan()));
    assert_eq!(saved_steps(), [3, 5]);
    let resumed = run(u64::MAX, Some(plan().resume(Resume::Always)));
    assert_eq!(resumed.report.resumed_from, Some(5));
    assert_eq!(resumed.model, whole.model);
    assert_eq!(resumed.best, whole.best);
    let errors =
        |fit: &Fit<f32>| -> Vec<f64> { fit.report.epochs.iter().map(|epoch| epoch.fvu).collect() };
    assert_eq!(errors(&resumed), errors(&whole));
}

#[test]
fn the_newest_stay_and_none_is_stored_twice() {
    let fit = run(9, Some(plan().keep(3)));
    assert_eq!(fit.report.steps, 9);
    assert_eq!(saved_steps(), [3, 6, 9]);
    // A run that finds too many has nothing to save, and removes the oldest.
    let fit = run(0, Some(plan().keep(2).resume(Resume::Always)));
    assert_eq!(fit.report.steps, 9);
    assert_eq!(saved_steps(), [6, 9]);
}
