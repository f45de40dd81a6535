//! The step from one sample's products W_encᵀx to its codes.
//!
//! ```text
//! p ← W_encᵀ x + b_enc
//! z ← activation(p)                  who fires, and how much
//! code_j ← z_j n_j                   n_j = ‖decoder row j‖; z_j alone if the encoder rescales
//! ```
//!
//! A latent whose decoder row is zero fires like any other, and counts among the k largest. But its
//! code is zero and is left out.

use std::cmp::Ordering;

use dbksvd::{HostBackend, Scalar};

use super::pursuit::{Pursuit, pursue};
use super::types::{Affine, Architecture, Sae};

/// What was subtracted from samples before they reach the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// What the encoder asks for: b_dec was subtracted if the encoder wants that.
    AsWanted,
    /// The mean of [`Sae::model`] was subtracted, whatever the encoder wants.
    Centred,
}

/// What is computed from a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Output {
    /// Coefficients of unit atoms.
    Codes,
    /// The latents z.
    Latents,
}

/// An SAE's biases and norms, in the form from which activations are computed.
#[derive(Debug)]
pub(super) struct Activation<T> {
    /// b_enc or b_gate. W_encᵀ b_dec is added if b_dec was subtracted and should not have been.
    bias: Vec<T>,
    /// b_mag, with the same correction; empty unless the encoder is gated.
    magnitude_bias: Vec<T>,
    /// exp(r_mag); empty unless the encoder is gated.
    scale: Vec<T>,
    norms: Vec<T>,
    output: Output,
}

impl<T: Scalar> Activation<T> {
    pub(super) fn new(sae: &Sae<T>, input: Input, output: Output) -> Self {
        let norms = sae.norms().into_iter().map(T::narrow).collect();
        let (bias, magnitude_bias, scale) = (vec![], vec![], vec![]);
        let mut activation = Self { bias, magnitude_bias, scale, norms, output };
        let Some(Affine { weights, bias }) = sae.architecture().encoder() else {
            return activation;
        };
        let shifted = input == Input::Centred && !sae.is_input_centred();
        let shift = |j: usize| -> f64 {
            let terms = weights.col_as_slice(j).iter().zip(sae.decoder_bias());
            if shifted { terms.map(|(w, b)| w.widen() * b.widen()).sum() } else { 0.0 }
        };
        let add = |(j, b): (usize, &T)| T::narrow(b.widen() + shift(j));
        activation.bias = bias.iter().enumerate().map(add).collect();
        if let Architecture::Gated { log_scale, bias, .. } = sae.architecture() {
            activation.scale = log_scale.iter().map(|r| T::narrow(r.widen().exp())).collect();
            let add =
                |(j, b): (usize, &T)| T::narrow(b.widen() + log_scale[j].widen().exp() * shift(j));
            activation.magnitude_bias = bias.iter().enumerate().map(add).collect();
        }
        activation
    }

    /// Replaces `codes` by the nonzero codes, or latents, of one sample. The strongest comes first;
    /// of equal ones, the lower atom does. `products` holds W_encᵀx of the sample; matching pursuit
    /// uses the sample itself.
    pub(super) fn codes<B: HostBackend<Scalar = T>>(
        &self,
        backend: &B,
        sae: &Sae<T>,
        sample: &[T],
        products: &[T],
        pursuit: &mut Pursuit<T>,
        codes: &mut Vec<(u32, T)>,
    ) {
        codes.clear();
        match sae.architecture() {
            Architecture::Standard { .. } => self.fire(products, codes, |_, p| p > T::zero()),
            Architecture::JumpRelu { threshold, .. } => {
                self.fire(products, codes, |j, p| p > threshold[j] && p > T::zero());
            }
            &Architecture::TopK { sparsity, rescaled, .. } => {
                self.fire(products, codes, |_, p| p > T::zero());
                self.keep(sparsity, rescaled, codes);
            }
            &Architecture::AbsTopK { sparsity, rescaled, .. } => {
                self.fire(products, codes, |_, p| num_traits::Float::abs(p) > T::zero());
                self.keep(sparsity, rescaled, codes);
            }
            &Architecture::GroupMax { groups, .. } => self.largest(groups, products, codes),
            Architecture::Gated { .. } => self.gate(products, codes),
            &Architecture::MatchingPursuit {
                residual_threshold,
                max_iterations,
                stop_on_duplicate_support,
            } => {
                pursuit.residual_threshold = residual_threshold;
                pursuit.max_iterations = max_iterations;
                pursuit.stop_on_duplicate_support = stop_on_duplicate_support;
                pursue(backend, sae.decoder(), sample, pursuit, codes);
            }
        }
        if self.output == Output::Codes && !sae.architecture().is_rescaled() {
            for (atom, value) in codes.iter_mut() {
                *value *= self.norms[*atom as usize];
            }
        }
        // A code can be zero because the product has underflowed or the decoder row is zero.
        codes.retain(|&(_, value)| value != T::zero());
        codes.sort_unstable_by(stronger);
    }

    /// Adds the latents p for which `fires` is true.
    fn fire(&self, products: &[T], codes: &mut Vec<(u32, T)>, fires: impl Fn(usize, T) -> bool) {
        for (j, (&product, &bias)) in products.iter().zip(&self.bias).enumerate() {
            let p = product + bias;
            if fires(j, p) {
                codes.push((j as u32, p));
            }
        }
    }

    /// Keeps the `sparsity` largest of `codes`, which are first rescaled if `rescaled`.
    fn keep(&self, sparsity: usize, rescaled: bool, codes: &mut Vec<(u32, T)>) {
        if rescaled {
            for (atom, value) in codes.iter_mut() {
                *value *= self.norms[*atom as usize];
            }
        }
        strongest(codes, sparsity);
    }

    /// Adds the largest p > 0 of each group; of equal ones, the first.
    fn largest(&self, groups: usize, products: &[T], codes: &mut Vec<(u32, T)>) {
        let size = products.len() / groups;
        let biases = self.bias.chunks_exact(size);
        for (group, (products, biases)) in products.chunks_exact(size).zip(biases).enumerate() {
            let mut best = (0, T::zero());
            for (within, (&product, &bias)) in products.iter().zip(biases).enumerate() {
                let p = product + bias;
                if p > best.1 {
                    best = ((group * size + within) as u32, p);
                }
            }
            if best.1 > T::zero() {
                codes.push(best);
            }
        }
    }

    fn gate(&self, products: &[T], codes: &mut Vec<(u32, T)>) {
        for (j, &product) in products.iter().enumerate() {
            let magnitude = self.scale[j] * product + self.magnitude_bias[j];
            if product + self.bias[j] > T::zero() && magnitude > T::zero() {
                codes.push((j as u32, magnitude));
            }
        }
    }
}

/// Keeps the `count` codes of largest |code|, in no particular order; of equal ones, the lower
/// atoms.
fn strongest<T: Scalar>(codes: &mut Vec<(u32, T)>, count: usize) {
    if codes.len() > count {
        codes.select_nth_unstable_by(count, stronger);
        codes.truncate(count);
    }
}

/// Orders by falling |code|, then by rising atom.
fn stronger<T: Scalar>(a: &(u32, T), b: &(u32, T)) -> Ordering {
    let by_size = b.1.widen().abs().total_cmp(&a.1.widen().abs());
    by_size.then(a.0.cmp(&b.0))
}
