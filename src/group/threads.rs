//! Owners that are threads of one process.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::{Group, check_parts};
use crate::error::BackendError;

/// An owner among threads of this process: what several machines would do, without a network.
///
/// An owner must run on a thread of its own that is none of rayon's, since it waits for the others.
/// The parallel loops of all of them share the pool.
///
/// ```
/// use std::thread;
///
/// use dbksvd::DbKsvd;
/// use dbksvd::group::Threads;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 2000).generate::<f32>()?;
/// let learner = DbKsvd::builder(32, 3).epochs(2).shards(4).build()?;
/// let learn = |group: Threads| learner.run(&data.samples).group(&group).finish();
/// let models = thread::scope(|scope| {
///     let owners = Threads::group::<2>().map(|group| scope.spawn(|| learn(group)));
///     owners.map(|owner| owner.join().unwrap().map(|fit| fit.model))
/// });
/// let [first, second] = models;
/// assert_eq!(first?, second?);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Debug)]
pub struct Threads {
    rank: usize,
    ranks: usize,
    meeting: Arc<Meeting>,
}

/// Where owners meet.
#[derive(Debug, Default)]
struct Meeting {
    table: Mutex<Table>,
    has_changed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    /// How many times all have met.
    round: u64,
    /// What each owner has given in this round: one part for all, or a part for each.
    given: Vec<Option<Vec<Vec<u8>>>>,
    /// What was given in the last one.
    gathered: Arc<[Vec<Vec<u8>>]>,
    /// The first owner that has gone, and why.
    gone: Option<(usize, String)>,
}

impl Threads {
    /// A group of `N` owners, by rank.
    #[must_use]
    pub fn group<const N: usize>() -> [Self; N] {
        let meeting = Self::meeting(N);
        std::array::from_fn(|rank| Self { rank, ranks: N, meeting: meeting.clone() })
    }

    /// A group of so many owners, by rank.
    #[must_use]
    pub fn group_of(ranks: usize) -> Vec<Self> {
        let meeting = Self::meeting(ranks);
        (0..ranks).map(|rank| Self { rank, ranks, meeting: meeting.clone() }).collect()
    }

    fn meeting(ranks: usize) -> Arc<Meeting> {
        let meeting = Meeting::default();
        meeting.table().given.resize(ranks, None);
        Arc::new(meeting)
    }
}

impl Meeting {
    fn table(&self) -> MutexGuard<'_, Table> {
        // An owner that panics leaves a table that the others can read: `gone` says what happened.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until all owners have given something, and gives what they did.
    fn meet(&self, rank: usize, own: Vec<Vec<u8>>) -> Result<Arc<[Vec<Vec<u8>>]>, BackendError> {
        let mut table = self.table();
        let round = table.round;
        table.given[rank] = Some(own);
        if table.given.iter().all(Option::is_some) {
            table.gathered =
                table.given.iter_mut().map(|given| given.take().unwrap_or_default()).collect();
            table.round += 1;
            self.has_changed.notify_all();
        }
        while table.round == round {
            if let Some((rank, reason)) = table.gone.clone() {
                return Err(BackendError::Group { rank, reason });
            }
            let waited = self.has_changed.wait(table);
            table = waited.unwrap_or_else(PoisonError::into_inner);
        }
        Ok(table.gathered.clone())
    }
}

impl Group for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn ranks(&self) -> usize {
        self.ranks
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, BackendError> {
        let met = self.meeting.meet(self.rank, vec![own.to_vec()])?;
        Ok(met.iter().flatten().cloned().collect())
    }

    fn exchange(&self, own: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, BackendError> {
        check_parts(own, self)?;
        let met = self.meeting.meet(self.rank, own.to_vec())?;
        Ok(met.iter().map(|parts| parts.get(self.rank).cloned().unwrap_or_default()).collect())
    }

    fn leave(&self, reason: &str) {
        self.meeting.table().gone.get_or_insert_with(|| (self.rank, reason.to_owned()));
        self.meeting.has_changed.notify_all();
    }
}

impl Drop for Threads {
    /// The others need not wait.
    fn drop(&mut self) {
        self.leave("the owner has gone");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_given_what_each_gives_round_after_round() {
        std::thread::scope(|scope| {
            for owner in Threads::group_of(5) {
                scope.spawn(move || {
                    for round in 0..200 {
                        let own = vec![owner.rank() as u8; round % 7];
                        let gathered = owner.gather(&own).expect("all are here");
                        let expected: Vec<_> = (0..5).map(|rank| vec![rank; round % 7]).collect();
                        assert_eq!(gathered, expected);
                        let parts: Vec<_> = (0..5).map(|to| vec![owner.rank() as u8, to]).collect();
                        let exchanged = owner.exchange(&parts).expect("all are here");
                        let expected: Vec<_> =
                            (0..5).map(|from| [from, owner.rank() as u8]).collect();
                        assert_eq!(exchanged, expected);
                    }
                });
            }
        });
    }

    #[test]
    fn the_others_are_told_who_left_and_why() {
        let [first, second, third] = Threads::group();
        second.leave("no more samples");
        for owner in [first, third] {
            let error = owner.gather(&[]).expect_err("one has left").to_string();
            assert_eq!(error, "owner 1 of the group: no more samples");
        }
    }

    #[test]
    fn an_owner_that_has_gone_is_named() {
        let [first, second, third] = Threads::group();
        let error = std::thread::scope(|scope| {
            let waiting = scope.spawn(move || first.gather(&[1]).map(|_| ()));
            let also = scope.spawn(move || third.gather(&[3]).map(|_| ()));
            drop(second);
            [waiting, also].map(|owner| owner.join().expect("no panic").expect_err("one has gone"))
        });
        for error in error {
            assert!(error.to_string().contains("owner"), "{error}");
        }
    }
}
