//! Events for `tracing`.

use std::ops::ControlFlow;

use tracing::{debug, info, warn};

use crate::Scalar;
use crate::error::Error;
use crate::learn::{
    CheckpointReport, EpochReport, Evaluation, Massive, Observer, Progress, Renewed, Report,
    Snapshot,
};

/// Emits `tracing` events with the numbers as fields, under the target `dbksvd::observe` (feature
/// `tracing`). Steps and renewals are at debug level, most other events at info. Two are at warn: a
/// checkpoint that could not be written, and a few samples that have most of the variance.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::observe::Trace;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 500).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(2).build()?;
/// learner.run(&data.samples).observer(&mut Trace).finish()?;
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace;

const TARGET: &str = "dbksvd::observe";

impl<T: Scalar> Observer<T> for Trace {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        let Progress { epoch, total_steps, samples, fvu, fvu_within, done, .. } = *progress;
        debug!(target: TARGET, epoch, total_steps, samples, fvu, fvu_within, done, "step");
        ControlFlow::Continue(())
    }

    fn on_renewal(&mut self, renewed: &Renewed) -> ControlFlow<()> {
        let Renewed { step, replaced, merged } = *renewed;
        debug!(target: TARGET, step, replaced, merged, "renewal");
        ControlFlow::Continue(())
    }

    fn on_epoch(&mut self, report: &EpochReport, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        let EpochReport { epoch, samples, fvu, fvu_within, l0, elapsed, .. } = *report;
        let EpochReport { clipped, dropped, zeros, massive, .. } = *report;
        info!(
            target: TARGET,
            epoch, samples, fvu, fvu_within, l0, clipped, dropped, zeros, elapsed, "epoch"
        );
        if let Some(Massive { samples, share, .. }) = massive {
            warn!(target: TARGET, epoch, samples, share, "a few samples hold most of the variance");
        }
        ControlFlow::Continue(())
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        let Evaluation { step, held_out, samples, fvu, fvu_within, l0, .. } = *evaluation;
        info!(target: TARGET, step, held_out, samples, fvu, fvu_within, l0, "evaluation");
        ControlFlow::Continue(())
    }

    fn on_checkpoint(&mut self, checkpoint: &CheckpointReport) -> ControlFlow<()> {
        let CheckpointReport { path, step, seconds } = checkpoint;
        info!(target: TARGET, path = %path.display(), step, seconds, "checkpoint");
        ControlFlow::Continue(())
    }

    fn on_checkpoint_failure(&mut self, error: &Error) -> ControlFlow<()> {
        warn!(target: TARGET, %error, "checkpoint not written");
        ControlFlow::Continue(())
    }

    fn on_stop(&mut self, report: &Report) {
        let (reason, steps, seconds) = (report.stop.name(), report.steps, report.seconds.total);
        info!(target: TARGET, reason, steps, seconds, "stop");
    }
}
