//! An autoencoder as named values: everything that the codes of its encoder depend on.

use dbksvd::faer::MatRef;
use dbksvd::{Parameters, Scalar};

use super::types::{Affine, Architecture, Sae};

impl<T: Scalar> From<&Sae<T>> for Parameters {
    fn from(sae: &Sae<T>) -> Self {
        Self::of("autoencoder")
            .with("architecture", sae.architecture())
            .with("is_input_centred", sae.is_input_centred())
            .with_hash_of("decoder", of_columns(sae.decoder()))
            .with_hash_of("decoder_bias", of_slice(sae.decoder_bias()))
    }
}

impl<T: Scalar> From<&Architecture<T>> for Parameters {
    fn from(architecture: &Architecture<T>) -> Self {
        let own = Self::of(architecture.name());
        match architecture {
            Architecture::Standard { encoder } => with_affine(own, encoder),
            Architecture::TopK { encoder, sparsity, rescaled }
            | Architecture::AbsTopK { encoder, sparsity, rescaled } => {
                with_affine(own, encoder).with("sparsity", *sparsity).with("rescaled", *rescaled)
            }
            Architecture::GroupMax { encoder, groups } => {
                with_affine(own, encoder).with("groups", *groups)
            }
            Architecture::JumpRelu { encoder, threshold } => {
                with_affine(own, encoder).with_hash_of("threshold", of_slice(threshold))
            }
            Architecture::Gated { gate, log_scale, bias } => with_affine(own, gate)
                .with_hash_of("log_scale", of_slice(log_scale))
                .with_hash_of("magnitude_bias", of_slice(bias)),
            Architecture::MatchingPursuit {
                residual_threshold,
                max_iterations,
                stop_on_duplicate_support,
            } => own
                .with("residual_threshold", *residual_threshold)
                .with("max_iterations", *max_iterations)
                .with("stop_on_duplicate_support", *stop_on_duplicate_support),
        }
    }
}

fn with_affine<T: Scalar>(parameters: Parameters, affine: &Affine<T>) -> Parameters {
    parameters
        .with_hash_of("weights", of_columns(affine.weights.as_ref()))
        .with_hash_of("bias", of_slice(&affine.bias))
}

fn of_columns<T: Scalar>(matrix: MatRef<'_, T>) -> impl Iterator<Item = f64> {
    matrix.col_iter().flat_map(|column| column.iter().map(|x| x.widen()))
}

fn of_slice<T: Scalar>(values: &[T]) -> impl Iterator<Item = f64> {
    values.iter().map(|x| x.widen())
}
