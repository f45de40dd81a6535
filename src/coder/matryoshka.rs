//! Nested coding: each group of atoms codes what the groups before it left.
//!
//! ```text
//! T ← Y
//! for each group g of atoms, of budget k_g:          Σ k_g = k
//!     X_g ← the inner coder's codes of T on D_g, at most k_g nonzeros a sample
//!     T ← T − D_g X_g,  or 0 for samples of which rounding alone is left
//! X ← the X_g, one below the other
//! ```
//! So the codes of the first groups do not depend on the later ones, and a prefix of the groups is
//! a dictionary by itself. In learning, [`MatryoshkaUpdates`](crate::updater::MatryoshkaUpdates)
//! follows the same rule.
//!
//! Departures from the Matryoshka loop of KSVD.jl, and why:
//! 1. Later groups are coded on what is left, in coding as in learning, where the reference's
//!    function for coding correlates all groups with Y.
//! 2. Budgets add up to k exactly, and are the same in learning and coding. The reference rounds
//!    k/n up in learning and to the nearest in coding.
//! 3. Groups may be of any sizes; the reference fails unless m is a power of two.
//! 4. A sample that is represented to the rounding of its coefficients is zero to the groups that
//!    follow, and gets no code there; while a dictionary is learned, whose atoms add up more
//!    rounding, to 64 ε‖y‖. They would spend their budget, and learn their atoms, on noise of the
//!    arithmetic. What is left of a sample that is nearly represented is computed in double
//!    precision.
//!
//! Reference: `MatryoshkaLoop` of KSVD.jl (github.com/sisl/KSVD.jl), at commit 8e8aca2; the idea is
//! that of Matryoshka autoencoders (Bussmann, Nabeshima, Karvonen & Nanda 2025, arXiv:2503.17547).

use num_traits::Zero;
use rayon::prelude::*;

use super::{BatchOmp, Phase, SparseCoder};
use crate::Scalar;
use crate::codes::SparseCodes;
use crate::cpu::HostBackend;
use crate::cpu::pursuit::wide::{is_rounding, leave, terms};
use crate::cpu::vector::loops;
use crate::error::{BackendError, Error};
use crate::groups::Groups;
use crate::matrix::{column, column_mut};
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// Samples that one task looks at.
const BLOCK: usize = 128;

/// ‖r‖, in ε‖y‖, that is not told from the rounding of atoms and coefficients that are being
/// learned.
const LEARNING: f64 = 64.0;

/// ‖r‖, in ε‖y‖, below which it is computed in double precision.
const DOUBT: f64 = 2e4;

/// Codes by groups of atoms in turn, each of which gets what the groups before it left.
///
/// | parameter | default | purpose |
/// |---|---|---|
/// | groups | given | sizes and budgets of the groups |
/// | [`coder`](Self::coder) | [`BatchOmp`] | codes each group; its stop rules see what the group is given |
///
/// Codes list atoms group by group. Errors fall with each group, and are above those of a pursuit
/// with all atoms: that is the price of prefixes that can be used by themselves.
///
/// Complexity and memory: those of the inner coder for each group (with [`BatchOmp`], Gram matrices
/// of Σ m_g² entries instead of m²), and 2·d·N + d·m scalars and a copy of the codes for N samples
/// at a time.
///
/// ```
/// use dbksvd::coder::Matryoshka;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Groups};
///
/// let data = Planted::new(16, 24, 4, 600).generate::<f32>()?;
/// let groups = Groups::doubling(24, 6); // 6, 6 and 12 atoms
/// let learner = DbKsvd::builder(24, 4).epochs(5).matryoshka(groups.clone()).build()?;
/// let (model, _) = learner.fit(&data.samples)?;
/// let codes = model.encode(&Matryoshka::new(groups.clone()), data.samples.as_ref())?;
///
/// // The first two groups are a dictionary of 12 atoms.
/// let small = groups.prefix_of(&model, 2)?;
/// let of_small = small.encode(&Matryoshka::new(groups.first(2)), data.samples.as_ref())?;
/// assert_eq!((small.atoms(), small.sparsity()), (12, 3));
/// assert_eq!(of_small.support(0), &codes.support(0)[..of_small.support(0).len()]);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Matryoshka<C = BatchOmp> {
    /// The groups of atoms.
    pub groups: Groups,
    /// The coder of each group.
    pub coder: C,
}

impl Matryoshka {
    /// Codes each group by OMP ([`BatchOmp`]).
    #[must_use]
    pub fn new(groups: Groups) -> Self {
        Self { groups, coder: BatchOmp::new() }
    }
}

impl<C> Matryoshka<C> {
    /// Codes each group by another coder.
    #[must_use]
    pub fn coder<Other>(self, coder: Other) -> Matryoshka<Other> {
        Matryoshka { groups: self.groups, coder }
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }
}

/// The states of the inner coder, one a group, with dictionaries and codes of the groups.
#[derive(Debug)]
pub struct MatryoshkaState<B: HostBackend, S> {
    groups: Vec<Group<B::Matrix, B::Scalar, S>>,
    target: Target<B::Matrix>,
}

/// One group, with the state of what works on it.
#[derive(Debug)]
pub(crate) struct Group<M, T, S> {
    /// Its first atom.
    pub(crate) first: usize,
    pub(crate) atoms: usize,
    /// D_g.
    pub(crate) dictionary: M,
    /// X_g.
    pub(crate) codes: SparseCodes<T>,
    pub(crate) state: S,
}

impl<M, T, S> Group<M, T, S> {
    /// D_g ← its part of D.
    pub(crate) fn take_atoms<B: HostBackend<Matrix = M>>(&mut self, backend: &B, dictionary: &M) {
        let part = backend.view(dictionary).subcols(self.first, self.atoms);
        backend.view_mut(&mut self.dictionary).copy_from(part);
    }
}

impl<B: HostBackend, C: SparseCoder<B>> SparseCoder<B> for Matryoshka<C> {
    type State = MatryoshkaState<B, C::State>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.groups.check(shape)?;
        shapes_of(&self.groups, shape).try_for_each(|(_, shape)| self.coder.check(&shape))
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let groups = shapes_of(&self.groups, shape).map(|(first, shape)| {
            Ok(Group {
                first,
                atoms: shape.atoms,
                dictionary: backend.zeros(shape.dim, shape.atoms)?,
                codes: backend.codes(shape.atoms, 0, shape.sparsity)?,
                state: self.coder.prepare(backend, &shape)?,
            })
        });
        Ok(MatryoshkaState {
            groups: groups.collect::<Result<_, BackendError>>()?,
            target: Target::new(backend, shape.dim)?,
        })
    }

    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError> {
        for group in &mut state.groups {
            group.take_atoms(backend, dictionary);
            self.coder.set_dictionary(backend, &mut group.state, &group.dictionary)?;
        }
        Ok(())
    }

    fn encode(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let MatryoshkaState { groups, target } = state;
        let atoms: usize = groups.iter().map(|group| group.atoms).sum();
        assert_eq!(backend.view(dictionary).ncols(), atoms, "the dictionary's atoms");
        target.begin();
        let count = groups.len();
        for (g, Group { dictionary, codes, state, .. }) in groups.iter_mut().enumerate() {
            self.coder.encode(backend, state, dictionary, target.matrix(y), codes)?;
            if g + 1 < count {
                target.leave(backend, y, dictionary, codes);
            }
        }
        let parts: Vec<_> = groups.iter().map(|group| (group.first as u32, &group.codes)).collect();
        join(&parts, codes);
        Ok(())
    }

    fn set_phase(&self, backend: &B, state: &mut Self::State, phase: &Phase<'_>) {
        state.target.is_learning = true;
        // A dictionary in groups does not grow.
        let phase = Phase { earlier: &[], ..*phase };
        for group in &mut state.groups {
            self.coder.set_phase(backend, &mut group.state, &phase);
        }
    }

    fn parameters(&self) -> Parameters {
        let Self { groups, coder } = self;
        Parameters::of("Matryoshka").with("groups", groups).with("coder", coder.parameters())
    }
}

/// The first atom of each group, and the shape of the problem that it is given.
pub(crate) fn shapes_of(
    groups: &Groups,
    shape: &ProblemShape,
) -> impl Iterator<Item = (usize, ProblemShape)> {
    let budgets = groups.budgets_of(shape.sparsity);
    let shape = *shape;
    groups.ranges().zip(budgets).map(move |(range, sparsity)| {
        (range.start, ProblemShape { atoms: range.len(), sparsity, ..shape })
    })
}

/// T: what the groups so far have left of Y.
#[derive(Debug)]
pub(crate) struct Target<M> {
    left: M,
    next: M,
    /// Whether `left` is T; before the first group Y itself is.
    is_left: bool,
    /// Whether atoms and coefficients are being learned.
    is_learning: bool,
}

impl<M> Target<M> {
    pub(crate) fn new<B: HostBackend<Matrix = M>>(
        backend: &B,
        dim: usize,
    ) -> Result<Self, BackendError> {
        let (left, next) = (backend.zeros(dim, 0)?, backend.zeros(dim, 0)?);
        Ok(Self { left, next, is_left: false, is_learning: false })
    }

    /// The target of samples that are learned from.
    pub(crate) fn of_learning(self) -> Self {
        Self { is_learning: true, ..self }
    }

    /// T ← Y
    pub(crate) fn begin(&mut self) {
        self.is_left = false;
    }

    /// T
    pub(crate) fn matrix<'a>(&'a self, y: &'a M) -> &'a M {
        if self.is_left { &self.left } else { y }
    }

    /// T ← T − D_g X_g, or 0 where that is rounding of Y.
    pub(crate) fn leave<B: HostBackend<Matrix = M>>(
        &mut self,
        backend: &B,
        y: &M,
        dictionary: &M,
        codes: &B::Codes,
    ) {
        let target = if self.is_left { &self.left } else { y };
        backend.residual(&mut self.next, target, dictionary, codes);
        let epsilon = B::Scalar::EPSILON;
        let doubt = (DOUBT * epsilon).powi(2);
        let floor = if self.is_learning { (LEARNING * epsilon).powi(2) } else { 0.0 };
        let (y, dictionary, target) =
            (backend.view(y), backend.view(dictionary), backend.view(target));
        let next = backend.view_mut(&mut self.next);
        next.par_col_chunks_mut(BLOCK).enumerate().for_each(|(block, mut next)| {
            let (mut residual, mut sums) = (Vec::new(), Vec::new());
            for within in 0..next.ncols() {
                let i = block * BLOCK + within;
                let energy = loops::energy(column(y, i));
                let r = column_mut(next.as_mut(), within);
                if loops::energy(r) > doubt * energy {
                    continue;
                }
                let (sample, code) =
                    (column(target, i), || terms(codes.support(i), codes.values(i)));
                // Atoms that were fitted to the rounding of a sample which others represent do not
                // count.
                let largest = code().fold(0.0, |most, (_, x)| f64::max(most, x.abs()));
                let weighty = || code().filter(|(_, x)| x.abs() > 4.0 * epsilon * largest);
                leave(dictionary, sample, weighty(), &mut residual);
                sums.clear();
                sums.extend(sample.iter().map(|y| y.widen().abs()));
                // Coefficients and sample are rounded, and atoms may be; in double precision, so is
                // all that led to the coefficients.
                let unit = 2.0 * epsilon + 32.0 * f64::EPSILON;
                if is_rounding(dictionary, weighty(), &residual, unit, &mut sums)
                    || leave(dictionary, sample, code(), &mut residual) <= floor * energy
                {
                    r.fill(B::Scalar::zero());
                } else {
                    r.iter_mut().zip(&residual).for_each(|(r, &x)| *r = B::Scalar::narrow(x));
                }
            }
        });
        std::mem::swap(&mut self.left, &mut self.next);
        self.is_left = true;
    }
}

/// X ← the codes of groups that begin with these atoms, one below the other. What goes beyond the
/// budget of X is left out: only an updater that adds atoms to codes can make it so.
pub(crate) fn join<T: Scalar>(parts: &[(u32, &SparseCodes<T>)], codes: &mut SparseCodes<T>) {
    codes.reset(parts.first().map_or(0, |(_, part)| part.samples()));
    codes.par_blocks_mut(BLOCK).for_each(|mut block| {
        for within in 0..block.len() {
            let i = block.first() + within;
            block.write(within, |support, values| {
                let entries = parts.iter().flat_map(|&(first, part)| {
                    let atoms = part.support(i).iter().map(move |atom| first + atom);
                    atoms.zip(part.values(i).iter().copied())
                });
                let slots = support.iter_mut().zip(values);
                slots.zip(entries).map(|(slot, entry)| (*slot.0, *slot.1) = entry).count()
            });
        }
    });
}
