//! Models.

use dbksvd::coder::Omp;
use dbksvd::faer::Mat;
use dbksvd::{Dictionary, Model, Scalar, Sign};

use crate::{Seed, check_error, put, scratch};

fn saved<T: Scalar>(mean: Option<Vec<T>>, sign: Sign) -> Vec<u8> {
    let atoms = Mat::from_fn(2, 3, |i, j| T::narrow((2.0 * i as f64 + j as f64 + 1.0).sin()));
    let dictionary = Dictionary::normalized(atoms).expect("atoms that are not zero");
    let model = Model::new(dictionary, mean, 2, sign).expect("a model");
    let path = scratch().join("seed.safetensors");
    model.save(&path).expect("a file");
    std::fs::read(path).expect("a file")
}

pub fn seeds() -> Vec<Seed> {
    let single = saved::<f32>(None, Sign::Signed);
    vec![
        ("single.safetensors", single.clone()),
        ("double.safetensors", saved::<f64>(None, Sign::NonNegative)),
        ("mean.safetensors", saved::<f32>(Some(vec![0.5, -3.0]), Sign::Signed)),
        ("cut.safetensors", single[..single.len() - 3].to_vec()),
    ]
}

pub fn try_out(bytes: &[u8]) {
    let path = put("model.safetensors", bytes);
    load::<f32>(&path);
    load::<f64>(&path);
}

fn load<T: Scalar>(path: &std::path::Path) {
    let model = match Model::<T>::load(path) {
        Ok(model) => model,
        Err(error) => return check_error(&error, path),
    };
    let copy = scratch().join("copy.safetensors");
    model.save(&copy).expect("a file");
    assert_eq!(Model::load(&copy).expect("what was written"), model);
    if model.dim() * model.atoms() > 10_000 {
        return;
    }
    let samples = Mat::from_fn(model.dim(), 2, |i, j| T::narrow((i + 3 * j) as f64));
    // A mean may be too large for the samples.
    if let Ok(codes) = model.encode(&Omp::new(), samples.as_ref()) {
        model.decode(&codes).expect("codes of its atoms");
    }
}
