use std::path::PathBuf;

use dbksvd::error::FileError;
use dbksvd::source::{FileSource, Mask, open_shards, read_mask};

use crate::common::{Scratch, assert_names, f32_bytes, npy, npy_header};

/// Rows 1, 2 and 4 of six.
const VALUES: [u8; 6] = [0, 1, 1, 0, 1, 0];

/// A mask file of these values in this type of so many bytes.
fn mask(descr: &str, size: usize, shape: &str, values: &[u8]) -> Vec<u8> {
    let number = |&value: &u8| {
        let mut bytes = vec![0; size];
        let last = if descr.starts_with('>') { size - 1 } else { 0 };
        bytes[last] = value;
        bytes
    };
    npy(&npy_header(descr, shape), &values.iter().flat_map(number).collect::<Vec<_>>())
}

fn bools(shape: &str, values: &[u8]) -> Vec<u8> {
    mask("|b1", 1, shape, values)
}

/// A file of samples of this shape, whose last axis is 2.
fn samples(scratch: &Scratch, name: &str, shape: &str, rows: usize) -> FileSource {
    let bytes = npy(&npy_header("<f4", shape), &f32_bytes(&vec![1.0; 2 * rows]));
    dbksvd::source::open(scratch.file(name, &bytes), None).unwrap()
}

#[track_caller]
fn mask_error(result: Result<Mask, FileError>, path: &std::path::Path) -> (String, String) {
    let error = result.unwrap_err();
    assert_names(&error, path);
    assert_eq!(error.to_string().lines().count(), 1);
    match error {
        FileError::Mask { found, expected, .. } => (found, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_type_of_whole_numbers_and_every_shape_is_read() {
    let scratch = Scratch::new();
    for (descr, size) in [
        ("|b1", 1),
        ("bool", 1),
        ("?", 1),
        ("|i1", 1),
        ("|u1", 1),
        ("<i2", 2),
        (">u2", 2),
        ("<i4", 4),
        (">i4", 4),
        ("<u4", 4),
        ("<i8", 8),
        (">i8", 8),
        ("<u8", 8),
    ] {
        for shape in ["(6,)", "(2, 3)", "(6, 1)", "(1, 6)", "(2, 1, 3)"] {
            let path = scratch.file("mask.npy", &mask(descr, size, shape, &VALUES));
            let mask = Mask::read_npy(path).unwrap();
            assert_eq!(mask.ranges(), [1..3, 4..5], "{descr} {shape}");
            assert_eq!((mask.rows(), mask.kept()), (6, 3));
        }
    }
}

#[test]
fn masks_beyond_one_buffer_are_read() {
    let scratch = Scratch::new();
    let values: Vec<u8> = (0..70_001).map(|i: usize| u8::from(i % 40_000 > 5)).collect();
    let path = scratch.file("mask.npy", &mask("<i4", 4, "(70001,)", &values));
    assert_eq!(Mask::read_npy(path).unwrap().ranges(), [6..40_000, 40_006..70_001]);
}

#[test]
fn other_values_types_and_lengths_of_files_are_refused() {
    let scratch = Scratch::new();
    for (descr, size, value, found) in [
        ("|b1", 1, 2, "value 4 is 2"),
        ("|i1", 1, 255, "value 4 is -1"),
        ("<i8", 8, 7, "value 4 is 7"),
    ] {
        let mut values = VALUES;
        values[4] = value;
        let path = scratch.file("mask.npy", &mask(descr, size, "(2, 3)", &values));
        let expected = "0 (leaves the row out) or 1 (keeps it)";
        let error = mask_error(Mask::read_npy(&path), &path);
        assert_eq!((error.0.as_str(), error.1.as_str()), (found, expected));
    }
    let path = scratch.file("none.npy", &bools("(6,)", &[0; 6]));
    let (found, expected) = mask_error(Mask::read_npy(&path), &path);
    assert_eq!(found, "all 6 values are 0");
    assert_eq!(expected, "1 for each row that is to be used");
    for descr in ["<f4", "<f8", "<V2", "<U1", "[('a', '<i4')]"] {
        let path = scratch.file("mask.npy", &npy(&npy_header(descr, "(6,)"), &[0; 24]));
        // The text of a type without a name stands in the header without quotes.
        let bare = npy_header(descr, "(6,)").replace("'[", "[").replace("]'", "]");
        if descr.starts_with('[') {
            scratch.file("mask.npy", &npy(&bare, &[0; 24]));
        }
        let error = Mask::read_npy(&path).unwrap_err();
        assert_names(&error, &path);
        assert!(matches!(error, FileError::ElementType { .. }), "{descr}: {error:?}");
        assert!(error.to_string().contains("`a.astype(bool)`"), "{error}");
    }
    let good = bools("(6,)", &VALUES);
    let path = scratch.file("mask.npy", &good[..good.len() - 1]);
    assert!(matches!(Mask::read_npy(&path), Err(FileError::Truncated { .. })));
    scratch.file("mask.npy", &[&good[..], &[1]].concat());
    assert!(matches!(Mask::read_npy(&path), Err(FileError::Trailing { .. })));
    scratch.file("mask.npy", &bools("(4611686018427387904, 8)", &VALUES));
    assert!(matches!(Mask::read_npy(&path), Err(FileError::Format { .. })));
    scratch.file("mask.npy", &bools("(0, 4611686018427387904, 8)", &[]));
    assert!(matches!(Mask::read_npy(&path), Err(FileError::Format { .. })));
    scratch.file("mask.npy", b"1 0 1");
    assert!(matches!(Mask::read_npy(&path), Err(FileError::Format { .. })));
    let fortran = npy_header("|b1", "(2, 3)").replace("False", "True");
    scratch.file("mask.npy", &npy(&fortran, &VALUES));
    let error = Mask::read_npy(&path).unwrap_err().to_string();
    assert!(error.contains("Fortran order"), "{error}");
    assert!(matches!(Mask::read_npy(scratch.path("no.npy")), Err(FileError::Io { .. })));
}

#[test]
fn one_mask_is_of_all_files_and_several_are_of_several() {
    let scratch = Scratch::new();
    let data = [
        samples(&scratch, "a.npy", "(4, 2)", 4),
        samples(&scratch, "b.npy", "(2, 2)", 2),
        samples(&scratch, "c.npy", "(6, 2)", 6),
    ];
    let all = scratch.file("all.npy", &bools("(12,)", &[VALUES, VALUES].concat()));
    let parts = [(&VALUES[..4], "0"), (&VALUES[4..], "1"), (&VALUES[..], "2")];
    let parts = parts.map(|(values, name)| {
        let shape = format!("({},)", values.len());
        scratch.file(&format!("part{name}.npy"), &bools(&shape, values))
    });
    let halves: Vec<PathBuf> =
        ["h1.npy", "h2.npy"].map(|name| scratch.file(name, &bools("(6,)", &VALUES))).to_vec();
    let expected = [1..3, 4..5, 7..9, 10..11];
    assert_eq!(read_mask([&all], &data).unwrap().ranges(), expected);
    assert_eq!(read_mask(&parts, &data).unwrap().ranges(), expected);
    assert_eq!(read_mask([scratch.path("part*.npy")], &data).unwrap().ranges(), expected);
    assert_eq!(read_mask(&halves, &data).unwrap().ranges(), expected);

    // One of several may keep nothing, all of them may not.
    let nothing = scratch.file("nothing.npy", &bools("(6,)", &[0; 6]));
    let mask = read_mask([&halves[0], &nothing], &data).unwrap();
    assert_eq!((mask.ranges(), mask.rows()), (&[1..3, 4..5][..], 12));
    let (found, _) = mask_error(read_mask([&nothing, &nothing], &data), &nothing);
    assert_eq!(found, "all 12 values are 0 in this file and 1 more");

    // In another order, their lengths tell.
    let swapped = [&parts[1], &parts[0], &parts[2]];
    let (found, expected) = mask_error(read_mask(swapped, &data), &parts[1]);
    assert_eq!(found, "2 values");
    let name = scratch.path("a.npy");
    assert_eq!(expected, format!("4, one for each row of {}", name.display()));

    let (found, expected) = mask_error(read_mask([&halves[0]], &data), &halves[0]);
    assert_eq!(found, "6 values");
    assert_eq!(expected, format!("12, one for each row of {} and 2 more", name.display()));
    let (found, _) = mask_error(read_mask([&parts[0], &parts[1]], &data), &parts[0]);
    assert_eq!(found, "6 values in this file and 1 more");
    let missing = read_mask([scratch.path("no*.npz")], &data);
    assert!(matches!(missing, Err(FileError::NoFiles { .. })), "{missing:?}");
}

#[test]
fn axes_of_masks_are_those_of_samples() {
    let scratch = Scratch::new();
    let of = |shape: &str, rows| [samples(&scratch, "a.npy", shape, rows)];
    let read = |shape: &str, values: &[u8], data: &[FileSource]| {
        read_mask([scratch.file("mask.npy", &bools(shape, values))], data)
    };
    let batch = of("(2, 3, 2)", 6);
    for shape in ["(6,)", "(2, 3)", "(2, 3, 1)", "(6, 1)"] {
        assert_eq!(read(shape, &VALUES, &batch).unwrap().ranges(), [1..3, 4..5], "{shape}");
    }
    // An axis of one value at the end, as of one layer or one head.
    let heads = of("(2, 3, 1, 2)", 6);
    for shape in ["(6,)", "(2, 3)", "(2, 3, 1)", "(6, 1)"] {
        assert_eq!(read(shape, &VALUES, &heads).unwrap().kept(), 3, "{shape}");
    }
    let flat = of("(6, 2)", 6);
    for shape in ["(6,)", "(2, 3)", "(3, 2)"] {
        assert_eq!(read(shape, &VALUES, &flat).unwrap().kept(), 3, "{shape}");
    }
    for shape in ["(3, 2)", "(1, 6)", "(1, 2, 3)"] {
        let (found, expected) = mask_error(read(shape, &VALUES, &batch), &scratch.path("mask.npy"));
        assert_eq!(found, format!("shape {}", shape.replace('(', "[").replace(')', "]")));
        let name = scratch.path("a.npy");
        let name = name.display();
        assert_eq!(expected, format!("[2, 3] or [6] for samples of shape [2, 3, 2] in {name}"));
    }
    let two =
        [samples(&scratch, "a.npy", "(2, 3, 2)", 6), samples(&scratch, "b.npy", "(1, 3, 2)", 3)];
    let values = [&VALUES[..], &VALUES[..3]].concat();
    assert_eq!(read("(3, 3)", &values, &two).unwrap().ranges(), [1..3, 4..5, 7..9]);
    let whole = open_shards([scratch.path("a.npy")], None).unwrap();
    assert_eq!(read("(2, 3)", &VALUES, whole.shards()).unwrap().kept(), 3);
}
