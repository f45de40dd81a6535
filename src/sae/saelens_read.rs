//! SAELens directories, read.

use std::path::Path;

use super::config::Config;
use super::tensors::Tensors;
use super::types::{Affine, Architecture, Sae};
use crate::Scalar;
use crate::error::FileError;
use crate::source::element::Element;

/// The names of SAELens' two files.
pub(super) const CONFIG: &str = "cfg.json";
pub(super) const WEIGHTS: &str = "sae_weights.safetensors";

const ARCHITECTURES: &str = "standard, topk, abstopk, jumprelu, gated or matching_pursuit";

impl<T: Scalar> Sae<T> {
    /// Reads a directory that SAELens' `save_model` or `save_inference_model` wrote, version 6 or
    /// later: `cfg.json` and `sae_weights.safetensors`.
    ///
    /// | key of `cfg.json` | if absent | |
    /// |---|---|---|
    /// | `architecture` | error | `standard`, `topk`, `abstopk`, `jumprelu`, `gated`, `matching_pursuit` |
    /// | `d_in`, `d_sae` | error | d, m |
    /// | `dtype` | error | one that holds the tensors exactly; we compute in `T`, whatever it says |
    /// | `metadata.sae_lens_version` | error | 6 or later; other metadata say nothing about the arithmetic |
    /// | `device` | | where SAELens would put it: says nothing either |
    /// | `apply_b_dec_to_input` | true | |
    /// | `normalize_activations` | none | `none`; others are an error (see below) |
    /// | `reshape_activations` | none | `none` or `hook_z`: samples are flat, the heads one after the other |
    /// | `k` | error | `topk` and `abstopk` |
    /// | `rescale_acts_by_decoder_norm` | false | `topk` and `abstopk` |
    /// | `residual_threshold` | 0.01 | `matching_pursuit` |
    /// | `max_iterations` | d | `matching_pursuit`; null is d |
    /// | `stop_on_duplicate_support` | true | `matching_pursuit` |
    ///
    /// What stands for an absent key is what SAELens takes for it. A `normalize_activations` that
    /// scales each sample by its own norm (`constant_norm_rescale`, `layer_norm`) leaves no fixed
    /// mean and dictionary; `expected_average_only_in` and `covariance_whitening` mean a factor or
    /// a matrix that is not in the file, to be folded in by SAELens first.
    ///
    /// The format is that of sae-lens 6.54.12.
    ///
    /// # Errors
    /// - [`FileError::Setting`], naming a key that is absent or whose value cannot be honoured,
    /// - [`FileError::UnknownKeys`], naming keys of `cfg.json` that are none of these,
    /// - [`FileError::Tensor`] for tensors missing, or there and not part of the architecture,
    /// - [`FileError::Shape`] and [`FileError::ElementType`] for tensors unlike the configuration,
    /// - [`FileError::Format`] for files that are no JSON or safetensors, and for values that are
    ///   not finite or otherwise refused by [`Sae::new`],
    /// - [`FileError::Io`], [`FileError::Truncated`].
    pub fn read_saelens(directory: impl AsRef<Path>) -> Result<Self, FileError> {
        let directory = directory.as_ref();
        let mut config = Config::open(&directory.join(CONFIG), "SAELens configuration")?;
        let expected = "the version of SAELens that wrote it, 6 or later";
        let metadata = config.object("metadata")?;
        let version = metadata.as_ref().and_then(|metadata| metadata.get("sae_lens_version"));
        let version = version.and_then(|version| version.as_str().map(str::to_owned));
        let version = config.required("metadata.sae_lens_version", version, expected)?;
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        if major.is_none_or(|major| major < 6) {
            return Err(config.wrong("metadata.sae_lens_version", version, expected));
        }

        let architecture = config.text("architecture")?;
        let architecture = config.required("architecture", architecture, ARCHITECTURES)?;
        let (dim, latents) = (config.count("d_in")?, config.count("d_sae")?);
        let dim = config.required("d_in", dim, "the dimension of samples")?;
        let latents = config.required("d_sae", latents, "the number of latents")?;
        let dtype = config.text("dtype")?;
        let dtype = config.required("dtype", dtype, "the type of the weights")?;
        config.text("device")?;
        let input_centred = config.flag("apply_b_dec_to_input")?.unwrap_or(true);
        one_of(&mut config, "normalize_activations", &["none"])?;
        one_of(&mut config, "reshape_activations", &["none", "hook_z"])?;

        let weights = directory.join(WEIGHTS);
        let mut tensors = Tensors::open(&weights)?;
        let shape = (dim, latents);
        let decoder = tensors.columns("W_dec", shape)?;
        let decoder_bias = tensors.vector("b_dec", dim)?;
        let architecture = read_architecture(&architecture, shape, &mut config, &mut tensors)?;
        check_dtype(&dtype, &config, &tensors)?;
        config.finish()?;
        tensors.finish()?;
        Self::new(decoder, decoder_bias, input_centred, architecture).map_err(|error| {
            FileError::Format { path: weights, format: "SAELens", reason: error.to_string() }
        })
    }
}

fn read_architecture<T: Scalar>(
    name: &str,
    shape: (usize, usize),
    config: &mut Config,
    tensors: &mut Tensors,
) -> Result<Architecture<T>, FileError> {
    let (dim, latents) = shape;
    let affine = |tensors: &mut Tensors, bias| -> Result<Affine<T>, FileError> {
        let weights = tensors.rows("W_enc", shape)?;
        Ok(Affine { weights, bias: tensors.vector(bias, latents)? })
    };
    Ok(match name {
        "standard" => Architecture::Standard { encoder: affine(tensors, "b_enc")? },
        "topk" | "abstopk" => {
            let sparsity = config.count("k")?;
            let sparsity = config.required("k", sparsity, "the number of latents that fire")?;
            let rescaled = config.flag("rescale_acts_by_decoder_norm")?.unwrap_or(false);
            let encoder = affine(tensors, "b_enc")?;
            if name == "topk" {
                Architecture::TopK { encoder, sparsity, rescaled }
            } else {
                Architecture::AbsTopK { encoder, sparsity, rescaled }
            }
        }
        "jumprelu" => {
            let encoder = affine(tensors, "b_enc")?;
            Architecture::JumpRelu { encoder, threshold: tensors.vector("threshold", latents)? }
        }
        "gated" => Architecture::Gated {
            gate: affine(tensors, "b_gate")?,
            log_scale: tensors.vector("r_mag", latents)?,
            bias: tensors.vector("b_mag", latents)?,
        },
        "matching_pursuit" => {
            config.drop_null("max_iterations");
            Architecture::MatchingPursuit {
                residual_threshold: config.number("residual_threshold")?.unwrap_or(1e-2),
                max_iterations: config.count("max_iterations")?.unwrap_or(dim),
                stop_on_duplicate_support: config
                    .flag("stop_on_duplicate_support")?
                    .unwrap_or(true),
            }
        }
        other => return Err(config.wrong("architecture", other, ARCHITECTURES)),
    })
}

/// Refuses a key whose text is none of those that can be honoured; the first stands for its
/// absence.
fn one_of(config: &mut Config, key: &str, known: &[&str]) -> Result<(), FileError> {
    match config.text(key)? {
        Some(found) if !known.contains(&found.as_str()) => {
            Err(config.wrong(key, found, &known.join(" or ")))
        }
        _ => Ok(()),
    }
}

/// SAELens converts tensors to `dtype`, which must not round them: it would compute with other
/// numbers than we.
fn check_dtype(dtype: &str, config: &Config, tensors: &Tensors) -> Result<(), FileError> {
    let holds: &[Element] = match dtype.strip_prefix("torch.").unwrap_or(dtype) {
        "float64" => &[Element::F64, Element::F32, Element::F16, Element::Bf16],
        "float32" => &[Element::F32, Element::F16, Element::Bf16],
        "float16" => &[Element::F16],
        "bfloat16" => &[Element::Bf16],
        other => {
            return Err(config.wrong("dtype", other, "float64, float32, float16 or bfloat16"));
        }
    };
    match tensors.elements()?.into_iter().find(|(_, element)| !holds.contains(element)) {
        None => Ok(()),
        Some((name, element)) => {
            let found = format!("{dtype}, and `{name}` of {element:?}");
            Err(config.wrong("dtype", found, "a type that holds the tensors exactly"))
        }
    }
}
