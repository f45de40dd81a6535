//! Dictionary and encoder, and the steps that Adam takes with them.

use faer::{Mat, MatRef};
use num_traits::Float;
use rayon::prelude::*;

use super::minibatch::Minibatch;
use crate::Scalar;
use crate::cpu::vector::{loops, vectorized};
use crate::error::{BackendError, Error};
use crate::matrix::{check_room, column};
use crate::model::Model;
use crate::updater::{SavedArray, SavedState};

/// Adam's decay of the mean of gradients, and of their squares.
const BETAS: [f64; 2] = [0.9, 0.999];

/// What is added to the root of the mean square.
const EPSILON: f64 = 1e-8;

/// At most this share of a minibatch's samples become atoms in one step.
const MOST_RENEWED: usize = 4;

/// Steps between two renewals, so that a new atom is used before others are made of like samples.
const RENEWAL: u64 = 25;

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
    dim: usize,
    pub(super) dictionary: Vec<T>,
    pub(super) encoder: Vec<T>,
    pub(super) bias: Vec<T>,
    of_dictionary: Moments<T>,
    of_encoder: Moments<T>,
    of_bias: Moments<T>,
    /// Samples since an atom was last used.
    idle: Vec<usize>,
    steps: u64,
}

/// Means of gradients and of their squares.
struct Moments<T> {
    first: Vec<T>,
    second: Vec<T>,
}

impl<T: Scalar> Moments<T> {
    fn new(dim: usize, atoms: usize) -> Result<Self, Error> {
        Ok(Self { first: zeros(dim, atoms)?, second: zeros(dim, atoms)? })
    }

    /// Those of each atom.
    fn by_atom(&mut self, dim: usize) -> impl IndexedParallelIterator<Item = (&mut [T], &mut [T])> {
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

    /// One step of Adam with the gradients of a minibatch, whose loss was that of these prefixes of
    /// the atoms.
    pub(super) fn step(&mut self, minibatch: &Minibatch<T>, prefixes: &[usize], rate: f64) {
        self.steps += 1;
        let adam = Adam::new(rate, self.steps);
        let scale = T::narrow(1.0 / minibatch.samples() as f64);
        let Self { dim, dictionary, encoder, bias, of_dictionary, of_encoder, of_bias, .. } = self;
        let dim = *dim;
        dictionary
            .par_chunks_mut(dim)
            .zip(encoder.par_chunks_mut(dim))
            .zip(bias.par_iter_mut())
            .zip(of_dictionary.by_atom(dim))
            .zip(of_encoder.by_atom(dim))
            .zip(of_bias.by_atom(1))
            .enumerate()
            .for_each_init(
                || (vec![T::zero(); dim], vec![T::zero(); dim]),
                |(of_encoder, of_atom),
                 (j, (((((atom, row), c), d_moments), e_moments), c_moments))| {
                    of_encoder.fill(T::zero());
                    of_atom.fill(T::zero());
                    let prefix = prefixes.partition_point(|&size| size <= j);
                    let place = (prefix, prefixes.len());
                    let of_bias = minibatch.gradients(j, place, of_encoder, of_atom) * scale;
                    of_encoder.iter_mut().chain(&mut *of_atom).for_each(|g| *g *= scale);
                    adam.step(row, of_encoder, e_moments);
                    adam.step(std::slice::from_mut(c), &[of_bias], c_moments);
                    // Along the atom, a change would be undone by scaling it to norm 1.
                    let along = loops::product(of_atom, atom);
                    loops::add(of_atom, -along, atom);
                    adam.step(atom, of_atom, d_moments);
                    loops::normalize(atom);
                },
            );
    }

    /// Replaces atoms that the last `most_idle` samples and more have not used, if `is_on` and it
    /// is time. Returns how many were replaced.
    pub(super) fn renew(
        &mut self,
        minibatch: &Minibatch<T>,
        most_idle: usize,
        is_on: bool,
    ) -> usize {
        for (j, idle) in self.idle.iter_mut().enumerate() {
            *idle = if minibatch.uses(j).is_empty() { *idle + minibatch.samples() } else { 0 };
        }
        if !is_on || !self.steps.is_multiple_of(RENEWAL) {
            return 0;
        }
        let idle: Vec<usize> = (0..self.idle.len()).filter(|&j| self.idle[j] > most_idle).collect();
        let most = idle.len().min(minibatch.samples().div_ceil(MOST_RENEWED));
        if most == 0 {
            return 0;
        }
        let worst = minibatch.worst(most);
        for (&j, &direction) in idle.iter().zip(&worst) {
            let place = j * self.dim..(j + 1) * self.dim;
            let atom = &mut self.dictionary[place.clone()];
            atom.copy_from_slice(direction);
            loops::normalize(atom);
            self.encoder[place.clone()].copy_from_slice(atom);
            self.bias[j] = T::zero();
            for moments in [&mut self.of_dictionary, &mut self.of_encoder] {
                moments.first[place.clone()].fill(T::zero());
                moments.second[place.clone()].fill(T::zero());
            }
            (self.of_bias.first[j], self.of_bias.second[j]) = (T::zero(), T::zero());
            self.idle[j] = 0;
        }
        worst.len()
    }
}

/// The factors of one step.
struct Adam<T> {
    keep: [T; 2],
    take: [T; 2],
    /// Undoes that the moments begin at zero; the first holds the step length, too.
    unbias: [T; 2],
}

impl<T: Scalar> Adam<T> {
    fn new(rate: f64, steps: u64) -> Self {
        let missing = BETAS.map(|beta| 1.0 - beta.powi(steps.min(1 << 30) as i32));
        Self {
            keep: BETAS.map(T::narrow),
            take: BETAS.map(|beta| T::narrow(1.0 - beta)),
            unbias: [rate / missing[0], 1.0 / missing[1]].map(T::narrow),
        }
    }

    /// w ← w + a step along the gradient of what is to grow.
    fn step(&self, w: &mut [T], gradient: &[T], (first, second): (&mut [T], &mut [T])) {
        let Self { keep, take, unbias } = *self;
        ascend(w, gradient, first, second, &[keep, take, unbias]);
    }
}

vectorized! {
    fn ascend<'a, T>(
        w: &'a mut [T],
        gradient: &'a [T],
        first: &'a mut [T],
        second: &'a mut [T],
        factors: &'a [[T; 2]; 3],
    ) {
        let [keep, take, unbias] = *factors;
        let epsilon = T::narrow(EPSILON);
        for (((w, &g), first), second) in w.iter_mut().zip(gradient).zip(first).zip(second) {
            *first = keep[0] * *first + take[0] * g;
            *second = keep[1] * *second + take[1] * g * g;
            *w += unbias[0] * *first / (Float::sqrt(unbias[1] * *second) + epsilon);
        }
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
