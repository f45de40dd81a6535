//! Writing of SAELens directories.

use std::path::Path;

use dbksvd::error::FileError;
use dbksvd::files::{Numbers, TensorFile, write_atomically};
use dbksvd::{Error, Scalar};
use serde_json::{Value, json};

use super::saelens_read::{CONFIG, WEIGHTS};
use super::types::{Architecture, Sae};

/// The version of SAELens whose format is written.
const SAELENS: &str = "6.54.12";

impl<T: Scalar> Sae<T> {
    /// Writes a directory that SAELens loads by `SAE.load_from_disk`: `cfg.json` and
    /// `sae_weights.safetensors`, in the precision of `T`. The directory is created if it does not
    /// exist. Each file appears whole or not at all, and `cfg.json` is written last. Other files in
    /// the directory stay.
    ///
    /// The same SAE gives the same bytes, and [`read_saelens`](Self::read_saelens) returns it bit
    /// by bit.
    ///
    /// # Errors
    /// [`Error::Argument`] for the architecture `groupmax`, which SAELens does not have;
    /// [`FileError::Io`].
    pub fn write_saelens(&self, directory: impl AsRef<Path>) -> Result<(), Error> {
        let directory = directory.as_ref();
        let mut config = json!({
            "architecture": self.architecture().name(),
            "d_in": self.dim(),
            "d_sae": self.atoms(),
            "dtype": if T::NAME == "f64" { "float64" } else { "float32" },
            "device": "cpu",
            "apply_b_dec_to_input": self.is_input_centred(),
            "normalize_activations": "none",
            "reshape_activations": "none",
            "metadata": {
                "sae_lens_version": SAELENS,
                "sae_lens_training_version": Value::Null,
                "written_by": concat!("dbksvd-sae ", env!("CARGO_PKG_VERSION")),
            },
        });
        let mut weights = TensorFile::new();
        weights.tensor("W_dec", Numbers::Columns(self.decoder()));
        weights.tensor("b_dec", Numbers::Scalars(self.decoder_bias()));
        if let Some(encoder) = self.architecture().encoder() {
            let gated = matches!(self.architecture(), Architecture::Gated { .. });
            weights.tensor("W_enc", Numbers::Rows(encoder.weights.as_ref()));
            let name = if gated { "b_gate" } else { "b_enc" };
            weights.tensor(name, Numbers::Scalars(&encoder.bias));
        }
        match self.architecture() {
            Architecture::Standard { .. } => {}
            Architecture::TopK { sparsity, rescaled, .. }
            | Architecture::AbsTopK { sparsity, rescaled, .. } => {
                config["k"] = json!(sparsity);
                config["rescale_acts_by_decoder_norm"] = json!(rescaled);
            }
            Architecture::GroupMax { .. } => {
                let expected = "an architecture that SAELens has";
                return Err(Error::argument("architecture", "groupmax", expected));
            }
            Architecture::JumpRelu { threshold, .. } => {
                weights.tensor("threshold", Numbers::Scalars(threshold));
            }
            Architecture::Gated { log_scale, bias, .. } => {
                weights.tensor("r_mag", Numbers::Scalars(log_scale));
                weights.tensor("b_mag", Numbers::Scalars(bias));
            }
            Architecture::MatchingPursuit {
                residual_threshold,
                max_iterations,
                stop_on_duplicate_support,
            } => {
                config["residual_threshold"] = json!(residual_threshold);
                config["max_iterations"] = json!(max_iterations);
                config["stop_on_duplicate_support"] = json!(stop_on_duplicate_support);
            }
        }
        std::fs::create_dir_all(directory)
            .map_err(|source| FileError::Io { path: directory.to_owned(), source })?;
        weights.write(directory.join(WEIGHTS))?;
        write_atomically(directory.join(CONFIG), |file| {
            serde_json::to_writer_pretty(file, &config).map_err(std::io::Error::from)
        })?;
        Ok(())
    }
}
