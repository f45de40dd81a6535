//! Sweeps over matrices in this process's memory: the state, and phases (a) and (b).

use std::ops::Range;

use faer::{Mat, MatMut, MatRef};
use rayon::prelude::*;

use super::atom_sums::{Atom, Step};
use super::direction::{
    Directions, Found, atoms_a_task, first_direction, most_steps, next_direction,
};
use super::exchange::{Exchange, GRAIN, Products, Samples};
use crate::Scalar;
use crate::backend::{Backend, Change, DirectionSums, PowerStep, SampleShards, SweepRule};
use crate::codes::{AtomIndex, SparseCodes, Use};
use crate::cpu::Faer;
use crate::cpu::backend::norms_of_shards;
use crate::cpu::vector::loops;
use crate::error::BackendError;
use crate::matrix::{column, column_mut, zeros};
use crate::problem::ProblemShape;

/// Most parts into which the samples of a minibatch are cut. More would serve more threads, but the
/// uses of an atom in a part, which are taken by fours, would be few.
const MOST_PARTS: usize = 32;

/// Atoms that one task copies, or sums the uses of.
const ATOMS_A_TASK: usize = 64;

/// The residual of a minibatch, which samples use each atom, and scratch memory of sweeps, which
/// grows to what the largest batch needs.
#[derive(Debug)]
pub struct HostSweep<T: Scalar> {
    pub(crate) rule: SweepRule,
    pub(crate) shape: ProblemShape,
    /// R.
    pub(crate) residual: Mat<T>,
    pub(crate) index: AtomIndex,
    pub(crate) shards: SampleShards,
    /// The first part of each shard in the index, and the end of those of the last.
    starts: Vec<usize>,
    /// Where the samples of each part begin, and where those of the last end.
    bounds: Vec<usize>,
    /// New directions, in the order of the sweep. The dictionary gets them at its end, when that
    /// can be done in parallel: no atom looks at another.
    pub(crate) fresh: Mat<T>,
    /// The place of each atom in the order.
    places: Vec<u32>,
    /// Partial sums that make directions.
    spare: Mat<T>,
    products: Vec<Products>,
    /// Whether a further power step would leave an atom of the batch as it is.
    is_settled: Vec<bool>,
    /// The coefficients before a batch.
    pub(crate) previous: Vec<T>,
}

impl<T: Scalar> HostSweep<T> {
    pub(crate) fn new(rule: &SweepRule, shape: &ProblemShape) -> Result<Self, BackendError> {
        let batch = rule.atom_batch.min(shape.atoms);
        Ok(Self {
            rule: *rule,
            shape: *shape,
            residual: Mat::zeros(shape.dim, 0),
            index: AtomIndex::default(),
            shards: SampleShards::single(0),
            starts: Vec::new(),
            bounds: Vec::new(),
            fresh: zeros(shape.dim, shape.atoms)?,
            places: vec![0; shape.atoms],
            spare: Mat::zeros(shape.dim, 0),
            products: vec![Products::default(); batch],
            is_settled: vec![false; batch],
            previous: Vec::new(),
        })
    }

    /// R ← Y − DX, and takes notice of which samples use each atom, and of the shards.
    pub(crate) fn begin(
        &mut self,
        y: &Mat<T>,
        dictionary: &Mat<T>,
        codes: &SparseCodes<T>,
        shards: &SampleShards,
    ) {
        self.set_shards(shards);
        let Self { residual, index, bounds, .. } = self;
        rayon::join(
            || Faer::default().residual(residual, y, dictionary, codes),
            || index.rebuild_in_parts(codes, bounds.iter().copied()),
        );
    }

    /// Takes notice of which samples use each atom.
    pub(crate) fn recount(&mut self, codes: &SparseCodes<T>) {
        self.index.rebuild_in_parts(codes, self.bounds.iter().copied());
    }

    /// Cuts the samples of each shard into parts for phase (b): enough for several threads, unless
    /// a batch has so few uses that tasks would be shorter than it takes to hand them out.
    /// Functions of the problem alone, since errors are summed by parts.
    pub(crate) fn set_shards(&mut self, shards: &SampleShards) {
        self.shards.clone_from(shards);
        let batch = self.rule.atom_batch.min(self.shape.atoms);
        let most = (MOST_PARTS / shards.total()).max(1);
        let Self { starts, bounds, shape, .. } = self;
        starts.clear();
        bounds.clear();
        bounds.push(0);
        for shard in shards.ranges() {
            starts.push(bounds.len() - 1);
            let uses = shard.len().saturating_mul(shape.sparsity) / shape.atoms;
            let parts = (uses * batch / GRAIN).clamp(1, most);
            bounds.extend((1..=parts).map(|part| shard.start + part * shard.len() / parts));
        }
        starts.push(bounds.len() - 1);
    }

    /// |Ω_j| of every atom.
    pub(crate) fn uses(&self, counts: &mut [u64]) {
        for (j, count) in counts.iter_mut().enumerate() {
            *count = self.index.uses(j).len() as u64;
        }
    }

    /// ‖x_j‖² of every atom over the samples of these shards, atoms in parallel.
    pub(crate) fn energies(
        &self,
        codes: &SparseCodes<T>,
        shards: Range<usize>,
        energies: &mut [f64],
    ) {
        let chunks = energies.par_chunks_mut(ATOMS_A_TASK).enumerate();
        chunks.for_each(|(chunk, energies)| {
            for (j, energy) in (chunk * ATOMS_A_TASK..).zip(energies) {
                *energy = self.energy(codes, j, shards.clone());
            }
        });
    }

    fn energy(&self, codes: &SparseCodes<T>, j: usize, shards: Range<usize>) -> f64 {
        if shards.len() > 1 {
            let middle = shards.start.midpoint(shards.end);
            let left = self.energy(codes, j, shards.start..middle);
            return left + self.energy(codes, j, middle..shards.end);
        }
        let parts = self.starts[shards.start]..self.starts[shards.end];
        self.index.uses_in(j, parts).iter().map(|at| square(codes, at)).sum()
    }

    /// Phase (a), for the atoms of a batch in parallel.
    pub(crate) fn directions(
        &mut self,
        dictionary: MatRef<'_, T>,
        codes: &SparseCodes<T>,
        weights: &[f64],
        batch: &[u32],
        place: usize,
    ) {
        let Self { residual, index, starts, fresh, spare, products, .. } = self;
        let directions = Directions {
            residual: residual.as_ref(),
            dictionary,
            codes,
            index,
            parts: starts,
            weights,
            pair: self.rule.leading_pair,
            sign: self.shape.sign,
            atom_sign: self.rule.atom_sign,
            atoms_a_task: atoms_a_task(batch.len()),
        };
        let columns = directions.spare_columns(batch);
        if spare.ncols() < columns {
            spare.resize_with(spare.nrows(), columns, |_, _| T::zero());
        }
        let into = Found {
            fresh: fresh.as_mut().subcols_mut(place, batch.len()),
            products: &mut products[..batch.len()],
            spare: spare.as_mut(),
        };
        directions.find(batch, into);
    }

    /// The sums of phase (a) over the samples of some shards, atoms in parallel.
    pub(crate) fn direction_sums(
        &self,
        dictionary: MatRef<'_, T>,
        codes: &SparseCodes<T>,
        step: PowerStep<'_>,
        shards: Range<usize>,
        sums: &mut DirectionSums<T>,
    ) {
        let DirectionSums { vectors, products, is_used } = sums;
        let columns = vectors.par_col_chunks_mut(1).zip(products).zip(is_used);
        columns.enumerate().for_each(|(member, ((mut into, product), is_used))| {
            let j = step.batch[member] as usize;
            let direction = column(dictionary, j);
            let atom = Atom {
                residual: self.residual.as_ref(),
                codes,
                index: &self.index,
                parts: &self.starts,
                j,
                direction,
                sign: self.shape.sign,
            };
            let is_over = step.number > 0 && self.is_settled[member];
            *is_used = !is_over && !atom.uses(shards.clone()).is_empty();
            if !*is_used {
                return;
            }
            let v = self.fresh.col_as_slice(step.place + member);
            let along = Step { v, overlap: loops::product(direction, v) };
            let along = (step.number > 0).then_some(along);
            let mut spare = Mat::zeros(self.shape.dim, atom.spare_columns());
            let into = column_mut(into.as_mut(), 0);
            *product = atom.sum(along, shards.clone(), into, spare.as_mut());
        });
    }

    /// What follows from the sums over the samples of all owners; whether all atoms have settled.
    pub(crate) fn directions_of(
        &mut self,
        dictionary: MatRef<'_, T>,
        weights: &[f64],
        step: PowerStep<'_>,
        sums: &DirectionSums<T>,
    ) -> bool {
        let Self { fresh, products, is_settled, .. } = self;
        let (steps, sign) = (most_steps(self.rule.leading_pair), self.rule.atom_sign);
        let columns: MatMut<'_, T> = fresh.as_mut().subcols_mut(step.place, step.batch.len());
        let members = columns.par_col_chunks_mut(1).zip(products).zip(is_settled);
        members.enumerate().for_each(|(member, ((mut fresh, products), is_settled))| {
            let j = step.batch[member] as usize;
            let (d, weight) = (column(dictionary, j), T::narrow(weights[j]));
            let fresh = column_mut(fresh.as_mut(), 0);
            if step.number > 0 && *is_settled {
                return;
            }
            let (sum, product) = (sums.vectors.col_as_slice(member), sums.products[member]);
            if step.number == 0 {
                fresh.copy_from_slice(sum);
                let improved =
                    sums.is_used[member] && first_direction(d, weight, product, sign, fresh);
                if !improved {
                    fresh.copy_from_slice(d);
                }
                *is_settled = !improved || steps == 1;
            } else {
                let before = fresh.to_vec();
                let along = Step { v: &before, overlap: loops::product(d, &before) };
                fresh.copy_from_slice(sum);
                *is_settled = next_direction(d, weight, along, product, sign, fresh)
                    || step.number + 1 == steps;
            }
            *products = Products::of(d, fresh);
        });
        self.is_settled[..step.batch.len()].iter().all(|&is_settled| is_settled)
    }

    /// ‖R‖²_F of the samples of each shard.
    pub(crate) fn errors(&self, errors: &mut [f64]) {
        norms_of_shards(self.residual.as_ref(), &self.shards, errors);
    }

    /// Phase (b), for samples in parallel.
    pub(crate) fn exchange(
        &mut self,
        dictionary: MatRef<'_, T>,
        codes: &mut SparseCodes<T>,
        batch: &[u32],
        place: usize,
        changes: &mut [Change],
    ) {
        let uses: usize = batch.iter().map(|&j| self.index.uses(j as usize).len()).sum();
        if self.previous.len() < uses {
            self.previous.resize(uses, T::zero());
        }
        let (exchange, samples, starts) = self.of_batch(dictionary, codes, batch, place, uses);
        exchange.run(0, starts, samples, changes);
    }

    /// Takes phase (b) back.
    pub(crate) fn undo(
        &mut self,
        dictionary: MatRef<'_, T>,
        codes: &mut SparseCodes<T>,
        batch: &[u32],
        place: usize,
    ) {
        let uses: usize = batch.iter().map(|&j| self.index.uses(j as usize).len()).sum();
        let (exchange, samples, starts) = self.of_batch(dictionary, codes, batch, place, uses);
        let parts = starts.last().copied().unwrap_or(0);
        if parts > 0 {
            exchange.undo(0, parts, samples);
        }
    }

    /// The atoms of a batch, old and new, with all samples.
    fn of_batch<'a>(
        &'a mut self,
        dictionary: MatRef<'a, T>,
        codes: &'a mut SparseCodes<T>,
        batch: &'a [u32],
        place: usize,
        uses: usize,
    ) -> (Exchange<'a, T>, Samples<'a, T>, &'a [usize]) {
        let exchange = Exchange {
            dictionary,
            fresh: self.fresh.as_ref().subcols(place, batch.len()),
            batch,
            products: &self.products[..batch.len()],
            index: &self.index,
            rule: self.rule.atom_rule,
            sign: self.shape.sign,
        };
        let samples = Samples {
            residual: self.residual.as_mut(),
            codes: codes.as_block_mut(),
            previous: &mut self.previous[..uses],
        };
        (exchange, samples, &self.starts)
    }

    /// D ← D'
    pub(crate) fn take_atoms(&mut self, dictionary: &mut Mat<T>, order: &[u32]) {
        let Self { fresh, places, .. } = self;
        for (place, &atom) in (0..).zip(order) {
            places[atom as usize] = place;
        }
        dictionary.as_mut().par_col_chunks_mut(ATOMS_A_TASK).enumerate().for_each(
            |(chunk, mut atoms)| {
                let places = &places[chunk * ATOMS_A_TASK..];
                for (j, &place) in (0..atoms.ncols()).zip(places) {
                    column_mut(atoms.as_mut(), j)
                        .copy_from_slice(fresh.col_as_slice(place as usize));
                }
            },
        );
    }
}

/// x² of a use.
pub(crate) fn square<T: Scalar>(codes: &SparseCodes<T>, at: &Use) -> f64 {
    let x = codes.values(at.sample as usize)[at.slot as usize].widen();
    x * x
}
