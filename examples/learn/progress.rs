//! The bar on stderr, or an event for each epoch on stdout.

use std::ops::ControlFlow;

use dbksvd::learn::{EpochReport, Observer, Progress, Snapshot};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::arguments::Arguments;
use crate::events;
use crate::failure::Failure;

const TEMPLATE: &str = "{prefix} [{bar:30}] FVU {msg} · {elapsed} gone, {eta} left";

/// Shows how far a run is.
pub struct Watcher {
    bar: ProgressBar,
    json: bool,
    failure: Option<Failure>,
}

impl Watcher {
    /// The bar shows on terminals alone.
    pub fn new(arguments: &Arguments) -> Self {
        let target = if arguments.quiet {
            ProgressDrawTarget::hidden()
        } else {
            ProgressDrawTarget::stderr()
        };
        let style = ProgressStyle::with_template(TEMPLATE).expect("a template that parses");
        let bar = ProgressBar::with_draw_target(None, target);
        bar.set_style(style.progress_chars("=> "));
        Self { bar, json: arguments.json, failure: None }
    }

    /// Takes the bar away.
    pub fn finish(self) -> Result<(), Failure> {
        self.bar.finish_and_clear();
        self.failure.map_or(Ok(()), Err)
    }
}

impl Observer<f32> for Watcher {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        let Progress { epoch, epochs, step, steps, fvu, .. } = *progress;
        self.bar.set_length((epochs * steps) as u64);
        self.bar.set_prefix(format!("epoch {epoch}/{epochs}"));
        self.bar.set_message(format!("{fvu:.4}"));
        self.bar.set_position(((epoch - 1) * steps + step) as u64);
        ControlFlow::Continue(())
    }

    fn on_epoch(&mut self, epoch: &EpochReport, _: &Snapshot<'_, f32>) -> ControlFlow<()> {
        if self.json
            && let Err(failure) = events::epoch(epoch)
        {
            self.failure = Some(failure);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }
}
