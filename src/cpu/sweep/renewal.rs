//! What a renewal of atoms reads and changes of a minibatch in this process's memory.

use faer::{Mat, MatRef};
use rayon::prelude::*;

use super::host::{HostSweep, square};
use crate::Scalar;
use crate::backend::{Candidate, LargeUse};
use crate::codes::SparseCodes;
use crate::cpu::vector::loops;
use crate::matrix::column;

impl<T: Scalar> HostSweep<T> {
    /// Samples by falling error: see [`SweepKernels::worst`](crate::backend::SweepKernels::worst).
    pub(crate) fn worst(&self, y: MatRef<'_, T>, least: f64, relative: f64) -> Vec<Candidate> {
        let candidate = |sample: usize| {
            let error = loops::energy(self.residual.col_as_slice(sample));
            if error < least {
                return None;
            }
            let energy = loops::energy(column(y, sample));
            let is_one = energy >= least && energy > 0.0 && error > relative * energy;
            is_one.then_some(Candidate { sample, error })
        };
        let all = 0..y.ncols();
        // Mostly there is none that is large, and nothing is allocated.
        if least > 0.0 && !all.clone().into_par_iter().any(|i| candidate(i).is_some()) {
            return Vec::new();
        }
        let mut candidates: Vec<Candidate> = all.into_par_iter().filter_map(candidate).collect();
        Candidate::sort(&mut candidates);
        candidates
    }

    /// Takes an atom out of every code that uses it, and brings the residuals up to date.
    pub(crate) fn vacate(
        &mut self,
        dictionary: &Mat<T>,
        codes: &mut SparseCodes<T>,
        atom: u32,
        heir: Option<u32>,
    ) {
        let old = dictionary.col_as_slice(atom as usize);
        for at in self.index.uses(atom as usize) {
            let i = at.sample as usize;
            let Some(x) = codes.remove(i, atom) else { continue };
            let r = self.residual.col_as_slice_mut(i);
            loops::axpy(r, x, old);
            if let Some(heir) = heir {
                let heir_atom = dictionary.col_as_slice(heir as usize);
                let c = self.shape.sign.project(loops::dot(r, heir_atom));
                if c != T::zero() {
                    loops::axpy(r, -c, heir_atom);
                    codes.add(i, heir, c);
                }
            }
        }
    }

    /// Codes a sample by one atom alone.
    pub(crate) fn code_by_one(
        &mut self,
        y: &Mat<T>,
        dictionary: &Mat<T>,
        codes: &mut SparseCodes<T>,
        i: usize,
        atom: u32,
    ) {
        let (sample, direction) = (y.col_as_slice(i), dictionary.col_as_slice(atom as usize));
        let c = self.shape.sign.project(loops::product(sample, direction));
        let r = self.residual.col_as_slice_mut(i);
        r.copy_from_slice(sample);
        loops::axpy(r, -c, direction);
        codes.set(i, &[atom], &[c]);
    }

    /// Uses of rare atoms with x² of at least `least`.
    pub(crate) fn large_uses(
        &self,
        codes: &SparseCodes<T>,
        rare: &[u32],
        least: f64,
    ) -> Vec<LargeUse> {
        let uses = |&atom: &u32| {
            let uses = self.index.uses(atom as usize).iter();
            let large = uses.filter(|at| square(codes, at) >= least);
            large.map(move |at| LargeUse { atom, sample: at.sample as usize })
        };
        rare.iter().flat_map(uses).collect()
    }

    /// By how much more would be left of each large sample: see
    /// [`SweepKernels::lost_without`](crate::backend::SweepKernels::lost_without).
    pub(crate) fn lost_without(
        &self,
        y: &Mat<T>,
        dictionary: &Mat<T>,
        uses: &[LargeUse],
        coherence: f64,
        typical: f64,
    ) -> Vec<f64> {
        let lost = |at: &LargeUse| {
            let own = dictionary.col_as_slice(at.atom as usize);
            let alike = |j: usize| {
                let cosine = loops::product(own, dictionary.col_as_slice(j));
                j == at.atom as usize || self.shape.sign.likeness(cosine) > coherence
            };
            let now = loops::energy(self.residual.col_as_slice(at.sample));
            let mut r = y.col_as_slice(at.sample).to_vec();
            let mut lost = loops::energy(&r) - now;
            for _ in 0..self.shape.sparsity {
                if lost < typical {
                    break;
                }
                let mut best = (T::zero(), 0);
                for j in 0..dictionary.ncols() {
                    let product = loops::product(&r, dictionary.col_as_slice(j));
                    let c = self.shape.sign.project(product);
                    if num_traits::Float::abs(c) > num_traits::Float::abs(best.0) && !alike(j) {
                        best = (c, j);
                    }
                }
                loops::axpy(&mut r, -best.0, dictionary.col_as_slice(best.1));
                lost = loops::energy(&r) - now;
            }
            lost.max(0.0)
        };
        uses.par_iter().map(lost).collect()
    }
}
