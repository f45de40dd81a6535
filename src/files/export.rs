//! Dictionaries and codes in the files of NumPy and SciPy.
//!
//! ```python
//! D = numpy.load("dictionary.npy")          # (m, d), row j is atom j
//! X = scipy.sparse.load_npz("codes.npz")    # CSR, (N, m), row i is sample i
//! Y = X @ D                                 # (N, d)
//! Y = X @ D * numpy.load("scale.npy") + numpy.load("mean.npy")   # of a model with scale and mean
//! ```

use std::io::{self, BufWriter, Write};
use std::path::Path;

use faer::Mat;
use npyz::WriterBuilder;
use rawzip::ZipArchiveWriter;

use crate::Scalar;
use crate::codes::SparseCodes;
use crate::cpu::vector::loops;
use crate::dictionary::Dictionary;
use crate::error::FileError;
use crate::files::atomic::write_atomically;
use crate::source::NpySource;
use crate::source::element::{Element, write_values};

/// Writes a dictionary as a `.npy` array of shape (m, d) in `T`, row j being atom j. The file
/// appears whole or not at all.
///
/// # Errors
/// [`FileError::Io`].
pub fn write_dictionary_npy<T: Scalar>(
    path: impl AsRef<Path>,
    dictionary: &Dictionary<T>,
) -> Result<(), FileError> {
    write_atomically(path.as_ref(), |file| {
        write_header(file, float_type::<T>(), &[dictionary.atoms(), dictionary.dim()])?;
        (0..dictionary.atoms()).try_for_each(|j| write_values(file, dictionary.atom(j)))
    })
}

/// Reads a dictionary from a `.npy` array of shape (m, d), row j being atom j, of any type that
/// [`NpySource`] reads.
///
/// Rows may have any norm but 0 and are scaled to norm 1, so values that were of unit norm may
/// change in their last bits (`Model::save` and `Model::load` keep every bit).
///
/// # Errors
/// Those of [`NpySource::open`]; [`FileError::Shape`] for an array of another rank or without rows,
/// [`FileError::Narrowing`] for f64 rows that `T` cannot hold, [`FileError::Format`] for a row
/// that is zero or not finite.
pub fn read_dictionary_npy<T: Scalar>(path: impl AsRef<Path>) -> Result<Dictionary<T>, FileError> {
    Ok(read_atoms_npy(path)?.0)
}

/// As [`read_dictionary_npy`], with the norms that were taken out: row j of the file is atom j
/// times norm j. [`SparseCodes::for_atoms_of_norms`] makes codes for the rows of the file from
/// codes for the dictionary.
///
/// A norm that is 1 but for the rounding of `T` is exactly 1.
///
/// # Errors
/// Those of [`read_dictionary_npy`].
pub fn read_atoms_npy<T: Scalar>(
    path: impl AsRef<Path>,
) -> Result<(Dictionary<T>, Vec<f64>), FileError> {
    let path = path.as_ref();
    let rows = NpySource::open(path)?.into_rows();
    if rows.shape().len() != 2 {
        let (path, found) = (path.to_owned(), rows.shape().to_vec());
        return Err(FileError::Shape { path, found, expected: "(m, d)".to_owned() });
    }
    if rows.len() == 0 {
        let (path, found) = (path.to_owned(), vec![0, rows.dim()]);
        let expected = "(m, d) with m at least 1".to_owned();
        return Err(FileError::Shape { path, found, expected });
    }
    let mut atoms = Mat::zeros(rows.dim(), rows.len());
    for j in 0..rows.len() {
        rows.read_values(j, atoms.col_as_slice_mut(j))?;
    }
    let norms = (0..rows.len()).map(|j| norm(atoms.col_as_slice(j))).collect();
    let dictionary = Dictionary::normalized(atoms).map_err(|error| FileError::Format {
        path: path.to_owned(),
        format: "dictionary",
        reason: error.to_string(),
    })?;
    Ok((dictionary, norms))
}

/// ‖row‖, or 1 if it is that but for rounding.
fn norm<T: Scalar>(row: &[T]) -> f64 {
    // Squares of a double may over- or underflow where the double does not.
    let largest = loops::largest_magnitude(row).widen();
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let norm = scale * row.iter().map(|x| (x.widen() / scale).powi(2)).sum::<f64>().sqrt();
    if (norm - 1.0).abs() <= 8.0 * T::EPSILON { 1.0 } else { norm }
}

/// Writes the mean that is subtracted from samples as a `.npy` array of shape (d), in `T`. The file
/// appears whole or not at all.
///
/// # Errors
/// [`FileError::Io`].
pub fn write_mean_npy<T: Scalar>(path: impl AsRef<Path>, mean: &[T]) -> Result<(), FileError> {
    write_atomically(path.as_ref(), |file| {
        write_header(file, float_type::<T>(), &[mean.len()])?;
        write_values(file, mean)
    })
}

/// Writes the scale that centred samples are divided by as a `.npy` array of shape (), which NumPy
/// takes as a number; in `T`, so that products with arrays of `T` stay in `T`. The file appears
/// whole or not at all.
///
/// # Errors
/// [`FileError::Io`].
pub fn write_scale_npy<T: Scalar>(path: impl AsRef<Path>, scale: f64) -> Result<(), FileError> {
    write_atomically(path.as_ref(), |file| {
        write_header(file, float_type::<T>(), &[])?;
        write_values(file, &[T::narrow(scale)])
    })
}

/// Writes codes as an uncompressed `.npz` file that `scipy.sparse.load_npz` reads as a CSR matrix
/// of shape (N, m): row i is sample i. The file appears whole or not at all.
///
/// Values are of `T`; indices are of 32 bits if the number of nonzeros and m allow it, else of 64.
/// Takes memory for one more copy of the codes.
///
/// # Errors
/// [`FileError::Io`].
///
/// ```
/// use dbksvd::SparseCodes;
/// use dbksvd::export::write_codes_npz;
///
/// # let folder = std::env::temp_dir().join("dbksvd-doc-codes");
/// # std::fs::create_dir_all(&folder)?;
/// # let path = folder.join("codes.npz");
/// let mut codes = SparseCodes::<f32>::new(5, 2, 2);
/// codes.set(0, &[3, 1], &[0.5, -2.0]);
/// write_codes_npz(&path, &codes)?; // scipy.sparse.load_npz(path) is of shape (2, 5)
/// # std::fs::remove_dir_all(&folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn write_codes_npz<T: Scalar>(
    path: impl AsRef<Path>,
    codes: &SparseCodes<T>,
) -> Result<(), FileError> {
    let parts = codes.to_csr_parts();
    let (samples, atoms, nnz) = (codes.samples(), codes.atoms(), parts.values.len());
    // SciPy wants one type for both index arrays.
    let index = if i32::try_from(nnz.max(atoms)).is_ok() { Index::I32 } else { Index::I64 };
    write_atomically(path.as_ref(), |file| {
        let mut zip = ZipArchiveWriter::new(file);
        write_entry(&mut zip, "indices.npy", index.name(), &[nnz], |to| {
            parts.indices.iter().try_for_each(|&atom| index.write(to, atom.into()))
        })?;
        write_entry(&mut zip, "indptr.npy", index.name(), &[samples + 1], |to| {
            parts.offsets.iter().try_for_each(|&offset| index.write(to, offset as u64))
        })?;
        write_entry(&mut zip, "format.npy", "|S3", &[], |to| to.write_all(b"csr"))?;
        write_entry(&mut zip, "shape.npy", Index::I64.name(), &[2], |to| {
            [samples, atoms].iter().try_for_each(|&n| Index::I64.write(to, n as u64))
        })?;
        write_entry(&mut zip, "data.npy", float_type::<T>(), &[nnz], |to| {
            write_values(to, &parts.values)
        })?;
        zip.finish().map(drop).map_err(zip_error)
    })
}

/// The integers of an index array.
#[derive(Clone, Copy)]
enum Index {
    I32,
    I64,
}

impl Index {
    fn name(self) -> &'static str {
        match self {
            Self::I32 => "<i4",
            Self::I64 => "<i8",
        }
    }

    /// Writes a number below 2³¹ or 2⁶³: little-endian, the sign bit is not reached.
    fn write(self, to: &mut (impl Write + ?Sized), value: u64) -> io::Result<()> {
        match self {
            Self::I32 => to.write_all(&(value as u32).to_le_bytes()),
            Self::I64 => to.write_all(&value.to_le_bytes()),
        }
    }
}

/// The NumPy name of `T`.
fn float_type<T: Scalar>() -> &'static str {
    if Element::of::<T>() == Element::F64 { "<f8" } else { "<f4" }
}

/// Everything in front of an array's values in a `.npy` file.
fn write_header(to: &mut impl Write, dtype: &str, shape: &[usize]) -> io::Result<()> {
    let dtype: npyz::TypeStr = dtype.parse().map_err(io::Error::other)?;
    let shape: Vec<u64> = shape.iter().map(|&n| n as u64).collect();
    npyz::WriteOptions::new_header_only()
        .dtype(npyz::DType::Plain(dtype))
        .shape(&shape)
        .writer(to)
        .write_header_only()
        .map(drop)
}

/// Adds the array `name` to an `.npz` archive, stored rather than compressed: the low bits of
/// coefficients are noise, and stored arrays can be mapped.
fn write_entry<W: Write>(
    zip: &mut ZipArchiveWriter<W>,
    name: &str,
    dtype: &str,
    shape: &[usize],
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let (mut entry, config) = zip.new_file(name).start().map_err(zip_error)?;
    // The checksum is far slower on single values than on buffers of them.
    let mut buffered = BufWriter::new(config.wrap(&mut entry));
    write_header(&mut buffered, dtype, shape)?;
    write(&mut buffered)?;
    let checked = buffered.into_inner().map_err(|error| error.into_error())?;
    let (_, descriptor) = checked.finish().map_err(zip_error)?;
    entry.finish(descriptor).map(drop).map_err(zip_error)
}

/// The error of the file below, if it is one.
fn zip_error(error: rawzip::Error) -> io::Error {
    match error.into_kind() {
        rawzip::ErrorKind::IO(error) => error,
        other => io::Error::other(other.to_string()),
    }
}
