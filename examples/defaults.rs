//! How the defaults were chosen: each parameter varied by itself, on the shipped embeddings.
//!
//! ```text
//! cargo run --release --example defaults
//! ```
//! learns 1,024 atoms with k = 16 from the first 7,168 rows of
//! `data/minilm_l3_8192_f16.safetensors` with three seeds, and prints the error on the last 1,024.
//! `docs/defaults.md` has a run of it.

#[path = "common/embeddings.rs"]
mod embeddings;
#[path = "common/program.rs"]
mod program;

use std::process::ExitCode;

use dbksvd::coder::{BatchOmp, Selection};
use dbksvd::faer::MatRef;
use dbksvd::learn::Builder;
use dbksvd::metrics::reconstruction;
use dbksvd::updater::{KSvd, LeadingPair, Memory};
use dbksvd::{DbKsvd, Initialisation, Sign};
use embeddings::{HELD_OUT, embeddings};
use program::Outcome;

const ATOMS: usize = 1024;
const SPARSITY: usize = 16;
const SEEDS: u64 = 3;

const HELP: &str = "\
Varies each default parameter by itself on the shipped embeddings, and prints the errors. Takes some
minutes.

Usage: cargo run --release --example defaults
";

type Setup = Builder<dbksvd::Faer<f32>, BatchOmp, KSvd>;

/// A setting: what it is called, and what it changes in the defaults.
type Variant = (&'static str, fn(Setup) -> Setup);

const VARIANTS: &[Variant] = &[
    ("defaults", |setup| setup),
    ("5 epochs", |setup| setup.epochs(5)),
    ("10 epochs", |setup| setup.epochs(10)),
    ("40 epochs", |setup| setup.epochs(40)),
    ("minibatch 512", |setup| setup.minibatch(512)),
    ("minibatch 1,024", |setup| setup.minibatch(1024)),
    ("minibatch 3,584", |setup| setup.minibatch(3584)),
    ("minibatch 7,168 (all)", |setup| setup.minibatch(7168)),
    ("no memory", |setup| setup.updater(KSvd::new().memory(None))),
    ("memory from 0 to 0.8, 0.9", |setup| setup.updater(memory(0.0, 0.8, 0.9))),
    ("memory from 0.4 to 0.8, 0.95", |setup| setup.updater(memory(0.4, 0.8, 0.95))),
    ("1 sweep", |setup| setup.updater(KSvd::new().sweeps(1))),
    ("3 sweeps", |setup| setup.updater(KSvd::new().sweeps(3))),
    ("3 power steps", |setup| {
        setup.updater(KSvd::new().leading_pair(LeadingPair::Power { iterations: 3 }))
    }),
    ("atom batch 1", |setup| setup.updater(KSvd::new().atom_batch(1))),
    ("atom batch 256", |setup| setup.updater(KSvd::new().atom_batch(256))),
    ("atom batch 1,024 (all)", |setup| setup.updater(KSvd::new().atom_batch(1024))),
    ("no renewal", |setup| setup.updater(KSvd::new().renewal(None))),
    ("Gaussian start", |setup| setup.initialisation(Initialisation::Gaussian)),
    ("centred", |setup| setup.center(true)),
    ("non-negative", |setup| setup.sign(Sign::NonNegative)),
    ("orthogonal least squares", |setup| {
        setup.coder(BatchOmp::new().selection(Selection::LeastSquares))
    }),
    ("full batch, 1 sweep, no memory, no renewal", |setup| {
        setup.minibatch(7168).updater(KSvd::new().sweeps(1).memory(None).renewal(None))
    }),
];

fn memory(start: f64, full: f64, retention: f64) -> KSvd {
    KSvd::new().memory(Some(Memory { start, full, retention }))
}

fn main() -> ExitCode {
    program::run_without_options(HELP, compare)
}

fn compare() -> Outcome<()> {
    let samples = embeddings()?;
    let (train, held_out) = samples.as_ref().split_at_col(samples.ncols() - HELD_OUT);
    println!("| setting | held-out FVU, mean of {SEEDS} seeds | least to most | seconds |");
    println!("|---|---|---|---|");
    for (name, change) in VARIANTS {
        let mut errors = Vec::new();
        let mut seconds = 0.0;
        for seed in 0..SEEDS {
            let setup = change(DbKsvd::builder(ATOMS, SPARSITY).seed(seed));
            let (error, took) = learn(setup, train, held_out)?;
            errors.push(error);
            seconds += took / SEEDS as f64;
        }
        let mean = errors.iter().sum::<f64>() / SEEDS as f64;
        errors.sort_by(f64::total_cmp);
        let (least, most) = (errors[0], errors[errors.len() - 1]);
        println!("| {name} | {mean:.4} | {least:.4} to {most:.4} | {seconds:.1} |");
    }
    Ok(())
}

/// The error on `held_out`, coded by the coder's default rule, and the seconds of learning.
fn learn(setup: Setup, train: MatRef<'_, f32>, held_out: MatRef<'_, f32>) -> Outcome<(f64, f64)> {
    let (model, report) = setup.build()?.fit(&train)?;
    let codes = model.encode(&BatchOmp::new(), held_out)?;
    Ok((reconstruction(&model, held_out, &codes)?.fvu(), report.seconds.total))
}
