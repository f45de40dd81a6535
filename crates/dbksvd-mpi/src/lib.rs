//! [`MpiGroup`]: the owners of a run of [dbksvd](https://docs.rs/dbksvd) as processes of an MPI
//! job, on one machine or on many.
//!
//! Every process makes the same run, with the group added to it, and reads its own part of each
//! minibatch. All have the model and the report that one process alone would have, bit by bit.
//!
//! ```no_run
//! use dbksvd::DbKsvd;
//! use dbksvd::synthetic::Planted;
//! use dbksvd_mpi::MpiGroup;
//!
//! let group = MpiGroup::start()?;
//! let data = Planted::new(64, 256, 4, 20_000).generate::<f32>()?; // or files that all can read
//! let learner = DbKsvd::builder(256, 4).shards(8).build()?;
//! let fit = learner.run(&data.samples).group(&group).finish()?;
//! # Ok::<(), dbksvd::Error>(())
//! ```
//!
//! MPI moves bytes here and adds nothing up: its own reductions may associate by the number of
//! processes and the length of a message, and would give other bits for each.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use dbksvd::error::BackendError;
use dbksvd::group::{Group, check_parts};
use mpi::Threading;
use mpi::environment::Universe;
use mpi::point_to_point::{Destination, MatchedReceiveVec, Source};
use mpi::topology::{Communicator, SimpleCommunicator};

/// What owners give each other, and that one makes no further call.
const GIVE: i32 = 1;
const LEAVE: i32 = 2;
/// What a process tells itself, to measure what that costs.
const MEASURE: i32 = 3;

/// The most bytes of a message, whose length MPI counts in 31 bits: what is longer is sent in
/// pieces.
const PIECE: usize = 1 << 30;

/// How long a process that waits looks for messages without a pause. Networks answer within this;
/// afterwards it leaves the processor to others.
const EAGER: Duration = Duration::from_micros(200);
const PAUSE: Duration = Duration::from_micros(50);

/// How long a process that leaves waits for the others to take leave as well, or to be told.
const FAREWELL: Duration = Duration::from_secs(30);

/// How long what is meant for a process that has left may stay on its way, before the job is ended:
/// MPI has no other end for it.
const UNDELIVERED: Duration = Duration::from_secs(30);

/// The processes of an MPI job, each an owner of samples.
///
/// MPI ends with the group, when it is dropped. Each process then takes leave of the others, so the
/// calls of the others fail if one ends early or panics. It waits for them to end as well, for at
/// most 30 seconds: a launcher ends the job when the first process fails, and the others may have
/// something to save.
pub struct MpiGroup {
    rank: usize,
    ranks: usize,
    shares_products: bool,
    piece: usize,
    /// The first owner that has left, and why.
    gone: Mutex<Option<(usize, String)>>,
    _universe: Universe,
}

impl std::fmt::Debug for MpiGroup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rank, ranks, .. } = self;
        f.debug_struct("MpiGroup").field("rank", rank).field("ranks", ranks).finish_non_exhaustive()
    }
}

impl MpiGroup {
    /// Starts MPI in this process. Without `mpirun`, the process is alone.
    ///
    /// # Errors
    /// [`BackendError::Group`] if MPI has been started before, or was built for one thread alone;
    /// of owner 0, since the rank is not known then.
    pub fn start() -> Result<Self, BackendError> {
        let broken = |reason: &str| BackendError::Group { rank: 0, reason: reason.to_owned() };
        let started = mpi::initialize_with_threading(Threading::Serialized);
        let (universe, threading) = started.ok_or_else(|| broken("MPI was started before"))?;
        if threading < Threading::Serialized {
            return Err(broken("this MPI was built for processes of one thread"));
        }
        let world = universe.world();
        let (rank, ranks) = (world.rank() as usize, world.size() as usize);
        Ok(Self {
            rank,
            ranks,
            shares_products: true,
            piece: PIECE,
            gone: Mutex::new(None),
            _universe: universe,
        })
    }

    /// Whether processes share out the Gram matrix and send each other their parts, as they do by
    /// default, or each computes all of it: see [`Group::shares_products`]. All processes must say
    /// the same.
    #[must_use]
    pub fn sharing_products(mut self, shares_products: bool) -> Self {
        self.shares_products = shares_products;
        self
    }

    /// Sends in pieces what is longer than so many bytes, 2³⁰ by default: 1 to 2³¹ − 1, or else the
    /// nearest of these. All processes must say the same.
    #[must_use]
    pub fn in_pieces_of(mut self, bytes: usize) -> Self {
        self.piece = bytes.clamp(1, i32::MAX as usize);
        self
    }

    /// Seconds of a processor that a short message costs this process, to send and to receive it:
    /// the mean of those that it sends itself.
    pub fn seconds_a_message(&self) -> f64 {
        const AT_ONCE: usize = 64;
        const ROUNDS: usize = 100;
        // One call at a time, as in `meet`.
        let _gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let world = SimpleCommunicator::world();
        let process = world.process_at_rank(self.rank as i32);
        let message = [0_u8; 24];
        let start = Instant::now();
        for _ in 0..ROUNDS {
            mpi::request::scope(|scope| {
                let sends: Vec<_> = (0..AT_ONCE)
                    .map(|_| process.immediate_send_with_tag(scope, &message[..], MEASURE))
                    .collect();
                let mut received = 0;
                while received < AT_ONCE {
                    if let Some(message) = process.immediate_matched_probe_with_tag(MEASURE) {
                        message.matched_receive_vec::<u8>();
                        received += 1;
                    }
                }
                for send in sends {
                    send.wait();
                }
            });
        }
        start.elapsed().as_secs_f64() / (AT_ONCE * ROUNDS) as f64
    }

    /// Gives each other owner a part, and waits for one of each.
    fn meet<'p>(&self, part_for: &dyn Fn(usize) -> &'p [u8]) -> Result<Vec<Vec<u8>>, BackendError> {
        // One call at a time: MPI is started for one thread at a time.
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((rank, reason)) = gone.clone() {
            return Err(BackendError::Group { rank, reason });
        }
        let world = SimpleCommunicator::world();
        let mut received = vec![Arriving::default(); self.ranks];
        received[self.rank] = Arriving { bytes: part_for(self.rank).to_vec(), is_whole: true };
        mpi::request::scope(|scope| {
            let others = (0..self.ranks).filter(|&rank| rank != self.rank);
            let mut sends: Vec<_> = others
                .flat_map(|rank| {
                    let process = world.process_at_rank(rank as i32);
                    let send =
                        move |piece| (rank, process.immediate_send_with_tag(scope, piece, GIVE));
                    pieces(part_for(rank), self.piece).map(send)
                })
                .collect();
            let mut wait = Wait::new();
            while !received.iter().all(|part| part.is_whole) || !sends.is_empty() {
                let mut is_idle = true;
                if let Some((rank, reason)) = &*gone
                    && sends.iter().any(|(to, _)| to == rank)
                    && wait.since.elapsed() > UNDELIVERED
                {
                    eprintln!("owner {rank} of the group: {reason}; it takes no more messages");
                    world.abort(1);
                }
                for (rank, part) in received.iter_mut().enumerate() {
                    if !part.is_whole
                        && let Some(piece) = look_for(&world, rank, &mut gone)
                    {
                        part.add(piece, self.piece);
                        is_idle = false;
                    }
                }
                let rest = sends.into_iter();
                sends = rest.filter_map(|(to, send)| Some((to, send.test().err()?))).collect();
                if is_idle {
                    wait.pause();
                } else {
                    wait = Wait::new();
                }
            }
        });
        if let Some((rank, reason)) = gone.clone() {
            return Err(BackendError::Group { rank, reason });
        }
        Ok(received.into_iter().map(|part| part.bytes).collect())
    }
}

/// What is sent of a part: as many whole pieces as there are, and one that is shorter, by which its
/// receiver knows the end. It may be empty.
fn pieces(part: &[u8], piece: usize) -> impl Iterator<Item = &[u8]> {
    (0..=part.len() / piece).map(move |i| &part[i * piece..part.len().min((i + 1) * piece)])
}

/// A part that is received in pieces.
#[derive(Clone, Debug, Default)]
struct Arriving {
    bytes: Vec<u8>,
    is_whole: bool,
}

impl Arriving {
    fn add(&mut self, piece: Vec<u8>, whole: usize) {
        self.is_whole = piece.len() < whole;
        if self.bytes.is_empty() {
            self.bytes = piece;
        } else {
            self.bytes.extend(piece);
        }
    }
}

/// The next message of an owner, if it is here. What an owner that leaves has to say is kept.
///
/// Messages are taken in the order in which they were sent, whatever they are: an owner may leave
/// as soon as it has given what this one waits for.
fn look_for(
    world: &SimpleCommunicator,
    rank: usize,
    gone: &mut Option<(usize, String)>,
) -> Option<Vec<u8>> {
    let found = world.process_at_rank(rank as i32).immediate_matched_probe()?;
    let (message, status) = found.matched_receive_vec::<u8>();
    if status.tag() == GIVE {
        return Some(message);
    }
    gone.get_or_insert_with(|| (rank, String::from_utf8_lossy(&message).into_owned()));
    Some(Vec::new())
}

/// A wait that begins without pauses.
struct Wait {
    since: Instant,
}

impl Wait {
    fn new() -> Self {
        Self { since: Instant::now() }
    }

    fn pause(&self) {
        if self.since.elapsed() > EAGER { thread::sleep(PAUSE) } else { thread::yield_now() }
    }
}

impl Group for MpiGroup {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, BackendError> {
        self.meet(&|_| own)
    }

    fn exchange(&self, own: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, BackendError> {
        check_parts(own, self)?;
        self.meet(&|rank| &own[rank])
    }

    fn shares_products(&self) -> bool {
        self.shares_products
    }

    /// What this owner says takes the place of what it would have given in the next call, and it
    /// takes what the others give there: so nothing is left on its way.
    fn leave(&self, reason: &str) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if gone.is_some() {
            return;
        }
        let world = SimpleCommunicator::world();
        // Short enough to be on its way without the receiver.
        let reason = &reason.as_bytes()[..reason.len().min(1000)];
        let others = (0..self.ranks).filter(|&rank| rank != self.rank);
        let mut others: Vec<_> = others.map(|rank| (rank, Arriving::default())).collect();
        for &(rank, _) in &others {
            world.process_at_rank(rank as i32).send_with_tag(reason, LEAVE);
        }
        let wait = Wait::new();
        while !others.is_empty() && wait.since.elapsed() < FAREWELL {
            others.retain_mut(|(rank, part)| {
                if let Some(piece) = look_for(&world, *rank, &mut gone) {
                    part.add(piece, self.piece);
                }
                !part.is_whole
            });
            wait.pause();
        }
        gone.get_or_insert_with(|| (self.rank, String::from_utf8_lossy(reason).into_owned()));
    }
}

impl Drop for MpiGroup {
    fn drop(&mut self) {
        let panics = thread::panicking();
        self.leave(if panics { "the owner has panicked" } else { "the owner has gone" });
    }
}
