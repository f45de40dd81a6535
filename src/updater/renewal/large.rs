//! Large samples, of many times the usual energy, which most minibatches do not hold.
//!
//! ```text
//! before the sweeps, for each sample of which the coder left a large error:
//!     the atom that explains least ← the sample, of norm 1;  its code ← that atom alone
//! after them, for each large use of an atom that is used rarely:
//!     claim of the atom ← ‖y − what k steps of matching pursuit find without it‖² − ‖r‖²
//! ```
//! The first keeps a large sample from tearing all atoms of its code towards itself, so that they
//! would be lost to the other samples. The second tells atoms that large samples need from those
//! that merely lie close to them. [`Renewal`] says in words what is large.

use rayon::prelude::*;

use super::census::{Census, square};
use super::{Outcome, Renewal, Renewed, Vacancy, likeness};
use crate::Scalar;
use crate::cpu::vector::loops;
use crate::matrix::{column, column_mut};

/// How many times what k typical atoms explain in a window is large. Less, and samples of a
/// heavy-tailed distribution would be given atoms that are better learned from many of them.
const LARGE: f64 = 10.0;

/// A use of a rare atom by a large sample.
struct LargeUse {
    atom: usize,
    sample: usize,
}

impl<T: Scalar> Renewed<'_, T> {
    /// Gives each large sample of which much is left the direction of the atom that explains
    /// least, the worst represented sample first.
    pub(super) fn seat_large_samples(
        &mut self,
        renewal: &Renewal,
        census: &mut Census,
    ) -> Outcome<T> {
        let mut outcome = Outcome::default();
        let typical = census.typical(renewal);
        let least = LARGE * self.codes.sparsity() as f64 * typical;
        let residual = self.residual.as_ref();
        // Codes need not be fitted, and may leave more of a sample than there is of it: of a zero
        // one, too, where an earlier group of atoms took all. Such a sample is none that is large.
        let samples = self.samples;
        let large_error = |i: usize| {
            let error = loops::energy(column(residual, i));
            (error >= least && loops::energy(column(samples, i)) >= least).then_some((error, i))
        };
        let all = 0..samples.ncols();
        // Mostly there is none, and nothing is allocated.
        if !all.clone().into_par_iter().any(|i| large_error(i).is_some()) {
            return outcome;
        }
        let mut large: Vec<(f64, usize)> = all.into_par_iter().filter_map(large_error).collect();
        large.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut is_given = vec![false; self.dictionary.ncols()];
        for (error, i) in large {
            let mut fresh = column(self.samples, i).to_vec();
            loops::normalize(&mut fresh);
            let alike = |&&atom: &&u32| {
                let other = column(self.dictionary.as_ref(), atom as usize);
                likeness(loops::product(other, &fresh), self.sign) > renewal.max_coherence
            };
            // One that was given an atom a moment ago may serve this one as well.
            if let Some(&atom) = outcome.atoms.iter().find(alike) {
                self.code_by_one(i, atom);
                continue;
            }
            let free = |&j: &usize| census.claims[j] < typical && !is_given[j];
            let atoms = (0..self.dictionary.ncols()).filter(free);
            let Some(atom) = atoms.min_by(|&a, &b| census.worth(a).total_cmp(&census.worth(b)))
            else {
                break;
            };
            if census.worth(atom) >= error {
                break;
            }
            self.vacate(Vacancy { atom: atom as u32, heir: None });
            let place = column_mut(self.dictionary.as_mut(), atom);
            outcome.former.push(place.to_vec());
            place.copy_from_slice(&fresh);
            outcome.atoms.push(atom as u32);
            is_given[atom] = true;
            outcome.replaced += 1;
            census.replace(atom, None);
            self.code_by_one(i, atom as u32);
        }
        outcome
    }

    /// Codes a sample by one atom alone.
    fn code_by_one(&mut self, i: usize, atom: u32) {
        let sample = column(self.samples, i);
        let direction = column(self.dictionary.as_ref(), atom as usize);
        let c = self.sign.project(loops::product(sample, direction));
        let r = column_mut(self.residual.as_mut(), i);
        r.copy_from_slice(sample);
        loops::axpy(r, -c, direction);
        self.codes.set(i, &[atom], &[c]);
    }

    /// Notes what large samples would lose without the rarely used atoms that they use.
    pub(super) fn assess_large_uses(&self, renewal: &Renewal, census: &mut Census) {
        let (use_energy, in_a_window) = (census.typical_use(), census.uses_in_a_window(renewal));
        let large = LARGE * renewal.window * self.codes.sparsity() as f64 * use_energy;
        let (typical, often) = (in_a_window * use_energy, 0.5 * in_a_window);
        let rare = (0..self.dictionary.ncols()).filter(|&j| (census.uses[j] as f64) < often);
        let uses: Vec<LargeUse> = rare
            .flat_map(|atom| self.index.uses(atom).iter().map(move |at| (atom, at)))
            .filter(|(_, at)| square(self.codes, at) >= large)
            .map(|(atom, at)| LargeUse { atom, sample: at.sample as usize })
            .collect();
        let lost: Vec<f64> =
            uses.par_iter().map(|at| self.lost_without(renewal, typical, at)).collect();
        let mut parts = uses.iter().zip(lost).peekable();
        while let Some((first, mut lost)) = parts.next() {
            while let Some((_, more)) = parts.next_if(|(at, _)| at.atom == first.atom) {
                lost += more;
            }
            census.note(first.atom, typical, lost);
        }
    }

    /// By how much more of a sample would be left if neither the atom of a use nor any that is
    /// alike were there: the others by matching pursuit, as far as it takes to show that more than
    /// `typical` would be.
    fn lost_without(&self, renewal: &Renewal, typical: f64, at: &LargeUse) -> f64 {
        let dictionary = self.dictionary.as_ref();
        let own = column(dictionary, at.atom);
        let alike = |j: usize| {
            let cosine = loops::product(own, column(dictionary, j));
            j == at.atom || likeness(cosine, self.sign) > renewal.max_coherence
        };
        let now = loops::energy(column(self.residual.as_ref(), at.sample));
        let mut r = column(self.samples, at.sample).to_vec();
        let mut lost = loops::energy(&r) - now;
        for _ in 0..self.codes.sparsity() {
            if lost < typical {
                break;
            }
            let mut best = (T::zero(), 0);
            for j in 0..dictionary.ncols() {
                let c = self.sign.project(loops::product(&r, column(dictionary, j)));
                if num_traits::Float::abs(c) > num_traits::Float::abs(best.0) && !alike(j) {
                    best = (c, j);
                }
            }
            loops::axpy(&mut r, -best.0, column(dictionary, best.1));
            lost = loops::energy(&r) - now;
        }
        lost.max(0.0)
    }
}
