//! Dictionaries with near-duplicate atoms, where single precision runs out of digits.

use dbksvd::coder::{BatchOmp, Selection};
use dbksvd::faer::Mat;
use dbksvd::metrics::reconstruction;
use dbksvd::synthetic::Planted;
use dbksvd::{Dictionary, Model, Sign};

/// Atoms in pairs whose members are `distance` apart.
fn pairs(dim: usize, count: usize, distance: f32) -> Dictionary<f32> {
    let atoms = Planted::new(dim, 2 * count, 1, 1).generate::<f32>().unwrap().dictionary;
    let member = |i, j: usize| atoms.atom(j % count)[i] + distance * atoms.atom(j)[i];
    Dictionary::normalized(Mat::from_fn(dim, 2 * count, member)).unwrap()
}

/// Orthogonal least squares prefers atoms close to the span of the chosen ones. With as many
/// nonzeros as dimensions it once took pairs whose difference was rounding, and returned codes far
/// worse than the empty code.
#[test]
fn no_code_is_worse_than_the_empty_code() {
    let samples = Planted::new(16, 64, 8, 64).seed(2).generate::<f32>().unwrap().samples;
    for distance in [1e-4, 1e-3, 2e-3, 3e-3, 5e-3, 1e-2, 3e-2] {
        for selection in [Selection::Correlation, Selection::LeastSquares] {
            let model = Model::new(pairs(16, 12, distance), None, 16, Sign::Signed).unwrap();
            let coder = BatchOmp::new().selection(selection);
            let codes = model.encode(&coder, samples.as_ref()).unwrap();
            for i in 0..samples.ncols() {
                let one = model.encode(&coder, samples.subcols(i, 1)).unwrap();
                let error = reconstruction(&model, samples.subcols(i, 1), &one).unwrap();
                assert!(error.relative_error() < 1.0, "distance {distance}, sample {i}");
                assert_eq!(codes.support(i), one.support(0));
            }
        }
    }
}

/// Where selection admitted atoms that were then refused as dependent, a cluster of near-copies
/// used up the pursuit's rounds and left codes short, and worse than those of plain OMP.
#[test]
fn a_cluster_of_near_copies_does_not_starve_a_pursuit() {
    let dim = 32;
    let directions = Planted::new(dim, 260, 1, 1).generate::<f32>().unwrap().dictionary;
    let atoms = Mat::from_fn(dim, 240, |i, j| match j {
        0..40 => directions.atom(j)[i],
        _ => directions.atom(0)[i] + 1e-3 * directions.atom(j)[i],
    });
    let model = Model::new(Dictionary::normalized(atoms).unwrap(), None, 6, Sign::Signed).unwrap();
    // Samples that lie near the cluster.
    let noise = Planted::new(dim, 60, 6, 100).seed(3).generate::<f32>().unwrap().samples;
    let samples = Mat::from_fn(dim, 100, |i, j| 3.0 * directions.atom(0)[i] + noise[(i, j)]);
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        let coder = BatchOmp::new().selection(selection);
        let codes = model.encode(&coder, samples.as_ref()).unwrap();
        assert_eq!(codes.nnz(), 600, "{selection:?}");
    }
}

/// The last atom of a basis takes all that is left, ‖r‖² to rounding; it was once refused for
/// asking more than there is.
#[test]
fn the_last_atom_of_a_basis_is_taken() {
    let rows = [
        [0.6602396187605458, 0.6637257099064454, 0.5918946606951612],
        [0.6878705102695154, 0.5153523991786291, 0.33440676827497257],
        [0.3015257981010674, 0.5421070804463047, 0.7333708638693311],
    ];
    let sample = [-0.5215705571303273, 1.4711816492012475, 2.340023633991874];
    let dictionary = Dictionary::normalized(Mat::from_fn(3, 3, |i, j| rows[i][j])).unwrap();
    let model = Model::<f64>::new(dictionary, None, 3, Sign::Signed).unwrap();
    let samples = Mat::from_fn(3, 1, |i, _| sample[i]);
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        let codes = model.encode(&BatchOmp::new().selection(selection), samples.as_ref()).unwrap();
        assert_eq!(codes.nnz(), 3, "{selection:?}");
        assert!((model.decode(&codes).unwrap() - &samples).norm_l2() < 1e-11);
    }
}
