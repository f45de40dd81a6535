//! K-SVD in atom batches: the double-batch algorithm's inner loop.
//!
//! ```text
//! R ← Y − DX
//! repeat `sweeps` times, for each batch J of atoms in the given order:
//!     for j in J in parallel, all reading the same R:            (a) directions
//!         d'_j ← leading left singular vector of E_j = R_Ωj + d_j x_jᵀ
//!     for each sample in parallel, for each j in J it uses:      (b) coefficients
//!         c ← r·d'_j + x_j (d_j·d'_j)        = E_jᵀ d'_j on the *live* residual r
//!         r ← r + x_j d_j − c d'_j,  x_j ← c
//!     if that raised the error: undo it, and take J in two halves
//!     D_J ← d'_J
//! decorrelate atoms, if asked for
//! renew atoms that died, and merge those that duplicate another
//! ```
//! With |J| = 1 and the exact pair this is K-SVD (Aharon, Elad & Bruckstein 2006): c is then σv.
//!
//! Departures from DB-KSVD (arXiv 2505.18441), and why:
//! 1. Phase (b) refits coefficients on the live residual. If both factors of every atom in J come
//!    from the shared residual (Jacobi; [`AtomRule::Shared`]), atoms that explain the same part of
//!    a sample all correct it, and the sum overshoots: on coherent data the error rises from some
//!    |J| on, and diverges at |J| = m. Refitted, directions can still overshoot where many atoms of
//!    a sample share what is left to explain; a batch that raises the error of its samples is
//!    therefore undone and taken in two. So no sweep raises the error by more than rounding,
//!    whatever the batch.
//! 2. The leading pair is approximated by power steps started at the coefficients at hand, in place
//!    on R: u ← Σ x_i r_i + d‖x‖² is E x without forming E. One step is Rubinstein, Zibulevsky &
//!    Elad's (2008) approximate K-SVD.
//! 3. The batch is a parameter, never the number of threads: results do not depend on the machine.
//! 4. [`Memory`] lets the statistics of earlier minibatches weigh in; [`Renewal`](super::Renewal)
//!    replaces dead and duplicate atoms by badly represented samples, since those, not the pair's
//!    precision, are what stops K-SVD.

mod config;
mod decorrelation;

pub use config::{KSvd, Memory};
pub use decorrelation::Decorrelation;

use faer::{Mat, MatMut};
use rayon::prelude::*;

use super::renewal::{Census, Renewal, Renewed};
use super::{DictionaryUpdater, Kept, KeptArray, Step, UpdateReport, begin};
use crate::Scalar;
use crate::backend::HostBackend;
use crate::codes::{AtomIndex, SparseCodes, Use};
use crate::cpu::sweep::direction::{Directions, Found};
use crate::cpu::sweep::exchange::{Exchange, Products, Samples};
use crate::error::{BackendError, Error};
use crate::matrix::{column_mut, zeros};
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};
use crate::scalar::pick;

/// Uses of a batch's atoms that are worth a task of their own.
const GRAIN: usize = 192;

/// Most parts into which samples are cut. More would serve more threads, but the uses of an atom in
/// a part, which are taken by fours, would be few.
const MOST_PARTS: usize = 32;

/// Atoms that one task copies, or sums the uses of.
const ATOMS_A_TASK: usize = 64;

/// What [`KSvd`] keeps from minibatch to minibatch, and its scratch memory.
#[derive(Debug)]
pub struct KSvdState<B: HostBackend> {
    shape: ProblemShape,
    residual: B::Matrix,
    index: AtomIndex,
    scratch: Scratch<B::Scalar>,
    /// w_j, the weight of earlier minibatches.
    weights: Vec<f64>,
    /// The size of batch that did not raise the error when last tried.
    batch: usize,
    census: Census,
    /// Whether no update has been made yet.
    is_fresh: bool,
}

/// Memory that the update of a batch works in. It grows to what the largest batch needs.
#[derive(Debug)]
struct Scratch<T> {
    /// New directions, in the order of the sweep. The dictionary gets them at its end, when that
    /// can be done in parallel: no atom looks at another.
    fresh: Mat<T>,
    /// The place of each atom in the order.
    places: Vec<u32>,
    /// Partial sums that make them.
    spare: Mat<T>,
    products: Vec<Products>,
    /// The coefficients before a batch.
    previous: Vec<T>,
}

impl<B: HostBackend> DictionaryUpdater<B> for KSvd {
    type State = KSvdState<B>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.check_fields()
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        Ok(KSvdState {
            shape: *shape,
            residual: backend.zeros(shape.dim, 0)?,
            index: AtomIndex::default(),
            scratch: Scratch {
                fresh: zeros(shape.dim, shape.atoms)?,
                places: vec![0; shape.atoms],
                spare: Mat::zeros(shape.dim, 0),
                products: vec![Products::default(); self.atom_batch.min(shape.atoms)],
                previous: Vec::new(),
            },
            weights: vec![0.0; shape.atoms],
            batch: self.atom_batch.min(shape.atoms),
            census: Census::new(shape.atoms),
            is_fresh: true,
        })
    }

    fn update(
        &self,
        backend: &B,
        state: &mut Self::State,
        y: &B::Matrix,
        codes: &mut B::Codes,
        dictionary: &mut B::Matrix,
        step: &Step<'_>,
    ) -> Result<UpdateReport, BackendError> {
        let parts = self.parts(codes);
        let work = (&mut state.residual, &mut state.index);
        let mut report = begin(backend, work, y, dictionary, codes, parts);
        let mut error = report.error_before;
        let renewal = Renewal::in_effect(self.renewal.as_ref(), step.progress);
        let matrices = (y, &mut state.residual, &mut *dictionary);
        let renewed =
            Renewed::new(backend, matrices, (&mut *codes, &state.index), state.shape.sign);
        let seated = state.census.begin(renewal, renewed);
        if !seated.atoms.is_empty() {
            state.index.rebuild_in_parts(codes, parts);
            error = backend.squared_norm(&state.residual);
        }
        for &atom in &seated.atoms {
            state.weights[atom as usize] = 0.0;
        }

        // One entry into the pool for all the short parallel loops of the sweeps.
        let retention = self.memory.map_or(0.0, |memory| memory.retention_at(step.progress));
        let rounding = 64.0 * B::Scalar::EPSILON;
        let mut sweep = Sweep {
            config: self,
            error,
            floor: rounding * rounding * backend.squared_norm(y),
            sign: state.shape.sign,
            residual: backend.view_mut(&mut state.residual),
            dictionary: backend.view_mut(dictionary),
            codes,
            index: &state.index,
            scratch: &mut state.scratch,
            weights: &mut state.weights,
            claims: state.census.claims(),
        };
        let update_batch: &UpdateBatch<B::Scalar> = pick(&UPDATE_BATCH.0, &UPDATE_BATCH.1);
        // Batches that were too large a minibatch ago may no longer be.
        let mut size = (2 * state.batch).min(self.atom_batch).min(state.shape.atoms);
        rayon::scope(|_| {
            sweep.scratch.note_places(step.order);
            if state.is_fresh {
                sweep.remember_the_start(retention);
            }
            for _ in 0..self.sweeps {
                let (mut done, mut limit) = (0, size);
                while done < step.order.len() {
                    let batch = &step.order[done..(done + limit).min(step.order.len())];
                    if update_batch(&mut sweep, batch, done) {
                        done += batch.len();
                    } else {
                        limit = batch.len().div_ceil(2);
                        // A last batch that is shorter says nothing about the others.
                        size = if batch.len() == size { limit } else { size };
                        report.undone += 1;
                    }
                }
                sweep.take_new_atoms();
            }
            sweep.remember(retention);
        });
        state.batch = size;
        state.is_fresh = false;
        if let Some(decorrelation) = &self.decorrelation {
            decorrelation.apply(backend.view_mut(dictionary), &state.index);
            backend.residual(&mut state.residual, y, dictionary, codes);
        }

        let matrices = (y, &mut state.residual, &mut *dictionary);
        let renewed =
            Renewed::new(backend, matrices, (&mut *codes, &state.index), state.shape.sign);
        let outcome = state.census.care(renewal, renewed);
        for &atom in &outcome.atoms {
            state.weights[atom as usize] = 0.0;
        }
        (report.replaced, report.merged) = outcome.counts_with(&seated);
        report.error_after = backend.squared_norm(&state.residual);
        Ok(report)
    }

    fn keep(&self, _: &B, state: &Self::State) -> Result<Kept<B::Scalar>, BackendError> {
        let mut kept = Kept::new();
        kept.insert("weights", KeptArray::F64(state.weights.clone()));
        state.census.keep(&mut kept);
        let scalars = vec![state.batch as u64, u64::from(state.is_fresh)];
        kept.insert("batch and freshness", KeptArray::U64(scalars));
        Ok(kept)
    }

    fn restore(&self, _: &B, state: &mut Self::State, kept: &Kept<B::Scalar>) -> Result<(), Error> {
        let atoms = state.shape.atoms;
        state.weights.copy_from_slice(kept.f64s("weights", atoms)?);
        state.census.restore(kept)?;
        let scalars = kept.u64s("batch and freshness", 2)?;
        state.batch = (scalars[0] as usize).clamp(1, self.atom_batch.min(atoms));
        state.is_fresh = scalars[1] != 0;
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        let Self { atom_batch, leading_pair, atom_rule, sweeps, memory, decorrelation, renewal } =
            *self;
        Parameters::of("KSvd")
            .with("atom_batch", atom_batch)
            .with("leading_pair", leading_pair)
            .with("atom_rule", atom_rule)
            .with("sweeps", sweeps)
            .with("memory", memory)
            .with("decorrelation", decorrelation)
            .with("renewal", renewal)
    }
}

impl<T> Scratch<T> {
    fn note_places(&mut self, order: &[u32]) {
        for (place, &atom) in (0..).zip(order) {
            self.places[atom as usize] = place;
        }
    }
}

impl KSvd {
    /// Into how many parts samples are cut for phase (b): enough for several threads, unless a
    /// batch has so few uses that tasks would be shorter than it takes to hand them out. A function
    /// of the problem alone, since errors are summed by parts.
    fn parts<T: Scalar>(&self, codes: &SparseCodes<T>) -> usize {
        let uses_of_batch = codes.nnz() / codes.atoms() * self.atom_batch.min(codes.atoms());
        (uses_of_batch / GRAIN).clamp(1, MOST_PARTS)
    }
}

/// The matrices that the sweeps work on.
struct Sweep<'a, T: Scalar> {
    config: &'a KSvd,
    /// ‖R‖², as far as it is followed: what rounding is measured by.
    error: f64,
    /// Errors below this are rounding of the samples themselves.
    floor: f64,
    sign: Sign,
    residual: MatMut<'a, T>,
    dictionary: MatMut<'a, T>,
    codes: &'a mut SparseCodes<T>,
    index: &'a AtomIndex,
    scratch: &'a mut Scratch<T>,
    weights: &'a mut [f64],
    /// What large samples of other minibatches would lose without each atom.
    claims: &'a [f64],
}

type UpdateBatch<T> = fn(&mut Sweep<'_, T>, &[u32], usize) -> bool;
static UPDATE_BATCH: (UpdateBatch<f32>, UpdateBatch<f64>) = (
    |sweep, batch, place| sweep.update_batch(batch, place),
    |sweep, batch, place| sweep.update_batch(batch, place),
);

impl<T: Scalar> Sweep<'_, T> {
    /// D'_J, X_J and R of one batch J of atoms, from `place` in the order. `false` if that would
    /// raise the error: everything is then as it was.
    fn update_batch(&mut self, batch: &[u32], place: usize) -> bool {
        self.find_directions(batch, place);
        self.exchange_atoms(batch, place)
    }

    /// D ← D'
    fn take_new_atoms(&mut self) {
        let Scratch { fresh, places, .. } = &*self.scratch;
        self.dictionary.as_mut().par_col_chunks_mut(ATOMS_A_TASK).enumerate().for_each(
            |(chunk, mut atoms)| {
                let places = &places[chunk * ATOMS_A_TASK..];
                for (j, &place) in (0..atoms.ncols()).zip(places) {
                    column_mut(atoms.as_mut(), j)
                        .copy_from_slice(fresh.col_as_slice(place as usize));
                }
            },
        );
    }

    /// (a) d'_j ← leading left singular vector of E_j, for j ∈ J in parallel.
    fn find_directions(&mut self, batch: &[u32], place: usize) {
        let directions = Directions {
            residual: self.residual.as_ref(),
            dictionary: self.dictionary.as_ref(),
            codes: self.codes,
            index: self.index,
            weights: self.weights,
            claims: self.claims,
            pair: self.config.leading_pair,
            sign: self.sign,
        };
        let Scratch { fresh, spare, products, .. } = &mut *self.scratch;
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

    /// (b) X_J ← E_Jᵀ D'_J and R, over samples in parallel. `false`, and undone, if the error rose.
    fn exchange_atoms(&mut self, batch: &[u32], place: usize) -> bool {
        let uses: usize = batch.iter().map(|&j| self.index.uses(j as usize).len()).sum();
        let Scratch { fresh, products, previous, .. } = &mut *self.scratch;
        if previous.len() < uses {
            previous.resize(uses, T::zero());
        }
        let exchange = Exchange {
            dictionary: self.dictionary.as_ref(),
            fresh: fresh.as_ref().subcols(place, batch.len()),
            batch,
            products: &products[..batch.len()],
            index: self.index,
            rule: self.config.atom_rule,
            sign: self.sign,
        };
        let change = exchange.run(
            0,
            self.index.parts(),
            Samples {
                residual: self.residual.as_mut(),
                codes: self.codes.as_block_mut(),
                previous: &mut previous[..uses],
            },
        );
        if !exchange.can_raise_the_error() {
            return true;
        }
        // The share of the error that falls to the samples of this batch, to rounding; and what
        // rounding of inner products x (r·d) may add up to, their signs being random.
        let samples = self.codes.samples().max(1) as f64;
        let share = self.error * (uses as f64 / samples).min(1.0);
        let noise = T::EPSILON * (change.energy * share / uses.max(1) as f64).sqrt();
        let accepted = change.error <= 64.0 * T::EPSILON * share + 16.0 * noise + self.floor;
        if accepted {
            self.error = (self.error + change.error).max(0.0);
        } else {
            exchange.undo(
                0,
                self.index.parts(),
                Samples {
                    residual: self.residual.as_mut(),
                    codes: self.codes.as_block_mut(),
                    previous: &mut previous[..uses],
                },
            );
        }
        accepted
    }

    /// w_j ← ρ (w_j + ‖x_j‖²).
    fn remember(&mut self, retention: f64) {
        self.change_weights(|weight, energy| retention * (weight + energy));
    }

    /// w_j ← ρ ‖x_j‖² / (1 − ρ), where w_j settles if every minibatch is as this one: a run that
    /// begins where memory is in force has a learned dictionary, and would forget it by its first
    /// minibatch.
    fn remember_the_start(&mut self, retention: f64) {
        if retention > 0.0 {
            self.change_weights(|_, energy| retention / (1.0 - retention) * energy);
        }
    }

    /// w_j ← `change`(w_j, ‖x_j‖²) for every atom, in parallel.
    fn change_weights(&mut self, change: impl Fn(f64, f64) -> f64 + Sync) {
        if self.config.memory.is_none() {
            return;
        }
        let (index, codes) = (self.index, &*self.codes);
        let chunks = self.weights.par_chunks_mut(ATOMS_A_TASK).enumerate();
        chunks.for_each(|(chunk, weights)| {
            for (j, weight) in (chunk * ATOMS_A_TASK..).zip(weights) {
                let squared = |at: &Use| {
                    let x = codes.values(at.sample as usize)[at.slot as usize].widen();
                    x * x
                };
                let energy: f64 = index.uses(j).iter().map(squared).sum();
                *weight = change(*weight, energy);
            }
        });
    }
}
