//! Nested groups of atoms, which the coder and the updater of a Matryoshka dictionary share.

use std::ops::Range;

use crate::Scalar;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::model::Model;
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// Atoms in groups: the first `sizes[0]` atoms, the `sizes[1]` atoms that follow, and so on. Each
/// group codes what the groups before it left, with a budget of its own.
///
/// The budgets add up to k exactly. They can be [given](Self::budgets). Otherwise nonzeros are
/// dealt to the groups one by one, from the first group to the last and round again; a group that
/// has as many nonzeros as atoms is passed over. If n groups are all large enough, each gets ⌊k/n⌋
/// nonzeros, and the first k mod n groups get one more. So if the [first](Self::first) few groups
/// are used alone, with the sum of their budgets as k, each of them keeps its budget.
///
/// ```
/// use dbksvd::Groups;
///
/// let groups = Groups::doubling(100, 16);
/// assert_eq!(groups.sizes(), [16, 16, 32, 36]);
/// assert_eq!(groups.budgets_of(10), [3, 3, 2, 2]);
/// assert_eq!(Groups::new([1, 1, 30]).budgets_of(10), [1, 1, 8]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Groups {
    sizes: Vec<usize>,
    budgets: Option<Vec<usize>>,
}

impl Groups {
    /// Groups of these sizes. The sizes must add up to the number of atoms.
    #[must_use]
    pub fn new(sizes: impl Into<Vec<usize>>) -> Self {
        Self { sizes: sizes.into(), budgets: None }
    }

    /// Groups of `first`, `first`, 2·`first`, 4·`first`, … atoms, up to `atoms` in all: each group
    /// but the first has as many atoms as all groups before it. If fewer atoms are left than the
    /// last group should have, it gets these if they are at least half of its size; otherwise the
    /// group before it gets them.
    #[must_use]
    pub fn doubling(atoms: usize, first: usize) -> Self {
        let mut sizes = vec![first.min(atoms)];
        let mut total = sizes[0];
        // A first group without atoms is left to `check`, which refuses it.
        while total > 0 && total < atoms {
            let (turn, left) = (total, atoms - total);
            match sizes.last_mut() {
                Some(last) if left < turn.div_ceil(2) => *last += left,
                _ => sizes.push(turn.min(left)),
            }
            total += turn.min(left);
        }
        Self::new(sizes)
    }

    /// The nonzeros of each group, per sample. They must add up to k.
    #[must_use]
    pub fn budgets(mut self, budgets: impl Into<Vec<usize>>) -> Self {
        self.budgets = Some(budgets.into());
        self
    }

    /// The number of atoms of each group.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The number of groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there are no groups. No coder accepts that.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// The nonzeros of each group, per sample, if there are `sparsity` in all. Budgets that were
    /// given are returned as they are, whatever their sum.
    #[must_use]
    pub fn budgets_of(&self, sparsity: usize) -> Vec<usize> {
        if let Some(budgets) = &self.budgets {
            return budgets.clone();
        }
        let mut budgets = vec![0; self.sizes.len()];
        let mut left = sparsity.min(total(&self.sizes));
        while left > 0 {
            for (budget, &size) in budgets.iter_mut().zip(&self.sizes) {
                if left > 0 && *budget < size {
                    *budget += 1;
                    left -= 1;
                }
            }
        }
        budgets
    }

    /// The first `count` groups alone, or all groups if there are no more.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        let first = |numbers: &Vec<usize>| numbers[..count.min(numbers.len())].to_vec();
        Self { sizes: first(&self.sizes), budgets: self.budgets.as_ref().map(first) }
    }

    /// A model that has only the first `count` groups of `model`: their atoms, and the sum of their
    /// budgets as its sparsity. If it is coded by [`Matryoshka`](crate::coder::Matryoshka) with
    /// [`first(count)`](Self::first), each of its codes is the beginning of the whole model's code,
    /// bit by bit.
    ///
    /// # Errors
    /// [`Error::Argument`], naming `groups` or `budgets` if these do not fit the model, and naming
    /// `count` if it is outside 1..=n, where n is the number of groups.
    pub fn prefix_of<T: Scalar>(&self, model: &Model<T>, count: usize) -> Result<Model<T>, Error> {
        self.check(&model.shape())?;
        if count == 0 || count > self.len() {
            let expected = format!("1 to {}, the number of groups", self.len());
            return Err(Error::argument("count", count, expected));
        }
        let atoms = self.sizes[..count].iter().sum();
        let sparsity = self.budgets_of(model.sparsity())[..count].iter().sum();
        let dictionary = model.dictionary().as_mat().subcols(0, atoms).to_owned();
        Model::new(Dictionary::new(dictionary)?, None, sparsity, model.sign())?
            .preprocessed(model.preprocessing().clone())
    }

    /// Checks that the sizes add up to the atoms of `shape`, and the budgets to its k.
    pub(crate) fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        let Self { sizes, budgets } = self;
        let refuse = |argument, found: &[usize], expected: String| {
            Err(Error::argument(argument, format!("{found:?}"), expected))
        };
        if sizes.is_empty() {
            return refuse("groups", sizes, "at least one group".to_owned());
        }
        if sizes.contains(&0) {
            return refuse("groups", sizes, "at least one atom in each".to_owned());
        }
        if total(sizes) != shape.atoms {
            return refuse("groups", sizes, format!("sizes that add up to {} atoms", shape.atoms));
        }
        let Some(budgets) = budgets else {
            if sizes.len() > shape.sparsity {
                let expected = format!("at most {} groups, for a nonzero each", shape.sparsity);
                return refuse("groups", sizes, expected);
            }
            return Ok(());
        };
        if budgets.len() != sizes.len() {
            return refuse("budgets", budgets, format!("{} budgets, one a group", sizes.len()));
        }
        if budgets.iter().zip(sizes).any(|(&budget, &size)| budget == 0 || budget > size) {
            return refuse("budgets", budgets, format!("at least 1 and at most {sizes:?}"));
        }
        if total(budgets) != shape.sparsity {
            let expected = format!("numbers that add up to {}, the sparsity", shape.sparsity);
            return refuse("budgets", budgets, expected);
        }
        Ok(())
    }

    /// The range of atoms of each group.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.sizes.iter().scan(0, |end, size| {
            let start = *end;
            *end += size;
            Some(start..*end)
        })
    }
}

impl From<&Groups> for Parameters {
    fn from(groups: &Groups) -> Self {
        let Groups { sizes, budgets } = groups;
        Self::of("groups").with("sizes", sizes.as_slice()).with("budgets", budgets.as_deref())
    }
}

/// The sum, or the largest `usize` if the sum overflows: sizes can be anything until they are
/// checked.
fn total(numbers: &[usize]) -> usize {
    numbers.iter().fold(0, |sum: usize, &number| sum.saturating_add(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubling_groups_hold_all_atoms() {
        assert_eq!(Groups::doubling(32, 8).sizes(), [8, 8, 16]);
        assert_eq!(Groups::doubling(33, 8).sizes(), [8, 8, 17]);
        assert_eq!(Groups::doubling(47, 8).sizes(), [8, 8, 31]);
        assert_eq!(Groups::doubling(48, 8).sizes(), [8, 8, 16, 16]);
        assert_eq!(Groups::doubling(5, 8).sizes(), [5]);
        assert_eq!(Groups::doubling(9, 8).sizes(), [9]);
        assert_eq!(Groups::doubling(usize::MAX, usize::MAX - 1).sizes(), [usize::MAX]);
        assert_eq!(Groups::new([usize::MAX, 2]).budgets_of(5), [3, 2]);
        for atoms in 1..300 {
            for first in 1..40 {
                let sizes = Groups::doubling(atoms, first).sizes;
                assert_eq!(sizes.iter().sum::<usize>(), atoms);
                assert!(!sizes.contains(&0));
            }
        }
    }

    #[test]
    fn budgets_are_k_and_those_of_a_prefix_are_its_own() {
        for sizes in [vec![8, 8, 16], vec![1, 1, 30], vec![1, 9, 2, 5], vec![12]] {
            let groups = Groups::new(sizes.clone());
            for sparsity in sizes.len()..=sizes.iter().sum() {
                let budgets = groups.budgets_of(sparsity);
                assert_eq!(budgets.iter().sum::<usize>(), sparsity);
                assert!(budgets.iter().zip(&sizes).all(|(&k, &m)| 1 <= k && k <= m));
                for count in 1..=sizes.len() {
                    let of_prefix = budgets[..count].iter().sum();
                    assert_eq!(groups.first(count).budgets_of(of_prefix), budgets[..count]);
                }
            }
        }
    }
}
