//! The command line.

use std::path::PathBuf;

use crate::options::{Options, Usage};
use crate::outputs::keep_apart;
use crate::program::Outcome;

pub const HELP: &str = "\
Scores a dictionary by the labels of its samples: k-sparse probing, absorption, targeted probe
perturbation, as SAEBench does. It needs no language model.

Usage: cargo run --release --example score -- --dictionary FILE --codes FILE --samples FILE
           --labels FILE [OPTIONS]

  --dictionary FILE   .npy (m, d): the atoms. If they are not of norm 1, codes are taken times norms
  --codes FILE        .npz (N, m): SciPy's CSR, saved with compressed=False
  --samples FILE      .npy or .safetensors (N, d): the samples, such as activations of a model
  --labels FILE       .npy (N): classes, counted from 0; or .npy (N, L) of booleans: labels that
                      overlap, for which probing is the only measure
  --train FILE        .npy (N) of booleans: the samples for training [all but every fifth]
  --sequence S --window W
                      samples are sequences of S, of which means over W in a row are scored. Labels
                      and --train then have a row for each sequence
  --measures NAMES    probing, absorption, perturbation, with commas between them [those that the
                      labels allow]
  --features K        numbers of atoms that probing takes [1,2,5]
  --ablate N          numbers of atoms that perturbation ablates [2,5,10,20,50,100, up to m]
  --seed S            of the draws that make classes equally large [0]
  --json FILE         the scores, also of each class
  --help              this text
";

/// A measure by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    Probing,
    Absorption,
    Perturbation,
}

impl std::str::FromStr for Measure {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "probing" => Ok(Self::Probing),
            "absorption" => Ok(Self::Absorption),
            "perturbation" => Ok(Self::Perturbation),
            _ => Err(()),
        }
    }
}

/// How samples are made of sequences.
#[derive(Clone, Copy)]
pub struct Sequences {
    pub length: usize,
    pub window: usize,
}

pub struct Arguments {
    pub dictionary: PathBuf,
    pub codes: PathBuf,
    pub samples: PathBuf,
    pub labels: PathBuf,
    pub train: Option<PathBuf>,
    pub sequences: Option<Sequences>,
    /// `None` for those that the labels allow.
    pub measures: Option<Vec<Measure>>,
    pub features: Vec<usize>,
    pub ablate: Option<Vec<usize>>,
    pub seed: u64,
    pub json: Option<PathBuf>,
}

/// The command line; `None` if it asks for help.
pub fn parse() -> Outcome<Option<Arguments>> {
    let (mut dictionary, mut codes, mut samples, mut labels) = (None, None, None, None);
    let (mut train, mut json, mut length, mut window) = (None, None, None, None);
    let (mut measures, mut features, mut ablate, mut seed) = (None, vec![1, 2, 5], None, 0);
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "dictionary" => dictionary = Some(options.path()?),
            "codes" => codes = Some(options.path()?),
            "samples" => samples = Some(options.path()?),
            "labels" => labels = Some(options.path()?),
            "train" => train = Some(options.path()?),
            "json" => json = Some(options.path()?),
            "sequence" => length = Some(options.whole(1)?),
            "window" => window = Some(options.whole(1)?),
            "measures" => {
                let expected = "probing, absorption or perturbation, with commas between them";
                measures = Some(options.list(expected, |_| true)?);
            }
            "features" => features = options.sizes()?,
            "ablate" => ablate = Some(options.sizes()?),
            "seed" => seed = options.whole(0)?,
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    let needed = |path: Option<PathBuf>, name: &str| {
        path.ok_or_else(|| Usage(format!("--{name} is missing (see --help)")))
    };
    let sequences = match (length, window) {
        (None, None) => None,
        (Some(length), Some(window)) if window <= length => Some(Sequences { length, window }),
        (Some(length), Some(window)) => {
            let wrong = format!("--window is {window}, expected at most --sequence, {length}");
            return Err(Usage(wrong).into());
        }
        _ => return Err(Usage("--sequence and --window go together".to_owned()).into()),
    };
    let arguments = Arguments {
        dictionary: needed(dictionary, "dictionary")?,
        codes: needed(codes, "codes")?,
        samples: needed(samples, "samples")?,
        labels: needed(labels, "labels")?,
        train,
        sequences,
        measures,
        features,
        ablate,
        seed,
        json,
    };
    arguments.keep_apart()?;
    Ok(Some(arguments))
}

impl Arguments {
    /// The scores replace none of the files that are read.
    fn keep_apart(&self) -> Result<(), Usage> {
        let mut inputs = vec![
            ("--dictionary", &*self.dictionary),
            ("--codes", &*self.codes),
            ("--samples", &*self.samples),
            ("--labels", &*self.labels),
        ];
        inputs.extend(self.train.as_deref().map(|path| ("--train", path)));
        let outputs: Vec<_> = self.json.iter().map(|path| ("--json", path.clone())).collect();
        keep_apart(&inputs, &outputs)
    }
}
