//! The minibatches of a run on the backend, one after the other.
//!
//! ```text
//! in turn   read 1 │        │ read 2 │        │ read 3 │
//!                  │ load 1 │ step 1 │ load 2 │ step 2 │    a host buffer, a backend matrix
//!
//! ahead     read 1 │ read 2 │ read 3 │ read 4 │
//!                  │ load 1 │ load 2 │ load 3 │             two of each
//!                           │ step 1 │ step 2 │
//! ```
//!
//! Both give the same minibatches with the same bits, and the same error in the place of the first
//! that is bad. What was loaded ahead when a run ends is dropped: the run's position counts steps,
//! and a run that goes on from there reads it again.
//!
//! Owners that learn together load in turn: each loads its part, and what is known of the whole
//! minibatch they find together, which no thread may do while the run meets the others.

use std::thread::Scope;

use rayon::ThreadPoolBuilder;

use super::exchange::{Exchange, Filler};
use super::loader::{Buffers, Loaded, Loader, join};
use super::reader::{Reader, Schedule, read_ahead};
use super::run_state::Position;
use super::team::Team;
use crate::backend::Backend;
use crate::error::{Error, SourceError};

/// Gives a run its minibatches.
pub(super) enum Feed<'scope, B: Backend> {
    /// Each is loaded when it is asked for.
    InTurn(Box<Supply<'scope, B>>),
    /// A thread loads the next while the run computes:
    /// [`overlaps_uploads`](Backend::overlaps_uploads).
    Ahead(Exchange<'scope, Buffers<B>, Filled<B>>),
}

/// A minibatch on the backend.
type Filled<B> = (Buffers<B>, Loaded);

impl<'scope, B: Backend> Feed<'scope, B> {
    /// Begins with the minibatch at `position`.
    pub(super) fn start<'env>(
        scope: &'scope Scope<'scope, 'env>,
        backend: &'env B,
        schedule: Schedule<'env, B::Scalar>,
        position: Position,
        loader: Loader<B::Scalar>,
        team: Team<'env>,
    ) -> Result<Self, Error> {
        let is_ahead = backend.overlaps_uploads() && team.is_alone();
        let reader = read_ahead(scope, schedule, position, if is_ahead { 2 } else { 1 })?;
        let mut supply = Supply { backend, reader, loader, team, schedule, position };
        if !is_ahead {
            return Ok(Self::InTurn(Box::new(supply)));
        }
        // The other is the run's.
        let buffers = [Buffers::new(backend, schedule.source.dim())?];
        // As many threads as the run may use, but others: a run that holds the only thread of its
        // pool would wait for a minibatch whose preparation waits for that thread.
        let pool = ThreadPoolBuilder::new()
            .num_threads(rayon::current_num_threads())
            .thread_name(|index| format!("dbksvd-loader-{index}"))
            .build()
            .map_err(|error| SourceError::Other(Box::new(error)))?;
        let load = move |filler: &Filler<_, _>| {
            // It ends with the error that the reader gives after the last minibatch. No run asks
            // for that one.
            while filler.fill(|buffers| pool.install(|| supply.next(buffers))) {}
        };
        Ok(Self::Ahead(Exchange::start(scope, "dbksvd-loader", buffers, load)?))
    }

    /// The next minibatch, in exchange for buffers that are no longer needed.
    pub(super) fn next(&mut self, buffers: Buffers<B>) -> Result<Filled<B>, Error> {
        match self {
            Self::InTurn(supply) => supply.next(buffers),
            Self::Ahead(exchange) => {
                exchange.give_back(buffers);
                exchange.next()
            }
        }
    }
}

/// Loads one minibatch after the other.
pub(super) struct Supply<'scope, B: Backend> {
    backend: &'scope B,
    reader: Reader<'scope, B::Scalar>,
    loader: Loader<B::Scalar>,
    team: Team<'scope>,
    schedule: Schedule<'scope, B::Scalar>,
    /// That of the next minibatch.
    position: Position,
}

impl<B: Backend> Supply<'_, B> {
    fn next(&mut self, buffers: Buffers<B>) -> Result<Filled<B>, Error> {
        if self.team.is_alone() { self.load(buffers) } else { self.load_together(buffers) }
    }

    /// Loads the part of a minibatch that this owner has, and learns of the others.
    fn load_together(&mut self, mut buffers: Buffers<B>) -> Result<Filled<B>, Error> {
        let Self { backend, reader, loader, team, schedule, position } = self;
        let plan = schedule.plan(position.epoch);
        let shards = schedule.cut.own(plan.size(position.step));
        let own = reader.next().and_then(|mut samples| {
            let part = loader.load_part(*backend, &shards, &mut samples, &mut buffers)?;
            Ok((samples, part))
        });
        let (samples, loaded) = join(*team, schedule.source.dim(), own)?;
        reader.give_back(samples);
        position.step += 1;
        if position.step == plan.steps() {
            *position = Position { epoch: position.epoch + 1, step: 0 };
        }
        Ok((buffers, loaded))
    }

    fn load(&mut self, mut buffers: Buffers<B>) -> Result<Filled<B>, Error> {
        let mut samples = self.reader.next()?;
        let loaded = self.loader.load(self.backend, &mut samples, &mut buffers)?;
        self.reader.give_back(samples);
        Ok((buffers, loaded))
    }
}
