//! Learning from more data than memory holds: writes a large file of activations, learns from it,
//! and says what that took. `cargo run --release --example large -- --help`.

mod data;
#[path = "../common/machine.rs"]
mod machine;
#[path = "../common/options.rs"]
mod options;
#[path = "../common/program.rs"]
mod program;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use dbksvd::faer::Mat;
use dbksvd::learn::Progress;
use dbksvd::source::{NpySource, SampleSource};
use dbksvd::{DbKsvd, Error};
use options::Options;
use program::Outcome;

const HELP: &str = "\
Writes a .npy file of synthetic activations in f16, learns a dictionary from it for a number of steps,
and compares speed with learning from as many rows in memory.

Usage: cargo run --release --example large -- [OPTIONS]

  --samples N     rows of the file                                    [1000000]
  --dim D         their dimension                                     [384]
  --atoms M       size of the dictionary                              [2048]
  --sparsity K    most atoms a row                                    [16]
  --steps S       steps of learning                                   [40]
  --file FILE     the file, written if it is not there, used as it is if it has the right size, and
                  kept    [one in the system's directory for temporary files, removed at the end]
  --help          this text
";

/// Times that each is measured.
const ROUNDS: usize = 3;

struct Arguments {
    samples: usize,
    dim: usize,
    atoms: usize,
    sparsity: usize,
    steps: u64,
    file: Option<PathBuf>,
}

fn main() -> ExitCode {
    program::run(parse, HELP, |arguments| run(&arguments))
}

fn parse() -> Outcome<Option<Arguments>> {
    let mut arguments = Arguments {
        samples: 1_000_000,
        dim: 384,
        atoms: 2048,
        sparsity: 16,
        steps: 40,
        file: None,
    };
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "samples" => arguments.samples = options.whole(1)?,
            "dim" => arguments.dim = options.whole(1)?,
            "atoms" => arguments.atoms = options.whole(1)?,
            "sparsity" => arguments.sparsity = options.whole(1)?,
            "steps" => arguments.steps = options.whole(1)?,
            "file" => arguments.file = Some(options.path()?),
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    Ok(Some(arguments))
}

fn run(arguments: &Arguments) -> Outcome<()> {
    let Arguments { samples, dim, atoms, sparsity, .. } = *arguments;
    // Before a large file is written.
    let minibatch = learner(arguments, samples)?.minibatch(samples);
    machine::check::<f32>(dim, atoms, sparsity, minibatch)?;
    let (path, is_temporary) = match &arguments.file {
        Some(path) => (path.clone(), false),
        None => (std::env::temp_dir().join(format!("large-{}.npy", std::process::id())), true),
    };
    // Whatever happens until then.
    let _removed_at_the_end = is_temporary.then(|| Temporary(path.clone()));
    let start = Instant::now();
    let (name, bytes) = (path.display(), data::write(&path, samples, dim, atoms, sparsity)?);
    let seconds = start.elapsed().as_secs_f64();
    match bytes {
        0 => println!("{name}: used as it is"),
        bytes => println!("{name}: {:.2} GB written in {seconds:.0} s", bytes as f64 / 1e9),
    }
    Ok(compare(arguments, &path)?)
}

/// A file that is removed when it is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // It may not be there yet.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The learner, with the minibatches that `samples` samples would have.
fn learner(arguments: &Arguments, samples: usize) -> Result<DbKsvd, Error> {
    let builder = || DbKsvd::builder(arguments.atoms, arguments.sparsity);
    let minibatch = builder().build()?.minibatch(samples);
    builder().minibatch(minibatch).max_steps(arguments.steps).build()
}

/// Learns from the file, then from as many of its rows in memory.
fn compare(arguments: &Arguments, path: &Path) -> Result<(), Error> {
    let file = NpySource::open(path)?;
    let learner = learner(arguments, file.len())?;
    data::forget_peak();
    let mut from_file = time("from the file", &learner, &file)?;
    if let Some(peak) = data::peak_mib() {
        println!("  peak memory {peak:.0} MiB, of {} rows", file.len());
    }
    let learned = learner.minibatch(file.len()) * arguments.steps as usize;
    let mut rows = Mat::<f32>::zeros(file.dim(), learned.min(file.len()));
    for i in 0..rows.ncols() {
        file.read(i..i + 1, rows.col_as_slice_mut(i))?;
    }
    // In turn, the best of each: machines are noisy.
    let mut from_memory = time("from memory", &learner, &rows)?;
    for _ in 1..ROUNDS {
        from_file = from_file.max(time("from the file", &learner, &file)?);
        from_memory = from_memory.max(time("from memory", &learner, &rows)?);
    }
    println!(
        "the file is {:.1}% as fast, by the best of {ROUNDS}",
        100.0 * from_file / from_memory
    );
    Ok(())
}

/// Rows learned from a second.
fn time(what: &str, learner: &DbKsvd, source: &impl SampleSource<f32>) -> Result<f64, Error> {
    // The first step comes after the initial dictionary was drawn: speed is that of the others.
    let (mut first, mut last, mut rows) = (None, 0.0, 0);
    let mut watch = |progress: &Progress| {
        match first {
            None => first = Some(progress.elapsed),
            Some(_) => rows += progress.samples,
        }
        last = progress.elapsed;
        ControlFlow::Continue(())
    };
    let (_, report) = learner.fit_with(source, &mut watch)?;
    let speed = rows as f64 / (last - first.unwrap_or(0.0));
    let fvu = report.epochs.last().map_or(f64::NAN, |epoch| epoch.fvu);
    println!("{what}: {speed:.0} rows/s over {} steps, FVU {fvu:.4}", report.steps);
    Ok(speed)
}
