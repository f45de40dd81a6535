//! Online dictionary learning by sufficient statistics.
//!
//! ```text
//! t ← t + 1,  β ← forgetting at t
//! A ← βA + Σ x xᵀ                               m × m
//! B ← βB + Σ y xᵀ                               d × m
//! repeat `sweeps` times, for each atom j in the given order:
//!     u ← b_j − D a_j + A_jj d_j
//!     u ← max(u, 0)                             if atoms have no negative entries
//!     d_j ← u / ‖u‖                             unless A_jj or u is zero
//! renew atoms that died, and merge those that duplicate another
//! ```
//! Up to a constant, ½ tr(DᵀDA) − tr(DᵀB) is half the sum of the errors of all minibatches so far,
//! each with the codes it had at the time and with the weight that is left of it. The step on atom
//! j finds the minimiser over unit vectors with all other atoms fixed, so no step raises this sum.
//!
//! Departures from the paper, and why:
//! 1. Atoms have norm 1, while the paper projects on the ball ‖d‖ ≤ 1. The ball matters for an ℓ1
//!    penalty, which longer atoms would make smaller. Codes with a limited number of nonzeros do
//!    not depend on the length of an atom.
//! 2. Coefficients are kept, as in the paper, although the atoms have moved. So X is the
//!    least-squares solution for the new D only at a fixed point. The next minibatch is coded with
//!    the new dictionary in any case. Because of the statistics of earlier minibatches, the error
//!    of the present one may rise.
//! 3. The products D a_j are computed for a batch of atoms at once, and are updated as atoms of the
//!    batch move. This is the sequential descent, computed by matrix products ([`descent`]).
//! 4. When an atom is replaced, its part of the samples is removed from the statistics: B ← B − d_j
//!    a_jᵀ, then row and column j of A and column j of B are set to zero. The paper replaces atoms,
//!    too, but does not say what happens to their statistics.
//!
//! Reference: J. Mairal, F. Bach, J. Ponce & G. Sapiro, *Online dictionary learning for sparse
//! coding*, ICML 2009; *Online learning for matrix factorization and sparse coding*, JMLR 11, 2010.

mod config;
mod descent;

pub use config::{Forgetting, Online};

use faer::Mat;

use super::non_negative::project_atoms;
use super::renewal::{Renewal, Renewed, UseCounts};
use super::{
    DictionaryUpdater, SavedArray, SavedState, Started, Step, UpdateReport, begin, error_of,
};
use crate::Scalar;
use crate::backend::SweepRule;
use crate::cpu::HostBackend;
use crate::cpu::sweep::sums::{add_code_products, add_sample_products};
use crate::cpu::vector::loops;
use crate::error::{BackendError, Error};
use crate::matrix::zeros;
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};
use descent::Descent;

/// The data that [`Online`] keeps from minibatch to minibatch, and its scratch memory.
#[derive(Debug)]
pub struct OnlineState<B: HostBackend> {
    shape: ProblemShape,
    past: Past<B::Scalar>,
    sweep: B::Sweep,
    counts: Vec<u64>,
    descent: Descent<B::Scalar>,
}

/// All data that one minibatch leaves for the next.
#[derive(Debug)]
struct Past<T> {
    /// t, the number of minibatches.
    minibatches: u64,
    /// A.
    codes: Mat<T>,
    /// B.
    samples: Mat<T>,
    use_counts: UseCounts,
}

impl<B: HostBackend> DictionaryUpdater<B> for Online {
    type State = OnlineState<B>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.check_fields()
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let ProblemShape { dim, atoms, .. } = *shape;
        Ok(OnlineState {
            shape: *shape,
            past: Past {
                minibatches: 0,
                codes: zeros(atoms, atoms)?,
                samples: zeros(dim, atoms)?,
                use_counts: UseCounts::new(atoms),
            },
            sweep: backend.prepare_sweep(&SweepRule::new(1), shape)?,
            counts: vec![0; atoms],
            descent: Descent::new(dim, atoms)?,
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
        let OnlineState { shape, past, sweep, counts, descent } = state;
        let minibatch = (y, &*dictionary, &*codes);
        let Started { share, mut report, .. } =
            begin(backend, sweep, minibatch, shape, step, counts)?;
        let share = &share;
        share.expect_alone("online learning")?;
        let atom_sign = self.atom_sign;
        if project_atoms(backend, dictionary, atom_sign)? {
            backend.refresh(sweep, y, dictionary, codes)?;
        }
        let renewal = Renewal::in_effect(self.renewal.as_ref(), step.progress);
        let renewed =
            Renewed { backend, share, samples: y, dictionary, codes, sweep, shape, atom_sign };
        let seated = past.use_counts.begin(renewal, renewed)?;
        if !seated.atoms.is_empty() {
            backend.recount(sweep, codes)?;
        }
        for (&atom, former) in seated.atoms.iter().zip(&seated.former) {
            past.forget(atom as usize, former);
        }

        let index = &sweep.index;
        past.minibatches += 1;
        let retention = self.forgetting.retention_at(past.minibatches);
        rayon::join(
            || add_code_products(past.codes.as_mut(), retention, codes, index),
            || {
                let y = backend.view(y);
                add_sample_products(past.samples.as_mut(), retention, y, codes, index);
            },
        );
        let (a, b) = (past.codes.as_ref(), past.samples.as_ref());
        for _ in 0..self.sweeps {
            descent.sweep(backend.view_mut(dictionary), a, b, step.order, atom_sign);
        }

        backend.refresh(sweep, y, dictionary, codes)?;
        let renewed =
            Renewed { backend, share, samples: y, dictionary, codes, sweep, shape, atom_sign };
        let outcome = past.use_counts.renew(renewal, renewed)?;
        for (&atom, former) in outcome.atoms.iter().zip(&outcome.former) {
            past.forget(atom as usize, former);
        }
        (report.replaced, report.merged) = outcome.counts_with(&seated);
        report.error_after = error_of(backend, sweep, share)?;
        Ok(report)
    }

    fn save(&self, _: &B, state: &Self::State) -> Result<SavedState<B::Scalar>, BackendError> {
        let Past { minibatches, codes, samples, use_counts } = &state.past;
        let mut saved = SavedState::new();
        saved.insert("minibatches", SavedArray::U64(vec![*minibatches]));
        saved.insert_matrix("code products", codes.as_ref());
        saved.insert_matrix("sample products", samples.as_ref());
        use_counts.save(&mut saved);
        Ok(saved)
    }

    fn restore(
        &self,
        _: &B,
        state: &mut Self::State,
        saved: &SavedState<B::Scalar>,
    ) -> Result<(), Error> {
        let past = &mut state.past;
        past.minibatches = saved.counts("minibatches", 1)?[0];
        saved.restore_matrix("code products", past.codes.as_mut())?;
        saved.restore_matrix("sample products", past.samples.as_mut())?;
        past.use_counts.restore(saved)
    }

    fn parameters(&self) -> Parameters {
        let Self { forgetting, sweeps, renewal, atom_sign } = *self;
        let listed = Parameters::of("Online")
            .with("forgetting", forgetting)
            .with("sweeps", sweeps)
            .with("renewal", renewal);
        // A checkpoint that does not name it is of atoms of any sign.
        match atom_sign {
            Sign::Signed => listed,
            Sign::NonNegative => listed.with("atom_sign", atom_sign),
        }
    }
}

impl<T: Scalar> Past<T> {
    /// B ← B − d_j a_jᵀ; then the statistics of atom j become zero.
    fn forget(&mut self, j: usize, former: &[T]) {
        for l in 0..self.codes.ncols() {
            let product = self.codes[(l, j)];
            if product != T::zero() {
                loops::add(self.samples.col_as_slice_mut(l), -product, former);
            }
            self.codes[(j, l)] = T::zero();
        }
        self.codes.col_as_slice_mut(j).fill(T::zero());
        self.samples.col_as_slice_mut(j).fill(T::zero());
    }
}
