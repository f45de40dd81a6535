//! Renewal of atoms that are dead or that duplicate another: they get the direction of a sample
//! that the codes represent badly.

mod large;
mod use_counts;

pub(super) use use_counts::UseCounts;

use std::collections::VecDeque;

use super::non_negative::take_out_negatives;
use crate::Scalar;
use crate::backend::{Candidate, SweepKernels};
use crate::cpu::vector::outlined;
use crate::error::{BackendError, Error};
use crate::group::Share;
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};

/// Candidates whose samples are fetched at a time.
const CANDIDATES: usize = 64;

/// Likeness above which two directions count as one, unless a renewal says otherwise.
pub(crate) const MOST_ALIKE: f64 = 0.98;

/// The first of the directions that were `taken` whose likeness with a new one, a sample that is
/// badly represented, is above `most_alike`: one atom would do for both. All have norm 1.
pub(crate) fn first_alike<'a, T: Scalar>(
    taken: impl IntoIterator<Item = &'a [T]>,
    direction: &[T],
    sign: Sign,
    most_alike: f64,
) -> Option<usize> {
    taken
        .into_iter()
        .position(|other| sign.likeness(outlined::product(other, direction)) > most_alike)
}

/// When an atom counts as dead or as a duplicate, and how long atoms are renewed.
///
/// Uses are counted over windows. A window lasts until atoms have been used
/// [`window`](Self::window) times on average, however many minibatches that takes. So with small
/// minibatches, rare atoms do not count as dead.
///
/// # Rare, large samples
/// A sample with a hundred times the usual norm outweighs thousands of others. But most minibatches
/// do not hold it, so by the number of uses its atom would be dead. For such samples, the decision
/// depends on what would be lost without the atom.
///
/// With k the budget, a *typical* atom explains in each use what the median atom explains. A use is
/// *large* if it explains at least ten times what k typical atoms explain together in
/// [`window`](Self::window) uses each. That is the use of a sample of about fourteen times the
/// usual norm. The same limit holds for a *large error*, except that it counts the mean uses of an
/// atom since the last renewal instead of the window's if they are more, as with large minibatches.
///
/// - If the coder left a large error of a sample, the sample gets the atom that explains least,
///   before atoms are updated. Otherwise the update would pull all atoms of its code towards it.
/// - A rarely used atom that a large sample uses has a *claim*: the amount by which the error would
///   rise if the other atoms had to explain that sample. In each window without such a sample, the
///   claim falls by what a typical atom explains in a window. The atom is kept as long as its claim
///   is at least that much, which means that per window it explains as much as a typical atom. The
///   claim ends when the other atoms have learned to explain the sample.
/// - Until such a sample comes again, [`KSvd`](super::KSvd) and [`Mod`](super::Mod) hold the atom
///   in place: a claim counts like the energy of earlier uses. [`Online`](super::Online) holds it
///   by its statistics.
///
/// If no sample is that large, these rules do nothing, and learning has the same bits as without
/// them.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::updater::{KSvd, Renewal};
///
/// let data = Planted::new(16, 32, 3, 2000).generate::<f32>()?;
/// // Atoms with less than a fifth of the mean usage are replaced.
/// let renewal = Renewal { min_usage: 0.2, ..Renewal::default() };
/// let learner = DbKsvd::builder(64, 3).epochs(4).updater(KSvd::new().renewal(Some(renewal)));
/// let (_, report) = learner.build()?.fit(&data.samples)?;
/// let replaced: usize = report.epochs.iter().map(|epoch| epoch.replaced).sum();
/// println!("{replaced} atoms were replaced");
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Renewal {
    /// An atom is dead if, over a window, it is used less often than this share of the mean, or not
    /// at all, unless [large samples](Renewal#rare-large-samples) need it. At least 0 and below 1.
    pub min_usage: f64,
    /// Two atoms with a |cos| above this (for non-negative codes, a cos above this) are duplicates.
    /// The less used one is merged into the other or, if large samples need one of them, the one
    /// that explains less. Above 0 and at most 1 (1 merges none).
    pub max_coherence: f64,
    /// Mean number of uses of an atom in a window; positive.
    pub window: f64,
    /// Progress from which atoms are no longer renewed, so that the last new atoms have time to be
    /// learned; in `0.0..=1.0`.
    pub until: f64,
}

impl From<Renewal> for Parameters {
    fn from(renewal: Renewal) -> Self {
        let Renewal { min_usage, max_coherence, window, until } = renewal;
        Self::of("renewal")
            .with("min_usage", min_usage)
            .with("max_coherence", max_coherence)
            .with("window", window)
            .with("until", until)
    }
}

impl Default for Renewal {
    fn default() -> Self {
        Self { min_usage: 0.05, max_coherence: MOST_ALIKE, window: 20.0, until: 0.9 }
    }
}

impl Renewal {
    /// The renewal that applies at this progress of learning, if there is one.
    pub(super) fn in_effect(renewal: Option<&Self>, progress: f64) -> Option<&Self> {
        renewal.filter(|renewal| progress < renewal.until)
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        let Self { min_usage, max_coherence, window, until } = *self;
        if !(0.0..1.0).contains(&min_usage) {
            return Err(Error::argument("min_usage", min_usage, "at least 0 and below 1"));
        }
        if !(max_coherence > 0.0 && max_coherence <= 1.0) {
            return Err(Error::argument("max_coherence", max_coherence, "above 0, at most 1"));
        }
        if !(window.is_finite() && window > 0.0) {
            return Err(Error::argument("window", window, "a positive, finite number of uses"));
        }
        if !(0.0..=1.0).contains(&until) {
            return Err(Error::argument("until", until, "0 to 1"));
        }
        Ok(())
    }
}

/// The changes that a renewal made.
#[derive(Debug)]
pub(super) struct Outcome<T> {
    /// The atoms that have a new direction.
    pub(super) atoms: Vec<u32>,
    /// The directions that they had.
    pub(super) former: Vec<Vec<T>>,
    pub(super) replaced: usize,
    pub(super) merged: usize,
}

impl<T> Outcome<T> {
    /// The numbers of replaced and of merged atoms, together with an earlier outcome of the same
    /// update. An atom that both replaced counts once.
    pub(super) fn counts_with(&self, earlier: &Self) -> (usize, usize) {
        let again = earlier.atoms.iter().filter(|atom| self.atoms.contains(atom)).count();
        (earlier.replaced + self.replaced - again, self.merged)
    }
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self { atoms: Vec::new(), former: Vec::new(), replaced: 0, merged: 0 }
    }
}

/// An atom to be renewed and, if it is a duplicate, the atom that takes over its codes.
#[derive(Clone, Copy)]
struct Vacancy {
    atom: u32,
    heir: Option<u32>,
}

/// A value, and the owner of the minibatch that holds it.
#[derive(Clone, Copy)]
struct Held<V> {
    owner: usize,
    it: V,
}

/// ‖x_j‖² of every atom, over the samples of all owners.
pub(super) fn energies_of<B: SweepKernels>(
    backend: &B,
    sweep: &B::Sweep,
    share: &Share<'_>,
    codes: &B::Codes,
    energies: &mut [f64],
) -> Result<(), BackendError> {
    share.sum_numbers(energies, &mut |shards, energies| {
        backend.energies(sweep, codes, shards, energies)
    })
}

/// A minibatch with its codes and the dictionary, whose atoms a renewal may replace.
pub(super) struct Renewed<'a, B: SweepKernels> {
    pub(super) backend: &'a B,
    /// The shards of these samples, and the group of owners that hold the others.
    pub(super) share: &'a Share<'a>,
    pub(super) samples: &'a B::Matrix,
    pub(super) dictionary: &'a mut B::Matrix,
    pub(super) codes: &'a mut B::Codes,
    /// R = Y − DX, and which samples use each atom.
    pub(super) sweep: &'a mut B::Sweep,
    pub(super) shape: &'a ProblemShape,
    /// The sign of the entries of atoms.
    pub(super) atom_sign: Sign,
}

impl<B: SweepKernels> Renewed<'_, B> {
    /// Gives each dead or duplicate atom the direction of a sample, beginning with the sample that
    /// is represented worst. An atom stays as it is if no badly represented sample is left that
    /// differs from the samples already taken.
    fn renew(
        &mut self,
        renewal: &Renewal,
        use_counts: &mut UseCounts,
        typical: f64,
    ) -> Result<Outcome<B::Scalar>, BackendError> {
        let vacancies = self.vacancies(renewal, use_counts, typical)?;
        let mut outcome = Outcome::default();
        if vacancies.is_empty() {
            return Ok(outcome);
        }
        // Samples that are represented to rounding are left out, and so are zero samples. A zero
        // sample can have a code if an earlier group of atoms explained all of it.
        let rounding = 16.0 * B::Scalar::EPSILON;
        let candidates = self.worst(0.0, rounding)?;
        let mut candidates = candidates.chunks(CANDIDATES);
        let mut fetched: VecDeque<Vec<B::Scalar>> = VecDeque::new();
        let mut taken: Vec<Vec<B::Scalar>> = Vec::new();
        for vacancy in vacancies {
            let is_alike = |sample: &[B::Scalar]| {
                let taken = taken.iter().map(Vec::as_slice);
                first_alike(taken, sample, self.shape.sign, renewal.max_coherence).is_some()
            };
            let fresh = loop {
                match fetched.pop_front() {
                    Some(sample) if is_alike(&sample) => {}
                    Some(sample) => break Some(sample),
                    None => match candidates.next() {
                        Some(more) => fetched.extend(self.directions_of(more)?),
                        None => break None,
                    },
                }
            };
            let Some(fresh) = fresh else { break };
            self.replace_atom(vacancy, &fresh, &mut outcome)?;
            taken.push(fresh);
            use_counts.replace(vacancy.atom as usize, vacancy.heir.map(|heir| heir as usize));
            match vacancy.heir {
                None => outcome.replaced += 1,
                Some(_) => outcome.merged += 1,
            }
        }
        Ok(outcome)
    }

    /// The samples that [`SweepKernels::worst`] returns, of all owners together, by falling error.
    fn worst(&self, least: f64, relative: f64) -> Result<Vec<Held<Candidate>>, BackendError> {
        let own = self.backend.worst(self.sweep, self.samples, least, relative)?;
        all_candidates(self.share, own)
    }

    /// The samples of these candidates, of the sign of atoms and scaled to norm 1.
    fn directions_of(
        &self,
        candidates: &[Held<Candidate>],
    ) -> Result<Vec<Vec<B::Scalar>>, BackendError> {
        let wanted = candidates.iter().map(|candidate| (candidate.owner, candidate.it.sample));
        let wanted: Vec<(usize, usize)> = wanted.collect();
        let mut samples =
            self.share.columns(self.backend, self.samples, self.shape.dim, &wanted)?;
        for sample in &mut samples {
            if self.atom_sign == Sign::NonNegative {
                take_out_negatives(sample);
            }
            outlined::normalize(sample);
        }
        Ok(samples)
    }

    /// Removes an atom from all codes, and gives it a new direction.
    fn replace_atom(
        &mut self,
        vacancy: Vacancy,
        fresh: &[B::Scalar],
        outcome: &mut Outcome<B::Scalar>,
    ) -> Result<(), BackendError> {
        let Self { backend, sweep, dictionary, codes, .. } = self;
        backend.vacate(sweep, dictionary, codes, vacancy.atom, vacancy.heir)?;
        let former = backend.download_columns(dictionary, &[vacancy.atom as usize])?;
        outcome.former.push(former.col(0).iter().copied().collect());
        outcome.atoms.push(vacancy.atom);
        backend.upload_column(fresh, dictionary, vacancy.atom as usize)
    }

    /// Codes a sample by one atom alone.
    fn code_by_one(&mut self, sample: Held<Candidate>, atom: u32) -> Result<(), BackendError> {
        let Self { backend, share, samples, dictionary, codes, sweep, .. } = self;
        if sample.owner != share.rank() {
            return Ok(());
        }
        backend.code_by_one(sweep, samples, dictionary, codes, sample.it.sample, atom)
    }

    /// The dead atoms, followed by one atom of each pair of duplicates: the one that is needed
    /// less.
    fn vacancies(
        &self,
        renewal: &Renewal,
        use_counts: &UseCounts,
        typical: f64,
    ) -> Result<Vec<Vacancy>, BackendError> {
        let (threshold, sign) = (renewal.max_coherence, self.shape.sign);
        let pairs = self.backend.coherent_pairs(self.dictionary, threshold, sign)?;
        Ok(vacancies(renewal, use_counts, typical, &pairs))
    }
}

/// The dead atoms, followed by one atom of each of these pairs of duplicates: the one that is
/// needed less.
fn vacancies(
    renewal: &Renewal,
    use_counts: &UseCounts,
    typical: f64,
    pairs: &[(u32, u32)],
) -> Vec<Vacancy> {
    let atoms = use_counts.uses.len();
    let mut vacant = vec![false; atoms];
    let mut vacancies = Vec::new();
    for (j, vacant) in vacant.iter_mut().enumerate() {
        *vacant = use_counts.is_dead(renewal, typical, j);
        if *vacant {
            vacancies.push(Vacancy { atom: j as u32, heir: None });
        }
    }
    for &(i, j) in pairs {
        if vacant[i as usize] || vacant[j as usize] {
            continue;
        }
        let pair = (i as usize, j as usize);
        let (atom, heir) = if use_counts.goes_first(typical, pair) { (i, j) } else { (j, i) };
        vacant[atom as usize] = true;
        vacancies.push(Vacancy { atom, heir: Some(heir) });
    }
    // An heir may be merged itself. Codes go to the atom that stays in the end.
    let mut heirs: Vec<Option<u32>> = vec![None; atoms];
    for vacancy in &vacancies {
        heirs[vacancy.atom as usize] = vacancy.heir;
    }
    for vacancy in &mut vacancies {
        while let Some(next) = vacancy.heir.and_then(|heir| heirs[heir as usize]) {
            vacancy.heir = Some(next);
        }
    }
    vacancies
}

/// The candidates of all owners, by falling error. Each owner gives its own in that order.
fn all_candidates(
    share: &Share<'_>,
    own: Vec<Candidate>,
) -> Result<Vec<Held<Candidate>>, BackendError> {
    if share.is_alone() {
        return Ok(own.into_iter().map(|it| Held { owner: 0, it }).collect());
    }
    let (errors, samples): (Vec<f64>, Vec<u64>) =
        own.iter().map(|candidate| (candidate.error, candidate.sample as u64)).unzip();
    let (errors, samples) = (share.gather(&errors)?, share.gather(&samples)?);
    let mut all = Vec::new();
    for (owner, (errors, samples)) in errors.iter().zip(&samples).enumerate() {
        share.expect(samples.len(), errors.len(), "numbers of candidates")?;
        all.extend(errors.iter().zip(samples).map(|(&error, &sample)| Held {
            owner,
            it: Candidate { sample: sample as usize, error },
        }));
    }
    // Equal errors stay in the order of owners, and so of samples, since the sort is stable.
    all.sort_by(|a, b| b.it.error.total_cmp(&a.it.error));
    Ok(all)
}
