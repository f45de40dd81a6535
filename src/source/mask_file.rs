//! Masks in NumPy `.npy` files.

use std::path::{Path, PathBuf};

use super::FileSource;
use super::files::files;
use super::mask::Mask;
use super::npy::Array;
use super::npy_header::{Header, WholeNumber, whole_number};
use super::rows::read_at;
use crate::error::FileError;

/// Bytes that are read at a time.
const BUFFER: usize = 32 * 1024;

impl Mask {
    /// Reads a mask from a `.npy` file: an array in C order of booleans or of whole numbers (`b1`,
    /// `u1` to `u8`, `i1` to `i8`), of any shape. A row is kept where its value is true or 1, and
    /// left out where it is false or 0.
    ///
    /// # Errors
    /// - [`FileError::Mask`] for a value that is neither 0 nor 1, and for a mask that has values
    ///   but keeps no row,
    /// - [`FileError::ElementType`] for elements of another type,
    /// - otherwise those of [`NpySource::open`](super::NpySource::open), of which those about the
    ///   shape do not occur.
    pub fn read_npy(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let MaskFile { mask, .. } = MaskFile::read(path)?;
        if mask.kept() == 0 && mask.rows() > 0 {
            return Err(nothing_kept(path, 1, mask.rows()));
        }
        Ok(mask)
    }
}

/// Reads the mask of the rows of `data`, which are the files of one source, in their order
/// ([`Shards::shards`](super::Shards::shards)).
///
/// Each of `paths` is a `.npy` file as [`Mask::read_npy`] reads it, a directory or a pattern, and
/// stands for the files that [`open_shards`](super::open_shards) would take, in the same order. All
/// of their values, one file after the other, are one for each row of all of `data`. So either one
/// mask is for all files, or several are for several.
///
/// If the shapes say where a row belongs, they must agree. If there are as many masks as files of
/// samples, and more than one, each has as many values as its file has rows: files in two different
/// orders are found out. If an array of samples has more than two axes, such as (B, S, d), a mask
/// has one axis, or the axes of the samples without the last: (B, S), and of several such arrays
/// under one mask (ΣB, S).
///
/// # Errors
/// [`FileError::Mask`] if the number of values is not that of the rows, if shapes disagree, or if
/// no row is kept; [`FileError::NoFiles`] for a path or pattern without files; and the errors of
/// [`Mask::read_npy`], but for masks that keep no row beside others that do.
pub fn read_mask<P: AsRef<Path>>(
    paths: impl IntoIterator<Item = P>,
    data: &[FileSource],
) -> Result<Mask, FileError> {
    let mut masks = Vec::new();
    for path in paths {
        for path in files(path.as_ref())? {
            let mask = MaskFile::read(&path)?;
            masks.push(mask);
        }
    }
    let one_each = masks.len() == data.len();
    for (nth, mask) in masks.iter().enumerate() {
        let of = if one_each { &data[nth..=nth] } else { data };
        of.iter().try_for_each(|file| mask.check_axes(file))?;
        if one_each {
            check_rows(&masks[nth..=nth], of)?;
        }
    }
    check_rows(&masks, data)?;
    let (count, first) = (masks.len(), masks.first().map(|mask| mask.path.clone()));
    let mut whole = Mask::default();
    masks.into_iter().for_each(|mask| whole.append(mask.mask));
    match first {
        Some(path) if whole.kept() == 0 => Err(nothing_kept(&path, count, whole.rows())),
        _ => Ok(whole),
    }
}

/// A file that was read.
struct MaskFile {
    path: PathBuf,
    /// The shape of the array, without the axes of size 1 at its end.
    shape: Vec<u64>,
    mask: Mask,
}

impl MaskFile {
    fn read(path: &Path) -> Result<Self, FileError> {
        let Array { file, header, offset, len: found } = Array::open(path)?;
        let Header { descr, mut shape, .. } = header;
        let Some(number) = whole_number(&descr) else {
            let expected = "booleans (b1), or whole numbers 0 and 1, u1 to u8 or i1 to i8 (convert \
                            them: `a.astype(bool)`)";
            return Err(FileError::ElementType { path: path.to_owned(), found: descr, expected });
        };
        // A size of 0 makes the array empty. It is counted as 1, so that it does not hide an
        // overflow of the others.
        let values = shape.iter().try_fold(1_u64, |n, &size| n.checked_mul(size.max(1)));
        let values = values.map(|values| if shape.contains(&0) { 0 } else { values });
        let promised = values
            .and_then(|values| values.checked_mul(number.size as u64))
            .and_then(|bytes| bytes.checked_add(offset));
        let Some(promised) = promised else {
            let reason = format!("the sizes overflow: {shape:?} values cannot be addressed");
            return Err(FileError::Format { path: path.to_owned(), format: "npy", reason });
        };
        if promised > found {
            return Err(FileError::Truncated { path: path.to_owned(), promised, found });
        }
        if promised < found {
            return Err(FileError::Trailing { path: path.to_owned(), promised, found });
        }
        let mut mask = Mask::default();
        let mut buffer = [0; BUFFER];
        let mut at = offset;
        while at < promised {
            let length = usize::try_from(promised - at).map_or(BUFFER, |rest| rest.min(BUFFER));
            read_at(path, &file, &mut buffer[..length], at)?;
            add(path, &mut mask, number, &buffer[..length])?;
            at += length as u64;
        }
        while shape.len() > 1 && shape.last() == Some(&1) {
            shape.pop();
        }
        Ok(Self { path: path.to_owned(), shape, mask })
    }

    /// Refuses a mask of more than one axis whose rows lie in another order than those of `data`.
    fn check_axes(&self, data: &FileSource) -> Result<(), FileError> {
        let axes = data.shape();
        if self.shape.len() < 2 || axes.len() < 3 {
            return Ok(());
        }
        let mut inner = &axes[1..axes.len() - 1];
        // Axes of one value at the end were left out of the shape of the mask, too.
        while let [rest @ .., 1] = inner {
            inner = rest;
        }
        let is_same = |(&a, &b): (&u64, &usize)| a == b as u64;
        if self.shape.len() == inner.len() + 1 && self.shape[1..].iter().zip(inner).all(is_same) {
            return Ok(());
        }
        let leading = &axes[..axes.len() - 1];
        let (rows, name) = (data.len(), data.path().display());
        Err(FileError::Mask {
            path: self.path.clone(),
            found: format!("shape {:?}", self.shape),
            expected: format!("{leading:?} or [{rows}] for samples of shape {axes:?} in {name}"),
        })
    }
}

/// Adds the values of these bytes, which end with a value.
fn add(path: &Path, mask: &mut Mask, number: WholeNumber, bytes: &[u8]) -> Result<(), FileError> {
    for bytes in bytes.chunks_exact(number.size) {
        let value = number.value(bytes);
        if !(0..=1).contains(&value) {
            return Err(FileError::Mask {
                path: path.to_owned(),
                found: format!("value {} is {value}", mask.rows()),
                expected: "0 (leaves the row out) or 1 (keeps it)".to_owned(),
            });
        }
        mask.push(value == 1);
    }
    Ok(())
}

/// Refuses masks that have not one value for each row of the files.
fn check_rows(masks: &[MaskFile], data: &[FileSource]) -> Result<(), FileError> {
    let values: usize = masks.iter().map(|mask| mask.mask.rows()).sum();
    let rows: usize = data.iter().map(FileSource::len).sum();
    if values == rows {
        return Ok(());
    }
    let path = masks.first().map(|mask| mask.path.clone()).unwrap_or_default();
    let first = data.first().map(|file| file.path().display().to_string()).unwrap_or_default();
    Err(FileError::Mask {
        path,
        found: format!("{values} values{}", others(masks.len(), " in this file")),
        expected: format!("{rows}, one for each row of {first}{}", others(data.len(), "")),
    })
}

/// How many files there are beside the first, if any, after `words`.
fn others(files: usize, words: &str) -> String {
    if files < 2 { String::new() } else { format!("{words} and {} more", files - 1) }
}

fn nothing_kept(path: &Path, files: usize, rows: usize) -> FileError {
    FileError::Mask {
        path: path.to_owned(),
        found: format!("all {rows} values are 0{}", others(files, " in this file")),
        expected: "1 for each row that is to be used".to_owned(),
    }
}
