use dbksvd::codes::CsrParts;
use dbksvd::error::FileError;
use dbksvd::export::{
    read_atoms_npy, read_dictionary_npy, write_codes_npz, write_dictionary_npy, write_mean_npy,
    write_scale_npy,
};
use dbksvd::faer::Mat;
use dbksvd::source::NpySource;
use dbksvd::{Dictionary, Scalar, SparseCodes};

use crate::common::{Scratch, assert_names, f32_bytes, npy, npy_header, read};

fn dictionary<T: Scalar>() -> Dictionary<T> {
    let atoms = Mat::from_fn(3, 4, |i, j| T::narrow(((i * 4 + j) as f64 + 0.3).sin()));
    Dictionary::normalized(atoms).unwrap()
}

#[test]
fn a_dictionary_is_an_array_of_its_atoms() {
    let scratch = Scratch::new();
    let (path, written) = (scratch.path("d.npy"), dictionary::<f32>());
    write_dictionary_npy(&path, &written).unwrap();
    let source = NpySource::open(&path).unwrap();
    assert_eq!((source.len(), source.dim()), (4, 3));
    for j in 0..4 {
        let atom: Vec<f64> = written.atom(j).iter().map(|&value| value.into()).collect();
        assert_eq!(read(&source, j..j + 1), atom);
    }
}

#[test]
fn a_dictionary_comes_back() {
    let scratch = Scratch::new();
    let (path, written) = (scratch.path("d.npy"), dictionary::<f64>());
    write_dictionary_npy(&path, &written).unwrap();
    let back = read_dictionary_npy::<f64>(&path).unwrap();
    for j in 0..4 {
        for (&found, &expected) in back.atom(j).iter().zip(written.atom(j)) {
            assert!((found - expected).abs() <= 2.0 * f64::EPSILON);
        }
    }
}

#[test]
fn a_dictionary_is_scaled_when_read() {
    let scratch = Scratch::new();
    let bytes = npy(&npy_header("<f4", "(2, 2)"), &f32_bytes(&[3.0, 4.0, 0.0, -7.0]));
    let found = read_dictionary_npy::<f64>(scratch.file("d.npy", &bytes)).unwrap();
    assert_eq!((found.dim(), found.atoms()), (2, 2));
    assert_eq!((found.atom(0), found.atom(1)), (&[0.6, 0.8][..], &[0.0, -1.0][..]));
}

#[test]
fn a_dictionary_without_directions_is_an_error() {
    let scratch = Scratch::new();
    for values in [[3.0, 4.0, 0.0, 0.0], [1.0, 0.0, f32::NAN, 1.0]] {
        let bytes = npy(&npy_header("<f4", "(2, 2)"), &f32_bytes(&values));
        let path = scratch.file("d.npy", &bytes);
        let error = read_dictionary_npy::<f32>(&path).unwrap_err();
        assert_names(&error, &path);
        assert!(matches!(error, FileError::Format { reason, .. } if reason.contains("atom 1")));
    }
    let path = scratch.file("d.npy", &npy(&npy_header("<f4", "(0, 2)"), &[]));
    let error = read_dictionary_npy::<f32>(path).unwrap_err();
    assert!(matches!(error, FileError::Shape { found, .. } if found == [0, 2]));
}

#[test]
fn an_array_of_other_axes_is_no_dictionary() {
    let scratch = Scratch::new();
    let path = scratch.file("d.npy", &npy(&npy_header("<f4", "(2, 1, 2)"), &f32_bytes(&[1.0; 4])));
    let error = read_dictionary_npy::<f32>(&path).unwrap_err();
    assert_names(&error, &path);
    assert!(error.to_string().contains("(m, d)"), "{error}");
    assert!(matches!(error, FileError::Shape { found, .. } if found == [2, 1, 2]));
}

/// The stored entries of an archive, as `(name, content)`, with checksums verified.
fn entries(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let archive = rawzip::ZipArchive::from_slice(bytes).unwrap();
    let mut entries = Vec::new();
    for header in archive.entries() {
        let header = header.unwrap();
        let name = String::from_utf8(header.file_path().as_bytes().to_vec()).unwrap();
        let entry = archive.get_entry(header.wayfinder()).unwrap();
        let mut content = Vec::new();
        std::io::copy(&mut entry.verifying_reader(entry.data()), &mut content).unwrap();
        entries.push((name, content));
    }
    entries
}

/// The values after the header of a `.npy` file, and the header's text.
fn split(bytes: &[u8]) -> (String, &[u8]) {
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    assert_eq!(end % 64, 0);
    (String::from_utf8(bytes[10..end].to_vec()).unwrap(), &bytes[end..])
}

#[test]
fn codes_are_compressed_rows() {
    let scratch = Scratch::new();
    let parts = CsrParts {
        indices: vec![1, 4, 0],
        values: vec![0.5_f32, -2.0, 3.0],
        offsets: vec![0, 2, 2, 3],
    };
    let codes = SparseCodes::from_csr_parts(5, 2, &parts).unwrap();
    let path = scratch.path("x.npz");
    write_codes_npz(&path, &codes).unwrap();
    let i32s = |values: &[i32]| values.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let i64s = |values: &[i64]| values.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    let expected = [
        ("indices.npy", "'<i4'", "(3, )", i32s(&[1, 4, 0])),
        ("indptr.npy", "'<i4'", "(4, )", i32s(&[0, 2, 2, 3])),
        ("format.npy", "'|S3'", "()", b"csr".to_vec()),
        ("shape.npy", "'<i8'", "(2, )", i64s(&[3, 5])),
        ("data.npy", "'<f4'", "(3, )", f32_bytes(&[0.5, -2.0, 3.0])),
    ];
    let found = entries(&std::fs::read(&path).unwrap());
    assert_eq!(found.len(), expected.len());
    for ((name, bytes), (expected_name, dtype, shape, values)) in found.iter().zip(expected) {
        let (header, found) = split(bytes);
        assert_eq!((name.as_str(), found), (expected_name, &values[..]));
        assert!(header.contains(dtype) && header.contains(shape), "{header}");
    }
}

#[test]
fn mean_and_scale_are_arrays() {
    let scratch = Scratch::new();
    let (mean, scale) = (scratch.path("mean.npy"), scratch.path("scale.npy"));
    write_mean_npy(&mean, &[0.5_f32, -2.0, 3.25]).unwrap();
    let bytes = std::fs::read(&mean).unwrap();
    let (header, values) = split(&bytes);
    assert!(header.contains("'<f4'") && header.contains("(3, )"), "{header}");
    assert_eq!(values, f32_bytes(&[0.5, -2.0, 3.25]));
    // A number of the scalar's type: in f64, products with arrays of f32 would be of f64.
    write_scale_npy::<f32>(&scale, 7.5).unwrap();
    let bytes = std::fs::read(&scale).unwrap();
    let (header, values) = split(&bytes);
    assert!(header.contains("'<f4'") && header.contains("()"), "{header}");
    assert_eq!(values, f32_bytes(&[7.5]));
    write_scale_npy::<f64>(&scale, 0.1).unwrap();
    let bytes = std::fs::read(&scale).unwrap();
    let (header, values) = split(&bytes);
    assert!(header.contains("'<f8'") && header.contains("()"), "{header}");
    assert_eq!(values, 0.1_f64.to_le_bytes());
}

#[test]
fn norms_of_atoms_come_with_them() {
    let scratch = Scratch::new();
    let rows = [3.0, 4.0, 0.0, -7.0, 1.0 + f32::EPSILON, 0.0, 6e-30, 8e-30];
    let bytes = npy(&npy_header("<f4", "(4, 2)"), &f32_bytes(&rows));
    let path = scratch.file("d.npy", &bytes);
    let (dictionary, norms) = read_atoms_npy::<f32>(&path).unwrap();
    assert_eq!(dictionary, read_dictionary_npy(&path).unwrap());
    assert_eq!(norms[..3], [5.0, 7.0, 1.0], "but for rounding, the third has norm 1");
    assert!((norms[3] / 1e-29 - 1.0).abs() < 1e-6);

    let parts = CsrParts {
        indices: vec![0, 1, 2],
        values: vec![10.0_f32, -7.0, 2.0],
        offsets: vec![0, 2, 3],
    };
    let codes = SparseCodes::from_csr_parts(4, 2, &parts).unwrap();
    let of_rows = codes.for_atoms_of_norms(&norms).unwrap();
    assert_eq!(of_rows.to_csr_parts().values, [2.0, -1.0, 2.0]);
    assert_eq!(of_rows.to_csr_parts().indices, parts.indices);
}

#[test]
fn norms_that_no_atom_has_are_errors() {
    let parts = CsrParts { indices: vec![1], values: vec![1e10_f32], offsets: vec![0, 1] };
    let codes = SparseCodes::from_csr_parts(2, 1, &parts).unwrap();
    let error = |norms: &[f64]| codes.for_atoms_of_norms(norms).unwrap_err().to_string();
    assert!(error(&[1.0]).contains("`norms` has dimension 1, expected 2"));
    for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(error(&[wrong, 1.0]).contains("for atom 0"), "{wrong}");
    }
    assert!(error(&[1.0, 1e-35]).contains("finite coefficient"));
}
