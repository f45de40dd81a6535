//! The rows to learn on and those held out.

use std::ops::Range;
use std::path::{Path, PathBuf};

use dbksvd::error::SourceError;
use dbksvd::source::{self, FileSource, SampleSource, check_read};

use crate::arguments::Arguments;
use crate::failure::Failure;
use crate::texts::Texts;

/// Rows at the end of the shipped data that are held out. Its passages of 126 tokens stand in
/// random order, so the last ones are of the same books as the others; one passage is cut in two.
const HELD_OUT: usize = 1024;

/// Samples in files.
pub struct Dataset {
    /// The rows of `--data`.
    pub source: FileSource,
    /// Those of them that are learned from; the others, if any, come after and are held out.
    pub learned: Range<usize>,
    /// The rows of `--eval`.
    pub eval: Option<FileSource>,
    /// What the rows of `source` stand for, if that is known.
    pub texts: Option<Texts>,
}

impl Dataset {
    /// Opens the files that the arguments name, or those shipped.
    pub fn open(arguments: &Arguments) -> Result<Self, Failure> {
        let tensor = arguments.tensor.as_deref();
        let path = match &arguments.data {
            Some(path) => path.clone(),
            None => shipped("minilm_l3_8192_f16.safetensors"),
        };
        let source = source::open(&path, tensor)?;
        if source.is_empty() {
            return Err(Failure::Run(format!("{}: no rows to learn from", path.display())));
        }
        let eval = match &arguments.eval {
            None => None,
            Some(path) => Some(open_eval(path, tensor, &source)?),
        };
        let texts = match arguments.data {
            Some(_) => None,
            None => Some(Texts::read(
                &shipped("minilm_l3_8192_tokens.txt"),
                &shipped("minilm_l3_8192_groups.txt"),
                source.len(),
            )?),
        };
        let holds_out = arguments.data.is_none() && eval.is_none();
        let learned = 0..source.len() - if holds_out { HELD_OUT } else { 0 };
        Ok(Self { source, learned, eval, texts })
    }

    /// The rows learned from.
    pub fn learned(&self) -> Part<'_> {
        Part { source: &self.source, rows: self.learned.clone() }
    }

    /// The rows measured on but not learned from.
    pub fn held_out(&self) -> Option<Part<'_>> {
        if let Some(eval) = &self.eval {
            return Some(Part { source: eval, rows: 0..eval.len() });
        }
        let rows = self.learned.end..self.source.len();
        (!rows.is_empty()).then_some(Part { source: &self.source, rows })
    }
}

/// Consecutive rows of a file.
pub struct Part<'a> {
    source: &'a FileSource,
    rows: Range<usize>,
}

impl Part<'_> {
    /// The file.
    pub fn path(&self) -> &Path {
        self.source.path()
    }

    /// Where in the file the part begins.
    pub fn first(&self) -> usize {
        self.rows.start
    }
}

impl SampleSource<f32> for Part<'_> {
    fn dim(&self) -> usize {
        self.source.dim()
    }

    fn len(&self) -> usize {
        self.rows.len()
    }

    fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
        check_read(&range, into.len(), self.rows.len(), self.source.dim())?;
        self.source.read(self.rows.start + range.start..self.rows.start + range.end, into)
    }

    fn run_length(&self) -> usize {
        SampleSource::<f32>::run_length(self.source)
    }
}

/// A file that comes with the crate, wherever the program is called from.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn open_eval(path: &Path, tensor: Option<&str>, data: &FileSource) -> Result<FileSource, Failure> {
    // The array of a .npy file has no name.
    let named = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"));
    let eval = source::open(path, tensor.filter(|_| !named))?;
    let name = path.display();
    if eval.is_empty() {
        return Err(Failure::Run(format!("{name}: no rows to measure on")));
    }
    if eval.dim() != data.dim() {
        let (found, expected, data) = (eval.dim(), data.dim(), data.path().display());
        return Err(Failure::Run(format!(
            "{name}: rows of dimension {found}, but those of {data} have {expected}"
        )));
    }
    Ok(eval)
}
