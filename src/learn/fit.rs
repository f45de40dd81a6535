//! What a run gives.

use super::report::Report;
use super::run_state::Best;
use crate::Scalar;
use crate::error::Error;
use crate::model::Model;

/// What a run gives, whatever ended it.
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
