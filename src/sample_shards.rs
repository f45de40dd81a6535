//! The logical shards of a minibatch, over which every sum over samples is made.

use std::ops::Range;

use crate::ProblemShape;
use crate::error::Error;

/// The most shards of a minibatch.
pub(crate) const MOST_SHARDS: usize = 128;

/// The most of them unless more are asked for, for more owners.
const MOST_UNASKED: usize = 32;

/// Uses of an atom in a shard, on average, below which shards are not made smaller: the sum of an
/// atom's uses in a shard costs one vector more.
const USES: usize = 32;

/// Numbers in these uses, below which shards are not made smaller either.
const NUMBERS: usize = 16_384;

/// Contiguous ranges of a minibatch's samples, S of them, a power of two that is a function of the
/// problem.
///
/// What an update sums over samples (directions, errors, energies, moments) is summed within each
/// shard first. The sums of shards are then added in a tree that halves the range of shards until
/// one is left. Whoever holds some of the shards, a thread, a device or a machine, can therefore
/// sum its own, and all together have the bits of one that holds all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleShards {
    total: usize,
    first: usize,
    len: usize,
    /// Where the samples of each shard begin, and after `len` of them those of the last end.
    bounds: [usize; MOST_SHARDS + 1],
}

impl SampleShards {
    /// The shards of a minibatch of so many samples, of equal length but for rounding: as many as
    /// cost nothing that could be measured, up to 32.
    #[must_use]
    pub fn of(shape: &ProblemShape, samples: usize) -> Self {
        let uses = samples.saturating_mul(shape.sparsity) / shape.atoms.max(1);
        let least = USES.max(NUMBERS / shape.dim.max(1));
        let wanted = (uses / least).clamp(1, MOST_UNASKED);
        Self::equal(1 << wanted.ilog2(), samples)
    }

    /// S shards of equal length but for rounding: more than [`of`](Self::of) gives, for more
    /// owners. With them learning has other bits.
    ///
    /// # Errors
    /// [`Error::Argument`] unless S is a power of two up to 128.
    pub fn try_equal(total: usize, samples: usize) -> Result<Self, Error> {
        if total.is_power_of_two() && total <= MOST_SHARDS {
            return Ok(Self::equal(total, samples));
        }
        Err(Error::argument("total", total, "a power of two up to 128"))
    }

    /// S shards, a power of two up to 128, of equal length but for rounding.
    pub(crate) fn equal(total: usize, samples: usize) -> Self {
        Self::new(total, 0, (0..total + 1).map(|shard| shard * samples / total))
    }

    /// One shard of so many samples.
    #[must_use]
    pub fn single(samples: usize) -> Self {
        Self::new(1, 0, [0, samples].into_iter())
    }

    fn new(total: usize, first: usize, ends: impl ExactSizeIterator<Item = usize>) -> Self {
        let len = ends.len() - 1;
        let mut bounds = [0; MOST_SHARDS + 1];
        bounds.iter_mut().zip(ends).for_each(|(bound, end)| *bound = end);
        Self { total, first, len, bounds }
    }

    /// The shards of a part of the minibatch: those of `shards`, which are numbered among all S.
    /// Samples are counted from the first of them.
    ///
    /// # Panics
    /// If the range is not one of these shards.
    #[must_use]
    pub fn part(&self, shards: Range<usize>) -> Self {
        assert!(
            shards.start >= self.first
                && shards.start <= shards.end
                && shards.end <= self.first + self.len(),
            "shards {shards:?} of {:?}",
            self.first..self.first + self.len()
        );
        let own = shards.start - self.first..=shards.end - self.first;
        let start = self.bounds[*own.start()];
        let ends = self.bounds[own].iter().map(|bound| bound - start);
        Self::new(self.total, shards.start, ends)
    }

    /// These shards after samples have been left out: `is_kept` says of each whether it stays.
    pub(crate) fn without(&self, is_kept: &[bool]) -> Self {
        let mut left = self.clone();
        for (shard, range) in self.ranges().enumerate() {
            let kept = is_kept[range].iter().filter(|&&is_kept| is_kept).count();
            left.bounds[shard + 1] = left.bounds[shard] + kept;
        }
        left
    }

    /// S, the number of shards of the whole minibatch.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Which of the S shards the first one here is.
    #[must_use]
    pub fn first(&self) -> usize {
        self.first
    }

    /// How many shards are here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no shard is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Samples here.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.bounds[self.len]
    }

    /// The samples of a shard, both counted from the first here.
    ///
    /// # Panics
    /// If there is no such shard here.
    #[must_use]
    pub fn range(&self, shard: usize) -> Range<usize> {
        let bounds = &self.bounds[..=self.len];
        bounds[shard]..bounds[shard + 1]
    }

    /// The samples of all shards here, shard after shard.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        self.bounds[..=self.len].windows(2).map(|bounds| bounds[0]..bounds[1])
    }

    /// The fewest nodes of the tree over all S shards that make up those here, in order, as ranges
    /// of the shards here: what an owner of these shards sums by itself.
    pub(crate) fn nodes(&self) -> Vec<Range<usize>> {
        let mut nodes = Vec::new();
        let own = self.first..self.first + self.len();
        descend(0..self.total, &mut |node| {
            if node.end <= own.start || node.start >= own.end {
                return true;
            }
            let is_own = own.start <= node.start && node.end <= own.end;
            if is_own {
                nodes.push(node.start - own.start..node.end - own.start);
            }
            is_own
        });
        nodes
    }
}

/// Visits the nodes of the tree over `shards`, from the top and from the left, and does not descend
/// where `is_done`.
fn descend(shards: Range<usize>, is_done: &mut dyn FnMut(&Range<usize>) -> bool) {
    if is_done(&shards) || shards.len() < 2 {
        return;
    }
    let middle = shards.start.midpoint(shards.end);
    descend(shards.start..middle, is_done);
    descend(middle..shards.end, is_done);
}

/// The sum of what is known of each shard, in the tree over shards.
pub(crate) fn tree_sum<V>(
    shards: &mut dyn Iterator<Item = V>,
    count: usize,
    add: &dyn Fn(V, V) -> V,
) -> Option<V> {
    if count < 2 {
        return if count == 0 { None } else { shards.next() };
    }
    let left = tree_sum(shards, count / 2, add)?;
    let right = tree_sum(shards, count - count / 2, add)?;
    Some(add(left, right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sign;

    fn shape(dim: usize, atoms: usize, sparsity: usize) -> ProblemShape {
        ProblemShape { dim, atoms, sparsity, sign: Sign::Signed }
    }

    fn equal(total: usize, samples: usize) -> SampleShards {
        SampleShards::try_equal(total, samples).expect("a power of two")
    }

    #[test]
    fn shards_cover_the_samples_and_are_as_many_as_atoms_have_uses_for() {
        for (dim, atoms, sparsity, samples, expected) in [
            (1024, 64, 4, 100, 1),
            (1024, 64, 4, 2048, 4),
            (256, 64, 4, 2048, 2),
            (64, 64, 4, 2048, 1),
            (4096, 16, 4, 1000, 4),
            (8, 8, 8, 100_000, 32),
            (5, 5, 1, 0, 1),
        ] {
            let shards = SampleShards::of(&shape(dim, atoms, sparsity), samples);
            assert_eq!((shards.total(), shards.len()), (expected, expected));
            let ranges: Vec<_> = shards.ranges().collect();
            assert_eq!(ranges[0].start, 0);
            assert_eq!(ranges[expected - 1].end, samples);
            assert!(ranges.windows(2).all(|pair| pair[0].end == pair[1].start));
        }
    }

    #[test]
    fn samples_that_are_left_out_shorten_their_own_shard() {
        let shards = equal(4, 64);
        let is_kept: Vec<bool> = (0..64).map(|i| i != 3 && !(16..32).contains(&i)).collect();
        let left = shards.without(&is_kept);
        assert_eq!(left.ranges().collect::<Vec<_>>(), [0..15, 15..15, 15..31, 31..47]);
        assert_eq!(left.part(2..4).ranges().collect::<Vec<_>>(), [0..16, 16..32]);
    }

    #[test]
    fn numbers_of_shards_that_have_no_tree_are_refused() {
        for total in [0, 3, 256] {
            let error = SampleShards::try_equal(total, 9).expect_err("no power of two up to 128");
            assert!(error.to_string().contains("total"), "{error}");
        }
    }

    #[test]
    fn the_nodes_of_parts_make_up_the_tree() {
        let shards = equal(16, 256);
        assert_eq!(shards.nodes(), vec![0..16]);
        assert_eq!(shards.part(3..9).nodes(), [0..1, 1..5, 5..6]);
        assert_eq!(shards.part(8..12).nodes(), vec![0..4]);
        assert_eq!(shards.part(5..5).nodes(), []);
    }

    #[test]
    fn a_sum_is_that_of_halves() {
        let words = ["a", "b", "c", "d", "e"].map(String::from);
        let add = |a: String, b: String| format!("({a}{b})");
        let sum = tree_sum(&mut words.into_iter(), 5, &add);
        assert_eq!(sum.as_deref(), Some("((ab)(c(de)))"));
        assert_eq!(tree_sum(&mut std::iter::empty::<u8>(), 0, &|a, _| a), None);
    }
}
