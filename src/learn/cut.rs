//! Which samples of a minibatch are an owner's.

use std::ops::Range;

use super::team::Team;
use crate::backend::SampleShards;
use crate::problem::ProblemShape;

/// How a run cuts minibatches into shards, and which of them this owner has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    shape: ProblemShape,
    /// How many shards, if that was set.
    shards: Option<usize>,
    rank: usize,
    ranks: usize,
}

impl Cut {
    /// `shape` is that of the largest dictionary of the run: growth changes how many atoms there
    /// are, and is no reason to cut samples otherwise.
    pub(super) fn new(shape: ProblemShape, shards: Option<usize>, team: Team<'_>) -> Self {
        Self { shape, shards, rank: team.rank(), ranks: team.ranks() }
    }

    /// The shards of a minibatch of so many samples.
    pub(super) fn all(&self, samples: usize) -> SampleShards {
        match self.shards {
            None => SampleShards::of(&self.shape, samples),
            Some(shards) => SampleShards::equal(shards, samples),
        }
    }

    /// Those of them that are this owner's: as many as any other's, or one more or less.
    pub(super) fn own(&self, samples: usize) -> SampleShards {
        let all = self.all(samples);
        all.part(self.shards_of(all.total()))
    }

    /// Where in the minibatch the samples of this owner's shards are.
    pub(super) fn positions(&self, samples: usize) -> Range<usize> {
        let all = self.all(samples);
        let own = self.shards_of(all.total());
        let before = all.part(0..own.start).samples();
        before..before + all.part(own).samples()
    }

    fn shards_of(&self, total: usize) -> Range<usize> {
        self.rank * total / self.ranks..(self.rank + 1) * total / self.ranks
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Sign;

    #[test]
    fn owners_have_every_sample_once() {
        let shape = ProblemShape { dim: 4, atoms: 6, sparsity: 2, sign: Sign::Signed };
        for (shards, ranks) in [(None, 3), (Some(8), 1), (Some(8), 5), (Some(8), 11), (Some(4), 4)]
        {
            let mut next = 0;
            for rank in 0..ranks {
                let cut = Cut { shape, shards, rank, ranks };
                let positions = cut.positions(203);
                assert_eq!(positions.start, next);
                assert_eq!(positions.len(), cut.own(203).samples());
                next = positions.end;
            }
            assert_eq!(next, 203);
        }
    }
}
