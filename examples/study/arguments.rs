//! The command line.

use std::path::PathBuf;

use lexopt::{Arg, Parser};

use crate::lists::list;
use crate::options::value;
use crate::program::Outcome;

pub const HELP: &str = "\
Compares DB-KSVD with sparse autoencoders (SAEs), principal components and random dictionaries on
embeddings: errors, coherence, probing, stability between seeds, features; and, on a small problem,
how far each coder is from the optimal code.

Usage: cargo run --release --example study -- [OPTIONS]

The study takes three commands: the first gives the second the rows to learn from and the time that
DB-KSVD took for each sparsity; the second (docs/study/embeddings) trains the SAEs.

  cargo run --release --example study -- --prepare out/study
  python docs/study/embeddings/train_topk.py out/study out/saes
  cargo run --release --example study -- --saes out/saes --out docs/study/embeddings

Data:
  --data FILE         samples, .npy or .safetensors, a row each [MiniLM embeddings of the repository]
  --groups FILE       the text that each row is from, for probing, a line a row [of the repository]
  --tokens FILE       what each row stands for, for features, a line a row [of the repository]
  --held-out N        the last N rows are measured on, not learned from [1024]

What is done:
  --prepare DIR       writes what train_topk.py needs to DIR, and ends
  --saes DIR          what train_topk.py has written; without it, there are no SAEs in the tables
  --out DIR           where study.md and the pictures go [out]
  --atoms M           atoms of a dictionary [1024]
  --sparsities LIST   atoms a sample k [4,8,16,32]
  --epochs E          of DB-KSVD [20]
  --seeds S           runs of everything that is random, by the seeds 0 to S - 1, at least 2 [5]
  --small D,M,LIST    the small problem: principal directions, atoms, sparsities [24,64,3,5]
  --help              this text
";

/// What was asked for.
pub struct Arguments {
    pub data: PathBuf,
    pub groups: Option<PathBuf>,
    pub tokens: Option<PathBuf>,
    pub held_out: usize,
    pub prepare: Option<PathBuf>,
    pub saes: Option<PathBuf>,
    pub out: PathBuf,
    pub atoms: usize,
    pub sparsities: Vec<usize>,
    pub epochs: usize,
    pub seeds: u64,
    pub small: Small,
}

/// The problem that is small enough for optimal codes.
pub struct Small {
    pub directions: usize,
    pub atoms: usize,
    pub sparsities: Vec<usize>,
}

/// The command line; `None` if it asks for help.
pub fn parse() -> Outcome<Option<Arguments>> {
    let (mut data, mut groups, mut tokens) = (None, None, None);
    let mut arguments = Arguments {
        data: in_repository("minilm_l3_8192_f16.safetensors"),
        groups: None,
        tokens: None,
        held_out: 1024,
        prepare: None,
        saes: None,
        out: "out".into(),
        atoms: 1024,
        sparsities: vec![4, 8, 16, 32],
        epochs: 20,
        seeds: 5,
        small: Small { directions: 24, atoms: 64, sparsities: vec![3, 5] },
    };
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("data") => data = Some(parser.value()?.into()),
            Arg::Long("groups") => groups = Some(parser.value()?.into()),
            Arg::Long("tokens") => tokens = Some(parser.value()?.into()),
            Arg::Long("held-out") => arguments.held_out = value(&mut parser, "held-out")?,
            Arg::Long("prepare") => arguments.prepare = Some(parser.value()?.into()),
            Arg::Long("saes") => arguments.saes = Some(parser.value()?.into()),
            Arg::Long("out") => arguments.out = parser.value()?.into(),
            Arg::Long("atoms") => arguments.atoms = value(&mut parser, "atoms")?,
            Arg::Long("sparsities") => {
                arguments.sparsities = numbers(&mut parser, "sparsities", 1)?
            }
            Arg::Long("epochs") => arguments.epochs = value(&mut parser, "epochs")?,
            Arg::Long("seeds") => arguments.seeds = value(&mut parser, "seeds")?,
            Arg::Long("small") => {
                let numbers = numbers(&mut parser, "small", 3)?;
                let (directions, atoms) = (numbers[0], numbers[1]);
                arguments.small = Small { directions, atoms, sparsities: numbers[2..].to_vec() };
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            _ => return Err(format!("{}; see --help", argument.unexpected()).into()),
        }
    }
    // Labels and tokens of the repository are those of its data.
    let shipped = |name: &str| data.is_none().then(|| in_repository(name));
    arguments.groups = groups.or_else(|| shipped("minilm_l3_8192_groups.txt"));
    arguments.tokens = tokens.or_else(|| shipped("minilm_l3_8192_tokens.txt"));
    arguments.data = data.unwrap_or(arguments.data);
    if arguments.seeds < 2 {
        return Err(format!("--seeds {}: an interval takes at least 2", arguments.seeds).into());
    }
    if arguments.held_out == 0 {
        return Err("--held-out 0: at least 1".into());
    }
    Ok(Some(arguments))
}

fn in_repository(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "data", name].iter().collect()
}

/// At least so many numbers with commas between them.
fn numbers(parser: &mut Parser, option: &str, least: usize) -> Outcome<Vec<usize>> {
    let numbers: Vec<usize> = list(parser, option)?;
    if numbers.len() < least {
        let given: Vec<String> = numbers.iter().map(usize::to_string).collect();
        return Err(format!("--{option} {}: at least {least} numbers", given.join(",")).into());
    }
    Ok(numbers)
}
