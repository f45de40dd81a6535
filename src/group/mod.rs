//! Owners that learn together: each holds some shards of every minibatch.
//!
//! Owners run the same updates at the same time, each on its own samples, with the same dictionary.
//! What a sum over samples needs of the others goes through a [`Group`]. The order of every sum is
//! that of the tree over [`SampleShards`](crate::backend::SampleShards), so all owners have the
//! same dictionary and the same report, and any number of them has the bits of one.
//!
//! ```
//! use dbksvd::backend::SampleShards;
//! use dbksvd::group::{Share, Threads};
//! # use dbksvd::{Faer, ProblemShape, Sign};
//!
//! let shape = ProblemShape { dim: 512, atoms: 256, sparsity: 8, sign: Sign::Signed };
//! let shards = SampleShards::of(&shape, 8192); // 8 shards
//! let [first, second] = Threads::group();
//! let share = Share::new(&first, shards.part(0..4)); // to `Step::with_share`, of the first owner
//! let other = Share::new(&second, shards.part(4..8));
//! assert_eq!((share.shards().samples(), other.shards().samples()), (4096, 4096));
//! ```

mod message;
mod share;
mod threads;

pub(crate) use message::{Message, Reading};
pub use share::Share;
pub use threads::Threads;

use std::fmt::Debug;

use crate::error::BackendError;

/// The owners that work on the same minibatches, as one of them sees them.
///
/// # Contract
/// All owners make the same calls in the same order. An owner that has gone makes the calls of the
/// others fail, in place of waiting for it for ever.
pub trait Group: Debug + Send + Sync {
    /// Which owner this is, from 0.
    fn rank(&self) -> usize;

    /// How many owners there are.
    fn ranks(&self) -> usize;

    /// Gives all owners what each of them gave, in the order of ranks.
    ///
    /// # Errors
    /// [`BackendError::Group`], naming the owner, if one has gone or cannot be reached.
    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, BackendError>;

    /// Gives each owner what the others have for it: `own` holds a part for each owner, and what
    /// comes back is the part that each owner had for this one. Both are in the order of ranks.
    ///
    /// # Errors
    /// As [`gather`](Self::gather), and for another number of parts than owners.
    fn exchange(&self, own: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, BackendError>;

    /// Whether owners share out what each could compute by itself, and send each other the parts:
    /// the Gram matrix of the dictionary, of which each then sends 2 bytes an entry. Results are
    /// the same either way. It takes less time where a byte is sent faster than the processors of
    /// an owner multiply d numbers, as by fast networks. All owners must say the same, and a run
    /// refuses others; `true` by default.
    fn shares_products(&self) -> bool {
        true
    }

    /// Says that this owner makes no further call, and why: the calls that others make, or wait
    /// in, fail with this rank and reason.
    fn leave(&self, reason: &str);
}

/// Refuses parts that are not one for each owner of `group`.
///
/// # Errors
/// [`BackendError::Group`] with both numbers.
pub fn check_parts(own: &[Vec<u8>], group: &dyn Group) -> Result<(), BackendError> {
    let (rank, ranks) = (group.rank(), group.ranks());
    if own.len() == ranks {
        return Ok(());
    }
    let reason = format!("{} parts are given, expected one for each of {ranks} owners", own.len());
    Err(BackendError::Group { rank, reason })
}

/// One owner that holds all samples: each call gives back what it was given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Solo;

impl Group for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn ranks(&self) -> usize {
        1
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, BackendError> {
        Ok(vec![own.to_vec()])
    }

    fn exchange(&self, own: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, BackendError> {
        Ok(own.to_vec())
    }

    fn leave(&self, _: &str) {}
}
