//! The command line.

use std::path::PathBuf;

use dbksvd_sae::synthetic::Recipe;

use crate::options::Options;
use crate::program::Outcome;

pub const HELP: &str = "\
Learns true features of a fresh draw of SynthSAEBench's generator, and measures how true they are.

Usage: cargo run --release --example truth -- [OPTIONS]

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
  --help        this text

Prints a line for each run, then means with 95% intervals over the runs (Student's t).
";

/// Seeds of runs: a few numbers are made of each.
const SEEDS: &str = "a whole number below 2³²; of --seeds, at least 1";

/// What to run.
pub struct Arguments {
    pub recipe: Recipe,
    /// Dimension of the generator's samples.
    pub dim: usize,
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
    let mut options = Options::from_env();
    let (mut large, mut seeds, mut first_seed, mut epochs, mut threads) = (None, None, 1, 20, 0);
    let (mut samples, mut evaluation, mut atoms) = (None, None, None);
    let (mut sweep, mut data, mut center) = (false, None, false);
    while let Some(name) = options.next()? {
        match name.as_str() {
            "features" => large = Some(options.choice(&[("2k", false), ("16k", true)])?),
            "seeds" => seeds = Some(options.number(SEEDS, |&seeds: &u32| seeds > 0)?),
            "first-seed" => first_seed = options.number(SEEDS, |_: &u32| true)?,
            "samples" => samples = Some(options.whole(1)?),
            "evaluation" => evaluation = Some(options.whole(1)?),
            "atoms" => atoms = Some(options.whole(1)?),
            "epochs" => epochs = options.whole(0)?,
            "threads" => threads = options.threads()?,
            "sweep" => sweep = true,
            "center" => center = true,
            "data" => data = Some(options.path()?),
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
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
    let (recipe, dim, defaults) = if large.unwrap_or(false) {
        (Recipe::sixteen_k(), 768, [320_000, 20_000, 4_096])
    } else {
        (Recipe::two_k(), 256, [50_000, 10_000, 512])
    };
    Ok(Some(Arguments {
        recipe,
        dim,
        seeds: seeds.unwrap_or(1).into(),
        first_seed: first_seed.into(),
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
