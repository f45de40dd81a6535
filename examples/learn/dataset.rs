//! The rows to learn on and those held out.

use std::ops::Range;
use std::path::{Path, PathBuf};

use dbksvd::error::{FileError, SourceError};
use dbksvd::source::{FileSource, HeldOut, SampleSource, Shards, Subset, open_shards, split};
use dbksvd::{Error, Scalar};

use crate::arguments::{Arguments, Precision};
use crate::failure::Failure;
use crate::texts::Texts;

/// Rows at the end of the shipped data that are held out. Its passages of 126 tokens stand in
/// random order, so the last ones are of the same books as the others; one passage is cut in two.
const HELD_OUT: usize = 1024;

/// Rows of files, one file after the other.
pub type Rows = Shards<FileSource>;

/// Samples in files.
pub struct Dataset {
    /// The rows of `--data`.
    pub source: Rows,
    /// Those of them that are learned from, and those that are held out: ascending, not empty.
    pub learned: Vec<Range<usize>>,
    pub held_out: Vec<Range<usize>>,
    /// The rows of `--eval`.
    pub eval: Option<Rows>,
    /// What the rows of `source` stand for, if that is known.
    pub texts: Option<Texts>,
}

impl Dataset {
    /// Opens the files that the arguments name, or those shipped.
    pub fn open(arguments: &Arguments) -> Result<Self, Failure> {
        let tensor = arguments.tensor.as_deref();
        let is_shipped = arguments.data.is_empty();
        let paths = if is_shipped {
            vec![shipped("minilm_l3_8192_f16.safetensors")]
        } else {
            arguments.data.clone()
        };
        let source = open_shards(&paths, tensor)?;
        if source.samples() == 0 {
            return Err(Failure::Run(format!("{}: no rows to learn from", names(&source))));
        }
        let eval = match arguments.eval.as_slice() {
            [] => None,
            paths => Some(open_eval(paths, tensor, &source)?),
        };
        let texts = if is_shipped {
            let (tokens, groups) = ("minilm_l3_8192_tokens.txt", "minilm_l3_8192_groups.txt");
            Some(
                Texts::read(&shipped(tokens), &shipped(groups), source.samples())
                    .map_err(Failure::Run)?,
            )
        } else {
            None
        };
        let held_out = match arguments.held_out {
            Some(share) => Some(HeldOut::Share(share)),
            None if is_shipped && eval.is_none() => {
                Some(HeldOut::Range(source.samples() - HELD_OUT..source.samples()))
            }
            None => None,
        };
        let (learned, held_out) = match &held_out {
            None => (std::iter::once(0..source.samples()).collect(), Vec::new()),
            Some(held_out) => {
                let (learned, held_out) = split::<f32, _>(&source, held_out, arguments.seed)?;
                (learned.ranges().to_vec(), held_out.ranges().to_vec())
            }
        };
        Ok(Self { source, learned, held_out, eval, texts })
    }

    /// The precision to read the rows in, unless the arguments say otherwise: that of the files.
    /// Doubles may differ in digits that singles do not have.
    pub fn precision(&self) -> Precision {
        match SampleSource::<f64>::element_type(&self.source) {
            "f64" => Precision::F64,
            _ => Precision::F32,
        }
    }

    /// How arrays of more than two axes are read as rows, if there are any: the first one, and how
    /// many more.
    pub fn reshaped(&self) -> Option<String> {
        let mut arrays = self.source.shards().iter().filter(|file| file.shape().len() > 2);
        let first = arrays.next()?;
        let (path, rows, dim) = (first.path().display(), first.len(), first.dim());
        let text = format!("{path}: shape {:?} is read as [{rows}, {dim}]", first.shape());
        Some(match arrays.count() {
            0 => text,
            more => format!("{text}, and {more} more likewise"),
        })
    }

    /// The rows learned from.
    pub fn learned(&self) -> Result<Subset<&Rows>, Failure> {
        Ok(Subset::new::<f32>(&self.source, self.learned.clone())?)
    }

    /// The rows to be measured on while others are learned from, which [`failure`](Self::failure)
    /// can tell from those.
    pub fn watched(&self) -> Result<Option<Watched<'_>>, Failure> {
        let first = if self.eval.is_some() { self.source.samples() } else { 0 };
        Ok(self.held_out()?.map(|rows| Watched { rows, first }))
    }

    /// An error met while learning from some rows and measuring on others.
    pub fn failure(&self, error: Error) -> Failure {
        failure_at(error, &names(&self.source), |row| match &self.eval {
            Some(eval) if row >= self.source.samples() => {
                file_of(eval, row - self.source.samples())
            }
            _ => file_of(&self.source, row),
        })
    }

    /// The rows measured on but not learned from.
    pub fn held_out(&self) -> Result<Option<Subset<&Rows>>, Failure> {
        if let Some(eval) = &self.eval {
            let all = 0..eval.samples();
            return Ok(Some(Subset::new::<f32>(eval, vec![all])?));
        }
        if self.held_out.is_empty() {
            return Ok(None);
        }
        Ok(Some(Subset::new::<f32>(&self.source, self.held_out.clone())?))
    }

    /// All rows of the data in their order, cut where learned ones and held-out ones meet, each
    /// part with whether it was held out.
    pub fn parts(&self) -> Vec<(Range<usize>, bool)> {
        let learned = self.learned.iter().map(|range| (range.clone(), false));
        let mut parts: Vec<_> =
            learned.chain(self.held_out.iter().map(|range| (range.clone(), true))).collect();
        parts.sort_by_key(|(range, _)| range.start);
        parts
    }
}

/// Rows that are not learned from. Errors number those of other files on from the last row of
/// `--data`: a run says of a bad row no more than its number.
pub struct Watched<'a> {
    rows: Subset<&'a Rows>,
    first: usize,
}

impl<T: Scalar> SampleSource<T> for Watched<'_> {
    fn dim(&self) -> usize {
        SampleSource::<T>::dim(&self.rows)
    }

    fn len(&self) -> usize {
        self.rows.samples()
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        self.rows.read(range, into)
    }

    fn run_length(&self) -> usize {
        SampleSource::<T>::run_length(&self.rows)
    }

    fn element_type(&self) -> &'static str {
        SampleSource::<T>::element_type(&self.rows)
    }

    fn origin(&self, sample: usize) -> usize {
        self.first + SampleSource::<T>::origin(&self.rows, sample)
    }

    fn read_unrounded(&self, sample: usize, into: &mut [f64]) -> Result<bool, SourceError> {
        SampleSource::<T>::read_unrounded(&self.rows, sample, into)
    }
}

/// The file of a row, and the row's number there.
fn file_of(rows: &Rows, row: usize) -> Option<(&Path, usize)> {
    let (shard, row) = rows.locate(row)?;
    Some((rows.shards()[shard].path(), row))
}

/// An error met while working on `rows`.
pub fn failure(error: Error, rows: &Rows) -> Failure {
    failure_at(error, &names(rows), |row| file_of(rows, row))
}

/// `locate` gives the file of a row and its number there.
fn failure_at<'a>(
    error: Error,
    files: &str,
    locate: impl Fn(usize) -> Option<(&'a Path, usize)>,
) -> Failure {
    let is_of_precision = matches!(
        error,
        Error::Rounding { .. } | Error::Source(SourceError::File(FileError::Narrowing { .. }))
    );
    match Failure::in_files(error, files, locate) {
        Failure::Run(message) if is_of_precision => {
            Failure::Run(format!("{message} (here: --precision f64)"))
        }
        failure => failure,
    }
}

/// What the files are called: the only one, or the first and how many more there are.
pub fn names(rows: &Rows) -> String {
    match rows.shards() {
        [] => String::new(),
        [only] => only.path().display().to_string(),
        [first, others @ ..] => {
            format!("{} and {} more", first.path().display(), others.len())
        }
    }
}

/// A file that comes with the crate, wherever the program is called from.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn open_eval(paths: &[PathBuf], tensor: Option<&str>, data: &Rows) -> Result<Rows, Failure> {
    // The array of a .npy file has no name.
    let is_npy =
        |path: &PathBuf| path.extension().is_some_and(|text| text.eq_ignore_ascii_case("npy"));
    let eval = open_shards(paths, tensor.filter(|_| !paths.iter().any(is_npy)))?;
    let name = names(&eval);
    if eval.samples() == 0 {
        return Err(Failure::Run(format!("{name}: no rows to measure on")));
    }
    let (found, expected) = (SampleSource::<f32>::dim(&eval), SampleSource::<f32>::dim(data));
    if found != expected {
        let data = names(data);
        return Err(Failure::Run(format!(
            "{name}: rows of dimension {found}, but those of {data} have {expected}"
        )));
    }
    Ok(eval)
}
