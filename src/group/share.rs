//! The shards of one owner, and sums over those of all.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use faer::ColRef;
use pulp::bytemuck::{self, Pod};

use super::{Group, Solo};
use crate::Scalar;
use crate::backend::{Backend, Change, DirectionSums, SampleShards};
use crate::error::BackendError;
use crate::sample_shards::tree_sum;
use crate::scalar::compiled;

/// Which shards of a minibatch are here, and the [`Group`] whose owners hold the others.
#[derive(Clone, Debug)]
pub struct Share<'a> {
    /// `None` if all shards are here: one owner alone allocates nothing.
    team: Option<Team<'a>>,
    shards: SampleShards,
}

/// The owners of a minibatch.
#[derive(Clone, Debug)]
struct Team<'a> {
    group: &'a dyn Group,
    /// The nodes of every owner, once they have told each other.
    nodes: Arc<NodesOfAll>,
}

/// The nodes of every owner, by rank.
type NodesOfAll = OnceLock<Vec<Vec<Range<usize>>>>;

impl<'a> Share<'a> {
    /// All shards are here.
    #[must_use]
    pub fn alone(shards: SampleShards) -> Self {
        Self { team: None, shards }
    }

    /// These shards are here. The owners of a group hold all S shards between them, in the order of
    /// ranks; an owner may hold none.
    #[must_use]
    pub fn new(group: &'a dyn Group, shards: SampleShards) -> Self {
        Self { team: Some(Team { group, nodes: Arc::default() }), shards }
    }

    /// The shards here.
    #[must_use]
    pub fn shards(&self) -> &SampleShards {
        &self.shards
    }

    /// Whether there is no other owner.
    #[must_use]
    pub fn is_alone(&self) -> bool {
        self.team.as_ref().is_none_or(|team| team.group.ranks() == 1)
    }

    /// For updaters, and parts of them, that want all samples in one place.
    ///
    /// # Errors
    /// [`BackendError::Unsupported`], naming `what`, where there is another owner.
    pub fn expect_alone(&self, what: &str) -> Result<(), BackendError> {
        if self.is_alone() {
            return Ok(());
        }
        Err(BackendError::Unsupported {
            what: format!("{what} on samples that several owners hold"),
        })
    }

    /// The owners.
    pub(crate) fn group(&self) -> &'a dyn Group {
        self.team.as_ref().map_or(&Solo, |team| team.group)
    }

    /// Which owner this is.
    pub(crate) fn rank(&self) -> usize {
        self.group().rank()
    }

    /// What each owner gives, in the order of ranks.
    pub(crate) fn gather<P: Pod>(&self, own: &[P]) -> Result<Vec<Vec<P>>, BackendError> {
        let Some(team) = &self.team else { return Ok(vec![own.to_vec()]) };
        values_of_each(team.group.gather(bytemuck::cast_slice(own))?)
    }

    /// What all owners give, in the order of ranks.
    pub(crate) fn concat<P: Pod>(&self, own: Vec<P>) -> Result<Vec<P>, BackendError> {
        if self.is_alone() { Ok(own) } else { Ok(self.gather(&own)?.concat()) }
    }

    /// Refuses what the owners together have told if it is not as much as was to be told.
    pub(crate) fn expect(
        &self,
        found: usize,
        expected: usize,
        of: &str,
    ) -> Result<(), BackendError> {
        if found == expected {
            return Ok(());
        }
        Err(self.mismatch(format!("owners have told {found} {of}, expected {expected}")))
    }

    /// Columns of a matrix of which each owner has a part with so many rows, in the order in which
    /// they are wanted: each by its owner and its place there. Every owner wants the same.
    pub(crate) fn columns<B: Backend>(
        &self,
        backend: &B,
        own: &B::Matrix,
        rows: usize,
        wanted: &[(usize, usize)],
    ) -> Result<Vec<Vec<B::Scalar>>, BackendError> {
        let of = |rank: usize| wanted.iter().filter(move |(owner, _)| *owner == rank);
        let places: Vec<usize> = of(self.rank()).map(|&(_, place)| place).collect();
        let columns = backend.download_columns(own, &places)?;
        let numbers = columns.col_iter().flat_map(ColRef::iter).copied();
        let all = self.gather(&numbers.collect::<Vec<_>>())?;
        for (rank, numbers) in all.iter().enumerate() {
            let (found, expected) = (numbers.len(), of(rank).count() * rows);
            if found != expected {
                let reason = format!("{found} numbers of wanted columns, expected {expected}");
                return Err(BackendError::Group { rank, reason });
            }
        }
        let mut all: Vec<_> = all.iter().map(|numbers| numbers.chunks_exact(rows)).collect();
        let next = wanted.iter().filter_map(|&(owner, _)| all.get_mut(owner)?.next());
        Ok(next.map(<[_]>::to_vec).collect())
    }

    /// The sum over all shards of what is known of each shard here.
    pub(crate) fn sum(&self, own: &[f64]) -> Result<f64, BackendError> {
        let sum = |all: &[f64]| {
            tree_sum(&mut all.iter().copied(), all.len(), &|a, b| a + b).unwrap_or(0.0)
        };
        if self.is_alone() {
            return Ok(sum(own));
        }
        Ok(sum(&self.of_all_shards(own, 1)?))
    }

    /// The sum over all shards of the changes of each shard here.
    pub(crate) fn sum_changes(&self, own: &[Change]) -> Result<Change, BackendError> {
        let add = |a: Change, b: Change| Change {
            error: a.error + b.error,
            energy: a.energy + b.energy,
            uses: a.uses + b.uses,
        };
        if self.is_alone() {
            return Ok(tree_sum(&mut own.iter().copied(), own.len(), &add).unwrap_or_default());
        }
        // A count is exact in f64.
        let numbers =
            own.iter().flat_map(|change| [change.error, change.energy, change.uses as f64]);
        let all = self.of_all_shards(&numbers.collect::<Vec<f64>>(), 3)?;
        let (all, _) = all.as_chunks::<3>();
        let changes =
            all.iter().map(|&[error, energy, uses]| Change { error, energy, uses: uses as usize });
        Ok(tree_sum(&mut changes.into_iter(), self.shards.total(), &add).unwrap_or_default())
    }

    /// So many numbers of each shard.
    fn of_all_shards(&self, own: &[f64], each: usize) -> Result<Vec<f64>, BackendError> {
        let all = self.gather(own)?.concat();
        let expected = each * self.shards.total();
        if all.len() == expected {
            return Ok(all);
        }
        let (found, total) = (all.len() / each, self.shards.total());
        Err(self.mismatch(format!("all owners together hold {found} shards, expected {total}")))
    }

    fn mismatch(&self, reason: String) -> BackendError {
        BackendError::Group { rank: self.rank(), reason }
    }

    /// Adds what the others counted.
    pub(crate) fn add_counts(&self, counts: &mut [u64]) -> Result<(), BackendError> {
        if self.is_alone() {
            return Ok(());
        }
        let all = self.gather(counts)?;
        counts.fill(0);
        for (rank, own) in all.iter().enumerate() {
            if own.len() != counts.len() {
                let reason = format!("{} counts, expected {}", own.len(), counts.len());
                return Err(BackendError::Group { rank, reason });
            }
            for (sum, &count) in counts.iter_mut().zip(own) {
                *sum = sum.saturating_add(count);
            }
        }
        Ok(())
    }

    /// The sum of one number of each owner.
    pub(crate) fn count(&self, own: usize) -> Result<usize, BackendError> {
        let mut count = [own as u64];
        self.add_counts(&mut count)?;
        Ok(count[0] as usize)
    }

    /// `numbers` ← the sums over all shards; `of_node` gives those of some of the shards here.
    pub(crate) fn sum_numbers(
        &self,
        numbers: &mut [f64],
        of_node: OfNode<'_, [f64]>,
    ) -> Result<(), BackendError> {
        if self.is_alone() {
            return of_node(0..self.shards.len(), numbers);
        }
        let mut own = Vec::new();
        for node in self.shards.nodes() {
            of_node(node, numbers)?;
            own.extend_from_slice(numbers);
        }
        let parts = self.gather_nodes(&own, numbers.len())?;
        let sum = self.fold(parts, &|mut a, b| {
            a.iter_mut().zip(&b).for_each(|(a, b)| *a += b);
            a
        })?;
        numbers.copy_from_slice(&sum);
        Ok(())
    }

    /// `sums` ← the sums over all shards; `of_node` gives those of some of the shards here.
    pub(crate) fn sum_directions<T: Scalar>(
        &self,
        sums: &mut DirectionSums<T>,
        of_node: OfNode<'_, DirectionSums<T>>,
    ) -> Result<(), BackendError> {
        sum_directions(self, sums, of_node)
    }

    /// What each owner knows of each of its nodes, so many values, with the nodes, in order.
    pub(crate) fn gather_nodes<P: Pod>(
        &self,
        own: &[P],
        each: usize,
    ) -> Result<Nodes<Vec<P>>, BackendError> {
        let nodes = self.nodes_of_all()?;
        let all = self.gather(own)?;
        Ok(of_nodes(nodes, &all, each))
    }

    /// The nodes of every owner, among those over all shards.
    fn nodes_of_all(&self) -> Result<&[Vec<Range<usize>>], BackendError> {
        let team = self.team.as_ref().ok_or_else(|| self.mismatch("there is no group".into()))?;
        let nodes = &team.nodes;
        if let Some(nodes) = nodes.get() {
            return Ok(nodes);
        }
        let first = self.shards.first();
        let own = self.shards.nodes().into_iter();
        let own = own.flat_map(|node| [node.start + first, node.end + first]);
        let all = self.gather(&own.map(|end| end as u64).collect::<Vec<_>>())?;
        let ranges = |ends: &Vec<u64>| {
            let (ends, _) = ends.as_chunks::<2>();
            ends.iter().map(|&[start, end]| start as usize..end as usize).collect()
        };
        Ok(nodes.get_or_init(|| all.iter().map(ranges).collect()))
    }

    /// Adds what is known of nodes in the tree over all shards.
    pub(crate) fn fold<V>(
        &self,
        parts: Nodes<V>,
        add: &dyn Fn(V, V) -> V,
    ) -> Result<V, BackendError> {
        let mut parts = parts.into_iter().peekable();
        let sum = fold(&mut parts, 0..self.shards.total(), add);
        let wrong =
            || self.mismatch("the owners' shards are not those of the minibatch, in order".into());
        sum.filter(|_| parts.next().is_none()).ok_or_else(wrong)
    }
}

/// Gives the sums over some of the shards here.
type OfNode<'a, V> = &'a mut dyn FnMut(Range<usize>, &mut V) -> Result<(), BackendError>;

compiled! {
    /// [`Share::sum_directions`].
    ///
    /// Each owner adds up what all know of some of the atoms, and gives the others their sums: so
    /// every owner sends each atom about twice, however many owners there are.
    fn sum_directions<T>(
        share: &Share<'_>,
        sums: &mut DirectionSums<T>,
        of_node: OfNode<'_, DirectionSums<T>>,
    ) -> Result<(), BackendError> {
        let Some(Team { group, .. }) = share.team.as_ref().filter(|_| !share.is_alone()) else {
            return of_node(0..share.shards.len(), sums);
        };
        let (dim, atoms) = sums.vectors.shape();
        let (each, ranks) = (dim + 2, group.ranks());
        let of_rank = |rank: usize| rank * atoms / ranks..(rank + 1) * atoms / ranks;
        // Of every atom, whether it has a use, its product and its vector.
        let mut parts = vec![Vec::new(); ranks];
        for node in share.shards.nodes() {
            of_node(node, sums)?;
            for (rank, part) in parts.iter_mut().enumerate() {
                for j in of_rank(rank) {
                    let is_used = T::from_int(i32::from(sums.is_used[j]));
                    part.extend_from_slice(bytemuck::cast_slice(&[is_used, sums.products[j]]));
                    part.extend_from_slice(bytemuck::cast_slice(sums.vectors.col_as_slice(j)));
                }
            }
        }
        let nodes = share.nodes_of_all()?;
        let all = values_of_each::<T>(group.exchange(&parts)?)?;
        let own = of_rank(group.rank());
        // An atom without a use in a part has no sum there, not one of zeros, whose signs show.
        let add = |mut a: Vec<T>, b: Vec<T>| {
            for (a, b) in a.chunks_exact_mut(each).zip(b.chunks_exact(each)) {
                if b[0] == T::zero() {
                    continue;
                }
                if a[0] == T::zero() {
                    a.copy_from_slice(b);
                    continue;
                }
                a[1..].iter_mut().zip(&b[1..]).for_each(|(a, &b)| *a += b);
            }
            a
        };
        let sum = if own.is_empty() {
            Vec::new()
        } else {
            share.fold(of_nodes(nodes, &all, each * own.len()), &add)?
        };
        let all = share.gather(&sum)?.concat();
        if all.len() != each * atoms {
            let found = all.len() / each;
            return Err(share.mismatch(format!("sums of {found} atoms, expected {atoms}")));
        }
        for (j, sum) in all.chunks_exact(each).enumerate() {
            sums.is_used[j] = sum[0] != T::zero();
            sums.products[j] = sum[1];
            sums.vectors.col_as_slice_mut(j).copy_from_slice(&sum[2..]);
        }
        Ok(())
    }
}

/// The values in what each owner gave.
fn values_of_each<P: Pod>(all: Vec<Vec<u8>>) -> Result<Vec<Vec<P>>, BackendError> {
    let read = |(rank, bytes): (usize, Vec<u8>)| {
        if bytes.len().is_multiple_of(size_of::<P>()) {
            let values = bytes.chunks_exact(size_of::<P>());
            return Ok(values.map(bytemuck::pod_read_unaligned).collect());
        }
        let reason = format!("{} bytes are no whole number of values", bytes.len());
        Err(BackendError::Group { rank, reason })
    };
    all.into_iter().enumerate().map(read).collect()
}

/// The values of each node in what each owner gave, so many a node.
fn of_nodes<P: Pod>(nodes: &[Vec<Range<usize>>], all: &[Vec<P>], each: usize) -> Nodes<Vec<P>> {
    let of_owner = |(nodes, values): (&Vec<Range<usize>>, &Vec<P>)| {
        let values = values.chunks_exact(each).map(<[P]>::to_vec);
        nodes.iter().cloned().zip(values).collect::<Vec<_>>()
    };
    nodes.iter().zip(all).flat_map(of_owner).collect()
}

/// What is known of nodes of the tree over all shards, in their order.
pub(crate) type Nodes<V> = Vec<(Range<usize>, V)>;

type Parts<V> = std::iter::Peekable<<Nodes<V> as IntoIterator>::IntoIter>;

/// The sum of the next parts, which make up a node.
fn fold<V>(parts: &mut Parts<V>, node: Range<usize>, add: &dyn Fn(V, V) -> V) -> Option<V> {
    if let Some((_, sum)) = parts.next_if(|(part, _)| *part == node) {
        return Some(sum);
    }
    if node.len() < 2 {
        return None;
    }
    let middle = node.start.midpoint(node.end);
    let left = fold(parts, node.start..middle, add)?;
    let right = fold(parts, middle..node.end, add)?;
    Some(add(left, right))
}
