use dbksvd::error::{FileError, SourceError};
use dbksvd::source::{NpySource, SampleSource};

use crate::common::{Scratch, assert_names, f32_bytes, f64_bytes, npy, npy_header, read};

/// Six values that f16 holds exactly: the array [[1, −2], [0.5, 0], [65504, 2⁻²⁴]].
const VALUES: [f64; 6] = [1.0, -2.0, 0.5, 0.0, 65504.0, 5.960_464_477_539_063e-8];

/// The same in f16.
const HALVES: [u8; 12] = [0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38, 0, 0, 0xff, 0x7b, 0x01, 0x00];

fn good() -> Vec<u8> {
    npy(&npy_header("<f4", "(3, 2)"), &f32_bytes(&VALUES.map(|value| value as f32)))
}

#[track_caller]
fn open_error(bytes: &[u8]) -> FileError {
    let scratch = Scratch::new();
    let path = scratch.file("broken.npy", bytes);
    let error = NpySource::open(&path).unwrap_err();
    assert_names(&error, &path);
    error
}

#[track_caller]
fn format_reason(bytes: &[u8]) -> String {
    match open_error(bytes) {
        FileError::Format { format: "npy", reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn reads_every_element_type_in_either_precision() {
    let scratch = Scratch::new();
    let singles = f32_bytes(&VALUES.map(|value| value as f32));
    for (descr, data) in [("<f2", &HALVES[..]), ("<f4", &singles), ("<f8", &f64_bytes(&VALUES))] {
        let path = scratch.file("a.npy", &npy(&npy_header(descr, "(3, 2)"), data));
        let source = NpySource::open(&path).unwrap();
        assert_eq!((source.len(), source.dim(), source.is_empty()), (3, 2, false));
        assert_eq!(source.path(), path);
        assert_eq!(read(&source, 0..3), VALUES, "{descr}");
        let mut singles = [0.0_f32; 6];
        source.read(0..3, &mut singles).unwrap();
        assert_eq!(singles.map(f64::from), VALUES, "{descr}");
    }
}

#[test]
fn reads_any_range() {
    let scratch = Scratch::new();
    let source = NpySource::open(scratch.file("a.npy", &good())).unwrap();
    for start in 0..=3 {
        for end in start..=3 {
            assert_eq!(read(&source, start..end), VALUES[2 * start..2 * end]);
        }
    }
    assert_eq!(SampleSource::<f32>::run_length(&source), 16);
}

#[test]
fn reads_beyond_one_buffer_and_from_many_threads() {
    let scratch = Scratch::new();
    let values: Vec<f64> = (0..3 * 5001).map(f64::from).collect();
    let bytes = npy(&npy_header("<f8", "(5001, 3)"), &f64_bytes(&values));
    let source = NpySource::open(scratch.file("a.npy", &bytes)).unwrap();
    assert_eq!(read(&source, 0..5001), values);
    std::thread::scope(|scope| {
        for first in [0, 1000, 4000] {
            let (source, values) = (&source, &values);
            scope.spawn(move || {
                assert_eq!(read(source, first..first + 1001), values[3 * first..3 * first + 3003]);
            });
        }
    });
}

#[test]
fn reads_versions_two_and_three() {
    let scratch = Scratch::new();
    for version in [2, 3] {
        let header = npy_header("<f4", "(1, 2)");
        let mut bytes = vec![0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
        bytes.extend((header.len() as u32).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(f32_bytes(&[3.0, 4.0]));
        let source = NpySource::open(scratch.file("a.npy", &bytes)).unwrap();
        assert_eq!(read(&source, 0..1), [3.0, 4.0]);
    }
}

#[test]
fn reads_a_file_that_numpy_wrote() {
    let source = NpySource::open("data/camera256_noisy25.npy").unwrap();
    assert_eq!((source.len(), source.dim()), (256, 256));
    assert!(read(&source, 0..256).iter().all(|value| value.is_finite()));
}

#[test]
fn no_samples_is_a_source_and_no_dimension_is_not() {
    let scratch = Scratch::new();
    let path = scratch.file("a.npy", &npy(&npy_header("<f4", "(0, 5)"), &[]));
    let source = NpySource::open(path).unwrap();
    assert_eq!((source.len(), source.dim(), source.is_empty()), (0, 5, true));
    assert!(read(&source, 0..0).is_empty());
    let error = open_error(&npy(&npy_header("<f4", "(5, 0)"), &[]));
    assert!(matches!(error, FileError::Shape { found, .. } if found == [5, 0]));
}

#[test]
fn bad_ranges_and_buffers_are_errors() {
    let scratch = Scratch::new();
    let source = NpySource::open(scratch.file("a.npy", &good())).unwrap();
    let error = source.read(2..4, &mut [0.0_f32; 4]).unwrap_err();
    assert!(matches!(error, SourceError::OutOfRange { start: 2, end: 4, len: 3 }));
    let error = source.read(0..2, &mut [0.0_f32; 5]).unwrap_err();
    assert!(matches!(error, SourceError::Buffer { found: 5, expected: 4 }));
}

#[test]
fn other_element_types_are_errors() {
    for descr in [">f4", ">f8", "<i4", "|u1", "<f16", "<c8", "|S3", "|O"] {
        let error = open_error(&npy(&npy_header(descr, "(3, 2)"), &[0; 96]));
        assert!(matches!(error, FileError::ElementType { found, .. } if found == descr));
    }
    let record = "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3, 2)}";
    assert!(matches!(open_error(&npy(record, &[0; 24])), FileError::ElementType { .. }));
}

#[test]
fn other_ranks_are_errors() {
    for (shape, rank) in [("()", 0), ("(6,)", 1), ("(1, 2, 3)", 3)] {
        let error = open_error(&npy(&npy_header("<f4", shape), &[0; 24]));
        assert!(matches!(error, FileError::Shape { found, .. } if found.len() == rank));
    }
}

#[test]
fn fortran_order_is_an_error() {
    let header = npy_header("<f4", "(3, 2)").replace("False", "True");
    assert!(format_reason(&npy(&header, &[0; 24])).contains("Fortran"));
}

#[test]
fn sizes_that_overflow_are_errors() {
    for shape in [
        "(1099511627776, 1099511627776)",
        "(18446744073709551615, 2)",
        "(18446744073709551616, 2)",
        "(2, 0, 18446744073709551615)",
        "(9223372036854775807, 0, 9223372036854775807)",
        "(4294967296, 1073741824)",
    ] {
        let reason = format_reason(&npy(&npy_header("<f4", shape), &[0; 24]));
        assert!(reason.contains("overflow"), "{shape}: {reason}");
    }
}

#[test]
fn numbers_that_are_not_plain_decimals_are_errors() {
    for shape in ["(0x7fffffffffffffff, 4)", "(1_000, 2)", "(1 + 1, 2)", "(-3, 2)", "(3.0, 2)"] {
        format_reason(&npy(&npy_header("<f4", shape), &[0; 24]));
    }
}

#[test]
fn deep_brackets_are_an_error() {
    for depth in [65, 20_000] {
        let header = "(".repeat(depth) + &",)".repeat(depth);
        format_reason(&npy(&header, &[]));
    }
}

#[test]
fn a_promise_of_more_bytes_is_truncated() {
    let header = npy_header("<f8", "(1000000000, 1000)");
    let end = 10 + header.len() as u64;
    match open_error(&npy(&header, &[0; 24])) {
        FileError::Truncated { promised, found, .. } => {
            assert_eq!((promised, found), (end + 8_000_000_000_000, end + 24));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = good();
    for length in 0..bytes.len() {
        let error = open_error(&bytes[..length]);
        assert!(matches!(error, FileError::Format { .. } | FileError::Truncated { .. }));
    }
}

#[test]
fn no_corruption_of_a_byte_panics() {
    let (scratch, bytes) = (Scratch::new(), good());
    for at in 0..bytes.len() - 24 {
        for byte in b"\0\xff'({,9x_+".iter().copied() {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            // Whether such a file opens is the format's affair; that it returns is ours.
            if let Ok(source) = NpySource::open(scratch.file("a.npy", &bytes)) {
                read(&source, 0..source.len());
            }
        }
    }
}

#[test]
fn garbage_is_an_error() {
    format_reason(b"");
    format_reason(b"not an array at all, but some text of more than twelve bytes");
    format_reason(b"\x93NUMPY\x09\x00\x10\x00{}              ");
    format_reason(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}              ");
    format_reason(&npy("[1, 2, 3]", &[]));
    format_reason(&npy("{'descr': '<f4', 'shape': (1, 2)}", &[0; 8]));
    format_reason(&npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2", &[0; 8]));
}

#[test]
fn a_missing_file_is_an_error() {
    let path = Scratch::new().path("none.npy");
    let error = NpySource::open(&path).unwrap_err();
    assert_names(&error, &path);
    assert!(matches!(error, FileError::Io { .. }));
}

#[test]
fn a_file_cut_after_opening_is_truncated() {
    let (scratch, bytes) = (Scratch::new(), good());
    let path = scratch.file("a.npy", &bytes);
    let source = NpySource::open(&path).unwrap();
    scratch.file("a.npy", &bytes[..bytes.len() - 4]);
    assert_eq!(read(&source, 0..2), VALUES[..4]);
    match source.read(0..3, &mut [0.0_f32; 6]).unwrap_err() {
        SourceError::File(FileError::Truncated { promised, found, .. }) => {
            assert_eq!((promised, found), (bytes.len() as u64, bytes.len() as u64 - 4));
        }
        other => panic!("{other:?}"),
    }
}
