//! Properties of the pursuits on random small problems, against an oracle that solves every least
//! squares problem anew by Gaussian elimination.

use dbksvd::Faer;
use dbksvd::Sign;
use dbksvd::coder::{BatchOmp, Omp, Selection, Tolerance};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::{Mat, MatRef};
use proptest::prelude::*;
use rand::SeedableRng;
use rand_distr::{Distribution, StandardNormal};

/// Codes of samples (d × N) on a dictionary (d × m) with at most k nonzeros.
type Encode = fn(&Mat<f64>, MatRef<'_, f64>, usize) -> SparseCodes<f64>;

/// Both coders with one configuration.
macro_rules! coders {
    ($($setter:ident($value:expr))?; $sign:expr) => {
        [
            |d, y, k| {
                crate::support::encode::<Faer<f64>, _>(Omp::new()$(.$setter($value))?, d, y, k, $sign)
            },
            |d, y, k| {
                crate::support::encode::<Faer<f64>, _>(BatchOmp::new()$(.$setter($value))?, d, y, k, $sign)
            },
        ]
    };
}

const OMP: [Encode; 2] = coders!(; Sign::Signed);
const OLS: [Encode; 2] = coders!(selection(Selection::LeastSquares); Sign::Signed);
const NONNEGATIVE: [Encode; 2] = coders!(; Sign::NonNegative);

/// Every pursuit there is.
fn all() -> impl Iterator<Item = Encode> {
    OMP.into_iter().chain(OLS).chain(NONNEGATIVE)
}

#[derive(Debug)]
struct Problem {
    dictionary: Mat<f64>,
    samples: Mat<f64>,
    sparsity: usize,
}

impl Problem {
    /// Gaussian atoms and samples, all of them shifted by `shift` along the diagonal: 0 gives
    /// incoherent atoms, 2 cosines near 0.8.
    fn new(
        dim: usize,
        atoms: usize,
        samples: usize,
        sparsity: usize,
        shift: f64,
        seed: u64,
    ) -> Self {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |cols| {
            Mat::from_fn(dim, cols, |_, _| {
                let value: f64 = StandardNormal.sample(&mut rng);
                value + shift
            })
        };
        let mut dictionary = draw(atoms);
        for atom in dictionary.col_iter_mut() {
            let norm = atom.norm_l2();
            atom.iter_mut().for_each(|value| *value /= norm);
        }
        let samples = draw(samples);
        Self { dictionary, samples, sparsity: sparsity.min(dim).min(atoms) }
    }

    fn encode(&self, encode: Encode) -> SparseCodes<f64> {
        encode(&self.dictionary, self.samples.as_ref(), self.sparsity)
    }

    /// Rounding errors of sums of d terms, over the norm of the sample.
    fn rounding(&self) -> f64 {
        16.0 * self.dictionary.nrows() as f64 * f64::EPSILON
    }

    /// The squared condition number of the atoms chosen: what least squares multiplies errors by.
    fn condition(&self, chosen: &[u32]) -> f64 {
        let atoms = Mat::from_fn(self.dictionary.nrows(), chosen.len(), |row, j| {
            self.dictionary[(row, chosen[j] as usize)]
        });
        let singular = atoms.singular_values().expect("finite atoms");
        singular.first().zip(singular.last()).map_or(1.0, |(max, min)| (max / min).powi(2))
    }

    /// y − Dx of sample `i`.
    fn residual(&self, codes: &SparseCodes<f64>, i: usize) -> Vec<f64> {
        let chosen: Vec<usize> = codes.support(i).iter().map(|&atom| atom as usize).collect();
        residual(&self.dictionary, self.samples.col_as_slice(i), &chosen, codes.values(i))
    }
}

fn problems() -> impl Strategy<Value = Problem> {
    (2..=12_usize, 2..=24_usize, 1..=12_usize, 1..=5_usize, 0.0..2.0, any::<u64>())
        .prop_map(|(d, m, n, k, shift, seed)| Problem::new(d, m, n, k, shift, seed))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

fn residual(dictionary: &Mat<f64>, y: &[f64], chosen: &[usize], values: &[f64]) -> Vec<f64> {
    let mut residual = y.to_vec();
    for (&atom, value) in chosen.iter().zip(values) {
        for (r, d) in residual.iter_mut().zip(dictionary.col_as_slice(atom)) {
            *r -= value * d;
        }
    }
    residual
}

/// Solves Ax = b by Gaussian elimination with pivoting by rows; a row of `system` is (A_i, b_i).
fn solve(mut system: Vec<Vec<f64>>) -> Vec<f64> {
    let n = system.len();
    for column in 0..n {
        let pivot = (column..n)
            .max_by(|&i, &j| system[i][column].abs().total_cmp(&system[j][column].abs()))
            .expect("a row is left");
        system.swap(column, pivot);
        let (done, below) = system.split_at_mut(column + 1);
        let pivot = &done[column];
        for row in below {
            let factor = row[column] / pivot[column];
            row.iter_mut().zip(pivot).for_each(|(entry, pivot)| *entry -= factor * pivot);
        }
    }
    let mut x = vec![0.0; n];
    for (i, row) in system.iter().enumerate().rev() {
        x[i] = (row[n] - dot(&row[i + 1..n], &x[i + 1..])) / row[i];
    }
    x
}

/// argmin ‖y − D_S x‖ by the normal equations.
fn least_squares(dictionary: &Mat<f64>, y: &[f64], chosen: &[usize]) -> Vec<f64> {
    let atom = |j: usize| dictionary.col_as_slice(j);
    let row = |&i: &usize| {
        let gram = chosen.iter().map(|&j| dot(atom(i), atom(j)));
        gram.chain([dot(atom(i), y)]).collect()
    };
    solve(chosen.iter().map(row).collect())
}

/// What the oracle chose, in order, and how clear its choices were.
struct Pursued {
    support: Vec<usize>,
    values: Vec<f64>,
    /// The least difference between the best two scores, over ‖y‖.
    gap: f64,
}

/// How the oracle rates taking `candidate` after `chosen`; the greatest wins.
type Score = fn(&Mat<f64>, &[f64], &[usize], candidate: usize) -> f64;

/// |⟨d, r⟩|
fn correlation(dictionary: &Mat<f64>, y: &[f64], chosen: &[usize], candidate: usize) -> f64 {
    let values = least_squares(dictionary, y, chosen);
    dot(dictionary.col_as_slice(candidate), &residual(dictionary, y, chosen, &values)).abs()
}

/// √(‖r‖² − ‖r with the candidate‖²)
fn reduction(dictionary: &Mat<f64>, y: &[f64], chosen: &[usize], candidate: usize) -> f64 {
    let left = |chosen: &[usize]| {
        let values = least_squares(dictionary, y, chosen);
        norm(&residual(dictionary, y, chosen, &values))
    };
    let (before, after) = (left(chosen), left(&[chosen, &[candidate]].concat()));
    (before * before - after * after).max(0.0).sqrt()
}

fn pursue(dictionary: &Mat<f64>, y: &[f64], sparsity: usize, score: Score) -> Pursued {
    let (mut support, mut gap) = (Vec::new(), f64::INFINITY);
    while support.len() < sparsity {
        let free = (0..dictionary.ncols()).filter(|candidate| !support.contains(candidate));
        let mut rated: Vec<(f64, usize)> =
            free.map(|candidate| (score(dictionary, y, &support, candidate), candidate)).collect();
        rated.sort_by(|a, b| b.0.total_cmp(&a.0));
        let second = rated.get(1).map_or(0.0, |&(score, _)| score);
        gap = gap.min((rated[0].0 - second) / norm(y));
        support.push(rated[0].1);
    }
    let values = least_squares(dictionary, y, &support);
    Pursued { support, values, gap }
}

/// Away from ties, both coders choose the atoms the oracle chooses, in its order, and their
/// coefficients agree to rounding.
fn agrees(problem: &Problem, coders: [Encode; 2], score: Score) -> Result<(), TestCaseError> {
    let clear = f64::EPSILON.sqrt();
    for encode in coders {
        let codes = problem.encode(encode);
        for i in 0..codes.samples() {
            let y = problem.samples.col_as_slice(i);
            let expected = pursue(&problem.dictionary, y, problem.sparsity, score);
            if expected.gap < clear {
                continue;
            }
            let chosen: Vec<usize> = codes.support(i).iter().map(|&atom| atom as usize).collect();
            prop_assert_eq!(&chosen, &expected.support, "sample {}", i);
            // Normal equations: errors of G times its condition, on coefficients of their own size.
            let size = norm(y) + norm(&expected.values);
            let bound = problem.rounding() * problem.condition(codes.support(i)) * size;
            for (found, expected) in codes.values(i).iter().zip(&expected.values) {
                prop_assert!(
                    (found - expected).abs() <= bound,
                    "sample {i}: {found}, expected {expected} to {bound:e}"
                );
            }
        }
    }
    Ok(())
}

/// What is left of sample `i` after the least squares on `chosen`.
fn left_after(problem: &Problem, i: usize, chosen: &[u32]) -> Vec<f64> {
    let chosen: Vec<usize> = chosen.iter().map(|&atom| atom as usize).collect();
    let y = problem.samples.col_as_slice(i);
    let values = least_squares(&problem.dictionary, y, &chosen);
    residual(&problem.dictionary, y, &chosen, &values)
}

/// The pursuit that stopped is the beginning of the one that did not, and it ended at the first
/// residual whose `measure` is at most `threshold`.
fn stops_at(
    problem: &Problem,
    full: &SparseCodes<f64>,
    stopped: &SparseCodes<f64>,
    threshold: f64,
    measure: impl Fn(&[f64]) -> f64,
) -> Result<(), TestCaseError> {
    for i in 0..full.samples() {
        let chosen = stopped.support(i);
        prop_assert!(full.support(i).starts_with(chosen), "sample {i}");
        let slack = problem.rounding()
            * problem.condition(full.support(i))
            * norm(problem.samples.col_as_slice(i));
        let measured = |length: usize| measure(&left_after(problem, i, &chosen[..length]));
        for earlier in 0..chosen.len() {
            let measured = measured(earlier);
            prop_assert!(measured >= threshold - slack, "sample {i}: {measured} at {earlier}");
        }
        let (ended, measured) = (chosen == full.support(i), measured(chosen.len()));
        prop_assert!(ended || measured <= threshold + slack, "sample {i}: stopped at {measured}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..Default::default() })]

    #[test]
    fn omp_agrees_with_the_oracle(problem in problems()) {
        agrees(&problem, OMP, correlation)?;
    }

    #[test]
    fn ols_agrees_with_the_oracle(problem in problems()) {
        agrees(&problem, OLS, reduction)?;
    }

    #[test]
    fn residuals_are_orthogonal_to_the_atoms_chosen(problem in problems()) {
        for codes in all().map(|encode| problem.encode(encode)) {
            for i in 0..codes.samples() {
                let residual = problem.residual(&codes, i);
                let size = norm(problem.samples.col_as_slice(i))
                    + codes.values(i).iter().map(|value| value.abs()).sum::<f64>();
                for &atom in codes.support(i) {
                    let correlation = dot(problem.dictionary.col_as_slice(atom as usize), &residual);
                    prop_assert!(
                        correlation.abs() <= problem.rounding() * size,
                        "sample {i}, atom {atom}: {correlation:e} for sizes of {size}"
                    );
                }
            }
        }
    }

    #[test]
    fn residuals_do_not_grow_with_the_budget(problem in problems()) {
        for encode in all() {
            let mut last: Vec<f64> = problem.samples.col_iter().map(|y| y.norm_l2()).collect();
            for sparsity in 1..=problem.sparsity {
                let codes = encode(&problem.dictionary, problem.samples.as_ref(), sparsity);
                for (i, last) in last.iter_mut().enumerate() {
                    let size = norm(problem.samples.col_as_slice(i))
                        + codes.values(i).iter().map(|value| value.abs()).sum::<f64>();
                    let left = norm(&problem.residual(&codes, i));
                    prop_assert!(
                        left <= *last + problem.rounding() * size,
                        "sample {i}: {left} after {last} at k = {sparsity}"
                    );
                    *last = left;
                }
            }
        }
    }

    #[test]
    fn a_tolerance_ends_the_pursuit(problem in problems(), norm_left in 0.1..4.0) {
        let tolerance = Tolerance::Absolute(norm_left);
        let (d, y, k) = (&problem.dictionary, problem.samples.as_ref(), problem.sparsity);
        let full = problem.encode(OMP[0]);
        let omp = crate::support::encode::<Faer<f64>, _>(
            Omp::new().tolerance(tolerance), d, y, k, Sign::Signed,
        );
        stops_at(&problem, &full, &omp, norm_left, norm)?;
        let batch = crate::support::encode::<Faer<f64>, _>(
            BatchOmp::new().tolerance(tolerance), d, y, k, Sign::Signed,
        );
        stops_at(&problem, &problem.encode(OMP[1]), &batch, norm_left, norm)?;
    }

    #[test]
    fn a_least_correlation_ends_the_pursuit(problem in problems(), least in 0.1..3.0) {
        let (d, y, k) = (&problem.dictionary, problem.samples.as_ref(), problem.sparsity);
        let greatest = |residual: &[f64]| {
            d.col_iter()
                .map(|atom| atom.iter().zip(residual).map(|(d, r)| d * r).sum::<f64>().abs())
                .fold(0.0, f64::max)
        };
        let omp = crate::support::encode::<Faer<f64>, _>(
            Omp::new().min_correlation(least), d, y, k, Sign::Signed,
        );
        stops_at(&problem, &problem.encode(OMP[0]), &omp, least, greatest)?;
        let batch = crate::support::encode::<Faer<f64>, _>(
            BatchOmp::new().min_correlation(least), d, y, k, Sign::Signed,
        );
        stops_at(&problem, &problem.encode(OMP[1]), &batch, least, greatest)?;
    }

    #[test]
    fn nonnegative_coefficients_are_positive(problem in problems()) {
        for encode in NONNEGATIVE {
            for (_, values) in problem.encode(encode).iter() {
                prop_assert!(values.iter().all(|&value| value > 0.0), "{values:?}");
            }
        }
    }

    /// A power of two changes no mantissa, so neither support nor mantissas of the code change.
    #[test]
    fn a_scaled_sample_has_a_scaled_code(problem in problems(), exponent in -60..60_i32) {
        let scale = 2_f64.powi(exponent);
        let scaled = Mat::from_fn(problem.samples.nrows(), problem.samples.ncols(), |row, i| {
            scale * problem.samples[(row, i)]
        });
        for encode in all() {
            let codes = problem.encode(encode);
            let found = encode(&problem.dictionary, scaled.as_ref(), problem.sparsity);
            for i in 0..codes.samples() {
                let expected: Vec<f64> = codes.values(i).iter().map(|value| scale * value).collect();
                prop_assert_eq!(found.support(i), codes.support(i), "sample {}", i);
                prop_assert_eq!(found.values(i), expected, "sample {}", i);
            }
        }
    }

    #[test]
    fn a_negated_sample_has_a_negated_code(problem in problems()) {
        let negated = Mat::from_fn(problem.samples.nrows(), problem.samples.ncols(), |row, i| {
            -problem.samples[(row, i)]
        });
        for encode in OMP.into_iter().chain(OLS) {
            let codes = problem.encode(encode);
            let found = encode(&problem.dictionary, negated.as_ref(), problem.sparsity);
            for i in 0..codes.samples() {
                let expected: Vec<f64> = codes.values(i).iter().map(|value| -value).collect();
                prop_assert_eq!(found.support(i), codes.support(i), "sample {}", i);
                prop_assert_eq!(found.values(i), expected, "sample {}", i);
            }
        }
    }
}

/// The samples of a problem larger than any block, each stepped to another position.
#[test]
fn permuted_samples_have_permuted_codes() {
    let problem = Problem::new(9, 20, 1201, 4, 0.5, 7);
    let (samples, stride) = (problem.samples.ncols(), 410); // 1201 is prime: a permutation
    let permuted = Mat::from_fn(problem.samples.nrows(), samples, |row, i| {
        problem.samples[(row, i * stride % samples)]
    });
    for encode in all() {
        let codes = problem.encode(encode);
        let found = encode(&problem.dictionary, permuted.as_ref(), problem.sparsity);
        for i in 0..samples {
            let origin = i * stride % samples;
            assert_eq!(found.support(i), codes.support(origin), "sample {origin}");
            assert_eq!(found.values(i), codes.values(origin), "sample {origin}");
        }
    }
}

/// The code of a sample coded alone is the code it has among others.
#[test]
fn a_sample_alone_has_the_same_code() {
    let problem = Problem::new(9, 20, 300, 4, 0.5, 11);
    for encode in all() {
        let codes = problem.encode(encode);
        for i in [0, 1, 31, 127, 128, 255, 256, 299] {
            let alone = problem.samples.as_ref().subcols(i, 1);
            let found = encode(&problem.dictionary, alone, problem.sparsity);
            assert_eq!(found.support(0), codes.support(i), "sample {i}");
            assert_eq!(found.values(0), codes.values(i), "sample {i}");
        }
    }
}
