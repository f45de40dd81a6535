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
