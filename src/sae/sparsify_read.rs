//! Directories of EleutherAI's sparsify, read.

use std::path::Path;

use super::config::Config;
use super::tensors::Tensors;
use super::types::{Affine, Architecture, Sae};
use crate::Scalar;
use crate::error::FileError;

impl<T: Scalar> Sae<T> {
    /// Reads a directory that sparsify's `SparseCoder.save_to_disk` wrote: `cfg.json` and
    /// `sae.safetensors`. Its encoder subtracts b_dec and keeps the k largest latents, of all or
    /// of each group.
    ///
    /// | key of `cfg.json` | if absent | |
    /// |---|---|---|
    /// | `d_in` | error | d |
    /// | `k` | error | latents that fire |
    /// | `num_latents` | 0 | m; 0 stands for `expansion_factor` · d |
    /// | `expansion_factor` | 32 | |
    /// | `activation` | topk | `topk` or `groupmax` |
    /// | `transcode`, `skip_connection` | false | true is an error: such coders predict another output than their input |
    /// | `normalize_decoder`, `multi_topk` | | of training alone |
    ///
    /// What stands for an absent key is what sparsify takes for it. The format is that of
    /// eai-sparsify 1.3.3.
    ///
    /// # Errors
    /// As [`read_saelens`](Self::read_saelens).
    pub fn read_sparsify(directory: impl AsRef<Path>) -> Result<Self, FileError> {
        let directory = directory.as_ref();
        let mut config = Config::open(&directory.join("cfg.json"), "sparsify configuration")?;
        let dim = config.count("d_in")?;
        let dim = config.required("d_in", dim, "the dimension of samples")?;
        let sparsity = config.count("k")?;
        let sparsity = config.required("k", sparsity, "the number of latents that fire")?;
        let expansion = config.count("expansion_factor")?.unwrap_or(32);
        let latents = match config.count("num_latents")?.unwrap_or(0) {
            0 => expansion.saturating_mul(dim),
            latents => latents,
        };
        for key in ["transcode", "skip_connection"] {
            if config.flag(key)? == Some(true) {
                return Err(config.wrong(key, true, "false, an autoencoder"));
            }
        }
        config.flag("normalize_decoder")?;
        config.flag("multi_topk")?;
        let activation = config.text("activation")?.unwrap_or_else(|| "topk".to_owned());

        let weights = directory.join("sae.safetensors");
        let mut tensors = Tensors::open(&weights)?;
        let shape = (dim, latents);
        let encoder = Affine {
            weights: tensors.columns("encoder.weight", shape)?,
            bias: tensors.vector("encoder.bias", latents)?,
        };
        let architecture = match activation.as_str() {
            "topk" => Architecture::TopK { encoder, sparsity, rescaled: false },
            "groupmax" => Architecture::GroupMax { encoder, groups: sparsity },
            other => return Err(config.wrong("activation", other, "topk or groupmax")),
        };
        let decoder = tensors.columns("W_dec", shape)?;
        let decoder_bias = tensors.vector("b_dec", dim)?;
        config.finish()?;
        tensors.finish()?;
        Self::new(decoder, decoder_bias, true, architecture).map_err(|error| FileError::Format {
            path: weights,
            format: "sparsify",
            reason: error.to_string(),
        })
    }
}
