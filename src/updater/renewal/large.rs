//! Large samples: samples with many times the usual energy. Most minibatches do not hold any.
//!
//! ```text
//! before the sweeps, for each sample of which the coder left a large error:
//!     the atom that explains least ← the sample, of norm 1;  its code ← that atom alone
//! after them, for each large use of an atom that is used rarely:
//!     claim of the atom ← ‖y − what k steps of matching pursuit find without it‖² − ‖r‖²
//! ```
//! The first part keeps a large sample from pulling all atoms of its code towards itself, which
//! would spoil these atoms for the other samples. The second part distinguishes atoms that large
//! samples need from atoms that are only close to them. [`Renewal`] defines what is large.

use super::use_counts::UseCounts;
use super::{Outcome, Renewal, Renewed, Vacancy, first_alike};
use crate::backend::{LargeUse, SweepKernels};
use crate::error::BackendError;
use crate::group::Share;

/// An energy is large if it is at least this many times what k typical atoms explain in a window.
/// With a smaller factor, samples of a heavy-tailed distribution would get atoms of their own,
/// although atoms learned from many samples represent them better.
const LARGE: f64 = 10.0;

impl<B: SweepKernels> Renewed<'_, B> {
    /// Handles the large samples that the codes represent badly, the worst first: each gives its
    /// direction to the atom that explains least.
    pub(super) fn seat_large_samples(
        &mut self,
        renewal: &Renewal,
        use_counts: &mut UseCounts,
    ) -> Result<Outcome<B::Scalar>, BackendError> {
        let mut outcome = Outcome::default();
        let typical = use_counts.typical(renewal);
        let least = LARGE * self.shape.sparsity as f64 * typical;
        // A code may leave a larger error than the sample itself, since codes need not be fitted.
        // Even a zero sample can have an error, if an earlier group of atoms explained it
        // completely. Such samples are not large.
        let large = self.worst(least, 0.0)?;
        if large.is_empty() {
            return Ok(outcome);
        }
        let mut is_given = vec![false; self.shape.atoms];
        let mut given: Vec<Vec<B::Scalar>> = Vec::new();
        for (fresh, sample) in self.directions_of(&large)?.into_iter().zip(large) {
            // An atom that another large sample has just been given may represent this sample, too.
            let earlier = given.iter().map(Vec::as_slice);
            let alike = first_alike(earlier, &fresh, self.shape.sign, renewal.max_coherence);
            if let Some(place) = alike {
                self.code_by_one(sample, outcome.atoms[place])?;
                continue;
            }
            let free = |&j: &usize| use_counts.claims[j] < typical && !is_given[j];
            let atoms = (0..self.shape.atoms).filter(free);
            let Some(atom) =
                atoms.min_by(|&a, &b| use_counts.worth(a).total_cmp(&use_counts.worth(b)))
            else {
                break;
            };
            if use_counts.worth(atom) >= sample.it.error {
                break;
            }
            self.replace_atom(Vacancy { atom: atom as u32, heir: None }, &fresh, &mut outcome)?;
            given.push(fresh);
            is_given[atom] = true;
            outcome.replaced += 1;
            use_counts.replace(atom, None);
            self.code_by_one(sample, atom as u32)?;
        }
        Ok(outcome)
    }

    /// For rarely used atoms that large samples use, notes how much these samples would lose
    /// without them.
    pub(super) fn assess_large_uses(
        &self,
        renewal: &Renewal,
        use_counts: &mut UseCounts,
    ) -> Result<(), BackendError> {
        let (use_energy, in_a_window) =
            (use_counts.typical_use(), use_counts.uses_in_a_window(renewal));
        let large = LARGE * renewal.window * self.shape.sparsity as f64 * use_energy;
        if large == f64::INFINITY {
            return Ok(());
        }
        let (typical, often) = (in_a_window * use_energy, 0.5 * in_a_window);
        let (backend, y, dictionary) = (self.backend, self.samples, &*self.dictionary);
        let rare = use_counts.used_less_than(often);
        let uses = backend.large_uses(self.sweep, self.codes, rare, large)?;
        let coherence = renewal.max_coherence;
        let lost = backend.lost_without(self.sweep, y, dictionary, &uses, coherence, typical)?;
        note_losses(self.share, use_counts, typical, &uses, lost)
    }
}

/// Adds up, for each atom, what large samples of all owners would lose without it.
fn note_losses(
    share: &Share<'_>,
    use_counts: &mut UseCounts,
    typical: f64,
    uses: &[LargeUse],
    lost: Vec<f64>,
) -> Result<(), BackendError> {
    let atoms: Vec<u32> = uses.iter().map(|at| at.atom).collect();
    let (atoms, lost) = (share.concat(atoms)?, share.concat(lost)?);
    share.expect(lost.len(), atoms.len(), "losses of large uses")?;
    let mut all: Vec<(u32, f64)> = atoms.into_iter().zip(lost).collect();
    // The losses of an atom stay in the order of samples, since the sort is stable.
    all.sort_by_key(|&(atom, _)| atom);
    let mut parts = all.into_iter().peekable();
    while let Some((first, mut lost)) = parts.next() {
        while let Some((_, more)) = parts.next_if(|&(atom, _)| atom == first) {
            lost += more;
        }
        use_counts.note(first as usize, typical, lost);
    }
    Ok(())
}
