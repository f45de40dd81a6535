//! `cfg.json` of SAELens, beside weights of every architecture.

use dbksvd_sae::Sae;

use crate::Seed;
use crate::sae::{GATED, JUMPRELU, PURSUIT, Part, STANDARD, TUNED, check, folder};

pub fn seeds() -> Vec<Seed> {
    let now = |architecture: &str, more: &str| {
        format!(
            "{{\"architecture\":\"{architecture}\",\"d_in\":2,\"d_sae\":3,\"dtype\":\"float32\",\
             \"device\":\"cpu\",\"apply_b_dec_to_input\":true,\"normalize_activations\":\"none\",\
             \"reshape_activations\":\"none\",\"metadata\":{{\"sae_lens_version\":\"6.14.1\"}}{more}}}"
        )
        .into_bytes()
    };
    let early = |more: &str| {
        format!(
            "{{\"d_in\":2,\"d_sae\":3,\"dtype\":\"torch.float32\",\"hook_name\":\"blocks.7.hook_z\",\
             \"model_name\":\"gpt2-small\",\"normalize_activations\":false,\
             \"sae_lens_training_version\":\"3.0.0\"{more}}}"
        )
        .into_bytes()
    };
    vec![
        ("standard.json", now("standard", "")),
        ("topk.json", now("topk", ",\"k\":2,\"rescale_acts_by_decoder_norm\":true")),
        ("abstopk.json", now("abstopk", ",\"k\":1")),
        ("jumprelu.json", now("jumprelu", "")),
        ("gated.json", now("gated", "")),
        (
            "pursuit.json",
            now(
                "matching_pursuit",
                ",\"residual_threshold\":0.1,\"max_iterations\":null,\
                 \"stop_on_duplicate_support\":false",
            ),
        ),
        ("early.json", early("")),
        (
            "early_topk.json",
            early(",\"activation_fn_str\":\"topk\",\"activation_fn_kwargs\":{\"k\":2}"),
        ),
        ("early_jumprelu.json", early(",\"architecture\":\"jumprelu\",\"activation_fn\":\"relu\"")),
        (
            "early_gated.json",
            early(",\"architecture\":\"gated\",\"finetuning_scaling_factor\":true"),
        ),
    ]
}

pub fn try_out(bytes: &[u8]) {
    let kinds: [(&str, &[Part]); 5] = [
        ("standard", &STANDARD),
        ("jumprelu", &JUMPRELU),
        ("gated", &GATED),
        ("pursuit", &PURSUIT),
        ("tuned", &TUNED),
    ];
    for (name, parts) in kinds {
        let folder = folder(name, "sae_weights.safetensors", parts);
        std::fs::write(folder.join("cfg.json"), bytes).expect("a file");
        check(Sae::read_saelens(&folder), &folder);
    }
}
