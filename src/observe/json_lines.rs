//! A log that writes one JSON object per line.

use std::io::{self, Write};
use std::ops::ControlFlow;

use serde_json::{Value, json};

use crate::Scalar;
use crate::error::Error;
use crate::learn::{
    CheckpointReport, EpochReport, Evaluation, Observer, Progress, Renewed, Report, Snapshot,
};

/// Writes each event as a JSON object on a line of its own (feature `json`). Its key `event` is
/// `step`, `renewal`, `epoch`, `evaluation`, `checkpoint`, `checkpoint-failure` or `stop`; the
/// other keys are the fields of the structure that observers are given. Numbers that are not finite
/// are written as null. A line is flushed when it is complete, so a run that is killed leaves only
/// whole lines.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::observe::JsonLines;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 500).generate::<f32>()?;
/// let mut log = JsonLines::new(Vec::new()).every_steps(0);
/// let learner = DbKsvd::builder(32, 3).epochs(2).build()?;
/// learner.run(&data.samples).observer(&mut log).finish()?;
/// let text = String::from_utf8(log.finish()?)?;
/// assert!(text.lines().any(|line| line.contains("\"event\":\"epoch\"")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct JsonLines<W> {
    writer: W,
    every_steps: u64,
    failure: Option<io::Error>,
}

impl<W: Write> JsonLines<W> {
    /// A log of every step.
    pub fn new(writer: W) -> Self {
        Self { writer, every_steps: 1, failure: None }
    }

    /// Logs only every `steps`-th step; 0 logs no steps. All other events are still logged.
    #[must_use]
    pub fn every_steps(mut self, steps: u64) -> Self {
        self.every_steps = steps;
        self
    }

    /// Gives the writer back.
    ///
    /// # Errors
    /// The first error that occurred in writing. Nothing was written after it.
    pub fn finish(self) -> io::Result<W> {
        match self.failure {
            None => Ok(self.writer),
            Some(error) => Err(error),
        }
    }

    fn write(&mut self, object: &Value) -> ControlFlow<()> {
        if self.failure.is_none() {
            // In one piece, so that a run that is killed leaves no part of a line.
            let line = format!("{object}\n");
            let written = self.writer.write_all(line.as_bytes()).and_then(|()| self.writer.flush());
            self.failure = written.err();
        }
        ControlFlow::Continue(())
    }
}

impl<T: Scalar, W: Write> Observer<T> for JsonLines<W> {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        if self.every_steps == 0 || !progress.total_steps.is_multiple_of(self.every_steps) {
            return ControlFlow::Continue(());
        }
        self.write(&json!({
            "event": "step",
            "epoch": progress.epoch,
            "epochs": progress.epochs,
            "step": progress.step,
            "steps": progress.steps,
            "total_steps": progress.total_steps,
            "done": progress.done,
            "samples": progress.samples,
            "fvu": progress.fvu,
            "fvu_within": progress.fvu_within,
            "elapsed": progress.elapsed,
        }))
    }

    fn on_renewal(&mut self, renewed: &Renewed) -> ControlFlow<()> {
        self.write(&json!({
            "event": "renewal",
            "step": renewed.step,
            "replaced": renewed.replaced,
            "merged": renewed.merged,
        }))
    }

    fn on_epoch(&mut self, epoch: &EpochReport, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        self.write(&json!({
            "event": "epoch",
            "epoch": epoch.epoch,
            "samples": epoch.samples,
            "fvu": epoch.fvu,
            "within": epoch.within,
            "fvu_within": epoch.fvu_within,
            "relative_error": epoch.relative_error,
            "l0": epoch.l0,
            "replaced": epoch.replaced,
            "merged": epoch.merged,
            "undone": epoch.undone,
            "clipped": epoch.clipped,
            "dropped": epoch.dropped,
            "zeros": epoch.zeros,
            "massive": epoch.massive.map(|massive| {
                json!({ "samples": massive.samples, "share": massive.share })
            }),
            "elapsed": epoch.elapsed,
        }))
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        self.write(&json!({
            "event": "evaluation",
            "step": evaluation.step,
            "epoch": evaluation.epoch,
            "held_out": evaluation.held_out,
            "samples": evaluation.samples,
            "fvu": evaluation.fvu,
            "within": evaluation.within,
            "fvu_within": evaluation.fvu_within,
            "l0": evaluation.l0,
            "elapsed": evaluation.elapsed,
        }))
    }

    fn on_checkpoint(&mut self, checkpoint: &CheckpointReport) -> ControlFlow<()> {
        self.write(&json!({
            "event": "checkpoint",
            "path": checkpoint.path.to_string_lossy(),
            "step": checkpoint.step,
            "seconds": checkpoint.seconds,
        }))
    }

    fn on_checkpoint_failure(&mut self, error: &Error) -> ControlFlow<()> {
        self.write(&json!({ "event": "checkpoint-failure", "error": error.to_string() }))
    }

    fn on_stop(&mut self, report: &Report) {
        let _ = self.write(&json!({
            "event": "stop",
            "reason": report.stop.name(),
            "steps": report.steps,
            "resumed_from": report.resumed_from,
            "seconds": {
                "encode": report.seconds.encode,
                "update": report.seconds.update,
                "other": report.seconds.other,
                "total": report.seconds.total,
            },
        }));
    }
}
