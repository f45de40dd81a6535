//! The command line.

use std::path::PathBuf;

use lexopt::{Arg, Parser};

use crate::lists::list;
use crate::options::value;
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
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("problems") => arguments.problems = list(&mut parser, "problems")?,
            Arg::Long("minibatches") => arguments.minibatches = counts(&mut parser, "minibatches")?,
            Arg::Long("atom-batches") => {
                arguments.atom_batches = counts(&mut parser, "atom-batches")?;
            }
            Arg::Long("power-steps") => arguments.power_steps = counts(&mut parser, "power-steps")?,
            Arg::Long("epochs") => arguments.epochs = value(&mut parser, "epochs")?,
            Arg::Long("seeds") => arguments.seeds = value(&mut parser, "seeds")?,
            Arg::Long("threads") => arguments.threads = value(&mut parser, "threads")?,
            Arg::Long("out") => arguments.out = parser.value()?.into(),
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            _ => return Err(format!("{}; see --help", argument.unexpected()).into()),
        }
    }
    if arguments.seeds < 2 {
        return Err(format!("--seeds {}: an interval takes at least 2", arguments.seeds).into());
    }
    Ok(Some(arguments))
}

/// Distinct numbers above 0 with commas between them.
fn counts(parser: &mut Parser, option: &str) -> Outcome<Vec<usize>> {
    let numbers: Vec<usize> = list(parser, option)?;
    if numbers.contains(&0) {
        return Err(format!("--{option}: each at least 1").into());
    }
    if (1..numbers.len()).any(|nth| numbers[..nth].contains(&numbers[nth])) {
        return Err(format!("--{option}: each once").into());
    }
    Ok(numbers)
}
