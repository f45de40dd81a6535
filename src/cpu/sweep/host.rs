//! Sweeps over matrices in this process's memory: the state, and phases (a) and (b).

use faer::{Mat, MatRef};
use rayon::prelude::*;

use super::direction::{Directions, Found};
use super::exchange::{Exchange, Products, Samples};
use crate::Scalar;
use crate::backend::{Backend, Change, SweepRule};
use crate::codes::{AtomIndex, SparseCodes, Use};
use crate::cpu::Faer;
use crate::error::BackendError;
use crate::matrix::{column_mut, zeros};
use crate::problem::ProblemShape;

/// Uses of a batch's atoms that are worth a task of their own.
const GRAIN: usize = 192;

/// Most parts into which samples are cut. More would serve more threads, but the uses of an atom in
/// a part, which are taken by fours, would be few.
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
    /// New directions, in the order of the sweep. The dictionary gets them at its end, when that
    /// can be done in parallel: no atom looks at another.
    pub(crate) fresh: Mat<T>,
    /// The place of each atom in the order.
    places: Vec<u32>,
    /// Partial sums that make directions.
    spare: Mat<T>,
    products: Vec<Products>,
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
            fresh: zeros(shape.dim, shape.atoms)?,
            places: vec![0; shape.atoms],
            spare: Mat::zeros(shape.dim, 0),
            products: vec![Products::default(); batch],
            previous: Vec::new(),
        })
    }

    /// R ← Y − DX, and takes notice of which samples use each atom.
    pub(crate) fn begin(&mut self, y: &Mat<T>, dictionary: &Mat<T>, codes: &SparseCodes<T>) {
        let parts = self.parts(codes);
        let Self { residual, index, .. } = self;
        rayon::join(
            || Faer::default().residual(residual, y, dictionary, codes),
            || index.rebuild_in_parts(codes, parts),
        );
    }

    /// Takes notice of which samples use each atom.
    pub(crate) fn recount(&mut self, codes: &SparseCodes<T>) {
        self.index.rebuild_in_parts(codes, self.parts(codes));
    }

    /// Into how many parts samples are cut for phase (b): enough for several threads, unless a
    /// batch has so few uses that tasks would be shorter than it takes to hand them out. A function
    /// of the problem alone, since errors are summed by parts.
    pub(crate) fn parts(&self, codes: &SparseCodes<T>) -> usize {
        let batch = self.rule.atom_batch.min(codes.atoms());
        (codes.nnz() / codes.atoms() * batch / GRAIN).clamp(1, MOST_PARTS)
    }

    /// |Ω_j| of every atom.
    pub(crate) fn uses(&self, counts: &mut [u64]) {
        for (j, count) in counts.iter_mut().enumerate() {
            *count = self.index.uses(j).len() as u64;
        }
    }

    /// ‖x_j‖² of every atom, in parallel; sums are over samples in their order.
    pub(crate) fn energies(&self, codes: &SparseCodes<T>, energies: &mut [f64]) {
        let chunks = energies.par_chunks_mut(ATOMS_A_TASK).enumerate();
        chunks.for_each(|(chunk, energies)| {
            for (j, energy) in (chunk * ATOMS_A_TASK..).zip(energies) {
                *energy = self.index.uses(j).iter().map(|at| square(codes, at)).sum();
            }
        });
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
        let Self { residual, index, fresh, spare, products, .. } = self;
        let directions = Directions {
            residual: residual.as_ref(),
            dictionary,
            codes,
            index,
            weights,
            pair: self.rule.leading_pair,
            sign: self.shape.sign,
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

    /// Phase (b), for samples in parallel.
    pub(crate) fn exchange(
        &mut self,
        dictionary: MatRef<'_, T>,
        codes: &mut SparseCodes<T>,
        batch: &[u32],
        place: usize,
    ) -> Change {
        let uses: usize = batch.iter().map(|&j| self.index.uses(j as usize).len()).sum();
        if self.previous.len() < uses {
            self.previous.resize(uses, T::zero());
        }
        let (exchange, samples, parts) = self.of_batch(dictionary, codes, batch, place, uses);
        let change = exchange.run(0, parts, samples);
        Change { error: change.error, energy: change.energy, uses }
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
        let (exchange, samples, parts) = self.of_batch(dictionary, codes, batch, place, uses);
        exchange.undo(0, parts, samples);
    }

    /// The atoms of a batch, old and new, with all samples.
    fn of_batch<'a>(
        &'a mut self,
        dictionary: MatRef<'a, T>,
        codes: &'a mut SparseCodes<T>,
        batch: &'a [u32],
        place: usize,
        uses: usize,
    ) -> (Exchange<'a, T>, Samples<'a, T>, usize) {
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
        (exchange, samples, self.index.parts())
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
