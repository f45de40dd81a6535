//! The coders of this crate as one type, for programs that choose at run time.

use super::state::{
    ExactState, LassoState, MatchingPursuitState, MatryoshkaState, OmpState, SwapsState,
    ThresholdPursuitState, TopKState,
};
use super::{
    BatchOmp, Exact, Lasso, MatchingPursuit, Matryoshka, Omp, Phase, SparseCoder, Swaps,
    ThresholdPursuit, TopK,
};
use crate::Scalar;
use crate::backend::PursuitKernels;
use crate::cpu::HostBackend;
use crate::error::{BackendError, Error};
use crate::group::Group;
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// Any coder of this crate: one type for all, chosen at run time.
///
/// Codes, errors and [`parameters`](SparseCoder::parameters) are those of the coder that was
/// chosen, so a checkpoint does not tell an `AnyCoder` from the coder itself. A program that knows
/// its coder beforehand should use that type: it compiles faster.
///
/// ```
/// use dbksvd::coder::{AnyCoder, BatchOmp, Selection, Swaps, TopK};
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{Encoder, Faer, Model, Sign};
///
/// fn coder_of(name: &str) -> Option<AnyCoder> {
///     Some(match name {
///         "omp" => BatchOmp::new().into(),
///         "ols" => BatchOmp::new().selection(Selection::LeastSquares).into(),
///         "ols and swaps" => Swaps::after(coder_of("ols")?).into(),
///         "one shot" => TopK::new().into(),
///         _ => return None,
///     })
/// }
///
/// let data = Planted::new(16, 24, 2, 100).generate::<f32>()?;
/// let model = Model::new(data.dictionary, None, 2, Sign::Signed)?;
/// let coder = coder_of("ols and swaps").expect("one of the names above");
/// let encoder: Encoder<Faer<f32>, AnyCoder> = model.encoder(coder)?;
/// assert_eq!(encoder.encode(data.samples.as_ref())?.samples(), 100);
/// # Ok::<(), dbksvd::Error>(())
/// ```
///
/// # Panics
/// Calls of [`SparseCoder`] with the state that a coder of another kind has
/// [prepared](SparseCoder::prepare). [`Encoder`](crate::Encoder) and learning keep them together.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum AnyCoder<T: Scalar = f32> {
    /// OMP or OLS through the Gram matrix.
    BatchOmp(BatchOmp),
    /// OMP or OLS as in the textbook.
    Omp(Omp),
    /// Matching pursuit.
    MatchingPursuit(MatchingPursuit),
    /// Pursuit down to a threshold.
    ThresholdPursuit(ThresholdPursuit),
    /// Local search from the codes of another coder.
    Swaps(Box<Swaps<AnyCoder<T>>>),
    /// One-shot coding.
    TopK(TopK<T>),
    /// The optimum of small problems.
    Exact(Exact),
    /// The lasso.
    Lasso(Lasso),
    /// Groups of atoms in turn.
    Matryoshka(Box<Matryoshka<AnyCoder<T>>>),
}

impl<T: Scalar> Default for AnyCoder<T> {
    fn default() -> Self {
        Self::BatchOmp(BatchOmp::default())
    }
}

macro_rules! from_coders {
    ($($coder:ident $(<$scalar:ident>)?),*) => {$(
        impl<T: Scalar> From<$coder $(<$scalar>)?> for AnyCoder<T> {
            fn from(coder: $coder $(<$scalar>)?) -> Self {
                Self::$coder(coder)
            }
        }
    )*};
}

from_coders!(BatchOmp, Omp, MatchingPursuit, ThresholdPursuit, TopK<T>, Exact, Lasso);

impl<T: Scalar, C: Into<AnyCoder<T>>> From<Swaps<C>> for AnyCoder<T> {
    fn from(coder: Swaps<C>) -> Self {
        let Swaps { start, max_swaps, gram_limit } = coder;
        Self::Swaps(Box::new(Swaps { start: start.into(), max_swaps, gram_limit }))
    }
}

impl<T: Scalar, C: Into<AnyCoder<T>>> From<Matryoshka<C>> for AnyCoder<T> {
    fn from(coder: Matryoshka<C>) -> Self {
        let Matryoshka { groups, coder } = coder;
        Self::Matryoshka(Box::new(Matryoshka { groups, coder: coder.into() }))
    }
}

/// The state of an [`AnyCoder`]: that of the coder that was chosen.
pub struct AnyState<B: HostBackend + PursuitKernels>(State<B>);

enum State<B: HostBackend + PursuitKernels> {
    BatchOmp(B::Pursuits),
    Omp(OmpState),
    MatchingPursuit(MatchingPursuitState<B::Scalar>),
    ThresholdPursuit(ThresholdPursuitState<B::Scalar>),
    Swaps(Box<SwapsState<AnyState<B>, B::Scalar>>),
    TopK(TopKState<B::Scalar>),
    Exact(ExactState),
    Lasso(LassoState),
    Matryoshka(Box<MatryoshkaState<B, AnyState<B>>>),
}

impl<B: HostBackend + PursuitKernels> std::fmt::Debug for AnyState<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = match &self.0 {
            State::BatchOmp(_) => "BatchOmp",
            State::Omp(_) => "Omp",
            State::MatchingPursuit(_) => "MatchingPursuit",
            State::ThresholdPursuit(_) => "ThresholdPursuit",
            State::Swaps(_) => "Swaps",
            State::TopK(_) => "TopK",
            State::Exact(_) => "Exact",
            State::Lasso(_) => "Lasso",
            State::Matryoshka(_) => "Matryoshka",
        };
        write!(f, "AnyState({name})")
    }
}

/// Calls a method of the coder, whichever it is.
macro_rules! with_coder {
    ($coder:expr, $c:ident => $call:expr) => {
        match $coder {
            AnyCoder::BatchOmp($c) => $call,
            AnyCoder::Omp($c) => $call,
            AnyCoder::MatchingPursuit($c) => $call,
            AnyCoder::ThresholdPursuit($c) => $call,
            AnyCoder::Swaps(coder) => {
                let $c = &**coder;
                $call
            }
            AnyCoder::TopK($c) => $call,
            AnyCoder::Exact($c) => $call,
            AnyCoder::Lasso($c) => $call,
            AnyCoder::Matryoshka(coder) => {
                let $c = &**coder;
                $call
            }
        }
    };
}

/// Calls a method of the coder, whichever it is, with the state that belongs to it. `as_ref` or
/// `as_mut` says how the state in a box is borrowed.
macro_rules! with_state {
    ($coder:expr, $state:expr, $borrow:ident, ($c:ident, $s:ident) => $call:expr) => {
        match ($coder, $state) {
            (AnyCoder::BatchOmp($c), State::BatchOmp($s)) => $call,
            (AnyCoder::Omp($c), State::Omp($s)) => $call,
            (AnyCoder::MatchingPursuit($c), State::MatchingPursuit($s)) => $call,
            (AnyCoder::ThresholdPursuit($c), State::ThresholdPursuit($s)) => $call,
            (AnyCoder::Swaps(coder), State::Swaps(state)) => {
                let ($c, $s) = (&**coder, state.$borrow());
                $call
            }
            (AnyCoder::TopK($c), State::TopK($s)) => $call,
            (AnyCoder::Exact($c), State::Exact($s)) => $call,
            (AnyCoder::Lasso($c), State::Lasso($s)) => $call,
            (AnyCoder::Matryoshka(coder), State::Matryoshka(state)) => {
                let ($c, $s) = (&**coder, state.$borrow());
                $call
            }
            _ => panic!("a state is used with the coder that prepared it"),
        }
    };
}

impl<B: HostBackend + PursuitKernels> SparseCoder<B> for AnyCoder<B::Scalar> {
    type State = AnyState<B>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        with_coder!(self, coder => SparseCoder::<B>::check(coder, shape))
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<AnyState<B>, BackendError> {
        Ok(AnyState(match self {
            Self::BatchOmp(coder) => State::BatchOmp(coder.prepare(backend, shape)?),
            Self::Omp(coder) => State::Omp(coder.prepare(backend, shape)?),
            Self::MatchingPursuit(coder) => State::MatchingPursuit(coder.prepare(backend, shape)?),
            Self::ThresholdPursuit(coder) => {
                State::ThresholdPursuit(coder.prepare(backend, shape)?)
            }
            Self::Swaps(coder) => State::Swaps(Box::new(coder.prepare(backend, shape)?)),
            Self::TopK(coder) => State::TopK(coder.prepare(backend, shape)?),
            Self::Exact(coder) => State::Exact(coder.prepare(backend, shape)?),
            Self::Lasso(coder) => State::Lasso(coder.prepare(backend, shape)?),
            Self::Matryoshka(coder) => State::Matryoshka(Box::new(coder.prepare(backend, shape)?)),
        }))
    }

    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut AnyState<B>,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError> {
        with_state!(self, &mut state.0, as_mut, (coder, state) => {
            coder.set_dictionary(backend, state, dictionary)
        })
    }

    fn set_dictionary_together(
        &self,
        backend: &B,
        state: &mut AnyState<B>,
        dictionary: &B::Matrix,
        group: &dyn Group,
    ) -> Result<(), BackendError> {
        with_state!(self, &mut state.0, as_mut, (coder, state) => {
            coder.set_dictionary_together(backend, state, dictionary, group)
        })
    }

    fn encode(
        &self,
        backend: &B,
        state: &AnyState<B>,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        with_state!(self, &state.0, as_ref, (coder, state) => {
            coder.encode(backend, state, dictionary, y, codes)
        })
    }

    fn set_phase(&self, backend: &B, state: &mut AnyState<B>, phase: &Phase<'_>) {
        with_state!(self, &mut state.0, as_mut, (coder, state) => {
            coder.set_phase(backend, state, phase);
        });
    }

    fn parameters(&self) -> Parameters {
        with_coder!(self, coder => SparseCoder::<B>::parameters(coder))
    }
}
