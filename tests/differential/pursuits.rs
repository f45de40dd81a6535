//! Samples on which digits run out: a baseline of any height, coefficients over ten decades, massive
//! coordinates, nearly parallel atoms, as many atoms as dimensions, dictionaries of low rank. Every
//! pursuit against the naive one, in both precisions.
//!
//! `DBKSVD_DRAWS` asks for more draws than the tests make by themselves; a failure says its seed.

use dbksvd::backend::Faer;
use dbksvd::coder::{BatchOmp, Omp, Selection, SparseCoder};
use dbksvd::faer::Mat;
use dbksvd::{Dictionary, Scalar, Sign};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use crate::oracle::{Atoms, Code};
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
                        add(&mut sample, sign * size, &dictionary[rng.random_range(0..dim)]);
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
                sparsity = most;
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

/// What is compared.
struct Comparison<'a, T> {
    label: String,
    atoms: &'a [Vec<T>],
    sample: &'a [T],
    /// The naive pursuit in the same precision, and in double precision.
    naive: &'a Code<T>,
    exact: &'a Code<f64>,
}

/// A lead of less than this, relative to the best score, is a tie.
const TIE: f64 = 1e-4;

/// ‖r‖/‖y‖ below which supports are not compared.
const LITTLE: f64 = 1e-5;

impl<T: Scalar> Comparison<'_, T> {
    fn check(&self, sign: Sign, support: &[u32], values: &[T]) {
        let Self { label, atoms, sample, naive, exact } = self;
        let found = error(atoms, sample, support, values);
        // Where rounding leads the naive pursuit to other atoms, they may be better ones by chance.
        let narrowed: Vec<T> = exact.values.iter().map(|&x| T::narrow(x)).collect();
        let expected = error(atoms, sample, &naive.support, &naive.values).max(error(
            atoms,
            sample,
            &exact.support,
            &narrowed,
        ));
        let describe =
            || format!("{label}: {support:?} {values:?}\nnaive {naive:?}\nexact {exact:?}");
        // The atoms that are beyond dispute.
        let clear = exact.steps.iter().take_while(|step| step.lead >= TIE && step.left >= LITTLE);
        let clear: Vec<u32> = clear.map(|step| step.atom).collect();
        let is_clear = clear.len() == exact.steps.len();
        match sign {
            Sign::Signed => assert!(support.starts_with(&clear), "{}", describe()),
            Sign::NonNegative if is_clear => assert_eq!(support, exact.support, "{}", describe()),
            Sign::NonNegative => {}
        }
        // Beyond a tie, another code may be as good by the rule and have another error.
        let tie = exact.steps.iter().any(|step| step.lead < TIE && step.left >= LITTLE);
        // A unit in the last place of every coefficient is nobody's fault.
        let size = |values: &[T]| values.iter().map(|x| x.widen().abs()).sum::<f64>();
        let rounding = T::EPSILON * size(values).max(size(&naive.values));
        assert!(
            tie || found <= 2.0 * expected + rounding,
            "error {found:e}, of the naive pursuit {expected:e}, {}",
            describe()
        );
    }
}

fn check<T: Scalar>(seed: u64, dim: usize, atoms: usize) {
    let hard = Hard::draw(seed, dim, atoms);
    let columns = Hard::rounded::<T>(&hard.atoms);
    let samples = Hard::rounded::<T>(&hard.samples);
    let (dictionary, y) = (matrix(&columns), matrix(&samples));
    let widened: Vec<Vec<f64>> =
        columns.iter().map(|atom| atom.iter().map(|d| d.widen()).collect()).collect();
    let quantised = 2 * atoms * (atoms.next_multiple_of(128) + 32);
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        for sign in [Sign::Signed, Sign::NonNegative] {
            let k = hard.sparsity.min(atoms);
            let naive: Vec<(Code<T>, Code<f64>)> = samples
                .iter()
                .map(|y| {
                    let exact: Vec<f64> = y.iter().map(|y| y.widen()).collect();
                    (
                        Atoms(&columns, T::EPSILON).pursue(y, k, selection, sign),
                        Atoms(&widened, T::EPSILON).pursue(&exact, k, selection, sign),
                    )
                })
                .collect();
            let compare = |name: &str, coder: &dyn Fn() -> dbksvd::SparseCodes<T>| {
                let codes = coder();
                for (i, (naive, exact)) in naive.iter().enumerate() {
                    let label = format!(
                        "seed {seed}, {} of {dim} × {atoms}, k {k}, {} {name} {selection:?} {sign:?}, sample {i}",
                        hard.kind,
                        T::NAME
                    );
                    let compared =
                        Comparison { label, atoms: &columns, sample: &samples[i], naive, exact };
                    compared.check(sign, codes.support(i), codes.values(i));
                }
            };
            let omp = Omp::new().selection(selection);
            compare("Omp", &|| code(omp, &dictionary, &y, k, sign));
            let batch = BatchOmp::new().selection(selection);
            for limit in [usize::MAX, quantised, 0] {
                let batch = batch.gram_limit(limit);
                compare(&format!("BatchOmp({limit})"), &|| code(batch, &dictionary, &y, k, sign));
            }
        }
    }
}

fn code<T: Scalar, C: SparseCoder<Faer<T>>>(
    coder: C,
    dictionary: &Mat<T>,
    y: &Mat<T>,
    k: usize,
    sign: Sign,
) -> dbksvd::SparseCodes<T>
where
    Faer<T>: dbksvd::backend::HostBackend<Scalar = T> + Default,
{
    let _ = Dictionary::new(dictionary.clone()).expect("unit atoms");
    encode::<Faer<T>, C>(coder, dictionary, y.as_ref(), k, sign)
}

fn draws(default: u64) -> u64 {
    std::env::var("DBKSVD_DRAWS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn check_all<T: Scalar>(first: u64, draws: u64, shapes: &[(usize, usize)]) {
    for seed in first..first + draws {
        let (dim, atoms) = shapes[(seed / 7) as usize % shapes.len()];
        check::<T>(seed, dim, atoms);
    }
}

/// Dimensions and atoms of small and large dictionaries: the latter take the 16-bit product.
const SMALL: [(usize, usize); 5] = [(6, 10), (16, 40), (33, 96), (64, 256), (12, 300)];
const LARGE: [(usize, usize); 1] = [(200, 320)];

#[test]
fn small_dictionaries_in_single_precision() {
    check_all::<f32>(0, draws(140), &SMALL);
}

#[test]
fn small_dictionaries_in_double_precision() {
    check_all::<f64>(0, draws(140), &SMALL);
}

#[test]
fn large_dictionaries() {
    check_all::<f32>(0, draws(140) / 10, &LARGE);
}
