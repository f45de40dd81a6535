//! Codes. The crate writes `.npz` files and reads none, so bytes become compressed rows, which are
//! refused, or written and read back by other code.

use std::io::Read;

use dbksvd::SparseCodes;
use dbksvd::codes::CsrParts;
use dbksvd::export::write_codes_npz;

use crate::{Seed, scratch};

/// m, k, N, the length of each row, then index and value by turns.
pub fn seeds() -> Vec<Seed> {
    let value = |x: f32| x.to_le_bytes().to_vec();
    let codes = |head: &[u8], pairs: &[(u8, f32)]| {
        let pairs = pairs.iter().flat_map(|&(atom, x)| [vec![atom], value(x)].concat());
        [head.to_vec(), pairs.collect()].concat()
    };
    vec![
        ("three", codes(&[5, 2, 3, 2, 0, 1], &[(1, 0.5), (4, -2.0), (0, 3.0)])),
        ("none", codes(&[5, 2, 0], &[])),
        ("twice", codes(&[5, 2, 1, 2], &[(1, 0.5), (1, -2.0)])),
        ("beyond", codes(&[5, 2, 1, 1], &[(7, 0.5)])),
    ]
}

pub fn try_out(bytes: &[u8]) {
    let [atoms, sparsity, samples, rest @ ..] = bytes else { return };
    let (atoms, sparsity, samples) = (*atoms as usize, *sparsity as usize, *samples as usize);
    let Some((lengths, pairs)) = rest.split_at_checked(samples) else { return };
    let mut offsets = vec![0];
    for &length in lengths {
        offsets.push(offsets[offsets.len() - 1] + length as usize);
    }
    let pairs = pairs.as_chunks::<5>().0;
    let indices: Vec<u32> = pairs.iter().map(|pair| pair[0].into()).collect();
    let values: Vec<f32> =
        pairs.iter().map(|&[_, a, b, c, d]| f32::from_le_bytes([a, b, c, d])).collect();
    let parts = CsrParts { indices, values, offsets };
    let Ok(codes) = SparseCodes::from_csr_parts(atoms, sparsity, &parts) else { return };
    let path = scratch().join("codes.npz");
    write_codes_npz(&path, &codes).expect("a file");
    let arrays = read(&std::fs::read(&path).expect("a file"));
    let CsrParts { indices, values, offsets } = codes.to_csr_parts();
    let bytes: [Vec<u8>; 5] = [
        indices.iter().flat_map(|&atom| (atom as i32).to_le_bytes()).collect(),
        offsets.iter().flat_map(|&offset| (offset as i32).to_le_bytes()).collect(),
        b"csr".to_vec(),
        [samples, atoms].iter().flat_map(|&n| (n as i64).to_le_bytes()).collect(),
        values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    ];
    assert_eq!(arrays, bytes);
}

/// The arrays of an archive, without their headers.
fn read(file: &[u8]) -> Vec<Vec<u8>> {
    let archive = rawzip::ZipArchive::from_slice(file).expect("an archive");
    let arrays = archive.entries().map(|header| {
        let entry = archive.get_entry(header.expect("an entry").wayfinder()).expect("an entry");
        let mut array = Vec::new();
        let mut content = entry.verifying_reader(entry.data());
        content.read_to_end(&mut array).expect("content of this checksum");
        let header = npyz::NpyHeader::from_reader(&array[..]).expect("an array");
        let text = u16::from_le_bytes([array[8], array[9]]) as usize;
        let size = header.dtype().num_bytes().expect("a plain type");
        let numbers = header.shape().iter().product::<u64>() as usize;
        let data = array.split_off(10 + text);
        assert_eq!(data.len(), size * numbers);
        data
    });
    arrays.collect()
}
