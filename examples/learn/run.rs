//! One call of the program, from arguments to files.

use dbksvd::learn::{Massive, Report, Seconds};
use dbksvd::metrics::{Coherence, Reconstruction};
use dbksvd::source::{Mask, SampleSource};
use dbksvd::{Model, Outliers, ProblemShape, Scalar, SparseCodes};

use crate::arguments::{Arguments, Goal, Precision};
use crate::coding::{Coding, Kept};
use crate::dataset::{Dataset, names};
use crate::device::Real;
use crate::failure::{Failure, say};
use crate::learning::Learned;
use crate::outputs::Outputs;
use crate::progress::Watcher;
use crate::start::{Origins, Start};
use crate::{events, features, learning, machine, outputs, table};

/// Rows of each part of the data that are measured with `--no-codes`.
const ROWS_MEASURED: usize = 65_536;

/// Atoms for each row that is learned from, beyond which `--atoms` must be a mistake.
const ATOMS_A_ROW: usize = 100;

/// Everything there is to say of a run.
pub struct Outcome<T: Scalar> {
    pub model: Model<T>,
    pub report: Report,
    /// On the rows learned from, by the final dictionary.
    pub fitted: Reconstruction,
    /// On rows not learned from, by the final dictionary.
    pub held_out: Option<Reconstruction>,
    /// Of `--eval`, or else of all rows of the data in their order, rows that a mask leaves out
    /// being empty; none with `--no-codes`.
    pub codes: Option<SparseCodes<T>>,
    /// Of the rows of these codes, how many are used.
    pub coded: usize,
    /// Of the rows of these codes, which are used and within the norm limit.
    pub within: Vec<bool>,
    /// Rows of `--data` that `--mask` leaves out.
    pub masked: usize,
    /// Rows of `--eval` that `--eval-mask` leaves out.
    pub eval_masked: usize,
    /// What was done with rows beyond it.
    pub outliers: Outliers,
    /// Where mean, scale and norm limit come from.
    pub origins: Origins,
    /// Of the coding after learning.
    pub coding: Seconds,
    /// Largest |cos| of two atoms.
    pub coherence: f64,
}

impl<T: Scalar> Outcome<T> {
    /// The few rows that hold most of the variance: of those learned from as they were learned
    /// from, or else, without a norm limit, of those that were coded.
    pub fn massive(&self) -> Option<Massive> {
        match self.report.epochs.last() {
            Some(epoch) => epoch.massive,
            None if self.model.preprocessing().norm_limit().is_some() => None,
            None => self.fitted.massive(),
        }
    }

    /// The time that the call was made for.
    pub fn seconds(&self) -> Seconds {
        if self.report.epochs.is_empty() { self.coding } else { self.report.seconds }
    }
}

/// Learns, measures, writes and tells, in the precision of the data unless another is asked for.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    outputs::keep_apart_from_inputs(arguments)?;
    let dataset = Dataset::open(arguments)?;
    match arguments.precision.unwrap_or_else(|| dataset.precision()) {
        Precision::F32 => run_in::<f32>(arguments, &dataset),
        Precision::F64 => run_in::<f64>(arguments, &dataset),
    }
}

fn run_in<T: Real>(arguments: &Arguments, dataset: &Dataset) -> Result<(), Failure> {
    let dim = SampleSource::<T>::dim(&dataset.source);
    let start = Start::<T>::new(arguments, dim, &names(&dataset.source))?;
    let origins = start.origins;
    // Before anything takes long.
    check_sizes(arguments, dataset, &start)?;
    let mut outputs = Outputs::new(&arguments.out)?;

    let mut watcher = Watcher::new(arguments);
    let learned = learning::learn(arguments, start, dataset, &mut watcher);
    let told = watcher.finish();
    let Learned { model, best, report, failure } = learned?;
    if let Some(failure) = failure {
        // What was learned until then is worth keeping.
        if report.epochs.iter().any(|epoch| epoch.samples > 0 && epoch.zeros < epoch.samples) {
            // If that fails too, what failed first is the thing to know.
            let _ = outputs.write_models(&model, best.as_ref());
        }
        return Err(failure);
    }

    // Before it is measured: whatever fails from here on, it is kept.
    outputs.write_models(&model, best.as_ref())?;
    // Nobody may read what is told any more.
    told?;
    let outcome = measure(arguments, dataset, model, report, origins)?;
    outputs.write_codes_and_plots(&outcome)?;
    if arguments.json {
        return events::result(&outcome);
    }
    say(&table::table(dataset, &outcome)?)?;
    if let Some(codes) = &outcome.codes {
        let texts = dataset.texts.as_ref().filter(|_| dataset.eval.is_none());
        say(&features::features(codes, outcome.coded, &outcome.within, texts))?;
    }
    say(&outputs.list())
}

/// Refuses a dictionary that the machine cannot hold, or that the rows could not fill.
fn check_sizes<T: Scalar>(
    arguments: &Arguments,
    dataset: &Dataset,
    start: &Start<T>,
) -> Result<(), Failure> {
    let ProblemShape { dim, atoms, sparsity, .. } = start.shape;
    let rows = dataset.rows_learned();
    let minibatch = rows.min(arguments.minibatch.unwrap_or(1));
    machine::check::<T>(dim, atoms, sparsity, minibatch).map_err(Failure::Usage)?;
    if arguments.goal == Goal::Features && 2 * sparsity > atoms {
        let most = atoms / 2;
        return Err(Failure::Usage(format!(
            "--sparsity is {sparsity}, expected 1 to {most} with --goal features: half the atoms"
        )));
    }
    let most = rows.saturating_mul(ATOMS_A_ROW);
    if arguments.atoms.is_some() && start.given.is_none() && atoms > most {
        return Err(Failure::Usage(format!(
            "--atoms is {atoms}, expected at most {most} for {rows} rows: the others would be random \
             directions that no row uses"
        )));
    }
    Ok(())
}

fn measure<T: Scalar>(
    arguments: &Arguments,
    dataset: &Dataset,
    model: Model<T>,
    report: Report,
    origins: Origins,
) -> Result<Outcome<T>, Failure> {
    let mut coding = Coding::new(&model, arguments.selection)?;
    // With `--no-codes` the data may be too large to be coded once more.
    let most = if arguments.codes { usize::MAX } else { ROWS_MEASURED };
    let (rows, mask) = dataset.coded();
    let mut kept = arguments.codes.then(|| coding.kept(rows.samples()));
    let has_eval = dataset.eval.is_some();
    let mut fitted = coding.nothing();
    let of_learned = if has_eval { None } else { kept.as_mut() };
    coding.measure(&dataset.learned(most)?, &mut fitted, of_learned)?;
    let mut held_out = None;
    if let Some(rows) = dataset.held_out(most)? {
        let measured = held_out.insert(coding.nothing());
        coding.measure(&rows, measured, kept.as_mut())?;
    }
    let coherence = Coherence::new(model.dictionary()).coherence();
    let coded = mask.kept();
    let left_out = |mask: &Mask| mask.rows() - mask.kept();
    let masked = left_out(&dataset.mask);
    let eval_masked = dataset.eval.as_ref().map_or(0, |(_, mask)| left_out(mask));
    let coding = coding.seconds();
    let (codes, within) = match kept {
        None => (None, Vec::new()),
        Some(Kept { codes, within }) => (Some(codes), within),
    };
    let outliers = arguments.outliers;
    Ok(Outcome {
        model,
        report,
        fitted,
        held_out,
        codes,
        coded,
        within,
        masked,
        eval_masked,
        outliers,
        origins,
        coding,
        coherence,
    })
}
