//! One call of the program, from arguments to files.

use dbksvd::learn::{Report, Seconds};
use dbksvd::metrics::{Coherence, Reconstruction};
use dbksvd::{Model, SparseCodes};

use crate::arguments::Arguments;
use crate::coding::Coding;
use crate::dataset::Dataset;
use crate::failure::{Failure, say};
use crate::outputs::Outputs;
use crate::progress::Watcher;
use crate::start::Start;
use crate::{events, features, learning, table};

/// Everything there is to say of a run.
pub struct Outcome {
    pub model: Model<f32>,
    pub report: Report,
    /// On the rows learned from, by the final dictionary.
    pub fitted: Reconstruction,
    /// On rows not learned from, by the final dictionary.
    pub held_out: Option<Reconstruction>,
    /// Of `--eval`, or else of all rows of the data in their order.
    pub codes: SparseCodes<f32>,
    /// Of the coding after learning.
    pub coding: Seconds,
    /// Largest |cos| of two atoms.
    pub coherence: f64,
}

impl Outcome {
    /// The time that the call was made for.
    pub fn seconds(&self) -> Seconds {
        if self.report.epochs.is_empty() { self.coding } else { self.report.seconds }
    }
}

/// Learns, measures, writes and tells.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let dataset = Dataset::open(arguments)?;
    let start = Start::new(arguments, dataset.source.dim(), dataset.source.path())?;
    // Before anything takes long.
    let mut outputs = Outputs::new(&arguments.out)?;

    let mut watcher = Watcher::new(arguments);
    let learned = learning::learn(arguments, start, &dataset.learned(), &mut watcher);
    watcher.finish()?;
    let (model, report) = learned?;

    let outcome = measure(arguments, &dataset, model, report)?;
    outputs.write(&outcome)?;
    if arguments.json {
        return events::result(&outcome);
    }
    say(&table::table(&dataset, &outcome))?;
    let texts = dataset.texts.as_ref().filter(|_| dataset.eval.is_none());
    say(&features::features(&outcome.codes, texts))?;
    say(&outputs.list())
}

fn measure(
    arguments: &Arguments,
    dataset: &Dataset,
    model: Model<f32>,
    report: Report,
) -> Result<Outcome, Failure> {
    let mut coding = Coding::new(&model, learning::coder(arguments))?;
    let mut codes = coding.none();
    let keep = if dataset.eval.is_some() { None } else { Some(&mut codes) };
    let fitted = coding.measure(&dataset.learned(), keep)?;
    let held_out = match dataset.held_out() {
        Some(rows) => Some(coding.measure(&rows, Some(&mut codes))?),
        None => None,
    };
    let coherence = Coherence::new(model.dictionary()).coherence();
    let coding = coding.seconds();
    Ok(Outcome { model, report, fitted, held_out, codes, coding, coherence })
}
