//! The command line.

use std::path::PathBuf;

use dbksvd::synthetic::Kind;
use lexopt::{Arg, Parser};

use crate::lists::list;
use crate::options::value;
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
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("dim") => arguments.dim = value(&mut parser, "dim")?,
            Arg::Long("atoms") => arguments.atoms = value(&mut parser, "atoms")?,
            Arg::Long("sparsities") => arguments.sparsities = list(&mut parser, "sparsities")?,
            Arg::Long("samples") => arguments.samples = list(&mut parser, "samples")?,
            Arg::Long("noise") => arguments.noise = value(&mut parser, "noise")?,
            Arg::Long("kind") => {
                arguments.kind = match value::<String>(&mut parser, "kind")?.as_str() {
                    "planted" => Kind::Planted,
                    "correlated" => Kind::Correlated,
                    other => return Err(format!("--kind {other}: planted or correlated").into()),
                }
            }
            Arg::Long("steps") => arguments.steps = value(&mut parser, "steps")?,
            Arg::Long("seeds") => arguments.seeds = value(&mut parser, "seeds")?,
            Arg::Long("threads") => arguments.threads = value(&mut parser, "threads")?,
            Arg::Long("out") => arguments.out = parser.value()?.into(),
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            _ => return Err(format!("{}; see --help", argument.unexpected()).into()),
        }
    }
    if arguments.steps == 0 {
        return Err("--steps 0: at least 1".into());
    }
    if arguments.seeds < 2 {
        return Err(format!("--seeds {}: an interval takes at least 2", arguments.seeds).into());
    }
    Ok(Some(arguments))
}
