//! Every way in which files of SAEs can be wrong, or look wrong and be right.

use dbksvd::faer;
use serde_json::{Value, json};

use super::*;
use crate::weights::Weights;

/// A copy of a fixture whose configuration a test may change.
struct Copy {
    folder: TempDir,
    config: Value,
    sparsify: bool,
}

impl Copy {
    fn of(name: &str) -> Self {
        let folder = TempDir::new().unwrap();
        for entry in std::fs::read_dir(fixture(name)).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), folder.path().join(entry.file_name())).unwrap();
        }
        let text = std::fs::read(folder.path().join("cfg.json")).unwrap();
        let config = serde_json::from_slice(&text).unwrap();
        Self { folder, config, sparsify: SPARSIFY.contains(&name) }
    }

    fn set(mut self, key: &str, value: Value) -> Self {
        self.config[key] = value;
        self
    }

    fn without(mut self, key: &str) -> Self {
        self.config.as_object_mut().unwrap().remove(key).unwrap();
        self
    }

    fn read(&self) -> Result<Sae<f32>, FileError> {
        self.read_as()
    }

    fn read_as<T: Scalar>(&self) -> Result<Sae<T>, FileError> {
        let text = serde_json::to_vec(&self.config).unwrap();
        std::fs::write(self.folder.path().join("cfg.json"), text).unwrap();
        let read = if self.sparsify { Sae::read_sparsify } else { Sae::read_saelens };
        read(self.folder.path())
    }

    fn weights(&self) -> Weights {
        let name = if self.sparsify { "sae.safetensors" } else { "sae_weights.safetensors" };
        Weights::open(&self.folder.path().join(name))
    }

    /// A copy whose tensors are changed.
    fn change(self, change: impl FnOnce(&mut Weights)) -> Self {
        let mut weights = self.weights();
        change(&mut weights);
        weights.write();
        self
    }

    /// One line, which names the file.
    #[track_caller]
    fn error(&self) -> FileError {
        let Err(error) = self.read() else { panic!("a broken SAE was read") };
        let (line, folder) = (error.to_string(), self.folder.path().display().to_string());
        assert!(line.starts_with(&folder) && !line.contains('\n'), "{line}");
        error
    }

    /// The error's line has all of these.
    #[track_caller]
    fn complains(&self, parts: &[&str]) {
        let line = self.error().to_string();
        assert!(parts.iter().all(|part| line.contains(part)), "{line}, expected {parts:?}");
    }

    /// The error is about this key.
    #[track_caller]
    fn refuses(&self, name: &str) {
        match self.error() {
            FileError::Setting { key, .. } => assert_eq!(key, name),
            error => panic!("{error}"),
        }
    }
}

#[test]
fn required_keys() {
    for key in ["architecture", "d_in", "d_sae", "dtype"] {
        Copy::of("standard").without(key).refuses(key);
    }
    for key in ["d_in", "d_sae", "dtype"] {
        Copy::of("early_standard").without(key).refuses(key);
    }
    for name in ["topk", "abstopk"] {
        Copy::of(name).without("k").refuses("k");
    }
    // What sparsify wrote is told from what SAELens wrote.
    let mut copy = Copy::of("sparsify");
    let from = copy.folder.path().join("sae.safetensors");
    std::fs::rename(from, copy.folder.path().join("sae_weights.safetensors")).unwrap();
    copy.sparsify = false;
    copy.complains(&["`d_sae` is absent", "sparsify"]);
    for key in ["d_in", "k"] {
        Copy::of("sparsify").without(key).refuses(key);
    }
}

#[test]
fn keys_that_saelens_has_values_for() {
    let keys = ["apply_b_dec_to_input", "normalize_activations", "reshape_activations", "device"];
    for key in keys {
        assert_eq!(Copy::of("standard").without(key).read().unwrap(), read("standard"));
    }
    let copy = Copy::of("pursuit").without("max_iterations").without("residual_threshold");
    let found = copy.without("stop_on_duplicate_support").read().unwrap();
    let expected = Architecture::MatchingPursuit {
        residual_threshold: 0.01,
        max_iterations: 8,
        stop_on_duplicate_support: true,
    };
    assert_eq!(*found.architecture(), expected);
    let null = Copy::of("pursuit").set("max_iterations", Value::Null);
    let Architecture::MatchingPursuit { max_iterations, .. } = *null.read().unwrap().architecture()
    else {
        panic!("another architecture")
    };
    assert_eq!(max_iterations, 8);
}

#[test]
fn values_that_cannot_be_honoured() {
    for value in ["layer_norm", "constant_norm_rescale", "expected_average_only_in", "new"] {
        let copy = Copy::of("standard").set("normalize_activations", value.into());
        copy.refuses("normalize_activations");
    }
    let set = |key: &str, value: Value| Copy::of("standard").set(key, value);
    set("reshape_activations", "other".into()).refuses("reshape_activations");
    set("apply_b_dec_to_input", "yes".into()).refuses("apply_b_dec_to_input");
    set("d_in", (-3).into()).refuses("d_in");
    set("d_in", 8.5.into()).refuses("d_in");
    for name in ["temporal", "transcoder", "batchtopk"] {
        set("architecture", name.into()).refuses("architecture");
    }
    set("dtype", "int8".into()).refuses("dtype");
    for zero in ["d_in", "d_sae"] {
        set(zero, 0.into()).refuses(zero);
    }
    for version in [json!("new"), json!(6)] {
        let metadata = json!({ "sae_lens_version": version });
        set("metadata", metadata).refuses("metadata.sae_lens_version");
        set("sae_lens_version", version).refuses("sae_lens_version");
    }
    let set = |key: &str, value: Value| Copy::of("sparsify").set(key, value);
    set("transcode", true.into()).refuses("transcode");
    set("skip_connection", true.into()).refuses("skip_connection");
    set("activation", "relu".into()).refuses("activation");
    set("signed", true.into()).refuses("signed");
    set("signed", true.into()).complains(&["`signed` is true", "false"]);
    set("d_in", 0.into()).refuses("d_in");
    set("num_latents", 0.into()).set("expansion_factor", 0.into()).refuses("expansion_factor");
    // Whatever is found is shown within a line, and a short one.
    let copy = set("activation", format!("a\nb{}", "c".repeat(1000)).into());
    copy.complains(&["a\\nbc"]);
    assert!(copy.error().to_string().len() < 400);
}

#[test]
fn unknown_keys_are_named() {
    for name in ["standard", "gated", "sparsify"] {
        let copy = Copy::of(name).set("new", 1.into()).set("newer", "x".into());
        let FileError::UnknownKeys { keys, .. } = copy.error() else { panic!("another error") };
        assert_eq!(keys, ["new", "newer"]);
    }
    // A key of another architecture is as unknown.
    let FileError::UnknownKeys { keys, .. } = Copy::of("standard").set("k", 3.into()).error()
    else {
        panic!("another error")
    };
    assert_eq!(keys, ["k"]);
}

#[test]
fn tensors_unlike_the_configuration() {
    let copy = Copy::of("standard").set("d_sae", 25.into());
    assert!(matches!(copy.error(), FileError::Shape { .. }));
    let copy = Copy::of("standard").set("architecture", "jumprelu".into());
    assert!(matches!(copy.error(), FileError::Tensor { .. }));
    let FileError::Tensor { problem, .. } =
        Copy::of("jumprelu").set("architecture", "standard".into()).error()
    else {
        panic!("another error")
    };
    assert!(problem.contains("threshold"), "{problem}");
    let copy = Copy::of("topk").set("k", 25.into());
    let FileError::Format { reason, .. } = copy.error() else { panic!("another error") };
    assert!(reason.contains("`k` is 25"), "{reason}");
    let copy = Copy::of("sparsify").set("num_latents", 0.into());
    assert!(matches!(copy.error(), FileError::Shape { .. }));
}

#[test]
fn files_that_are_not_what_they_should_be() {
    let copy = Copy::of("standard");
    for (text, part) in [("[1]", "no JSON object"), ("{", "EOF")] {
        std::fs::write(copy.folder.path().join("cfg.json"), text).unwrap();
        let error = Sae::<f32>::read_saelens(copy.folder.path()).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    std::fs::remove_file(copy.folder.path().join("sae_weights.safetensors")).unwrap();
    assert!(matches!(copy.error(), FileError::Io { .. }));
    let error = Sae::<f32>::read_saelens(copy.folder.path().join("none")).unwrap_err();
    assert!(matches!(error, FileError::Io { .. }));
}

#[test]
fn configurations_that_are_no_files_or_too_long() {
    let copy = Copy::of("standard");
    let path = copy.folder.path().join("cfg.json");
    let error = || Sae::<f32>::read_saelens(copy.folder.path()).unwrap_err();
    std::fs::write(&path, " ".repeat((16 << 20) + 1)).unwrap();
    assert!(error().to_string().contains("longer than 16777216 bytes"));
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(error(), FileError::NotAFile { kind: "a directory", .. }));
}

#[test]
fn long_values_are_shown_in_part() {
    let copy = Copy::of("standard").set("architecture", "é\n".repeat(80).into());
    let FileError::Setting { found, .. } = copy.error() else { panic!("another error") };
    assert_eq!(found, "é\n".repeat(50) + "…");
}

#[test]
fn keys_that_change_nothing() {
    for key in ["normalize_decoder", "multi_topk", "signed"] {
        let copy = Copy::of("sparsify").set(key, false.into());
        assert_eq!(copy.read().unwrap(), read("sparsify"), "{key}");
    }
    // The language model, the data, the training: known and unread, whatever their values.
    for name in ["standard", "early_standard", "early_run"] {
        let mut copy = Copy::of(name).set("hook_name", "blocks.0.hook_mlp_out".into());
        for (key, value) in [
            ("lp_norm", json!(1.0)),
            ("l1_coefficient", json!({ "value": 5 })),
            ("decoder_init_norm", json!(0.1)),
            ("hook_head_index", json!(3)),
            ("seqpos_slice", json!([1, null])),
            ("model_from_pretrained_kwargs", json!({})),
            ("normalize_sae_decoder", json!(true)),
            ("noise_scale", json!(0.5)),
            ("neuronpedia_id", json!("gpt2-small/0-res-jb")),
            ("device", json!(null)),
        ] {
            copy = copy.set(key, value);
        }
        assert_eq!(copy.read().unwrap(), read(name), "{name}");
    }
}

#[test]
fn configurations_before_version_6() {
    // Without a version, or with an earlier one, the configuration is read as then.
    for metadata in [json!({ "sae_lens_version": "5.11.0" }), json!({}), json!(null)] {
        let copy = Copy::of("jumprelu").set("metadata", metadata);
        assert_eq!(copy.read().unwrap(), read("jumprelu"));
    }
    let copy = Copy::of("early_run").set("sae_lens_version", "2.1.3".into());
    assert_eq!(copy.read().unwrap(), read("early_run"));
    let copy = Copy::of("standard").without("metadata").without("architecture");
    assert_eq!(copy.read().unwrap(), read("standard"));
    let copy = Copy::of("standard").without("metadata").set("sae_lens_version", "6.1.0".into());
    assert_eq!(copy.read().unwrap(), read("standard"));

    let early = |key: &str, value: Value| Copy::of("early_standard").set(key, value);
    for nothing in [json!(false), json!(null), json!("none")] {
        let copy = early("normalize_activations", nothing);
        assert_eq!(copy.read().unwrap(), read("early_standard"));
    }
    for scaled in [json!(true), json!("expected_average_only_in")] {
        early("normalize_activations", scaled)
            .complains(&["`normalize_activations` is", "fold_activation_norm_scaling_factor"]);
    }
    Copy::of("standard")
        .set("normalize_activations", false.into())
        .refuses("normalize_activations");

    // Both names of the activation, and what each architecture may have.
    let renamed = early("activation_fn", "relu".into());
    assert_eq!(renamed.read().unwrap(), read("early_standard"));
    assert_eq!(renamed.without("activation_fn_str").read().unwrap(), read("early_standard"));
    early("activation_fn", "topk".into()).refuses("activation_fn");
    early("activation_fn_str", "tanh-relu".into()).refuses("activation_fn");
    let topk = |name: &str| Copy::of(name).set("activation_fn_kwargs", json!({ "k": 5 }));
    assert_eq!(
        topk("early_topk").set("architecture", "topk".into()).read().unwrap(),
        read("early_topk")
    );
    topk("early_topk")
        .set("architecture", "topk".into())
        .set("activation_fn_str", "relu".into())
        .refuses("activation_fn");
    for name in ["early_jumprelu", "early_gated"] {
        topk(name)
            .set("activation_fn", "topk".into())
            .set("activation_fn_str", "topk".into())
            .refuses("activation_fn");
    }
    Copy::of("early_topk").set("activation_fn_kwargs", json!({})).refuses("k");
    Copy::of("early_topk").set("activation_fn_kwargs", json!({ "k": 2.5 })).refuses("k");
    Copy::of("early_topk").set("k", 6.into()).refuses("k");
    Copy::of("early_topk")
        .set("activation_fn_kwargs", json!({ "k": 5, "postact_fn": "x" }))
        .refuses("activation_fn_kwargs.postact_fn");
    // Keys that no version wrote.
    let FileError::UnknownKeys { keys, .. } = early("hook_name_out", "x".into()).error() else {
        panic!("another error")
    };
    assert_eq!(keys, ["hook_name_out"]);
}

#[test]
fn factors_of_fine_tuning_go_into_the_decoder() {
    let of = |name: &'static str, factor| {
        Copy::of("early_standard").change(move |weights| weights.add(name, 24, factor))
    };
    // Ones were written for a while, and mean nothing.
    assert_eq!(of("scaling_factor", 1.0).read().unwrap(), read("early_standard"));
    for name in ["scaling_factor", "finetuning_scaling_factor"] {
        of(name, 0.5).refuses("finetuning_scaling_factor");
        let tuned = of(name, 0.5).set("finetuning_scaling_factor", true.into()).read().unwrap();
        let plain = read::<f32>("early_standard");
        assert_eq!(tuned.decoder() * faer::Scale(2.0_f32), plain.decoder().to_owned());
        let samples = expected("early_standard", "samples");
        let latents = tuned.encode_latents(samples.as_ref()).unwrap();
        assert_eq!(latents, plain.encode_latents(samples.as_ref()).unwrap());
    }
    let copy = Copy::of("early_standard").set("finetuning_scaling_factor", true.into());
    assert_eq!(copy.read().unwrap(), read("early_standard"));
}

#[test]
fn vectors_may_have_a_leading_one() {
    for (name, tensors) in [
        ("standard", &["b_dec", "b_enc"][..]),
        ("jumprelu", &["b_dec", "b_enc", "threshold"]),
        ("gated", &["b_dec", "b_gate", "b_mag", "r_mag"]),
        ("early_topk", &["b_dec", "b_enc"]),
        ("sparsify", &["b_dec", "encoder.bias"]),
    ] {
        let copy = Copy::of(name).change(|weights| {
            tensors.iter().for_each(|tensor| weights.get(tensor).shape.insert(0, 1));
        });
        assert_eq!(copy.read().unwrap(), read(name));
    }
    let copy = Copy::of("standard").change(|weights| weights.get("b_dec").shape.push(1));
    copy.complains(&["[8, 1]", "`b_dec`", "[8]"]);
}

#[test]
fn tensors_of_other_shapes_and_types() {
    for (name, tensor) in
        [("standard", "W_enc"), ("gated", "W_dec"), ("sparsify", "encoder.weight")]
    {
        let copy = Copy::of(name).change(|weights| weights.get(tensor).shape.reverse());
        copy.complains(&[tensor, "transposed"]);
        let copy = Copy::of(name).change(|weights| weights.get(tensor).shape = vec![192]);
        copy.complains(&[tensor, "[192]"]);
        let copy = Copy::of(name).change(|weights| {
            weights.get(tensor).set("I32", |_, number| (number as i32).to_le_bytes());
        });
        copy.complains(&[tensor, "I32"]);
        let copy = Copy::of(name).change(|weights| drop(weights.tensors.remove(tensor)));
        copy.complains(&[tensor, "the file holds"]);
        let copy = Copy::of(name).change(|weights| weights.add("extra", 24, 0.0));
        copy.complains(&["unknown tensors: extra"]);
    }
    // No dimension, and none of the numbers that there would be.
    let copy = Copy::of("standard").set("d_sae", (1_u64 << 50).into()).change(|weights| {
        let tensor = weights.get("W_dec");
        (tensor.shape, tensor.bytes) = (vec![1 << 50, 0], vec![]);
    });
    copy.complains(&["W_dec"]);
}

#[test]
fn tensors_of_every_type_are_rounded_as_the_configuration_says() {
    let change = |weights: &mut Weights, dtype: &str| {
        for tensor in weights.tensors.values_mut() {
            match dtype {
                "F16" => tensor.set("F16", |_, x| half::f16::from_f32(x).to_le_bytes()),
                "BF16" => tensor.set("BF16", |_, x| half::bf16::from_f32(x).to_le_bytes()),
                // A third of a unit in the last place of a single.
                "F64" => tensor.set("F64", |_, x| (f64::from(x) * (1.0 + 2e-8)).to_le_bytes()),
                _ => {}
            }
        }
    };
    let halved = |round: fn(f32) -> f32| {
        move |weights: &mut Weights| {
            weights.tensors.values_mut().for_each(|t| t.set("F32", |_, x| round(x).to_le_bytes()));
        }
    };
    let to_f16: fn(f32) -> f32 = |x| half::f16::from_f32(x).to_f32();
    let to_bf16: fn(f32) -> f32 = |x| half::bf16::from_f32(x).to_f32();
    for (stored, dtype, round) in [
        ("F64", "float32", None),
        ("F32", "torch.float64", None),
        ("F16", "float32", Some(to_f16)),
        ("F16", "float16", Some(to_f16)),
        ("BF16", "float32", Some(to_bf16)),
        ("F32", "float16", Some(to_f16)),
        ("F32", "torch.bfloat16", Some(to_bf16)),
        ("F64", "bfloat16", Some(to_bf16)),
    ] {
        let copy = Copy::of("standard").set("dtype", dtype.into());
        let copy = copy.change(|weights| change(weights, stored));
        let plain = match round {
            None => Copy::of("standard"),
            Some(round) => Copy::of("standard").change(halved(round)),
        };
        assert_eq!(copy.read().unwrap(), plain.read().unwrap(), "{stored} as {dtype}");
        assert_eq!(copy.read_as::<f64>().unwrap(), plain.read_as().unwrap(), "{stored} as {dtype}");
    }
    // In double precision nothing is rounded.
    let copy = Copy::of("standard").set("dtype", "float64".into());
    let copy = copy.change(|weights| change(weights, "F64"));
    let (exact, single) = (copy.read_as::<f64>().unwrap(), read::<f64>("standard"));
    assert_eq!(exact.decoder_bias()[0], single.decoder_bias()[0] * (1.0 + 2e-8));
}

#[test]
fn numbers_that_are_not_finite_or_become_so() {
    let put = |tensor: &'static str, place: usize, value: f64| {
        Copy::of("standard").set("dtype", "float64".into()).change(move |weights| {
            weights.get(tensor).set("F64", |at, number| {
                (if at == place { value } else { f64::from(number) }).to_le_bytes()
            });
        })
    };
    // W_enc is 8 × 24, W_dec 24 × 8.
    put("W_enc", 5 * 24 + 7, f64::NAN).complains(&["`W_enc`[5, 7] is NaN"]);
    put("W_dec", 23 * 8 + 3, f64::INFINITY).complains(&["`W_dec`[23, 3] is inf"]);
    put("b_enc", 11, f64::NEG_INFINITY).complains(&["`b_enc`[11] is -inf"]);
    let large = put("b_dec", 2, 1e39);
    large.complains(&["`b_dec`[2] is 1e39", "f64"]);
    assert_eq!(large.read_as::<f64>().unwrap().decoder_bias()[2], 1e39);
    put("b_dec", 2, 1e39).set("dtype", "float32".into()).complains(&["`b_dec`[2]", "dtype"]);
    put("b_dec", 2, 1e6).set("dtype", "float16".into()).complains(&["`b_dec`[2]", "dtype"]);
}

#[test]
fn files_that_end_early_or_late() {
    for name in ["standard", "sparsify"] {
        let copy = Copy::of(name);
        let path = copy.weights().path().to_owned();
        let whole = std::fs::read(&path).unwrap();
        for length in [0, 7, 8, 20, whole.len() / 2, whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            copy.complains(&[path.to_str().unwrap()]);
        }
        std::fs::write(&path, [&whole[..], &[0]].concat()).unwrap();
        copy.complains(&[path.to_str().unwrap()]);
    }
}
