//! Reading ahead: the next minibatch comes in while the current one is learned from.
//!
//! A thread walks the same plan as the run, from the same place, and fills a buffer that goes to
//! and fro between the two. It comes back as soon as its samples are uploaded, so reading ahead
//! takes no memory of its own.

use std::thread::Scope;

use super::cut::Cut;
use super::exchange::{Exchange, Filler};
use super::run_state::Position;
use crate::Scalar;
use crate::error::Error;
use crate::samples::HostSamples;
use crate::source::{EpochPlan, SampleSource};

/// What a run reads, and in which order.
#[derive(Clone, Copy)]
pub(super) struct Schedule<'a, T: Scalar> {
    pub(super) source: &'a dyn SampleSource<T>,
    pub(super) minibatch: usize,
    pub(super) seed: u64,
    pub(super) epochs: usize,
    /// What of each minibatch is read here.
    pub(super) cut: Cut,
}

impl<T: Scalar> Schedule<'_, T> {
    /// The order of an epoch, from 1.
    pub(super) fn plan(&self, epoch: usize) -> EpochPlan {
        let run = self.source.run_length().max(1);
        EpochPlan::new(self.source.len(), self.minibatch, run, self.seed, epoch as u64)
    }
}

/// Gives minibatches in host memory, in the order of the plan, and an error after the last.
pub(super) type Reader<'scope, T> = Exchange<'scope, HostSamples<T>, HostSamples<T>>;

/// Begins to read at `position`, into so many buffers.
pub(super) fn read_ahead<'scope, 'env, T: Scalar>(
    scope: &'scope Scope<'scope, 'env>,
    schedule: Schedule<'env, T>,
    position: Position,
    buffers: usize,
) -> Result<Reader<'scope, T>, Error> {
    let buffers = (0..buffers).map(|_| HostSamples::new(schedule.source.dim()));
    let read = move |filler: &Filler<_, _>| read_all(&schedule, position, filler);
    Exchange::start(scope, "dbksvd-reader", buffers, read)
}

/// Reads until the plan is at its end, or the run has gone.
fn read_all<T: Scalar>(
    schedule: &Schedule<'_, T>,
    from: Position,
    filler: &Filler<HostSamples<T>, HostSamples<T>>,
) {
    let mut first = from.step;
    for epoch in from.epoch..=schedule.epochs {
        let plan = schedule.plan(epoch);
        for step in first..plan.steps() {
            let read = |mut buffer: HostSamples<T>| {
                let own = schedule.cut.positions(plan.size(step));
                buffer.read(schedule.source, plan.ranges_of(step, own))?;
                Ok(buffer)
            };
            if !filler.fill(read) {
                return;
            }
        }
        first = 0;
    }
}
