//! All coders as one type, chosen at run time.

use dbksvd::backend::PursuitRule;
use dbksvd::coder::state::{
    ExactState, MatchingPursuitState, MatryoshkaState, OmpState, SwapsState, ThresholdPursuitState,
    TopKState,
};
use dbksvd::coder::{
    BatchOmp, Coefficients, Exact, MatchingPursuit, Matryoshka, Omp, Phase, Selection, SparseCoder,
    Swaps, ThresholdPursuit, Tolerance, TopK,
};
use dbksvd::error::BackendError;
use dbksvd::{Error, Faer, Groups, Parameters, ProblemShape};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error::unexpected;
use crate::number::Number;

/// Any coder of the library.
#[derive(Clone, Debug)]
pub enum AnyCoder<T: Number> {
    BatchOmp(BatchOmp),
    Omp(Omp),
    MatchingPursuit(MatchingPursuit),
    Threshold(ThresholdPursuit),
    Swaps(Box<Swaps<AnyCoder<T>>>),
    TopK(TopK<T>),
    Exact(Exact),
    Matryoshka(Box<Matryoshka<AnyCoder<T>>>),
}

type Pursuits<T> = <BatchOmp as SparseCoder<Faer<T>>>::State;

/// The state of any coder.
pub enum AnyState<T: Number> {
    BatchOmp(Pursuits<T>),
    Omp(OmpState),
    MatchingPursuit(MatchingPursuitState<T>),
    Threshold(ThresholdPursuitState<T>),
    Swaps(Box<SwapsState<AnyState<T>, T>>),
    TopK(TopKState<T>),
    Exact(ExactState),
    Matryoshka(Box<MatryoshkaState<Faer<T>, AnyState<T>>>),
}

/// Calls a method of the coder, whichever it is, with the state that belongs to it.
macro_rules! with_state {
    ($coder:expr, $state:expr, ($c:ident, $s:ident) => $call:expr) => {
        match ($coder, $state) {
            (AnyCoder::BatchOmp($c), AnyState::BatchOmp($s)) => $call,
            (AnyCoder::Omp($c), AnyState::Omp($s)) => $call,
            (AnyCoder::MatchingPursuit($c), AnyState::MatchingPursuit($s)) => $call,
            (AnyCoder::Threshold($c), AnyState::Threshold($s)) => $call,
            (AnyCoder::Swaps($c), AnyState::Swaps($s)) => {
                let ($c, $s) = (&**$c, &mut **$s);
                $call
            }
            (AnyCoder::TopK($c), AnyState::TopK($s)) => $call,
            (AnyCoder::Exact($c), AnyState::Exact($s)) => $call,
            (AnyCoder::Matryoshka($c), AnyState::Matryoshka($s)) => {
                let ($c, $s) = (&**$c, &mut **$s);
                $call
            }
            _ => unreachable!("a state is used with the coder that prepared it"),
        }
    };
}

/// Calls a method of the coder, whichever it is.
macro_rules! with_coder {
    ($coder:expr, $c:ident => $call:expr) => {
        match $coder {
            AnyCoder::BatchOmp($c) => $call,
            AnyCoder::Omp($c) => $call,
            AnyCoder::MatchingPursuit($c) => $call,
            AnyCoder::Threshold($c) => $call,
            AnyCoder::Swaps($c) => {
                let $c = &**$c;
                $call
            }
            AnyCoder::TopK($c) => $call,
            AnyCoder::Exact($c) => $call,
            AnyCoder::Matryoshka($c) => {
                let $c = &**$c;
                $call
            }
        }
    };
}

impl<T: Number> SparseCoder<Faer<T>> for AnyCoder<T> {
    type State = AnyState<T>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        with_coder!(self, coder => SparseCoder::<Faer<T>>::check(coder, shape))
    }

    fn prepare(
        &self,
        backend: &Faer<T>,
        shape: &ProblemShape,
    ) -> Result<AnyState<T>, BackendError> {
        Ok(match self {
            Self::BatchOmp(coder) => AnyState::BatchOmp(coder.prepare(backend, shape)?),
            Self::Omp(coder) => AnyState::Omp(coder.prepare(backend, shape)?),
            Self::MatchingPursuit(coder) => {
                AnyState::MatchingPursuit(coder.prepare(backend, shape)?)
            }
            Self::Threshold(coder) => AnyState::Threshold(coder.prepare(backend, shape)?),
            Self::Swaps(coder) => AnyState::Swaps(Box::new(coder.prepare(backend, shape)?)),
            Self::TopK(coder) => AnyState::TopK(coder.prepare(backend, shape)?),
            Self::Exact(coder) => AnyState::Exact(coder.prepare(backend, shape)?),
            Self::Matryoshka(coder) => {
                AnyState::Matryoshka(Box::new(coder.prepare(backend, shape)?))
            }
        })
    }

    fn set_dictionary(
        &self,
        backend: &Faer<T>,
        state: &mut AnyState<T>,
        dictionary: &<Faer<T> as dbksvd::backend::Backend>::Matrix,
    ) -> Result<(), BackendError> {
        with_state!(self, state, (coder, state) => coder.set_dictionary(backend, state, dictionary))
    }

    fn encode(
        &self,
        backend: &Faer<T>,
        state: &mut AnyState<T>,
        dictionary: &<Faer<T> as dbksvd::backend::Backend>::Matrix,
        y: &<Faer<T> as dbksvd::backend::Backend>::Matrix,
        codes: &mut <Faer<T> as dbksvd::backend::Backend>::Codes,
    ) -> Result<(), BackendError> {
        with_state!(
            self, state, (coder, state) => coder.encode(backend, state, dictionary, y, codes)
        )
    }

    fn set_phase(&self, backend: &Faer<T>, state: &mut AnyState<T>, phase: &Phase<'_>) {
        with_state!(self, state, (coder, state) => coder.set_phase(backend, state, phase));
    }

    fn parameters(&self) -> Parameters {
        with_coder!(self, coder => SparseCoder::<Faer<T>>::parameters(coder))
    }
}

/// `(name, parameters)`, as the classes of `dbksvd.coders` describe themselves.
pub type Described<'py> = (String, Bound<'py, PyDict>);

/// A parameter of a description.
pub fn parameter<'py, V>(of: &Bound<'py, PyDict>, name: &str) -> PyResult<V>
where
    V: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    let value = of.get_item(name)?.ok_or_else(|| unexpected(name, "missing", "a value"))?;
    value.extract()
}

impl<T: Number> AnyCoder<T> {
    /// The coder that is described; `learned` is the linear coder of the model, if it has one.
    pub fn new(described: &Described<'_>, learned: Option<&TopK<T>>) -> PyResult<Self> {
        let (name, of) = described;
        let coefficients = |of| -> PyResult<Coefficients> {
            let is_refitted: bool = parameter(of, "refit")?;
            Ok(if is_refitted { Coefficients::Refitted } else { Coefficients::AsChosen })
        };
        Ok(match name.as_str() {
            "batch_omp" => {
                let mut coder = BatchOmp::new();
                coder.rule = rule(of)?;
                if let Some(bytes) = parameter(of, "gram_limit")? {
                    coder = coder.gram_limit(bytes);
                }
                Self::BatchOmp(coder)
            }
            "textbook_omp" => Self::Omp(Omp::from(rule(of)?)),
            "matching_pursuit" => {
                let mut coder = MatchingPursuit::new().coefficients(coefficients(of)?);
                if let Some(tolerance) = tolerance(of)? {
                    coder = coder.tolerance(tolerance);
                }
                if let Some(least) = parameter(of, "min_correlation")? {
                    coder = coder.min_correlation(least);
                }
                Self::MatchingPursuit(coder)
            }
            "threshold" => Self::Threshold(
                ThresholdPursuit::new(parameter(of, "threshold")?)
                    .share(parameter(of, "share")?)
                    .prune(parameter(of, "prune")?),
            ),
            "threshold_of_noise" => {
                Self::Threshold(ThresholdPursuit::of_noise(parameter(of, "noise")?))
            }
            "swaps" => {
                let start = Self::new(&parameter(of, "start")?, learned)?;
                let mut coder = Swaps::after(start);
                if let Some(swaps) = parameter(of, "max_swaps")? {
                    coder = coder.max_swaps(swaps);
                }
                Self::Swaps(Box::new(coder))
            }
            "top_k" => Self::TopK(
                TopK::new().threshold(parameter(of, "threshold")?).coefficients(coefficients(of)?),
            ),
            "linear" => {
                let expected = "a coder, since this model was learned without a linear one";
                let coder = learned.ok_or_else(|| unexpected("coder", "\"linear\"", expected))?;
                Self::TopK(coder.clone())
            }
            "exact" => Self::Exact(Exact),
            "matryoshka" => {
                let inner = Self::new(&parameter(of, "coder")?, learned)?;
                Self::Matryoshka(Box::new(Matryoshka::new(groups(of)?).coder(inner)))
            }
            name => return Err(unexpected("coder", format!("{name:?}"), "the name of a coder")),
        })
    }
}

fn rule(of: &Bound<'_, PyDict>) -> PyResult<PursuitRule> {
    let is_least_squares: bool = parameter(of, "ols")?;
    Ok(PursuitRule {
        selection: if is_least_squares { Selection::LeastSquares } else { Selection::Correlation },
        tolerance: tolerance(of)?,
        min_correlation: parameter(of, "min_correlation")?,
    })
}

fn tolerance(of: &Bound<'_, PyDict>) -> PyResult<Option<Tolerance>> {
    let (absolute, relative) = (parameter(of, "tol")?, parameter(of, "relative_tol")?);
    match (absolute, relative) {
        (Some(_), Some(relative)) => {
            let found: f64 = relative;
            Err(unexpected("relative_tol", found, "None, since `tol` is given"))
        }
        (absolute, relative) => {
            Ok(absolute.map(Tolerance::Absolute).or(relative.map(Tolerance::Relative)))
        }
    }
}

/// The groups of a description.
pub fn groups(of: &Bound<'_, PyDict>) -> PyResult<Groups> {
    let sizes: Vec<usize> = parameter(of, "sizes")?;
    let budgets: Option<Vec<usize>> = parameter(of, "budgets")?;
    let groups = Groups::new(sizes);
    Ok(match budgets {
        None => groups,
        Some(budgets) => groups.budgets(budgets),
    })
}
