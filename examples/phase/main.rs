//! The phase diagram of recovery: which share of a planted dictionary is found, by how many samples
//! there are and how many atoms each is made of, for K-SVD in double batches and, in equal time,
//! for full-batch K-SVD, the method of optimal directions and online learning.
//!
//! ```text
//! cargo run --release --example phase
//! ```
//! prints a table with 95% intervals and writes it with a picture. `docs/study/phase/` has a run of
//! it.

mod arguments;
mod experiment;
#[path = "../common/machine.rs"]
mod machine;
#[path = "../common/options.rs"]
mod options;
mod picture;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/statistics.rs"]
mod statistics;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use arguments::Arguments;
use experiment::{Cell, Certainty, METHODS};
use program::Outcome;

fn main() -> ExitCode {
    program::run(arguments::parse, arguments::HELP, run)
}

fn run(arguments: Arguments) -> Outcome<()> {
    // A folder that cannot be had is said before the work, not after it.
    std::fs::create_dir_all(&arguments.out)
        .map_err(|error| format!("{}: {error}", arguments.out.display()))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    let most = |sizes: &[usize]| sizes.iter().copied().max().unwrap_or(0);
    let (sparsity, samples) = (most(&arguments.sparsities), most(&arguments.samples));
    pool.install(|| machine::check::<f32>(arguments.dim, arguments.atoms, sparsity, samples))?;
    let start = Instant::now();
    let cells = pool.install(|| measure(&arguments))?;
    let certainties: Vec<Certainty> = pool.install(|| {
        let sparsities = arguments.sparsities.iter();
        sparsities
            .map(|&sparsity| experiment::certainty(&arguments, sparsity))
            .collect::<Outcome<_>>()
    })?;
    let text = table::text(&arguments, &cells, &certainties, pool.current_num_threads());
    println!("{text}");
    let (table, picture) = (arguments.out.join("phase.md"), arguments.out.join("phase.png"));
    std::fs::write(&table, text).map_err(|error| format!("{}: {error}", table.display()))?;
    picture::draw(&picture, &arguments, &cells)?;
    let seconds = start.elapsed().as_secs_f64();
    eprintln!("{seconds:.0} s; {} and {}", table.display(), picture.display());
    Ok(())
}

/// Every cell of the grid, by sparsity, then number of samples.
fn measure(arguments: &Arguments) -> Outcome<Vec<Cell>> {
    let mut cells = Vec::new();
    for &sparsity in &arguments.sparsities {
        for &samples in &arguments.samples {
            let cell = experiment::measure(arguments, sparsity, samples)?;
            let shares: Vec<String> = METHODS
                .iter()
                .zip(&cell.shares)
                .map(|(method, shares)| {
                    format!("{} {:.0}%", method.name, 100.0 * statistics::mean(shares))
                })
                .collect();
            eprintln!("k {sparsity}, N {samples}: {}", shares.join(", "));
            cells.push(cell);
        }
    }
    Ok(cells)
}
