//! Compressed sensing: sparse signals are found from fewer measurements than they have entries.
//!
//! ```text
//! cargo run --release --example sensing
//! ```
//! A signal x of `--atoms` entries, of which all but `--sparsity` are zero, is measured as y = A x
//! by a random matrix A of `--measurements` rows whose columns have all kinds of norms. Orthogonal
//! matching pursuit finds x from A and y, in the scale of x. OMP finds k nonzeros with high
//! probability from about 2 k ln(m) Gaussian measurements (J. A. Tropp & A. C. Gilbert, "Signal
//! recovery from random measurements via orthogonal matching pursuit", IEEE Trans. Inf. Theory 53,
//! 2007; A. K. Fletcher & S. Rangan, IEEE Trans. Signal Process. 60, 2012).

#[path = "common/machine.rs"]
mod machine;
#[path = "common/options.rs"]
mod options;
#[path = "common/program.rs"]
mod program;

use std::io::Write;
use std::process::ExitCode;
use std::time::Instant;

use dbksvd::SparseCodes;
use dbksvd::coder::Tolerance;
use dbksvd::faer::Mat;
use dbksvd::pursuit::{Pursuit, omp, omp_gram};
use options::Options;
use program::Outcome;
use rand::seq::index::sample;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

const HELP: &str = "\
Finds sparse signals from fewer measurements than they have entries (compressed sensing).

Usage: cargo run --release --example sensing -- [OPTIONS]

  --atoms M         entries of a signal, columns of the measurement matrix [512]
  --measurements D  measurements of a signal, rows of the matrix [128]
  --sparsity K      nonzeros of a signal [8]
  --signals N       signals [200]
  --noise S         norm of the noise of measurements over that of the signal's measurements [0]
  --seed S          matrix and signals [0]
  --threads T       threads; the result does not depend on it [all cores]
  --help            this text
";

struct Arguments {
    atoms: usize,
    measurements: usize,
    sparsity: usize,
    signals: usize,
    noise: f64,
    seed: u64,
    threads: usize,
}

fn main() -> ExitCode {
    program::run(parse, HELP, run)
}

fn parse() -> Outcome<Option<Arguments>> {
    let mut arguments = Arguments {
        atoms: 512,
        measurements: 128,
        sparsity: 8,
        signals: 200,
        noise: 0.0,
        seed: 0,
        threads: 0,
    };
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "atoms" => arguments.atoms = options.whole(1)?,
            "measurements" => arguments.measurements = options.whole(1)?,
            "sparsity" => arguments.sparsity = options.whole(1)?,
            "signals" => arguments.signals = options.whole(1)?,
            "noise" => {
                let is_legal = |noise: &f64| (0.0..1.0).contains(noise);
                arguments.noise = options.number("at least 0 and below 1", is_legal)?;
            }
            "seed" => arguments.seed = options.whole(0)?,
            "threads" => arguments.threads = options.threads()?,
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    let most = arguments.atoms.min(arguments.measurements);
    if arguments.sparsity > most {
        let found = arguments.sparsity;
        return Err(format!("--sparsity is {found}, expected at most {most}").into());
    }
    Ok(Some(arguments))
}

fn run(arguments: Arguments) -> Outcome<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    pool.install(|| recover(&arguments))
}

fn recover(arguments: &Arguments) -> Outcome<()> {
    let Arguments { atoms, measurements, sparsity, signals, noise, .. } = *arguments;
    // The Gram matrix has as many rows as columns.
    machine::check::<f64>(measurements.max(atoms), atoms, sparsity, signals)?;
    let (matrix, planted, measured) = problem(arguments);
    let mut out = std::io::stdout().lock();
    writeln!(out, "{:34} signals found  error of x  seconds", "")?;
    let mut tell = |what: &str, codes: &SparseCodes<f64>, start: Instant| {
        let (found, error) = compare(codes, &planted);
        let seconds = start.elapsed().as_secs_f64();
        writeln!(out, "{what:34} {found:6} of {signals:<4}  {error:10.1e}  {seconds:7.3}")
    };
    let start = Instant::now();
    tell("k nonzeros", &omp(&matrix, &measured, sparsity)?, start)?;

    // Not even their number is known: what is left is noise.
    // A tolerance is a share of the measurements with their noise, the noise one of those without.
    let left = if noise > 0.0 { 1.1 * noise / noise.hypot(1.0) } else { 1e-9 };
    let start = Instant::now();
    tell("to a tolerance", &omp(&matrix, &measured, Tolerance::Relative(left))?, start)?;

    let start = Instant::now();
    let many = Pursuit::new(sparsity).through_gram(true).codes(&matrix, &measured)?;
    tell("k nonzeros, through AᵀA", &many, start)?;

    let (gram, products) = (matrix.transpose() * &matrix, matrix.transpose() * &measured);
    let start = Instant::now();
    tell("k nonzeros, given AᵀA and AᵀY", &omp_gram(&gram, &products, None, sparsity)?, start)?;

    let path = Pursuit::new(sparsity).path(&matrix, &measured)?;
    writeln!(out, "\nThe first signal: ‖y − Ax‖ with 0, 1, 2, … nonzeros")?;
    let norms: Vec<String> =
        path.residual_norms(0).iter().map(|norm| format!("{norm:.1e}")).collect();
    writeln!(out, "{}", norms.join("  "))?;
    Ok(())
}

/// The matrix (d × m), the signals, and their measurements (d × N).
fn problem(arguments: &Arguments) -> (Mat<f64>, SparseCodes<f64>, Mat<f64>) {
    let Arguments { atoms, measurements, sparsity, signals, noise, seed, .. } = *arguments;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut gaussian = move || -> f64 { StandardNormal.sample(&mut random) };
    let mut matrix = Mat::from_fn(measurements, atoms, |_, _| gaussian());
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ (1 << 63));
    for j in 0..atoms {
        let scale = 10.0_f64.powf(random.random_range(-1.0..1.0));
        matrix.col_mut(j).iter_mut().for_each(|entry| *entry *= scale);
    }
    let mut planted = SparseCodes::new(atoms, signals, sparsity);
    let mut measured = Mat::zeros(measurements, signals);
    for i in 0..signals {
        let support: Vec<u32> =
            sample(&mut random, atoms, sparsity).into_iter().map(|atom| atom as u32).collect();
        let mut value = |atom: &u32| {
            // Of about one size in the measurements, so that noise does not hide some of them.
            let size: f64 = random.random_range(1.0..2.0);
            let sign = if random.random::<bool>() { 1.0 } else { -1.0 };
            sign * size / matrix.col(*atom as usize).norm_l2()
        };
        let values: Vec<f64> = support.iter().map(&mut value).collect();
        for (&atom, value) in support.iter().zip(&values) {
            for r in 0..measurements {
                measured[(r, i)] += value * matrix[(r, atom as usize)];
            }
        }
        planted.set(i, &support, &values);
        let size = noise * measured.col(i).norm_l2() / (measurements as f64).sqrt();
        for r in 0..measurements {
            measured[(r, i)] += size * gaussian();
        }
    }
    (matrix, planted, measured)
}

/// How many signals have the planted nonzeros and no others, and the largest error of a coefficient
/// of these, relative to it.
fn compare(codes: &SparseCodes<f64>, planted: &SparseCodes<f64>) -> (usize, f64) {
    let (mut found, mut error) = (0, 0.0_f64);
    for ((support, values), (planted, truth)) in codes.iter().zip(planted.iter()) {
        let place = |atom: &u32| planted.iter().position(|other| other == atom);
        let places: Option<Vec<usize>> = support.iter().map(place).collect();
        if let Some(places) = places.filter(|places| places.len() == planted.len()) {
            found += 1;
            for (value, place) in values.iter().zip(places) {
                error = error.max((value / truth[place] - 1.0).abs());
            }
        }
    }
    (found, error)
}
