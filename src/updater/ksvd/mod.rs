//! K-SVD in batches of atoms: the inner loop of the double-batch algorithm.
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
//! 1. Phase (b) refits coefficients on the current residual. DB-KSVD takes both factors of every
//!    atom in J from the shared residual (a Jacobi iteration; [`AtomRule::Shared`]). Then all atoms
//!    that explain the same part of a sample correct it, and the sum overshoots: on coherent data
//!    the error rises if |J| is too large, and diverges at |J| = m. With refitted coefficients,
//!    directions can still overshoot if many atoms of a sample share what is left to explain. A
//!    batch that raises the error of its samples is therefore undone and updated in two halves. So
//!    no sweep raises the error by more than rounding, whatever the batch is.
//! 2. The leading pair is approximated by power steps that start from the present coefficients,
//!    without forming E: u ← Σ x_i r_i + d‖x‖² is E x, computed from R. One step is the approximate
//!    K-SVD of Rubinstein, Zibulevsky & Elad (2008).
//! 3. The batch size is a parameter and never the number of threads, so results do not depend on
//!    the machine.
//! 4. [`Memory`] adds the statistics of earlier minibatches. [`Renewal`](super::Renewal) replaces
//!    dead and duplicate atoms by badly represented samples. K-SVD gets stuck because of such
//!    atoms, and not because the pair is not precise enough.

mod config;

pub use config::{Decorrelation, KSvd, Memory};

use super::non_negative::project_atoms;
use super::renewal::{Renewal, Renewed, UseCounts, energies_of};
use super::{
    DictionaryUpdater, SavedArray, SavedState, Started, Step, UpdateReport, begin, error_of,
    squared_norm_of,
};
use crate::Scalar;
use crate::backend::{
    AtomRule, Change, DirectionSums, LeadingPair, PowerStep, SweepKernels, SweepRule,
};
use crate::error::{BackendError, Error};
use crate::group::Share;
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};
use crate::sample_shards::MOST_SHARDS;

/// The data that [`KSvd`] keeps from minibatch to minibatch, and its scratch memory.
#[derive(Debug)]
pub struct KSvdState<S> {
    shape: ProblemShape,
    sweep: S,
    /// w_j, the weight of earlier minibatches.
    weights: Vec<f64>,
    /// The weight that holds an atom in place: w_j or, if larger, the claim of large samples of
    /// other minibatches on the atom.
    held: Vec<f64>,
    energies: Vec<f64>,
    counts: Vec<u64>,
    /// The largest batch size that did not raise the error when it was last tried.
    batch: usize,
    use_counts: UseCounts,
    /// Whether no update has been made yet.
    is_fresh: bool,
}

impl<B: SweepKernels> DictionaryUpdater<B> for KSvd {
    type State = KSvdState<B::Sweep>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.check_fields()
    }

    fn check_shared(&self, shape: &ProblemShape) -> Result<(), Error> {
        if self.leading_pair == LeadingPair::Exact && shape.sign == Sign::Signed {
            let expected = "power steps, where several owners hold the uses of an atom";
            return Err(Error::argument("leading_pair", "exact", expected));
        }
        Ok(())
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let atom_batch = self.atom_batch.min(shape.atoms);
        let Self { leading_pair, atom_rule, atom_sign, .. } = *self;
        let rule = SweepRule { leading_pair, atom_rule, atom_batch, atom_sign };
        Ok(KSvdState {
            shape: *shape,
            sweep: backend.prepare_sweep(&rule, shape)?,
            weights: vec![0.0; shape.atoms],
            held: vec![0.0; shape.atoms],
            energies: vec![0.0; shape.atoms],
            counts: vec![0; shape.atoms],
            batch: atom_batch,
            use_counts: UseCounts::new(shape.atoms),
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
        let KSvdState { sweep, shape, counts, .. } = state;
        let minibatch = (y, &*dictionary, &*codes);
        let Started { share, samples, mut report } =
            begin(backend, sweep, minibatch, shape, step, counts)?;
        let share = &share;
        if self.leading_pair == LeadingPair::Exact && shape.sign == Sign::Signed {
            share.expect_alone("the exact pair, which takes all uses of an atom at once,")?;
        }
        let mut error = report.error_before;
        if project_atoms(backend, dictionary, self.atom_sign)? {
            backend.refresh(&mut state.sweep, y, dictionary, codes)?;
            error = error_of(backend, &state.sweep, share)?;
        }
        let renewal = Renewal::in_effect(self.renewal.as_ref(), step.progress);
        let (sweep, shape) = (&mut state.sweep, &state.shape);
        let atom_sign = self.atom_sign;
        let renewed =
            Renewed { backend, share, samples: y, dictionary, codes, sweep, shape, atom_sign };
        let seated = state.use_counts.begin(renewal, renewed)?;
        if !seated.atoms.is_empty() {
            backend.recount(&mut state.sweep, codes)?;
            error = error_of(backend, &state.sweep, share)?;
        }
        for &atom in &seated.atoms {
            state.weights[atom as usize] = 0.0;
        }

        let retention = self.memory.map_or(0.0, |memory| memory.retention_at(step.progress));
        if state.is_fresh {
            self.remember_the_start(backend, share, state, codes, retention)?;
        }
        let rounding = 64.0 * B::Scalar::EPSILON;
        let mut sweeps = Sweeps {
            backend,
            share,
            config: self,
            error,
            floor: rounding * rounding * squared_norm_of(backend, y, share)?,
            samples: samples.max(1) as f64,
            dictionary,
            codes,
            state,
            changes: [Change::default(); MOST_SHARDS],
        };
        report.undone = if share.is_alone() {
            // The thread pool is entered once for all the short parallel loops of the sweeps on the
            // host.
            rayon::scope(|_| sweeps.run(step.order))?
        } else {
            // This thread waits for other owners, so it must not be a thread of the pool.
            sweeps.run(step.order)?
        };
        self.remember(backend, share, state, codes, retention)?;
        state.is_fresh = false;
        if let Some(decorrelation) = &self.decorrelation {
            let tolerance = decorrelation.tolerance / (state.shape.dim as f64).sqrt();
            backend.uses(&state.sweep, &mut state.counts)?;
            share.add_counts(&mut state.counts)?;
            backend.decorrelate(dictionary, &state.counts, tolerance)?;
            backend.refresh(&mut state.sweep, y, dictionary, codes)?;
        }

        let (sweep, shape) = (&mut state.sweep, &state.shape);
        let atom_sign = self.atom_sign;
        let renewed =
            Renewed { backend, share, samples: y, dictionary, codes, sweep, shape, atom_sign };
        let outcome = state.use_counts.renew(renewal, renewed)?;
        for &atom in &outcome.atoms {
            state.weights[atom as usize] = 0.0;
        }
        (report.replaced, report.merged) = outcome.counts_with(&seated);
        report.error_after = error_of(backend, &state.sweep, share)?;
        Ok(report)
    }

    fn save(&self, _: &B, state: &Self::State) -> Result<SavedState<B::Scalar>, BackendError> {
        let mut saved = SavedState::new();
        saved.insert("weights", SavedArray::F64(state.weights.clone()));
        state.use_counts.save(&mut saved);
        let scalars = vec![state.batch as u64, u64::from(state.is_fresh)];
        saved.insert("batch and freshness", SavedArray::U64(scalars));
        Ok(saved)
    }

    fn restore(
        &self,
        _: &B,
        state: &mut Self::State,
        saved: &SavedState<B::Scalar>,
    ) -> Result<(), Error> {
        let atoms = state.shape.atoms;
        state.weights.copy_from_slice(saved.f64s("weights", atoms)?);
        state.use_counts.restore(saved)?;
        let scalars = saved.u64s("batch and freshness", 2)?;
        state.batch = (scalars[0] as usize).clamp(1, self.atom_batch.min(atoms));
        state.is_fresh = scalars[1] != 0;
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        self.listed()
    }
}

impl KSvd {
    /// The parameters. The function depends on no backend type, so it is compiled in this crate.
    fn listed(&self) -> Parameters {
        let Self {
            atom_batch,
            leading_pair,
            atom_rule,
            sweeps,
            memory,
            decorrelation,
            renewal,
            ..
        } = *self;
        let listed = Parameters::of("KSvd")
            .with("atom_batch", atom_batch)
            .with("leading_pair", leading_pair)
            .with("atom_rule", atom_rule)
            .with("sweeps", sweeps)
            .with("memory", memory)
            .with("decorrelation", decorrelation)
            .with("renewal", renewal);
        // A checkpoint that does not name it is of atoms of any sign.
        match self.atom_sign {
            Sign::Signed => listed,
            Sign::NonNegative => listed.with("atom_sign", self.atom_sign),
        }
    }

    /// w_j ← ρ (w_j + ‖x_j‖²).
    fn remember<B: SweepKernels>(
        &self,
        backend: &B,
        share: &Share<'_>,
        state: &mut KSvdState<B::Sweep>,
        codes: &B::Codes,
        retention: f64,
    ) -> Result<(), BackendError> {
        if self.memory.is_none() {
            return Ok(());
        }
        energies_of(backend, &state.sweep, share, codes, &mut state.energies)?;
        for (weight, energy) in state.weights.iter_mut().zip(&state.energies) {
            *weight = retention * (*weight + energy);
        }
        Ok(())
    }

    /// w_j ← ρ ‖x_j‖² / (1 − ρ), the limit of w_j if every minibatch is like this one. A run that
    /// begins with memory in force has a learned dictionary. Without this weight, the first
    /// minibatch would make the run forget it.
    fn remember_the_start<B: SweepKernels>(
        &self,
        backend: &B,
        share: &Share<'_>,
        state: &mut KSvdState<B::Sweep>,
        codes: &B::Codes,
        retention: f64,
    ) -> Result<(), BackendError> {
        if self.memory.is_none() || retention <= 0.0 {
            return Ok(());
        }
        energies_of(backend, &state.sweep, share, codes, &mut state.energies)?;
        for (weight, energy) in state.weights.iter_mut().zip(&state.energies) {
            *weight = retention / (1.0 - retention) * energy;
        }
        Ok(())
    }
}

/// The sweeps of one update.
struct Sweeps<'a, B: SweepKernels> {
    backend: &'a B,
    share: &'a Share<'a>,
    config: &'a KSvd,
    /// ‖R‖², updated with each batch. Rounding is measured against it.
    error: f64,
    /// Errors below this are rounding of the samples themselves.
    floor: f64,
    samples: f64,
    dictionary: &'a mut B::Matrix,
    codes: &'a mut B::Codes,
    state: &'a mut KSvdState<B::Sweep>,
    /// The changes that a batch made to each shard of this owner.
    changes: [Change; MOST_SHARDS],
}

impl<B: SweepKernels> Sweeps<'_, B> {
    /// Updates all atoms in this order, in as many sweeps as the configuration says. Returns how
    /// many batches were undone.
    fn run(&mut self, order: &[u32]) -> Result<usize, BackendError> {
        // An atom that large samples need is held in place until a minibatch has such samples
        // again.
        let KSvdState { held, weights, use_counts, .. } = &mut *self.state;
        for ((held, &weight), &claim) in held.iter_mut().zip(&*weights).zip(use_counts.claims()) {
            *held = weight.max(claim);
        }
        // A batch size that was too large in the previous minibatch may be acceptable now.
        let most = self.config.atom_batch.min(self.state.shape.atoms);
        let mut size = (2 * self.state.batch).min(most);
        let mut undone = 0;
        for _ in 0..self.config.sweeps {
            let (mut done, mut limit) = (0, size);
            while done < order.len() {
                let batch = &order[done..(done + limit).min(order.len())];
                if self.update_batch(batch, done)? {
                    done += batch.len();
                } else {
                    limit = batch.len().div_ceil(2);
                    // A shorter last batch says nothing about batches of full size.
                    size = if batch.len() == size { limit } else { size };
                    undone += 1;
                }
            }
            self.backend.take_atoms(&mut self.state.sweep, self.dictionary, order)?;
        }
        self.state.batch = size;
        Ok(undone)
    }

    /// Updates one batch J of atoms, which starts at index `place` of the order: D'_J, X_J and R.
    /// Returns `false` if that would raise the error; everything is then unchanged.
    fn update_batch(&mut self, batch: &[u32], place: usize) -> Result<bool, BackendError> {
        self.find_directions(batch, place)?;
        let Self { backend, share, dictionary, codes, state, changes, .. } = self;
        let changes = &mut changes[..share.shards().len()];
        backend.exchange(&mut state.sweep, dictionary, codes, batch, place, changes)?;
        // One atom alone cannot raise the error, except by rounding: its direction lies between the
        // old and the best direction, on an arc along which ‖Eᵀd'‖ grows.
        if self.config.atom_rule == AtomRule::Shared || batch.len() == 1 {
            return Ok(true);
        }
        let change = self.share.sum_changes(&self.changes[..self.share.shards().len()])?;
        if self.accepts(&change) {
            self.error = (self.error + change.error).max(0.0);
            return Ok(true);
        }
        let Self { backend, dictionary, codes, state, .. } = self;
        backend.undo(&mut state.sweep, dictionary, codes, batch, place)?;
        Ok(false)
    }

    /// Finds D'_J from the samples of all owners.
    fn find_directions(&mut self, batch: &[u32], place: usize) -> Result<(), BackendError> {
        let Self { backend, share, dictionary, codes, state, .. } = self;
        let (sweep, held) = (&mut state.sweep, &state.held);
        if share.is_alone() {
            return backend.directions(sweep, dictionary, codes, held, batch, place);
        }
        let mut sums = DirectionSums::new(state.shape.dim, batch.len());
        let mut step = PowerStep { batch, place, number: 0 };
        loop {
            share.sum_directions(&mut sums, &mut |shards, sums| {
                backend.direction_sums(sweep, dictionary, codes, step, shards, sums)
            })?;
            if backend.directions_of(sweep, dictionary, held, step, &sums)? {
                return Ok(());
            }
            step.number += 1;
        }
    }

    /// Whether a batch raised the error by no more than rounding.
    fn accepts(&self, change: &Change) -> bool {
        // `share` is the part of the error that falls to the samples of this batch. `noise` is the
        // size to which rounding errors of inner products x (r·d) may add up if their signs are
        // random.
        let uses = change.uses as f64;
        let share = self.error * (uses / self.samples).min(1.0);
        let noise = B::Scalar::EPSILON * (change.energy * share / uses.max(1.0)).sqrt();
        change.error <= 64.0 * B::Scalar::EPSILON * share + 16.0 * noise + self.floor
    }
}
