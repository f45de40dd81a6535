//! Learns and codes with this crate and with `oxicuda-cs`, on the same planted data, in turns.
//!
//! ```text
//! RUSTFLAGS="-C target-cpu=native" cargo run --release --locked
//! ```
//! `benches/peers/README.md` says what is measured, and has the figures of one machine.

mod coders;
mod learners;
#[path = "../../../../examples/common/options.rs"]
mod options;
mod problem;
#[path = "../../../../examples/common/program.rs"]
mod program;
mod table;

use std::process::ExitCode;

use options::Options;
use problem::Problem;
use program::Outcome;

const HELP: &str = "\
Learns and codes with this crate and with oxicuda-cs, in turns, and prints medians and ranges.

Usage: cargo run --release --locked -- [OPTIONS]

  --shape D,M,K     dimension, atoms, atoms in a sample [64,128,5]
  --samples N       samples to learn from [2000]
  --passes P        passes over them; 0: nothing is learned, and coding alone is compared [10]
  --coded N         held-out samples for coders that take one at a time [2000]
  --seeds S         draws of dictionary and samples, with the seeds from 0 on [5]
  --help            this text
";

/// What is asked for.
pub struct Arguments {
    shape: [usize; 3],
    samples: usize,
    passes: usize,
    coded: usize,
    seeds: u64,
}

fn main() -> ExitCode {
    program::run(arguments, HELP, run)
}

fn arguments() -> Outcome<Option<Arguments>> {
    let mut asked =
        Arguments { shape: [64, 128, 5], samples: 2000, passes: 10, coded: 2000, seeds: 5 };
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match &*name {
            "shape" => {
                let sizes = options.sizes()?;
                asked.shape =
                    sizes.try_into().map_err(|_| options.wrong("of other length", "D,M,K"))?;
            }
            "samples" => asked.samples = options.whole(1)?,
            "passes" => asked.passes = options.whole(0)?,
            "coded" => asked.coded = options.whole(1)?,
            "seeds" => asked.seeds = options.whole(1)?,
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    if asked.coded > problem::HELD_OUT {
        return Err(format!("--coded is above {}, the held-out samples", problem::HELD_OUT).into());
    }
    Ok(Some(asked))
}

fn run(asked: Arguments) -> Outcome<()> {
    let [dim, atoms, sparsity] = asked.shape;
    println!("## (d, m, k) = ({dim}, {atoms}, {sparsity}), seeds 0 to {}\n", asked.seeds - 1);
    let mut learning = table::Table::of(learners::COLUMNS);
    let mut coding = table::Table::of(coders::COLUMNS);
    let learners = learners::all()?;
    let coders = coders::all()?;
    for seed in 0..asked.seeds {
        let problem = Problem::draw(&asked, seed)?;
        if asked.passes > 0 {
            learners::round(&learners, &problem, &mut learning)?;
        }
        coders::round(&coders, &problem, &mut coding)?;
        eprintln!("seed {seed} is done");
    }
    if asked.passes > 0 {
        println!("{} passes over {} samples:\n\n{learning}", asked.passes, asked.samples);
    }
    println!("{coding}");
    Ok(())
}
