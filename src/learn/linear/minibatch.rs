//! One minibatch: its codes, what they leave, and how the loss changes with each coefficient.

use faer::MatRef;
use rayon::prelude::*;

use super::weights::Weights;
use crate::Scalar;
use crate::codes::{AtomIndex, SparseCodes, Use};
use crate::cpu::Faer;
use crate::cpu::pursuit::correlations::{BLOCK, Correlations};
use crate::cpu::scratch_pool::ScratchPool;
use crate::cpu::vector::{loops, rows, vectorized};
use crate::error::{BackendError, Error};
use crate::matrix::column;
use crate::samples::preprocessing::is_zero;

/// Activations below this share of the last threshold are not looked at: from one minibatch to the
/// next, the threshold does not fall that far.
const LOW: f64 = 0.5;

/// A minibatch, and the memory for the next.
pub(super) struct Minibatch<T: Scalar> {
    dim: usize,
    /// Y, in units of the mean norm.
    samples: Vec<T>,
    /// Activations that may be above the threshold, and their atoms, for each sample.
    found: Vec<Vec<(T, u32)>>,
    /// Z.
    codes: SparseCodes<T>,
    /// d_jᵀ r_i^j, in the slots of the codes.
    slopes: Vec<T>,
    /// For each sample and each prefix p, the sum of the residuals of the prefixes from p on, over
    /// |P|: r_i^j of the atoms j that p is the first to hold.
    residuals: Vec<T>,
    /// ‖r‖² of each sample, with all atoms.
    errors: Vec<f64>,
    index: AtomIndex,
    low: T,
    scratch: ScratchPool<(Correlations<T>, Vec<T>)>,
}

impl<T: Scalar> Minibatch<T> {
    pub(super) fn new(dim: usize, atoms: usize, room: usize) -> Self {
        Self {
            dim,
            samples: Vec::new(),
            found: Vec::new(),
            codes: SparseCodes::new(atoms, 0, room),
            slopes: Vec::new(),
            residuals: Vec::new(),
            errors: Vec::new(),
            index: AtomIndex::default(),
            low: T::zero(),
            scratch: ScratchPool::default(),
        }
    }

    /// Takes preprocessed samples, divided by `unit`: their mean norm, if it is not known yet.
    /// Takes none, if they are all zero and the unit cannot be known.
    pub(super) fn take(&mut self, y: MatRef<'_, T>, unit: &mut Option<f64>) -> Result<(), Error> {
        let count = y.ncols();
        self.samples.clear();
        let norms = (0..count).map(|i| loops::energy(column(y, i)).sqrt());
        let mean = norms.sum::<f64>() / count.max(1) as f64;
        if unit.is_none() && mean > 0.0 {
            *unit = Some(mean);
        }
        let Some(unit) = *unit else { return Ok(()) };
        let missing = self.dim * count;
        self.samples.try_reserve(missing).map_err(|error| {
            let (rows, cols) = (self.dim, count);
            BackendError::Allocation { rows, cols, reason: error.to_string() }
        })?;
        let factor = T::narrow(1.0 / unit);
        for i in 0..count {
            self.samples.extend(column(y, i).iter().map(|&y| y * factor));
        }
        Ok(())
    }

    pub(super) fn samples(&self) -> usize {
        self.samples.len() / self.dim
    }

    /// The bound below which the next minibatch does not look at activations: see [`LOW`].
    pub(super) fn low(&self) -> f64 {
        self.low.widen()
    }

    pub(super) fn restore_low(&mut self, low: f64) {
        self.low = T::narrow(low);
    }

    pub(super) fn nonzeros(&self) -> usize {
        self.codes.nnz()
    }

    /// ‖r‖² of each sample, in the unit of the samples here.
    pub(super) fn errors(&self) -> &[f64] {
        &self.errors
    }

    /// Y of one sample.
    pub(super) fn sample(&self, i: usize) -> &[T] {
        &self.samples[i * self.dim..(i + 1) * self.dim]
    }

    /// The samples that use atom j.
    pub(super) fn uses(&self, j: usize) -> &[Use] {
        self.index.uses(j)
    }

    /// Z ← the activations above the threshold, which is returned.
    pub(super) fn code(&mut self, backend: &Faer<T>, weights: &Weights<T>, mean: f64) -> f64 {
        let Self { dim, samples, found, codes, low, scratch, .. } = self;
        let of_block = |block: &[T]| activations(backend, weights, *dim, block, *low, scratch);
        *found = samples.par_chunks(BLOCK * *dim).flat_map_iter(of_block).collect();
        let wanted = (mean * found.len() as f64).round() as usize;
        let mut all: Vec<T> = found.iter().flatten().map(|&(h, _)| h).collect();
        let cut = if all.len() > wanted {
            let falling = |a: &T, b: &T| b.widen().total_cmp(&a.widen());
            *all.select_nth_unstable_by(wanted, falling).1
        } else {
            T::zero()
        };
        codes.reset(found.len());
        codes.par_blocks_mut(BLOCK).zip(found.par_chunks_mut(BLOCK)).for_each(
            |(mut block, found)| {
                for (i, found) in found.iter_mut().enumerate() {
                    found.retain(|&(h, _)| h > cut);
                    block.write(i, |support, values| write(found, support, values));
                }
            },
        );
        *low = T::narrow(LOW) * cut;
        self.index.rebuild(&self.codes);
        cut.widen()
    }

    /// The residuals of each prefix of the atoms, and the slopes of the coefficients.
    pub(super) fn differentiate(&mut self, weights: &Weights<T>, prefixes: &[usize]) {
        let Self { dim, samples, codes, slopes, residuals, errors, .. } = self;
        let (count, room) = (codes.samples(), codes.sparsity());
        slopes.resize(count * room, T::zero());
        residuals.resize(count * prefixes.len() * *dim, T::zero());
        errors.clear();
        errors.resize(count, 0.0);
        let (codes, dictionary) = (&*codes, &*weights.dictionary);
        samples
            .par_chunks(*dim)
            .zip(residuals.par_chunks_mut(prefixes.len() * *dim))
            .zip(slopes.par_chunks_mut(room))
            .zip(errors)
            .enumerate()
            .with_min_len(16)
            .for_each(|(i, (((sample, residuals), slopes), error))| {
                let (support, values) = (codes.support(i), codes.values(i));
                *error = leave(dictionary, sample, (support, values), prefixes, residuals);
                let mut first = 0;
                for (&prefix, residual) in prefixes.iter().zip(residuals.chunks(*dim)) {
                    let end = support.partition_point(|&atom| (atom as usize) < prefix);
                    let slopes = &mut slopes[first..end];
                    correlate(dictionary, residual, &support[first..end], slopes);
                    first = end;
                }
            });
    }

    /// Adds to `of_encoder` Σ y_i d_jᵀ r_i^j, and to `of_atom` Σ z_ij r_i^j, over the samples i
    /// that use atom j, which prefix number `prefix` of so many is the first to hold. Returns
    /// Σ d_jᵀ r_i^j.
    pub(super) fn gradients(
        &self,
        j: usize,
        (prefix, prefixes): (usize, usize),
        of_encoder: &mut [T],
        of_atom: &mut [T],
    ) -> T {
        let Self { dim, samples, codes, slopes, residuals, .. } = self;
        let (dim, room) = (*dim, codes.sparsity());
        let uses = self.uses(j);
        let slope = |at: &Use| slopes[at.sample as usize * room + at.slot as usize];
        let value = |at: &Use| codes.values(at.sample as usize)[at.slot as usize];
        let sample = |at: &Use| &samples[at.sample as usize * dim..][..dim];
        let residual =
            |at: &Use| &residuals[(at.sample as usize * prefixes + prefix) * dim..][..dim];
        let (fours, rest) = uses.as_chunks::<4>();
        for four in fours {
            add_rows(of_encoder, &four.each_ref().map(slope), &four.each_ref().map(sample));
            add_rows(of_atom, &four.each_ref().map(value), &four.each_ref().map(residual));
        }
        for at in rest {
            add_rows(of_encoder, &[slope(at)], &[sample(at)]);
            add_rows(of_atom, &[value(at)], &[residual(at)]);
        }
        uses.iter().map(slope).sum()
    }

    /// The samples with the largest relative errors, in falling order, and what is left of each.
    pub(super) fn worst(&self, count: usize) -> Vec<&[T]> {
        let Self { dim, residuals, errors, .. } = self;
        let relative = |i: usize| {
            let energy = loops::energy(self.sample(i));
            if energy > 0.0 { errors[i] / energy } else { 0.0 }
        };
        let shares: Vec<f64> = (0..errors.len()).map(relative).collect();
        let mut order: Vec<usize> = (0..errors.len()).filter(|&i| shares[i] > 0.0).collect();
        order.sort_by(|&a, &b| shares[b].total_cmp(&shares[a]).then(a.cmp(&b)));
        let stride = residuals.len() / errors.len().max(1);
        // The last prefix is that of all atoms.
        let left = |i: usize| &residuals[(i + 1) * stride - dim..(i + 1) * stride];
        order.into_iter().take(count).map(left).collect()
    }
}

/// The activations above `low` of a block of samples, in the order of atoms.
fn activations<T: Scalar>(
    backend: &Faer<T>,
    weights: &Weights<T>,
    dim: usize,
    block: &[T],
    low: T,
    scratch: &ScratchPool<(Correlations<T>, Vec<T>)>,
) -> Vec<Vec<(T, u32)>> {
    let (count, atoms) = (block.len() / dim, weights.bias.len());
    let mut all = Vec::with_capacity(count);
    let new = || (Correlations::new(dim, atoms), Vec::new());
    scratch.with(new, |(products, h)| {
        let encoder = MatRef::from_column_major_slice(&weights.encoder, dim, atoms);
        let samples = MatRef::from_column_major_slice(block, dim, count);
        let products = products.compute(backend, encoder, samples);
        for i in 0..count {
            // As for every coder, the zero sample has the empty code, whatever the bias.
            if is_zero(column(samples, i)) {
                all.push(Vec::new());
                continue;
            }
            h.clear();
            h.extend(column(products, i).iter().zip(&weights.bias).map(|(&h, &c)| h + c));
            let places = h.iter().enumerate().filter(|&(_, &h)| h > low);
            all.push(places.map(|(j, &h)| (h, j as u32)).collect());
        }
    });
    all
}

/// Writes the activations of a sample, the largest if they are too many, in the order of atoms.
fn write<T: Scalar>(found: &mut Vec<(T, u32)>, support: &mut [u32], values: &mut [T]) -> usize {
    let room = support.len();
    if found.len() > room {
        let falling =
            |a: &(T, u32), b: &(T, u32)| b.0.widen().total_cmp(&a.0.widen()).then(a.1.cmp(&b.1));
        found.select_nth_unstable_by(room - 1, falling);
        found.truncate(room);
        found.sort_unstable_by_key(|&(_, atom)| atom);
    }
    for ((slot, value), &(h, atom)) in support.iter_mut().zip(values).zip(&*found) {
        (*slot, *value) = (atom, h);
    }
    found.len()
}

/// The residuals of a sample after each prefix, summed from each prefix on, over their number.
/// Returns ‖r‖² with all atoms.
fn leave<T: Scalar>(
    dictionary: &[T],
    sample: &[T],
    (support, values): (&[u32], &[T]),
    prefixes: &[usize],
    residuals: &mut [T],
) -> f64 {
    let dim = sample.len();
    let mut first = 0;
    for (p, &prefix) in prefixes.iter().enumerate() {
        let (before, rest) = residuals.split_at_mut(p * dim);
        let residual = &mut rest[..dim];
        residual.copy_from_slice(if p == 0 { sample } else { &before[(p - 1) * dim..] });
        let end = support.partition_point(|&atom| (atom as usize) < prefix);
        subtract(dictionary, residual, &support[first..end], &values[first..end]);
        first = end;
    }
    let last = prefixes.len() - 1;
    let error = loops::energy(&residuals[last * dim..]);
    if last > 0 {
        let share = T::narrow(1.0 / prefixes.len() as f64);
        residuals.iter_mut().for_each(|r| *r *= share);
        for p in (0..last).rev() {
            let (before, after) = residuals.split_at_mut((p + 1) * dim);
            loops::add(&mut before[p * dim..], T::one(), &after[..dim]);
        }
    }
    error
}

vectorized! {
    /// r ← r − Σ z_j d_j.
    fn subtract<'a, T>(
        simd;
        dictionary: &'a [T],
        r: &'a mut [T],
        support: &'a [u32],
        values: &'a [T],
    ) -> () {
        let dim = r.len();
        let atom = |j: &u32| &dictionary[*j as usize * dim..][..dim];
        let (fours, rest) = support.as_chunks::<4>();
        let (four_values, rest_values) = values.as_chunks::<4>();
        for (four, z) in fours.iter().zip(four_values) {
            rows::gather(simd, r, z.map(|z| -z), four.each_ref().map(atom));
        }
        for (j, &z) in rest.iter().zip(rest_values) {
            rows::gather(simd, r, [-z], [atom(j)]);
        }
    }
}

vectorized! {
    /// d_jᵀr for each atom of the support.
    fn correlate<'a, T>(
        simd;
        dictionary: &'a [T],
        r: &'a [T],
        support: &'a [u32],
        slopes: &'a mut [T],
    ) -> () {
        let dim = r.len();
        let atom = |j: &u32| &dictionary[*j as usize * dim..][..dim];
        let (fours, rest) = support.as_chunks::<4>();
        let (four_slopes, rest_slopes) = slopes.as_chunks_mut::<4>();
        for (four, slopes) in fours.iter().zip(four_slopes) {
            *slopes = rows::dot4(simd, r, four.each_ref().map(atom));
        }
        for (j, slope) in rest.iter().zip(rest_slopes) {
            *slope = rows::dot(simd, r, atom(j));
        }
    }
}

vectorized! {
    /// sum ← sum + Σ x_q row_q, four rows at a time where there are four.
    fn add_rows<'a, T>(simd; sum: &'a mut [T], x: &'a [T], rows: &'a [&'a [T]]) -> () {
        if let (&[a, b, c, d], &[p, q, r, s]) = (x, rows) {
            rows::gather(simd, sum, [a, b, c, d], [p, q, r, s]);
        } else {
            for (&x, &row) in x.iter().zip(rows) {
                rows::gather(simd, sum, [x], [row]);
            }
        }
    }
}
