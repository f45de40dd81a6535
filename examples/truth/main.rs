//! Learns true features of a fresh draw of SynthSAEBench's generator, and measures how true they
//! are.
//!
//! `cargo run --release --example truth` takes seconds on the small generator;
//! `-- --features 16k --seeds 5` is the published one. `--help` lists the arguments.

mod arguments;
#[path = "../common/clock.rs"]
mod clock;
mod embeddings;
#[path = "../common/machine.rs"]
mod machine;
#[path = "../common/options.rs"]
mod options;
#[path = "../common/program.rs"]
mod program;
#[path = "../common/statistics.rs"]
mod statistics;
mod table;

use std::process::ExitCode;
use std::time::Instant;

use arguments::Arguments;
use dbksvd::coder::ThresholdPursuit;
use dbksvd::metrics::{Recovery, reconstruction};
use dbksvd::{DbKsvd, Error, SparseCodes};
use dbksvd_sae::metrics::Detection;
use dbksvd_sae::synthetic::FeatureData;
use program::Outcome;
use table::{Row, Table};

/// Most features that a sample is searched for.
const SPARSITY: usize = 48;

fn main() -> ExitCode {
    program::run(arguments::parse, arguments::HELP, truth)
}

fn truth(arguments: Arguments) -> Outcome<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    pool.install(|| match &arguments.data {
        Some(path) => embeddings::run(path, &arguments),
        None => generated(&arguments),
    })
}

/// A line for each seed, and one for all.
fn generated(arguments: &Arguments) -> Outcome<()> {
    let most = arguments.samples.max(arguments.evaluation);
    machine::check::<f32>(arguments.dim, arguments.atoms, SPARSITY, most)?;
    let mut table = Table::default();
    println!("{}", Table::heading());
    for seed in arguments.first_seed..arguments.first_seed + arguments.seeds {
        println!("{}", table.add(seed, run(arguments, seed)?));
    }
    println!("{table}");
    Ok(())
}

/// Draws features and samples, learns, and measures on samples that were not learned from.
fn run(arguments: &Arguments, seed: u64) -> Result<Row, Error> {
    let truth = arguments.recipe.seed(seed).build::<f32>()?;
    let samples = truth.draw(arguments.samples, 2 * seed)?.samples;
    let learner = DbKsvd::true_features(arguments.atoms, SPARSITY)
        .epochs(arguments.epochs)
        .seed(seed)
        .build()?;

    let (start, cpu) = (Instant::now(), clock::cpu_seconds());
    let (model, report) = learner.fit(&samples)?;
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = clock::cpu_seconds().zip(cpu).map(|(end, start)| end - start);

    let FeatureData { samples, codes } = truth.draw(arguments.evaluation, 2 * seed + 1)?;
    let longest = codes.offsets.windows(2).map(|row| row[1] - row[0]).max().unwrap_or(0);
    let features = truth.features();
    let true_codes = SparseCodes::from_csr_parts(features.atoms(), longest.max(1), &codes)?;
    let recovery = Recovery::new(model.dictionary(), features)?;
    let read = |coder: &ThresholdPursuit| {
        let found = model.encode(coder, samples.as_ref())?;
        let mut detection = Detection::new(&recovery);
        detection.add(&found, &true_codes)?;
        let quality = reconstruction(&model, samples.as_ref(), &found)?;
        Ok::<_, Error>((detection, quality))
    };
    if arguments.sweep {
        println!("  τ and least coefficient, in units of the noise: F1, EV, L0");
        for factor in [3.0, 3.5, 4.0, 4.5, 5.0, 6.0] {
            let (threshold, least) = (factor * report.noise, 1.1875 * factor * report.noise);
            let coder = ThresholdPursuit::new(threshold).prune(least);
            let (detection, quality) = read(&coder)?;
            let (f1, ev, l0) = (detection.mean_f1(), quality.explained_variance(), quality.l0());
            println!("  {factor:.2} = {threshold:.3}, {least:.3}: {f1:.4}, {ev:.4}, {l0:.2}");
        }
    }
    let (detection, quality) = read(&ThresholdPursuit::of_noise(report.noise))?;
    Ok(Row {
        values: [
            detection.mean_f1(),
            detection.mean_precision(),
            detection.mean_recall(),
            recovery.mcc(),
            recovery.uniqueness(),
            quality.explained_variance(),
            quality.l0(),
            true_codes.nnz() as f64 / true_codes.samples() as f64,
            quality.dead_atoms().count() as f64,
            report.noise,
            seconds,
            cpu_seconds.unwrap_or(f64::NAN),
        ],
    })
}
