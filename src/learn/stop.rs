//! When a run ends, and why it did.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::report::Evaluation;
use crate::error::Error;

/// Why learning ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub enum StopReason {
    /// All epochs were done.
    #[default]
    Completed,
    /// As many steps were taken as were allowed.
    Steps,
    /// The time was up.
    Time,
    /// The FVU aimed at was reached.
    TargetFvu,
    /// The FVU no longer improved.
    Plateau,
    /// An observer asked for it.
    Observer,
    /// A [`StopToken`] asked for it.
    Token,
    /// Something failed: reading, the samples read, the backend, a checkpoint.
    Failed,
}

impl StopReason {
    /// All of them, in an order by which owners tell each other.
    const ALL: [Self; 8] = [
        Self::Completed,
        Self::Steps,
        Self::Time,
        Self::TargetFvu,
        Self::Plateau,
        Self::Observer,
        Self::Token,
        Self::Failed,
    ];

    /// A number for each reason and for none, from which [`of_code`](Self::of_code) finds it.
    pub(super) fn code(reason: Option<Self>) -> u8 {
        let place = reason.and_then(|reason| Self::ALL.iter().position(|&other| other == reason));
        place.map_or(u8::MAX, |place| place as u8)
    }

    /// # Errors
    /// A number that stands for neither a reason nor none.
    pub(super) fn of_code(code: u8) -> Result<Option<Self>, String> {
        match Self::ALL.get(usize::from(code)) {
            Some(&reason) => Ok(Some(reason)),
            None if code == u8::MAX => Ok(None),
            None => Err(format!("{code} for a reason to stop, which it does not stand for")),
        }
    }

    /// The reason in a word or two, for logs: `completed`, `steps`, `time`, `target-fvu`,
    /// `plateau`, `observer`, `token` or `failed`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Steps => "steps",
            Self::Time => "time",
            Self::TargetFvu => "target-fvu",
            Self::Plateau => "plateau",
            Self::Observer => "observer",
            Self::Token => "token",
            Self::Failed => "failed",
        }
    }
}

/// A flag that asks a run to end after its current step. Clones are the same flag: one goes to the
/// run, another to whoever may ask, such as a handler of Ctrl-C.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::learn::{StopReason, StopToken};
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 2000).generate::<f32>()?;
/// let token = StopToken::new();
/// let for_another_thread = token.clone();
/// std::thread::spawn(move || for_another_thread.stop()).join().unwrap();
/// let learner = DbKsvd::builder(32, 3).build()?;
/// let fit = learner.run(&data.samples).stop_token(token).finish()?;
/// assert_eq!(fit.report.stop, StopReason::Token);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct StopToken(Arc<AtomicBool>);

impl StopToken {
    /// A flag that is not raised.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the end. Callable from any thread, and more than once.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// No improvement worth going on: the best [`fvu_within`](Evaluation::fvu_within) of the last
/// `window` evaluations is not below the best one before them by more than `least` of it.
/// Evaluations of which no sample is within the norm limit do not count.
///
/// The memory of the default updater brings a drop of its own in the second half of a run: a
/// plateau before that is not the last word.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::learn::Plateau;
/// use dbksvd::source::HeldOut;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 2000).noise(0.2).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3)
///     .held_out(HeldOut::Share(0.2))
///     .epochs(200)
///     .plateau(Plateau { window: 3, least: 0.05 })
///     .build()?;
/// let (_, report) = learner.fit(&data.samples)?;
/// assert!(report.epochs.len() < 200);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plateau {
    /// Evaluations that are looked at; at least 1.
    pub window: usize,
    /// The relative improvement that is worth going on for; in `0.0..1.0`.
    pub least: f64,
}

impl Plateau {
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.window == 0 {
            return Err(Error::argument("plateau.window", 0, "at least 1 evaluation"));
        }
        if !(0.0..1.0).contains(&self.least) {
            return Err(Error::argument("plateau.least", self.least, "at least 0 and below 1"));
        }
        Ok(())
    }

    pub(super) fn is_reached(&self, evaluations: &[Evaluation]) -> bool {
        let counted = evaluations.iter().filter(|evaluation| evaluation.is_of_rows_within());
        let errors: Vec<f64> = counted.map(|evaluation| evaluation.fvu_within).collect();
        let Some(split) = errors.len().checked_sub(self.window) else { return false };
        let best = |of: &[f64]| of.iter().copied().fold(f64::INFINITY, f64::min);
        let (before, recent) = errors.split_at(split);
        !before.is_empty() && best(recent) >= best(before) * (1.0 - self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_give_reasons_back() {
        for reason in StopReason::ALL.map(Some).into_iter().chain([None]) {
            assert_eq!(StopReason::of_code(StopReason::code(reason)), Ok(reason));
        }
    }

    #[test]
    fn evaluations_without_a_row_within_the_limit_say_nothing_of_a_plateau() {
        let evaluation = |(within, fvu_within): (usize, f64)| Evaluation {
            step: 1,
            epoch: 1,
            held_out: false,
            samples: 10,
            fvu: fvu_within,
            within,
            fvu_within,
            l0: 1.0,
            elapsed: 0.0,
        };
        let plateau = Plateau { window: 2, least: 0.01 };
        let is_reached = |of: &[(usize, f64)]| {
            plateau.is_reached(&of.iter().copied().map(evaluation).collect::<Vec<_>>())
        };
        assert!(is_reached(&[(9, 0.5), (9, 0.5), (9, 0.5)]));
        assert!(!is_reached(&[(9, 0.5), (9, 0.45), (9, 0.4)]));
        // Massive rows, which are represented well, end nothing, and hide nothing.
        assert!(!is_reached(&[(0, 1e-9), (9, 0.5), (9, 0.45)]));
        assert!(!is_reached(&[(9, 0.5), (0, 1e-9), (9, 0.4), (0, 1e-9)]));
        assert!(is_reached(&[(9, 0.5), (9, 0.5), (0, 1e-9), (9, 0.5)]));
        assert!(!is_reached(&[(0, 0.5), (0, 0.5), (0, 0.5), (0, 0.5)]));
    }
}
