//! `.npy` files.

use dbksvd::export::read_dictionary_npy;
use dbksvd::source::{Mask, NpySource};

use crate::bytes::{npy, singles};
use crate::{Seed, check_error, check_source, put};

pub fn seeds() -> Vec<Seed> {
    let header = |descr: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}  \n")
    };
    let file = |descr: &str, shape: &str, values| npy(&header(descr, shape), &singles(values));
    let mut second = file("<f4", "(2, 3)", 6);
    second.splice(6..10, [2, 0, second[8], second[9], 0, 0]);
    vec![
        ("single.npy", file("<f4", "(2, 3)", 6)),
        ("double.npy", file("<f8", "(2, 3)", 12)),
        ("half.npy", file("<f2", "(2, 3)", 3)),
        ("big_endian.npy", file(">f4", "(2, 3)", 6)),
        ("native.npy", file("=f4", "(2, 3)", 6)),
        ("no_order.npy", file("|f4", "(2, 3)", 6)),
        ("bare.npy", file("f4", "(2, 3)", 6)),
        ("bfloat16.npy", file("<V2", "(2, 3)", 3)),
        ("python2.npy", file("<f4", "(2L, 3L)", 6)),
        ("rank1.npy", file("<f4", "(6,)", 6)),
        ("rank3.npy", file("<f4", "(2, 2, 3)", 12)),
        ("empty.npy", file("<f4", "(0, 3)", 0)),
        ("short.npy", file("<f4", "(2, 3)", 5)),
        ("long.npy", file("<f4", "(2, 3)", 7)),
        ("huge.npy", file("<f4", "(4611686018427387904, 4)", 1)),
        ("version2.npy", second),
        ("mask.npy", npy(&header("|b1", "(2, 3)"), &[1, 1, 0, 1, 0, 0])),
        ("mask_int64.npy", npy(&header("<i8", "(2,)"), &[&[1][..], &[0; 15]].concat())),
        (
            "fortran.npy",
            npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }\n", &singles(6)),
        ),
        (
            "fields.npy",
            npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2, 3), }\n", &[]),
        ),
    ]
}

pub fn try_out(bytes: &[u8]) {
    let path = put("file.npy", bytes);
    match NpySource::open(&path) {
        Ok(source) => check_source(&source),
        Err(error) => check_error(&error, &path),
    }
    if let Err(error) = Mask::read_npy(&path) {
        check_error(&error, &path);
    }
    if let Err(error) = read_dictionary_npy::<f32>(&path) {
        check_error(&error, &path);
    }
}
