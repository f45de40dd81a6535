//! OMP and OLS through the Gram matrix: the coder for many samples with one dictionary.

use super::{GRAM_LIMIT, SparseCoder};
use crate::backend::{PursuitKernels, PursuitRule, Selection, Tolerance};
use crate::error::{BackendError, Error};
use crate::group::Group;
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// OMP or OLS through the Gram matrix of the dictionary (batch-OMP): the default coder.
///
/// It runs on any backend with [`PursuitKernels`]. The following describes [`Faer`](crate::Faer).
///
/// The codes are those of [`Omp`](super::Omp), except for rounding and ties. If rounding might
/// decide which atom is chosen, the pursuit of that sample continues in double precision, as in
/// [`Omp`](super::Omp). This happens as soon as the best correlation is below 2·10⁴ ε‖y‖ (0.0024
/// ‖y‖ in `f32`), or ‖(I − P) d‖² of a chosen atom (with selection by least squares, of any atom)
/// is below 10⁵ ε. Such a step costs O(dm). For non-negative codes, the pursuit of such a sample
/// starts again from the beginning.
///
/// The Gram matrix, in 16-bit numbers, costs about as much as the correlations of m samples. So it
/// pays from a few m/k samples on; for fewer samples, use [`Omp`](super::Omp). A Gram matrix that
/// would be larger than [`gram_limit`](Self::gram_limit) is not built. Each step then computes the
/// correlations of a block of samples again, by a matrix product.
///
/// The first correlations are a product that the backend computes. For large problems of at least
/// 192 dimensions, on x86-64 with AVX2, it is a product of 16-bit numbers, which is faster. The
/// codes are equally exact, because atoms that the 16-bit product cannot decide between are
/// compared in full precision.
///
/// In `f32`, a residual tolerance is met to about 10⁻⁶ ‖y‖², since ‖r‖² is computed by subtraction
/// from ‖y‖². It is met exactly if ‖r‖² is below 10³ ε‖y‖².
///
/// Complexity per sample: O(dm + k²m); without the Gram matrix, O(kdm).
///
/// Calls with few samples (less than 128 for each thread) are cut into smaller blocks, so that all
/// threads take part, and one sample does not pay for a block: `cargo bench --bench latency`. The
/// bits are those of a sample among many.
///
/// Memory: 2m² bytes for the Gram matrix, 2dm bytes for the dictionary in 16-bit numbers and, per
/// thread, at most 136·m + 129·d + 4·(k + 16)² scalars. For signed codes of small problems (m ≤ 512
/// or m·k ≤ 8,192): m² scalars for the Gram matrix and, per thread, 132·m + 128·d + 2·k·m scalars.
/// Where the first correlations are not a product of 16-bit numbers: d·m scalars more once a second
/// call with one dictionary was of few samples. Without the Gram matrix: 128·(m + (k + 1)·d)
/// scalars per thread, and with selection by least squares 128·(3m + (k + 2)·d).
///
/// ```
/// use dbksvd::coder::{BatchOmp, Selection, Tolerance};
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{Model, Sign};
///
/// let data = Planted::new(32, 64, 3, 100).generate::<f32>()?;
/// let model = Model::new(data.dictionary, None, 8, Sign::Signed)?;
/// // At most 8 atoms, and no more than leave a hundredth of a sample's norm.
/// let coder = BatchOmp::new()
///     .selection(Selection::LeastSquares)
///     .tolerance(Tolerance::Relative(0.01));
/// let codes = model.encode(&coder, data.samples.as_ref())?;
/// assert!(codes.nnz() < 8 * 100);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct BatchOmp {
    /// How atoms are chosen, and when a pursuit ends.
    pub rule: PursuitRule,
    /// Bytes that the Gram matrix may take.
    pub gram_limit: usize,
}

impl Default for BatchOmp {
    fn default() -> Self {
        Self { rule: PursuitRule::default(), gram_limit: GRAM_LIMIT }
    }
}

pursuit_setters!(BatchOmp);

impl BatchOmp {
    /// Bytes that the Gram matrix may take. It takes about 2m² bytes for m atoms; if that is more
    /// than the limit, the coder works without it. Default: 4 GiB, which is enough for 46,313
    /// atoms.
    #[must_use]
    pub fn gram_limit(mut self, bytes: usize) -> Self {
        self.gram_limit = bytes;
        self
    }
}

impl<B: PursuitKernels> SparseCoder<B> for BatchOmp {
    type State = B::Pursuits;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.rule.check()
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        backend.prepare_pursuits(&self.rule, shape, self.gram_limit)
    }

    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError> {
        backend.set_pursuit_dictionary(state, dictionary)
    }

    fn set_dictionary_together(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
        group: &dyn Group,
    ) -> Result<(), BackendError> {
        backend.set_pursuit_dictionary_together(state, dictionary, group)
    }

    fn encode(
        &self,
        backend: &B,
        state: &Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        backend.pursue(state, dictionary, y, codes)
    }

    fn parameters(&self) -> Parameters {
        self.listed()
    }
}

impl BatchOmp {
    /// The parameters. The function depends on no backend type, so it is compiled in this crate.
    fn listed(&self) -> Parameters {
        let Self { rule, gram_limit } = *self;
        rule.parameters("BatchOmp").with("gram_limit", gram_limit)
    }
}
