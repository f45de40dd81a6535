//! An updater that leaves some atoms as they are, while another updater changes the others.
//!
//! ```text
//! F: the fixed atoms; L: those that learn
//! for each j ∈ L with |d_j·d_f| > μ for an f ∈ F, for each sample that uses j:      a copy
//!     r ← r + x_j d_j,  leave out j;   c ← r·d_f + x_f,  r ← r + (x_f − c) d_f,  x_f ← c
//! T ← Y − D_F X_F,  or 0 for samples of which rounding alone is left
//! D_L, X_L ← the inner updater, on the samples T
//! R ← T − D_L X_L
//! for each sample, for each f ∈ F that it uses:
//!     c ← r·d_f + x_f,  r ← r + (x_f − c) d_f,  x_f ← c
//! ```
//! The inner updater sees a smaller dictionary, on what the fixed atoms leave of the samples. Its
//! residual is that of all atoms, so atoms learn as if the fixed ones were among them, and nothing
//! that it does (steps, decorrelation, renewal, merges) can reach a fixed atom. The last loop is
//! phase (b) of K-SVD for atoms whose direction stays.
//!
//! A copy of a fixed atom is of no use, but the inner updater cannot know this. So its uses go to
//! the fixed atom. Without uses it is dead, and the inner updater's renewal gives it another
//! direction and forgets what it knows of the old one.

mod coefficients;

use rayon::prelude::*;

use super::renewal::{MOST_ALIKE, Renewal};
use super::{DictionaryUpdater, SavedState, Step, UpdateReport, squared_norm_of};
use crate::Scalar;
use crate::coder::matryoshka::Target;
use crate::codes::SparseCodes;
use crate::cpu::HostBackend;
use crate::cpu::vector::loops;
use crate::error::{BackendError, Error};
use crate::group::Share;
use crate::matrix::column;
use crate::parameters::Parameters;
use crate::problem::ProblemShape;
use coefficients::{give_to_originals, refit};

/// Samples whose codes one task takes apart, puts together, or refits.
const SAMPLES_A_TASK: usize = 64;

/// Keeps a list of atoms bit by bit as they are, while `updater` changes all others.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | updater | given | | updates the atoms that are not fixed |
/// | atoms | given | below m, each once, fewer than m | the fixed atoms |
/// | [`max_coherence`](Self::max_coherence) | 0.98 | above 0, ≤ 1 | \|cos\| with a fixed atom above which an atom is its copy |
/// | [`until`](Self::until) | 0.9 | 0 to 1 | progress from which copies are no longer told |
///
/// Use it for atoms that are known (directions of probes, a constant, the atoms of an earlier
/// model) and are to be completed by others. [`Initialisation::Given`] says what the fixed atoms
/// are; atoms that it does not give are drawn from the samples, after those that it gives. A fixed
/// atom that has norm 1 to rounding has the same bits in the model; another is scaled to norm 1
/// before the first step. Coefficients of fixed atoms are refitted after the others'.
///
/// An atom that learns is never merged with a fixed one by the inner updater. Instead, the codes of
/// an atom that is a copy of a fixed one are given to the fixed one, so that the inner updater
/// finds the copy unused, and replaces it if it [renews](Renewal) atoms. With a dictionary that
/// [grows](crate::learn::Growth), fixed atoms must be among the samples that it begins with.
///
/// Wrappers inside and outside differ. `Fixed::new(Incoherent::new(KSvd::new(), 0.5), …)` bounds
/// the coherence of the atoms that learn. `Incoherent::new(Fixed::new(KSvd::new(), …), 0.5)` bounds
/// that of all pairs but those of two fixed atoms, of which neither can move. In
/// [`MatryoshkaUpdates`](super::MatryoshkaUpdates), every group has an inner updater and a list of
/// its own, counted from the first atom of the group.
///
/// An inner updater that does not renew atoms wants `max_coherence(1.0)`, since a copy without
/// codes would stay unused. Its [`atom_sign`](super::KSvd::atom_sign) does not hold for fixed
/// atoms.
///
/// Complexity: that of the inner updater, one product with the codes, 4·d for each use of a fixed
/// atom, and |F|·d·m for copies. Memory: that of the inner updater for m − |F| atoms, 3·d·N for the
/// minibatch, d·m, and a copy of the codes. If no atom is fixed, it is the inner updater.
///
/// ```
/// use dbksvd::synthetic::Planted;
/// use dbksvd::updater::{Fixed, KSvd};
/// use dbksvd::{DbKsvd, Dictionary, Initialisation};
///
/// let data = Planted::new(16, 24, 2, 800).generate::<f32>()?;
/// // Two atoms are known; the other 22 are learned.
/// let known = data.dictionary.as_mat().subcols(0, 2).to_owned();
/// let learner = DbKsvd::builder(24, 2)
///     .initialisation(Initialisation::Given(Dictionary::new(known.clone())?))
///     .updater(Fixed::new(KSvd::new(), [0, 1]))
///     .epochs(4)
///     .build()?;
/// let (model, _) = learner.fit(&data.samples)?;
/// assert_eq!(model.dictionary().atom(1), known.col_as_slice(1));
/// # Ok::<(), dbksvd::Error>(())
/// ```
///
/// [`Initialisation::Given`]: crate::Initialisation::Given
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Fixed<U> {
    /// The updater of the other atoms.
    pub updater: U,
    /// The atoms that stay.
    pub atoms: Vec<u32>,
    /// |cos| with a fixed atom (for non-negative codes, cos) above which an atom is its copy.
    pub max_coherence: f64,
    /// Progress from which copies keep their codes.
    pub until: f64,
}

impl<U> Fixed<U> {
    /// Updates all atoms but these by `updater`.
    #[must_use]
    pub fn new(updater: U, atoms: impl IntoIterator<Item = u32>) -> Self {
        let (max_coherence, until) = (MOST_ALIKE, Renewal::default().until);
        let atoms = atoms.into_iter().collect();
        Self { updater, atoms, max_coherence, until }
    }

    /// The |cos| with a fixed atom (for non-negative codes, the cos) above which an atom counts as
    /// its copy; with 1, none does.
    #[must_use]
    pub fn max_coherence(mut self, cosine: f64) -> Self {
        self.max_coherence = cosine;
        self
    }

    /// The progress of the run from which copies keep their codes: that at which the inner
    /// updater's renewal ends, since an atom without codes would not be replaced any more.
    #[must_use]
    pub fn until(mut self, progress: f64) -> Self {
        self.until = progress;
        self
    }

    /// The atoms of `0..atoms` that learn, in order.
    fn learning(&self, atoms: usize) -> impl Iterator<Item = u32> {
        (0..atoms as u32).filter(|atom| !self.atoms.contains(atom))
    }

    /// The shape of the problem that the inner updater has.
    fn inner_shape(&self, shape: &ProblemShape) -> ProblemShape {
        let atoms = shape.atoms.saturating_sub(self.atoms.len());
        ProblemShape { atoms, sparsity: shape.sparsity.min(atoms), ..*shape }
    }
}

/// The state of the inner updater, and its problem.
#[derive(Debug)]
pub struct FixedState<B: HostBackend, S> {
    shape: ProblemShape,
    /// The state of the inner updater: the only data that one minibatch leaves for the next.
    inner: S,
    fixed: Part<B::Matrix, B::Scalar>,
    learning: Part<B::Matrix, B::Scalar>,
    /// Of each atom, in which part it is, and where.
    places: Vec<Place>,
    target: Target<B::Matrix>,
    residual: B::Matrix,
    order: Vec<u32>,
    counts: Vec<u64>,
}

/// Some of the atoms.
#[derive(Debug)]
struct Part<M, T> {
    atoms: Vec<u32>,
    dictionary: M,
    codes: SparseCodes<T>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    is_fixed: bool,
    index: u32,
}

impl<M, T: Scalar> Part<M, T> {
    fn new<B: HostBackend<Matrix = M, Scalar = T>>(
        backend: &B,
        atoms: Vec<u32>,
        shape: &ProblemShape,
    ) -> Result<Self, BackendError> {
        Ok(Self {
            dictionary: backend.zeros(shape.dim, atoms.len())?,
            codes: backend.codes(atoms.len(), 0, shape.sparsity.min(atoms.len()))?,
            atoms,
        })
    }

    /// D_part ← its atoms of D.
    fn take_atoms<B: HostBackend<Matrix = M, Scalar = T>>(&mut self, backend: &B, dictionary: &M) {
        let (from, mut into) = (backend.view(dictionary), backend.view_mut(&mut self.dictionary));
        for (place, &atom) in self.atoms.iter().enumerate() {
            into.as_mut().col_mut(place).copy_from(from.col(atom as usize));
        }
    }

    /// Puts the atoms back into D.
    fn put_atoms<B: HostBackend<Matrix = M, Scalar = T>>(&self, backend: &B, dictionary: &mut M) {
        let (from, mut into) = (backend.view(&self.dictionary), backend.view_mut(dictionary));
        for (place, &atom) in self.atoms.iter().enumerate() {
            into.as_mut().col_mut(atom as usize).copy_from(from.col(place));
        }
    }

    /// X_part ← the coefficients of its atoms.
    fn take_codes(&mut self, codes: &SparseCodes<T>, places: &[Place], is_fixed: bool) {
        self.codes.reset(codes.samples());
        self.codes.par_blocks_mut(SAMPLES_A_TASK).for_each(|mut block| {
            for within in 0..block.len() {
                let i = block.first() + within;
                block.write(within, |support, values| {
                    let entries = codes.support(i).iter().zip(codes.values(i));
                    let own = entries
                        .map(|(&atom, &x)| (places[atom as usize], x))
                        .filter(|(place, _)| place.is_fixed == is_fixed);
                    let slots = support.iter_mut().zip(values);
                    slots.zip(own).map(|(slot, (p, x))| (*slot.0, *slot.1) = (p.index, x)).count()
                });
            }
        });
    }
}

impl<B: HostBackend, U: DictionaryUpdater<B>> DictionaryUpdater<B> for Fixed<U> {
    type State = FixedState<B, U::State>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        let Self { updater, atoms, max_coherence, until } = self;
        for (place, &atom) in atoms.iter().enumerate() {
            if atom as usize >= shape.atoms {
                let expected = format!("atoms below {}, of those there are at first", shape.atoms);
                return Err(Error::argument("fixed atoms", atom, expected));
            }
            if atoms[..place].contains(&atom) {
                let found = format!("{atom} twice");
                return Err(Error::argument("fixed atoms", found, "each atom once"));
            }
        }
        if atoms.len() == shape.atoms {
            let found = format!("all {} atoms", atoms.len());
            return Err(Error::argument("fixed atoms", found, "at least one atom that learns"));
        }
        if !(*max_coherence > 0.0 && *max_coherence <= 1.0) {
            return Err(Error::argument("max_coherence", max_coherence, "above 0, at most 1"));
        }
        if !(0.0..=1.0).contains(until) {
            return Err(Error::argument("until", until, "0 to 1"));
        }
        updater.check(&self.inner_shape(shape))
    }

    fn check_shared(&self, shape: &ProblemShape) -> Result<(), Error> {
        self.updater.check_shared(&self.inner_shape(shape))
    }

    fn fixed_atoms(&self) -> Vec<u32> {
        let mut all = self.atoms.clone();
        // Those that the inner updater keeps, which it counts among the atoms that it has.
        let mut own = self.atoms.clone();
        own.sort_unstable();
        let among_all = |place: u32| {
            own.iter()
                .fold(place, |atom, &own| if own <= atom { atom.saturating_add(1) } else { atom })
        };
        all.extend(self.updater.fixed_atoms().into_iter().map(among_all));
        all
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let inner = self.inner_shape(shape);
        let mut fixed = self.atoms.clone();
        fixed.sort_unstable();
        let learning: Vec<u32> = self.learning(shape.atoms).collect();
        let mut places = vec![Place { is_fixed: false, index: 0 }; shape.atoms];
        for (atoms, is_fixed) in [(&fixed, true), (&learning, false)] {
            for (index, &atom) in (0..).zip(atoms) {
                places[atom as usize] = Place { is_fixed, index };
            }
        }
        Ok(FixedState {
            shape: *shape,
            inner: self.updater.prepare(backend, &inner)?,
            fixed: Part::new(backend, fixed, shape)?,
            learning: Part::new(backend, learning, shape)?,
            places,
            target: Target::new(backend, shape.dim)?,
            residual: backend.zeros(shape.dim, 0)?,
            order: Vec::with_capacity(shape.atoms),
            counts: vec![0; shape.atoms],
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
        if self.atoms.is_empty() {
            return self.updater.update(backend, &mut state.inner, y, codes, dictionary, step);
        }
        let share = &step.share_of(backend, y, &state.shape);
        let FixedState { counts, residual, fixed, learning, .. } = state;
        backend.residual(residual, y, dictionary, codes);
        counts.fill(0);
        codes.iter().flat_map(|(support, _)| support).for_each(|&j| counts[j as usize] += 1);
        share.add_counts(counts)?;
        let mut report = UpdateReport {
            error_before: squared_norm_of(backend, residual, share)?,
            nonzeros: share.count(codes.nnz())?,
            unused: counts.iter().filter(|&&count| count == 0).count(),
            ..UpdateReport::default()
        };
        fixed.take_atoms(backend, dictionary);
        learning.take_atoms(backend, dictionary);
        if step.progress < self.until && self.max_coherence < 1.0 {
            let originals = state.originals(backend, self.max_coherence);
            if originals.iter().any(Option::is_some) {
                let (d, r) = (backend.view(dictionary), backend.view_mut(&mut state.residual));
                give_to_originals(d, r, codes, &originals, state.shape.sign);
            }
        }

        let done = self.update_others(backend, state, y, codes, step, share)?;
        report.undone = done.undone;
        report.replaced = done.replaced;
        report.merged = done.merged;
        state.learning.put_atoms(backend, dictionary);
        state.join(codes);
        backend.residual(&mut state.residual, y, dictionary, codes);
        let (d, r) = (backend.view(dictionary), backend.view_mut(&mut state.residual));
        refit(d, r, codes, &state.places, state.shape.sign);
        report.error_after = squared_norm_of(backend, &state.residual, share)?;
        Ok(report)
    }

    fn save(
        &self,
        backend: &B,
        state: &Self::State,
    ) -> Result<SavedState<B::Scalar>, BackendError> {
        self.updater.save(backend, &state.inner)
    }

    fn restore(
        &self,
        backend: &B,
        state: &mut Self::State,
        saved: &SavedState<B::Scalar>,
    ) -> Result<(), Error> {
        self.updater.restore(backend, &mut state.inner, saved)
    }

    fn parameters(&self) -> Parameters {
        let Self { updater, atoms, max_coherence, until } = self;
        let mut atoms: Vec<usize> = atoms.iter().map(|&atom| atom as usize).collect();
        atoms.sort_unstable();
        Parameters::of("Fixed")
            .with("updater", updater.parameters())
            .with("atoms", atoms.as_slice())
            .with("max_coherence", *max_coherence)
            .with("until", *until)
    }
}

impl<U> Fixed<U> {
    /// D_L, X_L ← the inner updater, on what the fixed atoms leave of the samples.
    fn update_others<B: HostBackend>(
        &self,
        backend: &B,
        state: &mut FixedState<B, U::State>,
        y: &B::Matrix,
        codes: &B::Codes,
        step: &Step<'_>,
        share: &Share<'_>,
    ) -> Result<UpdateReport, BackendError>
    where
        U: DictionaryUpdater<B>,
    {
        let FixedState { inner, fixed, learning, places, target, order, .. } = state;
        fixed.take_codes(codes, places, true);
        learning.take_codes(codes, places, false);
        target.begin(true);
        target.leave(backend, y, &fixed.dictionary, &fixed.codes);
        let of_all = step.order.iter().map(|&atom| places[atom as usize]);
        order.clear();
        order.extend(of_all.filter(|place| !place.is_fixed).map(|place| place.index));
        let step = Step::new(order, step.progress).with_share(share);
        let (x, d) = (&mut learning.codes, &mut learning.dictionary);
        self.updater.update(backend, inner, target.matrix(y), x, d, &step)
    }
}

impl<B: HostBackend, S> FixedState<B, S> {
    /// For each atom, the fixed atom that it is a copy of: the one that it is most like, of equals
    /// the lower, if that is above `most_alike`.
    fn originals(&self, backend: &B, most_alike: f64) -> Vec<Option<u32>> {
        let Self { shape, fixed, learning, .. } = self;
        let (originals, copies) =
            (backend.view(&fixed.dictionary), backend.view(&learning.dictionary));
        let found: Vec<Option<u32>> = (0..copies.ncols())
            .into_par_iter()
            .map(|place| {
                let copy = column(copies, place);
                let mut best = (most_alike, None);
                for (index, &atom) in fixed.atoms.iter().enumerate() {
                    let cosine = loops::product(copy, column(originals, index));
                    let likeness = shape.sign.likeness(cosine);
                    if likeness > best.0 {
                        best = (likeness, Some(atom));
                    }
                }
                best.1
            })
            .collect();
        let mut originals = vec![None; shape.atoms];
        for (&atom, original) in learning.atoms.iter().zip(found) {
            originals[atom as usize] = original;
        }
        originals
    }

    /// X ← the codes of both parts. The inner updater may have given a large sample an atom for
    /// which the budget has no room: then the smallest coefficients of fixed atoms are left out.
    fn join(&self, codes: &mut SparseCodes<B::Scalar>) {
        let Self { fixed, learning, shape, .. } = self;
        codes.reset(learning.codes.samples());
        codes.par_blocks_mut(SAMPLES_A_TASK).for_each(|mut block| {
            let mut code: Vec<(u32, B::Scalar)> = Vec::with_capacity(2 * shape.sparsity);
            let entries = |part: &Part<B::Matrix, B::Scalar>, i: usize, code: &mut Vec<_>| {
                let own = part.codes.support(i).iter().zip(part.codes.values(i));
                code.extend(own.map(|(&index, &x)| (part.atoms[index as usize], x)));
            };
            for within in 0..block.len() {
                let i = block.first() + within;
                code.clear();
                entries(fixed, i, &mut code);
                let room = shape.sparsity - learning.codes.support(i).len();
                if code.len() > room {
                    code.sort_by(|(_, a), (_, b)| b.widen().abs().total_cmp(&a.widen().abs()));
                    code.truncate(room);
                }
                entries(learning, i, &mut code);
                block.write(within, |support, values| {
                    let slots = support.iter_mut().zip(values);
                    slots.zip(&code).map(|(slot, &entry)| (*slot.0, *slot.1) = entry).count()
                });
            }
        });
    }
}
