//! Coding many batches of samples with one model.

use dbksvd::coder::AnyCoder;
use dbksvd::metrics::Reconstruction;
use dbksvd::source::{SampleSource, check_rounding};
use dbksvd::{Encoder as Coding, Error, Faer, Model as Learned, SparseCodes};
use pyo3::prelude::*;

use crate::arrays::codes::Rows;
use crate::arrays::{Block, Samples};
use crate::coder::{Described, coder_of};
use crate::error::{exception, unexpected};
use crate::measures::figures;
use crate::model::Model;
use crate::number::{Either, Number, each};
use crate::pool::pool;

/// Samples that are coded between two looks at signals.
const BLOCK: usize = 4096;

type Shared<T> = Coding<Faer<T>, AnyCoder<T>>;

/// A model with a coder, and what the coder derived from the dictionary. Threads encode with it at
/// the same time.
#[pyclass(frozen, module = "dbksvd._core")]
pub struct Encoder {
    model: Py<Model>,
    inner: Either<Shared<f32>, Shared<f64>>,
}

#[pymethods]
impl Encoder {
    #[new]
    fn new(py: Python<'_>, model: Py<Model>, coder: Described<'_>) -> PyResult<Self> {
        let inner = match &model.get().inner {
            Either::F32(model) => Either::F32(prepared(py, model, &coder)?),
            Either::F64(model) => Either::F64(prepared(py, model, &coder)?),
        };
        Ok(Self { model, inner })
    }

    /// The codes of samples, as compressed rows ``(data, indices, indptr)``.
    #[pyo3(signature = (samples, threads=None))]
    fn encode<'py>(
        &self,
        py: Python<'py>,
        samples: &Bound<'py, PyAny>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let samples = Samples::new(samples)?;
        let source = samples.source()?;
        match (&self.inner, &self.model.get().inner) {
            (Either::F32(encoder), Either::F32(_)) => encode(py, encoder, &source, threads),
            (Either::F64(encoder), Either::F64(_)) => encode(py, encoder, &source, threads),
            _ => unreachable!("an encoder has the precision of its model"),
        }
    }

    /// How well samples are represented, without keeping their codes.
    #[pyo3(signature = (samples, threads=None))]
    fn measure<'py>(
        &self,
        py: Python<'py>,
        samples: &Bound<'py, PyAny>,
        threads: Option<usize>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let samples = Samples::new(samples)?;
        let source = samples.source()?;
        let measured = match (&self.inner, &self.model.get().inner) {
            (Either::F32(encoder), Either::F32(model)) => {
                measure(py, encoder, model, &source, threads)
            }
            (Either::F64(encoder), Either::F64(model)) => {
                measure(py, encoder, model, &source, threads)
            }
            _ => unreachable!("an encoder has the precision of its model"),
        }?;
        figures(py, &measured)
    }

    fn __repr__(&self) -> String {
        each!(&self.inner, encoder => format!("{encoder:?}"))
    }
}

fn prepared<T: Number>(
    py: Python<'_>,
    model: &Learned<T>,
    coder: &Described<'_>,
) -> PyResult<Shared<T>> {
    let coder = coder_of(coder, model.linear_coder())?;
    let pool = pool(py, None)?;
    let encoder = py.detach(|| pool.install(|| model.encoder(coder)));
    encoder.map_err(exception)
}

fn encode<'py, T: Number>(
    py: Python<'py>,
    encoder: &Shared<T>,
    source: &dyn SampleSource<T>,
    threads: Option<usize>,
) -> PyResult<Bound<'py, PyAny>> {
    let mut rows = Rows::new(source.len());
    for_blocks(py, encoder, source, threads, |_, codes| {
        rows.extend(codes);
        Ok(())
    })?;
    rows.into_arrays(py)
}

fn measure<T: Number>(
    py: Python<'_>,
    encoder: &Shared<T>,
    model: &Learned<T>,
    source: &dyn SampleSource<T>,
    threads: Option<usize>,
) -> PyResult<Reconstruction> {
    let mut measured = Reconstruction::new(model.dim(), model.atoms());
    let mut values = Vec::new();
    for_blocks(py, encoder, source, threads, |block, codes| {
        values.resize(block.len() * block.dim(), T::default());
        block.read(0..block.len(), &mut values)?;
        let samples =
            dbksvd::faer::MatRef::from_column_major_slice(&values, block.dim(), block.len());
        measured.add(model, samples, codes)
    })?;
    Ok(measured)
}

/// Codes a block at a time, and hands each to `take`.
fn for_blocks<T: Number>(
    py: Python<'_>,
    encoder: &Shared<T>,
    source: &dyn SampleSource<T>,
    threads: Option<usize>,
    mut take: impl FnMut(&Block<'_, T>, &SparseCodes<T>) -> Result<(), Error> + Send,
) -> PyResult<()> {
    if source.is_empty() {
        return Err(unexpected("X.shape[0]", 0, "at least 1 sample"));
    }
    let pool = pool(py, threads)?;
    py.detach(|| check_rounding(&source)).map_err(exception)?;
    for first in (0..source.len()).step_by(BLOCK) {
        let block = Block { source, first, len: BLOCK.min(source.len() - first) };
        py.detach(|| {
            pool.install(|| encoder.encode_source(&block).and_then(|codes| take(&block, &codes)))
        })
        .map_err(exception)?;
        py.check_signals()?;
    }
    Ok(())
}
