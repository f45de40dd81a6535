//! The updates of atoms: weighted approximations of rank one, and renewal.

use faer::Mat;

use super::checks::Masked;
use super::complete::completed;
use crate::Scalar;
use crate::codes::{AtomIndex, SparseCodes, Use};
use crate::cpu::vector::loops;
use crate::problem::Sign;

/// Updates every atom and the coefficients of its uses, one atom after the other. `residual` is Y −
/// DX where there are weights, before and after.
pub(super) fn update<T: Scalar>(
    atoms: &mut Mat<T>,
    codes: &mut SparseCodes<T>,
    residual: &mut Mat<T>,
    masked: &Masked<'_, T>,
    sign: Sign,
) {
    let index = AtomIndex::new(codes);
    let mut direction = Direction::new(masked.dim());
    for j in 0..atoms.ncols() {
        let old = atoms.col_as_slice_mut(j);
        if direction.find(old, index.uses(j), codes, residual, masked) {
            direction.take_up(old, index.uses(j), codes, residual, masked, sign);
            old.copy_from_slice(&direction.atom);
        }
    }
}

/// The new direction of an atom.
struct Direction<T> {
    /// Of norm 1.
    atom: Vec<T>,
    /// What its norm was.
    norm: f64,
    /// Σ w x r and Σ w x².
    pull: Vec<f64>,
    mass: Vec<f64>,
}

impl<T: Scalar> Direction<T> {
    fn new(dim: usize) -> Self {
        Self { atom: vec![T::zero(); dim], norm: 0.0, pull: vec![0.0; dim], mass: vec![0.0; dim] }
    }

    /// Finds it for these uses; `false` if they say nothing.
    fn find(
        &mut self,
        old: &[T],
        uses: &[Use],
        codes: &SparseCodes<T>,
        residual: &Mat<T>,
        masked: &Masked<'_, T>,
    ) -> bool {
        self.pull.fill(0.0);
        self.mass.fill(0.0);
        let mut squares = 0.0;
        for &Use { sample, slot } in uses {
            let i = sample as usize;
            let x = codes.values(i)[slot as usize].widen();
            squares += masked.largest_weight(i) * x * x;
            let seen = residual.col_as_slice(i).iter().zip(masked.weights(i));
            for ((pull, mass), (r, w)) in self.pull.iter_mut().zip(&mut self.mass).zip(seen) {
                let weight = w.widen() * x;
                *pull += weight * r.widen();
                *mass += weight * x;
            }
        }
        if squares == 0.0 || !squares.is_finite() {
            return false;
        }
        // Few samples may show a coordinate; one more that shows the old value keeps it sensible.
        let one_more = squares / uses.len() as f64;
        let steps = self.pull.iter().zip(&self.mass).map(|(pull, mass)| pull / (mass + one_more));
        for ((new, old), step) in self.atom.iter_mut().zip(old).zip(steps) {
            *new = T::narrow(old.widen() + step);
        }
        self.norm = loops::normalize(&mut self.atom);
        self.norm > 0.0 && self.norm.is_finite()
    }

    /// Refits the coefficients of the uses, and takes the change out of the residual.
    fn take_up(
        &self,
        old: &[T],
        uses: &[Use],
        codes: &mut SparseCodes<T>,
        residual: &mut Mat<T>,
        masked: &Masked<'_, T>,
        sign: Sign,
    ) {
        let mut block = codes.as_block_mut();
        for &Use { sample, slot } in uses {
            let i = sample as usize;
            let value = &mut block.values_mut(i)[slot as usize];
            let x = value.widen();
            let residual = residual.col_as_slice_mut(i);
            let weights = masked.weights(i);
            // d_newᵀ W (r + x d_old) and d_newᵀ W d_new.
            let (mut along, mut seen) = (0.0, 0.0);
            for (((r, w), d), old) in residual.iter().zip(weights).zip(&self.atom).zip(old) {
                let weighted = w.widen() * d.widen();
                along += weighted * (r.widen() + x * old.widen());
                seen += weighted * d.widen();
            }
            let fitted = if seen > 0.0 { along / seen } else { x * self.norm };
            let fitted = sign.project(T::narrow(fitted));
            let fitted = if fitted.widen().is_finite() { fitted } else { T::narrow(x * self.norm) };
            for (((r, w), d), old) in residual.iter_mut().zip(weights).zip(&self.atom).zip(old) {
                if *w > T::zero() {
                    *r = T::narrow(r.widen() + x * old.widen() - fitted.widen() * d.widen());
                }
            }
            *value = fitted;
        }
    }
}

/// Replaces atoms that no sample uses by the worst represented samples, filled in, of which equal
/// ones count once; returns how many were replaced.
pub(super) fn renew<T: Scalar>(
    atoms: &mut Mat<T>,
    codes: &SparseCodes<T>,
    residual: &Mat<T>,
    masked: &Masked<'_, T>,
) -> usize {
    let mut is_used = vec![false; atoms.ncols()];
    for (support, _) in codes.iter() {
        support.iter().for_each(|&atom| is_used[atom as usize] = true);
    }
    let unused: Vec<usize> = (0..atoms.ncols()).filter(|&j| !is_used[j]).collect();
    if unused.is_empty() {
        return 0;
    }
    // Σ w r² / Σ w of every sample, the worst first, and of equals the first.
    let mut worst: Vec<(f64, usize)> = (0..masked.len())
        .map(|i| {
            let seen = residual.col_as_slice(i).iter().zip(masked.weights(i));
            let sums = seen.fold((0.0, 0.0), |(left, total), (r, w)| {
                (left + w.widen() * r.widen() * r.widen(), total + w.widen())
            });
            (if sums.1 > 0.0 { sums.0 / sums.1 } else { 0.0 }, i)
        })
        .filter(|(error, _)| *error > 0.0)
        .collect();
    worst.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut decoded = Vec::new();
    let candidates = worst.into_iter().filter_map(|(_, i)| {
        let unit = masked.largest_weight(i);
        let mut filled = completed(masked, (i, unit), atoms.as_ref(), (codes, &mut decoded));
        (loops::normalize(&mut filled) > 0.0).then_some(filled)
    });
    let mut found: Vec<Vec<T>> = Vec::new();
    for candidate in candidates {
        if found.len() == unused.len() {
            break;
        }
        if !found.contains(&candidate) {
            found.push(candidate);
        }
    }
    for (&j, atom) in unused.iter().zip(&found) {
        atoms.col_as_slice_mut(j).copy_from_slice(atom);
    }
    found.len()
}
