//! A progress bar on a terminal.

use std::ops::ControlFlow;

use indicatif::{ProgressDrawTarget, ProgressStyle};

use crate::Scalar;
use crate::learn::{Evaluation, Observer, Progress, Report, Snapshot};

/// Steps into which the bar divides a run.
const PARTS: u64 = 10_000;

const TEMPLATE: &str = "{prefix} [{bar:30}] {msg} · {elapsed} gone, {eta} left";

/// A progress bar on stderr (feature `progress`). It shows the epoch, the share of the run that is
/// done, the FVU of the epoch so far and of the held-out samples (if there is a norm limit, of the
/// samples within it), and the time elapsed and left. If stderr is not a terminal, it shows
/// nothing. The bar is removed at the end of the run.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::observe::ProgressBar;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 500).generate::<f32>()?;
/// let mut bar = ProgressBar::new();
/// let learner = DbKsvd::builder(32, 3).epochs(2).build()?;
/// learner.run(&data.samples).observer(&mut bar).finish()?;
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Debug)]
pub struct ProgressBar {
    bar: indicatif::ProgressBar,
    held_out: Option<f64>,
}

impl Default for ProgressBar {
    fn default() -> Self {
        Self::new()
    }
}

impl ProgressBar {
    /// A bar on stderr.
    #[must_use]
    pub fn new() -> Self {
        Self::on(ProgressDrawTarget::stderr())
    }

    /// A bar that shows nothing, for programs in which the bar is an option.
    #[must_use]
    pub fn hidden() -> Self {
        Self::on(ProgressDrawTarget::hidden())
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let bar = indicatif::ProgressBar::with_draw_target(Some(PARTS), target);
        // The template is a constant that parses. If it did not, a bar in the default style would
        // do.
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar, held_out: None }
    }
}

impl<T: Scalar> Observer<T> for ProgressBar {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        if self.bar.is_finished() {
            // Another run.
            self.bar.reset();
            self.held_out = None;
        }
        self.bar.set_prefix(format!("epoch {}/{}", progress.epoch, progress.epochs));
        self.bar.set_message(match self.held_out {
            None => format!("FVU {:.4}", progress.fvu_within),
            Some(held_out) => format!("FVU {:.4}, held out {held_out:.4}", progress.fvu_within),
        });
        self.bar.set_position((progress.done * PARTS as f64) as u64);
        ControlFlow::Continue(())
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        if evaluation.held_out {
            self.held_out = Some(evaluation.fvu_within);
        }
        ControlFlow::Continue(())
    }

    fn on_stop(&mut self, _: &Report) {
        self.bar.finish_and_clear();
    }
}
