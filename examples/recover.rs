//! Plants a dictionary, learns one from noisy samples of it, and says after every epoch how much
//! of the planted one has been found.
//!
//! ```text
//! cargo run --release --example recover
//! ```
//! An atom counts as recovered if its partner in the best one-to-one matching has |cos| > 0.99.
//! Learning gets nothing but the samples, the number of atoms and the sparsity. It goes minibatch
//! by minibatch through a [`Session`](dbksvd::learn::Session), whose model can be looked at midway.

use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};

use dbksvd::faer::{Mat, MatRef};
use dbksvd::learn::StepReport;
use dbksvd::metrics::{RECOVERED, Recovery};
use dbksvd::source::{EpochPlan, SampleSource};
use dbksvd::synthetic::{Kind, Planted, PlantedData};
use dbksvd::{DbKsvd, Sign};
use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
Plants a dictionary, learns one from noisy samples of it, and prints how much was found.

Usage: cargo run --release --example recover -- [OPTIONS]

The problem:
  --dim D             dimension of a sample [128]
  --atoms M           atoms, planted and learned [512]
  --sparsity K        atoms in a sample [8]
  --samples N         samples [20000]
  --noise R           norm of the noise over norm of the signal [0.05]
  --kind KIND         planted: independent atoms; correlated: coherent ones [planted]
  --non-negative      coefficients are positive, and known to be

Learning:
  --epochs E          passes over the samples [10]
  --minibatch B       samples a step [max(2M, 30M/K), the library's default]
  --seed S            all randomness, of the problem and of learning [0]
  --threads T         threads; the result does not depend on it [all cores]
  --help              this text
";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

struct Arguments {
    dim: usize,
    atoms: usize,
    sparsity: usize,
    samples: usize,
    noise: f64,
    kind: Kind,
    sign: Sign,
    epochs: usize,
    minibatch: Option<usize>,
    seed: u64,
    threads: usize,
}

fn main() -> ExitCode {
    match arguments().and_then(|arguments| arguments.map_or_else(help, run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> Outcome<()> {
    Ok(std::io::stdout().write_all(HELP.as_bytes())?)
}

fn run(arguments: Arguments) -> Outcome<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    pool.install(|| recover(&arguments))
}

/// Generates, learns, and prints a row of the table after every epoch.
fn recover(arguments: &Arguments) -> Outcome<()> {
    let &Arguments { dim, atoms, sparsity, samples, noise, kind, sign, epochs, .. } = arguments;
    let seed = arguments.seed;
    let problem = Planted::new(dim, atoms, sparsity, samples);
    let data = problem.noise(noise).kind(kind).sign(sign).seed(seed).generate::<f32>()?;

    let learner = DbKsvd::builder(atoms, sparsity).sign(sign).seed(seed).build()?;
    // What `fit` takes when not told otherwise; a session has no say in it.
    let minibatch = arguments.minibatch.unwrap_or((2 * atoms).max(30 * atoms / sparsity));
    let plan = |epoch| EpochPlan::new(samples, minibatch, 1, seed, epoch as u64);
    let steps = plan(1).steps();
    let mut session = learner.session(dim, (epochs * steps).max(1) as u64)?;

    let mut out = std::io::stdout().lock();
    writeln!(out, "{samples} samples of dimension {dim}: {sparsity} of {atoms} atoms each,")?;
    writeln!(out, "{:.0}% noise; {steps} steps an epoch\n", 100.0 * noise)?;
    writeln!(out, "epoch       FVU  recovered     MCC  seconds")?;
    let mut learning = Duration::ZERO;
    let mut last = None;
    for epoch in 1..=epochs {
        let (plan, mut fvu) = (plan(epoch), 0.0);
        for step in 0..plan.steps() {
            let minibatch = gather(&data.samples, plan.ranges(step))?;
            let start = Instant::now();
            let StepReport { samples: size, fvu: of_step, .. } =
                session.step(minibatch.as_ref())?;
            learning += start.elapsed();
            fvu += of_step * size as f64 / samples as f64;
        }
        let Some(model) = session.model()? else { break };
        let recovery = Recovery::new(model.dictionary(), &data.dictionary)?;
        let (recovered, mcc) = (100.0 * recovery.recovered(RECOVERED), recovery.mcc());
        let seconds = learning.as_secs_f64();
        writeln!(out, "{epoch:5}  {fvu:8.5}    {recovered:6.2}%  {mcc:.4}  {seconds:7.2}")?;
        last = Some(recovered);
    }
    let floor = floor(&data, noise);
    writeln!(out, "\nThe planted dictionary and codes leave an FVU of {floor:.5}: the noise.")?;
    if let Some(recovered) = last {
        let seconds = learning.as_secs_f64();
        writeln!(out, "Recovered {recovered:.2}% of {atoms} atoms in {seconds:.1} s of learning.")?;
    }
    Ok(())
}

/// The samples of `ranges`, side by side.
fn gather(samples: &Mat<f32>, ranges: impl Iterator<Item = Range<usize>>) -> Outcome<Mat<f32>> {
    let dim = samples.nrows();
    let mut values = Vec::new();
    for range in ranges {
        let at = values.len();
        values.resize(at + range.len() * dim, 0.0);
        samples.read(range, &mut values[at..])?;
    }
    Ok(MatRef::from_column_major_slice(&values, dim, values.len() / dim).to_owned())
}

/// Σ‖noise‖² / Σ‖y − ȳ‖², of which Σ‖noise‖² is known in expectation: noise² / (1 + noise²) Σ‖y‖².
fn floor(data: &PlantedData<f32>, noise: f64) -> f64 {
    let (dim, samples) = data.samples.shape();
    let mut energy = 0.0;
    let mut sum = vec![0.0; dim];
    for i in 0..samples {
        for (sum, &value) in sum.iter_mut().zip(data.samples.col_as_slice(i)) {
            *sum += f64::from(value);
            energy += f64::from(value).powi(2);
        }
    }
    let of_mean = sum.iter().map(|sum| sum * sum).sum::<f64>() / samples as f64;
    noise * noise / (1.0 + noise * noise) * energy / (energy - of_mean)
}

/// The command line; `None` if it asks for help.
fn arguments() -> Outcome<Option<Arguments>> {
    let mut arguments = Arguments {
        dim: 128,
        atoms: 512,
        sparsity: 8,
        samples: 20_000,
        noise: 0.05,
        kind: Kind::Planted,
        sign: Sign::Signed,
        epochs: 10,
        minibatch: None,
        seed: 0,
        threads: 0,
    };
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("dim") => arguments.dim = value(&mut parser, "dim")?,
            Arg::Long("atoms") => arguments.atoms = value(&mut parser, "atoms")?,
            Arg::Long("sparsity") => arguments.sparsity = value(&mut parser, "sparsity")?,
            Arg::Long("samples") => arguments.samples = value(&mut parser, "samples")?,
            Arg::Long("noise") => arguments.noise = value(&mut parser, "noise")?,
            Arg::Long("epochs") => arguments.epochs = value(&mut parser, "epochs")?,
            Arg::Long("minibatch") => arguments.minibatch = Some(value(&mut parser, "minibatch")?),
            Arg::Long("seed") => arguments.seed = value(&mut parser, "seed")?,
            Arg::Long("threads") => arguments.threads = value(&mut parser, "threads")?,
            Arg::Long("non-negative") => arguments.sign = Sign::NonNegative,
            Arg::Long("kind") => {
                arguments.kind = match value::<String>(&mut parser, "kind")?.as_str() {
                    "planted" => Kind::Planted,
                    "correlated" => Kind::Correlated,
                    other => return Err(format!("--kind {other}: planted or correlated").into()),
                }
            }
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            _ => return Err(format!("{}; see --help", argument.unexpected()).into()),
        }
    }
    if arguments.minibatch == Some(0) {
        return Err("--minibatch 0: at least 1".into());
    }
    Ok(Some(arguments))
}

/// The value of an option, or an error that names the option.
fn value<T: FromStr<Err: Display>>(parser: &mut Parser, option: &str) -> Outcome<T> {
    let text = parser.value()?.string()?;
    text.parse().map_err(|error| format!("--{option} {text}: {error}").into())
}
