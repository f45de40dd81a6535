//! Learning at equal time: plain K-SVD on all samples at once, on plain minibatches, and the
//! defaults.
//!
//! ```text
//! cargo bench --bench learning
//! ```
//! prints a table for each kind of synthetic data, then one for the shipped embeddings. Epochs are
//! fixed, so that on one machine errors are the same whenever it runs; they were chosen to take
//! each setting about the seconds of the full batch. Every figure is the median of three seeds, of
//! data and learner. An epoch counts the least seconds that it took with one of them, since
//! machines are noisy.

use std::error::Error;
use std::ops::ControlFlow;

use dbksvd::coder::BatchOmp;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::learn::{Builder, EpochReport, Observer, Snapshot};
use dbksvd::metrics::{RECOVERED, Recovery, reconstruction};
use dbksvd::source::{SafetensorsSource, SampleSource};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{KSvd, LeadingPair};
use dbksvd::{DbKsvd, Dictionary, Model, Sign};

const SEEDS: u64 = 3;

/// Shares of the true atoms whose time of recovery is told.
const MILESTONES: [f64; 2] = [0.94, 0.995];

type Setup = Builder<dbksvd::Faer<f32>, BatchOmp, KSvd>;

/// What is learned from, what the result is measured on, and the truth where there is one.
struct Problem {
    atoms: usize,
    sparsity: usize,
    train: Mat<f32>,
    test: Option<Mat<f32>>,
    truth: Option<Dictionary<f32>>,
}

/// A setting: what it is called, samples a step (0 means the default, and the default updater),
/// epochs.
struct Setting {
    name: &'static str,
    minibatch: usize,
    epochs: usize,
}

const fn setting(name: &'static str, minibatch: usize, epochs: usize) -> Setting {
    Setting { name, minibatch, epochs }
}

const SAMPLES: usize = 20_000;

const SYNTHETIC: [Setting; 6] = [
    setting("full batch", SAMPLES, 40),
    setting("minibatches N/8", SAMPLES / 8, 32),
    setting("minibatches N/32", SAMPLES / 32, 30),
    setting("defaults", 0, 30),
    setting("defaults, a fifth", 0, 6),
    setting("defaults, a tenth", 0, 3),
];

const TRAIN: usize = 7168;

const EMBEDDINGS: [Setting; 2] = [setting("full batch", TRAIN, 40), setting("defaults", 0, 30)];

impl Setting {
    fn apply(&self, setup: Setup) -> Setup {
        let setup = setup.epochs(self.epochs);
        if self.minibatch == 0 {
            return setup;
        }
        let plain = KSvd::textbook().leading_pair(LeadingPair::Power { iterations: 1 });
        setup.minibatch(self.minibatch).updater(plain)
    }
}

/// What is measured of one run.
struct Outcome {
    /// Seconds of each epoch.
    seconds: Vec<f64>,
    relative_error: f64,
    fvu: f64,
    /// NaN where there is no truth, as the epochs below.
    recovered: f64,
    /// The epochs that first reached them; infinite for what was not reached.
    milestones: [f64; 2],
    /// The first epoch at which the share recovered is within a point of the final one.
    settled: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("threads: {}", rayon::current_num_threads());
    for kind in [Kind::Planted, Kind::Correlated, Kind::Anisotropic] {
        println!("\n{kind:?}: d 128, m 512, k 8, N {SAMPLES}, 5% noise; errors on all samples");
        let problems: Vec<Problem> =
            (0..SEEDS).map(|seed| synthetic(kind, seed)).collect::<Result<_, _>>()?;
        table(&problems, &SYNTHETIC)?;
    }
    println!("\nMiniLM: d 384, m 1,024, k 16, N {TRAIN}; errors on the other 1,024 rows");
    let problems: Vec<Problem> = (0..SEEDS).map(|_| embeddings()).collect::<Result<_, _>>()?;
    table(&problems, &EMBEDDINGS)
}

fn synthetic(kind: Kind, seed: u64) -> Result<Problem, Box<dyn Error>> {
    let (atoms, sparsity) = (512, 8);
    let planted = Planted::new(128, atoms, sparsity, SAMPLES).kind(kind).noise(0.05).seed(seed);
    let data = planted.generate::<f32>()?;
    let truth = (kind != Kind::Anisotropic).then_some(data.dictionary);
    Ok(Problem { atoms, sparsity, train: data.samples, test: None, truth })
}

fn embeddings() -> Result<Problem, Box<dyn Error>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/minilm_l3_8192_f16.safetensors");
    let source = SafetensorsSource::open(path, None)?;
    let (dim, samples) = (source.dim(), source.len());
    let mut values = vec![0.0; dim * samples];
    source.read(0..samples, &mut values)?;
    let samples = MatRef::from_column_major_slice(&values, dim, samples);
    let (train, test) = samples.split_at_col(TRAIN);
    let (train, test) = (train.to_owned(), Some(test.to_owned()));
    Ok(Problem { atoms: 1024, sparsity: 16, train, test, truth: None })
}

/// A row a setting, each the median over `problems`, which are told apart by their seed.
fn table(problems: &[Problem], settings: &[Setting]) -> Result<(), Box<dyn Error>> {
    println!(
        "| setting | epochs | seconds | error | FVU | recovered | s to settle | s to 94% | s to 99.5% |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for setting in settings {
        let runs: Vec<Outcome> = (0..)
            .zip(problems)
            .map(|(seed, problem)| learn(problem, setting, seed))
            .collect::<Result<_, _>>()?;
        row(setting.name, &setting.epochs.to_string(), &runs);
    }
    let floor: Option<Vec<Outcome>> = problems
        .iter()
        .map(|problem| Some(problem.measure(&problem.model(problem.truth.clone()?).ok()?)))
        .collect::<Option<Result<_, _>>>()
        .transpose()?;
    if let Some(floor) = floor {
        row("true dictionary", "", &floor);
    }
    Ok(())
}

fn row(name: &str, epochs: &str, runs: &[Outcome]) {
    let of = |get: fn(&Outcome) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(get).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let share = |value: f64| {
        if value.is_nan() { String::new() } else { format!("{:.1}%", 100.0 * value) }
    };
    let seconds_of =
        |epoch: usize| runs.iter().map(|run| run.seconds[epoch]).fold(f64::INFINITY, f64::min);
    let time = |epoch: f64| match epoch {
        _ if epoch.is_nan() => String::new(),
        f64::INFINITY => "never".into(),
        _ => format!("{:.2}", (0..epoch as usize).map(seconds_of).sum::<f64>()),
    };
    println!(
        "| {name} | {epochs} | {} | {:.5} | {:.4} | {} | {} | {} | {} |",
        if epochs.is_empty() { String::new() } else { time(runs[0].seconds.len() as f64) },
        of(|run| run.relative_error),
        of(|run| run.fvu),
        share(of(|run| run.recovered)),
        time(of(|run| run.settled)),
        time(of(|run| run.milestones[0])),
        time(of(|run| run.milestones[1])),
    );
}

/// The dictionaries at the ends of epochs, to be measured after the run.
#[derive(Default)]
struct Course {
    models: Vec<Model<f32>>,
}

impl Observer<f32> for Course {
    fn on_epoch(&mut self, _: &EpochReport, snapshot: &Snapshot<'_, f32>) -> ControlFlow<()> {
        match snapshot.model() {
            Ok(model) => self.models.push(model),
            Err(_) => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }
}

fn learn(problem: &Problem, setting: &Setting, seed: u64) -> Result<Outcome, Box<dyn Error>> {
    let setup = DbKsvd::builder(problem.atoms, problem.sparsity).seed(seed);
    let learner = setting.apply(setup).build()?;
    let mut course = Course::default();
    let (model, report) = learner.fit_with(&problem.train, &mut course)?;
    assert_eq!(course.models.len(), setting.epochs, "every epoch leaves its dictionary");

    let mut outcome = problem.measure(&model)?;
    let mut before = 0.0;
    for epoch in &report.epochs {
        outcome.seconds.push(epoch.elapsed - before);
        before = epoch.elapsed;
    }
    let Some(truth) = &problem.truth else { return Ok(outcome) };
    outcome.milestones = [f64::INFINITY; 2];
    for (epoch, model) in (1..).map(f64::from).zip(&course.models) {
        let recovered = recovered(model, truth)?;
        if outcome.settled.is_nan() && recovered >= outcome.recovered - 0.01 {
            outcome.settled = epoch;
        }
        for (first, share) in outcome.milestones.iter_mut().zip(MILESTONES) {
            if recovered >= share {
                *first = first.min(epoch);
            }
        }
    }
    Ok(outcome)
}

fn recovered(model: &Model<f32>, truth: &Dictionary<f32>) -> Result<f64, dbksvd::Error> {
    Ok(Recovery::new(model.dictionary(), truth)?.recovered(RECOVERED))
}

impl Problem {
    fn model(&self, dictionary: Dictionary<f32>) -> Result<Model<f32>, dbksvd::Error> {
        Model::new(dictionary, None, self.sparsity, Sign::Signed)
    }

    /// Errors of the samples coded by OMP, and atoms recovered; times are of the caller.
    fn measure(&self, model: &Model<f32>) -> Result<Outcome, Box<dyn Error>> {
        let samples = self.test.as_ref().unwrap_or(&self.train).as_ref();
        let codes = model.encode(&BatchOmp::new(), samples)?;
        let errors = reconstruction(model, samples, &codes)?;
        Ok(Outcome {
            seconds: Vec::new(),
            relative_error: errors.relative_error(),
            fvu: errors.fvu(),
            recovered: self.truth.as_ref().map_or(Ok(f64::NAN), |truth| recovered(model, truth))?,
            milestones: [f64::NAN; 2],
            settled: f64::NAN,
        })
    }
}
