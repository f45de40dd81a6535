//! Samples on which digits run out: a baseline of any height, coefficients over ten decades,
//! massive coordinates, nearly parallel atoms, as many atoms as dimensions, dictionaries of low
//! rank. What a code of them is compared with is the naive pursuit, in both precisions.

use dbksvd::faer::Mat;
use dbksvd::{Scalar, Sign, SparseCodes};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::oracle::{Atoms, Code, Step};

/// A dictionary with samples that are hard to code on it.
pub struct Hard {
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
    pub fn smallest(seed: u64) -> Self {
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
    pub fn draw(seed: u64, dim: usize, atoms: usize) -> Self {
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

pub fn matrix<T: Scalar>(columns: &[Vec<T>]) -> Mat<T> {
    Mat::from_fn(columns[0].len(), columns.len(), |i, j| columns[j][i])
}

/// ‖y − D x‖ in double precision.
pub fn error<T: Scalar>(atoms: &[Vec<T>], y: &[T], support: &[u32], values: &[T]) -> f64 {
    let mut r: Vec<f64> = y.iter().map(|y| y.widen()).collect();
    for (&atom, value) in support.iter().zip(values) {
        let atom = &atoms[atom as usize];
        r.iter_mut().zip(atom).for_each(|(r, d)| *r -= value.widen() * d.widen());
    }
    r.iter().map(|r| r * r).sum::<f64>().sqrt()
}

/// The atoms of a code whose coefficients are more than `unit` of the largest: of an atom that
/// leaves a non-negative code, rounding may leave a coefficient of either sign.
pub fn without_rounding<T: Scalar>(support: &[u32], values: &[T], unit: f64) -> Vec<u32> {
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
pub const TIE: f64 = 1e-4;

/// ‖r‖/‖y‖ below which supports are not compared.
pub const LITTLE: f64 = 1e-5;

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
pub struct Problem<T> {
    pub seed: u64,
    pub kind: &'static str,
    pub sparsity: usize,
    pub atoms: Vec<Vec<T>>,
    pub samples: Vec<Vec<T>>,
    /// The same atoms in double precision.
    pub widened: Vec<Vec<f64>>,
}

/// The naive codes of all samples, in both precisions.
pub type Expected<T> = Vec<(Code<T>, Code<f64>)>;

impl<T: Scalar> Problem<T> {
    pub fn new(seed: u64, hard: &Hard) -> Self {
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
    pub fn is_dependent(&self) -> bool {
        ["massive", "parallel", "rank"].contains(&self.kind)
    }

    pub fn naive(
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
    pub fn compare(
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
}

pub fn widen<T: Scalar>(values: &[T]) -> Vec<f64> {
    values.iter().map(|x| x.widen()).collect()
}

pub const SIGNS: [Sign; 2] = [Sign::Signed, Sign::NonNegative];

/// Draws of each kind; `DBKSVD_DRAWS` asks for more.
pub fn draws(default: u64) -> u64 {
    std::env::var("DBKSVD_DRAWS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
