//! What a run gives.

use super::report::Report;
use super::run_state::Best;
use crate::Scalar;
use crate::error::Error;
use crate::model::Model;

/// What a run gives, whatever ended it.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::source::HeldOut;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 2000).noise(0.1).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(3).held_out(HeldOut::Share(0.1)).build()?;
/// let fit = learner.run(&data.samples).finish()?;
/// if let Some(failure) = &fit.failure {
///     eprintln!("ended after {} steps: {failure}", fit.report.steps);
/// }
/// let best = fit.best.expect("held-out samples choose one");
/// println!("least held-out FVU {:.3}, after {} steps", best.fvu, best.step);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub struct Fit<T: Scalar> {
    /// The dictionary after the last step.
    pub model: Model<T>,
    /// The dictionary that did best on the held-out samples, on those within the norm limit where
    /// there is one; `None` without any, or before the first evaluation.
    pub best: Option<Best<T>>,
    /// The course of the run.
    pub report: Report,
    /// What failed, if [`Report::stop`] is [`StopReason::Failed`](super::StopReason::Failed). The
    /// models are those of the steps before.
    pub failure: Option<Error>,
}

impl<T: Scalar> Fit<T> {
    /// The last model and the report, or what failed.
    ///
    /// # Errors
    /// [`failure`](Self::failure).
    pub fn into_result(self) -> Result<(Model<T>, Report), Error> {
        match self.failure {
            None => Ok((self.model, self.report)),
            Some(error) => Err(error),
        }
    }
}
