//! Samples whose small parts were once lost to rounding, with the codes they must have.

use dbksvd::coder::{BatchOmp, MatchingPursuit, Matryoshka, Omp, Selection, Swaps};
use dbksvd::faer::Mat;
use dbksvd::synthetic::Planted;
use dbksvd::{Faer, Groups, Sign, SparseCodes};

use crate::support::{encode, sorted};

/// Codes by every coder that can be as exact as OMP, with their names.
fn by_all(
    dictionary: &Mat<f32>,
    samples: &Mat<f32>,
    k: usize,
    selection: Selection,
) -> Vec<(String, SparseCodes<f32>)> {
    let atoms = dictionary.ncols();
    let quantised = 2 * atoms * (atoms.next_multiple_of(128) + 32);
    let samples = samples.as_ref();
    let mut all = vec![(
        "Omp".to_owned(),
        encode::<Faer<f32>, _>(
            Omp::new().selection(selection),
            dictionary,
            samples,
            k,
            Sign::Signed,
        ),
    )];
    for limit in [usize::MAX, quantised, 0] {
        let coder = BatchOmp::new().selection(selection).gram_limit(limit);
        let codes = encode::<Faer<f32>, _>(coder, dictionary, samples, k, Sign::Signed);
        all.push((format!("BatchOmp, {limit} bytes"), codes));
        let codes =
            encode::<Faer<f32>, _>(Swaps::after(coder), dictionary, samples, k, Sign::Signed);
        all.push((format!("Swaps after BatchOmp, {limit} bytes"), codes));
    }
    all
}

/// Σ‖y − D x‖² in double precision.
fn squared_error(dictionary: &Mat<f32>, samples: &Mat<f32>, codes: &SparseCodes<f32>) -> f64 {
    let mut sum = 0.0;
    for i in 0..samples.ncols() {
        let mut r: Vec<f64> = samples.col(i).iter().map(|&y| f64::from(y)).collect();
        for (&atom, &x) in codes.support(i).iter().zip(codes.values(i)) {
            let atom = dictionary.col(atom as usize);
            r.iter_mut().zip(atom.iter()).for_each(|(r, &d)| *r -= f64::from(x) * f64::from(d));
        }
        sum += r.iter().map(|r| r * r).sum::<f64>();
    }
    sum
}

/// Five atoms with coefficients of 1 to 3 on a baseline that has an atom of its own. With a
/// baseline of 5,000 half of the code was lost, with one of 50,000 all of it.
#[test]
fn atoms_on_a_baseline_are_found() {
    let (dim, atoms, count) = (64, 256, 300);
    let planted = Planted::new(dim, atoms, 5, count).noise(0.0).seed(3);
    let data = planted.generate::<f64>().unwrap();
    let flat = 1.0 / (dim as f64).sqrt();
    let exact =
        Mat::from_fn(
            dim,
            atoms + 1,
            |i, j| {
                if j == atoms { flat } else { data.dictionary.atom(j)[i] }
            },
        );
    let dictionary = Mat::from_fn(dim, atoms + 1, |i, j| exact[(i, j)] as f32);
    for baseline in [0.0, 500.0, 5000.0, 50000.0] {
        let of = |i: usize, n: usize| data.samples[(i, n)] + baseline;
        let samples = Mat::from_fn(dim, count, |i, n| of(i, n) as f32);
        let widened = Mat::from_fn(dim, count, |i, n| f64::from(samples[(i, n)]));
        let wide = Mat::from_fn(dim, atoms + 1, |i, j| f64::from(dictionary[(i, j)]));
        let oracle = encode::<Faer<f64>, _>(Omp::new(), &wide, widened.as_ref(), 6, Sign::Signed);
        for (name, codes) in by_all(&dictionary, &samples, 6, Selection::Correlation) {
            if baseline == 0.0 {
                // Five atoms are all there is, to the rounding of single precision.
                assert!((0..count).all(|n| codes.support(n).len() >= 5), "{name}");
                assert!(squared_error(&dictionary, &samples, &codes) < 1e-8, "{name}");
                continue;
            }
            assert!((0..count).all(|n| codes.support(n).len() == 6), "{name}, {baseline}");
            if !name.starts_with("Swaps") {
                let same =
                    (0..count).filter(|&n| sorted(codes.support(n)) == sorted(oracle.support(n)));
                assert!(same.count() >= count - 3, "{name}, baseline {baseline}");
            }
            // What the coefficients' rounding alone makes of an exact code is (ε/2)² Σ γ² at most.
            let rounding = (0.5 * f64::from(f32::EPSILON) * 8.0 * baseline).powi(2) * count as f64;
            let exact = (0..count).map(|n| {
                let support = oracle.support(n);
                let gamma = oracle.values(n);
                let mut r: Vec<f64> = widened.col(n).iter().copied().collect();
                for (&atom, x) in support.iter().zip(gamma) {
                    let atom = wide.col(atom as usize);
                    r.iter_mut().zip(atom.iter()).for_each(|(r, d)| *r -= x * d);
                }
                r.iter().map(|r| r * r).sum::<f64>()
            });
            let limit = 1.05 * exact.sum::<f64>() + rounding + 1e-9;
            let found = squared_error(&dictionary, &samples, &codes);
            assert!(found <= limit, "{name}, baseline {baseline}: {found:e} above {limit:e}");
        }
    }
}

/// Coefficients 1, 10⁻², …, 10⁻¹⁰ on an orthonormal dictionary: pursuits ended after three.
#[test]
fn coefficients_over_ten_decades_are_found() {
    let dim = 64;
    let dictionary = Mat::from_fn(dim, dim, |i, j| if i == j { 1.0_f32 } else { 0.0 });
    let value = |t: usize| 10.0_f64.powi(-2 * t as i32) as f32;
    let samples = Mat::from_fn(dim, 20, |i, n| {
        (0..6).find(|t| (7 * t + 3 * n) % dim == i).map_or(0.0, &value)
    });
    let mut all = Vec::new();
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        let mp = MatchingPursuit::new();
        all.extend(by_all(&dictionary, &samples, 6, selection));
        let codes = encode::<Faer<f32>, _>(mp, &dictionary, samples.as_ref(), 6, Sign::Signed);
        all.push(("MatchingPursuit".to_owned(), codes));
        let groups = Matryoshka::new(Groups::new([32, 32]).budgets([6, 6]));
        let codes = encode::<Faer<f32>, _>(groups, &dictionary, samples.as_ref(), 12, Sign::Signed);
        all.push(("Matryoshka".to_owned(), codes));
    }
    for (name, codes) in all {
        for n in 0..samples.ncols() {
            assert_eq!(codes.support(n).len(), 6, "{name}: {:?}", codes.support(n));
            for (&atom, &x) in codes.support(n).iter().zip(codes.values(n)) {
                assert_eq!(x, samples[(atom as usize, n)], "{name}");
            }
        }
    }
}

/// A coordinate of 4,500 ± 1,500 with an atom for it, and atoms nearly parallel to that: orthogonal
/// least squares left up to 200 times the error, and half of the codes.
#[test]
fn least_squares_sees_through_a_massive_coordinate() {
    let (dim, atoms, count) = (32, 64, 400);
    let data = Planted::new(dim, atoms, 3, count).noise(0.01).seed(9).generate::<f64>().unwrap();
    let tilted = |i: usize, j: usize| {
        data.dictionary.atom(j)[i] + if i == 0 && j < 16 { 200.0 } else { 0.0 }
    };
    let dictionary = Mat::from_fn(dim, atoms + 1, |i, j| {
        if j == atoms {
            return if i == 0 { 1.0_f32 } else { 0.0 };
        }
        let norm = (0..dim).map(|i| tilted(i, j).powi(2)).sum::<f64>().sqrt();
        (tilted(i, j) / norm) as f32
    });
    let massive = |n: usize| 4500.0 + 1500.0 * (1.7 * n as f64).sin();
    let samples = Mat::from_fn(dim, count, |i, n| {
        (if i == 0 { massive(n) } else { data.samples[(i, n)] }) as f32
    });
    let wide = Mat::from_fn(dim, atoms + 1, |i, j| f64::from(dictionary[(i, j)]));
    let widened = Mat::from_fn(dim, count, |i, n| f64::from(samples[(i, n)]));
    let coder = Omp::new().selection(Selection::LeastSquares);
    let oracle = encode::<Faer<f64>, _>(coder, &wide, widened.as_ref(), 4, Sign::Signed);
    let narrow: Vec<f32> =
        (0..count).flat_map(|n| oracle.values(n).to_vec()).map(|x| x as f32).collect();
    assert_eq!(narrow.len(), 4 * count);
    let mut expected = 0.0;
    for n in 0..count {
        let mut r: Vec<f64> = widened.col(n).iter().copied().collect();
        for (&atom, &x) in oracle.support(n).iter().zip(&narrow[4 * n..]) {
            let atom = wide.col(atom as usize);
            r.iter_mut().zip(atom.iter()).for_each(|(r, d)| *r -= f64::from(x) * d);
        }
        expected += r.iter().map(|r| r * r).sum::<f64>();
    }
    for (name, codes) in by_all(&dictionary, &samples, 4, Selection::LeastSquares) {
        assert_eq!(codes.nnz(), 4 * count, "{name}");
        let found = squared_error(&dictionary, &samples, &codes);
        assert!(found <= 1.01 * expected, "{name}: {found}, in double precision {expected}");
    }
}
