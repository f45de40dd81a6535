//! Closures as observers.

use std::ops::ControlFlow;

use crate::Scalar;
use crate::learn::{EpochReport, Evaluation, Observer, Progress, Snapshot};

/// An observer of one kind of event.
struct Step<F>(F);
struct Epoch<F>(F);
struct Evaluated<F>(F);

/// An observer that calls `told` after every step. The types of a closure's arguments need not be
/// written.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, observe};
///
/// let data = Planted::new(16, 32, 3, 500).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(2).build()?;
/// let mut steps = 0;
/// let mut observer = observe::on_step(|progress| {
///     steps = progress.total_steps;
///     ControlFlow::Continue(())
/// });
/// let fit = learner.run(&data.samples).observer(&mut observer).finish()?;
/// drop(observer);
/// assert_eq!(steps, fit.report.steps);
/// # Ok::<(), dbksvd::Error>(())
/// ```
pub fn on_step<T: Scalar>(told: impl FnMut(&Progress) -> ControlFlow<()>) -> impl Observer<T> {
    Step(told)
}

/// An observer that calls `told` after every epoch, with what gives the model as it is then.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, observe};
///
/// let data = Planted::new(16, 32, 3, 500).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(50).build()?;
/// let mut observer = observe::on_epoch(|epoch, snapshot| {
///     let atoms = snapshot.model().map_or(0, |model| model.atoms());
///     println!("{}: {atoms} atoms leave {:.3}", epoch.epoch, epoch.fvu);
///     if epoch.epoch == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
/// });
/// let fit = learner.run(&data.samples).observer(&mut observer).finish()?;
/// assert_eq!(fit.report.epochs.len(), 3);
/// # Ok::<(), dbksvd::Error>(())
/// ```
pub fn on_epoch<T: Scalar>(
    told: impl FnMut(&EpochReport, &Snapshot<'_, T>) -> ControlFlow<()>,
) -> impl Observer<T> {
    Epoch(told)
}

/// An observer that calls `told` after every evaluation, with what gives the model as it is then.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use dbksvd::source::HeldOut;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, observe};
///
/// let data = Planted::new(16, 32, 3, 500).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(2).held_out(HeldOut::Share(0.2)).build()?;
/// let mut observer = observe::on_evaluation(|evaluation, _| {
///     println!("step {}: {:.3} on held-out samples", evaluation.step, evaluation.fvu);
///     ControlFlow::Continue(())
/// });
/// learner.run(&data.samples).observer(&mut observer).finish()?;
/// # Ok::<(), dbksvd::Error>(())
/// ```
pub fn on_evaluation<T: Scalar>(
    told: impl FnMut(&Evaluation, &Snapshot<'_, T>) -> ControlFlow<()>,
) -> impl Observer<T> {
    Evaluated(told)
}

impl<T: Scalar, F: FnMut(&Progress) -> ControlFlow<()>> Observer<T> for Step<F> {
    fn on_step(&mut self, progress: &Progress) -> ControlFlow<()> {
        (self.0)(progress)
    }
}

impl<T, F> Observer<T> for Epoch<F>
where
    T: Scalar,
    F: FnMut(&EpochReport, &Snapshot<'_, T>) -> ControlFlow<()>,
{
    fn on_epoch(&mut self, epoch: &EpochReport, snapshot: &Snapshot<'_, T>) -> ControlFlow<()> {
        (self.0)(epoch, snapshot)
    }
}

impl<T, F> Observer<T> for Evaluated<F>
where
    T: Scalar,
    F: FnMut(&Evaluation, &Snapshot<'_, T>) -> ControlFlow<()>,
{
    fn on_evaluation(
        &mut self,
        evaluation: &Evaluation,
        snapshot: &Snapshot<'_, T>,
    ) -> ControlFlow<()> {
        (self.0)(evaluation, snapshot)
    }
}
