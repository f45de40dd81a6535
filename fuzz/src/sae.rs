//! Directories of sparse autoencoders of 3 latents on dimension 2.

use std::path::{Path, PathBuf};

use dbksvd::error::FileError;
use dbksvd::faer::mat;
use dbksvd_sae::{Architecture, Sae};

use crate::bytes::tensors;
use crate::{check_error, scratch};

pub(crate) type Part = (&'static str, &'static [usize]);

pub(crate) const STANDARD: [Part; 4] =
    [("W_enc", &[2, 3]), ("b_enc", &[3]), ("W_dec", &[3, 2]), ("b_dec", &[2])];
pub(crate) const JUMPRELU: [Part; 5] =
    [("W_enc", &[2, 3]), ("b_enc", &[3]), ("W_dec", &[3, 2]), ("b_dec", &[2]), ("threshold", &[3])];
pub(crate) const GATED: [Part; 6] = [
    ("W_enc", &[2, 3]),
    ("W_dec", &[3, 2]),
    ("b_dec", &[2]),
    ("b_gate", &[3]),
    ("r_mag", &[3]),
    ("b_mag", &[3]),
];
pub(crate) const PURSUIT: [Part; 2] = [("W_dec", &[3, 2]), ("b_dec", &[2])];
pub(crate) const TUNED: [Part; 5] = [
    ("W_enc", &[2, 3]),
    ("b_enc", &[3]),
    ("W_dec", &[3, 2]),
    ("b_dec", &[2]),
    ("scaling_factor", &[3]),
];
pub(crate) const SPARSIFY: [Part; 4] =
    [("encoder.weight", &[3, 2]), ("encoder.bias", &[3]), ("W_dec", &[3, 2]), ("b_dec", &[2])];

/// A folder with these weights.
pub(crate) fn folder(name: &str, weights: &str, parts: &[Part]) -> PathBuf {
    let folder = scratch().join(name);
    if !folder.exists() {
        std::fs::create_dir(&folder).expect("a folder");
        std::fs::write(folder.join(weights), tensors(parts)).expect("a file");
    }
    folder
}

/// Any SAE that is read can be used.
pub(crate) fn check(read: Result<Sae<f32>, FileError>, folder: &Path) {
    let sae = match read {
        Ok(sae) => sae,
        Err(error) => return check_error(&error, folder),
    };
    if let &Architecture::MatchingPursuit { max_iterations, .. } = sae.architecture()
        && max_iterations > 1000
    {
        return; // takes its time, as it is told to
    }
    if sae.dim() != 2 || sae.atoms() > 1000 {
        return;
    }
    let samples = mat![[0.5_f32, -1.0, 0.0], [2.0, 3.0, 0.0]];
    let codes = sae.encode(samples.as_ref()).expect("finite samples");
    let latents = sae.encode_latents(samples.as_ref()).expect("finite samples");
    assert_eq!((codes.samples(), latents.samples()), (3, 3));
    if let Ok(model) = sae.model(1) {
        model.decode(&codes).expect("codes of its atoms");
        sae.latents(&codes).expect("codes of its atoms");
    }
    let copy = scratch().join("copy");
    if sae.write_saelens(&copy).is_ok() {
        assert_eq!(Sae::read_saelens(&copy).expect("what was written"), sae);
    }
}

/// Reads bytes as the weights of an autoencoder.
pub(crate) fn weights(bytes: &[u8]) {
    for (name, file, config) in [
        (
            "weights",
            "sae_weights.safetensors",
            r#"{"architecture":"standard","d_in":2,"d_sae":3,"dtype":"float32"}"#,
        ),
        ("sparsify_weights", "sae.safetensors", r#"{"d_in":2,"num_latents":3,"k":1}"#),
    ] {
        let folder = folder(name, file, &[]);
        std::fs::write(folder.join("cfg.json"), config).expect("a file");
        std::fs::write(folder.join(file), bytes).expect("a file");
        let read = if name == "weights" { Sae::read_saelens } else { Sae::read_sparsify };
        check(read(&folder), &folder);
    }
}
