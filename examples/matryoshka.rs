//! Nested groups of atoms on the shipped embeddings: what a dictionary costs whose prefixes can be
//! used by themselves.
//!
//! ```text
//! cargo run --release --example matryoshka       # or: -- 256, for a first group of 256 atoms
//! ```
//! learns 1,024 atoms in groups of 64, 64, 128, 256 and 512, with k = 16 in all, from the first
//! 7,168 rows of `data/minilm_l3_8192_f16.safetensors`, and prints the error on the last 1,024 of
//! every prefix of groups, beside that of a plain dictionary of that size and budget.
//! `docs/updaters.md` has a run of it.

#[path = "common/embeddings.rs"]
mod embeddings;
#[path = "common/options.rs"]
mod options;
#[path = "common/program.rs"]
mod program;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use dbksvd::coder::{BatchOmp, Matryoshka, SparseCoder};
use dbksvd::faer::MatRef;
use dbksvd::learn::Builder;
use dbksvd::metrics::reconstruction;
use dbksvd::updater::{DictionaryUpdater, MatryoshkaUpdates};
use dbksvd::{DbKsvd, Faer, Groups, Model};
use embeddings::{HELD_OUT, embeddings};
use options::Options;
use program::Outcome;

const ATOMS: usize = 1024;
const SPARSITY: usize = 16;

/// Atoms of the first group, unless the command line says otherwise.
const FIRST: usize = 64;
const EPOCHS: usize = 20;
const SEEDS: u64 = 3;

/// Runs of one epoch by which its time is judged; the least counts.
const TRIALS: u64 = 5;

const HELP: &str = "\
Learns the shipped embeddings in nested groups of atoms, and prints the error of every prefix of groups
beside that of a plain dictionary of that size.

Usage: cargo run --release --example matryoshka -- [FIRST]

  FIRST       atoms of the first group; others double it until there are 1,024 [64]
  --help      this text
";

/// Held-out errors of all prefixes.
type Errors = Vec<f64>;

fn main() -> ExitCode {
    program::run(first_group, HELP, |first| {
        // One thread, so that its processor time is the time that learning takes.
        rayon::ThreadPoolBuilder::new().num_threads(1).build()?.install(|| compare(first))
    })
}

/// Atoms of the first group; `None` if the command line asks for help.
fn first_group() -> Outcome<Option<usize>> {
    let Some(words) = Options::words()? else { return Ok(None) };
    let wrong = |found: &str| {
        format!("{found:?} is the first group, expected a whole number from 1 to {ATOMS}").into()
    };
    match words.as_slice() {
        [] => Ok(Some(FIRST)),
        [first] => match first.parse() {
            Ok(first) if (1..=ATOMS).contains(&first) => Ok(Some(first)),
            _ => Err(wrong(first)),
        },
        several => Err(wrong(&several.join(" "))),
    }
}

fn compare(first: usize) -> Outcome<()> {
    let samples = embeddings()?;
    let (train, held_out) = samples.as_ref().split_at_col(samples.ncols() - HELD_OUT);
    let groups = Groups::doubling(ATOMS, first);
    let budgets = groups.budgets_of(SPARSITY);
    let sum = |numbers: &[usize]| numbers.iter().sum::<usize>();
    let shapes: Vec<(usize, usize)> = (1..=groups.len())
        .map(|count| (sum(&groups.sizes()[..count]), sum(&budgets[..count])))
        .collect();
    println!("Groups of {:?} atoms with {budgets:?} nonzeros\n", groups.sizes());
    let heads: Vec<String> = shapes.iter().map(|(m, k)| format!(" m {m}, k {k} |")).collect();
    println!("| learned | time of an epoch | epochs |{}", heads.concat());
    println!("|---|---|---|{}", "---|".repeat(heads.len()));

    let plain = || DbKsvd::builder(ATOMS, SPARSITY);
    let nested = |recoding| {
        let groups = &groups;
        move || {
            let updater = MatryoshkaUpdates::new(groups.clone()).recoding(recoding);
            DbKsvd::builder(ATOMS, SPARSITY).matryoshka(groups.clone()).updater(updater)
        }
    };
    let coder_alone = || DbKsvd::builder(ATOMS, SPARSITY).coder(Matryoshka::new(groups.clone()));
    let prefixes = |model: &Model<f32>| -> Outcome<Errors> {
        let of_prefix = |count| {
            let coder = Matryoshka::new(groups.first(count));
            error(&groups.prefix_of(model, count)?, &coder, held_out)
        };
        (1..=groups.len()).map(of_prefix).collect()
    };

    // A plain dictionary for each size, learned and coded without regard to the others.
    let mut means = vec![0.0; shapes.len()];
    for seed in 0..SEEDS {
        for (mean, &(atoms, sparsity)) in means.iter_mut().zip(&shapes) {
            let learner = DbKsvd::builder(atoms, sparsity).seed(seed).epochs(EPOCHS).build()?;
            let (model, _) = learner.fit(&train)?;
            *mean += error(&model, &BatchOmp::new(), held_out)? / SEEDS as f64;
        }
    }
    row("each size by itself", None, EPOCHS, &means);
    let base = time_of_epoch(plain, train)?;
    let pace = time_of_epoch(nested(None), train)? / base;
    let means = learned(nested(None), EPOCHS, train, prefixes)?;
    row("in groups", Some(pace), EPOCHS, &means);
    let of_recoding = time_of_epoch(nested(Some(BatchOmp::new())), train)? / base;
    for epochs in [EPOCHS, ((EPOCHS as f64 * pace / of_recoding).round() as usize).max(1)] {
        let means = learned(nested(Some(BatchOmp::new())), epochs, train, prefixes)?;
        row("in groups, each coded anew", Some(of_recoding), epochs, &means);
    }
    let of_coder = time_of_epoch(coder_alone, train)? / base;
    let means = learned(coder_alone, EPOCHS, train, prefixes)?;
    row("coded in groups, updated as a whole", Some(of_coder), EPOCHS, &means);
    println!(
        "\nHeld-out FVU, means of {SEEDS} seeds; the time of an epoch of the plain learner is 1."
    );
    Ok(())
}

fn row(name: &str, pace: Option<f64>, epochs: usize, errors: &[f64]) {
    let pace = pace.map_or("".to_owned(), |pace| format!("{pace:.2}"));
    let errors: Vec<String> = errors.iter().map(|error| format!(" {error:.4} |")).collect();
    println!("| {name} | {pace} | {epochs} |{}", errors.concat());
}

/// The mean errors over seeds.
fn learned<C, U>(
    setup: impl Fn() -> Builder<Faer<f32>, C, U>,
    epochs: usize,
    train: MatRef<'_, f32>,
    errors: impl Fn(&Model<f32>) -> Outcome<Errors>,
) -> Outcome<Errors>
where
    C: SparseCoder<Faer<f32>>,
    U: DictionaryUpdater<Faer<f32>>,
{
    let mut means = Vec::new();
    for seed in 0..SEEDS {
        let (model, _) = setup().seed(seed).epochs(epochs).build()?.fit(&train)?;
        let errors = errors(&model)?;
        means.resize(errors.len(), 0.0);
        means.iter_mut().zip(errors).for_each(|(mean, error)| *mean += error / SEEDS as f64);
    }
    Ok(means)
}

/// Seconds of processor time, the least of a few trials.
fn time_of_epoch<C, U>(
    setup: impl Fn() -> Builder<Faer<f32>, C, U>,
    train: MatRef<'_, f32>,
) -> Outcome<f64>
where
    C: SparseCoder<Faer<f32>>,
    U: DictionaryUpdater<Faer<f32>>,
{
    let mut least = f64::INFINITY;
    for seed in 0..TRIALS {
        let learner = setup().seed(seed).epochs(1).build()?;
        let start = seconds();
        learner.fit(&train)?;
        least = least.min(seconds() - start);
    }
    Ok(least)
}

fn error<C>(model: &Model<f32>, coder: &C, samples: MatRef<'_, f32>) -> Outcome<f64>
where
    C: SparseCoder<Faer<f32>> + Clone,
{
    let codes = model.encode(coder, samples)?;
    Ok(reconstruction(model, samples, &codes)?.fvu())
}

/// Processor time of this thread where the system tells it (Linux), so that other programs matter
/// little; else the time of day.
fn seconds() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = spent.and_then(|spent| spent.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64()),
        |nanoseconds| 1e-9 * nanoseconds,
    )
}
