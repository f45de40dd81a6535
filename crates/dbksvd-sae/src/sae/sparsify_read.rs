//! Reading of directories of EleutherAI's sparsify.

use std::path::Path;

use dbksvd::Scalar;
use dbksvd::error::FileError;

use super::config::Config;
use super::tensors::Tensors;
use super::types::{Affine, Architecture, Sae};

impl<T: Scalar> Sae<T> {
    /// Reads a directory that sparsify's `SparseCoder.save_to_disk` wrote: `cfg.json` and
    /// `sae.safetensors`. The encoder of such an SAE subtracts b_dec and keeps the k largest
    /// latents, either of all latents or one in each of k groups.
    ///
    /// | key of `cfg.json` | if absent | |
    /// |---|---|---|
    /// | `d_in` | error | d |
    /// | `k` | error | latents that fire |
    /// | `num_latents` | 0 | m; 0 stands for `expansion_factor` · d |
    /// | `expansion_factor` | 32 | |
    /// | `activation` | topk | `topk` or `groupmax` |
    /// | `transcode`, `skip_connection` | false | true is an error: such coders predict another output than their input |
    /// | `signed` | false | true is an error: versions differ on what it means |
    /// | `normalize_decoder`, `multi_topk` | | of training alone |
    ///
    /// If a key is absent, the value used is the one that sparsify uses. Vectors may have a leading
    /// dimension of 1. The format is that of eai-sparsify 1.3.3, and of its predecessor `sae`.
    ///
    /// # Errors
    /// The errors of [`read_saelens`](Self::read_saelens).
    pub fn read_sparsify(directory: impl AsRef<Path>) -> Result<Self, FileError> {
        let directory = directory.as_ref();
        let mut config = Config::open(&directory.join("cfg.json"), "sparsify configuration")?;
        let sparsity = config.count("k")?;
        let sparsity = config.required("k", sparsity, "the number of latents that fire")?;
        let shape = read_shape(&mut config)?;
        for key in ["transcode", "skip_connection"] {
            if config.flag(key)? == Some(true) {
                return Err(config.wrong(key, true, "false, an autoencoder"));
            }
        }
        if config.flag("signed")? == Some(true) {
            let expected = "false: before version 0.0.1 the k latents of largest size fired, since \
                            then the k largest; with false they are read as the latter";
            return Err(config.wrong("signed", true, expected));
        }
        config.forget(&["normalize_decoder", "multi_topk"]);
        let activation = config.text("activation")?.unwrap_or_else(|| "topk".to_owned());

        let weights = directory.join("sae.safetensors");
        let mut tensors = Tensors::open(&weights, "sparsify", None)?;
        let encoder = Affine {
            weights: tensors.columns("encoder.weight", shape)?,
            bias: tensors.vector("encoder.bias", shape.1)?,
        };
        let architecture = match activation.as_str() {
            "topk" => Architecture::TopK { encoder, sparsity, rescaled: false },
            "groupmax" => Architecture::GroupMax { encoder, groups: sparsity },
            other => return Err(config.wrong("activation", other, "topk or groupmax")),
        };
        let decoder = tensors.columns("W_dec", shape)?;
        let decoder_bias = tensors.vector("b_dec", shape.0)?;
        config.finish()?;
        tensors.finish()?;
        Self::new(decoder, decoder_bias, true, architecture).map_err(|error| FileError::Format {
            path: weights,
            format: "sparsify",
            reason: error.to_string(),
        })
    }
}

/// d and m: `num_latents`, or `expansion_factor` · d.
fn read_shape(config: &mut Config) -> Result<(usize, usize), FileError> {
    let dim = config.size("d_in", "the dimension of samples")?;
    let expansion = config.count("expansion_factor")?.unwrap_or(32);
    match config.count("num_latents")?.unwrap_or(0) {
        0 if expansion == 0 => Err(config.wrong("expansion_factor", 0, "at least 1")),
        0 => Ok((dim, expansion.saturating_mul(dim))),
        latents => Ok((dim, latents)),
    }
}
