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
//! renew atoms that died, and merge those that duplicate another
//! ```
//! With |J| = 1 and the exact pair this is K-SVD (Aharon, Elad & Bruckstein 2006): c is then σv.
//!
//! Departures from DB-KSVD (arXiv 2505.18441), and why:
//! 1. Phase (b) refits coefficients on the live residual. If both factors of every atom in J come
//!    from the shared residual (Jacobi; [`AtomRule::Shared`]), atoms that explain the same part of a
//!    sample all correct it, and the sum overshoots: on coherent data the error rises from some
//!    |J| on, and diverges at |J| = m. Refitted, directions can still overshoot where many atoms
//!    of a sample share what is left to explain; a batch that raises the error of its samples is
//!    therefore undone and taken in two. So no sweep raises the error by more than rounding,
//!    whatever the batch.
//! 2. The leading pair is approximated by power steps started at the coefficients at hand, in place
//!    on R: u ← Σ x_i r_i + d‖x‖² is E x without forming E. One step is Rubinstein, Zibulevsky &
//!    Elad's (2008) approximate K-SVD.
//! 3. The batch is a parameter, never the number of threads: results do not depend on the machine.
//! 4. [`Memory`] lets the statistics of earlier minibatches weigh in; [`Renewal`] replaces dead and
//!    duplicate atoms by badly represented samples, since those, not the pair's precision, are what
//!    stops K-SVD.

mod config;
mod direction;
mod exchange;
mod renewal;

pub use config::{AtomRule, KSvd, LeadingPair, Memory};
pub use renewal::Renewal;

use faer::{Mat, MatMut};
use num_traits::Float;
use rayon::prelude::*;

use super::{DictionaryUpdater, Step, UpdateReport};
use crate::Scalar;
use crate::backend::{HostBackend, column, column_mut};
use crate::codes::{AtomIndex, SparseCodes};
use crate::error::{BackendError, Error};
use crate::problem::{ProblemShape, Sign};
use exchange::{Exchange, Swap};
use renewal::Census;

/// What [`KSvd`] keeps from minibatch to minibatch, and its scratch memory.
#[derive(Debug)]
pub struct KSvdState<B: HostBackend> {
    shape: ProblemShape,
    residual: B::Matrix,
    index: AtomIndex,
    /// New directions of the atoms of a batch.
    fresh: Mat<B::Scalar>,
    swaps: Vec<Swap<B::Scalar>>,
    /// w_j, the weight of earlier minibatches.
    weights: Vec<f64>,
    /// The size of batch that did not raise the error when last tried.
    batch: usize,
    census: Census,
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
            fresh: Mat::zeros(shape.dim, self.atom_batch.min(shape.atoms)),
            swaps: Vec::new(),
            weights: vec![0.0; shape.atoms],
            batch: self.atom_batch.min(shape.atoms),
            census: Census::new(shape.atoms),
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
        backend.residual(&mut state.residual, y, dictionary, codes);
        let mut report = UpdateReport {
            error_before: backend.squared_norm(&state.residual),
            nonzeros: codes.nnz(),
            ..UpdateReport::default()
        };
        state.index.rebuild(codes);
        report.unused = (0..state.shape.atoms).filter(|&j| state.index.uses(j).is_empty()).count();

        // One entry into the pool for all the short parallel loops of the sweeps.
        let retention = self.memory.map_or(0.0, |memory| memory.retention_at(step.progress));
        let rounding = 64.0 * B::Scalar::EPSILON;
        let mut session = Session {
            config: self,
            floor: rounding * rounding * backend.squared_norm(y),
            sign: state.shape.sign,
            residual: backend.view_mut(&mut state.residual),
            dictionary: backend.view_mut(dictionary),
            codes,
            index: &state.index,
            fresh: &mut state.fresh,
            swaps: &mut state.swaps,
            weights: &mut state.weights,
        };
        // Batches that were too large a minibatch ago may no longer be.
        let mut size = (2 * state.batch).min(self.atom_batch).min(state.shape.atoms);
        rayon::scope(|_| {
            for _ in 0..self.sweeps {
                let (mut rest, mut limit) = (step.order, size);
                while !rest.is_empty() {
                    let (batch, after) = rest.split_at(limit.min(rest.len()));
                    if session.update_batch(batch) {
                        rest = after;
                    } else {
                        limit = batch.len().div_ceil(2);
                        // A last batch that is shorter says nothing about the others.
                        size = if batch.len() == size { limit } else { size };
                        report.undone += 1;
                    }
                }
            }
            session.remember(retention);
        });
        state.batch = size;

        if let Some(renewal) = &self.renewal {
            state.census.count(&state.index);
            if state.census.is_due(renewal, step.progress) {
                let samples = backend.view(y);
                let residual = backend.view_mut(&mut state.residual);
                let dictionary = backend.view_mut(dictionary);
                let mut renewed = renewal::Renewed {
                    samples,
                    residual,
                    dictionary,
                    codes,
                    index: &state.index,
                    sign: state.shape.sign,
                };
                let outcome = renewed.renew(renewal, &state.census);
                for &atom in &outcome.atoms {
                    state.weights[atom as usize] = 0.0;
                }
                (report.replaced, report.merged) = (outcome.replaced, outcome.merged);
                state.census.restart();
            }
        }
        report.error_after = backend.squared_norm(&state.residual);
        Ok(report)
    }
}

/// The matrices that the sweeps work on.
struct Session<'a, T: Scalar> {
    config: &'a KSvd,
    /// Errors below this are rounding of the samples themselves.
    floor: f64,
    sign: Sign,
    residual: MatMut<'a, T>,
    dictionary: MatMut<'a, T>,
    codes: &'a mut SparseCodes<T>,
    index: &'a AtomIndex,
    fresh: &'a mut Mat<T>,
    swaps: &'a mut Vec<Swap<T>>,
    weights: &'a mut [f64],
}

impl<T: Scalar> Session<'_, T> {
    /// D_J, X_J and R of one batch J of atoms. `false` if that would raise the error: everything
    /// is then as it was.
    fn update_batch(&mut self, batch: &[u32]) -> bool {
        self.find_directions(batch);
        if !self.exchange_atoms(batch) {
            return false;
        }
        for (b, &atom) in batch.iter().enumerate() {
            column_mut(self.dictionary.as_mut(), atom as usize)
                .copy_from_slice(self.fresh.col_as_slice(b));
        }
        true
    }

    /// (a) d'_j ← leading left singular vector of E_j, for j ∈ J in parallel.
    fn find_directions(&mut self, batch: &[u32]) {
        let (residual, dictionary) = (self.residual.as_ref(), self.dictionary.as_ref());
        let (codes, index, weights) = (&*self.codes, self.index, &*self.weights);
        let (pair, sign) = (self.config.pair, self.sign);
        let fresh = self.fresh.as_mut().subcols_mut(0, batch.len());
        fresh.par_col_chunks_mut(1).zip(batch).for_each(|(fresh, &atom)| {
            let j = atom as usize;
            let atom = direction::Atom {
                residual,
                codes,
                uses: index.uses(j),
                direction: column(dictionary, j),
                weight: T::narrow(weights[j]),
                sign,
            };
            atom.improve(pair, column_mut(fresh, 0));
        });
    }

    /// (b) X_J ← E_Jᵀ D'_J and R, over samples in parallel. `false`, and undone, if the error rose.
    fn exchange_atoms(&mut self, batch: &[u32]) -> bool {
        self.swaps.clear();
        for (b, &atom) in batch.iter().enumerate() {
            let uses = self.index.uses(atom as usize).iter();
            let swap = |&at| Swap { at, member: b as u32, previous: T::zero() };
            self.swaps.extend(uses.map(swap));
        }
        if batch.len() > 1 {
            self.swaps.par_sort_unstable_by_key(|swap| swap.at);
        }
        let exchange = Exchange::new(
            self.dictionary.as_ref(),
            self.fresh.as_ref(),
            batch,
            self.config.rule,
            self.sign,
        );
        let errors = exchange.run(self.swaps, self.residual.as_mut(), self.codes.as_block_mut());
        // One atom alone cannot raise the error: its direction lies between the old one and the
        // best, on an arc along which ‖Eᵀd'‖ grows. Only rounding can say otherwise.
        let rounding = 1.0 + 64.0 * T::EPSILON;
        let accepted = batch.len() == 1
            || self.config.rule == AtomRule::Shared
            || errors.after <= errors.before * rounding + self.floor;
        if !accepted {
            exchange.undo(self.swaps, self.residual.as_mut(), self.codes.as_block_mut());
        }
        accepted
    }

    /// w_j ← ρ (w_j + ‖x_j‖²).
    fn remember(&mut self, retention: f64) {
        if self.config.memory.is_none() {
            return;
        }
        for (j, weight) in self.weights.iter_mut().enumerate() {
            let energy: f64 = self
                .index
                .uses(j)
                .iter()
                .map(|at| {
                    let x = self.codes.values(at.sample as usize)[at.slot as usize].widen();
                    x * x
                })
                .sum();
            *weight = retention * (*weight + energy);
        }
    }
}

/// max(c, 0) for non-negative codes.
#[inline(always)]
fn project<T: Scalar>(coefficient: T, sign: Sign) -> T {
    match sign {
        Sign::Signed => coefficient,
        Sign::NonNegative => Float::max(coefficient, T::zero()),
    }
}
