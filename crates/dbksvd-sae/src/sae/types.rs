//! A sparse autoencoder: a decoder, and one of several kinds of encoders.

use dbksvd::faer::{Mat, MatRef};
use dbksvd::{Error, Scalar, Sign};

use crate::vector::first_not_finite;

/// An affine map from samples to one number for each latent: p_j = w_jᵀ x + b_j.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine<T: Scalar> {
    /// W_enc as d × m: column j is w_j.
    pub weights: Mat<T>,
    /// b_enc, of length m.
    pub bias: Vec<T>,
}

/// How samples become latents z. The names are those of SAELens' encoders.
///
/// Here x is the sample, minus b_dec if [`Sae::is_input_centred`]; p = W_encᵀ x + b_enc; and n_j is
/// the norm of decoder row j.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Architecture<T: Scalar> {
    /// z = max(p, 0).
    Standard {
        /// p.
        encoder: Affine<T>,
    },
    /// z = max(p, 0) for the k largest p, else 0.
    TopK {
        /// p.
        encoder: Affine<T>,
        /// k.
        sparsity: usize,
        /// Whether latents are p_j n_j instead of p_j, and decoder rows are scaled to norm 1
        /// (`rescale_acts_by_decoder_norm`).
        rescaled: bool,
    },
    /// z = p for the k largest |p|, else 0: signed latents.
    AbsTopK {
        /// p.
        encoder: Affine<T>,
        /// k.
        sparsity: usize,
        /// See [`TopK`](Self::TopK).
        rescaled: bool,
    },
    /// Latents are divided into k groups of m/k consecutive latents. z = max(p, 0) for the largest
    /// p of each group, else 0 (sparsify's `groupmax`).
    GroupMax {
        /// p.
        encoder: Affine<T>,
        /// k, a divisor of m.
        groups: usize,
    },
    /// z = max(p, 0) where p > threshold, else 0.
    JumpRelu {
        /// p.
        encoder: Affine<T>,
        /// A threshold for each latent.
        threshold: Vec<T>,
    },
    /// z = max(exp(r) W_encᵀx + b_mag, 0) where W_encᵀx + b_gate > 0, else 0.
    Gated {
        /// W_enc and b_gate.
        gate: Affine<T>,
        /// r_mag, of length m.
        log_scale: Vec<T>,
        /// b_mag, of length m.
        bias: Vec<T>,
    },
    /// Matching pursuit on the decoder's rows. The step z_j += w_jᵀr, r −= (w_jᵀr) w_j is repeated
    /// for the row w_j with the largest w_jᵀr > 0. A latent may be chosen more than once.
    MatchingPursuit {
        /// The pursuit stops once ‖r‖ is below this; with 0, it never does.
        residual_threshold: f64,
        /// The most steps. A row that is chosen again counts again.
        max_iterations: usize,
        /// Whether to stop once a step chooses a latent that was chosen before.
        stop_on_duplicate_support: bool,
    },
}

impl<T: Scalar> Architecture<T> {
    /// The name in SAELens' `architecture`, or sparsify's activation if SAELens has no such
    /// architecture.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Standard { .. } => "standard",
            Self::TopK { .. } => "topk",
            Self::AbsTopK { .. } => "abstopk",
            Self::GroupMax { .. } => "groupmax",
            Self::JumpRelu { .. } => "jumprelu",
            Self::Gated { .. } => "gated",
            Self::MatchingPursuit { .. } => "matching_pursuit",
        }
    }

    /// The affine map, except for matching pursuit, which has none.
    #[must_use]
    pub fn encoder(&self) -> Option<&Affine<T>> {
        match self {
            Self::Standard { encoder }
            | Self::TopK { encoder, .. }
            | Self::AbsTopK { encoder, .. }
            | Self::GroupMax { encoder, .. }
            | Self::JumpRelu { encoder, .. }
            | Self::Gated { gate: encoder, .. } => Some(encoder),
            Self::MatchingPursuit { .. } => None,
        }
    }

    /// The sign of latents: only [`AbsTopK`](Self::AbsTopK) has negative ones.
    #[must_use]
    pub fn sign(&self) -> Sign {
        match self {
            Self::AbsTopK { .. } => Sign::Signed,
            _ => Sign::NonNegative,
        }
    }

    /// Whether a latent is divided by the norm of its decoder row before decoding.
    pub(super) fn is_rescaled(&self) -> bool {
        matches!(self, Self::TopK { rescaled: true, .. } | Self::AbsTopK { rescaled: true, .. })
    }

    /// Checks everything that must agree with a decoder of `dim` × `latents`.
    fn check(&self, dim: usize, latents: usize) -> Result<(), Error> {
        if let Some(Affine { weights, bias }) = self.encoder() {
            if weights.nrows() != dim {
                let found = weights.nrows();
                return Err(Error::Dimension { argument: "W_enc", found, expected: dim });
            }
            if weights.ncols() != latents {
                let expected = format!("{latents} latents, as the decoder has");
                return Err(Error::argument("W_enc", weights.ncols(), expected));
            }
            check_matrix("W_enc", weights)?;
            let name = if matches!(self, Self::Gated { .. }) { "b_gate" } else { "b_enc" };
            check_vector(name, bias, latents)?;
        }
        match self {
            Self::TopK { sparsity: k, .. } | Self::AbsTopK { sparsity: k, .. } => {
                if !(1..=latents).contains(k) {
                    return Err(Error::argument("k", k, format!("1 to {latents}")));
                }
            }
            Self::GroupMax { groups, .. } => {
                if !latents.is_multiple_of(*groups) {
                    let expected = format!("a divisor of {latents}, the number of latents");
                    return Err(Error::argument("k", groups, expected));
                }
            }
            Self::JumpRelu { threshold, .. } => check_vector("threshold", threshold, latents)?,
            Self::Gated { log_scale, bias, .. } => {
                check_vector("r_mag", log_scale, latents)?;
                check_vector("b_mag", bias, latents)?;
            }
            Self::MatchingPursuit { residual_threshold, max_iterations, .. } => {
                if !residual_threshold.is_finite() || *residual_threshold < 0.0 {
                    let found = residual_threshold;
                    return Err(Error::argument("residual_threshold", found, "at least 0, finite"));
                }
                if *max_iterations == 0 {
                    return Err(Error::argument("max_iterations", 0, "at least 1"));
                }
            }
            Self::Standard { .. } => {}
        }
        Ok(())
    }
}

/// A sparse autoencoder with m latents for samples of dimension d.
///
/// ```
/// use dbksvd::faer::mat;
/// use dbksvd_sae::{Affine, Architecture, Sae};
///
/// let encoder = Affine { weights: mat![[1.0, 0.0], [0.0, 1.0]], bias: vec![0.0, -1.0] };
/// let decoder = mat![[2.0, 0.0], [0.0, 1.0]];
/// let sae = Sae::new(decoder, vec![0.0, 0.5], true, Architecture::Standard { encoder })?;
/// let sample = mat![[3.0], [1.0]];
/// let codes = sae.encode(sample.as_ref())?;
/// assert_eq!((codes.support(0), codes.values(0)), (&[0][..], &[6.0][..]));
/// assert_eq!(sae.latents(&codes)?.values(0), [3.0]); // the decoder row has norm 2
/// assert_eq!(sae.model(1)?.decode(&codes)?, mat![[6.0], [0.5]]);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Sae<T: Scalar> {
    decoder: Mat<T>,
    decoder_bias: Vec<T>,
    input_centred: bool,
    architecture: Architecture<T>,
}

impl<T: Scalar> Sae<T> {
    /// An SAE of the given parts. `decoder` is d × m, and its column j is row j of W_dec.
    /// `decoder_bias` is b_dec, of length d. `input_centred` is SAELens' `apply_b_dec_to_input`.
    ///
    /// # Errors
    /// [`Error::Dimension`] and [`Error::Argument`], with SAELens' name of the part, for parts that
    /// do not agree in d or m, for values that are not finite, for k outside 1..=m (for groups,
    /// also if k does not divide m), for a negative `residual_threshold`, and for `max_iterations`
    /// of 0.
    pub fn new(
        decoder: Mat<T>,
        decoder_bias: Vec<T>,
        input_centred: bool,
        architecture: Architecture<T>,
    ) -> Result<Self, Error> {
        let (dim, latents) = decoder.shape();
        if dim == 0 || latents == 0 || latents >= u32::MAX as usize {
            let found = format!("{latents} × {dim}");
            return Err(Error::argument("W_dec", found, "at least one row and one column"));
        }
        check_matrix("W_dec", &decoder)?;
        if decoder_bias.len() != dim {
            let found = decoder_bias.len();
            return Err(Error::Dimension { argument: "b_dec", found, expected: dim });
        }
        check_vector("b_dec", &decoder_bias, dim)?;
        architecture.check(dim, latents)?;
        Ok(Self { decoder, decoder_bias, input_centred, architecture })
    }

    /// The dimension d of samples.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.decoder.nrows()
    }

    /// The number m of latents.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.decoder.ncols()
    }

    /// How samples become latents.
    #[must_use]
    pub fn architecture(&self) -> &Architecture<T> {
        &self.architecture
    }

    /// The decoder as d × m, whose columns may have any norm: column j is row j of W_dec.
    #[must_use]
    pub fn decoder(&self) -> MatRef<'_, T> {
        self.decoder.as_ref()
    }

    /// b_dec, of length d.
    #[must_use]
    pub fn decoder_bias(&self) -> &[T] {
        &self.decoder_bias
    }

    /// Whether b_dec is subtracted from samples before encoding (`apply_b_dec_to_input`).
    #[must_use]
    pub fn is_input_centred(&self) -> bool {
        self.input_centred
    }
}

fn check_matrix<T: Scalar>(argument: &'static str, matrix: &Mat<T>) -> Result<(), Error> {
    for j in 0..matrix.ncols() {
        if let Some(at) = first_not_finite(matrix.col_as_slice(j)) {
            let found = format!("{} for latent {j}, coordinate {at}", matrix[(at, j)]);
            return Err(Error::argument(argument, found, "finite values"));
        }
    }
    Ok(())
}

fn check_vector<T: Scalar>(
    argument: &'static str,
    values: &[T],
    expected: usize,
) -> Result<(), Error> {
    if values.len() != expected {
        return Err(Error::Dimension { argument, found: values.len(), expected });
    }
    match first_not_finite(values) {
        None => Ok(()),
        Some(at) => {
            let found = format!("{} at index {at}", values[at]);
            Err(Error::argument(argument, found, "finite values"))
        }
    }
}
