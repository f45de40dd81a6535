//! What each part of double-batch K-SVD is worth, and how the parts depend on each other: minibatch
//! × atom batch × power steps × care for dead and duplicate atoms, every combination, on the
//! shipped embeddings and on planted problems.
//!
//! ```text
//! cargo run --release --example ablation
//! ```
//! prints tables with 95% intervals and writes them with a picture. `docs/study/ablation/` has a
//! run of it.

mod arguments;
#[path = "../common/embeddings.rs"]
mod embeddings;
mod experiment;
#[path = "../common/options.rs"]
mod options;
mod picture;
mod problem;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/statistics.rs"]
mod statistics;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use arguments::Arguments;
use experiment::Study;
use program::Outcome;

fn main() -> ExitCode {
    program::run(arguments::parse, arguments::HELP, run)
}

fn run(arguments: Arguments) -> Outcome<()> {
    // A folder that cannot be had is said before the work, not after it.
    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| format!("{}: {error}", arguments.out.display()))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    let start = Instant::now();
    let studies: Vec<Study> = pool.install(|| {
        let problems = arguments.problems.iter();
        problems.map(|&problem| experiment::study(&arguments, problem)).collect::<Outcome<_>>()
    })?;
    let text = table::text(&arguments, &studies);
    println!("{text}");
    let (table, picture) = (arguments.out.join("ablation.md"), arguments.out.join("ablation.png"));
    std::fs::write(&table, text).map_err(|error| format!("{}: {error}", table.display()))?;
    picture::draw(&picture, &arguments, &studies)?;
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{seconds:.0} s; {} and {}", table.display(), picture.display());
    Ok(())
}
