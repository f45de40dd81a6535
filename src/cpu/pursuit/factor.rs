//! The triangular factor of a growing set of atoms.

use crate::Scalar;

/// The chosen atoms S and the triangular factor of their Gram matrix, D_SᵀD_S = LLᵀ.
#[derive(Debug)]
pub(crate) struct Factor<T> {
    support: Vec<u32>,
    excluded: Vec<u32>,
    /// The rows of L, one after the other; row i has i + 1 entries.
    rows: Vec<T>,
    /// The sample's coordinates in the orthonormal basis: L⁻¹ D_Sᵀ y.
    coordinates: Vec<T>,
}

impl<T: Scalar> Factor<T> {
    pub(crate) fn new(sparsity: usize) -> Self {
        Self {
            support: Vec::with_capacity(sparsity),
            excluded: Vec::new(),
            rows: Vec::with_capacity(sparsity * (sparsity + 1) / 2),
            coordinates: Vec::with_capacity(sparsity),
        }
    }

    pub(crate) fn clear(&mut self) {
        self.support.clear();
        self.excluded.clear();
        self.rows.clear();
        self.coordinates.clear();
    }

    pub(crate) fn support(&self) -> &[u32] {
        &self.support
    }

    /// The sample's coordinates in the orthonormal basis.
    pub(crate) fn coordinates(&self) -> &[T] {
        &self.coordinates
    }

    /// g ← L⁻¹ g: from D_Sᵀ d the row that the atom d adds to L, without its diagonal entry.
    pub(crate) fn extend_row(&self, g: &mut [T]) {
        for i in 0..g.len() {
            let (row, diagonal) = self.rows[i * (i + 1) / 2..][..=i].split_at(i);
            let mut value = g[i];
            for (&l, &earlier) in row.iter().zip(&g[..i]) {
                value -= l * earlier;
            }
            g[i] = value / diagonal[0];
        }
    }

    /// Appends an atom: `row` is the new row of L without its diagonal entry.
    pub(crate) fn push(&mut self, atom: u32, row: &[T], diagonal: T, coordinate: T) {
        self.support.push(atom);
        self.rows.extend_from_slice(row);
        self.rows.push(diagonal);
        self.coordinates.push(coordinate);
    }

    /// Marks an atom as linearly dependent on the chosen ones.
    pub(crate) fn exclude(&mut self, atom: u32) {
        self.excluded.push(atom);
    }

    /// Zeroes the correlations of atoms that must not be chosen (again).
    pub(crate) fn mask(&self, alpha: &mut [T]) {
        for &atom in self.support.iter().chain(&self.excluded) {
            alpha[atom as usize] = T::zero();
        }
    }

    /// Makes a new atom orthogonal to the chosen ones: l ← L⁻¹ D_Sᵀd, given ‖d‖², dᵀy and d's
    /// products with the chosen atoms. Returns ‖(I − P) d‖² and dᵀ(I − P) y.
    pub(crate) fn lower(
        &self,
        norm: T,
        correlation: T,
        product: impl Fn(u32) -> T,
        l: &mut Vec<T>,
    ) -> (T, T) {
        l.clear();
        let (mut height, mut alpha) = (norm, correlation);
        for (i, &atom) in self.support.iter().enumerate() {
            let row = &self.rows[i * (i + 1) / 2..][..i + 1];
            let mut value = product(atom);
            for (&l, &entry) in l.iter().zip(row) {
                value -= l * entry;
            }
            value /= row[i];
            l.push(value);
            height -= value * value;
            alpha -= value * self.coordinates[i];
        }
        (height, alpha)
    }

    /// γ ← L⁻ᵀ c, the least-squares coefficients of the chosen atoms.
    pub(crate) fn solve(&self, gamma: &mut Vec<T>) {
        gamma.clear();
        gamma.extend_from_slice(&self.coordinates);
        self.solve_for(gamma);
    }

    /// γ ← L⁻ᵀ γ.
    pub(crate) fn solve_for(&self, gamma: &mut [T]) {
        for i in (0..gamma.len()).rev() {
            let row = &self.rows[i * (i + 1) / 2..][..i + 1];
            let value = gamma[i] / row[i];
            gamma[i] = value;
            for (gamma, &l) in gamma[..i].iter_mut().zip(row) {
                *gamma -= l * value;
            }
        }
    }
}
