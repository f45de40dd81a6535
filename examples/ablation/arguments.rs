//! The command line.

use std::path::PathBuf;

use crate::options::{Options, Usage};
use crate::problem::Problem;
use crate::program::Outcome;

pub const HELP: &str = "\
Learns with every combination of minibatch, atom batch, power steps and care for dead and duplicate
atoms, on real embeddings and planted problems, and prints and draws what each is worth.

Usage: cargo run --release --example ablation -- [OPTIONS]

What is varied, lists with commas:
  --problems LIST     embeddings: 512 atoms, k = 16, of the first 7,168 MiniLM embeddings, measured by the
                      error on the last 1,024; planted: 256 atoms in 96 dimensions, k = 6, 4,096
                      samples with 5% noise, measured by the atoms recovered; coherent: the same
                      with coherent atoms [embeddings,planted,coherent]
  --minibatches LIST  steps an epoch [16,4,1]
  --atom-batches LIST atoms updated at a time; no more than there are [1,32,512]
  --power-steps LIST  power steps an atom [1,3,9]

Learning:
  --epochs E          passes over the samples [20]
  --seeds S           runs of each, by the seeds 0 to S - 1, of problem and learning [5]
  --threads T         threads [all cores]
  --out DIR           where ablation.md and ablation.png go [out]
  --help              this text
";

/// What `--problems` takes.
const PROBLEMS: &str = "embeddings, planted or coherent, with commas between them";

/// What was asked for.
pub struct Arguments {
    pub problems: Vec<Problem>,
    pub minibatches: Vec<usize>,
    pub atom_batches: Vec<usize>,
    pub power_steps: Vec<usize>,
    pub epochs: usize,
    pub seeds: u64,
    pub threads: usize,
    pub out: PathBuf,
}

/// The command line; `None` if it asks for help.
pub fn parse() -> Outcome<Option<Arguments>> {
    let mut arguments = Arguments {
        problems: vec![Problem::Embeddings, Problem::Planted, Problem::Coherent],
        minibatches: vec![16, 4, 1],
        atom_batches: vec![1, 32, 512],
        power_steps: vec![1, 3, 9],
        epochs: 20,
        seeds: 5,
        threads: 0,
        out: "out".into(),
    };
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "problems" => arguments.problems = options.list(PROBLEMS, |_| true)?,
            "minibatches" => arguments.minibatches = counts(&mut options)?,
            "atom-batches" => arguments.atom_batches = counts(&mut options)?,
            "power-steps" => arguments.power_steps = counts(&mut options)?,
            "epochs" => arguments.epochs = options.whole(0)?,
            // An interval takes two.
            "seeds" => arguments.seeds = options.whole(2)?,
            "threads" => arguments.threads = options.threads()?,
            "out" => arguments.out = options.path()?,
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    Ok(Some(arguments))
}

/// Distinct numbers above 0 with commas between them.
fn counts(options: &mut Options) -> Result<Vec<usize>, Usage> {
    let numbers = options.sizes()?;
    match (1..numbers.len()).find(|&nth| numbers[..nth].contains(&numbers[nth])) {
        Some(nth) => Err(options.wrong(format!("{} twice", numbers[nth]), "each number once")),
        None => Ok(numbers),
    }
}
