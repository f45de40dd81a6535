//! The command line.

use std::path::PathBuf;

use dbksvd::synthetic::sae_bench::Recipe;
use lexopt::{Arg, Parser, ValueExt};

use crate::options::value;
use crate::program::Outcome;

pub const HELP: &str = "\
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

Prints a line for each run, then means with 95% intervals over the runs (Student's t).
";

/// What to run.
pub struct Arguments {
    pub recipe: Recipe,
    pub seeds: u64,
    pub first_seed: u64,
    pub samples: usize,
    pub evaluation: usize,
    pub atoms: usize,
    pub epochs: usize,
    pub threads: usize,
    pub sweep: bool,
    pub data: Option<PathBuf>,
    pub center: bool,
}

/// The command line; `None` if it asks for help.
pub fn parse() -> Outcome<Option<Arguments>> {
    let mut parser = Parser::from_env();
    let (mut large, mut seeds, mut first_seed, mut epochs, mut threads) = (None, None, 1, 20, 0);
    let (mut samples, mut evaluation, mut atoms) = (None, None, None);
    let (mut sweep, mut data, mut center) = (false, None, false);
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("features") => {
                large = match parser.value()?.string()?.as_str() {
                    "2k" => Some(false),
                    "16k" => Some(true),
                    other => return Err(format!("--features {other}: 2k or 16k").into()),
                };
            }
            Arg::Long("seeds") => seeds = Some(value(&mut parser, "seeds")?),
            Arg::Long("first-seed") => first_seed = value(&mut parser, "first-seed")?,
            Arg::Long("samples") => samples = Some(value(&mut parser, "samples")?),
            Arg::Long("evaluation") => evaluation = Some(value(&mut parser, "evaluation")?),
            Arg::Long("atoms") => atoms = Some(value(&mut parser, "atoms")?),
            Arg::Long("epochs") => epochs = value(&mut parser, "epochs")?,
            Arg::Long("threads") => threads = value(&mut parser, "threads")?,
            Arg::Long("sweep") => sweep = true,
            Arg::Long("center") => center = true,
            Arg::Long("data") => data = Some(parser.value()?.into()),
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            _ => return Err(format!("{}; see --help", argument.unexpected()).into()),
        }
    }
    let of_generator = [
        ("features", large.is_some()),
        ("seeds", seeds.is_some()),
        ("samples", samples.is_some()),
        ("evaluation", evaluation.is_some()),
        ("sweep", sweep),
    ];
    if data.is_some()
        && let Some((option, _)) = of_generator.into_iter().find(|(_, given)| *given)
    {
        return Err(format!("--{option} is of the generator: not with --data").into());
    }
    if data.is_none() && center {
        return Err("--center goes with --data".into());
    }
    if seeds == Some(0) {
        return Err("--seeds 0: at least 1".into());
    }
    let (recipe, defaults) = if large.unwrap_or(false) {
        (Recipe::sixteen_k(), [320_000, 20_000, 4_096])
    } else {
        (Recipe::two_k(), [50_000, 10_000, 512])
    };
    Ok(Some(Arguments {
        recipe,
        seeds: seeds.unwrap_or(1),
        first_seed,
        samples: samples.unwrap_or(defaults[0]),
        evaluation: evaluation.unwrap_or(defaults[1]),
        atoms: atoms.unwrap_or(defaults[2]),
        epochs,
        threads,
        sweep,
        data,
        center,
    }))
}
