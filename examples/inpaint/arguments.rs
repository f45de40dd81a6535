//! The command line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::options::Options;
use crate::outputs::keep_apart;
use crate::program::Outcome;

pub(crate) const HELP: &str = "\
Fills in missing pixels by a dictionary that is learned from those that are there.

Usage: cargo run --release --example inpaint -- [OPTIONS]

  --image FILE    the whole picture, a PNG, grey or in colours [data/camera256.png]
  --missing P,P   shares of the pixels to leave out, at random, in percent [60,80]
  --text          cover the picture with text, too, and take it away
  --seed S        which pixels are left out, and learning [0]
  --side S        the side of a patch in pixels [8]
  --atoms M       atoms of the dictionary [256]
  --passes E      passes of learning from the known pixels of patches [3]
  --rounds R      rounds of refinement [40]
  --limits A,B    least coefficients of the first and the last round; A is at least B [150,10]
  --epochs E      how many of these rounds learn; all, if there are fewer [40]
  --out DIR       where pictures and masks are written [out]
  --threads T     threads; the result does not depend on it [all cores]
  --quiet         no progress, only the table
  --help          this text

Writes NAME.png, of the picture with holes, filled in by cosines, and by the learned dictionary,
side by side; NAME-mask.png (255 known, 0 missing); and NAME-filled.png. NAME is missing-60,
missing-80, and so on, or text.
";

pub(crate) struct Arguments {
    pub(crate) image: PathBuf,
    pub(crate) missing: Vec<u32>,
    pub(crate) text: bool,
    pub(crate) seed: u64,
    pub(crate) side: usize,
    pub(crate) atoms: usize,
    pub(crate) passes: usize,
    pub(crate) rounds: usize,
    pub(crate) limits: [f64; 2],
    pub(crate) epochs: usize,
    pub(crate) out: PathBuf,
    pub(crate) threads: usize,
    pub(crate) quiet: bool,
}

impl Arguments {
    /// The command line; `None` if it asks for help.
    pub(crate) fn parse() -> Outcome<Option<Self>> {
        let mut arguments = Self {
            image: Path::new(env!("CARGO_MANIFEST_DIR")).join("data/camera256.png"),
            missing: vec![60, 80],
            text: false,
            seed: 0,
            side: 8,
            atoms: 256,
            passes: 3,
            rounds: 40,
            limits: [150.0, 10.0],
            epochs: 40,
            out: PathBuf::from("out"),
            threads: 0,
            quiet: false,
        };
        let mut options = Options::from_env();
        while let Some(name) = options.next()? {
            match name.as_str() {
                "image" => arguments.image = options.path()?,
                "missing" => {
                    let expected = "percentages from 1 to 99 with commas between them";
                    arguments.missing = options.list(expected, |p| (1..=99).contains(p))?;
                    // Each share has files of its own.
                    let mut seen = BTreeSet::new();
                    if let Some(twice) = arguments.missing.iter().find(|&&p| !seen.insert(p)) {
                        let found = format!("{twice} twice");
                        return Err(options.wrong(found, "percentages that differ").into());
                    }
                }
                "text" => arguments.text = true,
                "seed" => arguments.seed = options.whole(0)?,
                "side" => arguments.side = options.whole(2)?,
                "atoms" => arguments.atoms = options.whole(1)?,
                "passes" => arguments.passes = options.whole(0)?,
                "rounds" => arguments.rounds = options.whole(0)?,
                "limits" => {
                    let expected = "two positive numbers with a comma between them, not rising";
                    let is_legal = |limit: &f64| limit.is_finite() && *limit > 0.0;
                    let limits = options.list(expected, is_legal)?;
                    arguments.limits = limits
                        .as_slice()
                        .try_into()
                        .map_err(|_| options.wrong(limits.len(), expected))?;
                    let [first, last] = arguments.limits;
                    if first < last {
                        return Err(options.wrong(format!("{first},{last}"), expected).into());
                    }
                }
                "epochs" => arguments.epochs = options.whole(0)?,
                "out" => arguments.out = options.path()?,
                "threads" => arguments.threads = options.threads()?,
                "quiet" => arguments.quiet = true,
                "help" => return Ok(None),
                _ => return Err(options.unknown().into()),
            }
        }
        let outputs: Vec<(&str, PathBuf)> =
            arguments.outputs().into_iter().map(|path| ("--out", path)).collect();
        keep_apart(&[("--image", arguments.image.as_path())], &outputs)?;
        Ok(Some(arguments))
    }

    /// The names of what is filled in.
    pub(crate) fn names(&self) -> Vec<String> {
        let missing = self.missing.iter().map(|percent| format!("missing-{percent}"));
        missing.chain(self.text.then(|| "text".to_owned())).collect()
    }

    fn outputs(&self) -> Vec<PathBuf> {
        let of = |name: String| {
            ["", "-mask", "-filled"].map(|part| self.out.join(format!("{name}{part}.png")))
        };
        self.names().into_iter().flat_map(of).collect()
    }
}
