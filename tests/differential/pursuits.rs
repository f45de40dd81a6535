//! Samples on which digits run out: a baseline of any height, coefficients over ten decades,
//! massive coordinates, nearly parallel atoms, as many atoms as dimensions, dictionaries of low
//! rank. Every pursuit against the naive one, in both precisions.
//!
//! `DBKSVD_DRAWS` asks for more draws than the tests make by themselves; a failure says its seed.

use dbksvd::HostBackend;
use dbksvd::coder::{
    BatchOmp, MatchingPursuit, Matryoshka, Omp, Selection, SparseCoder, Swaps, ThresholdPursuit,
    Tolerance,
};
use dbksvd::faer::Mat;
use dbksvd::{Faer, Groups, Scalar, Sign, SparseCodes};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::oracle::{Atoms, Code, Step};
use crate::support::encode;

/// A dictionary with samples that are hard to code on it.
struct Hard {
    kind: &'static str,
    atoms: Vec<Vec<f64>>,
    samples: Vec<Vec<f64>>,
    sparsity: usize,
}

fn normal(rng: &mut impl Rng) -> f64 {
    rng.sample(StandardNormal)
}

fn unit(mut atom: Vec<f64>) -> Vec<f64> {
    let norm = atom.iter().map(|x| x * x).sum::<f64>().sqrt();
    atom.iter_mut().for_each(|x| *x /= norm);
    atom
}

fn random_atoms(rng: &mut impl Rng, dim: usize, count: usize) -> Vec<Vec<f64>> {
    (0..count).map(|_| unit((0..dim).map(|_| normal(rng)).collect())).collect()
}

/// Σ of `count` atoms, with coefficients of about 1.
fn mixture(rng: &mut impl Rng, atoms: &[Vec<f64>], count: usize) -> Vec<f64> {
    let mut sample = vec![0.0; atoms[0].len()];
    for _ in 0..count {
        let atom = &atoms[rng.random_range(0..atoms.len())];
        let size: f64 = normal(rng);
        add(&mut sample, size + size.signum(), atom);
    }
    sample
}

fn add(sample: &mut [f64], c: f64, atom: &[f64]) {
    sample.iter_mut().zip(atom).for_each(|(y, d)| *y += c * d);
}

/// A power of ten between these.
fn decade(rng: &mut impl Rng, from: f64, to: f64) -> f64 {
    10.0_f64.powf(rng.random_range(from..to))
}

const SAMPLES: usize = 12;

impl Hard {
    /// Up to three atoms of up to three dimensions, and samples of any size.
    fn smallest(seed: u64) -> Self {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let (dim, count) = (rng.random_range(1..=3), rng.random_range(1..=3));
        let atoms = random_atoms(rng, dim, count);
        let sparsity = rng.random_range(1..=dim.min(count));
        let noise = [0.0, 1e-6, 1.0][rng.random_range(0..3)];
        let sample = |_| {
            let mut sample = mixture(rng, &atoms, sparsity);
            let scale = decade(rng, -12.0, 12.0);
            sample.iter_mut().for_each(|y| *y = scale * (*y + noise * normal(rng)));
            sample
        };
        let samples = (0..SAMPLES).map(sample).collect();
        Self { kind: "smallest", sparsity, atoms, samples }
    }

    /// One of the kinds, with `atoms` atoms of `dim` dimensions.
    fn draw(seed: u64, dim: usize, atoms: usize) -> Self {
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        let mut dictionary = random_atoms(rng, dim, atoms);
        let most = dim.min(12);
        let mut sparsity = rng.random_range(2..=most);
        let kinds = ["baseline", "decades", "massive", "parallel", "basis", "rank", "scaled"];
        let kind = kinds[(seed % kinds.len() as u64) as usize];
        let noise = [0.0, 1e-6, 1e-2][rng.random_range(0..3)];
        let mut samples: Vec<Vec<f64>> = Vec::new();
        match kind {
            "baseline" => {
                let last = atoms - 1;
                dictionary[last] = unit(vec![1.0; dim]);
                for _ in 0..SAMPLES {
                    let mut sample = mixture(rng, &dictionary[..last], sparsity.max(2) - 1);
                    let height = decade(rng, 0.0, 5.0);
                    sample.iter_mut().for_each(|y| *y += height);
                    samples.push(sample);
                }
            }
            "decades" => {
                let orthogonal = rng.random_bool(0.5);
                for (i, atom) in dictionary.iter_mut().take(dim).enumerate() {
                    if orthogonal {
                        atom.fill(0.0);
                        atom[i] = 1.0;
                    }
                }
                for _ in 0..SAMPLES {
                    let mut sample = vec![0.0; dim];
                    for t in 0..sparsity {
                        let size = 10.0_f64.powf(-10.0 * t as f64 / (sparsity - 1) as f64);
                        let sign = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
                        add(
                            &mut sample,
                            sign * size,
                            &dictionary[rng.random_range(0..dim.min(atoms))],
                        );
                    }
                    samples.push(sample);
                }
            }
            "massive" => {
                let tilt = decade(rng, 1.0, 3.5);
                for atom in dictionary.iter_mut().take(atoms / 4) {
                    atom[0] += tilt;
                    *atom = unit(std::mem::take(atom));
                }
                dictionary[atoms - 1].fill(0.0);
                dictionary[atoms - 1][0] = 1.0;
                for _ in 0..SAMPLES {
                    let mut sample = mixture(rng, &dictionary[atoms / 4..], sparsity);
                    sample[0] = 4500.0 + 1500.0 * normal(rng);
                    samples.push(sample);
                }
            }
            "parallel" => {
                let distance = decade(rng, -4.5, -1.0);
                for j in atoms / 2..atoms {
                    let mut atom = dictionary[j - atoms / 2].clone();
                    let other = dictionary[j].clone();
                    add(&mut atom, distance, &other);
                    dictionary[j] = unit(atom);
                }
                for _ in 0..SAMPLES {
                    samples.push(mixture(rng, &dictionary, sparsity));
                }
            }
            "basis" => {
                sparsity = dim.min(40);
                for _ in 0..SAMPLES {
                    samples.push((0..dim).map(|_| normal(rng)).collect());
                }
            }
            "rank" => {
                // Atoms of a subspace, some of them twice; samples inside, or also outside of it.
                let rank = rng.random_range(1..=most);
                let span = random_atoms(rng, dim, rank);
                for atom in &mut dictionary {
                    atom.fill(0.0);
                    span.iter().for_each(|basis| add(atom, normal(rng), basis));
                    *atom = unit(std::mem::take(atom));
                }
                dictionary[1] = dictionary[0].clone();
                let outside = [0.0, 1.0][rng.random_range(0..2)];
                for _ in 0..SAMPLES {
                    let mut sample = mixture(rng, &dictionary, 3);
                    sample.iter_mut().for_each(|y| *y += outside * normal(rng));
                    samples.push(sample);
                }
                sparsity = most;
            }
            _ => {
                let scale = decade(rng, -12.0, 12.0);
                for _ in 0..SAMPLES {
                    let mut sample = mixture(rng, &dictionary, sparsity);
                    sample.iter_mut().for_each(|y| *y *= scale);
                    samples.push(sample);
                }
                samples[0].fill(0.0);
                samples[1] = dictionary[0].clone();
            }
        }
        for sample in &mut samples {
            let size = sample.iter().map(|y| y.abs()).fold(0.0, f64::max);
            sample.iter_mut().for_each(|y| *y += noise * size.min(1.0) * normal(rng));
        }
        Self { kind, atoms: dictionary, samples, sparsity }
    }

    fn rounded<T: Scalar>(rows: &[Vec<f64>]) -> Vec<Vec<T>> {
        rows.iter().map(|row| row.iter().map(|&x| T::narrow(x)).collect()).collect()
    }
}

fn matrix<T: Scalar>(columns: &[Vec<T>]) -> Mat<T> {
    Mat::from_fn(columns[0].len(), columns.len(), |i, j| columns[j][i])
}

/// ‖y − D x‖ in double precision.
fn error<T: Scalar>(atoms: &[Vec<T>], y: &[T], support: &[u32], values: &[T]) -> f64 {
    let mut r: Vec<f64> = y.iter().map(|y| y.widen()).collect();
    for (&atom, value) in support.iter().zip(values) {
        let atom = &atoms[atom as usize];
        r.iter_mut().zip(atom).for_each(|(r, d)| *r -= value.widen() * d.widen());
    }
    r.iter().map(|r| r * r).sum::<f64>().sqrt()
}

/// The atoms of a code whose coefficients are more than `unit` of the largest: of an atom that
/// leaves a non-negative code, rounding may leave a coefficient of either sign.
fn without_rounding<T: Scalar>(support: &[u32], values: &[T], unit: f64) -> Vec<u32> {
    let largest = values.iter().fold(0.0, |most, x| f64::max(most, x.widen().abs()));
    let terms = support.iter().zip(values);
    let kept = terms.filter(|(_, x)| x.widen().abs() > unit * largest);
    kept.map(|(&atom, _)| atom).collect()
}

/// What is compared.
struct Comparison<'a, T> {
    label: String,
    atoms: &'a [Vec<T>],
    sample: &'a [T],
    /// The naive pursuit in the same precision, and in double precision.
    naive: &'a Code<T>,
    exact: &'a Code<f64>,
    /// How many units in the last place coefficients may be off.
    units: f64,
}

/// A lead of less than this, relative to the best score, is a tie.
const TIE: f64 = 1e-4;

/// ‖r‖/‖y‖ below which supports are not compared.
const LITTLE: f64 = 1e-5;

impl<T: Scalar> Comparison<'_, T> {
    fn check_support(&self, sign: Sign, support: &[u32], values: &[T]) {
        let Self { label, exact, .. } = self;
        // The atoms that are beyond dispute.
        let clear = exact.steps.iter().take_while(|step| step.lead >= TIE && step.left >= LITTLE);
        let clear: Vec<u32> = clear.map(|step| step.atom).collect();
        let same = match sign {
            Sign::Signed => support.starts_with(&clear),
            // Atoms may leave the code again.
            Sign::NonNegative => {
                let unit = 64.0 * f64::EPSILON;
                clear.len() < exact.steps.len()
                    || without_rounding(support, values, unit)
                        == without_rounding(&exact.support, &exact.values, unit)
            }
        };
        assert!(same, "{label}: {support:?}\nexact {exact:?}");
    }

    fn check_error(&self, support: &[u32], values: &[T]) {
        let Self { label, atoms, sample, naive, exact, .. } = self;
        // Beyond a tie, another code may be as good by the rule and have another error. Where
        // little is left, scores are known to the rounding of y in double precision.
        let is_tie = |step: &Step| {
            step.lead < TIE && step.left >= LITTLE || step.lead * step.left < 16.0 * f64::EPSILON
        };
        if exact.steps.iter().any(is_tie) {
            return;
        }
        let found = error(atoms, sample, support, values);
        // Where rounding leads the naive pursuit to other atoms, they may be better ones by chance.
        let narrowed: Vec<T> = exact.values.iter().map(|&x| T::narrow(x)).collect();
        let of_naive = error(atoms, sample, &naive.support, &naive.values);
        let expected = of_naive.max(error(atoms, sample, &exact.support, &narrowed));
        // A unit in the last place of every coefficient is nobody's fault; coders that work in the
        // precision of the samples get a few.
        let size = |values: &[T]| values.iter().map(|x| x.widen().abs()).sum::<f64>();
        let rounding = self.units * T::EPSILON * size(values).max(size(&naive.values));
        assert!(
            found <= 2.0 * expected + rounding,
            "{label}: error {found:e}, of the naive pursuit {expected:e}\n{support:?} {values:?}\n\
             naive {naive:?}\nexact {exact:?}"
        );
    }
}

/// A drawn problem in the precision `T`.
struct Problem<T> {
    seed: u64,
    kind: &'static str,
    sparsity: usize,
    atoms: Vec<Vec<T>>,
    samples: Vec<Vec<T>>,
    /// The same atoms in double precision.
    widened: Vec<Vec<f64>>,
}

/// The naive codes of all samples, in both precisions.
type Expected<T> = Vec<(Code<T>, Code<f64>)>;

impl<T: Scalar> Problem<T> {
    fn new(seed: u64, hard: &Hard) -> Self {
        let atoms = Hard::rounded::<T>(&hard.atoms);
        Self {
            seed,
            kind: hard.kind,
            sparsity: hard.sparsity.min(atoms.len()),
            samples: Hard::rounded::<T>(&hard.samples),
            widened: atoms.iter().map(|atom| widen(atom)).collect(),
            atoms,
        }
    }

    /// Whether some atoms are nearly combinations of others.
    fn is_dependent(&self) -> bool {
        ["massive", "parallel", "rank"].contains(&self.kind)
    }

    fn naive(
        &self,
        narrow: impl Fn(Atoms<'_, T>, &[T]) -> Code<T>,
        wide: impl Fn(Atoms<'_, f64>, &[f64]) -> Code<f64>,
    ) -> Expected<T> {
        let of = |y: &Vec<T>| {
            let narrow = narrow(Atoms(&self.atoms, T::EPSILON), y);
            (narrow, wide(Atoms(&self.widened, T::EPSILON), &widen(y)))
        };
        self.samples.iter().map(of).collect()
    }

    /// Compares codes with those expected; their supports, too, if a sign is given.
    fn compare(
        &self,
        coder: &str,
        expected: &Expected<T>,
        codes: &SparseCodes<T>,
        order: Option<Sign>,
    ) {
        let Self { seed, kind, sparsity, atoms, samples, .. } = self;
        let (dim, count, scalar) = (samples[0].len(), atoms.len(), T::NAME);
        for (i, (naive, exact)) in expected.iter().enumerate() {
            let label = format!(
                "seed {seed}, {kind} of {dim} × {count}, k {sparsity}, {scalar} {coder}, sample {i}"
            );
            let is_wider = order.is_some() && T::EPSILON > f64::EPSILON;
            let units = if is_wider { 1.1 } else { 4.0 };
            let comparison = Comparison { label, atoms, sample: &samples[i], naive, exact, units };
            if let Some(sign) = order {
                comparison.check_support(sign, codes.support(i), codes.values(i));
            }
            comparison.check_error(codes.support(i), codes.values(i));
        }
    }

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

fn widen<T: Scalar>(values: &[T]) -> Vec<f64> {
    values.iter().map(|x| x.widen()).collect()
}

const SIGNS: [Sign; 2] = [Sign::Signed, Sign::NonNegative];

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

/// Draws of each kind; `DBKSVD_DRAWS` asks for more.
fn draws(default: u64) -> u64 {
    std::env::var("DBKSVD_DRAWS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
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
