//! The command line.

use std::path::PathBuf;

use dbksvd::synthetic::Kind;

use crate::options::Options;
use crate::program::Outcome;

pub const HELP: &str = "\
Plants dictionaries, learns them by four methods in equal time, and prints and draws which share of
the atoms was found, over a grid of sparsity and number of samples.

Usage: cargo run --release --example phase -- [OPTIONS]

The problems:
  --dim D             dimension of a sample [32]
  --atoms M           atoms, planted and learned [64]
  --sparsities LIST   atoms in a sample [1,2,3,4,5,6,7,8]
  --samples LIST      samples [250,500,1000,2000,4000,8000]
  --noise R           norm of the noise over norm of the signal [0.1]
  --kind KIND         planted: independent atoms; correlated: coherent ones [planted]

Learning:
  --steps T           steps of double-batch K-SVD, at least (whole epochs are made); the other
                      methods get the seconds that they take [200]
  --seeds S           runs of each, by the seeds 0 to S - 1, of problem and learning [5]
  --threads T         threads [all cores]
  --out DIR           where phase.md and phase.png go [out]
  --help              this text
";

/// What was asked for.
pub struct Arguments {
    pub dim: usize,
    pub atoms: usize,
    pub sparsities: Vec<usize>,
    pub samples: Vec<usize>,
    pub noise: f64,
    pub kind: Kind,
    pub steps: usize,
    pub seeds: u64,
    pub threads: usize,
    pub out: PathBuf,
}

/// The command line; `None` if it asks for help.
pub fn parse() -> Outcome<Option<Arguments>> {
    let mut arguments = Arguments {
        dim: 32,
        atoms: 64,
        sparsities: vec![1, 2, 3, 4, 5, 6, 7, 8],
        samples: vec![250, 500, 1000, 2000, 4000, 8000],
        noise: 0.1,
        kind: Kind::Planted,
        steps: 200,
        seeds: 5,
        threads: 0,
        out: "out".into(),
    };
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "dim" => arguments.dim = options.whole(1)?,
            "atoms" => arguments.atoms = options.whole(1)?,
            "sparsities" => arguments.sparsities = options.sizes()?,
            "samples" => arguments.samples = options.sizes()?,
            "noise" => {
                let is_legal = |noise: &f64| noise.is_finite() && *noise >= 0.0;
                arguments.noise = options.number("a finite number, at least 0", is_legal)?;
            }
            "kind" => {
                let kinds = [("planted", Kind::Planted), ("correlated", Kind::Correlated)];
                arguments.kind = options.choice(&kinds)?;
            }
            "steps" => arguments.steps = options.whole(1)?,
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
