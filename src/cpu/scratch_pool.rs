//! Scratch memory that tasks hand on to each other.

use std::sync::{Mutex, PoisonError};

/// Scratch of tasks that have ended, for the tasks that come: as many as ever ran at once.
#[derive(Debug)]
pub(crate) struct ScratchPool<S>(Mutex<Vec<S>>);

impl<S> Default for ScratchPool<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S> ScratchPool<S> {
    /// Runs a task with scratch that is idle, or with `new` scratch.
    pub(crate) fn with(&self, new: impl FnOnce() -> S, task: impl FnOnce(&mut S)) {
        // A panic elsewhere leaves scratch in no state that matters.
        let idle = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = idle().pop();
        let mut scratch = scratch.unwrap_or_else(new);
        task(&mut scratch);
        idle().push(scratch);
    }
}
