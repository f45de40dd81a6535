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

/// For each atom j its uses Ω_j, in the order of samples. The index is built by counting, in O(m +
/// nnz).
///
/// Samples can be divided into contiguous parts. The uses of an atom within a part are then a
/// slice, too.
#[derive(Clone, Debug, Default)]
pub struct AtomIndex {
    /// Where the samples of each part begin, and where those of the last part end.
    bounds: Vec<usize>,
    /// Where the uses of atom j in part p begin, at entry j · parts + p.
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

    /// Turns this into the index of `codes`. The allocations are reused if they are large enough.
    pub fn rebuild<T: Scalar>(&mut self, codes: &SparseCodes<T>) {
        self.rebuild_in_parts(codes, [0, codes.samples()]);
    }

    /// Does the same for samples that are divided into parts. Each part begins where the one before
    /// it ends.
    pub(crate) fn rebuild_in_parts<T: Scalar>(
        &mut self,
        codes: &SparseCodes<T>,
        bounds: impl IntoIterator<Item = usize>,
    ) {
        self.bounds.clear();
        self.bounds.extend(bounds);
        debug_assert!(self.bounds.is_sorted() && self.bounds.last() == Some(&codes.samples()));
        let parts = self.parts();
        // `offsets[b + 2]` first counts the uses in bin b = (atom, part). Then the sums turn it
        // into the end of the bin.
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
        // Filling moves `offsets[b + 1]` from the start of bin b to its end.
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

    /// Number of uses, over all atoms.
    pub(crate) fn len(&self) -> usize {
        self.uses.len()
    }

    /// Number of parts.
    fn parts(&self) -> usize {
        self.bounds.len().saturating_sub(1)
    }

    /// The first sample of `part`. For the number after the last part, this is the number of
    /// samples.
    pub(crate) fn start_of(&self, part: usize) -> usize {
        self.bounds[part]
    }

    /// The uses of atom `j` in these consecutive `parts`.
    #[inline(always)]
    pub(crate) fn uses_in(&self, j: usize, parts: Range<usize>) -> &[Use] {
        &self.uses[self.range_in(j, parts)]
    }

    /// The range, within the uses of all atoms, that holds the uses of atom `j` in these
    /// consecutive `parts`.
    #[inline(always)]
    pub(crate) fn range_in(&self, j: usize, parts: Range<usize>) -> Range<usize> {
        let bin = j * self.parts();
        self.offsets[bin + parts.start]..self.offsets[bin + parts.end]
    }
}
