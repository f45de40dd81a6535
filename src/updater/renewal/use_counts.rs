//! How often each atom is used, and how much large samples would lose without it.

use super::{Outcome, Renewal, Renewed, energies_of};
use crate::Scalar;
use crate::backend::SweepKernels;
use crate::error::{BackendError, Error};
use crate::updater::{SavedArray, SavedState};

/// Use counts and energies of every atom in the present window, and the claims of large samples,
/// which outlast the window.
#[derive(Debug)]
pub(in crate::updater) struct UseCounts {
    /// Uses since the last renewal.
    pub(super) uses: Vec<u64>,
    /// Σ x² of these uses.
    pub(super) energy: Vec<f64>,
    total: u64,
    /// How much the large samples of this window would lose without the atom.
    seen: Vec<f64>,
    /// How much large samples would lose without the atom, by all that is known. A claim outlasts
    /// windows without such samples.
    pub(super) claims: Vec<f64>,
    counted: Vec<u64>,
    rare: Vec<u32>,
    scratch: Vec<f64>,
}

impl UseCounts {
    pub(in crate::updater) fn new(atoms: usize) -> Self {
        Self {
            uses: vec![0; atoms],
            energy: vec![0.0; atoms],
            total: 0,
            seen: vec![0.0; atoms],
            claims: vec![0.0; atoms],
            counted: Vec::with_capacity(atoms),
            rare: Vec::with_capacity(atoms),
            scratch: Vec::with_capacity(atoms),
        }
    }

    /// Adds everything that must outlast a minibatch to the saved state.
    pub(in crate::updater) fn save<T: Scalar>(&self, saved: &mut SavedState<T>) {
        saved.insert("uses", SavedArray::U64(self.uses.clone()));
        saved.insert("energy of uses", SavedArray::F64(self.energy.clone()));
        saved.insert("large energy", SavedArray::F64(self.seen.clone()));
        saved.insert("claims", SavedArray::F64(self.claims.clone()));
    }

    /// Restores what [`save`](Self::save) added.
    pub(in crate::updater) fn restore<T: Scalar>(
        &mut self,
        saved: &SavedState<T>,
    ) -> Result<(), Error> {
        let atoms = self.uses.len();
        self.uses.copy_from_slice(saved.counts("uses", atoms)?);
        self.energy.copy_from_slice(saved.f64s("energy of uses", atoms)?);
        self.seen.copy_from_slice(saved.f64s("large energy", atoms)?);
        self.claims.copy_from_slice(saved.f64s("claims", atoms)?);
        self.total = self.uses.iter().sum();
        Ok(())
    }

    /// How much large samples would lose without each atom. In minibatches that hold none of them,
    /// this is the weight that holds the atom in place.
    pub(in crate::updater) fn claims(&self) -> &[f64] {
        &self.claims
    }

    /// Counts the uses in the codes that the coder made, and gives atoms to large samples that the
    /// codes represent badly.
    pub(in crate::updater) fn begin<B: SweepKernels>(
        &mut self,
        renewal: Option<&Renewal>,
        mut renewed: Renewed<'_, B>,
    ) -> Result<Outcome<B::Scalar>, BackendError> {
        let Some(renewal) = renewal else { return Ok(Outcome::default()) };
        self.count(&renewed)?;
        renewed.seat_large_samples(renewal, self)
    }

    /// Notes how much atoms explain of large samples, and renews atoms at the end of a window.
    pub(in crate::updater) fn renew<B: SweepKernels>(
        &mut self,
        renewal: Option<&Renewal>,
        mut renewed: Renewed<'_, B>,
    ) -> Result<Outcome<B::Scalar>, BackendError> {
        let Some(renewal) = renewal else { return Ok(Outcome::default()) };
        renewed.assess_large_uses(renewal, self)?;
        if self.mean() < renewal.window {
            return Ok(Outcome::default());
        }
        let typical = self.typical(renewal);
        let outcome = renewed.renew(renewal, self, typical)?;
        self.restart(typical);
        Ok(outcome)
    }

    fn count<B: SweepKernels>(&mut self, renewed: &Renewed<'_, B>) -> Result<(), BackendError> {
        let Renewed { backend, share, sweep, codes, .. } = renewed;
        let atoms = self.uses.len();
        self.counted.resize(atoms, 0);
        self.scratch.resize(atoms, 0.0);
        backend.uses(sweep, &mut self.counted)?;
        share.add_counts(&mut self.counted)?;
        energies_of(*backend, sweep, share, codes, &mut self.scratch)?;
        for j in 0..atoms {
            self.uses[j] += self.counted[j];
            self.energy[j] += self.scratch[j];
            self.total += self.counted[j];
        }
        Ok(())
    }

    /// Ends a window. A claim falls if the window held no sample that makes it, so that one large
    /// sample counts for several windows.
    fn restart(&mut self, typical: f64) {
        for (claim, seen) in self.claims.iter_mut().zip(&mut self.seen) {
            if *seen == 0.0 {
                *claim = (*claim - typical).max(0.0);
            }
            *seen = 0.0;
        }
        self.uses.fill(0);
        self.energy.fill(0.0);
        self.total = 0;
    }

    fn mean(&self) -> f64 {
        self.total as f64 / self.uses.len() as f64
    }

    /// The atoms that were used fewer than `uses` times since the last renewal.
    pub(super) fn used_less_than(&mut self, uses: f64) -> &[u32] {
        let rare = (0..).zip(&self.uses).filter(|(_, count)| (**count as f64) < uses);
        self.rare.clear();
        self.rare.extend(rare.map(|(atom, _)| atom));
        &self.rare
    }

    /// The mean uses of an atom in a whole window.
    pub(super) fn uses_in_a_window(&self, renewal: &Renewal) -> f64 {
        self.mean().max(renewal.window)
    }

    /// x² of the typical use: the median, over atoms, of the mean of x². A few large samples do not
    /// change it. It is infinite as long as nothing is used, so that nothing counts as large.
    pub(super) fn typical_use(&mut self) -> f64 {
        let used = self.uses.iter().zip(&self.energy).filter(|(uses, _)| **uses > 0);
        self.scratch.clear();
        self.scratch.extend(used.map(|(&uses, energy)| energy / uses as f64));
        let middle = self.scratch.len() / 2;
        if self.scratch.is_empty() {
            return f64::INFINITY;
        }
        let (_, &mut median, _) = self.scratch.select_nth_unstable_by(middle, f64::total_cmp);
        if median > 0.0 { median } else { f64::INFINITY }
    }

    /// Σ x² of the typical atom over a window.
    pub(super) fn typical(&mut self, renewal: &Renewal) -> f64 {
        self.uses_in_a_window(renewal) * self.typical_use()
    }

    /// How much would be lost without an atom, by all that is known.
    pub(super) fn worth(&self, atom: usize) -> f64 {
        self.energy[atom] + self.claims[atom]
    }

    /// An atom is dead if it is hardly used, unless large samples would lose at least as much
    /// without it as the typical atom explains.
    pub(super) fn is_dead(&self, renewal: &Renewal, typical: f64, atom: usize) -> bool {
        let least = (renewal.min_usage * self.mean()).max(1.0);
        (self.uses[atom] as f64) < least && self.claims[atom] < typical
    }

    /// Of two similar atoms, whether the first is the one to remove. This is the less used one or,
    /// if large samples need one of them, the one that explains less.
    pub(super) fn goes_first(&self, typical: f64, (i, j): (usize, usize)) -> bool {
        if self.claims[i].max(self.claims[j]) < typical {
            return self.uses[i] < self.uses[j];
        }
        self.worth(i) < self.worth(j)
    }

    /// Notes that the large samples of a minibatch that use `atom` would lose `lost` without it. If
    /// that is little, other atoms have learned to explain these samples, and the former claim
    /// ends.
    pub(super) fn note(&mut self, atom: usize, typical: f64, lost: f64) {
        self.seen[atom] += lost;
        let before = if lost < typical { 0.0 } else { self.claims[atom] };
        self.claims[atom] = before.max(self.seen[atom]);
    }

    /// The atom gets another direction. Its claim goes to `heir`, if there is one.
    pub(super) fn replace(&mut self, atom: usize, heir: Option<usize>) {
        self.total -= self.uses[atom];
        if let Some(heir) = heir {
            self.claims[heir] = self.claims[heir].max(self.claims[atom]);
        }
        self.uses[atom] = 0;
        self.energy[atom] = 0.0;
        self.seen[atom] = 0.0;
        self.claims[atom] = 0.0;
    }
}
