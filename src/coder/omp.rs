//! OMP and OLS as in the textbook, in double precision; see [`double`](super::double).

use super::SparseCoder;
use crate::backend::{PursuitRule, Selection, Tolerance};
use crate::cpu::HostBackend;
use crate::cpu::pursuit::double::DoublePursuits;
use crate::error::{BackendError, Error};
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// OMP or OLS without a Gram matrix: the textbook algorithm.
///
/// Every step computes the correlations anew from the residual, in double precision, so errors do
/// not add up. Use it as a reference, or where coefficients must be of double precision; without a
/// kept [`Encoder`](crate::Encoder), also for a few samples of a large dictionary, whose Gram
/// matrix would take longer than they do. With a kept encoder, [`BatchOmp`](super::BatchOmp) is
/// tens of times as fast even for one sample (`cargo bench --bench latency`), and it also goes
/// without the Gram matrix where that is large ([`gram_limit`](super::BatchOmp::gram_limit)).
///
/// An atom within 64 ε of the span of the chosen atoms counts as part of it, where ε is that of the
/// samples' scalar. Without a tolerance, a pursuit ends before its budget only if nothing but the
/// rounding of double precision is left.
///
/// Complexity per sample: O(kdm). Memory per thread: 2m + (k + 3)·d + k² doubles.
///
/// ```
/// use dbksvd::coder::{BatchOmp, Omp};
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{Model, Sign};
///
/// let data = Planted::new(32, 64, 3, 100).generate::<f64>()?;
/// let model = Model::new(data.dictionary, None, 3, Sign::Signed)?;
/// let codes = model.encode(&Omp::new(), data.samples.as_ref())?;
/// let faster = model.encode(&BatchOmp::new(), data.samples.as_ref())?;
/// assert!((0..100).all(|i| codes.support(i) == faster.support(i)));
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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
        state: &Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let (dictionary, y) = (backend.view(dictionary), backend.view(y));
        let OmpState { shape, pursuits } = state;
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
