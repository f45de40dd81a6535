//! Samples in a NumPy `.npy` file.

use std::ops::Range;
use std::path::Path;

use npyz::{DType, NpyHeader, Order};

use super::element::Element;
use super::rows::{RowFile, file_len, impl_file_source, open_file, read_at};
use crate::error::FileError;

/// The longest header read. NumPy itself refuses more than 10,000 bytes unless told otherwise.
const LONGEST_HEADER: usize = 64 * 1024;

/// The deepest brackets read: a plain array has one pair in another.
const MOST_BRACKETS: usize = 64;

/// The samples of a `.npy` file: an (N, d) array in C order of little-endian f16, f32 or f64.
///
/// Opening reads the header alone; [`read`](super::SampleSource::read) reads the range asked for by
/// positional reads, from any thread, converting as it goes and allocating nothing. f16 and f32
/// convert exactly; f64 read as f32 is rounded. [`run_length`](super::SampleSource::run_length) is
/// 16. N = 0 is a source without samples; bytes after the array are ignored, as NumPy does.
#[derive(Debug)]
pub struct NpySource {
    rows: RowFile,
}

impl NpySource {
    /// Opens the file and checks its header against its length.
    ///
    /// # Errors
    /// - [`FileError::Io`] if it cannot be opened or read,
    /// - [`FileError::Format`] if it is not a `.npy` file, is in Fortran order, or has sizes that
    ///   overflow,
    /// - [`FileError::ElementType`] for other elements than `<f2`, `<f4` and `<f8`,
    /// - [`FileError::Shape`] unless the array is of rank 2 with d ≥ 1,
    /// - [`FileError::Truncated`] if the file is shorter than its header says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let file = open_file(path)?;
        let not_npy =
            |reason: String| FileError::Format { path: path.to_owned(), format: "npy", reason };
        let found = file_len(path, &file)?;
        let mut preamble = [0; 12];
        let known = preamble.len().min(usize::try_from(found).unwrap_or(usize::MAX));
        read_at(path, &file, &mut preamble[..known], 0)?;
        let text = header_text(&preamble[..known]).map_err(not_npy)?;
        let offset = text.end as u64;
        if text.len() > LONGEST_HEADER {
            return Err(not_npy(format!("a header of {} bytes", text.len())));
        }
        if offset > found {
            return Err(FileError::Truncated { path: path.to_owned(), promised: offset, found });
        }
        let mut bytes = vec![0; text.end];
        read_at(path, &file, &mut bytes, 0)?;
        check_text(&bytes[text]).map_err(not_npy)?;
        let header = NpyHeader::from_reader(bytes.as_slice());
        let header = header.map_err(|error| not_npy(error.to_string()))?;

        let element = element(path, &header.dtype())?;
        let &[samples, dim] = header.shape() else {
            let found = header.shape().iter().map(|&n| n as usize).collect();
            let expected = "(N, d)".to_owned();
            return Err(FileError::Shape { path: path.to_owned(), found, expected });
        };
        if header.order() != Order::C {
            let advice = "save it as `numpy.ascontiguousarray(a)`";
            return Err(not_npy(format!("the array is in Fortran order; {advice}")));
        }
        Ok(Self { rows: RowFile::new(path, file, element, offset, (samples, dim))? })
    }

    pub(super) fn rows(&self) -> &RowFile {
        &self.rows
    }

    pub(super) fn rows_mut(&mut self) -> &mut RowFile {
        &mut self.rows
    }

    pub(crate) fn into_rows(self) -> RowFile {
        self.rows
    }
}

impl_file_source!(NpySource);

/// Where the header's text lies: after the magic string, the version and its own length. The
/// array follows it.
fn header_text(preamble: &[u8]) -> Result<Range<usize>, String> {
    let Some(rest) = preamble.strip_prefix(b"\x93NUMPY") else {
        return Err("it does not start with the magic string".to_owned());
    };
    let (start, length) = match *rest {
        [1, 0, a, b, ..] => (10, u32::from(u16::from_le_bytes([a, b]))),
        [2 | 3, 0, a, b, c, d] => (12, u32::from_le_bytes([a, b, c, d])),
        [major, minor, _, _, ..] => return Err(format!("unknown version {major}.{minor}")),
        _ => return Err("it ends within the first 12 bytes".to_owned()),
    };
    match usize::try_from(length).ok().and_then(|length| length.checked_add(start)) {
        Some(end) => Ok(start..end),
        None => Err(format!("a header of {length} bytes")),
    }
}

/// Refuses headers that `npyz` 0.9 cannot be trusted with.
///
/// Its parser evaluates any Python literal, recursing into brackets, and multiplies the shape
/// without a check, which panics where overflow is checked. A product over all digits in the text
/// bounds that over the shape as long as numbers are plain decimals, as NumPy writes them.
fn check_text(text: &[u8]) -> Result<(), String> {
    if !text.is_ascii() {
        return Err("the header is not ASCII".to_owned());
    }
    if text.iter().filter(|byte| b"([{".contains(byte)).count() > MOST_BRACKETS {
        return Err(format!("the header has more than {MOST_BRACKETS} brackets"));
    }
    let odd = |pair: &[u8]| {
        pair[0].is_ascii_digit() && (pair[1].is_ascii_alphabetic() || b"_.".contains(&pair[1]))
    };
    if text.windows(2).any(odd) || text.iter().any(|byte| b"+-\\".contains(byte)) {
        return Err("the header has numbers or strings that NumPy does not write".to_owned());
    }
    text.split(|byte| !byte.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .try_fold(1_u64, |product, digits| {
            let number = digits.iter().try_fold(0_u64, |number, digit| {
                number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
            })?;
            product.checked_mul(number.max(1))
        })
        .map(|_| ())
        .ok_or_else(|| "the sizes in the header overflow".to_owned())
}

/// The element type that a header states.
fn element(path: &Path, dtype: &DType) -> Result<Element, FileError> {
    let found = match dtype {
        DType::Plain(plain) => plain.to_string(),
        other => other.descr(),
    };
    match found.as_str() {
        "<f2" => Ok(Element::F16),
        "<f4" => Ok(Element::F32),
        "<f8" => Ok(Element::F64),
        _ => {
            let expected = "<f2, <f4 or <f8";
            Err(FileError::ElementType { path: path.to_owned(), found, expected })
        }
    }
}
