//! Plants a dictionary, learns one from noisy samples of it, and says after every epoch how much
//! of the planted one has been found.
//!
//! ```text
//! cargo run --release --example recover
//! ```
//! An atom counts as recovered if its partner in the best one-to-one matching has |cos| > 0.99.
//! Learning gets nothing but the samples, the number of atoms and the sparsity. An
//! [`Observer`] looks at the model after every epoch.

#[path = "common/machine.rs"]
mod machine;
#[path = "common/options.rs"]
mod options;
#[path = "common/program.rs"]
mod program;

use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;

use dbksvd::learn::{EpochReport, Observer, Snapshot};
use dbksvd::metrics::{RECOVERED, Recovery};
use dbksvd::synthetic::{Kind, Planted, PlantedData};
use dbksvd::updater::KSvd;
use dbksvd::{DbKsvd, Dictionary, Sign};
use options::Options;
use program::Outcome;

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
  --minibatch B       samples a step [the library's default]
  --atom-batch J      most atoms updated at a time [32]
  --seed S            all randomness, of the problem and of learning [0]
  --threads T         threads; the result does not depend on it [all cores]
  --help              this text
";

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
    atom_batch: Option<usize>,
    seed: u64,
    threads: usize,
}

fn main() -> ExitCode {
    program::run(arguments, HELP, run)
}

fn run(arguments: Arguments) -> Outcome<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    pool.install(|| recover(&arguments))
}

/// Generates, learns, and prints a row of the table after every epoch.
fn recover(arguments: &Arguments) -> Outcome<()> {
    let &Arguments { dim, atoms, sparsity, samples, noise, kind, sign, epochs, .. } = arguments;
    machine::check::<f32>(dim, atoms, sparsity, samples)?;
    let seed = arguments.seed;
    let problem = Planted::new(dim, atoms, sparsity, samples);
    let data = problem.noise(noise).kind(kind).sign(sign).seed(seed).generate::<f32>()?;

    let mut builder = DbKsvd::builder(atoms, sparsity).sign(sign).seed(seed).epochs(epochs);
    if let Some(minibatch) = arguments.minibatch {
        builder = builder.minibatch(minibatch);
    }
    if let Some(atoms) = arguments.atom_batch {
        builder = builder.updater(KSvd::new().atom_batch(atoms));
    }
    let learner = builder.build()?;
    let minibatch = learner.minibatch(samples);

    let mut out = std::io::stdout().lock();
    writeln!(out, "{samples} samples of dimension {dim}: {sparsity} of {atoms} atoms each,")?;
    writeln!(out, "{:.0}% noise; at most {minibatch} samples a step\n", 100.0 * noise)?;
    writeln!(out, "epoch       FVU  recovered     MCC  seconds")?;
    let mut table = Table { out: &mut out, truth: &data.dictionary, outcome: Ok(()), last: None };
    let (_, report) = learner.fit_with(&data.samples, &mut table)?;
    let Table { outcome, last, .. } = table;
    outcome?;
    let floor = floor(&data, noise);
    writeln!(out, "\nThe planted dictionary and codes leave an FVU of {floor:.5}: the noise.")?;
    if let Some(recovered) = last {
        let seconds = report.seconds.total;
        writeln!(out, "Recovered {recovered:.2}% of {atoms} atoms in {seconds:.1} s of learning.")?;
    }
    Ok(())
}

/// Prints a row after every epoch.
struct Table<'a, W> {
    out: W,
    truth: &'a Dictionary<f32>,
    /// What went wrong while printing; it ends the run.
    outcome: Outcome<()>,
    /// The share of atoms recovered by the last epoch, in per cent.
    last: Option<f64>,
}

impl<W: Write> Table<'_, W> {
    fn row(&mut self, epoch: &EpochReport, snapshot: &Snapshot<'_, f32>) -> Outcome<()> {
        let recovery = Recovery::new(snapshot.model()?.dictionary(), self.truth)?;
        let (recovered, mcc) = (100.0 * recovery.recovered(RECOVERED), recovery.mcc());
        let &EpochReport { epoch, fvu, elapsed, .. } = epoch;
        let out = &mut self.out;
        writeln!(out, "{epoch:5}  {fvu:8.5}    {recovered:6.2}%  {mcc:.4}  {elapsed:7.2}")?;
        self.last = Some(recovered);
        Ok(())
    }
}

impl<W: Write> Observer<f32> for Table<'_, W> {
    fn on_epoch(&mut self, epoch: &EpochReport, snapshot: &Snapshot<'_, f32>) -> ControlFlow<()> {
        self.outcome = self.row(epoch, snapshot);
        if self.outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }
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
        atom_batch: None,
        seed: 0,
        threads: 0,
    };
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "dim" => arguments.dim = options.whole(1)?,
            "atoms" => arguments.atoms = options.whole(1)?,
            "sparsity" => arguments.sparsity = options.whole(1)?,
            "samples" => arguments.samples = options.whole(1)?,
            "noise" => {
                let is_legal = |noise: &f64| noise.is_finite() && *noise >= 0.0;
                arguments.noise = options.number("a finite number, at least 0", is_legal)?;
            }
            "kind" => {
                let kinds = [("planted", Kind::Planted), ("correlated", Kind::Correlated)];
                arguments.kind = options.choice(&kinds)?;
            }
            "non-negative" => arguments.sign = Sign::NonNegative,
            "epochs" => arguments.epochs = options.whole(0)?,
            "minibatch" => arguments.minibatch = Some(options.whole(1)?),
            "atom-batch" => arguments.atom_batch = Some(options.whole(1)?),
            "seed" => arguments.seed = options.whole(0)?,
            "threads" => arguments.threads = options.threads()?,
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    Ok(Some(arguments))
}
