//! OMP and OLS through the Gram matrix: the coder for many samples on one dictionary.

use super::{GRAM_LIMIT, SparseCoder};
use crate::backend::{PursuitKernels, PursuitRule, Selection, Tolerance};
use crate::error::{BackendError, Error};
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// OMP or OLS through the Gram matrix of the dictionary (batch-OMP): the default coder.
///
/// It runs on any backend with [`PursuitKernels`]; what follows is said of [`Faer`](crate::Faer).
///
/// The codes are those of [`Omp`](super::Omp) up to rounding and ties. Where rounding might decide,
/// a sample's pursuit goes on in double precision, as [`Omp`](super::Omp) does it: once the best
/// correlation is below 2·10⁴ ε‖y‖ (0.0024 ‖y‖ in `f32`), or ‖(I − P) d‖² of a chosen atom (of any
/// atom, with selection by least squares) is below 10⁵ ε. Such steps cost O(dm) each; non-negative
/// codes are begun anew.
///
/// It needs the Gram matrix, in 16-bit numbers, which costs about as much as the correlations of m
/// samples, so it pays from a few m/k samples on; for fewer, use [`Omp`](super::Omp). A Gram matrix
/// beyond [`gram_limit`](Self::gram_limit) is not built: each step then computes the correlations
/// of a block of samples anew, by a matrix product.
///
/// Correlations begin with a product of the backend's, or, on x86-64 with AVX2 and for 192
/// dimensions or more of large problems, of 16-bit numbers, which is faster: codes are as exact,
/// since what that leaves in question is looked at in full precision.
///
/// A residual tolerance is met to about 10⁻⁶ ‖y‖² in `f32`, since ‖r‖² is found by subtracting from
/// ‖y‖², and exactly where ‖r‖² is below 10³ ε‖y‖².
///
/// Complexity per sample: O(dm + k²m); without the Gram matrix, O(kdm). Memory: 2m² bytes for the
/// Gram matrix, 2dm for the dictionary in 16-bit numbers and, for each thread, at most 136·m +
/// 129·d + 4·(k + 16)² scalars. For signed codes of small problems (m ≤ 512 or m·k ≤ 8,192) m²
/// scalars for the Gram matrix and, for each thread, 132·m + 128·d + 2·k·m. Without the Gram
/// matrix, for each thread 128·(m + (k + 1)·d) scalars, and with selection by least squares
/// 128·(3m + (k + 2)·d).
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// Bytes that the Gram matrix may take, about 2m² for m atoms; where that is more, the coder
    /// does without. Default: 4 GiB, which is up to 46,313 atoms.
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

    fn encode(
        &self,
        backend: &B,
        state: &mut Self::State,
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
    /// Of no type of backend, and so compiled in this crate.
    fn listed(&self) -> Parameters {
        let Self { rule, gram_limit } = *self;
        rule.parameters("BatchOmp").with("gram_limit", gram_limit)
    }
}
