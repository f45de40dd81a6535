//! Tensors written and read by name, and files of any format that appear whole or not at all.

use std::io::{self, Write};

use dbksvd::error::FileError;
use dbksvd::faer::{Mat, mat};
use dbksvd::files::{Numbers, TensorFile, TensorReader, write_atomically};

use crate::common::safetensors as file;
use crate::common::{Scratch, assert_names, f32_bytes, f64_bytes};

#[test]
fn the_bytes_are_those_of_the_format() {
    let scratch = Scratch::new();
    let matrix = mat![[1.0_f32, 2.0, 3.0], [4.0, 5.0, 6.0]];
    let mut tensors = TensorFile::new();
    tensors.text("made_by", "a test");
    tensors.tensor("rows", Numbers::Rows(matrix.as_ref()));
    tensors.tensor("columns", Numbers::Columns(matrix.as_ref()));
    tensors.tensor("vector", Numbers::Scalars(&[7.0]));
    tensors.tensor("doubles", Numbers::F64(&[0.1]));
    tensors.tensor("counts", Numbers::U64(&[u64::MAX]));
    tensors.write(scratch.path("a")).unwrap();

    let header = concat!(
        r#"{"__metadata__":{"made_by":"a test"},"#,
        r#""columns":{"data_offsets":[24,48],"dtype":"F32","shape":[3,2]},"#,
        r#""counts":{"data_offsets":[60,68],"dtype":"U64","shape":[1]},"#,
        r#""doubles":{"data_offsets":[52,60],"dtype":"F64","shape":[1]},"#,
        r#""rows":{"data_offsets":[0,24],"dtype":"F32","shape":[2,3]},"#,
        r#""vector":{"data_offsets":[48,52],"dtype":"F32","shape":[1]}}"#,
    );
    let header = format!("{header:<0$}", header.len().next_multiple_of(8));
    let mut data = f32_bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    data.extend(f32_bytes(&[1.0, 4.0, 2.0, 5.0, 3.0, 6.0, 7.0]));
    data.extend(f64_bytes(&[0.1]));
    data.extend([255; 8]);
    assert_eq!(std::fs::read(scratch.path("a")).unwrap(), file(&header, &data));
    assert_eq!(scratch.names(), ["a"]);
}

#[test]
fn matrices_of_any_strides_are_written() {
    let scratch = Scratch::new();
    let matrix = Mat::<f64>::from_fn(3, 4, |i, j| (10 * i + j) as f64);
    let transposed = matrix.transpose();
    let parts = matrix.as_ref().reverse_rows().subcols(1, 2);
    let mut tensors = TensorFile::new();
    tensors.tensor("transposed", Numbers::Columns(transposed));
    tensors.tensor("reversed", Numbers::Rows(parts));
    tensors.write(scratch.path("a")).unwrap();
    let reader = TensorReader::open(scratch.path("a")).unwrap();
    let read = |name: &str| -> Vec<Vec<f64>> {
        let rows = reader.rows(name).unwrap();
        let mut row = vec![0.0; rows.width()];
        let mut read = |i| rows.read_row(i, &mut row).map(|()| row.clone()).unwrap();
        (0..rows.count()).map(&mut read).collect()
    };
    let expected = |i: usize| (0..4).map(|j| (10 * i + j) as f64).collect::<Vec<_>>();
    assert_eq!(read("transposed"), [expected(0), expected(1), expected(2)]);
    assert_eq!(read("reversed"), [[21.0, 22.0], [11.0, 12.0], [1.0, 2.0]]);
}

#[test]
fn rows_are_along_the_last_axis() {
    let scratch = Scratch::new();
    let header = concat!(
        r#"{"cube":{"dtype":"F16","shape":[2,1,2],"data_offsets":[0,8]},"#,
        r#""vector":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},"#,
        r#""number":{"dtype":"F32","shape":[],"data_offsets":[14,18]},"#,
        r#""counts":{"dtype":"I16","shape":[1],"data_offsets":[18,20]}}"#,
    );
    let halves = [0x00, 0x3c, 0x00, 0xc0, 0x00, 0x38, 0x00, 0x42];
    let brains = [0x80, 0x3f, 0x00, 0xc0, 0x00, 0x3f];
    let path = scratch.file("a", &file(header, &[&halves[..], &brains, &[0; 6]].concat()));
    let reader = TensorReader::open(&path).unwrap();
    assert_eq!(reader.names(), ["cube", "vector", "number", "counts"]);
    assert_eq!(reader.text("layer"), None);

    let cube = reader.rows("cube").unwrap();
    assert_eq!((cube.shape(), cube.count(), cube.width()), (&[2, 1, 2][..], 2, 2));
    let mut row = [0.0_f32; 2];
    cube.read_row(1, &mut row).unwrap();
    assert_eq!(row, [0.5, 3.0]);
    let vector = reader.rows("vector").unwrap();
    assert_eq!((vector.shape(), vector.count(), vector.width()), (&[3][..], 1, 3));
    let mut row = [0.0_f64; 3];
    vector.read_row(0, &mut row).unwrap();
    assert_eq!(row, [1.0, -2.0, 0.5]);

    let error = |name: &str| {
        let error = reader.rows(name).unwrap_err();
        assert_names(&error, &path);
        error
    };
    assert!(matches!(error("number"), FileError::Shape { found, .. } if found.is_empty()));
    assert!(matches!(error("counts"), FileError::ElementType { found, .. } if found == "I16"));
    let FileError::Tensor { available, .. } = error("none") else { panic!("another error") };
    assert_eq!(available, reader.names());
    assert_eq!(reader.shape("number").unwrap(), [0; 0]);
    assert!(reader.shape("none").is_err());
}

#[test]
#[should_panic(expected = "row 2 of 2")]
fn a_row_beyond_the_last_panics() {
    let scratch = Scratch::new();
    let (matrix, mut tensors) = (mat![[1.0_f32, 2.0]], TensorFile::new());
    tensors.tensor("a", Numbers::Columns(matrix.as_ref()));
    tensors.write(scratch.path("a")).unwrap();
    let rows = TensorReader::open(scratch.path("a")).unwrap().rows("a").unwrap();
    let _ = rows.read_row(2, &mut [0.0_f32]);
}

#[test]
#[should_panic(expected = "`a` is there already")]
fn a_name_given_twice_panics() {
    let mut tensors = TensorFile::<f32>::new();
    tensors.tensor("a", Numbers::F64(&[]));
    tensors.tensor("a", Numbers::U64(&[]));
}

#[test]
fn a_file_whose_writing_fails_stays_as_it_was() {
    let scratch = Scratch::new();
    let path = scratch.file("a", b"before");
    let error = write_atomically(&path, |file| {
        file.write_all(b"half of it")?;
        Err(io::Error::other("no more"))
    })
    .unwrap_err();
    assert_names(&error, &path);
    assert!(error.to_string().contains("no more"), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"before");
    write_atomically(&path, |file| file.write_all(b"after")).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), b"after");
    assert_eq!(scratch.names(), ["a"]);
}
