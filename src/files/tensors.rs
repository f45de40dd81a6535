//! Writing safetensors files, and reading whole arrays of them.

use std::io::{self, Write};
use std::path::Path;

use faer::MatRef;
use safetensors::Dtype;
use serde_json::{Map, Value, json};

use crate::Scalar;
use crate::error::FileError;
use crate::files::atomic::write_atomically;
use crate::fingerprint::Fingerprint;
use crate::source::element::{Element, write_values};
use crate::source::safetensors_header::Header;

/// The numbers of a tensor, borrowed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Numbers<'a, T: Scalar> {
    /// A vector of F64.
    F64(&'a [f64]),
    /// A vector of U64.
    U64(&'a [u64]),
    /// A vector of F32 or F64, as `T`.
    Scalars(&'a [T]),
    /// A matrix (r × c) as a tensor of shape (c, r), of F32 or F64 as `T`: column j of the matrix
    /// is row j of the tensor.
    Columns(MatRef<'a, T>),
    /// A matrix (r × c) as a tensor of shape (r, c), of F32 or F64 as `T`.
    Rows(MatRef<'a, T>),
}

impl<T: Scalar> Numbers<'_, T> {
    fn dtype(&self) -> &'static str {
        match self {
            Self::F64(_) => "F64",
            Self::U64(_) => "U64",
            Self::Scalars(_) | Self::Columns(_) | Self::Rows(_) => scalar_dtype::<T>(),
        }
    }

    fn shape(&self) -> Vec<usize> {
        match self {
            Self::F64(numbers) => vec![numbers.len()],
            Self::U64(numbers) => vec![numbers.len()],
            Self::Scalars(numbers) => vec![numbers.len()],
            Self::Columns(matrix) => vec![matrix.ncols(), matrix.nrows()],
            Self::Rows(matrix) => vec![matrix.nrows(), matrix.ncols()],
        }
    }

    fn bytes(&self) -> usize {
        let size = match self {
            Self::F64(_) | Self::U64(_) => 8,
            Self::Scalars(_) | Self::Columns(_) | Self::Rows(_) => size_of::<T>(),
        };
        size * self.shape().iter().product::<usize>()
    }

    fn write(&self, file: &mut impl Write) -> io::Result<()> {
        match self {
            Self::F64(numbers) => write_values(file, numbers),
            Self::U64(numbers) => {
                numbers.iter().try_for_each(|number| file.write_all(&number.to_le_bytes()))
            }
            Self::Scalars(numbers) => write_values(file, numbers),
            Self::Columns(matrix) => write_columns(file, *matrix),
            Self::Rows(matrix) => write_columns(file, matrix.transpose()),
        }
    }
}

/// The columns of a matrix of any strides, one after the other.
fn write_columns<T: Scalar>(file: &mut impl Write, matrix: MatRef<'_, T>) -> io::Result<()> {
    let mut scratch: Vec<T> = Vec::new();
    for column in matrix.col_iter() {
        match column.try_as_col_major() {
            Some(column) => write_values(file, column.as_slice())?,
            None => {
                scratch.clear();
                scratch.extend(column.iter());
                write_values(file, &scratch)?;
            }
        }
    }
    Ok(())
}

/// `F32` or `F64`.
pub(crate) fn scalar_dtype<T: Scalar>() -> &'static str {
    if Element::of::<T>() == Element::F64 { "F64" } else { "F32" }
}

/// What a safetensors file is to hold: texts under `__metadata__`, and tensors in the order of
/// their data. [`TensorReader`](crate::files::TensorReader) reads one, and has an example.
///
/// ```
/// use dbksvd::files::{Numbers, TensorFile};
///
/// # let folder = std::env::temp_dir().join("dbksvd-doc-tensors");
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("bias.safetensors");
/// let mut file = TensorFile::<f32>::new();
/// file.text("made_by", "me");
/// file.tensor("bias", Numbers::Scalars(&[1.0, 2.0]));
/// file.write(&path)?;
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct TensorFile<'a, T: Scalar> {
    texts: Map<String, Value>,
    tensors: Vec<(String, Numbers<'a, T>)>,
}

/// The key of a header under which the texts stand.
const METADATA: &str = "__metadata__";

/// The text that holds the hash of a sealed file's content.
const SEAL: &str = "seal";

impl<T: Scalar> Default for TensorFile<'_, T> {
    fn default() -> Self {
        Self { texts: Map::new(), tensors: Vec::new() }
    }
}

impl<'a, T: Scalar> TensorFile<'a, T> {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says something of the file, in place of what was said under this key.
    pub fn text(&mut self, key: &str, text: impl Into<String>) {
        self.texts.insert(key.to_owned(), Value::String(text.into()));
    }

    /// Adds a tensor.
    ///
    /// # Panics
    /// If there is one of this name already, or it is `__metadata__`, which stands for the texts.
    #[track_caller]
    pub fn tensor(&mut self, name: impl Into<String>, numbers: Numbers<'a, T>) {
        let name = name.into();
        let is_new = name != METADATA && self.tensors.iter().all(|(known, _)| *known != name);
        assert!(is_new, "tensor `{name}` is there already");
        self.tensors.push((name, numbers));
    }

    /// Adds a text by which [`has_seal`] tells whether the content is what was written. Everything
    /// else must have been added.
    pub(crate) fn seal(&mut self) -> io::Result<()> {
        let texts = self.texts.iter().map(|(key, text)| (&**key, text.as_str().unwrap_or("")));
        let mut hash = hash_texts(texts.collect());
        let mut tensors: Vec<_> = self.tensors.iter().collect();
        tensors.sort_unstable_by_key(|(name, _)| name);
        for (name, numbers) in tensors {
            hash_name(&mut hash, name, &numbers.shape());
            numbers.write(&mut hash)?;
        }
        self.text(SEAL, hash.to_string());
        Ok(())
    }

    /// Writes the file, whole or not at all. The same content gives the same bytes.
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        write_atomically(path, |file| {
            let header = self.header()?;
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(&header)?;
            self.tensors.iter().try_for_each(|(_, numbers)| numbers.write(file))
        })
    }

    /// The JSON that describes the file, padded so that the data start at a multiple of 8.
    fn header(&self) -> io::Result<Vec<u8>> {
        let mut header = Map::new();
        if !self.texts.is_empty() {
            header.insert(METADATA.to_owned(), Value::Object(self.texts.clone()));
        }
        let mut end = 0;
        for (name, numbers) in &self.tensors {
            let start = end;
            end += numbers.bytes();
            let info = json!({
                "dtype": numbers.dtype(),
                "shape": numbers.shape(),
                "data_offsets": [start, end],
            });
            header.insert(name.clone(), info);
        }
        let mut bytes = serde_json::to_vec(&header)?;
        bytes.resize(bytes.len().next_multiple_of(8), b' ');
        Ok(bytes)
    }
}

/// Whether the content of a sealed file is what was written. Reads the whole file.
pub(crate) fn has_seal(header: &Header) -> Result<bool, FileError> {
    let mut texts: Vec<_> = header.texts().collect();
    let seal = texts.iter().position(|(key, _)| *key == SEAL).map(|at| texts.remove(at).1);
    let mut hash = hash_texts(texts);
    let mut names = header.names();
    names.sort_unstable();
    for name in names {
        let info = header.info(&name)?;
        hash_name(&mut hash, &name, &info.shape);
        hash.add(&header.bytes(&name, info.dtype)?);
    }
    Ok(seal == Some(hash.to_string().as_str()))
}

/// A hash of keys and texts, in any order.
fn hash_texts(mut texts: Vec<(&str, &str)>) -> Fingerprint {
    texts.sort_unstable();
    let mut hash = Fingerprint::new();
    for (key, text) in texts {
        for part in [key, text] {
            hash.add(&(part.len() as u64).to_le_bytes());
            hash.add(part.as_bytes());
        }
    }
    hash
}

fn hash_name(hash: &mut Fingerprint, name: &str, shape: &[usize]) {
    hash.add(name.as_bytes());
    hash.add(format!("{shape:?}").as_bytes());
}

/// All numbers of an F64 tensor.
pub(crate) fn read_f64s(header: &Header, name: &str) -> Result<Vec<f64>, FileError> {
    let bytes = header.bytes(name, Dtype::F64)?;
    Ok(bytes.as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes)).collect())
}

/// All numbers of a U64 tensor.
pub(crate) fn read_u64s(header: &Header, name: &str) -> Result<Vec<u64>, FileError> {
    let bytes = header.bytes(name, Dtype::U64)?;
    Ok(bytes.as_chunks().0.iter().map(|&bytes| u64::from_le_bytes(bytes)).collect())
}

/// All numbers of a tensor of `T`, bit by bit.
pub(crate) fn read_scalars<T: Scalar>(header: &Header, name: &str) -> Result<Vec<T>, FileError> {
    let element = Element::of::<T>();
    let dtype = if element == Element::F64 { Dtype::F64 } else { Dtype::F32 };
    let bytes = header.bytes(name, dtype)?;
    let mut numbers = vec![T::default(); bytes.len() / element.size()];
    element.decode(&bytes, &mut numbers);
    Ok(numbers)
}
