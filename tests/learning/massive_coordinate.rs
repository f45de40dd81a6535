//! One coordinate of thousands that varies by a third, beside features of size 1: what finds the
//! features. `cargo test --release --test learning massive_coordinate -- --nocapture` prints the
//! table of docs/large-data.md.

use dbksvd::coder::{BatchOmp, Selection};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::synthetic::Planted;
use dbksvd::{DbKsvd, Dictionary};

const DIM: usize = 32;
const ATOMS: usize = 64;
const SPARSITY: usize = 3;

/// Planted samples whose first coordinate is 4,500 ± 1,500, and the true atoms.
fn samples(seed: u64) -> (Mat<f32>, Dictionary<f32>) {
    let planted = Planted::new(DIM, ATOMS, SPARSITY, 4000).noise(0.01).seed(seed);
    let data = planted.generate::<f32>().unwrap();
    let normal = Planted::new(DIM, ATOMS, SPARSITY, 4000).noise(1.0).seed(seed + 100);
    let normal = normal.generate::<f32>().unwrap().samples;
    let row = normal.row(1);
    let deviation = row.norm_l2() / (4000_f32).sqrt();
    let mut samples = data.samples;
    for i in 0..samples.ncols() {
        samples[(0, i)] = 4500.0 + 1500.0 * row[i] / deviation;
    }
    (samples, data.dictionary)
}

/// The share of the true atoms with a learned one at |cos| > 0.99 on all coordinates but the first.
fn recovered(learned: MatRef<'_, f32>, truth: &Dictionary<f32>) -> f64 {
    let features = |atoms: MatRef<'_, f32>| {
        let mut features = atoms.subrows(1, DIM - 1).to_owned();
        for j in 0..features.ncols() {
            let norm = features.col(j).norm_l2().max(1e-3);
            features.col_as_slice_mut(j).iter_mut().for_each(|x| *x /= norm);
        }
        features
    };
    let cosines = features(truth.as_mat()).transpose() * features(learned);
    let found = |&j: &usize| (0..cosines.ncols()).any(|l| cosines[(j, l)].abs() > 0.99);
    (0..ATOMS).filter(found).count() as f64 / ATOMS as f64
}

/// Samples less their mean and their part along the direction in which they vary most.
fn without_the_leading_direction(samples: &Mat<f32>) -> Mat<f32> {
    let mut centred = samples.clone();
    for r in 0..DIM {
        let mean =
            (0..samples.ncols()).map(|i| samples[(r, i)]).sum::<f32>() / samples.ncols() as f32;
        (0..samples.ncols()).for_each(|i| centred[(r, i)] -= mean);
    }
    let mut direction = Mat::<f32>::from_fn(DIM, 1, |_, _| 1.0);
    for _ in 0..50 {
        direction = &centred * (centred.transpose() * &direction);
        let norm = direction.norm_l2();
        direction.col_as_slice_mut(0).iter_mut().for_each(|x| *x /= norm);
    }
    let along = direction.transpose() * &centred;
    centred - &direction * along
}

#[test]
fn least_squares_selection_or_taking_the_direction_out_finds_the_features() {
    println!("| seed | OMP | OLS | leading direction out, OMP |\n|---|---|---|---|");
    for seed in 0..3 {
        let (samples, truth) = samples(seed);
        // One more atom, and one more a sample, for the coordinate.
        let learn = |samples: &Mat<f32>, more: usize, selection| {
            let coder = BatchOmp::new().selection(selection);
            let builder = DbKsvd::builder(ATOMS + more, SPARSITY + more).coder(coder).seed(seed);
            let (model, _) = builder.center(true).build().unwrap().fit(samples).unwrap();
            recovered(model.dictionary().as_mat(), &truth)
        };
        let omp = learn(&samples, 1, Selection::Correlation);
        let ols = learn(&samples, 1, Selection::LeastSquares);
        let out = learn(&without_the_leading_direction(&samples), 0, Selection::Correlation);
        println!("| {seed} | {:.0}% | {:.0}% | {:.0}% |", 100.0 * omp, 100.0 * ols, 100.0 * out);
        assert!(ols > 0.95, "seed {seed}: OLS finds {ols}");
        assert!(out > 0.95, "seed {seed}: without the leading direction, {out}");
    }
}
