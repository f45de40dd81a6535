//! Nested updates: each group of atoms is updated on what the groups before it left.
//!
//! ```text
//! T ← Y
//! for each group g of atoms:
//!     D_g, X_g ← the inner updater, on the samples T
//!     X_g ← the inner coder's codes of T on D_g                  if asked for
//!     T ← T − D_g X_g,  or 0 for samples of which rounding alone is left
//! ```
//! With [`recoding`](MatryoshkaUpdates::recoding), atom batches of one and the exact pair, this is
//! a step of KSVD.jl's Matryoshka loop. In its first step, that loop starts from codes of all atoms
//! together. Here the codes come from the coder; with [`Matryoshka`](crate::coder::Matryoshka) they
//! follow the rule of groups from the start.

use rayon::prelude::*;

use super::{DictionaryUpdater, KSvd, SavedState, Step, UpdateReport, squared_norm_of};
use crate::Scalar;
use crate::backend::Backend;
use crate::coder::matryoshka::{Group, Target, join, shapes_of};
use crate::coder::{BatchOmp, SparseCoder};
use crate::codes::SparseCodes;
use crate::cpu::HostBackend;
use crate::error::{BackendError, Error};
use crate::groups::Groups;
use crate::parameters::Parameters;
use crate::problem::ProblemShape;

/// Samples whose codes one task copies.
const SAMPLES_A_TASK: usize = 256;

/// Updates groups of atoms in turn, each on what the groups before it left.
///
/// | parameter | default | purpose |
/// |---|---|---|
/// | groups | given | sizes and budgets of the groups, the same as the coder's |
/// | [`updater`](Self::updater) | [`KSvd`] | updates each group, with a memory and a renewal of its own |
/// | [`recoding`](Self::recoding) | none | codes each group again after its update |
///
/// Use it with the coder [`Matryoshka`](crate::coder::Matryoshka);
/// [`Builder::matryoshka`](crate::learn::Builder::matryoshka) sets both. Another coder does not
/// know the groups. Its codes are then divided: each group gets the nonzeros that belong to its
/// atoms.
///
/// Complexity: that of the inner updater, one product with the codes for each group and one more,
/// and that of the coder if groups are coded again. Memory: that of the inner updater for each
/// group, 3·d·N for the minibatch, d·m, and up to one copy of the codes for each group; one copy
/// more if groups are coded again.
///
/// ```
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Groups};
///
/// let data = Planted::new(16, 32, 4, 1000).generate::<f32>()?;
/// // `matryoshka` puts coder and updater into their groups.
/// let learner = DbKsvd::builder(32, 4).epochs(2).matryoshka(Groups::new([8, 24])).build()?;
/// let (model, _) = learner.fit(&data.samples)?;
/// assert_eq!(model.atoms(), 32);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MatryoshkaUpdates<U = KSvd, C = BatchOmp> {
    /// The groups of atoms.
    pub groups: Groups,
    /// The updater of each group.
    pub updater: U,
    /// The coder that codes groups again; with `None`, codes stay.
    pub recoding: Option<C>,
}

impl MatryoshkaUpdates {
    /// Updates each group by [`KSvd::new`].
    #[must_use]
    pub fn new(groups: Groups) -> Self {
        Self { groups, updater: KSvd::new(), recoding: None }
    }
}

impl<U, C> MatryoshkaUpdates<U, C> {
    /// Updates each group by another updater.
    #[must_use]
    pub fn updater<Other>(self, updater: Other) -> MatryoshkaUpdates<Other, C> {
        let Self { groups, recoding, .. } = self;
        MatryoshkaUpdates { groups, updater, recoding }
    }

    /// The coder that codes each group again after its update, before the next group gets what it
    /// left. KSVD.jl does this; each step then codes twice. With `None`, the next group gets what
    /// the group's codes leave after the update, in which the inner updater has refitted them.
    #[must_use]
    pub fn recoding<Other>(self, coder: Option<Other>) -> MatryoshkaUpdates<U, Other> {
        let Self { groups, updater, .. } = self;
        MatryoshkaUpdates { groups, updater, recoding: coder }
    }

    /// The groups.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        &self.groups
    }

    /// The shape of a group for the inner updater. In the group, a sample may have as many nonzeros
    /// as in the whole dictionary, since any coder may have made the codes.
    fn shape_for_update(shape: &ProblemShape, of_group: &ProblemShape) -> ProblemShape {
        ProblemShape { sparsity: shape.sparsity.min(of_group.atoms), ..*of_group }
    }
}

type UpdatedGroup<B, S, E> = Group<<B as Backend>::Matrix, Updated<<B as Backend>::Scalar, S, E>>;

/// The states of the inner updater, one for each group, and those of the coder if groups are coded
/// again.
#[derive(Debug)]
pub struct MatryoshkaUpdatesState<B: HostBackend, S, E> {
    groups: Vec<UpdatedGroup<B, S, E>>,
    target: Target<B::Matrix>,
    residual: B::Matrix,
    order: Vec<u32>,
    shape: ProblemShape,
}

/// A group's codes X_g, and the states with which it is updated and, if `recoding` is set, coded.
#[derive(Debug)]
struct Updated<T, S, E> {
    codes: SparseCodes<T>,
    updater: S,
    recoded: Option<(E, SparseCodes<T>)>,
}

impl<B, U, C> DictionaryUpdater<B> for MatryoshkaUpdates<U, C>
where
    B: HostBackend,
    U: DictionaryUpdater<B>,
    C: SparseCoder<B>,
{
    type State = MatryoshkaUpdatesState<B, U::State, C::State>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.groups.check(shape)?;
        for (_, group) in shapes_of(&self.groups, shape) {
            self.updater.check(&Self::shape_for_update(shape, &group))?;
            if let Some(coder) = &self.recoding {
                coder.check(&group)?;
            }
        }
        Ok(())
    }

    fn check_shared(&self, shape: &ProblemShape) -> Result<(), Error> {
        for (_, group) in shapes_of(&self.groups, shape) {
            self.updater.check_shared(&Self::shape_for_update(shape, &group))?;
        }
        Ok(())
    }

    fn fixed_atoms(&self) -> Vec<u32> {
        let of_a_group = self.updater.fixed_atoms();
        let all = self.groups.ranges();
        all.flat_map(|range| of_a_group.iter().map(move |&atom| range.start as u32 + atom))
            .collect()
    }

    fn prepare(&self, backend: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let groups = shapes_of(&self.groups, shape).map(|(first, group)| {
            let of_update = Self::shape_for_update(shape, &group);
            let recoded = match &self.recoding {
                None => None,
                Some(coder) => Some((
                    coder.prepare(backend, &group)?,
                    backend.codes(group.atoms, 0, group.sparsity)?,
                )),
            };
            Ok(Group {
                first,
                atoms: group.atoms,
                sparsity: of_update.sparsity,
                dictionary: backend.zeros(group.dim, group.atoms)?,
                state: Updated {
                    codes: backend.codes(group.atoms, 0, of_update.sparsity)?,
                    updater: self.updater.prepare(backend, &of_update)?,
                    recoded,
                },
            })
        });
        Ok(MatryoshkaUpdatesState {
            groups: groups.collect::<Result<_, BackendError>>()?,
            target: Target::new(backend, shape.dim)?,
            residual: backend.zeros(shape.dim, 0)?,
            order: Vec::with_capacity(shape.atoms),
            shape: *shape,
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
        let MatryoshkaUpdatesState { groups, target, residual, order, shape } = state;
        let share = &step.share_of(backend, y, shape);
        backend.residual(residual, y, dictionary, codes);
        let mut report = UpdateReport {
            error_before: squared_norm_of(backend, residual, share)?,
            nonzeros: share.count(codes.nnz())?,
            ..UpdateReport::default()
        };
        target.begin(true);
        let count = groups.len();
        for (g, group) in groups.iter_mut().enumerate() {
            group.take_atoms(backend, dictionary);
            take_codes(codes, group.first, &mut group.state.codes);
            let atoms = group.first..group.first + group.atoms;
            order.clear();
            let of_group = step.order.iter().filter(|&&atom| atoms.contains(&(atom as usize)));
            order.extend(of_group.map(|&atom| atom - group.first as u32));
            let step = Step::new(order, step.progress).with_share(share);
            let Updated { codes: x, updater, recoded } = &mut group.state;
            let (new, t) = (&mut group.dictionary, target.matrix(y));
            let done = self.updater.update(backend, updater, t, x, new, &step)?;
            report.unused += done.unused;
            report.undone += done.undone;
            report.replaced += done.replaced;
            report.merged += done.merged;
            if let (Some(coder), Some((state, recoded))) = (&self.recoding, recoded.as_mut()) {
                coder.set_dictionary(backend, state, new)?;
                coder.encode(backend, state, new, t, recoded)?;
            }
            let x = recoded.as_ref().map_or(&*x, |(_, recoded)| recoded);
            if g + 1 < count {
                target.leave(backend, y, &group.dictionary, x);
            }
            let mut place = backend.view_mut(dictionary).subcols_mut(group.first, group.atoms);
            place.copy_from(backend.view(&group.dictionary));
        }
        let parts: Vec<_> = groups
            .iter()
            .map(|Group { first, state: Updated { codes, recoded, .. }, .. }| {
                (*first as u32, recoded.as_ref().map_or(codes, |(_, recoded)| recoded))
            })
            .collect();
        join(&parts, codes);
        backend.residual(residual, y, dictionary, codes);
        report.error_after = squared_norm_of(backend, residual, share)?;
        Ok(report)
    }

    fn save(
        &self,
        backend: &B,
        state: &Self::State,
    ) -> Result<SavedState<B::Scalar>, BackendError> {
        let mut saved = SavedState::new();
        for (g, group) in state.groups.iter().enumerate() {
            let of_group = self.updater.save(backend, &group.state.updater)?;
            for (name, array) in of_group.iter() {
                saved.insert(format!("{}{name}", prefix(g)), array.clone());
            }
        }
        Ok(saved)
    }

    fn restore(
        &self,
        backend: &B,
        state: &mut Self::State,
        saved: &SavedState<B::Scalar>,
    ) -> Result<(), Error> {
        for (g, group) in state.groups.iter_mut().enumerate() {
            let prefix = prefix(g);
            let mut of_group = SavedState::new();
            for (name, array) in saved.iter() {
                if let Some(name) = name.strip_prefix(&prefix) {
                    of_group.insert(name, array.clone());
                }
            }
            let restored = self.updater.restore(backend, &mut group.state.updater, &of_group);
            restored.map_err(|error| match error {
                Error::SavedState { name, found, expected } => {
                    Error::SavedState { name: format!("{prefix}{name}"), found, expected }
                }
                other => other,
            })?;
        }
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        let Self { groups, updater, recoding } = self;
        Parameters::of("MatryoshkaUpdates")
            .with("groups", groups)
            .with("updater", updater.parameters())
            .with("recoding", recoding.as_ref().map(SparseCoder::parameters))
    }
}

/// The beginning of the names of a group's arrays.
fn prefix(group: usize) -> String {
    format!("group.{group}.")
}

/// X_g ← the rows of X from atom `first` on, as many as X_g has.
fn take_codes<T: Scalar>(codes: &SparseCodes<T>, first: usize, into: &mut SparseCodes<T>) {
    let atoms = first..first + into.atoms();
    into.reset(codes.samples());
    into.par_blocks_mut(SAMPLES_A_TASK).for_each(|mut block| {
        for within in 0..block.len() {
            let i = block.first() + within;
            let entries = codes.support(i).iter().zip(codes.values(i));
            let own = entries.filter(|(atom, _)| atoms.contains(&(**atom as usize)));
            block.write(within, |support, values| {
                let slots = support.iter_mut().zip(values);
                let taken = slots.zip(own).map(|((slot, value), (&atom, &x))| {
                    (*slot, *value) = (atom - first as u32, x);
                });
                taken.count()
            });
        }
    });
}
