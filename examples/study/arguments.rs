//! The command line.

use std::path::{Path, PathBuf};

use crate::options::{Options, Usage};
use crate::outputs::keep_apart;
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

/// What the study writes to `--out`.
const OUTPUTS: [&str; 4] = ["study.md", "features.md", "pareto.png", "optimum.png"];

/// What `--prepare` writes.
const PREPARED: [&str; 3] = ["rows.npy", "small.npy", "prepared.json"];

impl Arguments {
    fn keep_outputs_apart(&self) -> Result<(), Usage> {
        let inputs = [("--data", Some(&self.data)), ("--groups", self.groups.as_ref())];
        let inputs = inputs.into_iter().chain([("--tokens", self.tokens.as_ref())]);
        let inputs: Vec<(&str, &Path)> =
            inputs.filter_map(|(option, path)| Some((option, path?.as_path()))).collect();
        let outputs: Vec<(&str, PathBuf)> = match &self.prepare {
            Some(folder) => PREPARED.map(|name| ("--prepare", folder.join(name))).to_vec(),
            None => OUTPUTS.map(|name| ("--out", self.out.join(name))).to_vec(),
        };
        keep_apart(&inputs, &outputs)
    }
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
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "data" => data = Some(options.path()?),
            "groups" => groups = Some(options.path()?),
            "tokens" => tokens = Some(options.path()?),
            "held-out" => arguments.held_out = options.whole(1)?,
            "prepare" => arguments.prepare = Some(options.path()?),
            "saes" => arguments.saes = Some(options.path()?),
            "out" => arguments.out = options.path()?,
            "atoms" => arguments.atoms = options.whole(1)?,
            "sparsities" => arguments.sparsities = options.sizes()?,
            "epochs" => arguments.epochs = options.whole(0)?,
            // An interval takes two.
            "seeds" => arguments.seeds = options.whole(2)?,
            "small" => match options.sizes()?.as_slice() {
                &[directions, atoms, ref sparsities @ ..] if !sparsities.is_empty() => {
                    arguments.small = Small { directions, atoms, sparsities: sparsities.to_vec() };
                }
                sizes => {
                    let found: Vec<String> = sizes.iter().map(usize::to_string).collect();
                    return Err(options.wrong(found.join(","), "at least 3 numbers").into());
                }
            },
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    // Labels and tokens of the repository are those of its data.
    let shipped = |name: &str| data.is_none().then(|| in_repository(name));
    arguments.groups = groups.or_else(|| shipped("minilm_l3_8192_groups.txt"));
    arguments.tokens = tokens.or_else(|| shipped("minilm_l3_8192_tokens.txt"));
    arguments.data = data.unwrap_or(arguments.data);
    arguments.keep_outputs_apart()?;
    Ok(Some(arguments))
}

fn in_repository(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "data", name].iter().collect()
}
