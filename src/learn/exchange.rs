//! Work that a thread does ahead of a run: buffers go to it empty and come back full.
//!
//! The buffers that an exchange begins with are all that it ever has, so they bound both its memory
//! and how far ahead it works.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, Scope, ScopedJoinHandle};

use crate::error::{Error, SourceError};

/// The end of whoever needs full buffers.
pub(super) struct Exchange<'scope, Empty, Full> {
    full: Receiver<Result<Full, Error>>,
    empty: Option<Sender<Empty>>,
    thread: Option<ScopedJoinHandle<'scope, ()>>,
}

/// The thread's end.
pub(super) struct Filler<Empty, Full> {
    empty: Receiver<Empty>,
    full: Sender<Result<Full, Error>>,
}

impl<'scope, Empty: Send + 'scope, Full: Send + 'scope> Exchange<'scope, Empty, Full> {
    /// Lets a thread of this name do `work` with these buffers.
    pub(super) fn start(
        scope: &'scope Scope<'scope, '_>,
        name: &str,
        buffers: impl IntoIterator<Item = Empty>,
        work: impl FnOnce(&Filler<Empty, Full>) + Send + 'scope,
    ) -> Result<Self, Error> {
        let (to_run, full) = channel();
        let (empty, from_run) = channel();
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
        if let Ok(full) = self.full.recv() {
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
            let _ = empty.send(buffer);
        }
    }
}

impl<Empty, Full> Filler<Empty, Full> {
    /// Fills the next empty buffer, once there is one. Says whether there may be more to do: not
    /// after an error, nor once nobody is there to give a buffer or to take it.
    pub(super) fn fill(&self, fill: impl FnOnce(Empty) -> Result<Full, Error>) -> bool {
        let Ok(buffer) = self.empty.recv() else { return false };
        let full = fill(buffer);
        let has_failed = full.is_err();
        self.full.send(full).is_ok() && !has_failed
    }
}
