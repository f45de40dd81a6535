//! The transposed view of codes: for each atom, the samples Ω that use it.

use std::ops::Range;

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
/// Samples may be cut into contiguous parts; the uses of an atom within a part are then a slice as
/// well.
#[derive(Clone, Debug, Default)]
pub struct AtomIndex {
    /// Where the samples of each part begin, and where those of the last end.
    bounds: Vec<usize>,
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
        self.rebuild_in_parts(codes, [0, codes.samples()]);
    }

    /// The same, with the samples cut into parts: each begins where the one before ends.
    pub(crate) fn rebuild_in_parts<T: Scalar>(
        &mut self,
        codes: &SparseCodes<T>,
        bounds: impl IntoIterator<Item = usize>,
    ) {
        self.bounds.clear();
        self.bounds.extend(bounds);
        debug_assert!(self.bounds.is_sorted() && self.bounds.last() == Some(&codes.samples()));
        let parts = self.parts();
        // offsets[b + 2] first counts the uses in bin b = (atom, part), then sums to where it ends.
        self.offsets.clear();
        self.offsets.resize(codes.atoms() * parts + 2, 0);
        let mut nnz = 0;
        for (part, bounds) in self.bounds.windows(2).enumerate() {
            for sample in bounds[0]..bounds[1] {
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
        for (part, bounds) in self.bounds.windows(2).enumerate() {
            for sample in bounds[0]..bounds[1] {
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
        self.uses_in(j, 0..self.parts())
    }

    /// Number of uses of all atoms.
    pub(crate) fn len(&self) -> usize {
        self.uses.len()
    }

    /// Number of parts.
    fn parts(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// The first sample of `part`; of the part after the last, the number of samples.
    pub(crate) fn start_of(&self, part: usize) -> usize {
        self.bounds[part]
    }

    /// The uses of atom `j` by samples of consecutive `parts`.
    #[inline(always)]
    pub(crate) fn uses_in(&self, j: usize, parts: Range<usize>) -> &[Use] {
        &self.uses[self.range_in(j, parts)]
    }

    /// Where the uses of atom `j` by samples of consecutive `parts` are among those of all atoms.
    #[inline(always)]
    pub(crate) fn range_in(&self, j: usize, parts: Range<usize>) -> Range<usize> {
        let bin = j * self.parts();
        self.offsets[bin + parts.start]..self.offsets[bin + parts.end]
    }
}
