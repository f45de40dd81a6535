//! The samples on which a probe is trained and tested.

use dbksvd::Error;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Which samples are used for training, and which for testing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Indices of the samples for training.
    pub train: Vec<usize>,
    /// Indices of the samples for testing, which are others.
    pub test: Vec<usize>,
}

impl Split {
    /// An error for an index that is not below `samples` or that occurs twice.
    pub(super) fn check(&self, samples: usize) -> Result<(), Error> {
        let mut seen = vec![false; samples];
        for &i in self.train.iter().chain(&self.test) {
            if i >= samples {
                return Err(Error::argument("split", i, format!("samples below {samples}")));
            }
            if std::mem::replace(&mut seen[i], true) {
                return Err(Error::argument("split", i, "each sample once"));
            }
        }
        Ok(())
    }

    /// An error for a class below `classes` that is missing in one of the parts.
    pub(super) fn check_classes(&self, labels: &[u32], classes: usize) -> Result<(), Error> {
        for (part, name) in [(&self.train, "train"), (&self.test, "test")] {
            let mut has = vec![false; classes];
            part.iter().for_each(|&i| has[labels[i] as usize] = true);
            if let Some(class) = has.iter().position(|has| !has) {
                let found = format!("{name} without class {class}");
                return Err(Error::argument("split", found, "every class in both parts"));
            }
        }
        Ok(())
    }
}

/// How many samples are drawn of a class and of the rest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    /// Whether both have the size of the smaller one.
    pub(super) balanced: bool,
    /// The most samples of either.
    pub(super) most: usize,
}

impl Sides {
    /// The samples of `part` that are drawn, in increasing order.
    pub(super) fn draw(
        self,
        part: &[usize],
        is_own: impl Fn(usize) -> bool,
        random: &mut ChaCha8Rng,
    ) -> Vec<usize> {
        let (mut own, mut rest): (Vec<usize>, Vec<usize>) = part.iter().partition(|&&i| is_own(i));
        let least = if self.balanced { own.len().min(rest.len()) } else { usize::MAX };
        for side in [&mut own, &mut rest] {
            if self.balanced || side.len() > self.most {
                side.shuffle(random);
                side.truncate(least.min(self.most));
            }
        }
        own.append(&mut rest);
        own.sort_unstable();
        own
    }
}

/// The samples of each class. Every class below the largest label needs two samples.
pub(super) fn members(labels: &[u32]) -> Result<Vec<Vec<usize>>, Error> {
    let Some(&last) = labels.iter().max() else {
        return Err(Error::NoSamples { argument: "labels" });
    };
    // Every class needs two samples, so there cannot be more classes than samples.
    if last as usize >= labels.len() {
        let expected = format!("classes below {}, each of two samples", labels.len());
        return Err(Error::argument("labels", last, expected));
    }
    let mut members = vec![Vec::new(); last as usize + 1];
    labels.iter().enumerate().for_each(|(i, &label)| members[label as usize].push(i));
    if members.len() < 2 {
        return Err(Error::argument("labels", "a single class", "at least two"));
    }
    match members.iter().enumerate().find(|(_, members)| members.len() < 2) {
        None => Ok(members),
        Some((class, members)) => {
            let found = format!("class {class} of {} samples", members.len());
            Err(Error::argument("labels", found, "at least two of every class"))
        }
    }
}

/// An error unless there are as many `labels` as samples.
pub(super) fn check_count(labels: usize, samples: usize) -> Result<(), Error> {
    if labels == samples {
        return Ok(());
    }
    Err(Error::Dimension { argument: "labels", found: labels, expected: samples })
}
