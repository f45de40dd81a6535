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
//! 1. Later groups code what the earlier groups left, in coding as in learning. The reference's
//!    function for coding correlates all groups with Y.
//! 2. Budgets add up to k exactly, and are the same in learning and in coding. The reference rounds
//!    k/n up in learning, and to the nearest integer in coding.
//! 3. Groups may be of any sizes. The reference fails unless m is a power of two.
//! 4. If a sample is represented up to the rounding of its coefficients, the groups that follow see
//!    zero and give it no code. While a dictionary is learned, its atoms add more rounding, and the
//!    limit is 64 ε‖y‖. Without this rule, groups would spend their budget on rounding errors and
//!    learn atoms from them. What is left of a sample that is nearly represented is computed in
//!    double precision.
//!
//! Reference: `MatryoshkaLoop` of KSVD.jl (github.com/sisl/KSVD.jl), at commit 8e8aca2. The idea is
//! that of Matryoshka autoencoders (Bussmann, Nabeshima, Karvonen & Nanda 2025, arXiv:2503.17547).

use num_traits::Zero;
use rayon::prelude::*;

use super::{BatchOmp, Phase, SparseCoder};
use crate::Scalar;
use crate::codes::SparseCodes;
use crate::cpu::HostBackend;
use crate::cpu::pursuit::wide::{is_rounding, leave, terms};
use crate::cpu::scratch_pool::ScratchPool;
use crate::cpu::vector::loops;
use crate::error::{BackendError, Error};
use crate::groups::Groups;
use crate::matrix::{column, column_mut};
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// Samples that one task processes.
const BLOCK: usize = 128;

/// In learning, ‖r‖ up to this many ε‖y‖ counts as rounding of the atoms and coefficients.
const LEARNING: f64 = 64.0;

/// ‖r‖ below this many ε‖y‖ is computed in double precision.
const DOUBT: f64 = 2e4;

/// Codes by groups of atoms in turn. Each group codes what the groups before it left.
///
/// | parameter | default | purpose |
/// |---|---|---|
/// | groups | given | sizes and budgets of the groups |
/// | [`coder`](Self::coder) | [`BatchOmp`] | codes each group; its stop rules apply to what the group is given |
///
/// A code lists its atoms group by group. The error falls with each group. It is higher than that
/// of a pursuit with all atoms, which is the price of prefixes that can be used by themselves.
///
/// Complexity and memory are those of the inner coder for each group (with [`BatchOmp`], Gram
/// matrices of Σ m_g² entries instead of m²). In addition, memory for N samples at a time takes
/// 2·d·N + d·m scalars and a copy of the codes.
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
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
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

/// The states of the inner coder, one for each group, with the dictionaries of the groups, and
/// scratch memory.
#[derive(Debug)]
pub struct MatryoshkaState<B: HostBackend, S> {
    dim: usize,
    groups: Vec<Group<B::Matrix, S>>,
    /// Whether atoms and coefficients are being learned.
    is_learning: bool,
    idle: ScratchPool<Scratch<B::Matrix, B::Scalar>>,
}

/// What one call works with.
#[derive(Debug)]
struct Scratch<M, T> {
    /// X_g of every group.
    codes: Vec<SparseCodes<T>>,
    target: Target<M>,
}

/// One group, with the state of the coder or updater that works on it.
#[derive(Debug)]
pub(crate) struct Group<M, S> {
    /// The first atom of the group.
    pub(crate) first: usize,
    pub(crate) atoms: usize,
    /// k_g.
    pub(crate) sparsity: usize,
    /// D_g.
    pub(crate) dictionary: M,
    pub(crate) state: S,
}

impl<M, S> Group<M, S> {
    /// D_g ← the atoms of the group in D.
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
                sparsity: shape.sparsity,
                dictionary: backend.zeros(shape.dim, shape.atoms)?,
                state: self.coder.prepare(backend, &shape)?,
            })
        });
        Ok(MatryoshkaState {
            dim: shape.dim,
            groups: groups.collect::<Result<_, BackendError>>()?,
            is_learning: false,
            idle: ScratchPool::default(),
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

    fn set_dictionary_together(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
        owners: &dyn crate::group::Group,
    ) -> Result<(), BackendError> {
        for group in &mut state.groups {
            group.take_atoms(backend, dictionary);
            let (state, dictionary) = (&mut group.state, &group.dictionary);
            self.coder.set_dictionary_together(backend, state, dictionary, owners)?;
        }
        Ok(())
    }

    fn encode(
        &self,
        backend: &B,
        state: &Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let MatryoshkaState { dim, groups, is_learning, idle } = state;
        let atoms: usize = groups.iter().map(|group| group.atoms).sum();
        assert_eq!(backend.view(dictionary).ncols(), atoms, "the dictionary's atoms");
        let new = || {
            let codes = groups.iter().map(|group| backend.codes(group.atoms, 0, group.sparsity));
            let codes = codes.collect::<Result<_, BackendError>>()?;
            Ok(Scratch { codes, target: Target::new(backend, *dim)? })
        };
        idle.try_with(new, |Scratch { codes: parts, target }| {
            target.begin(*is_learning);
            for (g, (group, part)) in groups.iter().zip(parts.iter_mut()).enumerate() {
                let Group { dictionary, state, .. } = group;
                self.coder.encode(backend, state, dictionary, target.matrix(y), part)?;
                if g + 1 < groups.len() {
                    target.leave(backend, y, dictionary, part);
                }
            }
            let firsts = groups.iter().map(|group| group.first as u32);
            join(&firsts.zip(&*parts).collect::<Vec<_>>(), codes);
            Ok(())
        })
    }

    fn set_phase(&self, backend: &B, state: &mut Self::State, phase: &Phase<'_>) {
        state.is_learning = true;
        // A dictionary in groups does not grow, so there are no earlier stages.
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

/// The first atom of each group, and the shape of the group's problem.
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
    /// Whether `left` is T. Before the first group, T is Y itself.
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

    /// T ← Y, samples that are learned from or not.
    pub(crate) fn begin(&mut self, is_learning: bool) {
        (self.is_left, self.is_learning) = (false, is_learning);
    }

    /// T
    pub(crate) fn matrix<'a>(&'a self, y: &'a M) -> &'a M {
        if self.is_left { &self.left } else { y }
    }

    /// T ← T − D_g X_g, or 0 for samples of which only rounding of Y is left.
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
                // An atom may have been fitted to the rounding error of a sample that other atoms
                // represent. Such atoms are not counted.
                let largest = code().fold(0.0, |most, (_, x)| f64::max(most, x.abs()));
                let weighty = || code().filter(|(_, x)| x.abs() > 4.0 * epsilon * largest);
                leave(dictionary, sample, weighty(), &mut residual);
                sums.clear();
                sums.extend(sample.iter().map(|y| y.widen().abs()));
                // Coefficients and the sample are rounded to the scalar, and atoms may be.
                // Everything that the coefficients were computed from is rounded to double
                // precision.
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

/// X ← the codes of all groups, where each part comes with the first atom of its group. Nonzeros
/// beyond the budget of X are left out; there can be some only if an updater adds atoms to codes.
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
