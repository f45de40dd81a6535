//! DᵀY for few samples, with the bits of the product for many.
//!
//! The bits of a column of a matrix product depend on the width of the block (see
//! [`correlations`](super::correlations)), so a sample that comes alone would be padded to a whole
//! block: a hundred times the work. Here the atoms lie in panels, a register of them for each
//! dimension, and every correlation is summed in the order in which the matrix product does so:
//!
//! ```text
//! α_j ← 0;  for each stretch of DEPTH dimensions:  α_j ← α_j + (…((d_1 y_1) + d_2 y_2) + …)
//! ```
//! with one accumulator for each atom and fused products. That is the order of the library's
//! product on x86-64 today. Nothing here relies on it: when the first few samples come, the product
//! of a block of samples without a pattern is made both ways, and only if all bits agree, for all
//! atoms of this dictionary, are few samples multiplied so. Else they are padded.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use faer::{Mat, MatRef};

use super::correlations::{BLOCK, Correlations};
use crate::Scalar;
use crate::cpu::Faer;
use crate::cpu::vector::aligned::Aligned;
use crate::cpu::vector::vectorized;
use crate::matrix::{column, column_mut};
use crate::scalar::registers::lanes;

/// Registers of a row of a panel.
const REGISTERS: usize = 8;

/// Samples that are multiplied at a time, where there are as many, and registers of their sums.
const TILE: usize = 4;
const PART: usize = 2;

/// Dimensions that the library's product sums before it adds to what it has.
const DEPTH: usize = 512;

/// Samples of a block from which on a padded product takes less time.
pub(crate) const MOST_SAMPLES: usize = 64;

/// The atoms for products with few samples, once there are such: made when first asked for.
#[derive(Debug)]
pub(crate) struct Narrow<T> {
    panels: OnceLock<Option<Panels<T>>>,
    /// Whether there was a call with few samples.
    was_called: AtomicBool,
}

impl<T> Default for Narrow<T> {
    fn default() -> Self {
        Self { panels: OnceLock::new(), was_called: AtomicBool::new(false) }
    }
}

impl<T: Scalar> Narrow<T> {
    /// Takes notice of another dictionary.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Whether another call with few samples is worth the atoms in panels: not the first one with a
    /// dictionary, since learning makes no second. They cost about as much as to pad a few blocks.
    pub(crate) fn is_worth_it(&self) -> bool {
        self.was_called.swap(true, Ordering::Relaxed)
    }

    /// The atoms of the dictionary, which is the same at each call until
    /// [`forget`](Self::forget); `None` where products by them have other bits than those of a
    /// block, which `correlations` computes. It is made on this thread alone: others may be waiting
    /// for it.
    pub(crate) fn get(
        &self,
        dictionary: MatRef<'_, T>,
        correlations: &mut Correlations<T>,
    ) -> Option<&Panels<T>> {
        let panels = self.panels.get_or_init(|| {
            let panels = Panels::new(dictionary);
            panels.agree_with(dictionary, correlations).then_some(panels)
        });
        panels.as_ref()
    }
}

/// Atoms in panels: for each dimension, a number of every atom of the panel.
#[derive(Debug)]
pub(crate) struct Panels<T> {
    values: Aligned<T>,
    dim: usize,
    /// Atoms of a panel.
    width: usize,
}

vectorized! {
    /// Atoms of a panel with the instruction set at hand.
    fn width_of<'a, T>(simd; _marker: &'a T) -> usize {
        let _ = simd;
        REGISTERS * lanes::<T, S>()
    }
}

impl<T: Scalar> Panels<T> {
    fn new(dictionary: MatRef<'_, T>) -> Self {
        let (dim, atoms) = dictionary.shape();
        let width = width_of(&T::zero());
        let mut values = Aligned::new(T::zero(), dim * atoms.next_multiple_of(width));
        for j in 0..atoms {
            let panel = &mut values[j / width * width * dim..][..width * dim];
            let places = panel[j % width..].iter_mut().step_by(width);
            places.zip(column(dictionary, j)).for_each(|(place, &value)| *place = value);
        }
        Self { values, dim, width }
    }

    /// Whether products have the bits of `correlations`, for all atoms and a block of samples
    /// without a pattern.
    fn agree_with(&self, dictionary: MatRef<'_, T>, correlations: &mut Correlations<T>) -> bool {
        let (dim, atoms) = dictionary.shape();
        let samples = Mat::from_fn(dim, BLOCK, |i, j| {
            let mixed = ((i * BLOCK + j + 1) as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            T::narrow((mixed >> 40) as f64 / f64::from(1 << 23) - 1.0)
        });
        let mut found = Mat::zeros(atoms, BLOCK);
        self.multiply(samples.as_ref(), &mut found);
        let expected = correlations.compute(&Faer::<T>::default(), dictionary, samples.as_ref());
        (0..BLOCK).all(|i| {
            let pairs = found.col_as_slice(i).iter().zip(column(expected, i));
            pairs.into_iter().all(|(a, b)| a.widen().to_bits() == b.widen().to_bits())
        })
    }

    /// C ← DᵀY, in the first columns of C (m rows).
    pub(crate) fn multiply(&self, samples: MatRef<'_, T>, products: &mut Mat<T>) {
        let atoms = products.nrows();
        for (p, panel) in self.values.chunks_exact(self.width * self.dim.max(1)).enumerate() {
            let first = p * self.width;
            let count = self.width.min(atoms - first);
            for i in (0..samples.ncols()).step_by(TILE) {
                if i + TILE <= samples.ncols() {
                    let y = std::array::from_fn(|n| column(samples, i + n));
                    let mut sums = [T::zero(); TILE * MOST_WIDTH];
                    tile(panel, y, &mut sums[..TILE * self.width]);
                    for (n, sums) in sums.chunks_exact(self.width).take(TILE).enumerate() {
                        let into = column_mut(products.as_mut(), i + n);
                        into[first..][..count].copy_from_slice(&sums[..count]);
                    }
                } else {
                    for i in i..samples.ncols() {
                        let mut sums = [T::zero(); MOST_WIDTH];
                        single(panel, column(samples, i), &mut sums[..self.width]);
                        let into = column_mut(products.as_mut(), i);
                        into[first..][..count].copy_from_slice(&sums[..count]);
                    }
                }
            }
        }
    }
}

/// Numbers of a row of a panel, at most: as many as the widest registers hold.
const MOST_WIDTH: usize = 16 * REGISTERS;

vectorized! {
    /// The products of a sample with the atoms of a panel.
    fn single<'a, T>(simd; panel: &'a [T], y: &'a [T], into: &'a mut [T]) {
        let rows = T::registers::<S>(panel).0.as_chunks::<REGISTERS>().0;
        let mut all = [T::splat(simd, T::zero()); REGISTERS];
        for (stretch, (rows, y)) in rows.chunks(DEPTH).zip(y.chunks(DEPTH)).enumerate() {
            let mut sums = [T::splat(simd, T::zero()); REGISTERS];
            for (row, &y) in rows.iter().zip(y) {
                let y = T::splat(simd, y);
                for r in 0..REGISTERS {
                    sums[r] = T::fused(simd, row[r], y, sums[r]);
                }
            }
            for r in 0..REGISTERS {
                all[r] = if stretch == 0 { sums[r] } else { T::plus(simd, all[r], sums[r]) };
            }
        }
        T::registers_mut::<S>(into).copy_from_slice(&all);
    }
}

vectorized! {
    /// The products of [`TILE`] samples with the atoms of a panel, one sample's after the other.
    fn tile<'a, T>(simd; panel: &'a [T], y: [&'a [T]; TILE], into: &'a mut [T]) {
        let rows = T::registers::<S>(panel).0.as_chunks::<REGISTERS>().0;
        let into = T::registers_mut::<S>(into).as_chunks_mut::<REGISTERS>().0;
        for part in 0..REGISTERS / PART {
            let at = part * PART;
            for first in (0..rows.len()).step_by(DEPTH) {
                let end = (first + DEPTH).min(rows.len());
                let rows = &rows[first..end];
                let [y0, y1, y2, y3] = y.map(|y| &y[first..end]);
                let mut sums = [[T::splat(simd, T::zero()); PART]; TILE];
                for ((((row, &y0), &y1), &y2), &y3) in rows.iter().zip(y0).zip(y1).zip(y2).zip(y3)
                {
                    let y = [y0, y1, y2, y3];
                    for n in 0..TILE {
                        let y = T::splat(simd, y[n]);
                        for r in 0..PART {
                            sums[n][r] = T::fused(simd, row[at + r], y, sums[n][r]);
                        }
                    }
                }
                for n in 0..TILE {
                    for r in 0..PART {
                        let sum = sums[n][r];
                        let all = &mut into[n][at + r];
                        *all = if first == 0 { sum } else { T::plus(simd, *all, sum) };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu::HostBackend;
    use crate::synthetic::{Kind, Planted};

    fn problem<T: Scalar>(dim: usize, atoms: usize) -> (Mat<T>, Mat<T>) {
        let planted = Planted::new(dim, atoms, 1, BLOCK).kind(Kind::Anisotropic).noise(0.1);
        let data = planted.generate::<T>().expect("a legal problem");
        (data.dictionary.into_mat(), data.samples)
    }

    /// Products of any number of samples are those of the matrix product, to rounding.
    fn check<T: Scalar>(dim: usize, atoms: usize) {
        let (dictionary, samples) = problem::<T>(dim, atoms);
        let panels = Panels::new(dictionary.as_ref());
        for count in [1, 3, 4, 6, 9] {
            let mut found = Mat::full(atoms, BLOCK, T::narrow(f64::NAN));
            panels.multiply(samples.subcols(0, count), &mut found);
            for i in 0..count {
                for j in 0..atoms {
                    let (d, y) = (dictionary.col_as_slice(j), samples.col_as_slice(i));
                    let terms = d.iter().zip(y).map(|(d, y)| d.widen() * y.widen());
                    let (sum, size) =
                        terms.fold((0.0, 0.0), |(sum, size), x: f64| (sum + x, size + x.abs()));
                    let error = (found[(j, i)].widen() - sum).abs();
                    assert!(error <= 0.5 * dim as f64 * T::EPSILON * size, "{j} {i}: {error}");
                }
            }
        }
    }

    #[test]
    fn products_are_those_of_the_formula() {
        check::<f32>(1, 1);
        check::<f32>(7, 130);
        check::<f32>(64, 256);
        check::<f64>(20, 33);
        check::<f32>(1100, 40);
    }

    /// On the processors for which this was written, the bits are those of blocks.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn bits_are_those_of_a_block() {
        fn agree<T: Scalar>(dim: usize, atoms: usize) -> bool {
            let (dictionary, samples) = problem::<T>(dim, atoms);
            let (backend, narrow) = (Faer::<T>::default(), Narrow::default());
            let mut correlations = Correlations::new(dim, atoms);
            let Some(panels) = narrow.get(dictionary.as_ref(), &mut correlations) else {
                return false;
            };
            let mut expected = Mat::zeros(atoms, BLOCK);
            backend.product_tn(expected.as_mut(), dictionary.as_ref(), samples.as_ref());
            for count in [1, 2, 4, 7, 64] {
                let mut found = Mat::zeros(atoms, BLOCK);
                panels.multiply(samples.subcols(3, count), &mut found);
                assert_eq!(found.subcols(0, count), expected.subcols(3, count), "{dim} {atoms}");
            }
            true
        }
        if pulp::x86::V3::try_new().is_some() {
            assert!(agree::<f32>(64, 256));
            assert!(agree::<f64>(64, 256));
            assert!(agree::<f32>(128, 1024));
            // Others may be padded, but must not differ.
            let odd = [(64, 100), (33, 65), (8, 24), (1, 1), (9, 9), (700, 300), (1100, 130)];
            for (dim, atoms) in odd {
                let (single, double) = (agree::<f32>(dim, atoms), agree::<f64>(dim, atoms));
                println!("{dim} × {atoms}: {single} {double}");
            }
        }
    }

    /// An order of sums that is not that of a block is found out.
    #[test]
    fn other_bits_are_noticed() {
        let (dictionary, _) = problem::<f32>(64, 256);
        let mut correlations = Correlations::new(64, 256);
        let backwards = Mat::from_fn(64, 256, |i, j| dictionary[(63 - i, j)]);
        let panels = Panels::new(backwards.as_ref());
        assert!(!panels.agree_with(dictionary.as_ref(), &mut correlations));
    }
}
