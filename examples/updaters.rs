//! The updaters at equal time, on the shipped embeddings.
//!
//! ```text
//! cargo run --release --example updaters
//! ```
//! learns 1,024 atoms with k = 16 from the first 7,168 rows of
//! `data/minilm_l3_8192_f16.safetensors` by every updater, and prints the error on the last 1,024.
//! Each gets the time that K-SVD with the defaults takes for its epochs: the time of an epoch is
//! measured beside that of K-SVD's, and as many epochs planned as fit, so that schedules run to
//! their end. Two more tables are in equal epochs: bounds on coherence, and how much online
//! learning forgets. `docs/updaters.md` has a run of it.

#[path = "common/embeddings.rs"]
mod embeddings;
#[path = "common/machine.rs"]
mod machine;
#[path = "common/options.rs"]
mod options;
#[path = "common/program.rs"]
mod program;

use std::process::ExitCode;

use dbksvd::coder::BatchOmp;
use dbksvd::faer::MatRef;
use dbksvd::learn::Builder;
use dbksvd::metrics::{Coherence, reconstruction};
use dbksvd::updater::{DictionaryUpdater, Forgetting, Incoherent, KSvd, LeadingPair, Mod, Online};
use dbksvd::{DbKsvd, Faer, Model};
use embeddings::{HELD_OUT, embeddings};
use options::Options;
use program::Outcome;

const HELP: &str = "\
Learns the shipped embeddings by every updater, in equal time, and prints a table.

Usage: cargo run --release --example updaters -- [OPTIONS]

  --atoms M           size of the dictionary [1024]
  --sparsity K        most atoms a row [16]
  --epochs E          epochs of K-SVD with the defaults, whose time all others get [20]
  --seeds S           runs of each, by the seeds 0 to S - 1 [3]
  --threads T         threads [all cores]
  --help              this text
";

/// Epochs by which the seconds of one are judged, and how often.
const EPOCHS_OF_TRIAL: usize = 2;
const TRIALS: u64 = 5;

type Setup<U> = Builder<Faer<f32>, BatchOmp, U>;

struct Arguments {
    atoms: usize,
    sparsity: usize,
    epochs: usize,
    seeds: u64,
    threads: usize,
}

fn main() -> ExitCode {
    program::run(arguments, HELP, run)
}

fn run(arguments: Arguments) -> Outcome<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    pool.install(|| compare(&arguments))
}

/// What updaters have in equal measure.
#[derive(PartialEq)]
enum Equal {
    Time,
    Epochs,
}

/// What is learned from, and what the results are measured on.
struct Comparison<'a> {
    arguments: &'a Arguments,
    train: MatRef<'a, f32>,
    held_out: MatRef<'a, f32>,
    equal: Equal,
}

fn compare(arguments: &Arguments) -> Outcome<()> {
    let samples = embeddings()?;
    let (train, held_out) = samples.as_ref().split_at_col(samples.ncols() - HELD_OUT);
    let Arguments { atoms, sparsity, seeds, .. } = arguments;
    machine::check::<f32>(train.nrows(), *atoms, *sparsity, train.ncols())?;
    println!("MiniLM: d {}, m {atoms}, k {sparsity}, N {}", train.nrows(), train.ncols());
    println!(
        "means of {seeds} seeds, least to most; time of an epoch: that of `KSvd::new()` is 1, {} threads\n",
        rayon::current_num_threads()
    );
    Comparison::head();
    let all = Some(train.ncols());
    let one_step = KSvd::textbook().leading_pair(LeadingPair::Power { iterations: 1 });
    let mut table = Comparison { arguments, train, held_out, equal: Equal::Time };
    table.row("`KSvd::new()`", None, KSvd::new())?;
    table.row("`KSvd::new()`, pair by 3 power steps", None, three_steps())?;
    table.row("`KSvd::textbook()`, pair by 1 power step", all, one_step)?;
    table.row("`KSvd::textbook()`: the exact pair", all, KSvd::textbook())?;
    table.row("`Mod::textbook()`", all, Mod::textbook())?;
    table.row("`Mod::new().ridge(0.01)`", all, Mod::new().ridge(0.01))?;
    table.row("`Mod::new()`", None, Mod::new())?;
    table.row("`Online::new()`", None, Online::new())?;
    table.row("`Online::new()`", Some(896), Online::new())?;
    table.row("`Online::new()`", Some(256), Online::new())?;
    for bound in [0.8, 0.6, 0.4] {
        table.bounded(bound)?;
    }
    println!("\nIn equal epochs, by the bound on coherence:\n");
    Comparison::head();
    table.equal = Equal::Epochs;
    for bound in [0.8, 0.6, 0.4, 0.3] {
        table.bounded(bound)?;
    }
    println!("\nIn equal epochs, by how much online learning forgets:\n");
    Comparison::head();
    for exponent in [0.0, 2.0, 8.0, 16.0, 24.0, 40.0, 64.0] {
        let online = Online::new().forgetting(Forgetting::Power { exponent });
        table.row(&format!("`Power {{ exponent: {exponent} }}`"), None, online)?;
    }
    for retention in [0.8, 0.9] {
        let online = Online::new().forgetting(Forgetting::Retention { retention });
        table.row(&format!("`Retention {{ retention: {retention} }}`"), None, online)?;
    }
    Ok(())
}

fn three_steps() -> KSvd {
    KSvd::new().leading_pair(LeadingPair::Power { iterations: 3 })
}

impl Comparison<'_> {
    fn head() {
        println!(
            "| updater | samples a step | time of an epoch | epochs | held-out FVU | learned-from FVU | coherence |"
        );
        println!("|---|---|---|---|---|---|---|");
    }

    /// Learns with every seed, and prints a row.
    fn row<U>(&self, name: &str, minibatch: Option<usize>, updater: U) -> Outcome<()>
    where
        U: DictionaryUpdater<Faer<f32>> + Copy,
    {
        let Arguments { atoms, sparsity, epochs, seeds, .. } = *self.arguments;
        let setup = move |seed: u64, epochs: usize| {
            let builder = DbKsvd::builder(atoms, sparsity).updater(updater);
            let builder = builder.seed(seed).epochs(epochs);
            minibatch.map_or(builder.clone(), |samples| builder.minibatch(samples))
        };
        let pace = self.pace(setup)?;
        let epochs = match self.equal {
            Equal::Epochs => epochs,
            Equal::Time => ((epochs as f64 / pace).round() as usize).max(1),
        };
        let (mut held_out, mut learned, mut coherence) = (vec![], vec![], vec![]);
        for seed in 0..seeds {
            let (model, _) = self.learn(setup(seed, epochs))?;
            held_out.push(error(&model, self.held_out)?);
            learned.push(error(&model, self.train)?);
            coherence.push(Coherence::new(model.dictionary()).coherence());
        }
        let step = setup(0, 1).build()?.minibatch(self.train.ncols());
        println!(
            "| {name} | {step} | {pace:.2} | {epochs} | {} | {:.4} | {:.2} |",
            with_range(&held_out),
            mean(&learned),
            mean(&coherence)
        );
        Ok(())
    }

    /// K-SVD with a bound on coherence.
    fn bounded(&self, bound: f64) -> Outcome<()> {
        let name = format!("`Incoherent::new(KSvd::new(), {bound})`");
        self.row(&name, None, Incoherent::new(KSvd::new(), bound))
    }

    /// The time of an epoch over that of K-SVD's with the defaults: of the least of a few trials
    /// each, which alternate, since other work on the machine only adds to them.
    fn pace<U>(&self, setup: impl Fn(u64, usize) -> Setup<U>) -> Outcome<f64>
    where
        U: DictionaryUpdater<Faer<f32>>,
    {
        let Arguments { atoms, sparsity, .. } = *self.arguments;
        let (mut own, mut other) = (f64::INFINITY, f64::INFINITY);
        for seed in 0..TRIALS {
            let standard = DbKsvd::builder(atoms, sparsity).seed(seed).epochs(EPOCHS_OF_TRIAL);
            other = other.min(self.learn(standard)?.1);
            own = own.min(self.learn(setup(seed, EPOCHS_OF_TRIAL))?.1);
        }
        Ok(own / other)
    }

    /// The model, and the seconds that it took.
    fn learn<U>(&self, setup: Setup<U>) -> Outcome<(Model<f32>, f64)>
    where
        U: DictionaryUpdater<Faer<f32>>,
    {
        let (model, report) = setup.build()?.fit(&self.train)?;
        Ok((model, report.seconds.total))
    }
}

/// The error of `samples`, coded by OMP.
fn error(model: &Model<f32>, samples: MatRef<'_, f32>) -> Outcome<f64> {
    let codes = model.encode(&BatchOmp::new(), samples)?;
    Ok(reconstruction(model, samples, &codes)?.fvu())
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn with_range(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("{:.4} ({least:.4} to {most:.4})", mean(values))
}

/// The command line; `None` if it asks for help.
fn arguments() -> Outcome<Option<Arguments>> {
    let mut arguments = Arguments { atoms: 1024, sparsity: 16, epochs: 20, seeds: 3, threads: 0 };
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "atoms" => arguments.atoms = options.whole(1)?,
            "sparsity" => arguments.sparsity = options.whole(1)?,
            "epochs" => arguments.epochs = options.whole(1)?,
            "seeds" => arguments.seeds = options.whole(1)?,
            "threads" => arguments.threads = options.threads()?,
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    Ok(Some(arguments))
}
