//! Models in safetensors files.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use faer::Mat;

use crate::Scalar;
use crate::coder::{Coefficients, LinearEncoder, TopK};
use crate::dictionary::Dictionary;
use crate::error::{Error, FileError};
use crate::files::tensors::{Numbers, TensorFile};
use crate::model::Model;
use crate::problem::{ProblemShape, Sign};
use crate::samples::preprocessing::Preprocessing;
use crate::source::element::Element;
use crate::source::rows::RowFile;
use crate::source::safetensors_header::Header;

const FORMAT: &str = "dbksvd-model";
const VERSION: &str = "1";
const REFITTED: &str = "refitted";

impl<T: Scalar> Model<T> {
    /// Writes the model to a safetensors file, which appears whole or not at all: it is written
    /// beside `path`, synced and renamed. The same model gives the same bytes.
    ///
    /// | tensor | shape | |
    /// |---|---|---|
    /// | `dictionary` | (m, d), F32 or F64 as `T` | row j is atom j |
    /// | `mean` | (d), of the same type | only if data were centred |
    /// | `encoder` | (m, d), of the same type | row j gives the activation of atom j; only with a [linear coder](Self::linear_coder) that has an encoder |
    /// | `encoder_bias` | (m), of the same type | only if that encoder has a bias |
    ///
    /// | metadata | |
    /// |---|---|
    /// | `format` | `dbksvd-model` |
    /// | `version` | `1` |
    /// | `sparsity` | k, in decimal |
    /// | `sign` | `signed` or `non-negative` |
    /// | `scale` | what centred samples are divided by, only if not 1 |
    /// | `norm_limit` | the norm at which learning clipped or dropped samples, only if it did |
    /// | `threshold` | θ of the linear coder, only with one |
    /// | `coefficients` | `refitted`, only if those of the linear coder are |
    ///
    /// # Errors
    /// [`FileError::Io`].
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), FileError> {
        let mut file = TensorFile::new();
        file.text("format", FORMAT);
        file.text("version", VERSION);
        file.text("sparsity", self.sparsity().to_string());
        file.text("sign", sign_name(self.sign()));
        if self.preprocessing().scale() != 1.0 {
            file.text("scale", self.preprocessing().scale().to_string());
        }
        if let Some(limit) = self.preprocessing().norm_limit() {
            file.text("norm_limit", limit.to_string());
        }
        file.tensor("dictionary", Numbers::Columns(self.dictionary().as_mat()));
        if let Some(mean) = self.mean() {
            file.tensor("mean", Numbers::Scalars(mean));
        }
        if let Some(TopK { encoder, threshold, coefficients }) = self.linear_coder() {
            file.text("threshold", threshold.to_string());
            if *coefficients == Coefficients::Refitted {
                file.text("coefficients", REFITTED);
            }
            if let Some(encoder) = encoder {
                file.tensor("encoder", Numbers::Columns(encoder.weights()));
                if let Some(bias) = encoder.bias() {
                    file.tensor("encoder_bias", Numbers::Scalars(bias));
                }
            }
        }
        file.write(path)
    }

    /// Reads a model that [`save`](Self::save) wrote, or any file of that layout.
    ///
    /// A file of `T` gives the model back bit by bit. One of the other precision is converted, and
    /// its atoms are scaled to norm 1 again, since f32 atoms are not of unit norm by the measure
    /// of f64. What counts as unit norm is the tolerance of [`Dictionary`] in the file's precision.
    /// Tensors and metadata beyond those listed are ignored.
    ///
    /// # Errors
    /// - [`FileError::Io`], [`FileError::Truncated`], and [`FileError::Format`] for a file that is
    ///   not safetensors, lacks metadata, is of another format or version, or whose content breaks
    ///   a rule: atoms of norm 1, finite values, 1 ≤ k ≤ min(d, m), a threshold of at least 0,
    /// - [`FileError::Tensor`] without a dictionary,
    /// - [`FileError::ElementType`] for tensors that are neither F32 nor F64,
    /// - [`FileError::Shape`] for a dictionary not of rank 2 or empty, a mean not of shape (d), an
    ///   encoder not of the shape of the dictionary, or a bias not of shape (m).
    pub fn load(path: impl AsRef<Path>) -> Result<Self, FileError> {
        let path = path.as_ref();
        let header = Header::open(path)?;
        let invalid =
            |reason: String| FileError::Format { path: path.to_owned(), format: FORMAT, reason };
        let Parameters { sparsity, sign, scale, norm_limit, linear_coder } =
            parameters(&header).map_err(invalid)?;
        let rows = tensor(path, &header, "dictionary", 2)?;
        let shape = ProblemShape { dim: rows.dim(), atoms: rows.len(), sparsity, sign };
        if shape.atoms == 0 {
            let (path, found) = (path.to_owned(), vec![shape.atoms, shape.dim]);
            let expected = "(m, d) with m at least 1".to_owned();
            return Err(FileError::Shape { path, found, expected });
        }
        let breaks_rule = |error: Error| invalid(error.to_string());
        shape.check().map_err(breaks_rule)?;
        let of_atoms = "the dimension of the atoms";
        let mean = read_vector(path, &header, "mean", (shape.dim, of_atoms))?;
        let dictionary = read_dictionary(&rows)?.map_err(breaks_rule)?;
        let preprocessing = Preprocessing::none()
            .with_mean(mean)
            .and_then(|given| given.with_scale(scale.unwrap_or(1.0)))
            .and_then(|given| given.with_norm_limit(norm_limit))
            .map_err(breaks_rule)?;
        let linear_coder = match linear_coder {
            None => None,
            Some((threshold, coefficients)) => {
                let encoder = read_encoder(path, &header, &shape)?.transpose();
                let encoder = encoder.map_err(breaks_rule)?.map(Arc::new);
                Some(TopK { encoder, threshold, coefficients })
            }
        };
        Self::new(dictionary, None, sparsity, sign)
            .and_then(|model| model.preprocessed(preprocessing))
            .and_then(|model| model.with_linear_coder(linear_coder))
            .map_err(breaks_rule)
    }
}

fn sign_name(sign: Sign) -> &'static str {
    match sign {
        Sign::Signed => "signed",
        Sign::NonNegative => "non-negative",
    }
}

/// What the metadata of a file say.
struct Parameters {
    sparsity: usize,
    sign: Sign,
    scale: Option<f64>,
    norm_limit: Option<f64>,
    /// Threshold and rule of the linear coder; its encoder is in the tensors.
    linear_coder: Option<(f64, Coefficients)>,
}

/// The metadata of a file of this format and version.
fn parameters(header: &Header) -> Result<Parameters, String> {
    let texts: HashMap<_, _> = header.texts().collect();
    let text =
        |key: &str| texts.get(key).copied().ok_or_else(|| format!("the metadata have no `{key}`"));
    let unlike = |key: &str, expected: &str| {
        text(key).map(|found| format!("`{key}` is {found:?}, expected {expected}"))
    };
    let number = |key: &str| match texts.get(key).map(|text| text.parse()) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(unlike(key, "a number")?),
    };
    if text("format")? != FORMAT {
        return Err(unlike("format", FORMAT)?);
    }
    if text("version")? != VERSION {
        return Err(unlike("version", VERSION)?);
    }
    let Ok(sparsity) = text("sparsity")?.parse() else {
        return Err(unlike("sparsity", "a number")?);
    };
    let known = [Sign::Signed, Sign::NonNegative];
    let found = text("sign")?;
    let Some(sign) = known.into_iter().find(|&sign| sign_name(sign) == found) else {
        return Err(unlike("sign", "signed or non-negative")?);
    };
    let coefficients = match texts.get("coefficients") {
        None => Coefficients::AsChosen,
        Some(&REFITTED) => Coefficients::Refitted,
        Some(_) => return Err(unlike("coefficients", REFITTED)?),
    };
    Ok(Parameters {
        sparsity,
        sign,
        scale: number("scale")?,
        norm_limit: number("norm_limit")?,
        linear_coder: number("threshold")?.map(|threshold| (threshold, coefficients)),
    })
}

/// A tensor in one of the two precisions that models have.
fn tensor(path: &Path, header: &Header, name: &str, rank: usize) -> Result<RowFile, FileError> {
    let rows = header.rows(name, rank)?;
    match rows.element() {
        Element::F32 | Element::F64 => Ok(rows),
        _ => {
            let (path, found) = (path.to_owned(), header.info(name)?.dtype.to_string());
            Err(FileError::ElementType { path, found, expected: "F32 or F64" })
        }
    }
}

/// A tensor of rank 1 of this length, if there is one of this name.
fn read_vector<T: Scalar>(
    path: &Path,
    header: &Header,
    name: &str,
    (length, reason): (usize, &str),
) -> Result<Option<Vec<T>>, FileError> {
    if !has(header, name) {
        return Ok(None);
    }
    let rows = tensor(path, header, name, 1)?;
    if rows.dim() != length {
        let (path, found) = (path.to_owned(), vec![rows.dim()]);
        return Err(FileError::Shape { path, found, expected: format!("({length}), {reason}") });
    }
    let mut values = vec![T::zero(); length];
    rows.read_values(0, &mut values)?;
    Ok(Some(values))
}

fn has(header: &Header, name: &str) -> bool {
    header.names().iter().any(|known| known == name)
}

/// The encoder of the linear coder, if it has one. The outer error is the file's, the inner one
/// that of the values.
fn read_encoder<T: Scalar>(
    path: &Path,
    header: &Header,
    shape: &ProblemShape,
) -> Result<Option<Result<LinearEncoder<T>, Error>>, FileError> {
    if !has(header, "encoder") {
        return Ok(None);
    }
    let rows = tensor(path, header, "encoder", 2)?;
    let (found, expected) = ([rows.len(), rows.dim()], [shape.atoms, shape.dim]);
    if found != expected {
        let (path, [m, d]) = (path.to_owned(), expected);
        let expected = format!("({m}, {d}), the shape of the dictionary");
        return Err(FileError::Shape { path, found: found.to_vec(), expected });
    }
    let bias = read_vector(path, header, "encoder_bias", (shape.atoms, "one for each atom"))?;
    Ok(Some(LinearEncoder::new(read_atoms(&rows)?, bias)))
}

/// The dictionary in `rows`: as it is if it is in `T`, else checked in its own precision and
/// scaled. The outer error is the file's, the inner one the dictionary's.
fn read_dictionary<T: Scalar>(rows: &RowFile) -> Result<Result<Dictionary<T>, Error>, FileError> {
    if rows.element() == Element::of::<T>() {
        return Ok(Dictionary::new(read_atoms(rows)?));
    }
    // Only in its own precision can an atom of the file be told to be of unit norm.
    let own = match rows.element() {
        Element::F64 => Dictionary::<f64>::new(read_atoms(rows)?).map(drop),
        _ => Dictionary::<f32>::new(read_atoms(rows)?).map(drop),
    };
    Ok(match own {
        Ok(()) => Dictionary::normalized(read_atoms(rows)?),
        Err(error) => Err(error),
    })
}

/// Row j of the file as column j.
fn read_atoms<T: Scalar>(rows: &RowFile) -> Result<Mat<T>, FileError> {
    let mut atoms = Mat::zeros(rows.dim(), rows.len());
    for j in 0..rows.len() {
        rows.read_values(j, atoms.col_as_slice_mut(j))?;
    }
    Ok(atoms)
}
