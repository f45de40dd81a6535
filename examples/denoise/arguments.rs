//! The command line.

use std::error::Error;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use lexopt::{Arg, Parser, ValueExt};

pub(crate) const HELP: &str = "\
Denoises a picture by a K-SVD dictionary that is learned from its own noisy patches.

Usage: cargo run --release --example denoise -- [OPTIONS]

  --image FILE    the clean picture, a PNG; colours become grey [data/camera256.png]
  --sigma S       standard deviation of the noise, of 255 [25]
  --noisy FILE    the noisy picture, a .npy array (height, width); without it, noise is added
                  to --image. For the defaults of --image and --sigma this is
                  data/camera256_noisy25.npy, so that figures can be compared.
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
    pub(crate) fn parse() -> Result<Option<Self>, Box<dyn Error + Send + Sync>> {
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
        let mut parser = Parser::from_env();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("image") => image = Some(PathBuf::from(parser.value()?)),
                Arg::Long("sigma") => sigma = Some(value(&mut parser, "sigma")?),
                Arg::Long("noisy") => arguments.noisy = Some(parser.value()?.into()),
                Arg::Long("seed") => arguments.seed = value(&mut parser, "seed")?,
                Arg::Long("atoms") => arguments.atoms = value(&mut parser, "atoms")?,
                Arg::Long("epochs") => arguments.epochs = value(&mut parser, "epochs")?,
                Arg::Long("steps") => arguments.steps = value(&mut parser, "steps")?,
                Arg::Long("out") => arguments.out = parser.value()?.into(),
                Arg::Long("threads") => arguments.threads = value(&mut parser, "threads")?,
                Arg::Long("quiet") => arguments.quiet = true,
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                _ => return Err(format!("{}; see --help", argument.unexpected()).into()),
            }
        }
        if image.is_none() && sigma.is_none() && arguments.noisy.is_none() {
            arguments.noisy = Some(data("camera256_noisy25.npy"));
        }
        arguments.image = image.unwrap_or(arguments.image);
        arguments.sigma = sigma.unwrap_or(arguments.sigma);
        if !(arguments.sigma.is_finite() && arguments.sigma > 0.0) {
            return Err(format!("--sigma {}: a positive, finite number", arguments.sigma).into());
        }
        for (option, number) in [("atoms", arguments.atoms), ("steps", arguments.steps)] {
            if number == 0 {
                return Err(format!("--{option} 0: at least 1").into());
            }
        }
        Ok(Some(arguments))
    }
}

/// A file that ships with the crate.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

/// The value of an option, or an error that names the option.
fn value<T: FromStr<Err: Display>>(
    parser: &mut Parser,
    option: &str,
) -> Result<T, Box<dyn Error + Send + Sync>> {
    let text = parser.value()?.string()?;
    text.parse().map_err(|error| format!("--{option} {text}: {error}").into())
}
