//! `cfg.json` of sparsify.

use dbksvd_sae::Sae;

use crate::Seed;
use crate::sae::{SPARSIFY, check, folder};

pub fn seeds() -> Vec<Seed> {
    vec![
        (
            "topk.json",
            br#"{"activation": "topk", "expansion_factor": 32, "normalize_decoder": true, "num_latents": 3, "k": 2, "multi_topk": false, "skip_connection": false, "transcode": false, "d_in": 2}"#.to_vec(),
        ),
        ("groupmax.json", br#"{"activation": "groupmax", "num_latents": 3, "k": 3, "d_in": 2}"#.to_vec()),
        ("signed.json", br#"{"num_latents": 3, "k": 1, "signed": false, "d_in": 2}"#.to_vec()),
        ("expansion.json", br#"{"expansion_factor": 2, "k": 1, "d_in": 2}"#.to_vec()),
    ]
}

pub fn try_out(bytes: &[u8]) {
    let folder = folder("sparsify", "sae.safetensors", &SPARSIFY);
    std::fs::write(folder.join("cfg.json"), bytes).expect("a file");
    check(Sae::read_sparsify(&folder), &folder);
}
