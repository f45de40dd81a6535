//! The owners of a run, as one of them sees them: what they tell each other between updates.
//!
//! ```text
//! before the first step   all: do we learn the same from the same?
//!                         owner 0: dictionary, statistics, all that a checkpoint holds
//! each step               each: is there a reason to stop?  owner 0: how much of the run is done
//!                         each: moments of its samples, and how their energy is spread
//!                         the sums of the update (`Share`)
//! each evaluation         each: the figures of its blocks of held-out samples
//! at the end              each: has anything failed?
//! ```
//! Whatever fails at one owner is told in place of what it would have said, so no other owner waits
//! for it. Only within a step, where owners exchange bare numbers, an owner that fails
//! [leaves](Group::leave).

use std::collections::BTreeMap;

use crate::backend::SampleShards;
use crate::error::{BackendError, Error};
use crate::group::{Group, Message, Reading, Share, Solo};
use crate::parameters::Parameters;

const OK: u8 = 0;
const FAILED: u8 = 1;

/// The owners of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Team<'a> {
    group: &'a dyn Group,
}

impl<'a> Team<'a> {
    pub(super) fn of(group: &'a dyn Group) -> Self {
        Self { group }
    }

    /// One owner without others.
    pub(super) fn alone() -> Self {
        Self { group: &Solo }
    }

    pub(super) fn group(self) -> &'a dyn Group {
        self.group
    }

    pub(super) fn is_alone(self) -> bool {
        self.group.ranks() == 1
    }

    /// Whether this owner decides for all.
    pub(super) fn leads(self) -> bool {
        self.group.rank() == 0
    }

    pub(super) fn rank(self) -> usize {
        self.group.rank()
    }

    pub(super) fn ranks(self) -> usize {
        self.group.ranks()
    }

    /// The share of an owner of these shards.
    pub(super) fn share(self, shards: SampleShards) -> Share<'a> {
        if self.is_alone() { Share::alone(shards) } else { Share::new(self.group, shards) }
    }

    /// What each owner says, in the order of ranks.
    ///
    /// # Errors
    /// The own failure or, naming the owner, the first of the others'. All owners then have an
    /// error.
    pub(super) fn gather(self, own: Result<Message, Error>) -> Result<Vec<Vec<u8>>, Error> {
        let mut message = Message::new();
        match &own {
            Ok(own) => {
                message.put(OK);
                message.put_all(own.as_bytes());
            }
            Err(error) => {
                message.put(FAILED);
                message.put_all(error.to_string().as_bytes());
            }
        }
        let all = self.group.gather(message.as_bytes());
        own?;
        let said = |(rank, bytes): (usize, Vec<u8>)| {
            let mut reading = Reading::new(&bytes);
            let status = reading.take::<u8>().map_err(|reason| of_owner(rank, reason))?;
            let said = reading.take_all::<u8>().map_err(|reason| of_owner(rank, reason))?;
            match status {
                OK => Ok(said),
                _ => Err(of_owner(rank, String::from_utf8_lossy(&said).into_owned())),
            }
        };
        all?.into_iter().enumerate().map(said).collect()
    }

    /// Tells the others of a failure that only this owner knows of.
    pub(super) fn tell<V>(self, own: Result<V, Error>) -> Result<V, Error> {
        if own.is_ok() || self.is_alone() {
            return own;
        }
        self.gather(own.map(|_| Message::new())).and_then(|_| Err(no_failure()))
    }

    /// The failure of this owner, or else of another.
    pub(super) fn settle(self, failure: Option<Error>) -> Option<Error> {
        if self.is_alone() {
            return failure;
        }
        self.gather(failure.map_or_else(|| Ok(Message::new()), Err)).err()
    }

    /// Refuses owners that do not learn the same, with the same parameters, from the same data.
    pub(super) fn agree(self, own: Result<Parameters, Error>) -> Result<(), Error> {
        if self.is_alone() {
            return own.map(|_| ());
        }
        let own = own.map(|parameters| {
            let mut message = Message::new();
            for (name, value) in parameters.iter() {
                message.put_all(name.as_bytes());
                message.put_all(value.as_bytes());
            }
            message
        });
        let all = self.gather(own)?;
        let all = all
            .iter()
            .enumerate()
            .map(|(rank, bytes)| pairs(bytes).map_err(|reason| of_owner(rank, reason)));
        let all: Vec<BTreeMap<String, String>> = all.collect::<Result<_, Error>>()?;
        let told = |pair: Option<(&String, &String)>| match pair {
            Some((name, value)) => format!("`{name} {value}`"),
            None => "nothing of that name".to_owned(),
        };
        for (rank, pairs) in all.iter().enumerate() {
            let names = all[0].keys().chain(pairs.keys());
            let differs = |name: &&String| pairs.get(*name) != all[0].get(*name);
            if let Some(name) = names.into_iter().find(differs) {
                let [found, expected] = [pairs, &all[0]].map(|it| told(it.get_key_value(name)));
                let reason = format!("{found}, where owner 0 has {expected}: give all the same");
                return Err(of_owner(rank, reason));
            }
        }
        Ok(())
    }

    /// Lets the others end, too.
    pub(super) fn leave(self, error: &Error) {
        self.group.leave(&error.to_string());
    }
}

/// Names and values, one after the other.
fn pairs(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let mut reading = Reading::new(bytes);
    let mut pairs = BTreeMap::new();
    while !reading.is_empty() {
        let mut text =
            || Ok::<_, String>(String::from_utf8_lossy(&reading.take_all()?).into_owned());
        let name = text()?;
        pairs.insert(name, text()?);
    }
    Ok(pairs)
}

/// What went wrong at an owner.
pub(super) fn of_owner(rank: usize, reason: String) -> Error {
    BackendError::Group { rank, reason }.into()
}

/// A failure that was told is what comes back.
fn no_failure() -> Error {
    of_owner(0, "a failure was told that is none".to_owned())
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::group::Threads;

    /// What each of two owners with these parameters is told.
    fn agree(of: [Parameters; 2]) -> Vec<Result<(), Error>> {
        let owners = Threads::group::<2>().into_iter().zip(of);
        thread::scope(|scope| {
            let owners: Vec<_> = owners
                .map(|(group, own)| scope.spawn(move || Team::of(&group).agree(Ok(own))))
                .collect();
            owners.into_iter().map(|owner| owner.join().unwrap()).collect()
        })
    }

    #[test]
    fn processors_with_other_instructions_are_refused_by_name() {
        let of = |name: &str| Parameters::of("run").with("seed", 7).with("instructions", name);
        assert!(agree([of("x86-v4"), of("x86-v4")]).iter().all(Result::is_ok));
        for told in agree([of("x86-v4"), of("x86-v3")]) {
            let error = told.unwrap_err().to_string();
            let expected =
                "`instructions x86-v3`, where owner 0 has `instructions x86-v4`: give all the same";
            assert!(error.contains("owner 1") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn parameters_are_compared_by_name() {
        let (less, more) = (Parameters::of("run"), Parameters::of("run").with("seed", 7));
        for told in agree([less.clone(), more.clone()]) {
            let error = told.unwrap_err().to_string();
            assert!(error.contains("`seed 7`, where owner 0 has nothing of that name"), "{error}");
        }
        for told in agree([more, less]) {
            let error = told.unwrap_err().to_string();
            assert!(error.contains("nothing of that name, where owner 0 has `seed 7`"), "{error}");
        }
    }
}
