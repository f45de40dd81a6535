use std::fs::File;
use std::time::Duration;

use dbksvd::error::{FileError, SourceError};
use dbksvd::source::{NpySource, SampleSource, open_shards};

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

/// Headers as NumPy understands them, though it writes others.
#[test]
fn reads_headers_that_numpy_reads() {
    let singles = f32_bytes(&VALUES.map(|value| value as f32));
    let scratch = Scratch::new();
    let native = ["'=f4'", "'f4'", "'|f4'", "'float32'", "\"<f4\"", "'single'", "'f'"];
    let headers = native.map(|descr| npy_header("<f4", "(3, 2)").replace("'<f4'", descr));
    let others = [
        npy_header("<f4", "(3L, 2L)"),
        npy_header("<f4", "(3,2)").replace(' ', ""),
        "{'shape': (3, 2), 'fortran_order': False, 'descr': '<f4'}".to_owned(),
    ];
    for header in headers.iter().chain(&others) {
        let path = scratch.file("a.npy", &npy(header, &singles));
        assert_eq!(read(&NpySource::open(path).unwrap(), 0..3), VALUES, "{header}");
    }
}

#[test]
fn reads_big_endian_numbers() {
    let scratch = Scratch::new();
    let values: Vec<f64> = (0..2 * 3001).map(|i| f64::from(i) - 0.5).collect();
    let reversed = |bytes: &[u8], size: usize| -> Vec<u8> {
        bytes.chunks_exact(size).flat_map(|value| value.iter().rev().copied()).collect()
    };
    let singles: Vec<f32> = values.iter().map(|&value| value as f32).collect();
    for (descr, bytes) in
        [(">f8", reversed(&f64_bytes(&values), 8)), (">f4", reversed(&f32_bytes(&singles), 4))]
    {
        let path = scratch.file("a.npy", &npy(&npy_header(descr, "(3001, 2)"), &bytes));
        let source = NpySource::open(path).unwrap();
        assert_eq!(read(&source, 0..3001), values, "{descr}");
        assert_eq!(read(&source, 3000..3001), values[6000..], "{descr}");
    }
    let path = scratch.file("a.npy", &npy(&npy_header(">f2", "(3, 2)"), &reversed(&HALVES, 2)));
    assert_eq!(read(&NpySource::open(path).unwrap(), 0..3), VALUES);
}

/// `ml_dtypes` writes bfloat16 as raw bytes, since NumPy has no name for it.
#[test]
fn reads_bfloat16() {
    let scratch = Scratch::new();
    let bytes = [0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3f, 0x40, 0x40];
    for descr in ["<V2", "|V2", "bfloat16"] {
        let path = scratch.file("a.npy", &npy(&npy_header(descr, "(2, 2)"), &bytes));
        let source = NpySource::open(path).unwrap();
        assert_eq!(read(&source, 0..2), [1.0, -2.0, 0.5, 3.0]);
        assert_eq!(SampleSource::<f32>::element_type(&source), "bf16");
    }
}

#[test]
fn leading_axes_are_one() {
    let singles = f32_bytes(&VALUES.map(|value| value as f32));
    let scratch = Scratch::new();
    for (shape, rows) in [("(1, 3, 2)", 3), ("(3, 1, 2)", 3), ("(1, 1, 2, 3)", 2)] {
        let path = scratch.file("a.npy", &npy(&npy_header("<f4", shape), &singles));
        let source = NpySource::open(path).unwrap();
        assert_eq!(source.len(), rows, "{shape}");
        assert_eq!(read(&source, 0..rows), VALUES, "{shape}");
        assert_eq!(format!("{:?}", source.shape()), shape.replace('(', "[").replace(')', "]"));
    }
    let path = scratch.file("a.npy", &npy(&npy_header("<f4", "(4, 0, 2)"), &[]));
    let source = NpySource::open(path).unwrap();
    assert_eq!((source.len(), source.dim(), source.shape()), (0, 2, &[4, 0, 2][..]));
}

/// Two arrays that were saved to one handle: the second would be lost.
#[test]
fn bytes_after_the_array_are_an_error() {
    let array = good();
    let twice = [array.as_slice(), &array].concat();
    match open_error(&twice) {
        FileError::Trailing { promised, found, .. } => {
            assert_eq!((promised, found), (array.len() as u64, twice.len() as u64));
        }
        other => panic!("{other:?}"),
    }
    let message = open_error(&twice).to_string();
    assert!(message.contains(&format!(": {} bytes after the array", array.len())), "{message}");
    let one_more = [array.as_slice(), &[0]].concat();
    assert!(matches!(open_error(&one_more), FileError::Trailing { .. }));
}

/// A double that a single cannot hold is not silently another number.
#[test]
fn doubles_beyond_singles_are_errors() {
    let scratch = Scratch::new();
    let mut values = VALUES;
    let file = |values: &[f64]| npy(&npy_header("<f8", "(3, 2)"), &f64_bytes(values));
    for (value, loss) in [
        (-1e39, "finite, but beyond f32"),
        (3.5e38, "finite, but beyond f32"),
        (f64::MAX, "finite, but beyond f32"),
        (1e-60, "zero"),
        (-1e-39, "zero"),
    ] {
        values[3] = value;
        values[2] = if value.abs() < 1.0 { value / 2.0 } else { 1.0 };
        let path = scratch.file("a.npy", &file(&values));
        let source = NpySource::open(&path).unwrap();
        assert_eq!(read(&source, 0..3), values);
        for range in [0..3, 1..2] {
            let mut singles = vec![0.0_f32; 2 * range.len()];
            let error = source.read(range, &mut singles).unwrap_err();
            let SourceError::File(FileError::Narrowing { row, coordinate, value: found, .. }) =
                error
            else {
                panic!("{error:?}")
            };
            assert_eq!((row, coordinate, found), (1, 1, value));
            let message = error.to_string();
            assert!(
                message.contains(loss) && message.contains("read the file as f64"),
                "{message}"
            );
        }
        source.read(2..3, &mut [0.0_f32; 2]).unwrap();
    }
    // A small number among others is rounded to zero, and what is not finite is for others to
    // refuse.
    values[2..4].copy_from_slice(&[1.0, 1e-60]);
    values[4] = f64::INFINITY;
    let source = NpySource::open(scratch.file("a.npy", &file(&values))).unwrap();
    let mut singles = [0.0_f32; 6];
    source.read(0..3, &mut singles).unwrap();
    assert_eq!(singles[2..5], [1.0, 0.0, f32::INFINITY]);
}

/// Rows longer than the buffer of a read are watched as a whole.
#[test]
fn long_rows_of_doubles_are_rows() {
    let scratch = Scratch::new();
    let mut values = vec![1e-60; 3 * 5000];
    values[9999] = 1.0;
    values[4999] = 1.0;
    let bytes = npy(&npy_header("<f8", "(3, 5000)"), &f64_bytes(&values));
    let source = NpySource::open(scratch.file("a.npy", &bytes)).unwrap();
    source.read(0..2, &mut vec![0.0_f32; 10_000]).unwrap();
    let error = source.read(0..3, &mut vec![0.0_f32; 15_000]).unwrap_err();
    let SourceError::File(FileError::Narrowing { row: 2, coordinate: 0, .. }) = error else {
        panic!("{error:?}")
    };
}

/// What is no regular file is named for what it is. A pipe is not opened: that would wait for
/// somebody who writes to it.
#[test]
#[cfg(unix)]
fn what_is_no_file_is_named() {
    let scratch = Scratch::new();
    let kind_of = |path: &std::path::Path| match NpySource::open(path).unwrap_err() {
        error @ FileError::NotAFile { .. } => error.to_string(),
        other => panic!("{other:?}"),
    };
    let pipe = scratch.path("pipe.npy");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(kind_of(&pipe).contains("a pipe, expected a regular file"));
    let socket = scratch.path("socket.npy");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(kind_of(&socket).contains("a socket"));
    let directory = scratch.path("directory.npy");
    std::fs::create_dir(&directory).unwrap();
    assert!(kind_of(&directory).contains("a directory"));
    assert!(kind_of(std::path::Path::new("/dev/null")).contains("a device"));
}

#[test]
fn other_element_types_are_errors() {
    for descr in ["<i4", "|u1", "<f16", "<c8", "|S3", "|O"] {
        let error = open_error(&npy(&npy_header(descr, "(3, 2)"), &[0; 96]));
        assert!(matches!(error, FileError::ElementType { found, .. } if found == descr));
    }
    let record = "{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (3, 2)}";
    assert!(matches!(open_error(&npy(record, &[0; 24])), FileError::ElementType { .. }));
}

#[test]
fn other_ranks_are_errors() {
    for (shape, rank) in [("()", 0), ("(6,)", 1)] {
        let error = open_error(&npy(&npy_header("<f4", shape), &[0; 24]));
        let message = error.to_string();
        assert!(message.contains("expected (N, d), or (B, S, d)"), "{message}");
        assert!(matches!(error, FileError::Shape { found, .. } if found.len() == rank));
    }
}

#[test]
fn more_axes_than_numpy_has_are_an_error() {
    let shape = |axes: usize| format!("({}2)", "1, ".repeat(axes - 1));
    let source = npy(&npy_header("<f4", &shape(64)), &f32_bytes(&[3.0, 4.0]));
    let scratch = Scratch::new();
    let source = NpySource::open(scratch.file("a.npy", &source)).unwrap();
    assert_eq!((source.shape().len(), read(&source, 0..1)), (64, vec![3.0, 4.0]));
    let reason = format_reason(&npy(&npy_header("<f4", &shape(65)), &[0; 8]));
    assert!(reason.contains("more than 64 axes"), "{reason}");
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
        for byte in b"\0\xff'({,9x_+L>V".iter().copied() {
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
    let twice = "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1, 2)}";
    assert!(format_reason(&npy(twice, &[0; 8])).contains("twice"));
    let unknown = "{'descr': '<f4', 'order': 'C', 'fortran_order': False, 'shape': (1, 2)}";
    assert!(format_reason(&npy(unknown, &[0; 8])).contains("`order`"));
    let more = npy_header("<f4", "(1, 2)") + "{}";
    assert!(format_reason(&npy(&more, &[0; 8])).contains("expected the end"));
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
    // Rows before the cut may have been written anew, too.
    for rows in [0..2, 0..3] {
        match source.read(rows.clone(), &mut vec![0.0_f32; 2 * rows.len()]).unwrap_err() {
            SourceError::File(FileError::Truncated { promised, found, .. }) => {
                assert_eq!((promised, found), (bytes.len() as u64, bytes.len() as u64 - 4));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_file_written_to_after_opening_is_an_error() {
    let (scratch, bytes) = (Scratch::new(), good());
    let path = scratch.file("a.npy", &bytes);
    let file = File::options().write(true).open(&path).unwrap();
    let written = file.metadata().unwrap().modified().unwrap();
    let source = NpySource::open(&path).unwrap();
    assert_eq!(read(&source, 0..3), VALUES);

    // The clock of a file system is coarse, and this test is fast. The time may also be an earlier
    // one, as after the clock was set back.
    for other in [written + Duration::from_secs(1), written - Duration::from_secs(3600)] {
        file.set_modified(other).unwrap();
        let error = source.read(0..1, &mut [0.0_f32; 2]).unwrap_err();
        assert!(matches!(&error, SourceError::File(FileError::Changed { .. })), "{error:?}");
        assert!(error.to_string().starts_with(&format!("{}: changed since", path.display())));
    }
    file.set_modified(written).unwrap();
    assert_eq!(read(&source, 0..3), VALUES);
}

/// Files that are open are read to their end even if another takes their place, and those that are
/// opened again for each read say so.
#[test]
fn a_file_whose_place_another_takes() {
    let (scratch, bytes) = (Scratch::new(), good());
    let names: Vec<String> = (0..257).map(|i| format!("{i:03}.npy")).collect();
    let paths: Vec<_> = names.iter().map(|name| scratch.file(name, &bytes)).collect();
    let shards = open_shards(&paths, None).unwrap();
    assert_eq!(shards.samples(), 3 * 257);
    for &replaced in &[0, 256] {
        let written = paths[replaced].metadata().unwrap().modified().unwrap();
        let other = scratch.file("other", &bytes);
        File::options().write(true).open(&other).unwrap().set_modified(written).unwrap();
        std::fs::rename(&other, &paths[replaced]).unwrap();
    }
    let mut rows = [0.0_f32; 6];
    shards.read(0..3, &mut rows).unwrap();
    assert_eq!(rows.map(f64::from), VALUES);
    let error = shards.read(768..771, &mut rows).unwrap_err().to_string();
    // Only where files have numbers can two that were written at one time be told apart.
    #[cfg(unix)]
    assert!(error.contains("256.npy: changed since it was opened"), "{error}");
}
