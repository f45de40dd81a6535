//! The command line.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use lexopt::{Arg, Parser, ValueExt};

use crate::failure::Failure;

pub const HELP: &str = "\
Writes one HTML page that shows what the atoms of a dictionary stand for: for each its usage, the
tokens that use it most, in context, its nearest atoms and its coefficients. It needs no network.

Usage: cargo run --release --example features -- [OPTIONS]

  --out FILE      the page [features.html]
  --model FILE    a dictionary, as saved by `Model::save`; without it, one is learned here:
  --atoms M       atoms [1024]
  --sparsity K    most atoms a token [16]
  --signed        coefficients of any sign [non-negative]
  --epochs E      passes over the data [the library's default]
  --seed S        random numbers [0]
  --threads T     changes nothing but the time [all cores]
  --data FILE --tokens FILE --groups FILE
                  samples (.npy, .safetensors), a row each, and two files with a line for each row:
                  its token (## begins one that continues a word), and the text that it is from
                  [the MiniLM embeddings in data/]
  --help          this text
";

pub struct Arguments {
    pub out: PathBuf,
    pub model: Option<PathBuf>,
    pub atoms: usize,
    pub sparsity: usize,
    pub signed: bool,
    pub epochs: Option<usize>,
    pub seed: u64,
    pub threads: Option<usize>,
    pub data: PathBuf,
    pub tokens: PathBuf,
    pub groups: PathBuf,
}

/// What the program is called for.
pub enum Call {
    Help,
    Page(Box<Arguments>),
}

pub fn parse() -> Result<Call, Failure> {
    let shipped = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name);
    let mut arguments = Arguments {
        out: "features.html".into(),
        model: None,
        atoms: 1024,
        sparsity: 16,
        signed: false,
        epochs: None,
        seed: 0,
        threads: None,
        data: shipped("minilm_l3_8192_f16.safetensors"),
        tokens: shipped("minilm_l3_8192_tokens.txt"),
        groups: shipped("minilm_l3_8192_groups.txt"),
    };
    let (mut own, mut learning) = ([false; 3], None);
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next().map_err(usage)? {
        let name = match argument {
            Arg::Long(name) => name.to_owned(),
            Arg::Short('h') => "help".to_owned(),
            other => return Err(usage(other.unexpected())),
        };
        let mut value = || parser.value().map_err(usage);
        match name.as_str() {
            "help" => return Ok(Call::Help),
            "out" => arguments.out = value()?.into(),
            "model" => arguments.model = Some(value()?.into()),
            "signed" => arguments.signed = true,
            "atoms" => arguments.atoms = number(&name, value()?)?,
            "sparsity" => arguments.sparsity = number(&name, value()?)?,
            "epochs" => arguments.epochs = Some(number(&name, value()?)?),
            "seed" => arguments.seed = number(&name, value()?)?,
            "threads" => arguments.threads = Some(number(&name, value()?)?),
            "data" => arguments.data = value()?.into(),
            "tokens" => arguments.tokens = value()?.into(),
            "groups" => arguments.groups = value()?.into(),
            _ => return Err(usage(Arg::Long(&name).unexpected())),
        }
        for (given, option) in own.iter_mut().zip(["data", "tokens", "groups"]) {
            *given |= name == option;
        }
        if ["atoms", "sparsity", "signed", "epochs", "seed"].contains(&name.as_str()) {
            learning = Some(name);
        }
    }
    if own.contains(&true) && own.contains(&false) {
        return Err(Failure::Usage("--data, --tokens and --groups go together".to_owned()));
    }
    if let (Some(option), Some(_)) = (learning, &arguments.model) {
        return Err(Failure::Usage(format!("--{option} is for learning, and --model is given")));
    }
    Ok(Call::Page(Box::new(arguments)))
}

fn usage(error: lexopt::Error) -> Failure {
    Failure::Usage(format!("{error} (see --help)"))
}

fn number<N: FromStr>(option: &str, value: std::ffi::OsString) -> Result<N, Failure> {
    let value = value.string().map_err(usage)?;
    let expected = "expected a whole number, at least 0";
    value.parse().map_err(|_| Failure::Usage(format!("--{option} is {value:?}, {expected}")))
}
