//! Every pursuit against the naive one, in both precisions, on samples on which digits run out.
//!
//! `DBKSVD_DRAWS` asks for more draws than the tests make by themselves; a failure says its seed.

use dbksvd::HostBackend;
use dbksvd::coder::{
    BatchOmp, MatchingPursuit, Matryoshka, Omp, Selection, SparseCoder, Swaps, ThresholdPursuit,
    Tolerance,
};
use dbksvd::{Faer, Groups, Scalar, Sign, SparseCodes};

use crate::oracle::{Atoms, Step};
use crate::problem::{
    Expected, Hard, LITTLE, Problem, SIGNS, TIE, draws, error, matrix, widen, without_rounding,
};
use crate::support::encode;

impl<T: Scalar> Problem<T> {
    fn codes<C: SparseCoder<Faer<T>>>(&self, coder: C, sign: Sign) -> SparseCodes<T>
    where
        Faer<T>: HostBackend<Scalar = T>,
    {
        let (dictionary, samples) = (matrix(&self.atoms), matrix(&self.samples));
        encode::<Faer<T>, C>(coder, &dictionary, samples.as_ref(), self.sparsity, sign)
    }

    /// No exchange of one atom lowers the error of a support by more than a hundredth.
    fn check_swaps(&self, i: usize, support: &[u32]) {
        let (y, atoms) = (widen(&self.samples[i]), Atoms(&self.widened, T::EPSILON));
        let squared = |support: &[u32]| {
            let gamma = atoms.least_squares(&y, support);
            atoms.residual(&y, support, &gamma).iter().map(|r| r * r).sum::<f64>()
        };
        let (energy, now) = (y.iter().map(|y| y * y).sum::<f64>(), squared(support));
        for place in 0..support.len() {
            for atom in (0..self.atoms.len() as u32).filter(|atom| !support.contains(atom)) {
                let mut other = support.to_vec();
                other[place] = atom;
                let then = squared(&other);
                assert!(
                    then >= 0.99 * now - 1e3 * f64::EPSILON * energy,
                    "seed {}, {}, {}, sample {i}: {then:e} instead of {now:e}, by {atom} for {}",
                    self.seed,
                    self.kind,
                    T::NAME,
                    support[place]
                );
            }
        }
    }
}

/// `Omp` and the kernels of `BatchOmp`.
fn check_omp<T: Scalar>(problem: &Problem<T>)
where
    Faer<T>: HostBackend<Scalar = T>,
{
    let (k, atoms) = (problem.sparsity, problem.atoms.len());
    let quantised = 2 * atoms * (atoms.next_multiple_of(128) + 32);
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        for sign in SIGNS {
            let expected = problem.naive(
                |atoms, y| atoms.pursue(y, k, selection, sign),
                |atoms, y| atoms.pursue(y, k, selection, sign),
            );
            let compare = |coder: &str, codes| {
                let name = format!("{coder} {selection:?} {sign:?}");
                problem.compare(&name, &expected, &codes, Some(sign));
            };
            compare("Omp", problem.codes(Omp::new().selection(selection), sign));
            for limit in [usize::MAX, quantised, 0] {
                let coder = BatchOmp::new().selection(selection).gram_limit(limit);
                compare(&format!("BatchOmp({limit})"), problem.codes(coder, sign));
            }
            check_tolerances(problem, selection, sign, &expected);
        }
    }
}

/// Every kernel ends a pursuit where the textbook does.
fn check_tolerances<T: Scalar>(
    problem: &Problem<T>,
    selection: Selection,
    sign: Sign,
    expected: &Expected<T>,
) where
    Faer<T>: HostBackend<Scalar = T>,
{
    let atoms = problem.atoms.len();
    let quantised = 2 * atoms * (atoms.next_multiple_of(128) + 32);
    for tolerance in
        [Tolerance::Relative(1e-3), Tolerance::Relative(1e-5), Tolerance::Absolute(0.0)]
    {
        let omp = Omp::new().selection(selection).tolerance(tolerance);
        let truth = problem.codes(omp, sign);
        for limit in [usize::MAX, quantised, 0] {
            let coder = BatchOmp::new().selection(selection).tolerance(tolerance);
            let codes = problem.codes(coder.gram_limit(limit), sign);
            for (i, (_, exact)) in expected.iter().enumerate() {
                let clear = |step: &Step| step.lead >= TIE && step.left >= LITTLE;
                let unit = if sign == Sign::Signed { 0.0 } else { 16.0 * T::EPSILON };
                let of = |codes: &SparseCodes<T>| {
                    without_rounding(codes.support(i), codes.values(i), unit)
                };
                if exact.steps.iter().all(clear) {
                    assert_eq!(
                        of(&codes),
                        of(&truth),
                        "seed {}, {}, {}, sample {i}: {tolerance:?} {selection:?} {sign:?} {limit}",
                        problem.seed,
                        problem.kind,
                        T::NAME
                    );
                }
            }
        }
    }
}

/// The coders that find atoms in other ways.
fn check_others<T: Scalar>(problem: &Problem<T>)
where
    Faer<T>: HostBackend<Scalar = T>,
{
    let (k, atoms) = (problem.sparsity, problem.atoms.len());
    for sign in SIGNS {
        let expected = problem.naive(
            |atoms, y| atoms.match_one_by_one(y, k, sign),
            |atoms, y| atoms.match_one_by_one(y, k, sign),
        );
        for limit in [usize::MAX, 0] {
            let codes = problem.codes(MatchingPursuit::new().gram_limit(limit), sign);
            let name = format!("MatchingPursuit({limit}) {sign:?}");
            problem.compare(&name, &expected, &codes, None);
        }

        let groups = [(atoms / 4, k - k / 2), (atoms - atoms / 4, k / 2)];
        if groups.iter().all(|(atoms, budget)| *atoms > 0 && budget <= atoms) {
            let expected = problem.naive(
                |atoms, y| atoms.pursue_by_groups(y, &groups, sign),
                |atoms, y| atoms.pursue_by_groups(y, &groups, sign),
            );
            let parts = Groups::new(groups.map(|group| group.0));
            let coder = Matryoshka::new(parts.budgets(groups.map(|group| group.1)));
            let codes = problem.codes(coder, sign);
            problem.compare(&format!("Matryoshka {sign:?}"), &expected, &codes, None);
        }

        let start = problem.codes(BatchOmp::new(), sign);
        let codes = problem.codes(Swaps::new(), sign);
        for (i, y) in problem.samples.iter().enumerate() {
            let of = |codes: &SparseCodes<T>| {
                error(&problem.atoms, y, codes.support(i), codes.values(i))
            };
            let (seed, kind) = (problem.seed, problem.kind);
            let (before, after) = (of(&start), of(&codes));
            // Both are sums that this test rounds.
            let is_lower = after <= before * (1.0 + 16.0 * f64::EPSILON);
            assert!(is_lower, "seed {seed}, {kind}: swaps of {i}: {after:e}, not {before:e}");
            if sign == Sign::Signed && !problem.is_dependent() && atoms * y.len() < 4000 {
                problem.check_swaps(i, codes.support(i));
            }
        }
    }
    if !problem.is_dependent() {
        let (threshold, share) = (0.3, 0.7);
        let expected = problem.naive(
            |atoms, y| atoms.pursue_to_threshold(y, k, T::narrow(threshold), T::narrow(share)),
            |atoms, y| atoms.pursue_to_threshold(y, k, threshold, share),
        );
        let coder = ThresholdPursuit::new(threshold).share(share).prune(0.0);
        let codes = problem.codes(coder, Sign::NonNegative);
        problem.compare("ThresholdPursuit", &expected, &codes, None);
    }
}

fn check_all<T: Scalar>(draws: u64, shapes: &[(usize, usize)], check: impl Fn(&Problem<T>)) {
    for seed in 0..draws {
        let (dim, atoms) = shapes[(seed / 7) as usize % shapes.len()];
        check(&Problem::new(seed, &Hard::draw(seed, dim, atoms)));
    }
}

/// Dimensions and atoms of small and large dictionaries: the latter take the 16-bit product.
const SMALL: [(usize, usize); 6] = [(6, 10), (16, 40), (3, 2), (33, 96), (64, 256), (12, 300)];
const LARGE: [(usize, usize); 1] = [(200, 320)];

#[test]
fn omp_in_single_precision() {
    check_all(draws(140), &SMALL, check_omp::<f32>);
}

#[test]
fn omp_in_double_precision() {
    check_all(draws(140), &SMALL, check_omp::<f64>);
}

#[test]
fn omp_on_large_dictionaries() {
    check_all(draws(140) / 10, &LARGE, check_omp::<f32>);
}

#[test]
fn others_in_single_precision() {
    check_all(draws(140), &SMALL, check_others::<f32>);
}

#[test]
fn others_in_double_precision() {
    check_all(draws(140), &SMALL, check_others::<f64>);
}

#[test]
fn one_atom_or_dimension_or_nonzero() {
    for seed in 0..draws(140) {
        let hard = Hard::smallest(seed);
        check_omp::<f32>(&Problem::new(seed, &hard));
        check_omp::<f64>(&Problem::new(seed, &hard));
        check_others::<f32>(&Problem::new(seed, &hard));
        check_others::<f64>(&Problem::new(seed, &hard));
    }
}
