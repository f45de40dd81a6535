//! Matching pursuit against the rule by the book, with residuals instead of a Gram matrix.

use dbksvd::Faer;
use dbksvd::Sign;
use dbksvd::coder::{Coefficients, MatchingPursuit, Omp, Tolerance};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::Mat;
use dbksvd::synthetic::{Kind, Planted};
use proptest::prelude::*;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn planted(
    (dim, atoms, sparsity, samples): (usize, usize, usize, usize),
    kind: Kind,
    sign: Sign,
    seed: u64,
) -> (Mat<f64>, Mat<f64>) {
    let planted = Planted::new(dim, atoms, sparsity, samples).kind(kind).sign(sign).noise(0.3);
    let data = planted.seed(seed).generate::<f64>().expect("a legal problem");
    (data.dictionary.into_mat(), data.samples)
}

/// Atoms and coefficients, or `None` where two scores were so close that rounding decides.
fn by_the_book(d: &Mat<f64>, y: &[f64], k: usize, sign: Sign) -> Option<Vec<(u32, f64)>> {
    let mut residual = y.to_vec();
    let mut code: Vec<(u32, f64)> = Vec::new();
    let (norm, mut first) = (dot(y, y).sqrt(), 0.0);
    for _ in 0..4 * k {
        let score = |j: &usize| {
            let alpha = dot(d.col_as_slice(*j), &residual);
            if sign == Sign::Signed { alpha.abs() } else { alpha }
        };
        let mut order: Vec<usize> = (0..d.ncols()).collect();
        order.sort_by(|i, j| score(j).total_cmp(&score(i)));
        let (best, second) = (score(&order[0]), order.get(1).map_or(0.0, score));
        if code.is_empty() {
            first = best;
        }
        if best <= 1e-14 * first {
            break;
        }
        if best <= 1e-10 * norm {
            return None; // where rounding begins is the coder's choice
        }
        if best - second < 1e-9 * norm {
            return None;
        }
        let atom = d.col_as_slice(order[0]);
        let step = dot(atom, &residual);
        residual.iter_mut().zip(atom).for_each(|(r, d)| *r -= step * d);
        match code.iter_mut().find(|(atom, _)| *atom as usize == order[0]) {
            Some((_, value)) => *value += step,
            None => code.push((order[0] as u32, step)),
        }
        if code.len() > k {
            let least = |code: &[(u32, f64)]| {
                (0..code.len()).min_by(|&a, &b| code[a].1.abs().total_cmp(&code[b].1.abs()))
            };
            let mut dropped = least(&code)?;
            let mut raised = residual.clone();
            let (atom, value) = code[dropped];
            let atom = d.col_as_slice(atom as usize);
            raised.iter_mut().zip(atom).for_each(|(r, d)| *r += value * d);
            if dot(&raised, &raised) > norm * norm {
                dropped = k;
            }
            code.remove(dropped);
            break;
        }
    }
    Some(code)
}

fn error(d: &Mat<f64>, y: &Mat<f64>, codes: &SparseCodes<f64>, i: usize) -> f64 {
    let mut residual = y.col_as_slice(i).to_vec();
    for (&atom, value) in codes.support(i).iter().zip(codes.values(i)) {
        let atom = d.col_as_slice(atom as usize);
        residual.iter_mut().zip(atom).for_each(|(r, d)| *r -= value * d);
    }
    dot(&residual, &residual)
}

fn shapes() -> impl Strategy<Value = (usize, usize, usize, usize)> {
    (5..=16_usize, 5..=60_usize, 1..=5_usize, 1..=12_usize)
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![Just(Kind::Planted), Just(Kind::Correlated), Just(Kind::Anisotropic)]
}

fn signs() -> impl Strategy<Value = Sign> {
    prop_oneof![Just(Sign::Signed), Just(Sign::NonNegative)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..Default::default() })]

    #[test]
    fn codes_are_those_of_the_book(
        shape in shapes(), kind in kinds(), sign in signs(), seed in any::<u64>()
    ) {
        let (d, y) = planted(shape, kind, sign, seed);
        for coder in [MatchingPursuit::new(), MatchingPursuit::new().gram_limit(0)] {
            let codes = crate::support::encode::<Faer<f64>, _>(coder, &d, y.as_ref(), shape.2, sign);
            for i in 0..y.ncols() {
                let Some(code) = by_the_book(&d, y.col_as_slice(i), shape.2, sign) else { continue };
                let (atoms, values): (Vec<u32>, Vec<f64>) = code.into_iter().unzip();
                prop_assert_eq!(codes.support(i), atoms, "sample {}", i);
                let size = y.col(i).norm_l2();
                for (found, expected) in codes.values(i).iter().zip(values) {
                    prop_assert!((found - expected).abs() <= 1e-11 * size, "sample {i}");
                }
            }
        }
    }

    /// A refit lowers the error, and never to below what OMP's supports could give with all atoms.
    #[test]
    fn a_refit_never_raises_the_error(
        shape in shapes(), kind in kinds(), sign in signs(), seed in any::<u64>()
    ) {
        let (d, y) = planted(shape, kind, sign, seed);
        let encode = |coder| crate::support::encode::<Faer<f64>, _>(coder, &d, y.as_ref(), shape.2, sign);
        let plain = encode(MatchingPursuit::new());
        let refitted = encode(MatchingPursuit::new().coefficients(Coefficients::Refitted));
        for i in 0..y.ncols() {
            let energy = y.col(i).squared_norm_l2();
            let (before, after) = (error(&d, &y, &plain, i), error(&d, &y, &refitted, i));
            prop_assert!(before <= energy * (1.0 + 1e-12), "sample {i}: {before} of {energy}");
            prop_assert!(after <= before + 1e-12 * energy, "sample {i}: {after} after {before}");
            for atom in refitted.support(i) {
                prop_assert!(plain.support(i).contains(atom), "sample {i}");
            }
            if sign == Sign::Signed {
                // The residual is orthogonal to the atoms chosen.
                let mut residual = y.col_as_slice(i).to_vec();
                for (&atom, value) in refitted.support(i).iter().zip(refitted.values(i)) {
                    let atom = d.col_as_slice(atom as usize);
                    residual.iter_mut().zip(atom).for_each(|(r, d)| *r -= value * d);
                }
                let size = energy.sqrt() + refitted.values(i).iter().map(|x| x.abs()).sum::<f64>();
                for &atom in refitted.support(i) {
                    let left = dot(d.col_as_slice(atom as usize), &residual);
                    prop_assert!(left.abs() <= 1e-11 * size, "sample {i}: {left}");
                }
            }
        }
    }

    #[test]
    fn a_tolerance_is_met_or_the_budget_is_spent(
        shape in shapes(), seed in any::<u64>(), ratio in 0.05..0.9
    ) {
        let (d, y) = planted(shape, Kind::Planted, Sign::Signed, seed);
        let encode = |coder| {
            crate::support::encode::<Faer<f64>, _>(coder, &d, y.as_ref(), shape.2, Sign::Signed)
        };
        let full = encode(MatchingPursuit::new());
        let stopped = encode(MatchingPursuit::new().tolerance(Tolerance::Relative(ratio)));
        for i in 0..y.ncols() {
            let left = (error(&d, &y, &stopped, i) / y.col(i).squared_norm_l2()).sqrt();
            let same = stopped.support(i) == full.support(i);
            prop_assert!(left <= ratio + 1e-9 || same, "sample {i}: {left}");
        }
    }
}

/// A first atom alone is what OMP takes, too.
#[test]
fn one_step_is_that_of_omp() {
    let (d, y) = planted((12, 40, 1, 50), Kind::Correlated, Sign::Signed, 1);
    let omp = crate::support::encode::<Faer<f64>, _>(Omp::new(), &d, y.as_ref(), 1, Sign::Signed);
    let coder = MatchingPursuit::new().min_correlation(0.0).tolerance(Tolerance::Absolute(0.0));
    let found = crate::support::encode::<Faer<f64>, _>(coder, &d, y.as_ref(), 2, Sign::Signed);
    for i in 0..y.ncols() {
        assert!(found.support(i).contains(&omp.support(i)[0]), "sample {i}");
    }
}

/// Where dropping the smallest coefficient would leave more than the sample, the newest atom goes.
#[test]
fn a_drop_never_leaves_more_than_the_sample() {
    // y·d₁ = 1, y·d₂ = −0.45 and d₁·d₂ = 0.6: the second step is −1.05, larger than the first.
    let angle = 0.6_f64.acos();
    let d = Mat::from_fn(2, 2, |i, j| match (i, j) {
        (0, 0) => 1.0,
        (1, 0) => 0.0,
        (0, _) => angle.cos(),
        _ => angle.sin(),
    });
    let y = Mat::from_fn(2, 1, |i, _| if i == 0 { 1.0 } else { (-0.45 - 0.6) / 0.8 });
    let coder = MatchingPursuit::new();
    let codes = crate::support::encode::<Faer<f64>, _>(coder, &d, y.as_ref(), 1, Sign::Signed);
    assert_eq!(codes.support(0), [0]);
    assert!((codes.values(0)[0] - 1.0).abs() < 1e-12);
}
