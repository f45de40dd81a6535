//! One-shot coding: one product, and its k largest entries.
//!
//! ```text
//! h ← Dᵀy,  or  E y + c, an encoder's weights (m × d) and bias (m)
//! h ← max(h, 0)                               non-negative codes alone
//! S ← the k largest |h_j| that are above θ    θ = 0 by default; ties go to the lowest index
//! x_S ← h_S,  or, refitted, argmin ‖y − D_S x‖
//! ```
//! With the weights of an encoder and non-negative codes, this is what the encoder of a k-sparse
//! autoencoder does. A model subtracts its mean before coding. So for an autoencoder whose encoder
//! works on y − b, set the mean of the model to b.
//!
//! With a threshold θ, samples have as many nonzeros as their activations ask for, and k is a
//! limit. This is what the encoder of a JumpReLU autoencoder does, and that of a BatchTopK
//! autoencoder once it is trained. [`MeanBudget`](super::MeanBudget) finds the θ that gives a
//! wanted mean.
//!
//! A. Makhzani, B. Frey, "k-Sparse autoencoders", ICLR 2014. L. Gao et al., "Scaling and evaluating
//! sparse autoencoders", arXiv 2406.04093, 2024. S. Rajamanoharan et al., "Jumping ahead: improving
//! reconstruction fidelity with JumpReLU sparse autoencoders", arXiv 2407.14435, 2024. B. Bussmann,
//! P. Leask, N. Nanda, "BatchTopK sparse autoencoders", arXiv 2412.06410, 2024.

use std::sync::Arc;

use faer::{Mat, MatRef};
use num_traits::Float;
use rayon::prelude::*;

use super::{Coefficients, SparseCoder};
use crate::Scalar;
use crate::cpu::HostBackend;
use crate::cpu::pursuit::correlations::{BLOCK, Correlations};
use crate::cpu::pursuit::least_squares::LeastSquares;
use crate::cpu::scratch_pool::ScratchPool;
use crate::cpu::vector::loops;
use crate::error::{BackendError, Error};
use crate::matrix::column;
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};

/// The weights E (m × d) and bias c (m) of an encoder: sample y has the activations E y + c.
///
/// ```
/// use dbksvd::coder::{LinearEncoder, TopK};
/// use dbksvd::faer::{Mat, mat};
/// use dbksvd::{Dictionary, Model, Sign};
///
/// let dictionary = Dictionary::new(Mat::<f32>::identity(2, 2))?;
/// // Weights (d, m): an atom's column, and a bias for each atom.
/// let encoder = LinearEncoder::new(mat![[1.0, 0.0], [0.0, 1.0]], Some(vec![-0.5, 0.0]))?;
/// let model = Model::new(dictionary, None, 2, Sign::NonNegative)?;
/// let codes = model.encode(&TopK::by_encoder(encoder), mat![[0.75_f32], [2.0]].as_ref())?;
/// assert_eq!(codes.values(0), [2.0, 0.25]); // the largest first
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LinearEncoder<T: Scalar> {
    /// Eᵀ, d × m: one column for each atom.
    weights: Mat<T>,
    bias: Option<Vec<T>>,
}

impl<T: Scalar> LinearEncoder<T> {
    /// An encoder from Eᵀ (d × m), whose column j gives the activation of atom j, and a bias of
    /// length m. A row-major (m, d) array, such as the weights of PyTorch's `Linear`, has the same
    /// bytes as this column-major matrix.
    ///
    /// # Errors
    /// [`Error::Argument`] for weights without rows or columns, for values that are not finite, for
    /// columns whose norm, and for a bias whose size, is beyond the [range](crate#range), and for a
    /// bias that is not of length m.
    pub fn new(weights: Mat<T>, bias: Option<Vec<T>>) -> Result<Self, Error> {
        let (dim, atoms) = weights.shape();
        let most = |of: &str| format!("{of} of at most {:e} in {}", T::LARGEST_NORM, T::NAME);
        if dim == 0 || atoms == 0 {
            let found = format!("{dim} × {atoms}");
            return Err(Error::argument("weights", found, "at least one row and one column"));
        }
        for j in 0..atoms {
            if let Some(i) = loops::first_not_finite(weights.col_as_slice(j)) {
                let found = format!("{} at ({i}, {j})", weights[(i, j)]);
                return Err(Error::argument("weights", found, "finite values"));
            }
        }
        if let Some(bias) = &bias {
            if bias.len() != atoms {
                let expected = format!("{atoms} values, one per atom");
                return Err(Error::argument("bias", bias.len(), expected));
            }
            if let Some(j) = loops::first_not_finite(bias) {
                let found = format!("{} of atom {j}", bias[j]);
                return Err(Error::argument("bias", found, "finite values"));
            }
            if let Some(j) = bias.iter().position(|bias| bias.widen().abs() > T::LARGEST_NORM) {
                let found = format!("{} of atom {j}", bias[j]);
                return Err(Error::argument("bias", found, most("sizes")));
            }
        }
        // Activations of samples within the range are then finite.
        let norm = |j: usize| loops::energy(weights.col_as_slice(j)).sqrt();
        if let Some(j) = (0..atoms).find(|&j| norm(j) > T::LARGEST_NORM) {
            let found = format!("norm {:e} of column {j}", norm(j));
            return Err(Error::argument("weights", found, most("norms")));
        }
        Ok(Self { weights, bias })
    }

    /// Refuses another shape than that of the dictionary.
    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        let (dim, atoms) = self.weights.shape();
        if atoms != shape.atoms {
            let found = format!("weights for {atoms} atoms");
            return Err(Error::argument("encoder", found, format!("{} atoms", shape.atoms)));
        }
        // A builder that has not seen data yet checks with the largest possible dimension.
        if dim != shape.dim && shape.dim != usize::MAX {
            let found = format!("weights for samples of dimension {dim}");
            return Err(Error::argument("encoder", found, format!("dimension {}", shape.dim)));
        }
        Ok(())
    }

    /// Hashes of the two arrays, as named values.
    fn parameters(&self) -> Parameters {
        let Self { weights, bias } = self;
        let bias = bias.as_ref().map(|bias| {
            Parameters::of("given").with_hash_of("hash", bias.iter().map(|b| b.widen()))
        });
        Parameters::of("linear")
            .with_hash_of("weights", weights.col_iter().flat_map(|w| w.iter().map(|w| w.widen())))
            .with("bias", bias)
    }

    /// Eᵀ, d × m.
    #[must_use]
    pub fn weights(&self) -> MatRef<'_, T> {
        self.weights.as_ref()
    }

    /// The bias c, of length m.
    #[must_use]
    pub fn bias(&self) -> Option<&[T]> {
        self.bias.as_deref()
    }
}

/// The k atoms with the largest activations, or those whose activation is above a threshold, chosen
/// all at once without a pursuit.
///
/// This is the fastest coder, and the one with the largest error: atoms that explain the same part
/// of a sample are chosen together. Without a refit ([`Coefficients::Refitted`]), codes on coherent
/// dictionaries may even leave an error above ‖y‖. Use it to code as an autoencoder does
/// ([`by_encoder`](Self::by_encoder)), and as the baseline for other coders.
///
/// The zero sample has the empty code, even with a bias. Activations of zero do not count as
/// nonzeros, so non-negative codes may have fewer than k nonzeros.
///
/// Complexity per sample: O(dm), and O(k²d) for a refit. Memory per thread: 129·m + 128·d scalars.
///
/// ```
/// use dbksvd::coder::TopK;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{Model, Sign};
///
/// let data = Planted::new(32, 64, 3, 100).generate::<f32>()?;
/// let model = Model::new(data.dictionary, None, 8, Sign::NonNegative)?;
/// // Correlations above a half, at most the 8 largest.
/// let codes = model.encode(&TopK::new().threshold(0.5), data.samples.as_ref())?;
/// assert!(codes.iter().all(|(_, values)| values.iter().all(|&value| value >= 0.5)));
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(bound(serialize = "T: serde::Serialize", deserialize = "T: serde::Deserialize<'de>"))
)]
#[non_exhaustive]
pub struct TopK<T: Scalar> {
    /// The source of the activations; `None` stands for the dictionary itself.
    #[cfg_attr(feature = "serde", serde(with = "crate::serialised::shared"))]
    pub encoder: Option<Arc<LinearEncoder<T>>>,
    /// θ: atoms are chosen whose |activation| is above this. In the units of the preprocessed
    /// samples.
    pub threshold: f64,
    /// Which coefficients the chosen atoms get.
    pub coefficients: Coefficients,
}

impl<T: Scalar> Default for TopK<T> {
    fn default() -> Self {
        Self { encoder: None, threshold: 0.0, coefficients: Coefficients::AsChosen }
    }
}

impl<T: Scalar> TopK<T> {
    /// Activations are the projections Dᵀy on the dictionary's own atoms.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The activations are those of an encoder, which must have the dictionary's shape.
    #[must_use]
    pub fn by_encoder(encoder: LinearEncoder<T>) -> Self {
        Self { encoder: Some(Arc::new(encoder)), ..Self::default() }
    }

    /// Only atoms whose |activation| is above this threshold are chosen, at most k. Default: 0.
    #[must_use]
    pub fn threshold(mut self, threshold: f64) -> Self {
        self.threshold = threshold;
        self
    }

    /// Whether coefficients are the activations or are refitted. Default:
    /// [`Coefficients::AsChosen`].
    #[must_use]
    pub fn coefficients(mut self, coefficients: Coefficients) -> Self {
        self.coefficients = coefficients;
        self
    }
}

/// Scratch memory of [`TopK`].
#[derive(Debug)]
pub struct TopKState<T> {
    shape: ProblemShape,
    idle: ScratchPool<Scratch<T>>,
}

#[derive(Debug)]
struct Scratch<T> {
    products: Correlations<T>,
    activations: Vec<T>,
    /// The largest activations so far and their atoms, in falling order of size.
    best: Vec<(T, u32)>,
    support: Vec<u32>,
    squares: LeastSquares,
}

impl<T: Scalar> Scratch<T> {
    fn new(shape: &ProblemShape) -> Self {
        let k = shape.sparsity;
        Self {
            products: Correlations::new(shape.dim, shape.atoms),
            activations: vec![T::zero(); shape.atoms],
            best: Vec::with_capacity(k),
            support: Vec::with_capacity(k),
            squares: LeastSquares::new(k),
        }
    }
}

impl<B: HostBackend> SparseCoder<B> for TopK<B::Scalar> {
    type State = TopKState<B::Scalar>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        let threshold = self.threshold;
        if !(threshold >= 0.0 && threshold.is_finite()) {
            return Err(Error::argument("threshold", threshold, "finite and at least 0"));
        }
        self.encoder.as_ref().map_or(Ok(()), |encoder| encoder.check(shape))
    }

    fn prepare(&self, _: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        Ok(TopKState { shape: *shape, idle: ScratchPool::default() })
    }

    fn set_dictionary(
        &self,
        _: &B,
        _: &mut Self::State,
        _: &B::Matrix,
    ) -> Result<(), BackendError> {
        Ok(())
    }

    fn encode(
        &self,
        backend: &B,
        state: &Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let (dictionary, y) = (backend.view(dictionary), backend.view(y));
        let TopKState { shape, idle } = state;
        assert_eq!(dictionary.shape(), (shape.dim, shape.atoms), "the dictionary's shape");
        assert_eq!(y.nrows(), dictionary.nrows(), "the samples' dimension");
        let scorer = self.encoder.as_ref().map_or(dictionary, |encoder| encoder.weights());
        let bias = self.encoder.as_ref().and_then(|encoder| encoder.bias());
        let threshold = B::Scalar::narrow(self.threshold);
        codes.reset(y.ncols());
        codes.par_blocks_mut(BLOCK).for_each(|mut block| {
            let samples = y.subcols(block.first(), block.len());
            idle.with(
                || Scratch::new(shape),
                |scratch| {
                    let Scratch { products, activations, best, support, squares } = scratch;
                    let products = products.compute(backend, scorer, samples);
                    for i in 0..block.len() {
                        let sample = column(samples, i);
                        best.clear();
                        if sample.iter().any(|y| y.widen() != 0.0) {
                            activate(column(products, i), bias, shape.sign, activations);
                            largest(activations, threshold, shape.sparsity, best);
                        }
                        support.clear();
                        support.extend(best.iter().map(|&(_, atom)| atom));
                        block.write(i, |slots, values| match self.coefficients {
                            Coefficients::AsChosen => {
                                slots[..support.len()].copy_from_slice(support);
                                for (value, &atom) in values.iter_mut().zip(&*support) {
                                    *value = activations[atom as usize];
                                }
                                support.len()
                            }
                            Coefficients::Refitted => {
                                squares.fit(shape.sign, dictionary, sample, support);
                                squares.write(support, slots, values)
                            }
                        });
                    }
                },
            );
        });
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        let Self { encoder, threshold, coefficients } = self;
        Parameters::of("TopK")
            .with("coefficients", *coefficients)
            .with("threshold", *threshold)
            .with("encoder", encoder.as_deref().map(LinearEncoder::parameters))
    }
}

/// h ← products + bias. Negative values become zero if codes must not be negative.
pub(crate) fn activate<T: Scalar>(products: &[T], bias: Option<&[T]>, sign: Sign, h: &mut [T]) {
    h.copy_from_slice(products);
    if let Some(bias) = bias {
        loops::axpy(h, T::narrow(1.0), bias);
    }
    if sign == Sign::NonNegative {
        h.iter_mut().for_each(|h| *h = Float::max(*h, T::zero()));
    }
}

/// Lists the `count` largest |h| above `threshold` in falling order. If the values come in a random
/// order, few of them are larger than the least listed value: O(m + k² log(m/k)), and at most
/// O(km).
fn largest<T: Scalar>(h: &[T], threshold: T, count: usize, best: &mut Vec<(T, u32)>) {
    let mut least = threshold;
    for (atom, &h) in h.iter().enumerate() {
        let size = Float::abs(h);
        if size > least {
            if best.len() == count {
                best.pop();
            }
            let place = best.partition_point(|&(other, _)| other >= size);
            best.insert(place, (size, atom as u32));
            if best.len() == count {
                least = best[count - 1].0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares with sorting all values, including ties.
    #[test]
    fn the_largest_are_those_of_a_sort() {
        let h: Vec<f32> = (0..300).map(|i| ((i * 7919) % 101) as f32 - 50.0).collect();
        for count in [1, 2, 7, 100, 300] {
            let mut order: Vec<usize> = (0..h.len()).filter(|&i| h[i] != 0.0).collect();
            order.sort_by(|&a, &b| h[b].abs().total_cmp(&h[a].abs()).then(a.cmp(&b)));
            order.truncate(count);
            let mut best = Vec::new();
            largest(&h, 0.0, count, &mut best);
            let found: Vec<usize> = best.iter().map(|&(_, atom)| atom as usize).collect();
            assert_eq!(found, order, "{count}");
        }
    }

    /// Activations of which some are zero and do not count as nonzeros.
    #[test]
    fn zeros_are_not_chosen() {
        let mut best = Vec::new();
        largest(&[0.0, -2.0, 0.0, 1.0_f64], 0.0, 4, &mut best);
        assert_eq!(best, [(2.0, 1), (1.0, 3)]);
        best.clear();
        largest(&[0.0, -2.0, 0.0, 1.0_f64], 1.0, 4, &mut best);
        assert_eq!(best, [(2.0, 1)]);
    }
}
