//! Sparse autoencoders of other tools.

use std::path::PathBuf;

use dbksvd::source::SampleSource;
use dbksvd_sae::{Sae as Autoencoder, Tied};
use pyo3::prelude::*;

use crate::arrays::Samples;
use crate::arrays::codes::Rows;
use crate::error::{exception, unexpected};
use crate::model::Model;
use crate::number::{Number, each, rows_of};
use crate::pool::pool;

/// Samples that are coded at a time.
const BLOCK: usize = 4096;

/// A sparse autoencoder in single precision.
#[pyclass(frozen, module = "dbksvd._core")]
pub struct Sae {
    inner: Autoencoder<f32>,
}

#[pymethods]
impl Sae {
    /// Reads a directory of SAELens (``"saelens"``) or of sparsify (``"sparsify"``).
    #[staticmethod]
    fn load(py: Python<'_>, directory: PathBuf, format: &str) -> PyResult<Self> {
        let inner = match format {
            "saelens" => py.detach(|| Autoencoder::read_saelens(directory)),
            "sparsify" => py.detach(|| Autoencoder::read_sparsify(directory)),
            _ => return Err(unexpected("format", format, "'saelens' or 'sparsify'")),
        };
        Ok(Self { inner: inner.map_err(exception)? })
    }

    /// Makes an autoencoder of a model: with its linear coder (``"linear"``), or with tied weights
    /// (``"top_k"``, ``"matching_pursuit"``).
    #[staticmethod]
    fn from_model(model: &Model, encoder: &str) -> PyResult<Self> {
        let inner = each!(&model.inner, model => {
            let model = single(model).map_err(exception)?;
            match encoder {
                "linear" => Autoencoder::from_linear_coder(&model),
                "top_k" => Autoencoder::from_model(&model, Tied::TopK),
                "matching_pursuit" => Autoencoder::from_model(&model, Tied::MatchingPursuit),
                _ => {
                    let expected = "'linear', 'top_k' or 'matching_pursuit'";
                    return Err(unexpected("encoder", encoder, expected));
                }
            }
        });
        Ok(Self { inner: inner.map_err(exception)? })
    }

    /// Writes a directory that SAELens loads.
    fn save(&self, py: Python<'_>, directory: PathBuf) -> PyResult<()> {
        py.detach(|| self.inner.write_saelens(directory)).map_err(exception)
    }

    /// The kind of the encoder, as SAELens names it.
    #[getter]
    fn architecture(&self) -> &'static str {
        self.inner.architecture().name()
    }

    /// ``(m, d)``.
    #[getter]
    fn shape(&self) -> (usize, usize) {
        (self.inner.atoms(), self.inner.dim())
    }

    /// The decoder, (m, d).
    fn decoder<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(rows_of(py, self.inner.decoder())?.into_any())
    }

    /// The decoder as the dictionary of a model with at most so many nonzeros a sample.
    fn model(&self, n_nonzero_coefs: usize) -> PyResult<Model> {
        Ok(Model::of(self.inner.model(n_nonzero_coefs).map_err(exception)?))
    }

    /// The codes of samples by its own encoder, or its latents, as compressed rows.
    #[pyo3(signature = (samples, latents=false))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        samples: &Bound<'py, PyAny>,
        latents: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let samples = Samples::new(samples)?;
        let source = samples.source()?;
        let source: &dyn SampleSource<f32> = &source;
        let (len, dim) = (source.len(), source.dim());
        let pool = pool(py, None)?;
        let mut rows = Rows::new(len);
        let mut values = vec![0.0; BLOCK.min(len) * dim];
        for first in (0..len).step_by(BLOCK) {
            let last = (first + BLOCK).min(len);
            let values = &mut values[..(last - first) * dim];
            let codes = py.detach(|| -> Result<_, dbksvd::Error> {
                source.read(first..last, values)?;
                let y = dbksvd::faer::MatRef::from_column_major_slice(values, dim, last - first);
                pool.install(|| {
                    if latents { self.inner.encode_latents(y) } else { self.inner.encode(y) }
                })
            });
            rows.extend(&codes.map_err(exception)?);
            py.check_signals()?;
        }
        rows.into_arrays(py)
    }
}

/// The model in single precision.
fn single<T: Number>(model: &dbksvd::Model<T>) -> Result<dbksvd::Model<f32>, dbksvd::Error> {
    use dbksvd::coder::{LinearEncoder, TopK};
    use dbksvd::faer::{Mat, MatRef};
    use dbksvd::{Dictionary, Model, Preprocessing};

    let narrow = |x: T| x.widen() as f32;
    let matrix =
        |of: MatRef<'_, T>| Mat::from_fn(of.nrows(), of.ncols(), |i, j| narrow(of[(i, j)]));
    let vector = |of: &[T]| of.iter().map(|&x| narrow(x)).collect::<Vec<f32>>();
    let dictionary = Dictionary::normalized(matrix(model.dictionary().as_mat()))?;
    let preprocessing = Preprocessing::none()
        .with_mean(model.mean().map(vector))?
        .with_scale(model.preprocessing().scale())?
        .with_norm_limit(model.preprocessing().norm_limit())?;
    let coder = match model.linear_coder() {
        None => None,
        Some(coder) => {
            let single = match coder.encoder.as_deref() {
                None => TopK::new(),
                Some(encoder) => TopK::by_encoder(LinearEncoder::new(
                    matrix(encoder.weights()),
                    encoder.bias().map(vector),
                )?),
            };
            Some(single.threshold(coder.threshold).coefficients(coder.coefficients))
        }
    };
    Model::new(dictionary, None, model.sparsity(), model.sign())?
        .preprocessed(preprocessing)?
        .with_linear_coder(coder)
}
