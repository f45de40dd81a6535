//! What the best of five runs gains over their mean: on planted dictionaries that are hard to find,
//! and on the shipped embeddings.
//!
//! ```text
//! cargo run --release --example restarts
//! ```
//! The best is chosen by the error on held-out samples, and measured on others: by the atoms
//! recovered, or the error on rows that neither learning nor the choice has seen.

#[path = "common/embeddings.rs"]
mod embeddings;
#[path = "common/program.rs"]
mod program;

use std::ops::ControlFlow;
use std::process::ExitCode;

use dbksvd::coder::BatchOmp;
use dbksvd::faer::MatRef;
use dbksvd::learn::{EpochReport, Observer, Snapshot};
use dbksvd::metrics::{RECOVERED, Recovery, reconstruction};
use dbksvd::synthetic::Planted;
use dbksvd::{DbKsvd, Model};
use embeddings::{HELD_OUT, embeddings};
use program::Outcome;

const RUNS: usize = 5;

/// Planted problems, of which each is learned by all seeds.
const PROBLEMS: u64 = 8;

/// A hard cell of the phase diagram: d, m, k, N, at its noise of 10% and its 200 steps.
const HARD: (usize, usize, usize, usize) = (32, 64, 8, 2000);
const EPOCHS: usize = 25;

/// Times that the embeddings are learned by all runs, with other seeds each.
const TURNS: u64 = 4;

const HELP: &str = "\
Measures what the best of five runs gains over their mean, on planted dictionaries and on the shipped
embeddings. Takes some minutes.

Usage: cargo run --release --example restarts
";

fn main() -> ExitCode {
    program::run_without_options(HELP, compare)
}

fn compare() -> Outcome<()> {
    let (dim, atoms, sparsity, samples) = HARD;
    println!(
        "Planted: d {dim}, m {atoms}, k {sparsity}, N {samples}; atoms recovered in per cent\n"
    );
    println!("| problem | the runs | mean | of the best by held-out FVU |");
    println!("|---|---|---|---|");
    let mut gains = Vec::new();
    for problem in 0..PROBLEMS {
        let planted = Planted::new(dim, atoms, sparsity, samples + samples / 4).noise(0.1);
        let data = planted.seed(problem).generate::<f32>()?;
        let (train, held_out) = data.samples.as_ref().split_at_col(samples);
        let recovered = |model: &Model<f32>| -> Outcome<f64> {
            Ok(100.0 * Recovery::new(model.dictionary(), &data.dictionary)?.recovered(RECOVERED))
        };
        let learner = DbKsvd::builder(atoms, sparsity).epochs(EPOCHS).build()?;
        gains.push(race(problem, learner, train, held_out, recovered, 1)?);
    }
    println!("\nMean gain of the best: {:.1} per cent of the atoms\n", mean(&gains));

    let samples = embeddings()?;
    let (train, rest) = samples.as_ref().split_at_col(samples.ncols() - HELD_OUT);
    let (choice, others) = rest.split_at_col(512);
    println!("Embeddings: m 1024, k 16; FVU on 512 rows, chosen by 512 others\n");
    println!("| turn | the runs | mean | of the best by held-out FVU |");
    println!("|---|---|---|---|");
    let error = |model: &Model<f32>| -> Outcome<f64> {
        let codes = model.encode(&BatchOmp::new(), others)?;
        Ok(reconstruction(model, others, &codes)?.fvu())
    };
    let mut gains = Vec::new();
    for turn in 0..TURNS {
        let learner = DbKsvd::builder(1024, 16).seed(turn * RUNS as u64).build()?;
        gains.push(race(turn, learner, train, choice, error, 4)?);
    }
    println!("\nMean gain of the best: {:.4}", -mean(&gains));
    Ok(())
}

/// The best of a few runs: prints a row, and returns what it has more than the mean.
fn race(
    number: u64,
    learner: DbKsvd,
    train: MatRef<'_, f32>,
    held_out: MatRef<'_, f32>,
    measure: impl Fn(&Model<f32>) -> Outcome<f64>,
    digits: usize,
) -> Outcome<f64> {
    let mut watch = Watch { measure: &measure, now: Ok(f64::NAN), ends: Vec::new() };
    let best = learner.run(&train).held_out(&held_out).observer(&mut watch).best_of(RUNS)?;
    watch.now?;
    let of_best = measure(&best.fit.model)?;
    let runs: Vec<String> = watch.ends.iter().map(|end| format!("{end:.digits$}")).collect();
    let mean = mean(&watch.ends);
    println!("| {number} | {} | {mean:.digits$} | {of_best:.digits$} |", runs.join(", "));
    Ok(of_best - mean)
}

/// Measures the model after every epoch, and notes the last of each run.
struct Watch<'a> {
    measure: &'a dyn Fn(&Model<f32>) -> Outcome<f64>,
    now: Outcome<f64>,
    ends: Vec<f64>,
}

impl Observer<f32> for Watch<'_> {
    fn on_epoch(&mut self, _: &EpochReport, snapshot: &Snapshot<'_, f32>) -> ControlFlow<()> {
        self.now = snapshot.model().map_err(Into::into).and_then(|model| (self.measure)(&model));
        if self.now.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    fn on_stop(&mut self, _: &dbksvd::learn::Report) {
        self.ends.extend(self.now.as_ref().ok());
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
