//! DᵀY in 16-bit numbers, with a bound on the error.
//!
//! A pursuit that looks at atoms exactly where it matters ([`batch_omp`](super)) needs no exact
//! correlations to begin with. Rounded to 16 bits, atoms and samples take half the memory, and an
//! instruction multiplies twice as many numbers ([`Dots16`]). With s d = d̂ + δ and t y = ŷ + ε,
//! where d̂ and ŷ are of integers,
//!
//! ```text
//! |dᵀy − d̂ᵀŷ/(st)| ≤ (‖d̂‖/s)·(‖ε‖/t) + (‖δ‖/s)·‖y‖
//! ```
//! by Cauchy and Schwarz: about 3·10⁻⁴ ‖y‖ for a few hundred dimensions. Sums are of 32 bits: s and
//! t are such that ‖d̂‖·‖ŷ‖ < 2³¹, so that no sum overflows, and no entry takes more than 16 bits.

use faer::{Mat, MatRef};
use num_traits::Float;
use pulp::bytemuck::{self, Zeroable};
use rayon::prelude::*;

use super::correlations::BLOCK;
use crate::Scalar;
use crate::cpu::vector::aligned::Aligned;
use crate::cpu::vector::dots16::{Dots16, TiledProduct, WithDots16, packed, with_fastest};
use crate::cpu::vector::loops::{self, LANES};
use crate::error::BackendError;
use crate::matrix::column;

/// ‖d̂‖, up to rounding. It must not reach 2¹⁵: nor will any entry.
const ATOM_NORM: f64 = 32_500.0;

/// The most that ‖ŷ‖ is, up to rounding: the product with [`ATOM_NORM`] is a little under 2³¹.
const SAMPLE_NORM: f64 = 64_000.0;

/// The most that an entry is.
const LARGEST: f64 = 32_767.0;

/// Dimensions beyond which rounding might make sums overflow: √d/2 is what it adds to norms at
/// most.
const MOST_DIMS: usize = 1 << 20;

/// Dimensions from which rounded products pay: what they save grows with the dimension; what is
/// examined because of them, a few atoms, hardly does. An estimate from the costs of both: measured
/// was that they pay at 384.
const FEWEST_DIMS: usize = 192;

/// Whether to compute correlations of samples of dimension `dim` so.
pub(crate) fn pays(dim: usize) -> bool {
    layout().faster && (FEWEST_DIMS..=MOST_DIMS).contains(&dim)
}

/// How this processor multiplies.
#[derive(Clone, Copy, Debug, Default)]
struct Layout {
    faster: bool,
    panel: usize,
}

fn layout() -> Layout {
    struct Ask<'a>(&'a mut Layout);
    impl WithDots16 for Ask<'_> {
        #[inline(always)]
        fn run<P: Dots16>(self, _: P) {
            *self.0 = Layout { faster: P::FASTER, panel: P::PANEL };
        }
    }
    let mut layout = Layout::default();
    with_fastest(Ask(&mut layout));
    layout
}

/// A dictionary in 16-bit numbers.
#[derive(Debug)]
pub(crate) struct RoundedAtoms<T> {
    /// Panels of [`Dots16::PANEL`] atoms: for two rows of the dictionary at a time, the [`packed`]
    /// entries of every atom.
    panels: Aligned<i32>,
    /// 1/s of each atom.
    units: Aligned<T>,
    /// Atoms of a panel.
    width: usize,
    /// Pairs of rows.
    depth: usize,
    /// The largest ‖d̂‖/s and ‖δ‖/s.
    norm: f64,
    error: f64,
}

impl<T: Scalar> RoundedAtoms<T> {
    /// Room for `atoms` atoms of dimension `dim`.
    pub(crate) fn new(dim: usize, atoms: usize) -> Result<Self, BackendError> {
        Self::in_panels(dim, atoms, layout().panel)
    }

    fn in_panels(dim: usize, atoms: usize, width: usize) -> Result<Self, BackendError> {
        let depth = dim.div_ceil(2);
        let padded = atoms.next_multiple_of(width);
        Ok(Self {
            panels: Aligned::matrix(0, depth, padded)?,
            units: Aligned::new(T::zero(), padded),
            width,
            depth,
            norm: 0.0,
            error: 0.0,
        })
    }

    /// Takes a new dictionary. O(dm).
    pub(crate) fn set(&mut self, dictionary: MatRef<'_, T>) {
        let width = self.width;
        let panels = self.panels.par_chunks_mut(self.depth * width);
        let largest = |a: (f64, f64), b: (f64, f64)| (f64::max(a.0, b.0), f64::max(a.1, b.1));
        (self.norm, self.error) = panels
            .zip(self.units.par_chunks_mut(width))
            .enumerate()
            .map(|(p, (panel, units))| {
                let mut bounds = (0.0, 0.0);
                for (i, unit) in units.iter_mut().enumerate() {
                    let j = p * width + i;
                    if j < dictionary.ncols() {
                        let atom = column(dictionary, j);
                        let mut rounding = Rounding::default();
                        let into = Strided { values: panel, stride: width, at: i };
                        with_fastest(Round {
                            vector: atom,
                            norm: ATOM_NORM,
                            into,
                            rounding: &mut rounding,
                        });
                        *unit = T::narrow(rounding.unit);
                        bounds = largest(bounds, (rounding.norm, rounding.error));
                    }
                }
                bounds
            })
            .reduce(|| (0.0, 0.0), largest);
    }
}

/// Every `stride`-th of the values, from `at` on.
struct Strided<'a> {
    values: &'a mut [i32],
    stride: usize,
    at: usize,
}

/// What rounding a vector has come to.
#[derive(Clone, Copy, Debug, Default)]
struct Rounding {
    /// What one of the integers stands for.
    unit: f64,
    /// The norm of the vector, rounded or not, at most.
    norm: f64,
    /// The norm of what rounding has changed.
    error: f64,
}

struct Round<'a, T> {
    vector: &'a [T],
    norm: f64,
    into: Strided<'a>,
    rounding: &'a mut Rounding,
}

impl<T: Scalar> WithDots16 for Round<'_, T> {
    #[inline(always)]
    fn run<P: Dots16>(self, pairs: P) {
        *self.rounding = round(pairs, self.vector, self.norm, self.into);
    }
}

/// Rounds a vector to integers whose norm is about `norm`, or less where one entry makes up most of
/// it. Stores two of them, [`packed`], in each of the values.
#[inline(always)]
fn round<T: Scalar, S: pulp::Simd>(
    simd: S,
    vector: &[T],
    norm: f64,
    into: Strided<'_>,
) -> Rounding {
    let length = loops::squared_norm(simd, vector).sqrt();
    let largest = loops::largest_magnitude(vector).widen();
    let factor = f64::min(norm / length, LARGEST / largest);
    // What is so small that it has no inverse is left out, like zero.
    let usable = factor.is_finite() && Float::is_normal(T::narrow(factor));
    let (scale, half) = (T::narrow(if usable { factor } else { 0.0 }), T::narrow(0.5));
    let mut lost = [T::zero(); LANES];
    let mut rows = into.values.chunks_exact_mut(into.stride);
    let (chunks, rest) = vector.as_chunks::<LANES>();
    let mut last = [T::zero(); LANES];
    last[..rest.len()].copy_from_slice(rest);
    // The last one is empty where the rest is.
    for chunk in chunks.iter().chain([&last]) {
        let mut numbers = [0_i16; LANES];
        for l in 0..LANES {
            let x = chunk[l] * scale;
            let number = (x + Float::copysign(half, x)).truncate();
            let left = x - T::from_int(number);
            numbers[l] = number as i16;
            lost[l] += left * left;
        }
        for (pair, row) in numbers.as_chunks::<2>().0.iter().zip(&mut rows) {
            row[into.at] = packed(pair[0], pair[1]);
        }
    }
    if !usable {
        return Rounding { unit: 0.0, norm: length, error: length };
    }
    // The products x · scale are rounded themselves.
    let error = 1.001 * loops::fold(lost).widen().sqrt() / factor + T::EPSILON * length;
    Rounding { unit: factor.recip(), norm: length + error, error }
}

/// Products of rounded samples, a block at a time.
#[derive(Debug)]
pub(crate) struct RoundedProduct<T> {
    /// Tiles of [`Dots16::TILE`] samples, like the panels of atoms.
    tiles: Aligned<i32>,
    products: Mat<T>,
    bounds: Vec<f64>,
}

impl<T: Scalar> RoundedProduct<T> {
    /// Room for samples of dimension `dim` and `atoms` atoms.
    pub(crate) fn new(dim: usize, atoms: usize) -> Self {
        Self {
            tiles: Aligned::new(0, dim.div_ceil(2) * BLOCK),
            products: Mat::zeros(atoms, BLOCK),
            bounds: vec![0.0; BLOCK],
        }
    }

    /// DᵀY for at most [`BLOCK`] samples, and for each of them a bound on the errors. What follows
    /// their columns means nothing.
    #[inline(always)]
    pub(crate) fn compute<P: Dots16>(
        &mut self,
        pairs: P,
        atoms: &RoundedAtoms<T>,
        samples: MatRef<'_, T>,
    ) -> (MatRef<'_, T>, &[f64]) {
        let mut units = [T::zero(); BLOCK];
        let width = width_for::<P>(samples.ncols());
        let tile = atoms.depth * width;
        for (i, unit) in units.iter_mut().enumerate().take(samples.ncols()) {
            let values = &mut self.tiles[i / width * tile..][..tile];
            let into = Strided { values, stride: width, at: i % width };
            let of = round(pairs, column(samples, i), SAMPLE_NORM, into);
            *unit = T::narrow(of.unit);
            // Also for what rounding the products and the sums to a scalar adds.
            let to_scalar = 4.0 * T::EPSILON * of.norm * atoms.norm;
            self.bounds[i] = 1.001 * (atoms.norm * of.error + atoms.error * of.norm) + to_scalar;
        }
        let tiles = samples.ncols().div_ceil(width);
        let tiles = &self.tiles[..tiles * tile];
        let product = Tiles { atoms, tiles, units: &units, products: &mut self.products };
        match width {
            1 => pairs.multiply_one(product),
            4 => pairs.multiply_four(product),
            _ => pairs.multiply(product),
        }
        (self.products.as_ref(), &self.bounds)
    }
}

/// Samples of a tile for a block of so many: sums are of integers, so products do not depend on it.
#[inline(always)]
fn width_for<P: Dots16>(samples: usize) -> usize {
    match samples {
        1 => 1,
        2..=4 => 4,
        _ => P::TILE,
    }
}

/// A product of packed matrices.
struct Tiles<'a, T> {
    atoms: &'a RoundedAtoms<T>,
    tiles: &'a [i32],
    units: &'a [T; BLOCK],
    products: &'a mut Mat<T>,
}

impl<T: Scalar> TiledProduct for Tiles<'_, T> {
    #[inline(always)]
    fn multiply<P: Dots16, const R: usize, const N: usize>(self, pairs: P)
    where
        [P::Dots; R]: bytemuck::Pod,
    {
        let (m, depth) = (self.products.nrows(), self.atoms.depth);
        let tiles = self.tiles.as_chunks::<N>().0;
        for (p, panel) in self.atoms.panels.chunks_exact(depth * P::PANEL).enumerate() {
            let panel: &[[P::Dots; R]] = bytemuck::cast_slice(panel);
            let first = p * P::PANEL;
            let count = P::PANEL.min(m - first);
            let atom_units = &self.atoms.units[first..][..count];
            for (t, tile) in tiles.chunks_exact(depth).enumerate() {
                let mut sums = [[P::Dots::zeroed(); R]; N];
                for (atoms, samples) in panel.iter().zip(tile) {
                    for n in 0..N {
                        let weights = pairs.weights(samples[n]);
                        for r in 0..R {
                            sums[n][r] = pairs.add_products(sums[n][r], weights, atoms[r]);
                        }
                    }
                }
                for (n, sums) in sums.iter().enumerate() {
                    let i = t * N + n;
                    let unit = self.units[i];
                    let sums: &[i32] = bytemuck::cast_slice(std::slice::from_ref(sums));
                    let into = &mut self.products.col_as_slice_mut(i)[first..][..count];
                    for ((into, &sum), &atom_unit) in into.iter_mut().zip(sums).zip(atom_units) {
                        *into = T::from_int(sum) * unit * atom_unit;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Products of the first instruction set of the two, for samples of all kinds.
    struct Check<'a, T> {
        dictionary: MatRef<'a, T>,
        samples: MatRef<'a, T>,
    }

    impl<T: Scalar> Check<'_, T> {
        /// The largest error over its bound. Fails where an error is beyond its bound.
        fn run<P: Dots16>(self, pairs: P) -> f64 {
            let Self { dictionary, samples } = self;
            let (dim, atoms) = dictionary.shape();
            let mut rounded = RoundedAtoms::<T>::in_panels(dim, atoms, P::PANEL).expect("memory");
            rounded.set(dictionary);
            let mut product = RoundedProduct::new(dim, atoms);
            // Few samples are multiplied in tiles of another width, with the same bits.
            let mut few = RoundedProduct::new(dim, atoms);
            let parts = [(0, 1), (5, 1), (6, 3), (7, 4), (2, 5)];
            for (first, count) in parts.into_iter().filter(|(i, n)| i + n <= samples.ncols()) {
                let (of_few, _) = few.compute(pairs, &rounded, samples.subcols(first, count));
                let (of_all, _) = product.compute(pairs, &rounded, samples);
                assert_eq!(of_few.subcols(0, count), of_all.subcols(first, count), "{count}");
            }
            let (products, bounds) = product.compute(pairs, &rounded, samples);
            let mut closest = 0.0;
            for (i, sample) in samples.col_iter().enumerate() {
                for (j, atom) in dictionary.col_iter().enumerate() {
                    let terms = atom.iter().zip(sample.iter()).map(|(d, y)| d.widen() * y.widen());
                    let error = (products[(j, i)].widen() - terms.sum::<f64>()).abs();
                    assert!(error <= bounds[i], "{i} {j}: {error} > {}", bounds[i]);
                    closest = f64::max(closest, error / f64::max(bounds[i], 1e-300));
                }
            }
            closest
        }
    }

    /// Numbers in (−1, 1) without a pattern.
    fn numbers<T: Scalar>(rows: usize, columns: usize, seed: usize) -> Mat<T> {
        Mat::from_fn(rows, columns, |i, j| {
            let mixed = (i * 7919 + j * 104_729 + seed).wrapping_mul(0x9E37_79B9) >> 7;
            T::narrow((mixed % 20_011) as f64 / 10_005.5 - 1.0)
        })
    }

    fn check<T: Scalar>(dim: usize, atoms: usize) {
        let dictionary = numbers::<T>(dim, atoms, 1);
        let mut samples = numbers::<T>(dim, 21, 2);
        for (i, mut sample) in samples.as_mut().col_iter_mut().enumerate() {
            sample
                .as_mut()
                .iter_mut()
                .for_each(|y| *y *= T::narrow(10.0_f64.powi(2 * i as i32 - 20)));
            if i % 3 == 0 {
                sample[0] *= T::narrow(1000.0);
            }
        }
        samples.as_mut().col_mut(2).fill(T::zero());
        samples.as_mut().col_mut(4).fill(T::narrow(1e-37));
        let check = || Check { dictionary: dictionary.as_ref(), samples: samples.as_ref() };
        let mut closest = vec![check().run(pulp::Scalar::new())];
        #[cfg(target_arch = "x86_64")]
        {
            closest.extend(pulp::x86::V3::try_new().map(|simd| check().run(simd)));
            closest.extend(pulp::x86::V4::try_new().map(|simd| check().run(simd)));
        }
        for closest in closest {
            assert!(closest > 0.01, "a bound so wide ({closest}) tells nothing");
        }
    }

    #[test]
    fn errors_keep_within_their_bounds() {
        check::<f32>(1, 3);
        check::<f32>(64, 48);
        check::<f32>(201, 50);
        check::<f64>(384, 7);
    }

    #[test]
    fn sums_of_equal_entries_do_not_overflow() {
        let ones = Mat::<f32>::full(4096, 1, 0.37);
        let close = Check { dictionary: ones.as_ref(), samples: ones.as_ref() };
        close.run(pulp::Scalar::new());
        let one_entry = Mat::from_fn(300, 1, |i, _| if i == 7 { -2.5_f32 } else { 0.0 });
        Check { dictionary: one_entry.as_ref(), samples: one_entry.as_ref() }
            .run(pulp::Scalar::new());
    }
}
