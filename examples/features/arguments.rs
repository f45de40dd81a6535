//! The command line.

use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::options::Options;
use crate::outputs::keep_apart;

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
  --mask FILE     .npy of booleans, or of 0 and 1, one for each row of the samples: 1 uses the row, 0
                  leaves it out of learning and of the page, but for its token beside others
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
    pub mask: Option<PathBuf>,
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
        mask: None,
    };
    let (mut own, mut learning) = ([false; 3], None);
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "help" => return Ok(Call::Help),
            "out" => arguments.out = options.path()?,
            "model" => arguments.model = Some(options.path()?),
            "signed" => arguments.signed = true,
            "atoms" => arguments.atoms = options.whole(1)?,
            "sparsity" => arguments.sparsity = options.whole(1)?,
            "epochs" => arguments.epochs = Some(options.whole(0)?),
            "seed" => arguments.seed = options.whole(0)?,
            "threads" => arguments.threads = Some(options.threads()?),
            "data" => arguments.data = options.path()?,
            "tokens" => arguments.tokens = options.path()?,
            "groups" => arguments.groups = options.path()?,
            "mask" => arguments.mask = Some(options.path()?),
            _ => return Err(options.unknown().into()),
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
    let inputs = [
        ("--model", arguments.model.as_ref()),
        ("--data", Some(&arguments.data)),
        ("--tokens", Some(&arguments.tokens)),
        ("--groups", Some(&arguments.groups)),
        ("--mask", arguments.mask.as_ref()),
    ];
    let inputs = inputs.into_iter();
    let inputs: Vec<(&str, &Path)> =
        inputs.filter_map(|(option, path)| Some((option, path?.as_path()))).collect();
    keep_apart(&inputs, &[("--out", arguments.out.clone())])?;
    Ok(Call::Page(Box::new(arguments)))
}
