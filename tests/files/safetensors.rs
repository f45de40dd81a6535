use dbksvd::error::FileError;
use dbksvd::source::{FileSource, SafetensorsSource, SampleSource, open};

use crate::common::safetensors as file;
use crate::common::{Scratch, assert_names, f32_bytes, f64_bytes, npy, npy_header, read};

/// Four values that bf16 and f16 hold exactly: the array [[1, −2], [0.5, 3]].
const VALUES: [f64; 4] = [1.0, -2.0, 0.5, 3.0];
const F16: [u8; 8] = [0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38, 0x00, 0x42];
const BF16: [u8; 8] = [0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3f, 0x40, 0x40];

fn one(dtype: &str, shape: &str, bytes: usize) -> String {
    format!(r#"{{"x":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{bytes}]}}}}"#)
}

/// Tensors `a` (2, 2), `v` (2) and, unless left out, `b` (1, 2).
fn several(with_b: bool) -> Vec<u8> {
    let b =
        if with_b { r#","b":{"dtype":"F32","shape":[1,2],"data_offsets":[24,32]}"# } else { "" };
    let header = format!(
        r#"{{"__metadata__":{{"layer":"3"}},"a":{{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}},"v":{{"dtype":"F32","shape":[2],"data_offsets":[16,24]}}{b}}}"#
    );
    let values = [1.0, -2.0, 0.5, 3.0, 7.0, 8.0, 9.0, 10.0];
    file(&header, &f32_bytes(&values[..if with_b { 8 } else { 6 }]))
}

#[track_caller]
fn open_error(bytes: &[u8], tensor: Option<&str>) -> FileError {
    let scratch = Scratch::new();
    let path = scratch.file("broken.safetensors", bytes);
    let error = SafetensorsSource::open(&path, tensor).unwrap_err();
    assert_names(&error, &path);
    error
}

#[test]
fn reads_every_element_type_in_either_precision() {
    let scratch = Scratch::new();
    let singles = f32_bytes(&VALUES.map(|value| value as f32));
    let doubles = f64_bytes(&VALUES);
    for (dtype, data) in [("F16", &F16[..]), ("BF16", &BF16), ("F32", &singles), ("F64", &doubles)]
    {
        let bytes = file(&one(dtype, "[2,2]", data.len()), data);
        let source = SafetensorsSource::open(scratch.file("a", &bytes), None).unwrap();
        assert_eq!((source.len(), source.dim()), (2, 2));
        assert_eq!(read(&source, 0..2), VALUES, "{dtype}");
        assert_eq!(read(&source, 1..2), VALUES[2..], "{dtype}");
        let mut singles = [0.0_f32; 4];
        source.read(0..2, &mut singles).unwrap();
        assert_eq!(singles.map(f64::from), VALUES, "{dtype}");
    }
}

#[test]
fn finds_the_tensor_by_name_or_as_the_only_matrix() {
    let scratch = Scratch::new();
    let path = scratch.file("a", &several(true));
    let source = SafetensorsSource::open(&path, Some("b")).unwrap();
    assert_eq!((source.tensor(), read(&source, 0..1)), ("b", vec![9.0, 10.0]));
    let source = SafetensorsSource::open(scratch.file("a", &several(false)), None).unwrap();
    assert_eq!((source.tensor(), read(&source, 0..2)), ("a", VALUES.to_vec()));
    assert_eq!(source.metadata()["layer"], "3");
}

#[test]
fn a_missing_or_ambiguous_tensor_lists_the_names() {
    let ambiguous = open_error(&several(true), None);
    let missing = open_error(&several(true), Some("c"));
    for error in [ambiguous, missing] {
        let FileError::Tensor { available, .. } = error else { panic!("{error:?}") };
        assert_eq!(available, ["a", "v", "b"]);
    }
    let error = open_error(&file(&one("F32", "[2]", 8), &[0; 8]), None);
    assert!(matches!(error, FileError::Tensor { .. }));
    assert!(matches!(open_error(&file("{}", &[]), None), FileError::Tensor { .. }));
}

#[test]
fn leading_axes_are_one() {
    let scratch = Scratch::new();
    let singles = f32_bytes(&VALUES.map(|value| value as f32));
    for (shape, rows) in [("[1,2,2]", 2), ("[2,1,2]", 2), ("[2,2,1,1]", 4)] {
        let bytes = file(&one("F32", shape, 16), &singles);
        let source = SafetensorsSource::open(scratch.file("a", &bytes), None).unwrap();
        assert_eq!((source.len(), read(&source, 0..rows)), (rows, VALUES.to_vec()), "{shape}");
        assert_eq!(format!("{:?}", source.shape()).replace(' ', ""), shape);
    }
}

/// A mask beside activations is no candidate; two arrays of floating-point numbers are.
#[test]
fn the_only_array_of_floating_point_numbers_is_meant() {
    let scratch = Scratch::new();
    let acts = r#""acts":{"dtype":"F32","shape":[2,1,2],"data_offsets":[0,16]}"#;
    let with = |dtype: &str, end: usize| {
        let mask =
            format!(r#""mask":{{"dtype":"{dtype}","shape":[2,1],"data_offsets":[16,{end}]}}"#);
        file(&format!("{{{acts},{mask}}}"), &vec![0; end])
    };
    let path = scratch.file("a", &with("BOOL", 18));
    assert_eq!(SafetensorsSource::open(path, None).unwrap().tensor(), "acts");
    let error = open_error(&with("F32", 24), None);
    assert!(matches!(&error, FileError::Tensor { .. }), "{error:?}");
    assert!(error.to_string().contains("2 tensors may be the samples"), "{error}");
}

#[test]
fn arrays_of_whole_numbers_are_no_samples() {
    let tensor = |name: &str, start: usize| {
        let end = start + 4;
        format!(r#""{name}":{{"dtype":"U8","shape":[2,2],"data_offsets":[{start},{end}]}}"#)
    };
    // A single one is opened, for an error that names its type.
    let error = open_error(&file(&format!("{{{}}}", tensor("a", 0)), &[0; 4]), None);
    assert!(matches!(&error, FileError::ElementType { found, .. } if found == "U8"), "{error:?}");
    let two = format!("{{{},{}}}", tensor("a", 0), tensor("b", 4));
    let error = open_error(&file(&two, &[0; 8]), None);
    let FileError::Tensor { problem, available, .. } = error else { panic!("{error:?}") };
    assert!(problem.contains("floating-point"), "{problem}");
    assert_eq!(available, ["a", "b"]);
}

/// Beside tensors of more axes, the only matrix is meant, unless it is a mask of one of them.
#[test]
fn the_only_matrix_is_meant() {
    let scratch = Scratch::new();
    let tensor = |name: &str, shape: &str, start: usize| {
        let end = start + 16;
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{start},{end}]}}"#)
    };
    let with = |matrix: &str| {
        let tensors = [
            tensor("heads", "[2,1,2]", 0),
            tensor("acts", matrix, 16),
            tensor("more", "[1,2,1,2]", 32),
        ];
        file(&format!("{{{}}}", tensors.join(",")), &[0; 48])
    };
    let source = SafetensorsSource::open(scratch.file("a", &with("[2,2]")), None).unwrap();
    assert_eq!((source.tensor(), source.len(), source.dim()), ("acts", 2, 2));
    // Several of more axes and no matrix, and several matrices.
    for matrix in ["[4]", "[1,4,1]"] {
        let error = open_error(&with(matrix), None);
        assert!(error.to_string().contains("tensors may be the samples"), "{error}");
    }
    let two = format!("{{{},{}}}", tensor("a", "[2,2]", 0), tensor("b", "[4,1]", 16));
    assert!(matches!(open_error(&file(&two, &[0; 32]), None), FileError::Tensor { .. }));
}

#[test]
fn shapes_that_are_no_samples_are_in_the_message() {
    let error = open_error(&file(&one("F32", "[2]", 8), &[0; 8]), None);
    let message = error.to_string();
    assert!(message.contains("x is [2]") && message.contains("(N, d)"), "{message}");
}

#[test]
fn doubles_beyond_singles_are_errors() {
    let scratch = Scratch::new();
    let bytes = file(&one("F64", "[1,2]", 16), &f64_bytes(&[1.0, 1e39]));
    let source = SafetensorsSource::open(scratch.file("a", &bytes), None).unwrap();
    let error = source.read(0..1, &mut [0.0_f32; 2]).unwrap_err().to_string();
    assert!(error.contains("row 0: coordinate 1 is 1e39: finite, but beyond f32"), "{error}");
}

#[test]
#[cfg(unix)]
fn pipes_and_directories_are_named() {
    let scratch = Scratch::new();
    let pipe = scratch.path("pipe.safetensors");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let error = open(&pipe, None).unwrap_err();
    assert!(matches!(error, FileError::NotAFile { kind: "a pipe", .. }), "{error:?}");
    let error = open(scratch.path(""), None).unwrap_err();
    assert!(matches!(error, FileError::NotAFile { kind: "a directory", .. }), "{error:?}");
}

#[test]
fn other_ranks_and_element_types_are_errors() {
    let error = open_error(&several(true), Some("v"));
    assert!(matches!(error, FileError::Shape { found, .. } if found == [2]));
    let error = open_error(&file(&one("F32", "[2,0]", 0), &[]), None);
    assert!(matches!(error, FileError::Shape { found, .. } if found == [2, 0]));
    let error = open_error(&file(&one("I32", "[2,1]", 8), &[0; 8]), None);
    assert!(matches!(error, FileError::ElementType { found, .. } if found == "I32"));
}

#[test]
fn no_samples_is_a_source() {
    let scratch = Scratch::new();
    let path = scratch.file("a", &file(&one("F32", "[0,4]", 0), &[]));
    let source = SafetensorsSource::open(path, None).unwrap();
    assert_eq!((source.len(), source.dim(), source.is_empty()), (0, 4, true));
}

#[test]
fn headers_that_make_no_sense_are_errors() {
    let huge = "[4294967296,4294967296]";
    for header in [
        one("F32", huge, 16),
        one("F32", "[2,3]", 16),
        one("F32", "[2,2]", 16).replace("[0,", "[4,"),
        one("Q99", "[2,2]", 16),
        one("F32", "[-2,2]", 16),
        "[".repeat(50_000),
        "{".to_owned(),
    ] {
        let error = open_error(&file(&header, &[0; 16]), None);
        assert!(matches!(error, FileError::Format { .. }), "{error:?}");
    }
    let trailing = file(&one("F32", "[2,2]", 16), &[0; 17]);
    let error = open_error(&trailing, None);
    assert!(matches!(error, FileError::Format { .. }));
    let holds = format!("the file holds {}", trailing.len());
    assert!(error.to_string().contains(&holds), "{error}");
    let long = u64::MAX.to_le_bytes();
    assert!(matches!(open_error(&long, None), FileError::Format { .. }));
    assert!(matches!(open_error(b"", None), FileError::Format { .. }));
}

#[test]
fn a_promise_of_more_bytes_is_truncated() {
    let header = one("F32", "[1000000000,1000]", 4_000_000_000_000);
    let error = open_error(&file(&header, &[0; 16]), None);
    let end = 8 + header.len() as u64 + 4_000_000_000_000;
    assert!(matches!(error, FileError::Truncated { promised, .. } if promised == end));
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = several(true);
    for length in 0..bytes.len() {
        let error = open_error(&bytes[..length], Some("a"));
        assert!(matches!(error, FileError::Format { .. } | FileError::Truncated { .. }));
    }
}

#[test]
fn no_corruption_of_a_byte_panics() {
    let (scratch, bytes) = (Scratch::new(), several(false));
    for at in 0..bytes.len() - 24 {
        for byte in b"\0\xff\"{9".iter().copied() {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            // Whether such a file opens is the format's affair; that it returns is ours.
            if let Ok(source) = SafetensorsSource::open(scratch.file("a", &bytes), None) {
                read(&source, 0..source.len());
            }
        }
    }
}

#[test]
fn reads_real_activations() {
    let path = "data/minilm_l3_8192_f16.safetensors";
    let source = SafetensorsSource::open(path, None).unwrap();
    assert_eq!((source.len(), source.dim(), source.tensor()), (8192, 384, "activations"));
    let all = read(&source, 0..8192);
    assert!(all.iter().all(|value| value.is_finite()));
    assert!(all.chunks(384).all(|sample| sample.iter().any(|&value| value != 0.0)));
    assert_eq!(read(&source, 8000..8192), all[8000 * 384..]);
}

#[test]
fn open_goes_by_the_extension() {
    let scratch = Scratch::new();
    let npy = npy(&npy_header("<f8", "(2, 2)"), &f64_bytes(&VALUES));
    let npy = scratch.file("a.NPY", &npy);
    let source = open(&npy, None).unwrap();
    assert!(matches!(source, FileSource::Npy(_)));
    assert_eq!((source.len(), source.dim(), read(&source, 0..2)), (2, 2, VALUES.to_vec()));
    let error = open(&npy, Some("x")).unwrap_err();
    assert!(matches!(error, FileError::Tensor { .. }));
    let source = open(scratch.file("a.safetensors", &several(true)), Some("a")).unwrap();
    assert!(matches!(source, FileSource::Safetensors(_)));
    assert_eq!(read(&source, 0..2), VALUES);
    let error = open(scratch.path("a.csv"), None).unwrap_err();
    assert!(matches!(error, FileError::Format { .. }));
}

#[test]
fn names_with_line_breaks_are_told_on_one_line() {
    let header = r#"{"a\nb":{"dtype":"F32","shape":[1,2],"data_offsets":[16,24]}}"#;
    let error = open_error(&file(header, &f32_bytes(&[1.0, 2.0])), None);
    let message = error.to_string();
    assert!(message.contains("a\\nb") && !message.contains('\n'), "{message}");
    let header = r#"{"a\nb":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}"#;
    let error = open_error(&file(header, &f32_bytes(&[1.0, 2.0])), Some("c"));
    let message = error.to_string();
    assert!(message.contains("a\\nb") && !message.contains('\n'), "{message}");
}
