//! Sparse codes: for each sample at most k atoms and their coefficients.

mod index;

pub use index::{AtomIndex, Use};

use std::ops::Range;

use faer::sparse::SparseColMat;
use rayon::prelude::*;

use crate::Scalar;
use crate::error::Error;
use crate::matrix::check_room;

/// Marks an unused slot in the padded storage.
const EMPTY: u32 = u32::MAX;

/// The codes X (m × N) of N samples: at most k nonzero coefficients each.
///
/// Storage is padded and sample-major, with a fixed k: sample i owns the slots `i·k .. (i+1)·k`.
/// The first `support(i).len()` of them are in use, in the order in which the coder chose the
/// atoms. This takes `k·(4 + size of T) + 4` bytes per sample, and threads can write samples in
/// parallel without putting parts together afterwards. [`to_csc`](Self::to_csc) and
/// [`to_csr_parts`](Self::to_csr_parts) convert to the usual sparse formats.
///
/// ```
/// use dbksvd::SparseCodes;
///
/// // Two samples over 5 atoms, at most 2 atoms each.
/// let mut codes = SparseCodes::<f32>::new(5, 2, 2);
/// codes.set(0, &[3, 1], &[0.5, -2.0]);
/// codes.set(1, &[4], &[1.0]);
/// assert_eq!((codes.samples(), codes.nnz()), (2, 3));
/// for (support, values) in codes.iter() {
///     println!("atoms {support:?} with {values:?}");
/// }
/// let rows = codes.to_csr_parts(); // (samples, atoms), as SciPy has it
/// assert_eq!(rows.offsets, [0, 2, 3]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SparseCodes<T> {
    atoms: usize,
    sparsity: usize,
    support: Vec<u32>,
    values: Vec<T>,
    lengths: Vec<u32>,
}

/// Compressed rows: one row per sample, in the format of SciPy's
/// `csr_matrix((values, indices, offsets))`.
#[derive(Clone, Debug, PartialEq)]
pub struct CsrParts<T> {
    /// Atom of each nonzero, in increasing order within a sample.
    pub indices: Vec<u32>,
    /// Coefficient of each nonzero.
    pub values: Vec<T>,
    /// Sample i owns `indices[offsets[i]..offsets[i + 1]]`; N + 1 entries.
    pub offsets: Vec<usize>,
}

impl<T: Scalar> SparseCodes<T> {
    /// Empty codes of `samples` samples over `atoms` atoms, with room for `sparsity` nonzeros each.
    #[must_use]
    pub fn new(atoms: usize, samples: usize, sparsity: usize) -> Self {
        let mut codes =
            Self { atoms, sparsity, support: Vec::new(), values: Vec::new(), lengths: Vec::new() };
        codes.reset(samples);
        codes
    }

    /// Codes from compressed rows (each row is a sample).
    ///
    /// # Errors
    /// [`Error::Argument`] if the offsets do not start at 0, decrease, or do not end at the number
    /// of nonzeros; if an atom index is not below `atoms` or occurs twice in a sample; or if a
    /// sample has more than `sparsity` nonzeros. [`Error::Backend`] if there is no memory for
    /// `sparsity` nonzeros a sample.
    pub fn from_csr_parts(
        atoms: usize,
        sparsity: usize,
        parts: &CsrParts<T>,
    ) -> Result<Self, Error> {
        let CsrParts { indices, values, offsets } = parts;
        if indices.len() != values.len() {
            let expected = format!("{} values, one per index", indices.len());
            return Err(Error::argument("values", values.len(), expected));
        }
        if offsets.first() != Some(&0)
            || offsets.last() != Some(&indices.len())
            || !offsets.is_sorted()
        {
            return Err(Error::argument(
                "offsets",
                format!("{:?}..{:?}", offsets.first(), offsets.last()),
                format!("non-decreasing from 0 to {}", indices.len()),
            ));
        }
        // The budget comes without data of its size.
        check_room::<(u32, T)>(sparsity, offsets.len() - 1)?;
        let mut codes = Self::new(atoms, offsets.len() - 1, sparsity);
        for i in 0..codes.samples() {
            let row = offsets[i]..offsets[i + 1];
            let (found, expected) = (&indices[row.clone()], format!("at most {sparsity}"));
            if found.len() > sparsity {
                return Err(Error::argument("nonzeros of a sample", found.len(), expected));
            }
            for (slot, &atom) in found.iter().enumerate() {
                if atom as usize >= atoms {
                    return Err(Error::argument("indices", atom, format!("below {atoms}")));
                }
                if found[..slot].contains(&atom) {
                    return Err(Error::argument("indices", atom, "each atom once in a sample"));
                }
            }
            codes.set(i, found, &values[row]);
        }
        Ok(codes)
    }

    /// Number of atoms m.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.atoms
    }

    /// Number of samples N.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.lengths.len()
    }

    /// The budget k: the most nonzeros that a sample may have.
    #[must_use]
    pub fn sparsity(&self) -> usize {
        self.sparsity
    }

    /// Number of coefficients stored, over all samples.
    #[must_use]
    pub fn nnz(&self) -> usize {
        self.lengths.iter().map(|&len| len as usize).sum()
    }

    /// The atoms that sample `i` uses, in the order in which they were chosen. Panics if `i` ≥ N.
    #[must_use]
    pub fn support(&self, i: usize) -> &[u32] {
        &self.support[self.slots(i)]
    }

    /// The coefficients of sample `i`, in the order of [`support`](Self::support). Panics if `i` ≥
    /// N.
    #[must_use]
    pub fn values(&self, i: usize) -> &[T] {
        &self.values[self.slots(i)]
    }

    /// Every sample's `(support, values)`, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u32], &[T])> {
        (0..self.samples()).map(|i| (self.support(i), self.values(i)))
    }

    /// Replaces the code of sample `i`.
    ///
    /// # Panics
    /// If `i` ≥ N, if the slices differ in length, if they are longer than k, if an atom is not
    /// below m, or if an atom occurs twice.
    #[track_caller]
    pub fn set(&mut self, i: usize, support: &[u32], values: &[T]) {
        assert!(
            support.len() == values.len() && support.len() <= self.sparsity,
            "{} atoms and {} values for a budget of {}",
            support.len(),
            values.len(),
            self.sparsity
        );
        for (slot, &atom) in support.iter().enumerate() {
            assert!((atom as usize) < self.atoms, "atom {atom} of {}", self.atoms);
            assert!(!support[..slot].contains(&atom), "atom {atom} twice");
        }
        let start = i * self.sparsity;
        self.lengths[i] = support.len() as u32;
        self.support[start..][..support.len()].copy_from_slice(support);
        self.values[start..][..values.len()].copy_from_slice(values);
        self.support[start + support.len()..start + self.sparsity].fill(EMPTY);
        self.values[start + values.len()..start + self.sparsity].fill(T::zero());
    }

    /// Turns these codes into the empty codes of `samples` samples. The allocation is reused if it
    /// is large enough.
    pub fn reset(&mut self, samples: usize) {
        self.support.clear();
        self.values.clear();
        self.lengths.clear();
        self.support.resize(samples * self.sparsity, EMPTY);
        self.values.resize(samples * self.sparsity, T::zero());
        self.lengths.resize(samples, 0);
    }

    /// Appends the samples of `other`, which must have the same atoms and budget.
    ///
    /// # Panics
    /// If the numbers of atoms or the budgets differ.
    #[track_caller]
    pub fn extend(&mut self, other: &Self) {
        assert_eq!((self.atoms, self.sparsity), (other.atoms, other.sparsity), "unlike codes");
        self.support.extend_from_slice(&other.support);
        self.values.extend_from_slice(&other.values);
        self.lengths.extend_from_slice(&other.lengths);
    }

    /// The codes in faer's compressed sparse column format, m × N: each column is a sample, with
    /// sorted row indices.
    #[must_use]
    pub fn to_csc(&self) -> SparseColMat<usize, T> {
        let CsrParts { indices, values, offsets } = self.to_csr_parts();
        let rows = indices.into_iter().map(|atom| atom as usize).collect();
        let symbolic = faer::sparse::SymbolicSparseColMat::new_checked(
            self.atoms,
            self.samples(),
            offsets,
            None,
            rows,
        );
        SparseColMat::new(symbolic, values)
    }

    /// The codes as plain compressed rows: one row per sample, with atoms in increasing order.
    #[must_use]
    pub fn to_csr_parts(&self) -> CsrParts<T> {
        let nnz = self.nnz();
        let mut parts = CsrParts {
            indices: Vec::with_capacity(nnz),
            values: Vec::with_capacity(nnz),
            offsets: Vec::with_capacity(self.samples() + 1),
        };
        parts.offsets.push(0);
        let mut row: Vec<(u32, T)> = Vec::with_capacity(self.sparsity);
        for (support, values) in self.iter() {
            row.clear();
            row.extend(support.iter().copied().zip(values.iter().copied()));
            row.sort_unstable_by_key(|&(atom, _)| atom);
            parts.indices.extend(row.iter().map(|&(atom, _)| atom));
            parts.values.extend(row.iter().map(|&(_, value)| value));
            parts.offsets.push(parts.indices.len());
        }
        parts
    }

    /// Converts the codes to atoms that are not of norm 1. If atom j is multiplied by `norms[j]`,
    /// each coefficient of atom j is divided by `norms[j]`, so that the codes stand for the same
    /// samples.
    ///
    /// # Errors
    /// [`Error::Dimension`] unless there is one norm for each atom; [`Error::Argument`] for a norm
    /// that is not positive and finite, or that is so small that a coefficient divided by it is not
    /// finite in `T`.
    pub fn for_atoms_of_norms(&self, norms: &[f64]) -> Result<Self, Error> {
        if norms.len() != self.atoms {
            let (found, expected) = (norms.len(), self.atoms);
            return Err(Error::Dimension { argument: "norms", found, expected });
        }
        if let Some(atom) = norms.iter().position(|&norm| !(norm.is_finite() && norm > 0.0)) {
            let found = format!("{} for atom {atom}", norms[atom]);
            return Err(Error::argument("norms", found, "positive and finite"));
        }
        let mut codes = self.clone();
        for i in 0..codes.samples() {
            let slots = codes.slots(i);
            let atoms = &codes.support[slots.clone()];
            for (value, &atom) in codes.values[slots].iter_mut().zip(atoms) {
                let norm = norms[atom as usize];
                *value = T::narrow(value.widen() / norm);
                if !value.widen().is_finite() {
                    let found = format!("{norm} for atom {atom}");
                    let expected = format!("norms for which sample {i} has a finite coefficient");
                    return Err(Error::argument("norms", found, expected));
                }
            }
        }
        Ok(codes)
    }

    /// All samples, divided into disjoint blocks of `block` samples (the last may be shorter) that
    /// can be written in parallel.
    ///
    /// # Panics
    /// If `block` is 0.
    pub fn par_blocks_mut(
        &mut self,
        block: usize,
    ) -> impl IndexedParallelIterator<Item = CodesBlock<'_, T>> {
        let (sparsity, stride) = (self.sparsity, (block * self.sparsity).max(1));
        self.lengths
            .par_chunks_mut(block)
            .zip(self.support.par_chunks_mut(stride))
            .zip(self.values.par_chunks_mut(stride))
            .enumerate()
            .map(move |(b, ((lengths, support), values))| CodesBlock {
                first: b * block,
                sparsity,
                support,
                values,
                lengths,
            })
    }

    /// All samples as one block, which can be split.
    pub fn as_block_mut(&mut self) -> CodesBlock<'_, T> {
        CodesBlock {
            first: 0,
            sparsity: self.sparsity,
            support: &mut self.support,
            values: &mut self.values,
            lengths: &mut self.lengths,
        }
    }

    /// Removes `atom` from the code of sample `i` and returns its coefficient; `None` if the sample
    /// does not use the atom.
    pub fn remove(&mut self, i: usize, atom: u32) -> Option<T> {
        let slots = self.slots(i);
        let at = slots.start + self.support(i).iter().position(|&a| a == atom)?;
        let value = self.values[at];
        self.support.copy_within(at + 1..slots.end, at);
        self.values.copy_within(at + 1..slots.end, at);
        self.support[slots.end - 1] = EMPTY;
        self.values[slots.end - 1] = T::zero();
        self.lengths[i] -= 1;
        Some(value)
    }

    /// Adds `value` to the coefficient of `atom` in sample `i`. An atom that the sample does not
    /// use yet is appended.
    ///
    /// # Panics
    /// If `i` ≥ N, if the atom is not below m, or if the sample's budget is exhausted.
    #[track_caller]
    pub fn add(&mut self, i: usize, atom: u32, value: T) {
        assert!((atom as usize) < self.atoms, "atom {atom} of {}", self.atoms);
        let slots = self.slots(i);
        match self.support(i).iter().position(|&a| a == atom) {
            Some(slot) => {
                let sum = &mut self.values[slots.start + slot];
                *sum += value;
            }
            None => {
                assert!(slots.len() < self.sparsity, "sample {i} has no room for another atom");
                self.support[slots.end] = atom;
                self.values[slots.end] = value;
                self.lengths[i] += 1;
            }
        }
    }

    fn slots(&self, i: usize) -> Range<usize> {
        let start = i * self.sparsity;
        start..start + self.lengths[i] as usize
    }
}

/// Consecutive samples of a [`SparseCodes`], borrowed for writing.
#[derive(Debug)]
pub struct CodesBlock<'a, T> {
    first: usize,
    sparsity: usize,
    support: &'a mut [u32],
    values: &'a mut [T],
    lengths: &'a mut [u32],
}

impl<T: Scalar> CodesBlock<'_, T> {
    /// Index of the block's first sample.
    #[must_use]
    pub fn first(&self) -> usize {
        self.first
    }

    /// Number of samples in the block.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether the block holds no samples.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// The atoms and coefficients of the block's sample `i`, counted from the start of the block.
    #[must_use]
    pub fn code(&self, i: usize) -> (&[u32], &[T]) {
        let slots = i * self.sparsity..i * self.sparsity + self.lengths[i] as usize;
        (&self.support[slots.clone()], &self.values[slots])
    }

    /// The coefficients of the block's sample `i`, which the caller may change in place.
    pub fn values_mut(&mut self, i: usize) -> &mut [T] {
        &mut self.values[i * self.sparsity..][..self.lengths[i] as usize]
    }

    /// The atoms of the block's sample `i`, and its coefficients, which the caller may change in
    /// place.
    pub(crate) fn code_mut(&mut self, i: usize) -> (&[u32], &mut [T]) {
        let slots = i * self.sparsity..i * self.sparsity + self.lengths[i] as usize;
        (&self.support[slots.clone()], &mut self.values[slots])
    }

    /// Splits the block into its first `samples` samples and the rest.
    ///
    /// # Panics
    /// If the block holds fewer than `samples` samples.
    #[must_use]
    pub fn split_at(self, samples: usize) -> (Self, Self) {
        let (support, support_rest) = self.support.split_at_mut(samples * self.sparsity);
        let (values, values_rest) = self.values.split_at_mut(samples * self.sparsity);
        let (lengths, lengths_rest) = self.lengths.split_at_mut(samples);
        let sparsity = self.sparsity;
        let head = Self { first: self.first, sparsity, support, values, lengths };
        let tail = Self {
            first: self.first + samples,
            sparsity,
            support: support_rest,
            values: values_rest,
            lengths: lengths_rest,
        };
        (head, tail)
    }

    /// Lets `write` fill the k slots of sample `i`. `write` returns how many slots it used; the
    /// others are cleared. Atoms must be distinct and below m, which is not checked.
    pub fn write(&mut self, i: usize, write: impl FnOnce(&mut [u32], &mut [T]) -> usize) {
        let slots = i * self.sparsity..(i + 1) * self.sparsity;
        let (support, values) = (&mut self.support[slots.clone()], &mut self.values[slots]);
        let used = write(support, values);
        support[used..].fill(EMPTY);
        values[used..].fill(T::zero());
        self.lengths[i] = used as u32;
    }
}
