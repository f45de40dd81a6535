//! The transposed view of codes: for each atom, the samples Ω that use it.

use super::SparseCodes;
use crate::Scalar;

/// One use of an atom: which sample, and in which of its slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Use {
    /// Index of the sample.
    pub sample: u32,
    /// Slot within the sample's code.
    pub slot: u32,
}

/// For each atom j its uses Ω_j, in order of samples. Built by counting: O(m + nnz).
#[derive(Clone, Debug, Default)]
pub struct AtomIndex {
    offsets: Vec<usize>,
    uses: Vec<Use>,
}

impl AtomIndex {
    /// The index of `codes`.
    #[must_use]
    pub fn new<T: Scalar>(codes: &SparseCodes<T>) -> Self {
        let mut index = Self::default();
        index.rebuild(codes);
        index
    }

    /// Makes this the index of `codes`, keeping the allocations where they fit.
    pub fn rebuild<T: Scalar>(&mut self, codes: &SparseCodes<T>) {
        // offsets[j + 1] first counts the uses of atom j, then sums to where atom j ends.
        self.offsets.clear();
        self.offsets.resize(codes.atoms() + 2, 0);
        for (support, _) in codes.iter() {
            for &atom in support {
                self.offsets[atom as usize + 2] += 1;
            }
        }
        for j in 2..self.offsets.len() {
            self.offsets[j] += self.offsets[j - 1];
        }
        self.uses.clear();
        self.uses.resize(codes.nnz(), Use::default());
        // Filling moves offsets[j + 1] from the start of atom j to its end.
        for (sample, (support, _)) in codes.iter().enumerate() {
            for (slot, &atom) in support.iter().enumerate() {
                let next = &mut self.offsets[atom as usize + 1];
                self.uses[*next] = Use { sample: sample as u32, slot: slot as u32 };
                *next += 1;
            }
        }
        self.offsets.pop();
    }

    /// The uses Ω_j of atom `j`, in order of samples.
    #[must_use]
    pub fn uses(&self, j: usize) -> &[Use] {
        &self.uses[self.offsets[j]..self.offsets[j + 1]]
    }
}
