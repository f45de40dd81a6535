//! The overcomplete discrete cosine transform: the dictionary that learning starts from.

use std::f64::consts::PI;

use dbksvd::faer::Mat;
use dbksvd::{Dictionary, Error};

use crate::patches::SIDE;

/// `atoms` separable cosine atoms for patches of [`SIDE`] × [`SIDE`] pixels.
///
/// With p = ⌈√m⌉ frequencies a dimension, atom (u, v) is the product of the cosines u and v, and
/// the m atoms with the lowest u + v are taken.
pub(crate) fn overcomplete(atoms: usize) -> Result<Dictionary<f32>, Error> {
    let side = (1..).find(|side| side * side >= atoms).unwrap_or(1);
    let cosines: Vec<[f64; SIDE]> = (0..side).map(|u| cosine(u, side)).collect();
    let mut frequencies: Vec<(usize, usize)> =
        (0..side).flat_map(|u| (0..side).map(move |v| (u, v))).collect();
    frequencies.sort_by_key(|&(u, v)| u + v);
    Dictionary::normalized(Mat::from_fn(SIDE * SIDE, atoms, |i, j| {
        let (u, v) = frequencies[j];
        (cosines[u][i / SIDE] * cosines[v][i % SIDE]) as f32
    }))
}

/// cos(π u i / p) for pixel i, without its mean unless it is constant (Elad & Aharon's choice: the
/// mean of a patch is then the business of one atom).
fn cosine(u: usize, side: usize) -> [f64; SIDE] {
    let mut cosine: [f64; SIDE] =
        std::array::from_fn(|i| (PI * (u * i) as f64 / side as f64).cos());
    if u > 0 {
        let mean = cosine.iter().sum::<f64>() / SIDE as f64;
        cosine.iter_mut().for_each(|value| *value -= mean);
    }
    cosine
}
