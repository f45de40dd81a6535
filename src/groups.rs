//! Nested groups of atoms, as coder and updater of a Matryoshka dictionary share them.

use std::ops::Range;

use crate::Scalar;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::model::Model;
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// Atoms in groups: the first `sizes[0]` atoms, the `sizes[1]` that follow, and so on. Each group
/// codes what those before it left, with a budget of its own.
///
/// The budgets add up to k exactly. Unless they are [given](Self::budgets), nonzeros are dealt one
/// by one, from the first group to the last and round again, passing over groups that have as many
/// as atoms: each of n groups that are large enough gets ⌊k/n⌋, and the first k mod n of them one
/// more. So the budgets of the [first](Self::first) few groups are those of these groups by
/// themselves, with what they sum to.
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
pub struct Groups {
    sizes: Vec<usize>,
    budgets: Option<Vec<usize>>,
}

impl Groups {
    /// Groups of these sizes, which are to add up to the number of atoms.
    #[must_use]
    pub fn new(sizes: impl Into<Vec<usize>>) -> Self {
        Self { sizes: sizes.into(), budgets: None }
    }

    /// Groups such that each but the first has as many atoms as all before it: `first`, `first`,
    /// 2·`first`, 4·`first`, up to `atoms` in all. The last group takes what is left if that is at
    /// least half of what would be its turn; less than that goes to the group before.
    #[must_use]
    pub fn doubling(atoms: usize, first: usize) -> Self {
        let mut sizes = vec![first.min(atoms)];
        let mut total = sizes[0];
        // A first group of nothing is for the check to refuse.
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

    /// Nonzeros a sample of each group, which are to add up to k.
    #[must_use]
    pub fn budgets(mut self, budgets: impl Into<Vec<usize>>) -> Self {
        self.budgets = Some(budgets.into());
        self
    }

    /// The numbers of atoms.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The number of groups.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there are none, which no coder accepts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// Nonzeros a sample of each group, of `sparsity` in all: those given, whatever they add up to,
    /// or as they are dealt.
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

    /// The first `count` groups by themselves; all, if there are no more.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        let first = |numbers: &Vec<usize>| numbers[..count.min(numbers.len())].to_vec();
        Self { sizes: first(&self.sizes), budgets: self.budgets.as_ref().map(first) }
    }

    /// The first `count` groups of a model as a model by itself: their atoms, and the sum of their
    /// budgets. Coded by [`Matryoshka`](crate::coder::Matryoshka) with
    /// [`first(count)`](Self::first), its codes are the first parts of those of the whole, bit by
    /// bit.
    ///
    /// # Errors
    /// [`Error::Argument`], naming `groups` or `budgets`, if these are not groups of the model, and
    /// naming `count`, for one outside 1..=n.
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

    /// Whether these are groups of the atoms of `shape`, with budgets that are its k.
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

    /// The atoms of each group.
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

/// The sum, or the largest number there is: sizes may be anything until they are checked.
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
