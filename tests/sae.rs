//! Sparse autoencoders: against SAELens and sparsify by `tests/fixtures/sae`, and every way in which
//! their files can be wrong.

use std::path::{Path, PathBuf};

use dbksvd::backend::Faer;
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::error::FileError;
use dbksvd::faer::{Mat, mat};
use dbksvd::metrics::reconstruction;
use dbksvd::sae::{Affine, Architecture, Sae, SaeCoder, Tied, split_signs};
use dbksvd::source::{self, SampleSource};
use dbksvd::synthetic::Planted;
use dbksvd::{Dictionary, Error, Model, ProblemShape, Scalar, Sign, SparseCodes};
use tempfile::TempDir;

#[path = "support/mod.rs"]
mod support;
use support::{assert_close, dense};

const SAELENS: [&str; 15] = [
    "standard",
    "uncentred",
    "hook_z",
    "bfloat16",
    "topk",
    "topk_rescaled",
    "abstopk",
    "abstopk_rescaled",
    "jumprelu",
    "jumprelu_uncentred",
    "gated",
    "gated_uncentred",
    "pursuit",
    "pursuit_stopping",
    "pursuit_uncentred",
];
const SPARSIFY: [&str; 2] = ["sparsify", "sparsify_groupmax"];

/// Of the largest number; both sides compute in single precision.
const TOLERANCE: f64 = 1e-5;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sae").join(name)
}

/// The rows of a tensor of `expected.safetensors` as columns.
fn expected<T: Scalar>(name: &str, tensor: &str) -> Mat<T> {
    let path = fixture(name).join("expected.safetensors");
    let file = source::open(&path, Some(tensor)).expect("a fixture");
    let mut values = vec![T::zero(); file.len() * file.dim()];
    file.read(0..file.len(), &mut values).expect("a fixture");
    Mat::from_fn(file.dim(), file.len(), |r, i| values[i * file.dim() + r])
}

fn read<T: Scalar>(name: &str) -> Sae<T> {
    let read = if SPARSIFY.contains(&name) { Sae::read_sparsify } else { Sae::read_saelens };
    read(fixture(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn widen<T: Scalar>(matrix: &Mat<T>) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[(i, j)].widen())
}

fn largest(matrix: &Mat<f64>) -> f64 {
    matrix.col_iter().flat_map(|column| column.iter()).fold(0.0, |most, x| x.abs().max(most))
}

#[track_caller]
fn assert_alike(found: &Mat<f64>, expected: &Mat<f64>) {
    assert_close(found.as_ref(), expected.as_ref(), TOLERANCE * largest(expected));
}

fn agrees<T: Scalar>() {
    for name in SAELENS.into_iter().chain(SPARSIFY) {
        let (sae, samples) = (read::<T>(name), expected::<T>(name, "samples"));
        let latents: Mat<f64> = expected(name, "latents");
        let codes = sae.encode(samples.as_ref()).unwrap();
        let found = dense(&sae.latents(&codes).unwrap());
        assert_alike(&found, &latents);
        for (found, expected) in found.col_iter().zip(latents.col_iter()) {
            let fire = |&(found, expected): &(&f64, &f64)| (*found != 0.0) == (*expected != 0.0);
            assert!(found.iter().zip(expected.iter()).all(|pair| fire(&pair)), "{name}");
        }
        let decoded = sae.model(1).unwrap().decode(&codes).unwrap();
        assert_alike(&widen(&decoded), &expected(name, "reconstruction"));
    }
}

#[test]
fn latents_and_reconstructions_are_theirs_in_f32() {
    agrees::<f32>();
}

#[test]
fn latents_and_reconstructions_are_theirs_in_f64() {
    agrees::<f64>();
}

/// The coder with budget d on what `encode` finds, cut to its strongest.
#[test]
fn the_coder_keeps_the_strongest_and_counts_what_it_cuts() {
    for name in SAELENS.into_iter().chain(SPARSIFY) {
        let (sae, samples) = (read::<f64>(name), expected::<f64>(name, "samples"));
        let all = sae.encode(samples.as_ref()).unwrap();
        for budget in [3, 8] {
            let model = sae.model(budget).unwrap();
            let mut encoder = model.encoder(SaeCoder::new(sae.clone())).unwrap();
            let codes = encoder.encode(samples.as_ref()).unwrap();
            let more = all.iter().filter(|(support, _)| support.len() > budget).count();
            assert_eq!(encoder.state().cut(), more as u64, "{name}");
            for i in 0..all.samples() {
                let kept = all.support(i).len().min(budget);
                assert_eq!(codes.support(i), &all.support(i)[..kept], "{name}, sample {i}");
                let pairs = codes.values(i).iter().zip(all.values(i));
                let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * (1.0 + b.abs());
                assert!(pairs.into_iter().all(close), "{name}, sample {i}");
                assert!(all.values(i).is_sorted_by(|a, b| a.abs() >= b.abs()));
            }
        }
    }
}

#[test]
fn a_pursuit_on_the_decoder_beats_the_encoder_cut_to_its_budget() {
    let (sae, samples) = (read::<f64>("jumprelu"), expected::<f64>("jumprelu", "samples"));
    let model = sae.model(5).unwrap();
    let own = model.encode(&SaeCoder::new(sae), samples.as_ref()).unwrap();
    let pursued = model.encode(&BatchOmp::new(), samples.as_ref()).unwrap();
    let fvu = |codes| reconstruction(&model, samples.as_ref(), codes).unwrap().fvu();
    assert!(fvu(&pursued) < fvu(&own));
}

fn assert_same_codes<T: Scalar>(found: &SparseCodes<T>, i: usize, all: &SparseCodes<T>, j: usize) {
    assert_eq!((found.support(i), found.values(i)), (all.support(j), all.values(j)));
}

#[test]
fn codes_depend_on_the_sample_alone() {
    let many = Planted::new(8, 24, 3, 700).seed(3).generate::<f32>().unwrap().samples;
    for name in ["gated", "topk_rescaled", "pursuit_stopping"] {
        let sae = read::<f32>(name);
        let all = sae.encode(many.as_ref()).unwrap();
        let model = sae.model(4).unwrap();
        let coder = SaeCoder::new(sae.clone());
        let coded = model.encode(&coder, many.as_ref()).unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                assert_eq!(sae.encode(many.as_ref()).unwrap(), all);
                assert_eq!(model.encode(&coder, many.as_ref()).unwrap(), coded);
            });
        }
        for i in [0, 129, 699] {
            let one = many.as_ref().subcols(i, 1);
            assert_same_codes(&sae.encode(one).unwrap(), 0, &all, i);
            assert_same_codes(&model.encode(&coder, one).unwrap(), 0, &coded, i);
        }
        assert_eq!(sae.encode(many.as_ref().subcols(0, 0)).unwrap().samples(), 0);
    }
}

#[test]
fn what_is_written_is_read_bit_by_bit() {
    let scratch = TempDir::new().unwrap();
    for name in SAELENS.into_iter().chain(["sparsify"]) {
        let sae = read::<f64>(name);
        sae.write_saelens(scratch.path()).unwrap();
        assert_eq!(Sae::read_saelens(scratch.path()).unwrap(), sae, "{name}");
        let bytes = || {
            let read = |file| std::fs::read(scratch.path().join(file)).unwrap();
            (read("cfg.json"), read("sae_weights.safetensors"))
        };
        let first = bytes();
        sae.write_saelens(scratch.path()).unwrap();
        assert_eq!(bytes(), first);
    }
    let error = read::<f64>("sparsify_groupmax").write_saelens(scratch.path()).unwrap_err();
    assert!(matches!(error, Error::Argument { argument: "architecture", .. }), "{error}");
}

#[test]
fn codes_of_a_signed_model_decode_alike_with_signs_split() {
    let data = Planted::new(12, 30, 4, 50).noise(0.1).seed(5).generate::<f64>().unwrap();
    let mean = (0..12).map(|i| f64::from(i) / 7.0).collect();
    let model = Model::new(data.dictionary, Some(mean), 4, Sign::Signed).unwrap();
    let codes = model.encode(&BatchOmp::new(), data.samples.as_ref()).unwrap();
    let decoded = model.decode(&codes).unwrap();
    let sae = Sae::from_model(&model, Tied::MatchingPursuit).unwrap();
    assert_eq!((sae.atoms(), sae.architecture().name()), (60, "matching_pursuit"));
    let split = split_signs(&codes);
    assert!(split.iter().all(|(_, values)| values.iter().all(|&value| value > 0.0)));
    let again = sae.model(4).unwrap().decode(&split).unwrap();
    assert_close(again.as_ref(), decoded.as_ref(), 1e-12);

    let sae = Sae::from_model(&model, Tied::TopK).unwrap();
    assert_eq!((sae.atoms(), sae.architecture().name()), (30, "abstopk"));
    assert_close(sae.model(4).unwrap().decode(&codes).unwrap().as_ref(), decoded.as_ref(), 1e-12);
}

#[test]
fn a_matching_pursuit_that_may_repeat_finds_what_the_book_says() {
    // Two atoms at 60°: matching pursuit comes back to the first.
    let dictionary = Dictionary::new(mat![[1.0, 0.5], [0.0, 0.75_f64.sqrt()]]).unwrap();
    let model = Model::new(dictionary, None, 2, Sign::NonNegative).unwrap();
    let pursue = |iterations, stop_on_duplicate_support| {
        let architecture = Architecture::MatchingPursuit {
            residual_threshold: 0.0,
            max_iterations: iterations,
            stop_on_duplicate_support,
        };
        let decoder = model.dictionary().as_mat().to_owned();
        let sae = Sae::new(decoder, vec![0.0; 2], true, architecture).unwrap();
        dense(&sae.encode(mat![[3.0], [1.0]].as_ref()).unwrap())
    };
    // 3; then (0, 1) on the second: √3/2; what is left, (−√3/4, 1/4), has no positive product.
    let second = 0.75_f64.sqrt();
    for (iterations, stop) in [(2, false), (9, false), (9, true)] {
        assert_close(pursue(iterations, stop).as_ref(), mat![[3.0], [second]].as_ref(), 1e-15);
    }
    assert_close(pursue(1, false).as_ref(), mat![[3.0], [0.0]].as_ref(), 1e-15);
}

mod of_files {
    use super::*;

    /// A copy of a fixture whose configuration a test may change.
    struct Copy {
        folder: TempDir,
        config: serde_json::Value,
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

        fn set(mut self, key: &str, value: serde_json::Value) -> Self {
            self.config[key] = value;
            self
        }

        fn without(mut self, key: &str) -> Self {
            self.config.as_object_mut().unwrap().remove(key).unwrap();
            self
        }

        fn read(&self) -> Result<Sae<f32>, FileError> {
            let text = serde_json::to_vec(&self.config).unwrap();
            std::fs::write(self.folder.path().join("cfg.json"), text).unwrap();
            let read = if self.sparsify { Sae::read_sparsify } else { Sae::read_saelens };
            read(self.folder.path())
        }

        #[track_caller]
        fn error(&self) -> FileError {
            let error = self.read().expect_err("a broken SAE");
            let folder = self.folder.path().display().to_string();
            assert!(error.to_string().starts_with(&folder), "{error}");
            error
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
        Copy::of("topk").without("k").refuses("k");
        Copy::of("standard").without("metadata").refuses("metadata.sae_lens_version");
        for key in ["d_in", "k"] {
            Copy::of("sparsify").without(key).refuses(key);
        }
    }

    #[test]
    fn keys_that_saelens_has_values_for() {
        let keys =
            ["apply_b_dec_to_input", "normalize_activations", "reshape_activations", "device"];
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
        let null = Copy::of("pursuit").set("max_iterations", serde_json::Value::Null);
        let Architecture::MatchingPursuit { max_iterations, .. } =
            *null.read().unwrap().architecture()
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
        let set = |key: &str, value: serde_json::Value| Copy::of("standard").set(key, value);
        set("reshape_activations", "other".into()).refuses("reshape_activations");
        set("apply_b_dec_to_input", "yes".into()).refuses("apply_b_dec_to_input");
        set("d_in", (-3).into()).refuses("d_in");
        set("d_in", 8.5.into()).refuses("d_in");
        for name in ["temporal", "transcoder", "batchtopk"] {
            set("architecture", name.into()).refuses("architecture");
        }
        for dtype in ["float16", "bfloat16", "int8"] {
            set("dtype", dtype.into()).refuses("dtype");
        }
        assert_eq!(set("dtype", "torch.float64".into()).read().unwrap(), read("standard"));
        for version in ["5.9.1", "", "new"] {
            let metadata = serde_json::json!({ "sae_lens_version": version });
            set("metadata", metadata).refuses("metadata.sae_lens_version");
        }
        let set = |key: &str, value: serde_json::Value| Copy::of("sparsify").set(key, value);
        set("transcode", true.into()).refuses("transcode");
        set("skip_connection", true.into()).refuses("skip_connection");
        set("activation", "relu".into()).refuses("activation");
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
    fn numbers_that_are_not_finite() {
        let copy = Copy::of("standard");
        let path = copy.folder.path().join("sae_weights.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
        std::fs::write(path, bytes).unwrap();
        let FileError::Format { reason, .. } = copy.error() else { panic!("another error") };
        assert!(reason.contains("NaN"), "{reason}");
    }
}

mod of_arguments {
    use super::*;

    fn affine(latents: usize) -> Affine<f64> {
        Affine {
            weights: Mat::from_fn(3, latents, |i, j| (i + j) as f64),
            bias: vec![0.0; latents],
        }
    }

    fn standard() -> Architecture<f64> {
        Architecture::Standard { encoder: affine(4) }
    }

    fn decoder() -> Mat<f64> {
        Mat::from_fn(3, 4, |i, j| ((3 * i + j) as f64 + 0.2).cos())
    }

    fn good() -> Sae<f64> {
        Sae::new(decoder(), vec![0.0; 3], true, standard()).unwrap()
    }

    #[track_caller]
    fn refuses(architecture: Architecture<f64>, expected: &str) {
        match Sae::new(decoder(), vec![0.0; 3], true, architecture).unwrap_err() {
            Error::Argument { argument, .. } | Error::Dimension { argument, .. } => {
                assert_eq!(argument, expected);
            }
            error => panic!("{error}"),
        }
    }

    #[test]
    fn parts_that_do_not_fit() {
        refuses(Architecture::Standard { encoder: affine(5) }, "W_enc");
        let short = Affine { bias: vec![0.0; 3], ..affine(4) };
        refuses(Architecture::Standard { encoder: short }, "b_enc");
        let wide = Affine { weights: Mat::zeros(2, 4), ..affine(4) };
        refuses(Architecture::Standard { encoder: wide }, "W_enc");
        let nan = Affine { bias: vec![0.0, f64::NAN, 0.0, 0.0], ..affine(4) };
        refuses(Architecture::Gated { gate: nan, log_scale: vec![], bias: vec![] }, "b_gate");
        let gate = || affine(4);
        let zeros = || vec![0.0; 4];
        refuses(Architecture::Gated { gate: gate(), log_scale: vec![], bias: zeros() }, "r_mag");
        refuses(Architecture::Gated { gate: gate(), log_scale: zeros(), bias: vec![] }, "b_mag");
        refuses(Architecture::JumpRelu { encoder: gate(), threshold: vec![] }, "threshold");
        for sparsity in [0, 5] {
            let (encoder, rescaled) = (gate(), true);
            refuses(Architecture::TopK { encoder, sparsity, rescaled }, "k");
            refuses(Architecture::AbsTopK { encoder: gate(), sparsity, rescaled }, "k");
        }
        for groups in [0, 3] {
            refuses(Architecture::GroupMax { encoder: gate(), groups }, "k");
        }
        for (residual_threshold, max_iterations, expected) in [
            (-1.0, 1, "residual_threshold"),
            (f64::NAN, 1, "residual_threshold"),
            (0.0, 0, "max_iterations"),
        ] {
            let stop_on_duplicate_support = false;
            refuses(
                Architecture::MatchingPursuit {
                    residual_threshold,
                    max_iterations,
                    stop_on_duplicate_support,
                },
                expected,
            );
        }
        let sae = |decoder, bias| Sae::new(decoder, bias, true, standard()).unwrap_err();
        let dimension = |error: Error| matches!(error, Error::Dimension { argument: "b_dec", .. });
        assert!(dimension(sae(decoder(), vec![0.0; 2])));
        let argument = |error: Error| matches!(error, Error::Argument { argument: "W_dec", .. });
        assert!(argument(sae(Mat::zeros(0, 0), vec![])));
        assert!(argument(sae(Mat::from_fn(3, 4, |_, _| f64::INFINITY), vec![0.0; 3])));
    }

    #[test]
    fn samples_that_do_not_fit() {
        let dimension = good().encode(Mat::zeros(2, 1).as_ref()).unwrap_err();
        assert!(matches!(dimension, Error::Dimension { argument: "samples", .. }));
        let broken = Mat::from_fn(3, 2, |i, j| if (i, j) == (2, 1) { f64::NAN } else { 0.0 });
        let finite = good().encode(broken.as_ref()).unwrap_err();
        assert!(matches!(finite, Error::NotFinite { sample: 1, coordinate: 2, .. }));
        let codes = SparseCodes::<f64>::new(5, 1, 1);
        let atoms = good().latents(&codes).unwrap_err();
        assert!(matches!(atoms, Error::Dimension { argument: "codes", .. }));
    }

    #[test]
    fn shapes_that_the_coder_cannot_serve() {
        let coder = SaeCoder::new(good());
        let shape = good().model(2).unwrap().shape();
        let check = |coder: &SaeCoder<f64>, shape| {
            SparseCoder::<Faer<f64>>::check(coder, &shape).map_err(|error| error.to_string())
        };
        assert_eq!(check(&coder, shape), Ok(()));
        for bad in [
            ProblemShape { dim: 5, ..shape },
            ProblemShape { atoms: 5, ..shape },
            ProblemShape { sparsity: 0, ..shape },
        ] {
            assert!(check(&coder, bad).is_err(), "{bad:?}");
        }
        let (encoder, sparsity, rescaled) = (affine(4), 2, false);
        let signed = Architecture::AbsTopK { encoder, sparsity, rescaled };
        let signed = SaeCoder::new(Sae::new(decoder(), vec![0.0; 3], true, signed).unwrap());
        assert!(check(&signed, shape).is_err());
        assert_eq!(check(&signed, ProblemShape { sign: Sign::Signed, ..shape }), Ok(()));
    }

    #[test]
    fn a_decoder_row_that_is_zero_has_no_direction() {
        let decoder = Mat::from_fn(3, 4, |i, j| if j == 2 { 0.0 } else { (i + j) as f64 + 1.0 });
        let sae = Sae::new(decoder, vec![0.0; 3], true, standard()).unwrap();
        assert!(matches!(sae.model(1), Err(Error::ZeroAtom { atom: 2 })));
        let codes = sae.encode(mat![[1.0], [1.0], [1.0]].as_ref()).unwrap();
        assert!(!codes.support(0).contains(&2));
    }
}
