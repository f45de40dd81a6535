//! All updaters as one type, chosen at run time.

use dbksvd::backend::{AtomRule, Backend, LeadingPair, SweepKernels};
use dbksvd::error::BackendError;
use dbksvd::updater::state::{
    FixedState, IncoherentState, KSvdState, MatryoshkaUpdatesState, ModState, OnlineState,
};
use dbksvd::updater::{
    DictionaryUpdater, Fixed, Forgetting, Incoherent, KSvd, MatryoshkaUpdates, Memory, Mod, Online,
    Renewal, SavedState, Step, UpdateReport,
};
use dbksvd::{Error, Faer, Parameters, ProblemShape, Sign};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::coder::{Described, groups, parameter};
use crate::error::unexpected;
use crate::number::Number;

/// Any updater of the library.
#[derive(Clone, Debug)]
pub enum AnyUpdater {
    KSvd(KSvd),
    Mod(Mod),
    Online(Online),
    Fixed(Box<Fixed<AnyUpdater>>),
    Incoherent(Box<Incoherent<AnyUpdater>>),
    Matryoshka(Box<MatryoshkaUpdates<AnyUpdater>>),
}

type Sweep<T> = <Faer<T> as SweepKernels>::Sweep;

type GroupState<T> = <dbksvd::coder::BatchOmp as dbksvd::coder::SparseCoder<Faer<T>>>::State;

/// The state of any updater.
pub enum AnyState<T: Number> {
    KSvd(KSvdState<Sweep<T>>),
    Mod(ModState<Faer<T>>),
    Online(OnlineState<Faer<T>>),
    Fixed(Box<FixedState<Faer<T>, AnyState<T>>>),
    Incoherent(Box<IncoherentState<Faer<T>, AnyState<T>>>),
    Matryoshka(Box<MatryoshkaUpdatesState<Faer<T>, AnyState<T>, GroupState<T>>>),
}

/// Calls a method of the updater, whichever it is, with the state that belongs to it.
macro_rules! with_state {
    ($updater:expr, $state:expr, ($u:ident, $s:ident) => $call:expr) => {
        match ($updater, $state) {
            (AnyUpdater::KSvd($u), AnyState::KSvd($s)) => $call,
            (AnyUpdater::Mod($u), AnyState::Mod($s)) => $call,
            (AnyUpdater::Online($u), AnyState::Online($s)) => $call,
            (AnyUpdater::Fixed($u), AnyState::Fixed($s)) => $call,
            (AnyUpdater::Incoherent($u), AnyState::Incoherent($s)) => $call,
            (AnyUpdater::Matryoshka($u), AnyState::Matryoshka($s)) => $call,
            _ => unreachable!("a state is used with the updater that prepared it"),
        }
    };
}

/// Calls a method of the updater, whichever it is.
macro_rules! with_updater {
    ($updater:expr, $u:ident => $call:expr) => {
        match $updater {
            AnyUpdater::KSvd($u) => $call,
            AnyUpdater::Mod($u) => $call,
            AnyUpdater::Online($u) => $call,
            AnyUpdater::Fixed($u) => {
                let $u = &**$u;
                $call
            }
            AnyUpdater::Incoherent($u) => {
                let $u = &**$u;
                $call
            }
            AnyUpdater::Matryoshka($u) => {
                let $u = &**$u;
                $call
            }
        }
    };
}

impl<T: Number> DictionaryUpdater<Faer<T>> for AnyUpdater {
    type State = AnyState<T>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        with_updater!(self, updater => DictionaryUpdater::<Faer<T>>::check(updater, shape))
    }

    fn prepare(
        &self,
        backend: &Faer<T>,
        shape: &ProblemShape,
    ) -> Result<AnyState<T>, BackendError> {
        Ok(match self {
            Self::KSvd(updater) => AnyState::KSvd(updater.prepare(backend, shape)?),
            Self::Mod(updater) => AnyState::Mod(updater.prepare(backend, shape)?),
            Self::Online(updater) => AnyState::Online(updater.prepare(backend, shape)?),
            Self::Fixed(updater) => AnyState::Fixed(Box::new(updater.prepare(backend, shape)?)),
            Self::Incoherent(updater) => {
                AnyState::Incoherent(Box::new(updater.prepare(backend, shape)?))
            }
            Self::Matryoshka(updater) => {
                AnyState::Matryoshka(Box::new(updater.prepare(backend, shape)?))
            }
        })
    }

    fn update(
        &self,
        backend: &Faer<T>,
        state: &mut AnyState<T>,
        y: &<Faer<T> as Backend>::Matrix,
        codes: &mut <Faer<T> as Backend>::Codes,
        dictionary: &mut <Faer<T> as Backend>::Matrix,
        step: &Step<'_>,
    ) -> Result<UpdateReport, BackendError> {
        with_state!(
            self, state,
            (updater, state) => updater.update(backend, state, y, codes, dictionary, step)
        )
    }

    fn save(&self, backend: &Faer<T>, state: &AnyState<T>) -> Result<SavedState<T>, BackendError> {
        with_state!(self, state, (updater, state) => updater.save(backend, state))
    }

    fn restore(
        &self,
        backend: &Faer<T>,
        state: &mut AnyState<T>,
        saved: &SavedState<T>,
    ) -> Result<(), Error> {
        with_state!(self, state, (updater, state) => updater.restore(backend, state, saved))
    }

    fn parameters(&self) -> Parameters {
        // The parameters do not depend on the scalar.
        with_updater!(self, updater => DictionaryUpdater::<Faer<f32>>::parameters(updater))
    }
}

impl AnyUpdater {
    /// The updater that is described.
    pub fn new(described: &Described<'_>) -> PyResult<Self> {
        let (name, of) = described;
        Ok(match name.as_str() {
            "ksvd" => Self::KSvd(ksvd(of)?),
            "mod" => Self::Mod(Mod::new().ridge(parameter(of, "ridge")?).renewal(renewal(of)?)),
            "online" => {
                let retention: Option<f64> = parameter(of, "retention")?;
                let forgetting = match retention {
                    Some(retention) => Forgetting::Retention { retention },
                    None => Forgetting::Power { exponent: parameter(of, "exponent")? },
                };
                let updater = Online::new().forgetting(forgetting);
                Self::Online(
                    updater
                        .sweeps(parameter(of, "sweeps")?)
                        .atom_sign(atom_sign(of)?)
                        .renewal(renewal(of)?),
                )
            }
            "fixed" => {
                let inner = Self::new(&parameter(of, "updater")?)?;
                let atoms: Vec<u32> = parameter(of, "atoms")?;
                let updater = Fixed::new(inner, atoms).until(parameter(of, "until")?);
                Self::Fixed(Box::new(updater.max_coherence(parameter(of, "max_coherence")?)))
            }
            "incoherent" => {
                let inner = Self::new(&parameter(of, "updater")?)?;
                let updater = Incoherent::new(inner, parameter(of, "max_coherence")?);
                Self::Incoherent(Box::new(updater.iterations(parameter(of, "iterations")?)))
            }
            "matryoshka" => {
                let inner = Self::new(&parameter(of, "updater")?)?;
                Self::Matryoshka(Box::new(MatryoshkaUpdates::new(groups(of)?).updater(inner)))
            }
            name => return Err(unexpected("updater", format!("{name:?}"), "an updater's name")),
        })
    }
}

fn ksvd(of: &Bound<'_, PyDict>) -> PyResult<KSvd> {
    let power_steps: Option<usize> = parameter(of, "power_steps")?;
    let memory: Option<(f64, f64, f64)> = parameter(of, "memory")?;
    if power_steps == Some(0) {
        return Err(unexpected("power_steps", 0, "at least 1, or None for the exact pair"));
    }
    let is_shared: bool = parameter(of, "shared_residual")?;
    Ok(KSvd::new()
        .atom_batch(parameter(of, "atom_batch")?)
        .leading_pair(match power_steps {
            None => LeadingPair::Exact,
            Some(iterations) => LeadingPair::Power { iterations },
        })
        .atom_rule(if is_shared { AtomRule::Shared } else { AtomRule::Refitted })
        .sweeps(parameter(of, "sweeps")?)
        .memory(memory.map(|(start, full, retention)| Memory { start, full, retention }))
        .atom_sign(atom_sign(of)?)
        .renewal(renewal(of)?))
}

fn atom_sign(of: &Bound<'_, PyDict>) -> PyResult<Sign> {
    let is_positive: bool = parameter(of, "positive_atoms")?;
    Ok(if is_positive { Sign::NonNegative } else { Sign::Signed })
}

fn renewal(of: &Bound<'_, PyDict>) -> PyResult<Option<Renewal>> {
    let is_on: bool = parameter(of, "renewal")?;
    Ok(is_on.then(Renewal::default))
}
