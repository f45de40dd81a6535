//! Care for atoms that died, or that duplicate another: both get the direction of a sample that is
//! badly represented.

mod census;
mod large;

pub(super) use census::Census;

use faer::{MatMut, MatRef};
use rayon::prelude::*;

use crate::backend::HostBackend;
use crate::codes::{AtomIndex, SparseCodes};
use crate::cpu::sweep::duplicates::{coherent_pairs, likeness};
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::matrix::{column, column_mut};
use crate::parameters::Parameters;
use crate::{Scalar, Sign};

/// When an atom counts as dead or duplicate, and how long atoms are renewed.
///
/// Uses are counted over windows in which atoms are used [`window`](Self::window) times on average,
/// however many minibatches that takes, so small minibatches do not condemn rare atoms.
///
/// # Rare, large samples
/// A sample with a hundred times the usual norm outweighs thousands of others, but most minibatches
/// do not hold it, so that uses alone would say that its atom is dead. What counts for such samples
/// is what would be lost. With k the budget, a *typical* atom is one that explains in each use what
/// the median atom does. A use is *large* if it is ten times what k typical atoms explain together
/// in [`window`](Self::window) uses each: that of a sample of some fourteen times the usual norm.
/// So is an error, but with the mean uses of an atom since the last renewal in place of the
/// window's, if they are more, as with large minibatches.
///
/// - A sample of which the coder left a large error gets, before atoms are updated, the atom that
///   explains least. Otherwise the update would tear all atoms of its code towards it.
/// - A rarely used atom that a large sample uses has a claim: by how much the error would rise if
///   the other atoms had to explain that sample. The claim falls with each window without such a
///   sample by what a typical atom explains, and the atom stays as long as it is above that: if it
///   explains, by the window, as much as a typical atom. It ends when the other atoms have learned
///   to explain the sample.
/// - While it waits, [`KSvd`](super::KSvd) and [`Mod`](super::Mod) hold an atom where it is: a
///   claim counts like the energy of earlier uses. [`Online`](super::Online) has its statistics.
///
/// Nothing of this happens, and learning has the same bits, where no sample is that large.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Renewal {
    /// An atom used less than this share of the mean over a window, or not at all, is dead, unless
    /// [large samples](Renewal#rare-large-samples) need it; at least 0 and below 1.
    pub min_usage: f64,
    /// Of two atoms with |cos| above this (cos, for non-negative codes) the less used is merged
    /// into the other, or, if large samples need either, the one that explains less; above 0, at
    /// most 1 (1 merges none).
    pub max_coherence: f64,
    /// Mean uses of an atom that make a window; positive.
    pub window: f64,
    /// Progress from which atoms are no longer renewed, so that the last newcomers get their time;
    /// in `0.0..=1.0`.
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
        Self { min_usage: 0.05, max_coherence: 0.98, window: 20.0, until: 0.9 }
    }
}

impl Renewal {
    /// What is to be done at this progress of learning, if anything.
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

/// What a renewal did.
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
    /// Takes in what was done before in the same update, for a report: an atom counts once.
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

/// An atom to be renewed, and the one that takes over its codes if it is a duplicate.
#[derive(Clone, Copy)]
struct Vacancy {
    atom: u32,
    heir: Option<u32>,
}

/// The matrices that a renewal works on.
pub(super) struct Renewed<'a, T: Scalar> {
    samples: MatRef<'a, T>,
    residual: MatMut<'a, T>,
    dictionary: MatMut<'a, T>,
    codes: &'a mut SparseCodes<T>,
    index: &'a AtomIndex,
    sign: Sign,
}

impl<'a, T: Scalar> Renewed<'a, T> {
    /// The matrices of a backend whose `residual` is Y − DX for the `codes` X that `index` lists.
    pub(super) fn new<B: HostBackend<Scalar = T>>(
        backend: &B,
        (y, residual, dictionary): (&'a B::Matrix, &'a mut B::Matrix, &'a mut B::Matrix),
        (codes, index): (&'a mut SparseCodes<T>, &'a AtomIndex),
        sign: Sign,
    ) -> Self {
        Self {
            samples: backend.view(y),
            residual: backend.view_mut(residual),
            dictionary: backend.view_mut(dictionary),
            codes,
            index,
            sign,
        }
    }
}

impl<T: Scalar> Renewed<'_, T> {
    /// Gives each dead or duplicate atom the direction of a sample, the worst represented first.
    /// Atoms for which no sample is left that is badly represented, and unlike those already
    /// taken, stay.
    fn renew(&mut self, renewal: &Renewal, census: &mut Census, typical: f64) -> Outcome<T> {
        let vacancies = self.vacancies(renewal, census, typical);
        let mut outcome = Outcome::default();
        if vacancies.is_empty() {
            return outcome;
        }
        let candidates = self.worst_represented();
        let mut candidates = candidates.into_iter();
        let mut taken: Vec<Vec<T>> = Vec::new();
        for vacancy in vacancies {
            let fresh = candidates.find_map(|i| {
                let mut sample = column(self.samples, i).to_vec();
                loops::normalize(&mut sample);
                let alike = |other: &Vec<T>| {
                    let cosine = loops::product(other, &sample);
                    likeness(cosine, self.sign) > renewal.max_coherence
                };
                (!taken.iter().any(alike)).then_some(sample)
            });
            let Some(fresh) = fresh else { break };
            self.vacate(vacancy);
            let atom = column_mut(self.dictionary.as_mut(), vacancy.atom as usize);
            outcome.former.push(atom.to_vec());
            atom.copy_from_slice(&fresh);
            taken.push(fresh);
            outcome.atoms.push(vacancy.atom);
            census.replace(vacancy.atom as usize, vacancy.heir.map(|heir| heir as usize));
            match vacancy.heir {
                None => outcome.replaced += 1,
                Some(_) => outcome.merged += 1,
            }
        }
        outcome
    }

    /// Dead atoms, then of each pair of duplicates the one that is needed less.
    fn vacancies(&self, renewal: &Renewal, census: &Census, typical: f64) -> Vec<Vacancy> {
        let atoms = self.dictionary.ncols();
        let mut vacant = vec![false; atoms];
        let mut vacancies = Vec::new();
        for (j, vacant) in vacant.iter_mut().enumerate() {
            *vacant = census.is_dead(renewal, typical, j);
            if *vacant {
                vacancies.push(Vacancy { atom: j as u32, heir: None });
            }
        }
        for (i, j) in coherent_pairs(self.dictionary.as_ref(), renewal.max_coherence, self.sign) {
            if vacant[i as usize] || vacant[j as usize] {
                continue;
            }
            let pair = (i as usize, j as usize);
            let (atom, heir) = if census.goes_first(typical, pair) { (i, j) } else { (j, i) };
            vacant[atom as usize] = true;
            vacancies.push(Vacancy { atom, heir: Some(heir) });
        }
        // An heir may be merged itself: codes go to the one that stays in the end.
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

    /// Samples by falling error, without those that are represented to rounding, and without zero
    /// ones: they may still have a code, where an earlier group of atoms took all that there was.
    fn worst_represented(&self) -> Vec<usize> {
        let (residual, samples) = (self.residual.as_ref(), self.samples);
        let mut candidates: Vec<(f64, usize)> = (0..samples.ncols())
            .into_par_iter()
            .filter_map(|i| {
                let error = loops::energy(column(residual, i));
                let energy = loops::energy(column(samples, i));
                (energy > 0.0 && error > 16.0 * T::EPSILON * energy).then_some((error, i))
            })
            .collect();
        candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        candidates.into_iter().map(|(_, i)| i).collect()
    }

    /// Takes an atom out of every code that uses it, and brings the residuals up to date. A
    /// duplicate's heir takes its place: c ← r·d_heir.
    fn vacate(&mut self, vacancy: Vacancy) {
        let dictionary = self.dictionary.as_ref();
        let old = column(dictionary, vacancy.atom as usize);
        for at in self.index.uses(vacancy.atom as usize) {
            let i = at.sample as usize;
            let Some(x) = self.codes.remove(i, vacancy.atom) else { continue };
            let r = column_mut(self.residual.as_mut(), i);
            loops::axpy(r, x, old);
            if let Some(heir) = vacancy.heir {
                let heir_atom = column(dictionary, heir as usize);
                let c = self.sign.project(loops::dot(r, heir_atom));
                if c != T::zero() {
                    loops::axpy(r, -c, heir_atom);
                    self.codes.add(i, heir, c);
                }
            }
        }
    }
}
