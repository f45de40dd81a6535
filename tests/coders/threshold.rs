//! The pursuit to a threshold against its definition, in plain loops.

use dbksvd::coder::{Nesting, SparseCoder, ThresholdPursuit};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::synthetic::{Kind, Planted, PlantedData};
use dbksvd::{Error, Faer, ProblemShape, Sign};

/// Gaussian elimination of the normal equations: c with D_SᵀD_S c = D_Sᵀy.
fn least_squares(d: MatRef<'_, f64>, y: &[f64], support: &[usize]) -> Vec<f64> {
    let n = support.len();
    let dot = |j: usize, v: &dyn Fn(usize) -> f64| (0..y.len()).map(|r| d[(r, j)] * v(r)).sum();
    let mut rows: Vec<Vec<f64>> = support
        .iter()
        .map(|&i| {
            let products = support.iter().map(|&j| dot(i, &|r| d[(r, j)]));
            products.chain([dot(i, &|r| y[r])]).collect()
        })
        .collect();
    for p in 0..n {
        let (above, below) = rows.split_at_mut(p + 1);
        for row in below {
            let factor = row[p] / above[p][p];
            row.iter_mut().zip(&above[p]).for_each(|(x, pivot)| *x -= factor * pivot);
        }
    }
    let mut c = vec![0.0; n];
    for p in (0..n).rev() {
        let known: f64 = (p + 1..n).map(|j| rows[p][j] * c[j]).sum();
        c[p] = (rows[p][n] - known) / rows[p][p];
    }
    c
}

/// What the coder is configured by.
struct Rule {
    threshold: f64,
    share: f64,
    prune: f64,
    prefixes: Vec<usize>,
    nesting: Nesting,
    budget: usize,
}

/// y − D_S c.
fn residual(d: MatRef<'_, f64>, y: &[f64], support: &[usize], c: &[f64]) -> Vec<f64> {
    let explained = |r: usize| support.iter().zip(c).map(|(&j, c)| c * d[(r, j)]).sum::<f64>();
    (0..y.len()).map(|r| y[r] - explained(r)).collect()
}

/// c for the atoms of `support`, of which those that it makes negative are moved to `dropped`.
fn solve(
    d: MatRef<'_, f64>,
    y: &[f64],
    support: &mut Vec<usize>,
    dropped: &mut Vec<usize>,
) -> Vec<f64> {
    loop {
        let c = least_squares(d, y, support);
        let (kept, out): (Vec<usize>, Vec<usize>) = (0..support.len()).partition(|&i| c[i] > 0.0);
        if out.is_empty() {
            return c;
        }
        dropped.extend(out.iter().map(|&i| support[i]));
        *support = kept.iter().map(|&i| support[i]).collect();
    }
}

/// The pseudo-code at the head of the coder, literally.
fn naive(d: MatRef<'_, f64>, y: &[f64], rule: &Rule) -> Vec<(u32, f64)> {
    let mut dropped: Vec<usize> = vec![];
    let mut aside: Vec<(usize, f64)> = vec![];
    let (mut target, mut support, mut c) = (y.to_vec(), vec![], vec![]);
    for g in rule.prefixes.iter().copied().chain([d.ncols()]) {
        while support.len() + aside.len() < rule.budget {
            let left = residual(d, &target, &support, &c);
            let alpha = |j: usize| (0..left.len()).map(|r| d[(r, j)] * left[r]).sum::<f64>();
            let taken = |j: &usize| {
                support.contains(j) || dropped.contains(j) || aside.iter().any(|(i, _)| i == j)
            };
            let mut open: Vec<(usize, f64)> =
                (0..g).filter(|j| !taken(j)).map(|j| (j, alpha(j))).collect();
            open.sort_by(|a, b| b.1.total_cmp(&a.1));
            let highest = open.first().map_or(0.0, |&(_, alpha)| alpha);
            if highest < rule.threshold {
                break;
            }
            let bar = rule.threshold.max(rule.share * highest);
            let room = rule.budget - support.len() - aside.len();
            support.extend(open.iter().filter(|o| o.1 >= bar).take(room).map(|o| o.0));
            c = solve(d, &target, &mut support, &mut dropped);
        }
        if rule.nesting == Nesting::Kept {
            target = residual(d, &target, &support, &c);
            aside.extend(support.drain(..).zip(c.drain(..)));
        }
    }
    let mut code: Vec<(usize, f64)> = aside.into_iter().chain(support.into_iter().zip(c)).collect();
    if rule.prune > 0.0 {
        let mut rest: Vec<usize> =
            code.iter().filter(|(_, c)| *c >= rule.prune).map(|&(j, _)| j).collect();
        let c = solve(d, y, &mut rest, &mut dropped);
        code = rest.into_iter().zip(c).collect();
    }
    code.sort_unstable_by_key(|&(atom, _)| atom);
    code.into_iter().map(|(atom, c)| (atom as u32, c)).collect()
}

fn data(kind: Kind) -> PlantedData<f64> {
    let planted = Planted::new(32, 150, 6, 300).kind(kind).sign(Sign::NonNegative);
    planted.noise(0.2).seed(11).generate().unwrap()
}

fn assert_is_the_definition(data: &PlantedData<f64>, rule: &Rule) {
    let coder = ThresholdPursuit::new(rule.threshold)
        .share(rule.share)
        .prune(rule.prune)
        .prefixes(rule.prefixes.clone())
        .nesting(rule.nesting);
    let dictionary = data.dictionary.as_mat().to_owned();
    let samples = data.samples.as_ref();
    let codes = crate::support::encode::<Faer<f64>, _>(
        coder,
        &dictionary,
        samples,
        rule.budget,
        Sign::NonNegative,
    );
    let mut nonzeros = 0;
    for (i, sample) in samples.col_iter().enumerate() {
        let y: Vec<f64> = sample.iter().copied().collect();
        let expected = naive(data.dictionary.as_mat(), &y, rule);
        let mut found: Vec<(u32, f64)> =
            codes.support(i).iter().copied().zip(codes.values(i).iter().copied()).collect();
        found.sort_unstable_by_key(|&(atom, _)| atom);
        let atoms = |code: &[(u32, f64)]| code.iter().map(|&(atom, _)| atom).collect::<Vec<_>>();
        assert_eq!(atoms(&found), atoms(&expected), "sample {i}");
        for ((atom, found), (_, expected)) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-9, "sample {i}, atom {atom}: {found}");
        }
        nonzeros += found.len();
    }
    assert!(nonzeros > samples.ncols(), "{nonzeros} nonzeros are too few to tell anything");
}

#[test]
fn codes_are_those_of_the_definition() {
    for kind in [Kind::Planted, Kind::Correlated, Kind::Anisotropic] {
        let data = data(kind);
        let threshold = if kind == Kind::Anisotropic { 0.2 } else { 0.5 };
        let rule = |share, prune, prefixes, budget| {
            let nesting = Nesting::Refitted;
            Rule { threshold, share, prune, prefixes, nesting, budget }
        };
        let kept = |rule| Rule { nesting: Nesting::Kept, ..rule };
        assert_is_the_definition(&data, &rule(0.7, 0.0, vec![], 20));
        assert_is_the_definition(&data, &rule(1.0, 0.0, vec![], 20));
        assert_is_the_definition(&data, &rule(0.0, 0.0, vec![], 9));
        assert_is_the_definition(&data, &rule(0.7, 1.5 * threshold, vec![], 20));
        assert_is_the_definition(&data, &rule(0.7, 1.2 * threshold, vec![10, 40, 90], 20));
        assert_is_the_definition(&data, &rule(0.5, 0.0, vec![75], 5));
        assert_is_the_definition(&data, &kept(rule(0.7, 0.0, vec![20, 60], 20)));
        assert_is_the_definition(&data, &kept(rule(0.7, 1.2 * threshold, vec![10, 40, 90], 20)));
        assert_is_the_definition(&data, &kept(rule(0.5, 0.0, vec![75], 5)));
    }
}

#[test]
fn a_state_serves_coders_of_other_thresholds() {
    let data = data(Kind::Planted);
    let shape = ProblemShape { dim: 32, atoms: 150, sparsity: 20, sign: Sign::NonNegative };
    let (backend, mut codes) = (Faer::<f64>::default(), dbksvd::SparseCodes::new(150, 0, 20));
    let dictionary: Mat<f64> = data.dictionary.as_mat().to_owned();
    let low = ThresholdPursuit::new(0.2);
    let mut state = low.prepare(&backend, &shape).unwrap();
    low.set_dictionary(&backend, &mut state, &dictionary).unwrap();
    low.encode(&backend, &state, &dictionary, &data.samples, &mut codes).unwrap();
    let many = codes.nnz();
    let high = low.threshold(1.0).prefixes([50]);
    high.encode(&backend, &state, &dictionary, &data.samples, &mut codes).unwrap();
    assert!(codes.nnz() < many);
    let samples = data.samples.as_ref();
    let fresh =
        crate::support::encode::<Faer<f64>, _>(high, &dictionary, samples, 20, Sign::NonNegative);
    assert_eq!(codes, fresh);
}

/// The argument that checking refuses.
fn refused(coder: ThresholdPursuit, sign: Sign) -> &'static str {
    let shape = ProblemShape { dim: 8, atoms: 20, sparsity: 4, sign };
    match SparseCoder::<Faer<f32>>::check(&coder, &shape) {
        Err(Error::Argument { argument, .. }) => argument,
        other => panic!("expected an argument error, got {other:?}"),
    }
}

#[test]
fn every_parameter_is_checked() {
    let good = ThresholdPursuit::new(1.0);
    let refused_of = |coder| refused(coder, Sign::NonNegative);
    assert_eq!(refused(good.clone(), Sign::Signed), "sign");
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(refused_of(good.clone().threshold(bad)), "threshold");
    }
    for bad in [-0.1, 1.1, f64::NAN] {
        assert_eq!(refused_of(good.clone().share(bad)), "share");
    }
    for bad in [-0.1, f64::NAN, f64::INFINITY] {
        assert_eq!(refused_of(good.clone().prune(bad)), "prune");
    }
    for bad in [vec![0, 3], vec![3, 3], vec![5, 3]] {
        assert_eq!(refused_of(good.clone().prefixes(bad)), "prefixes");
    }
}
