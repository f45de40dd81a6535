//! The rows to learn on and those held out.

use std::ops::Range;
use std::path::{Path, PathBuf};

use dbksvd::error::{FileError, SourceError};
use dbksvd::source::{
    FileSource, HeldOut, Mask, SampleSource, Shards, Subset, open_shards, read_mask, split,
};
use dbksvd::{Error, Scalar};

use crate::arguments::{Arguments, Precision};
use crate::device::HOME;
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
    /// Those of them that are used at all.
    pub mask: Mask,
    /// Of the rows that are used, counted without the others, those that are learned from and those
    /// that are held out: ascending, not empty.
    learned: Vec<Range<usize>>,
    held_out: Vec<Range<usize>>,
    /// The rows of `--eval`, and those of them that are used.
    pub eval: Option<(Rows, Mask)>,
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
        let mask = mask_of(&source, &arguments.mask)?;
        let eval = match arguments.eval.as_slice() {
            [] => None,
            paths => {
                let eval = open_eval(paths, tensor, &source)?;
                let mask = mask_of(&eval, &arguments.eval_mask)?;
                Some((eval, mask))
            }
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
        let used = mask.kept();
        let held_out = match arguments.held_out {
            Some(share) => Some(HeldOut::Share(share)),
            None if is_shipped && eval.is_none() => {
                let first = source.samples() - HELD_OUT;
                let before =
                    mask.ranges().iter().map(|range| range.start.min(first)..range.end.min(first));
                let learned = before.map(|range| range.len()).sum();
                if learned == 0 || learned == used {
                    let (learned, held) = (learned, used - learned);
                    return Err(Failure::Run(format!(
                        "--mask keeps {learned} of the {first} rows to learn from and {held} of the \
                         {HELD_OUT} to measure on, expected some of both"
                    )));
                }
                Some(HeldOut::Range(learned..used))
            }
            None => None,
        };
        let (learned, held_out) = match &held_out {
            None => (std::iter::once(0..used).collect(), Vec::new()),
            Some(held_out) => {
                let rows = Subset::masked::<f32>(&source, &mask)?;
                let (learned, held_out) = split::<f32, _>(&rows, held_out, arguments.seed)?;
                (learned.ranges().to_vec(), held_out.ranges().to_vec())
            }
        };
        Ok(Self { source, mask, learned, held_out, eval, texts })
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

    /// The number of rows learned from.
    pub fn rows_learned(&self) -> usize {
        self.learned.iter().map(Range::len).sum()
    }

    /// The rows learned from; the first `most` of them.
    pub fn learned(&self, most: usize) -> Result<Subset<&Rows>, Failure> {
        self.used(&self.learned, most)
    }

    /// The rows of `parts`, which number those that are used; the first `most` of them.
    fn used(&self, parts: &[Range<usize>], most: usize) -> Result<Subset<&Rows>, Failure> {
        let used = Subset::masked::<f32>(&self.source, &self.mask)?;
        let ranges = first(parts, most).flat_map(|part| used.ranges_in_source(part)).collect();
        Ok(Subset::new::<f32>(&self.source, ranges)?)
    }

    /// The rows to be measured on while others are learned from, which [`failure`](Self::failure)
    /// can tell from those.
    pub fn watched(&self) -> Result<Option<Watched<'_>>, Failure> {
        let first = if self.eval.is_some() { self.source.samples() } else { 0 };
        Ok(self.held_out(usize::MAX)?.map(|rows| Watched { rows, first }))
    }

    /// An error met while learning from some rows and measuring on others.
    pub fn failure(&self, error: Error) -> Failure {
        failure_at(error, &names(&self.source), |row| match &self.eval {
            Some((eval, _)) if row >= self.source.samples() => {
                file_of(eval, row - self.source.samples())
            }
            _ => file_of(&self.source, row),
        })
    }

    /// The rows measured on but not learned from, of `--eval` or held out; the first `most` of
    /// them.
    pub fn held_out(&self, most: usize) -> Result<Option<Subset<&Rows>>, Failure> {
        if let Some((eval, mask)) = &self.eval {
            let used = Subset::masked::<f32>(eval, mask)?;
            let ranges = used.ranges_in_source(0..used.samples().min(most)).collect();
            return Ok(Some(Subset::new::<f32>(eval, ranges)?));
        }
        if self.held_out.is_empty() {
            return Ok(None);
        }
        Ok(Some(self.used(&self.held_out, most)?))
    }

    /// The rows that codes are written for, and those of them that are used: of `--eval`, or else
    /// of the data.
    pub fn coded(&self) -> (&Rows, &Mask) {
        self.eval.as_ref().map_or((&self.source, &self.mask), |(eval, mask)| (eval, mask))
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

    fn selection(&self) -> String {
        SampleSource::<T>::selection(&self.rows)
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
    Path::new(HOME).join("data").join(name)
}

/// Which rows of `source` the masks in these files keep; without masks, all.
fn mask_of(source: &Rows, paths: &[PathBuf]) -> Result<Mask, Failure> {
    if paths.is_empty() {
        return Ok(Mask::all(source.samples()));
    }
    Ok(read_mask(paths, source.shards())?)
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

/// The first `most` of the rows of `parts`.
fn first(parts: &[Range<usize>], most: usize) -> impl Iterator<Item = Range<usize>> {
    let mut left = most;
    let cut = parts.iter().map(move |part| {
        let rows = part.len().min(left);
        left -= rows;
        part.start..part.start + rows
    });
    cut.filter(|part| !part.is_empty())
}
