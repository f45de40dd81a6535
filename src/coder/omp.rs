//! OMP and OLS by the book, in double precision: see [`double`](super::double).

use super::SparseCoder;
use crate::backend::{PursuitRule, Selection, Tolerance};
use crate::cpu::HostBackend;
use crate::cpu::pursuit::double::DoublePursuits;
use crate::error::{BackendError, Error};
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// OMP or OLS without a Gram matrix: the textbook algorithm.
///
/// Correlations are recomputed from the residual at every step, in double precision, so errors do
/// not add up: the coder for a handful of samples, for dictionaries whose Gram matrix does not fit,
/// and the oracle of [`BatchOmp`](super::BatchOmp), which is faster for many samples.
///
/// Atoms within 64 ε of the span of those chosen count as part of it, where ε is that of the
/// samples' scalar. Without a tolerance, a pursuit ends before its budget only where nothing but
/// the rounding of double precision is left.
///
/// Complexity per sample: O(kdm). Memory: for each thread, 2m + (k + 3)·d + k² doubles.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Omp {
    /// How atoms are chosen, and when a pursuit ends.
    pub rule: PursuitRule,
}

pursuit_setters!(Omp);

/// Scratch memory of [`Omp`].
#[derive(Debug)]
pub struct OmpState {
    shape: ProblemShape,
    pursuits: DoublePursuits,
}

impl<B: HostBackend> SparseCoder<B> for Omp {
    type State = OmpState;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.rule.check()
    }

    fn prepare(&self, _: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        Ok(OmpState { shape: *shape, pursuits: DoublePursuits::default() })
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
        state: &mut Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let (dictionary, y) = (backend.view(dictionary), backend.view(y));
        let OmpState { shape, pursuits } = &*state;
        pursuits.run(&self.rule, shape, dictionary, y, codes);
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        self.rule.parameters("Omp")
    }
}

impl From<PursuitRule> for Omp {
    fn from(rule: PursuitRule) -> Self {
        Self { rule }
    }
}
