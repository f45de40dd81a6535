//! The command line.

use std::path::{Path, PathBuf};

use crate::options::Options;
use crate::outputs::keep_apart;
use crate::program::Outcome;

pub(crate) const HELP: &str = "\
Denoises a picture by a K-SVD dictionary that is learned from its own noisy patches.

Usage: cargo run --release --example denoise -- [OPTIONS]

  --image FILE    the clean picture, a PNG, grey or in colours [data/camera256.png]
  --sigma S       standard deviation of the noise, of 255 [25]
  --noisy FILE    the noisy picture, a .npy array (height, width), or (height, width, 3) of
                  colours; without it, noise is added to --image. For the defaults of --image and
                  --sigma this is data/camera256_noisy25.npy, so that figures can be compared.
  --seed S        learning, and noise that is added [0]
  --atoms M       atoms of the dictionary [256]
  --epochs E      passes over the patches [10]
  --steps N       minibatches in a pass [4]
  --out DIR       where pictures are written [out]
  --threads T     threads; the result does not depend on it [all cores]
  --quiet         no progress, only the table
  --help          this text

Writes clean.png, noisy.png, dct.png, ksvd.png, comparison.png (noisy, DCT, K-SVD) and atoms.png
(the learned atoms, the most used first).
";

/// What is written to `--out`.
pub(crate) const PICTURES: [&str; 6] =
    ["clean.png", "noisy.png", "dct.png", "ksvd.png", "atoms.png", "comparison.png"];

/// Patches have 64 pixels: more cosines than this differ by rounding alone.
const MOST_ATOMS: usize = 1 << 16;

pub(crate) struct Arguments {
    pub(crate) image: PathBuf,
    pub(crate) sigma: f64,
    pub(crate) noisy: Option<PathBuf>,
    pub(crate) seed: u64,
    pub(crate) atoms: usize,
    pub(crate) epochs: usize,
    pub(crate) steps: usize,
    pub(crate) out: PathBuf,
    pub(crate) threads: usize,
    pub(crate) quiet: bool,
}

impl Arguments {
    /// The command line; `None` if it asks for help.
    pub(crate) fn parse() -> Outcome<Option<Self>> {
        let (mut image, mut sigma) = (None, None);
        let mut arguments = Self {
            image: data("camera256.png"),
            sigma: 25.0,
            noisy: None,
            seed: 0,
            atoms: 256,
            epochs: 10,
            steps: 4,
            out: PathBuf::from("out"),
            threads: 0,
            quiet: false,
        };
        let mut options = Options::from_env();
        while let Some(name) = options.next()? {
            match name.as_str() {
                "image" => image = Some(options.path()?),
                "sigma" => {
                    let is_legal = |sigma: &f64| sigma.is_finite() && *sigma > 0.0;
                    sigma = Some(options.number("a positive, finite number", is_legal)?);
                }
                "noisy" => arguments.noisy = Some(options.path()?),
                "seed" => arguments.seed = options.whole(0)?,
                "atoms" => {
                    let is_legal = |atoms: &usize| (1..=MOST_ATOMS).contains(atoms);
                    let expected = format!("a whole number from 1 to {MOST_ATOMS}");
                    arguments.atoms = options.number(&expected, is_legal)?;
                }
                "epochs" => arguments.epochs = options.whole(0)?,
                "steps" => arguments.steps = options.whole(1)?,
                "out" => arguments.out = options.path()?,
                "threads" => arguments.threads = options.threads()?,
                "quiet" => arguments.quiet = true,
                "help" => return Ok(None),
                _ => return Err(options.unknown().into()),
            }
        }
        if image.is_none() && sigma.is_none() && arguments.noisy.is_none() {
            arguments.noisy = Some(data("camera256_noisy25.npy"));
        }
        arguments.image = image.unwrap_or(arguments.image);
        arguments.sigma = sigma.unwrap_or(arguments.sigma);
        let inputs = [Some(&arguments.image), arguments.noisy.as_ref()];
        let inputs = ["--image", "--noisy"].into_iter().zip(inputs);
        let inputs: Vec<(&str, &Path)> =
            inputs.filter_map(|(option, path)| Some((option, path?.as_path()))).collect();
        keep_apart(&inputs, &PICTURES.map(|name| ("--out", arguments.out.join(name))))?;
        Ok(Some(arguments))
    }
}

/// A file that ships with the crate.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}
