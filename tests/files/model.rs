use dbksvd::coder::{Coefficients, LinearEncoder, TopK};
use dbksvd::error::FileError;
use dbksvd::faer::Mat;
use dbksvd::{Dictionary, Model, Scalar, Sign};

use crate::common::{Scratch, assert_names, f32_bytes, f64_bytes, safetensors};

/// Seven atoms of dimension 5, of no particular direction.
fn model<T: Scalar>(centred: bool, sign: Sign) -> Model<T> {
    let atoms = Mat::from_fn(5, 7, |i, j| T::narrow(((i * 7 + j * j) as f64 + 0.3).sin()));
    let mean = centred.then(|| (0..5).map(|i| T::narrow(f64::from(i) / 3.0)).collect());
    Model::new(Dictionary::normalized(atoms).unwrap(), mean, 3, sign).unwrap()
}

/// A file of two atoms of dimension 2, the parts of which a test may replace.
struct Parts {
    metadata: &'static str,
    dictionary: &'static str,
    mean: &'static str,
    data: Vec<u8>,
}

const METADATA: &str =
    r#""format":"dbksvd-model","version":"1","sparsity":"2","sign":"non-negative""#;

impl Parts {
    fn good() -> Self {
        Self {
            metadata: METADATA,
            dictionary: r#""dictionary":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}"#,
            mean: r#""mean":{"dtype":"F32","shape":[2],"data_offsets":[16,24]}"#,
            data: f32_bytes(&[1.0, 0.0, 0.6, -0.8, 5.0, 6.0]),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { metadata, dictionary, mean, data } = self;
        safetensors(&format!(r#"{{"__metadata__":{{{metadata}}},{dictionary},{mean}}}"#), data)
    }

    #[track_caller]
    fn error(&self) -> FileError {
        load_error(&self.bytes())
    }
}

#[track_caller]
fn load_error(bytes: &[u8]) -> FileError {
    let scratch = Scratch::new();
    let path = scratch.file("broken.safetensors", bytes);
    let error = Model::<f32>::load(&path).unwrap_err();
    assert_names(&error, &path);
    let double = Model::<f64>::load(&path).unwrap_err();
    assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&double));
    error
}

#[track_caller]
fn assert_format(error: FileError, part: &str) {
    let FileError::Format { reason, .. } = error else { panic!("{error:?}") };
    assert!(reason.contains(part), "{reason}");
}

fn round_trip<T: Scalar>() {
    let scratch = Scratch::new();
    for (centred, sign) in [(false, Sign::Signed), (true, Sign::NonNegative)] {
        let path = scratch.path("model.safetensors");
        let saved = model::<T>(centred, sign);
        saved.save(&path).unwrap();
        assert_eq!(Model::load(&path).unwrap(), saved);
        let bytes = std::fs::read(&path).unwrap();
        saved.save(&path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
    assert_eq!(scratch.names(), ["model.safetensors"]);
}

#[test]
fn a_model_survives_bit_by_bit() {
    round_trip::<f32>();
    round_trip::<f64>();
}

/// A model with the linear coder that was learned with it.
fn with_linear_coder<T: Scalar>(bias: bool, coefficients: Coefficients) -> Model<T> {
    let weights = Mat::from_fn(5, 7, |i, j| T::narrow(((i * 3 + j * 5) as f64).cos()));
    let bias = bias.then(|| (0..7).map(|j| T::narrow(0.1 * f64::from(j))).collect());
    let encoder = LinearEncoder::new(weights, bias).unwrap();
    let coder = TopK::by_encoder(encoder).threshold(0.1 + 0.2).coefficients(coefficients);
    model::<T>(true, Sign::NonNegative).with_linear_coder(Some(coder)).unwrap()
}

#[test]
fn a_linear_coder_survives_bit_by_bit() {
    fn check<T: Scalar>() {
        let scratch = Scratch::new();
        let path = scratch.path("model.safetensors");
        let plain = TopK::new().threshold(0.5);
        for model in [
            with_linear_coder::<T>(true, Coefficients::AsChosen),
            with_linear_coder::<T>(false, Coefficients::Refitted),
            model::<T>(false, Sign::Signed).with_linear_coder(Some(plain)).unwrap(),
        ] {
            model.save(&path).unwrap();
            assert_eq!(Model::load(&path).unwrap(), model);
        }
    }
    check::<f32>();
    check::<f64>();
    let scratch = Scratch::new();
    let path = scratch.path("model.safetensors");
    let double = with_linear_coder::<f64>(true, Coefficients::AsChosen);
    double.save(&path).unwrap();
    let single = Model::<f32>::load(&path).unwrap();
    let (found, expected) = (single.linear_coder().unwrap(), double.linear_coder().unwrap());
    assert_eq!(found.threshold, expected.threshold);
    let weight = |coder: &TopK<f64>| coder.encoder.as_ref().unwrap().weights()[(2, 3)];
    assert_eq!(found.encoder.as_ref().unwrap().weights()[(2, 3)], weight(expected) as f32);
}

#[test]
fn a_linear_coder_that_does_not_fit_is_an_error() {
    let with = |extra: &str, more: &[f32]| {
        let Parts { dictionary, mean, mut data, .. } = Parts::good();
        data.extend(f32_bytes(more));
        let metadata = format!(r#"{METADATA},"threshold":"0.5""#);
        let header = format!(r#"{{"__metadata__":{{{metadata}}},{dictionary},{mean},{extra}}}"#);
        safetensors(&header, &data)
    };
    let encoder = r#""encoder":{"dtype":"F32","shape":[1,2],"data_offsets":[24,32]}"#;
    let error = load_error(&with(encoder, &[1.0, 2.0]));
    assert!(matches!(error, FileError::Shape { ref found, .. } if *found == [1, 2]), "{error}");
    let bias = r#""encoder":{"dtype":"F32","shape":[2,2],"data_offsets":[24,40]},
        "encoder_bias":{"dtype":"F32","shape":[1],"data_offsets":[40,44]}"#;
    let error = load_error(&with(bias, &[1.0, 2.0, 3.0, 4.0, 5.0]));
    assert!(matches!(error, FileError::Shape { ref found, .. } if *found == [1]), "{error}");
    let encoder = r#""encoder":{"dtype":"F32","shape":[2,2],"data_offsets":[24,40]}"#;
    let error = load_error(&with(encoder, &[1.0, f32::NAN, 3.0, 4.0]));
    assert_format(error, "weights");
    for (key, value) in [("threshold", "x"), ("threshold", "-1"), ("coefficients", "none")] {
        let Parts { dictionary, mean, data, .. } = Parts::good();
        let metadata = format!(r#"{METADATA},"{key}":"{value}""#);
        let header = format!(r#"{{"__metadata__":{{{metadata}}},{dictionary},{mean}}}"#);
        assert_format(load_error(&safetensors(&header, &data)), key);
    }
}

#[test]
fn a_model_converts_to_the_other_precision() {
    let scratch = Scratch::new();
    let (single, double) = (scratch.path("single"), scratch.path("double"));
    model::<f32>(true, Sign::Signed).save(&single).unwrap();
    model::<f64>(true, Sign::Signed).save(&double).unwrap();
    let widened = Model::<f64>::load(&single).unwrap();
    let narrowed = Model::<f32>::load(&double).unwrap();
    for j in 0..7 {
        let norm: f64 = widened.dictionary().atom(j).iter().map(|x| x * x).sum();
        assert!((norm - 1.0).abs() < 8.0 * f64::EPSILON, "{norm}");
        for (&wide, &narrow) in
            widened.dictionary().atom(j).iter().zip(narrowed.dictionary().atom(j))
        {
            assert!((wide - f64::from(narrow)).abs() < 4.0 * f64::from(f32::EPSILON));
        }
    }
    assert_eq!(widened.mean().unwrap()[1], f64::from(1.0_f32 / 3.0));
    assert_eq!(narrowed.sparsity(), 3);
}

#[test]
fn a_file_made_by_hand_loads() {
    let scratch = Scratch::new();
    let path = scratch.file("model", &Parts::good().bytes());
    let model = Model::<f32>::load(path).unwrap();
    assert_eq!((model.dim(), model.atoms(), model.sparsity()), (2, 2, 2));
    assert_eq!(model.sign(), Sign::NonNegative);
    assert_eq!(model.dictionary().atom(1), [0.6, -0.8]);
    assert_eq!(model.mean(), Some(&[5.0, 6.0][..]));
}

#[test]
fn wrong_metadata_is_an_error() {
    for (metadata, part) in [
        ("", "`format`"),
        (r#""format":"other","version":"1","sparsity":"2","sign":"signed""#, "`format`"),
        (r#""format":"dbksvd-model","sparsity":"2","sign":"signed""#, "`version`"),
        (r#""format":"dbksvd-model","version":"2","sparsity":"2","sign":"signed""#, "`version`"),
        (r#""format":"dbksvd-model","version":"1","sign":"signed""#, "`sparsity`"),
        (r#""format":"dbksvd-model","version":"1","sparsity":"-1","sign":"signed""#, "`sparsity`"),
        (r#""format":"dbksvd-model","version":"1","sparsity":"0","sign":"signed""#, "`sparsity`"),
        (r#""format":"dbksvd-model","version":"1","sparsity":"3","sign":"signed""#, "`sparsity`"),
        (r#""format":"dbksvd-model","version":"1","sparsity":"2""#, "`sign`"),
        (r#""format":"dbksvd-model","version":"1","sparsity":"2","sign":"up""#, "`sign`"),
    ] {
        assert_format(Parts { metadata, ..Parts::good() }.error(), part);
    }
}

#[test]
fn a_missing_dictionary_is_an_error() {
    let dictionary = r#""atoms":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}"#;
    let error = Parts { dictionary, ..Parts::good() }.error();
    assert!(matches!(error, FileError::Tensor { available, .. } if available == ["atoms", "mean"]));
}

#[test]
fn wrong_shapes_are_errors() {
    let dictionary = r#""dictionary":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}"#;
    let error = Parts { dictionary, ..Parts::good() }.error();
    assert!(matches!(error, FileError::Shape { found, .. } if found == [4]));
    let dictionary = r#""dictionary":{"dtype":"F32","shape":[4,1],"data_offsets":[0,16]}"#;
    let metadata = r#""format":"dbksvd-model","version":"1","sparsity":"1","sign":"signed""#;
    let error = Parts { dictionary, metadata, ..Parts::good() }.error();
    assert!(matches!(error, FileError::Shape { found, .. } if found == [2]));
    let mean = r#""mean":{"dtype":"F32","shape":[2,1],"data_offsets":[16,24]}"#;
    let error = Parts { mean, ..Parts::good() }.error();
    assert!(matches!(error, FileError::Shape { found, .. } if found == [2, 1]));
    let dictionary = r#""dictionary":{"dtype":"F32","shape":[0,2],"data_offsets":[0,0]}"#;
    let mean = r#""mean":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let error = Parts { dictionary, mean, data: vec![0; 8], ..Parts::good() }.error();
    assert!(matches!(error, FileError::Shape { found, .. } if found == [0, 2]));
}

#[test]
fn wrong_element_types_are_errors() {
    let dictionary = r#""dictionary":{"dtype":"BF16","shape":[4,2],"data_offsets":[0,16]}"#;
    let error = Parts { dictionary, ..Parts::good() }.error();
    assert!(matches!(error, FileError::ElementType { found, .. } if found == "BF16"));
    let dictionary = r#""dictionary":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}"#;
    let error = Parts { dictionary, ..Parts::good() }.error();
    assert!(matches!(error, FileError::ElementType { found, .. } if found == "I32"));
    let mean = r#""mean":{"dtype":"F16","shape":[4],"data_offsets":[16,24]}"#;
    let error = Parts { mean, ..Parts::good() }.error();
    assert!(matches!(error, FileError::ElementType { found, .. } if found == "F16"));
}

#[test]
fn values_that_break_a_rule_are_errors() {
    for (values, part) in [
        ([2.0, 0.0, 0.6, -0.8, 5.0, 6.0], "atom 0 has norm 2"),
        ([1.0, 0.0, 0.0, 0.0, 5.0, 6.0], "atom 1 has norm 0"),
        ([1.0, f32::NAN, 0.6, -0.8, 5.0, 6.0], "atom 0 is not finite"),
        ([1.0, 0.0, 0.6, f32::INFINITY, 5.0, 6.0], "atom 1 is not finite"),
        ([1.0, 0.0, 0.6, -0.8, 5.0, f32::NAN], "`mean` is NaN at coordinate 1"),
    ] {
        assert_format(Parts { data: f32_bytes(&values), ..Parts::good() }.error(), part);
    }
}

#[test]
fn doubles_are_held_to_the_tolerance_of_doubles() {
    let parts = Parts {
        dictionary: r#""dictionary":{"dtype":"F64","shape":[2,2],"data_offsets":[0,32]}"#,
        mean: r#""mean":{"dtype":"F64","shape":[2],"data_offsets":[32,48]}"#,
        data: f64_bytes(&[1.0 + 1e-5, 0.0, 0.6, -0.8, 5.0, 6.0]),
        ..Parts::good()
    };
    assert_format(parts.error(), "atom 0 has norm 1.00001");
}

#[test]
fn every_truncation_is_an_error() {
    let scratch = Scratch::new();
    let path = scratch.path("model");
    model::<f32>(true, Sign::Signed).save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        let error = load_error(&bytes[..length]);
        assert!(matches!(error, FileError::Format { .. } | FileError::Truncated { .. }));
    }
}

#[test]
fn no_corruption_of_a_byte_panics() {
    let (scratch, bytes) = (Scratch::new(), Parts::good().bytes());
    for at in 0..bytes.len() {
        for byte in b"\0\xff\"{9".iter().copied() {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            // Whether such a file loads is the format's affair; that it returns is ours.
            let _ = Model::<f64>::load(scratch.file("model", &bytes));
        }
    }
}

#[test]
fn a_failed_save_leaves_nothing() {
    let scratch = Scratch::new();
    let model = model::<f32>(false, Sign::Signed);
    for path in [scratch.path("no directory").join("model"), scratch.path("..")] {
        let error = model.save(&path).unwrap_err();
        assert_names(&error, &path);
        assert!(matches!(error, FileError::Io { .. }));
    }
    // A directory cannot be replaced by a file.
    let path = scratch.path("directory");
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(model.save(&path).unwrap_err(), FileError::Io { .. }));
    assert_eq!(scratch.names(), ["directory"]);
}
