//! Work that a thread does ahead of a run: buffers go to it empty and come back full.
//!
//! The buffers that an exchange begins with are all that it ever has, so they bound both its memory
//! and how far ahead it works.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::error::{Error, SourceError};

/// The end of whoever needs full buffers.
pub(super) struct Exchange<'scope, Empty, Full> {
    full: Queue<Result<Full, Error>>,
    empty: Option<Queue<Empty>>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
}

/// The thread's end.
pub(super) struct Filler<Empty, Full> {
    empty: Queue<Empty>,
    full: Queue<Result<Full, Error>>,
}

impl<'scope, Empty: Send + 'scope, Full: Send + 'scope> Exchange<'scope, Empty, Full> {
    /// Lets a thread of this name do `work` with these buffers.
    pub(super) fn start(
        scope: &'scope Scope<'scope, '_>,
        name: &str,
        buffers: impl IntoIterator<Item = Empty>,
        work: impl FnOnce(&Filler<Empty, Full>) + Send + 'scope,
    ) -> Result<Self, Error> {
        let (to_run, full) = Queue::ends();
        let (empty, from_run) = Queue::ends();
        let filler = Filler { empty: from_run, full: to_run };
        let thread =
            Builder::new().name(name.to_owned()).spawn_scoped(scope, move || work(&filler));
        let thread = thread.map_err(|error| SourceError::Other(Box::new(error)))?;
        let exchange = Self { full, empty: Some(empty), thread: Some(thread) };
        buffers.into_iter().for_each(|buffer| exchange.give_back(buffer));
        Ok(exchange)
    }

    /// The next full buffer, once there is one.
    pub(super) fn next(&mut self) -> Result<Full, Error> {
        if let Some(full) = self.full.take() {
            return full;
        }
        // The thread ends early only if code of others panics in it: here as it would have there.
        self.empty = None;
        match self.thread.take().map(ScopedJoinHandle::join) {
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            _ => Err(SourceError::Other("the plan has no more minibatches".into()).into()),
        }
    }

    /// A buffer that is no longer needed, to be filled again.
    pub(super) fn give_back(&self, buffer: Empty) {
        if let Some(empty) = &self.empty {
            // After its last minibatch the thread has no more use for it.
            empty.put(buffer);
        }
    }
}

impl<Empty, Full> Filler<Empty, Full> {
    /// Fills the next empty buffer, once there is one. Says whether there may be more to do: not
    /// after an error, nor once nobody is there to give a buffer or to take it.
    pub(super) fn fill(&self, fill: impl FnOnce(Empty) -> Result<Full, Error>) -> bool {
        let Some(buffer) = self.empty.take() else { return false };
        let full = fill(buffer);
        let has_failed = full.is_err();
        self.full.put(full) && !has_failed
    }
}

/// One of the two ends of a queue, which is closed once either has gone. The channels of the
/// standard library would be compiled anew, in three kinds, in every program that learns.
struct Queue<V>(Arc<Shared<V>>);

struct Shared<V> {
    waiting: Mutex<Waiting<V>>,
    has_changed: Condvar,
}

struct Waiting<V> {
    values: VecDeque<V>,
    is_closed: bool,
}

impl<V> Queue<V> {
    fn ends() -> (Self, Self) {
        let waiting = Mutex::new(Waiting { values: VecDeque::new(), is_closed: false });
        let shared = Arc::new(Shared { waiting, has_changed: Condvar::new() });
        (Self(Arc::clone(&shared)), Self(shared))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<V>> {
        // Nothing panics while it holds the lock.
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a value; `false` if the other end has gone.
    fn put(&self, value: V) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_closed {
            return false;
        }
        waiting.values.push_back(value);
        drop(waiting);
        self.0.has_changed.notify_all();
        true
    }

    /// The next value, once there is one; `None` if there is none and the other end has gone.
    fn take(&self) -> Option<V> {
        let mut waiting = self.waiting();
        loop {
            if let Some(value) = waiting.values.pop_front() {
                return Some(value);
            }
            if waiting.is_closed {
                return None;
            }
            let woken = self.0.has_changed.wait(waiting);
            waiting = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl<V> Drop for Queue<V> {
    fn drop(&mut self) {
        self.waiting().is_closed = true;
        self.0.has_changed.notify_all();
    }
}
