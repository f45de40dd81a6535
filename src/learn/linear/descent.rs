//! The steps that Adam takes with dictionary and encoder, and the renewal of atoms without a use.
//!
//! D. Kingma, J. Ba, "Adam: a method for stochastic optimization", arXiv:1412.6980, 2014.

use num_traits::Float;
use rayon::prelude::*;

use super::minibatch::Minibatch;
use super::weights::Weights;
use crate::Scalar;
use crate::cpu::vector::{loops, vectorized};

/// Adam's decay of the mean of gradients, and of their squares.
const BETAS: [f64; 2] = [0.9, 0.999];

/// What is added to the root of the mean square.
const EPSILON: f64 = 1e-8;

/// At most this share of a minibatch's samples become atoms in one step.
const MOST_RENEWED: usize = 4;

/// Steps between two renewals, so that a new atom is used before others are made of like samples.
const RENEWAL: u64 = 25;

impl<T: Scalar> Weights<T> {
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
