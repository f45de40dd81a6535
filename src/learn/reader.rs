//! Reading ahead: the next minibatch comes in while the current one is learned from.
//!
//! A thread walks the same plan as the run, from the same place, and fills the one buffer that goes
//! to and fro between the two: the run gives it back as soon as its samples are uploaded, so
//! reading ahead takes no memory of its own.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use super::run_state::Position;
use crate::Scalar;
use crate::error::{Error, SourceError};
use crate::samples::HostSamples;
use crate::source::{EpochPlan, SampleSource};

/// What a run reads, and in which order.
#[derive(Clone, Copy)]
pub(super) struct Schedule<'a, T: Scalar> {
    pub(super) source: &'a dyn SampleSource<T>,
    pub(super) minibatch: usize,
    pub(super) seed: u64,
    pub(super) epochs: usize,
}

impl<T: Scalar> Schedule<'_, T> {
    /// The order of an epoch, from 1.
    pub(super) fn plan(&self, epoch: usize) -> EpochPlan {
        let run = self.source.run_length().max(1);
        EpochPlan::new(self.source.len(), self.minibatch, run, self.seed, epoch as u64)
    }
}

type Minibatch<T> = Result<HostSamples<T>, Error>;

/// The run's end of the exchange.
pub(super) struct Reader<'scope, T: Scalar> {
    filled: Receiver<Minibatch<T>>,
    empty: Option<Sender<HostSamples<T>>>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
}

impl<'scope, T: Scalar> Reader<'scope, T> {
    /// Begins to read at `position`.
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        schedule: Schedule<'env, T>,
        position: Position,
    ) -> Result<Self, Error> {
        let (to_run, filled) = channel();
        let (empty, from_run) = channel();
        let read = move || read_all(&schedule, position, &from_run, &to_run);
        let thread = Builder::new().name("dbksvd-reader".to_owned()).spawn_scoped(scope, read);
        let thread = thread.map_err(|error| SourceError::Other(Box::new(error)))?;
        let reader = Self { filled, empty: Some(empty), thread: Some(thread) };
        reader.give_back(HostSamples::new(schedule.source.dim()));
        Ok(reader)
    }

    /// The next minibatch, once it is read.
    pub(super) fn next(&mut self) -> Minibatch<T> {
        if let Ok(minibatch) = self.filled.recv() {
            return minibatch;
        }
        // The thread ends early only if the source's code panics: here as it would have there.
        self.empty = None;
        match self.thread.take().map(ScopedJoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => Err(SourceError::Other("the plan has no more minibatches".into()).into()),
        }
    }

    /// The buffer, for the minibatch after.
    pub(super) fn give_back(&self, buffer: HostSamples<T>) {
        if let Some(empty) = &self.empty {
            // After its last minibatch the thread has no more use for it.
            let _ = empty.send(buffer);
        }
    }
}

/// The thread's end: until the plan is at its end, or the run has gone.
fn read_all<T: Scalar>(
    schedule: &Schedule<'_, T>,
    from: Position,
    empty: &Receiver<HostSamples<T>>,
    filled: &Sender<Minibatch<T>>,
) {
    let mut first = from.step;
    for epoch in from.epoch..=schedule.epochs {
        let plan = schedule.plan(epoch);
        for step in first..plan.steps() {
            let Ok(mut buffer) = empty.recv() else { return };
            let read = buffer.read(schedule.source, plan.ranges(step)).map(|()| buffer);
            let failed = read.is_err();
            if filled.send(read).is_err() || failed {
                return;
            }
        }
        first = 0;
    }
}
