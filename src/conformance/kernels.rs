//! What the kernels of a backend must give, beside those of [`Reference`].

use super::{residual, squared, upload};
use crate::backend::{PursuitKernels, PursuitRule, Reference, Selection, Tolerance};
use crate::codes::SparseCodes;
use crate::synthetic::Planted;
use crate::{ProblemShape, Scalar, Sign};

/// Checks the pursuits of a backend: by every rule, the error of each sample is that of the
/// textbook loop of [`Reference`].
///
/// That codes keep the contract of coders is checked by [`coder`](super::coder) with
/// [`BatchOmp`](crate::coder::BatchOmp).
///
/// # Panics
/// If it is not, naming the rule, the shape and the sample.
pub fn pursuit_kernels<B: PursuitKernels>(backend: &B) {
    let plain = PursuitRule::default();
    let rules = [
        plain,
        PursuitRule { selection: Selection::LeastSquares, ..plain },
        PursuitRule { tolerance: Some(Tolerance::Relative(0.3)), ..plain },
        PursuitRule { min_correlation: Some(0.4), ..plain },
    ];
    for (dim, atoms, sparsity) in [(1, 1, 1), (12, 30, 3), (24, 40, 7)] {
        for sign in [Sign::Signed, Sign::NonNegative] {
            let shape = ProblemShape { dim, atoms, sparsity, sign };
            rules.iter().for_each(|rule| check_pursuits(backend, rule, &shape));
        }
    }
}

fn check_pursuits<B: PursuitKernels>(backend: &B, rule: &PursuitRule, shape: &ProblemShape) {
    let planted = Planted::new(shape.dim, shape.atoms, shape.sparsity, 150).noise(0.1).seed(5);
    let data = planted.generate::<B::Scalar>().expect("a legal problem");
    let (d, y) = (data.dictionary.as_mat(), data.samples.as_ref());
    let found = pursue(backend, rule, shape, &upload(backend, d), &upload(backend, y));
    let reference = Reference::<B::Scalar>::default();
    let expected = pursue(&reference, rule, shape, &d.to_owned(), &upload(&reference, y));
    for i in 0..y.ncols() {
        let energy = squared(y.col(i).iter().map(|y| y.widen()));
        let [found, expected] =
            [&found, &expected].map(|codes| squared(residual(y, d, codes, i)).sqrt());
        let rounding = 1e3 * B::Scalar::EPSILON * energy.sqrt();
        assert!(
            (found - expected).abs() <= rounding,
            "sample {i} is left with {found:e}, by the book with {expected:e}: {rule:?}, {shape:?}"
        );
    }
}

fn pursue<B: PursuitKernels>(
    backend: &B,
    rule: &PursuitRule,
    shape: &ProblemShape,
    d: &B::Matrix,
    y: &B::Matrix,
) -> SparseCodes<B::Scalar> {
    let mut pursuits = backend.prepare_pursuits(rule, shape, 1 << 20).expect("memory");
    let mut codes = backend.codes(shape.atoms, 0, shape.sparsity).expect("memory");
    backend.set_pursuit_dictionary(&mut pursuits, d).expect("a sound device");
    backend.pursue(&mut pursuits, d, y, &mut codes).expect("a sound device");
    backend.synchronize().expect("a sound device");
    backend.download_codes(&codes).expect("memory for small codes")
}
