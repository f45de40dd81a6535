//! Reading of SAELens directories.

use std::path::Path;

use dbksvd::Scalar;
use dbksvd::error::FileError;
use dbksvd::faer::Mat;
use serde_json::Value;

use super::config::Config;
use super::saelens_keys::UNREAD;
use super::tensors::{Dtype, Tensors};
use super::types::{Affine, Architecture, Sae};

/// The names of SAELens' two files.
pub(super) const CONFIG: &str = "cfg.json";
pub(super) const WEIGHTS: &str = "sae_weights.safetensors";

/// What `d_sae` is, and what the user may have meant if it is missing.
const WIDTH: &str = "the number of latents (directories of sparsify, which have `num_latents`, are \
                     read by `read_sparsify`)";

const ARCHITECTURES: &str = "standard, topk, abstopk, jumprelu, gated or matching_pursuit";

impl<T: Scalar> Sae<T> {
    /// Reads a directory that `save_model` or `save_inference_model` of any version of SAELens
    /// wrote: `cfg.json` and `sae_weights.safetensors`.
    ///
    /// | key of `cfg.json` | if absent | |
    /// |---|---|---|
    /// | `architecture` | error | `standard`, `topk`, `abstopk`, `jumprelu`, `gated`, `matching_pursuit` |
    /// | `d_in`, `d_sae` | error | d, m |
    /// | `dtype` | error | `float64`, `float32`, `float16`, `bfloat16`: weights are rounded to it, as SAELens does; we compute in `T`, whatever it says |
    /// | `sae_lens_version`, `metadata.sae_lens_version` | before 6 | other metadata say nothing about the arithmetic |
    /// | `apply_b_dec_to_input` | true | |
    /// | `normalize_activations` | none | `none`; others are an error (see below) |
    /// | `reshape_activations` | none | `none` or `hook_z`: samples are flat, the heads one after the other |
    /// | `k` | error | `topk` and `abstopk` |
    /// | `rescale_acts_by_decoder_norm` | false | `topk` and `abstopk` |
    /// | `residual_threshold` | 0.01 | `matching_pursuit` |
    /// | `max_iterations` | d | `matching_pursuit`; null is d |
    /// | `stop_on_duplicate_support` | true | `matching_pursuit` |
    ///
    /// Before version 6, these keys are read, too:
    ///
    /// | key of `cfg.json` | if absent | |
    /// |---|---|---|
    /// | `architecture` | standard | `standard` is `topk` with that activation |
    /// | `activation_fn`, `activation_fn_str` | relu | `relu`, or `topk` with `activation_fn_kwargs.k` |
    /// | `normalize_activations` | none | null and false are `none`; true is an error |
    /// | `finetuning_scaling_factor` | false | true: decoder rows are multiplied by the tensor of that name, or `scaling_factor`, if there is one |
    ///
    /// If a key is absent, the value used is the one that SAELens uses. A `normalize_activations`
    /// that scales each sample by its own norm (`constant_norm_rescale`, `layer_norm`) leaves no
    /// fixed mean and dictionary. `expected_average_only_in` and `covariance_whitening` need a
    /// factor or a matrix that is not in the file; fold it into the weights with SAELens first.
    /// Keys about training, the language model and its data change nothing and are passed over.
    ///
    /// Vectors may have a leading dimension of 1. A tensor `scaling_factor` of ones, which early
    /// versions wrote, is passed over. The format is that of sae-lens 0.1 to 6.54.12.
    ///
    /// # Errors
    /// - [`FileError::Setting`], naming a key that is absent or whose value is not supported,
    /// - [`FileError::UnknownKeys`], naming keys of `cfg.json` that no version of SAELens wrote for
    ///   this architecture,
    /// - [`FileError::Tensor`] for tensors that are missing, or that are not part of the
    ///   architecture,
    /// - [`FileError::Shape`] and [`FileError::ElementType`] for tensors that do not match the
    ///   configuration,
    /// - [`FileError::Format`] for files that are not valid JSON or safetensors, for numbers that
    ///   are not finite (naming tensor and index), and for values that [`Sae::new`] refuses for
    ///   another reason,
    /// - [`FileError::Io`], [`FileError::Truncated`].
    pub fn read_saelens(directory: impl AsRef<Path>) -> Result<Self, FileError> {
        let directory = directory.as_ref();
        let mut config = Config::open(&directory.join(CONFIG), "SAELens configuration")?;
        let early = is_early(&mut config)?;
        let architecture = if early {
            early_architecture(&mut config)?
        } else {
            let architecture = config.text("architecture")?;
            config.required("architecture", architecture, ARCHITECTURES)?
        };
        let shape =
            (config.size("d_in", "the dimension of samples")?, config.size("d_sae", WIDTH)?);
        let dtype = dtype(&mut config)?;
        let input_centred = config.flag("apply_b_dec_to_input")?.unwrap_or(true);
        refuse_normalization(&mut config, early)?;
        one_of(&mut config, "reshape_activations", &["none", "hook_z"])?;
        let tuned = early && config.flag("finetuning_scaling_factor")?.unwrap_or(false);
        config.forget(UNREAD);

        let weights = directory.join(WEIGHTS);
        let mut tensors = Tensors::open(&weights, "SAELens", Some(dtype))?;
        let mut decoder = tensors.columns("W_dec", shape)?;
        let decoder_bias = tensors.vector("b_dec", shape.0)?;
        scale_rows(&mut decoder, tuned, &mut tensors, &config)?;
        let architecture = read_architecture(&architecture, shape, &mut config, &mut tensors)?;
        config.finish()?;
        tensors.finish()?;
        Self::new(decoder, decoder_bias, input_centred, architecture).map_err(|error| {
            FileError::Format { path: weights, format: "SAELens", reason: error.to_string() }
        })
    }
}

/// Whether a version before 6 wrote the configuration. The configuration names its version; if it
/// does not, the version is before 6.
fn is_early(config: &mut Config) -> Result<bool, FileError> {
    config.drop_null("metadata");
    let metadata = config.object("metadata")?.and_then(|mut keys| keys.remove("sae_lens_version"));
    let (key, version) = match config.any("sae_lens_version") {
        Some(version) => ("sae_lens_version", version),
        None => ("metadata.sae_lens_version", metadata.unwrap_or_default()),
    };
    let major = match &version {
        Value::Null => Some(0),
        Value::String(text) if text.is_empty() => Some(0),
        Value::String(text) => text.split('.').next().and_then(|major| major.parse::<u32>().ok()),
        _ => None,
    };
    let expected = "the version of SAELens that wrote it, such as 6.54.12";
    major.map(|major| major < 6).ok_or_else(|| config.wrong(key, version, expected))
}

/// The architecture in the terms of version 6, from a configuration that names its activation
/// separately. A combination is an error if versions before 6 and from 6 on understand it as
/// different encoders.
fn early_architecture(config: &mut Config) -> Result<String, FileError> {
    let architecture = config.text("architecture")?.unwrap_or_else(|| "standard".to_owned());
    let (short, long) = (config.text("activation_fn")?, config.text("activation_fn_str")?);
    if let (Some(short), Some(long)) = (&short, &long)
        && short != long
    {
        return Err(config.wrong(
            "activation_fn",
            short,
            &format!("{long}, as `activation_fn_str`"),
        ));
    }
    config.drop_null("activation_fn_kwargs");
    let mut arguments = config.object("activation_fn_kwargs")?.unwrap_or_default();
    let sparsity = arguments.remove("k");
    if let Some((key, value)) = arguments.into_iter().next() {
        return Err(config.wrong(&format!("activation_fn_kwargs.{key}"), value, "absent"));
    }
    let activation = long.or(short);
    match (architecture.as_str(), activation.as_deref()) {
        ("standard" | "topk", Some("topk")) | ("topk", None) => {
            if let Some(sparsity) = sparsity {
                config.replace("k", sparsity, "activation_fn_kwargs.k")?;
            }
            Ok("topk".to_owned())
        }
        (_, None) | ("standard" | "jumprelu" | "gated", Some("relu")) => Ok(architecture),
        (_, Some(found)) => {
            let expected = match architecture.as_str() {
                "standard" => "relu or topk",
                "topk" => "topk, as `architecture` is",
                "jumprelu" | "gated" => "relu, as versions differ on others for this architecture",
                _ => "absent, as this architecture has its own",
            };
            Err(config.wrong("activation_fn", found, expected))
        }
    }
}

/// Refuses an SAE whose samples must be scaled or whitened before they are encoded.
fn refuse_normalization(config: &mut Config, early: bool) -> Result<(), FileError> {
    const KEY: &str = "normalize_activations";
    let found = match config.any(KEY) {
        None => return Ok(()),
        Some(Value::String(found)) if found == "none" => return Ok(()),
        Some(Value::Null | Value::Bool(false)) if early => return Ok(()),
        Some(Value::String(found)) => found,
        Some(found) => found.to_string(),
    };
    let expected = match found.as_str() {
        "true" | "expected_average_only_in" => {
            "none: fold the factor into the weights by SAELens' \
             `fold_activation_norm_scaling_factor` and save them again"
        }
        "covariance_whitening" => {
            "none: fold the matrix into the weights by SAELens' `fold_activation_whitening` and \
             save them again"
        }
        "constant_norm_rescale" | "layer_norm" => {
            "none: a factor of its own for each sample leaves no fixed dictionary"
        }
        _ => "none",
    };
    Err(config.wrong(KEY, found, expected))
}

/// Multiplies rows of the decoder by the factors of a fine-tuned SAE, which multiplies its latents
/// by them before decoding.
fn scale_rows<T: Scalar>(
    decoder: &mut Mat<T>,
    tuned: bool,
    tensors: &mut Tensors,
    config: &Config,
) -> Result<(), FileError> {
    for name in ["scaling_factor", "finetuning_scaling_factor"] {
        if !tensors.holds(name) {
            continue;
        }
        let factors: Vec<T> = tensors.vector(name, decoder.ncols())?;
        // The tolerance that SAELens uses.
        let one = |factor: &T| (factor.widen() - 1.0).abs() <= 1e-8 + 1e-5;
        if name == "scaling_factor" && factors.iter().all(one) {
            continue;
        }
        if !tuned {
            let found = format!("not true, while tensor `{name}` has other factors than 1");
            return Err(config.wrong("finetuning_scaling_factor", found, "true"));
        }
        for (j, factor) in factors.into_iter().enumerate() {
            decoder.col_as_slice_mut(j).iter_mut().for_each(|value| *value *= factor);
        }
    }
    Ok(())
}

/// The type to which tensors are rounded.
fn dtype(config: &mut Config) -> Result<Dtype, FileError> {
    let expected = "float64, float32, float16 or bfloat16";
    let dtype = config.text("dtype")?;
    let dtype = config.required("dtype", dtype, expected)?;
    match dtype.strip_prefix("torch.").unwrap_or(&dtype) {
        "float64" => Ok(Dtype::F64),
        "float32" => Ok(Dtype::F32),
        "float16" => Ok(Dtype::F16),
        "bfloat16" => Ok(Dtype::Bf16),
        _ => Err(config.wrong("dtype", dtype, expected)),
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

/// Refuses a key whose text is not one of the supported values. The first of these is used if the
/// key is absent.
fn one_of(config: &mut Config, key: &str, known: &[&str]) -> Result<(), FileError> {
    match config.text(key)? {
        Some(found) if !known.contains(&found.as_str()) => {
            Err(config.wrong(key, found, &known.join(" or ")))
        }
        _ => Ok(()),
    }
}
