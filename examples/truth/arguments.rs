//! The command line.

use std::path::PathBuf;

use dbksvd::synthetic::sae_bench::Recipe;
use lexopt::prelude::*;

const HELP: &str = "\
Learns true features of a fresh draw of SynthSAEBench's generator, and measures how true they are.

usage: truth [--features 2k|16k] [--seeds N] [--first-seed S] [--samples N] [--evaluation N]
             [--atoms M] [--epochs E] [--threads T] [--sweep] [--data FILE] [--center]

  --features    the generator: 2k (2,048 features, dimension 256; the default) or 16k (16,384 features,
                dimension 768, as published)
  --seeds       runs, each with features, samples and learning of its own (default 1)
  --first-seed  the seed of the first (default 1)
  --samples     samples to learn from (default 50,000 for 2k, 320,000 for 16k)
  --evaluation  samples to measure on (default 10,000 for 2k, 20,000 for 16k)
  --atoms       atoms (default 512 for 2k, 4,096 for 16k)
  --epochs      passes over the samples (default 20)
  --threads     threads (default: all processors)
  --sweep       reads the features of each run at other thresholds as well
  --data        real samples instead (.npy or .safetensors): learns from all but the last eighth, by two
                seeds, with the preset and with plain DB-KSVD, and compares what they found
  --center      with --data: subtracts the mean

Prints a line for each run, then means with 95% intervals over the runs (Student's t).";

/// What to run.
pub struct Arguments {
    pub recipe: Recipe,
    pub seeds: u64,
    pub first_seed: u64,
    pub samples: usize,
    pub evaluation: usize,
    pub atoms: usize,
    pub epochs: usize,
    pub sweep: bool,
    pub data: Option<PathBuf>,
    pub center: bool,
}

/// The arguments; `None` after printing the help that was asked for.
pub fn parse() -> Result<Option<Arguments>, String> {
    parse_all().map_err(|error| format!("{error} (--help lists the arguments)"))
}

fn parse_all() -> Result<Option<Arguments>, lexopt::Error> {
    let mut parser = lexopt::Parser::from_env();
    let (mut large, mut seeds, mut first_seed, mut epochs) = (false, 1, 1, 20);
    let (mut samples, mut evaluation, mut atoms) = (None, None, None);
    let (mut sweep, mut data, mut center) = (false, None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Long("features") => {
                large = match parser.value()?.string()?.as_str() {
                    "2k" => false,
                    "16k" => true,
                    other => return Err(format!("--features {other}: 2k or 16k").into()),
                };
            }
            Long("seeds") => seeds = parser.value()?.parse()?,
            Long("first-seed") => first_seed = parser.value()?.parse()?,
            Long("samples") => samples = Some(parser.value()?.parse()?),
            Long("evaluation") => evaluation = Some(parser.value()?.parse()?),
            Long("atoms") => atoms = Some(parser.value()?.parse()?),
            Long("epochs") => epochs = parser.value()?.parse()?,
            Long("sweep") => sweep = true,
            Long("center") => center = true,
            Long("data") => data = Some(parser.value()?.into()),
            Long("threads") => {
                let threads = parser.value()?.parse()?;
                rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build_global()
                    .map_err(|error| error.to_string())?;
            }
            Long("help") => {
                println!("{HELP}");
                return Ok(None);
            }
            _ => return Err(argument.unexpected()),
        }
    }
    let (recipe, defaults) = if large {
        (Recipe::sixteen_k(), [320_000, 20_000, 4_096])
    } else {
        (Recipe::two_k(), [50_000, 10_000, 512])
    };
    Ok(Some(Arguments {
        recipe,
        seeds,
        first_seed,
        samples: samples.unwrap_or(defaults[0]),
        evaluation: evaluation.unwrap_or(defaults[1]),
        atoms: atoms.unwrap_or(defaults[2]),
        epochs,
        sweep,
        data,
        center,
    }))
}
