//! The threshold with which codes have a wanted mean number of nonzeros.

use faer::MatRef;
use num_traits::Float;
use rayon::prelude::*;

use super::top_k::activate;
use super::{SparseCoder, TopK};
use crate::Scalar;
use crate::cpu::pursuit::correlations::{BLOCK, Correlations};
use crate::cpu::scratch_pool::ScratchPool;
use crate::cpu::{Faer, HostBackend};
use crate::error::Error;
use crate::matrix::column;
use crate::model::Model;
use crate::samples::preprocessing::is_zero;
use crate::samples::{Gate, HostSamples, Upload};
use crate::source::{SampleSource, check_rounding};
use crate::{Outliers, Sign};

/// Samples read at a time.
const BATCH: usize = 4096;

/// A budget of nonzeros for all samples together, instead of one for each sample: rich samples get
/// more atoms, and poor samples fewer.
///
/// One threshold θ for all activations is found on samples of the kind that will be coded: it lies
/// between the n-th and the next of their activations in falling order, where n is the wanted mean
/// times the number of samples. Codes by [`TopK`] with this threshold have the wanted mean on these
/// samples, unless a sample reaches the limit k. This is the rule of BatchTopK autoencoders
/// (Bussmann, Leask & Nanda 2024, arXiv:2412.06410), and a code still depends on its own sample
/// alone.
///
/// Samples beyond the model's norm limit, and rows of zeros where there is one, do not count: a few
/// massive samples would use up what is meant for all.
///
/// ```
/// use dbksvd::coder::{MeanBudget, TopK};
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Sign};
///
/// let data = Planted::new(16, 32, 3, 800).sign(Sign::NonNegative).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 12).sign(Sign::NonNegative).epochs(4).build()?;
/// let (model, _) = learner.fit(&data.samples)?;
/// let coder = MeanBudget::new(3.0).fit(TopK::new(), &model, &data.samples)?;
/// let codes = model.encode(&coder, data.samples.as_ref())?;
/// assert!((codes.nnz() as f64 / 800.0 - 3.0).abs() < 0.1);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct MeanBudget {
    /// The wanted mean number of nonzeros of a sample.
    pub nonzeros: f64,
}

impl MeanBudget {
    /// So many nonzeros on average; above 0, and not above the model's limit k.
    #[must_use]
    pub fn new(nonzeros: f64) -> Self {
        Self { nonzeros }
    }

    /// `coder` with the threshold that gives the samples of `source` the wanted mean.
    ///
    /// If activations run out before (of non-negative codes, those that are not positive do not
    /// count), the threshold is 0. Reads `source` once; O(dm) per sample, and memory for three
    /// times the wanted nonzeros.
    ///
    /// # Errors
    /// [`Error::Argument`] for a number that is not above 0 or is above the model's sparsity, and
    /// for an encoder of another shape than the model; [`Error::NoSamples`] if no sample is within
    /// the norm limit; the errors of [`Encoder::encode_source`](crate::Encoder::encode_source).
    pub fn fit<T: Scalar>(
        &self,
        coder: TopK<T>,
        model: &Model<T>,
        source: &impl SampleSource<T>,
    ) -> Result<TopK<T>, Error> {
        let (shape, wanted) = (model.shape(), self.nonzeros);
        if !(wanted > 0.0 && wanted <= shape.sparsity as f64) {
            let expected = format!("above 0, and at most {}, the limit k", shape.sparsity);
            return Err(Error::argument("nonzeros", wanted, expected));
        }
        SparseCoder::<Faer<T>>::check(&coder, &shape)?;
        if source.dim() != shape.dim {
            let (found, expected) = (source.dim(), shape.dim);
            return Err(Error::Dimension { argument: "samples", found, expected });
        }
        check_rounding(source)?;
        let backend = Faer::<T>::default();
        let scorer = match &coder.encoder {
            None => model.dictionary().as_mat(),
            Some(encoder) => encoder.weights(),
        };
        let bias = coder.encoder.as_ref().and_then(|encoder| encoder.bias());
        let gate = Gate::new(model.preprocessing().clone(), Outliers::Keep);
        let (mut host, mut upload) =
            (HostSamples::new(shape.dim), Upload::new(&backend, shape.dim)?);
        let mut largest = Largest::new();
        let mut samples = 0;
        for first in (0..source.len()).step_by(BATCH) {
            host.read(source, std::iter::once(first..(first + BATCH).min(source.len())))?;
            let taken = upload.take(&backend, &gate, &mut host);
            taken.map_err(|error| host.blame(error, |i| source.origin(first + i)))?;
            let counts = |i: usize| !upload.is_outside().get(i).is_some_and(|&outside| outside);
            samples += (0..upload.samples()).filter(|&i| counts(i)).count();
            let y = backend.view(upload.matrix());
            let activations = Activations { scorer, bias, sign: shape.sign, above: largest.bound };
            largest.add(activations.collect(&backend, y, counts));
            // One more than are wanted: the threshold.
            largest.keep((wanted * source.len() as f64).ceil() as usize + 1);
        }
        if samples == 0 {
            return Err(Error::NoSamples { argument: "samples within the norm limit" });
        }
        let threshold = largest.cut((wanted * samples as f64).round() as usize);
        Ok(coder.threshold(threshold.widen()))
    }
}

/// Where activations come from, and which are of interest.
struct Activations<'a, T> {
    scorer: MatRef<'a, T>,
    bias: Option<&'a [T]>,
    sign: Sign,
    above: T,
}

impl<T: Scalar> Activations<'_, T> {
    /// The sizes of the activations above the bound, of the samples that count.
    fn collect(
        &self,
        backend: &Faer<T>,
        y: MatRef<'_, T>,
        counts: impl Fn(usize) -> bool + Sync,
    ) -> Vec<T> {
        let (dim, atoms) = self.scorer.shape();
        let scratch = ScratchPool::default();
        let blocks: Vec<Vec<T>> = (0..y.ncols().div_ceil(BLOCK))
            .into_par_iter()
            .map(|block| {
                let first = block * BLOCK;
                let count = (y.ncols() - first).min(BLOCK);
                let mut found = Vec::new();
                let new = || (Correlations::new(dim, atoms), vec![T::zero(); atoms]);
                scratch.with(new, |(products, h)| {
                    let products = products.compute(backend, self.scorer, y.subcols(first, count));
                    let has_activations =
                        |&i: &usize| counts(first + i) && !is_zero(column(y, first + i));
                    for i in (0..count).filter(has_activations) {
                        activate(column(products, i), self.bias, self.sign, h);
                        found.extend(h.iter().map(|&h| Float::abs(h)).filter(|&h| h > self.above));
                    }
                });
                found
            })
            .collect();
        blocks.concat()
    }
}

/// The largest of many values.
struct Largest<T> {
    values: Vec<T>,
    /// Values up to this need not be looked at: so many are larger that none of them is wanted.
    bound: T,
}

impl<T: Scalar> Largest<T> {
    fn new() -> Self {
        Self { values: Vec::new(), bound: T::zero() }
    }

    fn add(&mut self, values: Vec<T>) {
        self.values.extend(values);
    }

    /// Forgets what is not among the `count` largest, once in a while.
    fn keep(&mut self, count: usize) {
        if self.values.len() >= 2 * count {
            let (_, &mut last, _) = self.values.select_nth_unstable_by(count - 1, falling);
            self.values.truncate(count);
            self.bound = last;
        }
    }

    /// The value after the `count` largest; 0 if there is none.
    fn cut(mut self, count: usize) -> T {
        if self.values.len() <= count {
            return T::zero();
        }
        *self.values.select_nth_unstable_by(count, falling).1
    }
}

fn falling<T: Scalar>(a: &T, b: &T) -> std::cmp::Ordering {
    b.widen().total_cmp(&a.widen())
}
