//! The files that are read: samples, labels, and codes as SciPy saves them.

use std::fs;
use std::io::Read;
use std::path::Path;

use dbksvd::codes::CsrParts;
use dbksvd::faer::Mat;
use dbksvd::source::{self, SampleSource};
use dbksvd::{Error, SparseCodes};
use dbksvd_sae::metrics::Windows;
use npyz::{DType, NpyFile, Order, TypeChar};
use rawzip::{CompressionMethod, ZipArchive};

use crate::arguments::Measure;
use crate::program::Outcome;

/// What is known of samples.
pub enum Labels {
    /// The class of each.
    Classes(Vec<u32>),
    /// For each label, whether each sample has it.
    Columns(Vec<Vec<bool>>),
}

impl Labels {
    /// The measures of such labels.
    pub fn measures(&self) -> Vec<Measure> {
        match self {
            Self::Classes(_) => {
                vec![Measure::Probing, Measure::Absorption, Measure::Perturbation]
            }
            Self::Columns(_) => vec![Measure::Probing],
        }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        match self {
            Self::Classes(labels) => labels.len(),
            Self::Columns(columns) => columns[0].len(),
        }
    }

    /// The labels of windows, from those of sequences.
    pub fn of_windows(&self, windows: &Windows) -> Result<Self, Error> {
        match self {
            Self::Classes(labels) => windows.labels(labels).map(Self::Classes),
            Self::Columns(columns) => {
                let columns = columns.iter().map(|column| windows.labels(column));
                columns.collect::<Result<_, _>>().map(Self::Columns)
            }
        }
    }
}

/// The rows of a file as columns.
pub fn rows(path: &Path) -> Outcome<Mat<f32>> {
    let file = source::open(path, None)?;
    source::check_rounding::<f32>(&file)?;
    let mut values = vec![0.0; file.len() * file.dim()];
    file.read(0..file.len(), &mut values)?;
    Ok(Mat::from_fn(file.dim(), file.len(), |r, i| values[i * file.dim() + r]))
}

/// Classes from an array (N) of whole numbers, or columns from an array (N, L) of booleans.
pub fn labels(path: &Path) -> Outcome<Labels> {
    let array = Array::read(path)?;
    match (array.shape[..].len(), array.is_boolean) {
        (1, false) => {
            let class = |(i, &label): (usize, &i64)| {
                let wrong = || format!("{}: label {i} is {label}", path.display());
                u32::try_from(label).map_err(|_| format!("{}, expected at least 0", wrong()))
            };
            let classes = array.values.iter().enumerate().map(class);
            Ok(Labels::Classes(classes.collect::<Result<_, _>>()?))
        }
        (2, true) if array.shape[1] > 0 => {
            let count = array.shape[1];
            let column = |label: usize| {
                array.values.iter().skip(label).step_by(count).map(|&has| has != 0).collect()
            };
            Ok(Labels::Columns((0..count).map(column).collect()))
        }
        _ => Err(array.unlike(path, "whole numbers (N) or booleans (N, L)").into()),
    }
}

/// An array (N) of booleans.
pub fn booleans(path: &Path) -> Outcome<Vec<bool>> {
    let array = Array::read(path)?;
    if array.shape.len() != 1 || !array.is_boolean {
        return Err(array.unlike(path, "booleans (N)").into());
    }
    Ok(array.values.into_iter().map(|value| value != 0).collect())
}

/// Whole numbers or booleans.
struct Array {
    shape: Vec<usize>,
    is_boolean: bool,
    values: Vec<i64>,
}

impl Array {
    fn read(path: &Path) -> Outcome<Self> {
        let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let bytes = fs::read(path).map_err(|error| named(&error))?;
        Ok(Self::parse(&bytes).map_err(|error| named(&error))?)
    }

    fn parse(bytes: &[u8]) -> Outcome<Self> {
        let file = NpyFile::new(bytes)?;
        let shape: Vec<usize> = file.shape().iter().map(|&size| size as usize).collect();
        if file.order() == Order::Fortran && shape.len() > 1 {
            return Err("an array in Fortran order, expected C order".into());
        }
        let DType::Plain(of) = file.dtype() else {
            return Err("an array of records, expected whole numbers".into());
        };
        let wide = |values: Vec<u64>| values.into_iter().map(i64::try_from).collect();
        let values: Result<Vec<i64>, _> = match (of.type_char(), of.size_field()) {
            (TypeChar::Bool, _) => {
                Ok(file.into_vec::<bool>()?.into_iter().map(i64::from).collect())
            }
            (TypeChar::Int, 1) => Ok(file.into_vec::<i8>()?.into_iter().map(i64::from).collect()),
            (TypeChar::Int, 2) => Ok(file.into_vec::<i16>()?.into_iter().map(i64::from).collect()),
            (TypeChar::Int, 4) => Ok(file.into_vec::<i32>()?.into_iter().map(i64::from).collect()),
            (TypeChar::Int, 8) => Ok(file.into_vec::<i64>()?),
            (TypeChar::Uint, 1) => Ok(file.into_vec::<u8>()?.into_iter().map(i64::from).collect()),
            (TypeChar::Uint, 2) => Ok(file.into_vec::<u16>()?.into_iter().map(i64::from).collect()),
            (TypeChar::Uint, 4) => Ok(file.into_vec::<u32>()?.into_iter().map(i64::from).collect()),
            (TypeChar::Uint, 8) => wide(file.into_vec::<u64>()?),
            _ => return Err(format!("an array of {of}, expected whole numbers").into()),
        };
        Ok(Self { shape, is_boolean: of.type_char() == TypeChar::Bool, values: values? })
    }

    fn unlike(&self, path: &Path, expected: &str) -> String {
        let kind = if self.is_boolean { "booleans" } else { "whole numbers" };
        let (path, shape) = (path.display(), &self.shape);
        format!("{path}: {kind} of shape {shape:?}, expected {expected}")
    }
}

/// Codes from a CSR matrix (N, m) that `scipy.sparse.save_npz` has saved without compression.
pub fn codes(path: &Path) -> Outcome<SparseCodes<f32>> {
    let named = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let bytes = fs::read(path).map_err(|error| named(&error))?;
    Ok(parse_codes(&bytes).map_err(|error| named(&error))?)
}

fn parse_codes(bytes: &[u8]) -> Outcome<SparseCodes<f32>> {
    let archive = ZipArchive::from_slice(bytes)?;
    let array = |name: &str| -> Outcome<Vec<u8>> {
        let mut entries = archive.entries();
        while let Some(header) = entries.next_entry()? {
            if header.file_path().as_ref() != name.as_bytes() {
                continue;
            }
            if header.compression_method() != CompressionMethod::STORE {
                return Err("compressed, expected `save_npz(file, codes, compressed=False)`".into());
            }
            let entry = archive.get_entry(header.wayfinder())?;
            let mut content = Vec::new();
            entry.verifying_reader(entry.data()).read_to_end(&mut content)?;
            return Ok(content);
        }
        Err(format!("without {name}, expected a matrix saved by `scipy.sparse.save_npz`").into())
    };
    let format: Vec<u8> = array("format.npy")?.into_iter().filter(|&byte| byte != 0).collect();
    if !format.ends_with(b"csr") {
        return Err("not in CSR format, expected `codes.tocsr()`".into());
    }
    let whole = |name: &str| -> Outcome<Vec<usize>> {
        let values = Array::parse(&array(name)?)?.values;
        Ok(values.into_iter().map(usize::try_from).collect::<Result<_, _>>()?)
    };
    let (shape, offsets) = (whole("shape.npy")?, whole("indptr.npy")?);
    let [samples, atoms] = shape[..] else {
        return Err(format!("a matrix of {} axes, expected two", shape.len()).into());
    };
    if offsets.len() != samples + 1 {
        let found = offsets.len();
        return Err(format!("{found} offsets for {samples} rows, expected one more").into());
    }
    let indices = whole("indices.npy")?.into_iter().map(u32::try_from);
    let parts = CsrParts {
        indices: indices.collect::<Result<_, _>>()?,
        values: floats(&array("data.npy")?)?,
        offsets,
    };
    // Offsets that decrease are refused below.
    let lengths = parts.offsets.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let most = lengths.max().unwrap_or(0).min(atoms);
    Ok(SparseCodes::from_csr_parts(atoms, most, &parts)?)
}

fn floats(bytes: &[u8]) -> Outcome<Vec<f32>> {
    let file = NpyFile::new(bytes)?;
    match file.dtype() {
        DType::Plain(of) if of.type_char() == TypeChar::Float && of.size_field() == 4 => {
            Ok(file.into_vec()?)
        }
        DType::Plain(of) if of.type_char() == TypeChar::Float && of.size_field() == 8 => {
            Ok(file.into_vec::<f64>()?.into_iter().map(|value| value as f32).collect())
        }
        of => Err(format!("coefficients of {}, expected f4 or f8", of.descr()).into()),
    }
}
