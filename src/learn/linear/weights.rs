//! Dictionary and encoder, with the moments of their gradients: how they begin, and how they are
//! saved.

use faer::{Mat, MatRef};
use rayon::prelude::*;

use crate::Scalar;
use crate::error::{BackendError, Error};
use crate::matrix::{check_room, column};
use crate::model::Model;
use crate::updater::{SavedArray, SavedState};

/// The names under which arrays are saved, and those of counts.
const NAMES: [&str; 8] = [
    "encoder",
    "bias",
    "dictionary.first",
    "dictionary.second",
    "encoder.first",
    "encoder.second",
    "bias.first",
    "bias.second",
];
const IDLE: &str = "idle";
const STEPS: &str = "steps";

/// D, E and c, with the moments of their gradients. Matrices are stored by columns of length d, one
/// for each atom.
pub(super) struct Weights<T: Scalar> {
    pub(super) dim: usize,
    pub(super) dictionary: Vec<T>,
    pub(super) encoder: Vec<T>,
    pub(super) bias: Vec<T>,
    pub(super) of_dictionary: Moments<T>,
    pub(super) of_encoder: Moments<T>,
    pub(super) of_bias: Moments<T>,
    /// Samples since an atom was last used.
    pub(super) idle: Vec<usize>,
    pub(super) steps: u64,
}

/// Means of gradients and of their squares.
pub(super) struct Moments<T> {
    pub(super) first: Vec<T>,
    pub(super) second: Vec<T>,
}

impl<T: Scalar> Moments<T> {
    fn new(dim: usize, atoms: usize) -> Result<Self, Error> {
        Ok(Self { first: zeros(dim, atoms)?, second: zeros(dim, atoms)? })
    }

    /// Those of each atom.
    pub(super) fn by_atom(
        &mut self,
        dim: usize,
    ) -> impl IndexedParallelIterator<Item = (&mut [T], &mut [T])> {
        self.first.par_chunks_mut(dim).zip(self.second.par_chunks_mut(dim))
    }
}

impl<T: Scalar> Weights<T> {
    /// The model's dictionary, with its encoder if it has one, or else with E = Dᵀ.
    pub(super) fn new(model: &Model<T>) -> Result<Self, Error> {
        let (dim, atoms) = (model.dim(), model.atoms());
        // Asked for first, since copies of matrices cannot tell that there is no memory.
        let of_dictionary = Moments::new(dim, atoms)?;
        let of_encoder = Moments::new(dim, atoms)?;
        let dictionary = columns(model.dictionary().as_mat());
        let known = model.linear_coder().and_then(|coder| coder.encoder.as_ref());
        let encoder = known.map_or_else(|| dictionary.clone(), |known| columns(known.weights()));
        Ok(Self {
            dim,
            dictionary,
            encoder,
            bias: known
                .and_then(|known| known.bias())
                .map_or_else(|| vec![T::zero(); atoms], <[T]>::to_vec),
            of_dictionary,
            of_encoder,
            of_bias: Moments::new(1, atoms)?,
            idle: vec![0; atoms],
            steps: 0,
        })
    }

    /// Divides the bias by `unit`, as the samples are.
    pub(super) fn count_in(&mut self, unit: f64) {
        let factor = T::narrow(1.0 / unit);
        self.bias.iter_mut().for_each(|c| *c *= factor);
    }

    /// D (d × m), Eᵀ (d × m) and c.
    pub(super) fn matrices(&self) -> (Mat<T>, Mat<T>, Vec<T>) {
        let Self { dim, dictionary, encoder, bias, .. } = self;
        (matrix(dictionary, *dim), matrix(encoder, *dim), bias.clone())
    }

    pub(super) fn atoms(&self) -> usize {
        self.idle.len()
    }

    /// Adds all but D, which a saved run holds, to the saved state.
    pub(super) fn save(&self, saved: &mut SavedState<T>) {
        for (name, numbers) in NAMES.into_iter().zip(self.arrays()) {
            saved.insert(name, SavedArray::Scalars(numbers.clone()));
        }
        let idle = self.idle.iter().map(|&idle| idle as u64).collect();
        saved.insert(IDLE, SavedArray::U64(idle));
        saved.insert(STEPS, SavedArray::U64(vec![self.steps]));
    }

    /// Goes on from D and what [`save`](Self::save) added.
    pub(super) fn restore(
        &mut self,
        dictionary: MatRef<'_, T>,
        saved: &SavedState<T>,
    ) -> Result<(), Error> {
        self.dictionary = columns(dictionary);
        for (name, numbers) in NAMES.into_iter().zip(self.arrays_mut()) {
            let len = numbers.len();
            numbers.copy_from_slice(saved.scalars(name, len)?);
        }
        let idle = saved.counts(IDLE, self.idle.len())?;
        self.idle.iter_mut().zip(idle).for_each(|(own, &saved)| *own = saved as usize);
        self.steps = saved.counts(STEPS, 1)?[0];
        Ok(())
    }

    /// All arrays but D, in the order of their [`NAMES`].
    fn arrays(&self) -> [&Vec<T>; NAMES.len()] {
        let Self { encoder, bias, of_dictionary, of_encoder, of_bias, .. } = self;
        let [d, e, c] = [of_dictionary, of_encoder, of_bias];
        [encoder, bias, &d.first, &d.second, &e.first, &e.second, &c.first, &c.second]
    }

    /// The same, to be changed.
    fn arrays_mut(&mut self) -> [&mut Vec<T>; NAMES.len()] {
        let Self { encoder, bias, of_dictionary, of_encoder, of_bias, .. } = self;
        let [d, e, c] = [of_dictionary, of_encoder, of_bias];
        [
            encoder,
            bias,
            &mut d.first,
            &mut d.second,
            &mut e.first,
            &mut e.second,
            &mut c.first,
            &mut c.second,
        ]
    }
}

/// Room for one more matrix of this shape, as zeros.
fn zeros<T: Scalar>(dim: usize, atoms: usize) -> Result<Vec<T>, BackendError> {
    check_room::<T>(dim, atoms)?;
    Ok(vec![T::zero(); dim * atoms])
}

/// The columns of a matrix, one after the other.
pub(super) fn columns<T: Scalar>(matrix: MatRef<'_, T>) -> Vec<T> {
    (0..matrix.ncols()).flat_map(|j| column(matrix, j)).copied().collect()
}

/// The matrix with these columns.
fn matrix<T: Scalar>(columns: &[T], dim: usize) -> Mat<T> {
    MatRef::from_column_major_slice(columns, dim, columns.len() / dim).to_owned()
}
