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
///
/// Samples may be cut into parts of equal length; the uses of an atom within a part are then a
/// slice as well.
#[derive(Clone, Debug, Default)]
pub struct AtomIndex {
    parts: usize,
    /// Samples of a part, but for the last.
    part_len: usize,
    /// Where the uses of atom j in part p begin: entry j · parts + p.
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
        self.rebuild_in_parts(codes, 1);
    }

    /// The same, with the samples cut into (at most) `parts`.
    pub(crate) fn rebuild_in_parts<T: Scalar>(&mut self, codes: &SparseCodes<T>, parts: usize) {
        self.part_len = codes.samples().div_ceil(parts).max(1);
        self.parts = codes.samples().div_ceil(self.part_len).max(1);
        let (parts, part_len) = (self.parts, self.part_len);
        // offsets[b + 2] first counts the uses in bin b = (atom, part), then sums to where it ends.
        self.offsets.clear();
        self.offsets.resize(codes.atoms() * parts + 2, 0);
        let mut nnz = 0;
        for part in 0..parts {
            for sample in part * part_len..((part + 1) * part_len).min(codes.samples()) {
                let support = codes.support(sample);
                nnz += support.len();
                for &atom in support {
                    self.offsets[atom as usize * parts + part + 2] += 1;
                }
            }
        }
        for bin in 2..self.offsets.len() {
            self.offsets[bin] += self.offsets[bin - 1];
        }
        self.uses.clear();
        self.uses.resize(nnz, Use::default());
        // Filling moves offsets[b + 1] from the start of bin b to its end.
        for part in 0..parts {
            for sample in part * part_len..((part + 1) * part_len).min(codes.samples()) {
                for (slot, &atom) in codes.support(sample).iter().enumerate() {
                    let next = &mut self.offsets[atom as usize * parts + part + 1];
                    self.uses[*next] = Use { sample: sample as u32, slot: slot as u32 };
                    *next += 1;
                }
            }
        }
        self.offsets.pop();
    }

    /// The uses Ω_j of atom `j`, in order of samples.
    #[must_use]
    pub fn uses(&self, j: usize) -> &[Use] {
        &self.uses[self.offsets[j * self.parts]..self.offsets[(j + 1) * self.parts]]
    }

    /// Number of uses of all atoms.
    pub(crate) fn len(&self) -> usize {
        self.uses.len()
    }

    /// Number of parts.
    pub(crate) fn parts(&self) -> usize {
        self.parts
    }

    /// The first sample of `part`.
    pub(crate) fn start_of(&self, part: usize) -> usize {
        part * self.part_len
    }

    /// The uses of atom `j` by samples of `part`.
    pub(crate) fn uses_in(&self, j: usize, part: usize) -> &[Use] {
        let bin = j * self.parts + part;
        &self.uses[self.offsets[bin]..self.offsets[bin + 1]]
    }
}
