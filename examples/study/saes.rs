//! The autoencoders that `train_topk.py` has written.

use std::path::{Path, PathBuf};

use dbksvd_sae::Sae;
use serde_json::Value;

use crate::program::Outcome;

/// What they were trained for.
#[derive(Clone, Copy)]
pub enum Kind {
    Converged,
    EqualTime,
    Small,
}

impl Kind {
    fn folder(self) -> &'static str {
        match self {
            Self::Converged => "converged",
            Self::EqualTime => "equal-time",
            Self::Small => "small",
        }
    }
}

/// The folder of all of them.
pub struct Saes {
    root: PathBuf,
}

/// One of them, and the seconds of processor time that its training took.
pub struct Trained {
    pub sae: Sae<f32>,
    pub seconds: f64,
}

impl Saes {
    /// # Errors
    /// If there is no such folder.
    pub fn open(root: &Path) -> Outcome<Self> {
        if !root.is_dir() {
            return Err(format!("--saes {}: no such folder", root.display()).into());
        }
        Ok(Self { root: root.to_owned() })
    }

    /// The autoencoder of a seed; `None` if seeds end before it. An interval takes two.
    pub fn read(&self, kind: Kind, sparsity: usize, seed: u64) -> Outcome<Option<Trained>> {
        let folder = self.root.join(kind.folder()).join(format!("k{sparsity}"));
        let folder = folder.join(format!("seed{seed}"));
        // The weights are written last.
        if !folder.join("sae_weights.safetensors").is_file() {
            if seed < 2 {
                return Err(format!("{}: no SAE of train_topk.py", folder.display()).into());
            }
            return Ok(None);
        }
        let about = folder.join("training.json");
        let wrong = |error: String| format!("{}: {error}", about.display());
        let text = std::fs::read_to_string(&about).map_err(|error| wrong(error.to_string()))?;
        let told: Value = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let seconds = told["seconds"].as_f64().ok_or_else(|| wrong("no `seconds`".into()))?;
        Ok(Some(Trained { sae: Sae::read_saelens(&folder)?, seconds }))
    }
}
