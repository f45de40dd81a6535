//! Learned dictionaries as sparse autoencoders: with tied weights, or with the encoder that was
//! learned with them.

use dbksvd::coder::Coefficients;
use dbksvd::faer::Mat;
use dbksvd::{Error, Model, Scalar, Sign, SparseCodes};

use super::types::{Affine, Architecture, Sae};

/// The encoder that an SAE made of a dictionary gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tied {
    /// Matching pursuit with k iterations (`residual_threshold` 0, `stop_on_duplicate_support`
    /// false). It is the pursuit that other tools have. It is close to OMP, but does not refit
    /// coefficients. Its latents are not negative, so a signed model gets 2m latents with W_dec =
    /// [D; −D]; [`split_signs`] converts codes accordingly.
    MatchingPursuit,
    /// One product and the k largest latents, W_enc = Dᵀ: `topk`, or `abstopk` for signed models.
    TopK,
}

impl<T: Scalar> Sae<T> {
    /// The SAE whose decoder is the model's dictionary. b_dec is the model's mean, or zero, and is
    /// subtracted from samples.
    ///
    /// Latents are in the units of the samples. So the model's own codes, times its
    /// [scale](dbksvd::Preprocessing::scale), decode exactly to what the model decodes. The encoder
    /// finds other codes than the model's coder, by the rule of [`Tied`].
    ///
    /// # Errors
    /// [`Error::Argument`] if 2m latents are too many to count.
    pub fn from_model(model: &Model<T>, encoder: Tied) -> Result<Self, Error> {
        let atoms = model.dictionary().as_mat();
        let (dim, m) = (model.dim(), model.atoms());
        let bias = model.mean().map_or_else(|| vec![T::zero(); dim], <[T]>::to_vec);
        match (encoder, model.sign()) {
            (Tied::MatchingPursuit, sign) => {
                let decoder = match sign {
                    Sign::NonNegative => atoms.to_owned(),
                    Sign::Signed => Mat::from_fn(dim, 2 * m, |i, j| {
                        if j < m { atoms[(i, j)] } else { -atoms[(i, j - m)] }
                    }),
                };
                let architecture = Architecture::MatchingPursuit {
                    residual_threshold: 0.0,
                    max_iterations: model.sparsity(),
                    stop_on_duplicate_support: false,
                };
                Self::new(decoder, bias, true, architecture)
            }
            (Tied::TopK, sign) => {
                let encoder = Affine { weights: atoms.to_owned(), bias: vec![T::zero(); m] };
                let (sparsity, rescaled) = (model.sparsity(), false);
                let architecture = match sign {
                    Sign::NonNegative => Architecture::TopK { encoder, sparsity, rescaled },
                    Sign::Signed => Architecture::AbsTopK { encoder, sparsity, rescaled },
                };
                Self::new(atoms.to_owned(), bias, true, architecture)
            }
        }
    }
}

impl<T: Scalar> Sae<T> {
    /// The SAE that a model with a [linear coder](Model::linear_coder) is: `jumprelu` with the
    /// coder's threshold for every latent. Its encoder finds the model's codes, except that SAEs
    /// have no limit for the nonzeros of a sample, and codes of a model have at most k. b_dec is
    /// the model's mean, or zero, and is subtracted from samples.
    ///
    /// Latents are in the units of the samples: bias and threshold, too, are multiplied by the
    /// model's [scale](dbksvd::Preprocessing::scale).
    ///
    /// # Errors
    /// [`Error::Argument`] if the model has no linear coder, signed codes, or a coder that refits
    /// coefficients, which no SAE does.
    pub fn from_linear_coder(model: &Model<T>) -> Result<Self, Error> {
        let Some(coder) = model.linear_coder() else {
            let expected = "a model that was learned with one";
            return Err(Error::argument("linear_coder", "none", expected));
        };
        if model.sign() != Sign::NonNegative {
            return Err(Error::argument("sign", "signed", "a model with non-negative codes"));
        }
        if coder.coefficients != Coefficients::AsChosen {
            let expected = "the activations, as SAEs have them";
            return Err(Error::argument("coefficients", "refitted", expected));
        }
        let (dim, m) = (model.dim(), model.atoms());
        let atoms = model.dictionary().as_mat();
        let scale = T::narrow(model.preprocessing().scale());
        let encoder = coder.encoder.as_deref();
        let weights = encoder.map_or(atoms, |encoder| encoder.weights()).to_owned();
        let bias = encoder.and_then(|encoder| encoder.bias());
        let bias = bias.map_or_else(|| vec![T::zero(); m], |bias| scaled(bias, scale));
        let threshold = vec![T::narrow(coder.threshold) * scale; m];
        let encoder = Affine { weights, bias };
        let architecture = Architecture::JumpRelu { encoder, threshold };
        let b_dec = model.mean().map_or_else(|| vec![T::zero(); dim], <[T]>::to_vec);
        Self::new(atoms.to_owned(), b_dec, true, architecture)
    }
}

fn scaled<T: Scalar>(values: &[T], factor: T) -> Vec<T> {
    values.iter().map(|&value| value * factor).collect()
}

/// Converts signed codes over D (m atoms) to codes ≥ 0 over [D; −D] (2m atoms) that stand for the
/// same samples: a negative coefficient of atom j becomes a positive coefficient of atom m + j.
#[must_use]
pub fn split_signs<T: Scalar>(codes: &SparseCodes<T>) -> SparseCodes<T> {
    let m = codes.atoms();
    let mut split = SparseCodes::new(2 * m, codes.samples(), codes.sparsity());
    let (mut support, mut values) = (Vec::new(), Vec::new());
    for (i, (atoms, coefficients)) in codes.iter().enumerate() {
        support.clear();
        values.clear();
        for (&atom, &value) in atoms.iter().zip(coefficients) {
            let negative = value < T::zero();
            support.push(if negative { atom + m as u32 } else { atom });
            values.push(if negative { -value } else { value });
        }
        split.set(i, &support, &values);
    }
    split
}
