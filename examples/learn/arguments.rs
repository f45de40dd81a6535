//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use dbksvd::Outliers;
use dbksvd::coder::Selection;

use crate::device::{self, Device};
use crate::failure::Failure;
use crate::options::{Options, Usage};

/// Options of which one would have to be ignored for the other, and why.
const CONTRADICTIONS: [(&str, &str, &str); 2] = [
    ("clip-norm", "drop-norm", "rows beyond a norm are scaled down or left out"),
    ("eval", "held-out", "rows to measure on are those of --eval, or else a share of --data"),
];

/// Options of a run for the least error.
const OF_ERRORS: [&str; 6] = ["minibatch", "atom-batch", "start-at", "steps", "time", "target-fvu"];

/// Options that, besides these, `--goal features` has no use for.
const NOT_OF_FEATURES: [&str; 3] = ["dictionary", "selection", "device"];

/// Options that, besides those of errors, say nothing where nothing is learned.
const OF_LEARNING: [&str; 5] = ["goal", "evaluate-every", "checkpoint-every", "resume", "device"];

/// What is asked for. `None` where the default depends on something else.
#[derive(Debug)]
pub struct Arguments {
    pub data: Vec<PathBuf>,
    pub tensor: Option<String>,
    pub precision: Option<Precision>,
    pub mask: Vec<PathBuf>,
    pub eval: Vec<PathBuf>,
    pub eval_mask: Vec<PathBuf>,
    pub held_out: Option<f64>,
    pub dictionary: Option<PathBuf>,
    pub atoms: Option<usize>,
    pub sparsity: Option<usize>,
    pub epochs: Option<usize>,
    pub minibatch: Option<usize>,
    pub atom_batch: Option<usize>,
    pub selection: Option<Selection>,
    pub goal: Goal,
    pub non_negative: bool,
    pub center: bool,
    pub scale: bool,
    pub outliers: Outliers,
    pub start_at: Option<f64>,
    pub steps: Option<u64>,
    pub time: Option<Duration>,
    pub target_fvu: Option<f64>,
    pub evaluate_every: Option<u64>,
    pub checkpoint_every: Option<Often>,
    pub resume: bool,
    pub codes: bool,
    pub device: Device,
    pub seed: u64,
    pub threads: Option<usize>,
    pub out: PathBuf,
    pub quiet: bool,
    pub json: bool,
}

/// The numbers that are computed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F32,
    F64,
}

/// What a dictionary is learned for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The least error.
    Error,
    /// Interpretable features.
    Features,
}

/// How often to save.
#[derive(Clone, Copy, Debug)]
pub enum Often {
    Steps(u64),
    Time(Duration),
}

/// What the program is called for.
#[derive(Debug)]
pub enum Call {
    Help,
    Version,
    Learn(Box<Arguments>),
}

impl Default for Arguments {
    fn default() -> Self {
        Self {
            data: Vec::new(),
            tensor: None,
            precision: None,
            mask: Vec::new(),
            eval: Vec::new(),
            eval_mask: Vec::new(),
            held_out: None,
            dictionary: None,
            atoms: None,
            sparsity: None,
            epochs: None,
            minibatch: None,
            atom_batch: None,
            selection: None,
            goal: Goal::Error,
            non_negative: false,
            center: false,
            scale: false,
            outliers: Outliers::Keep,
            start_at: None,
            steps: None,
            time: None,
            target_fvu: None,
            evaluate_every: None,
            checkpoint_every: None,
            resume: false,
            codes: true,
            device: Device::default(),
            seed: 0,
            threads: None,
            out: PathBuf::from("out"),
            quiet: false,
            json: false,
        }
    }
}

impl Arguments {
    /// What features of embeddings need, each but where its own option is given.
    fn prepare_for_features(&mut self) {
        self.non_negative = true;
        self.center = true;
        if self.outliers == Outliers::Keep {
            self.outliers = Outliers::Clip(3.0);
        }
    }
}

/// Reads the command line.
pub fn parse() -> Result<Call, Failure> {
    let mut arguments = Arguments::default();
    let mut options = Options::from_env();
    let mut given = Vec::new();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "help" => return Ok(Call::Help),
            "version" => return Ok(Call::Version),
            _ => read(&mut arguments, &name, &mut options)?,
        }
        given.push(name);
    }
    complete(&mut arguments, &given)?;
    Ok(Call::Learn(Box::new(arguments)))
}

/// Refuses options that would have to be ignored beside others, and fills in what follows from
/// those that are `given`.
pub fn complete(arguments: &mut Arguments, given: &[String]) -> Result<(), Failure> {
    let is_given = |name: &str| given.iter().any(|given| given == name);
    for (one, other, why) in CONTRADICTIONS {
        if is_given(one) && is_given(other) {
            return Err(Failure::Usage(format!("--{one} and --{other} are given: {why}")));
        }
    }
    if is_given("eval-mask") && !is_given("eval") {
        return Err(Failure::Usage(
            "--eval-mask is given without --eval, whose rows it is for (--mask is for those of \
             --data)"
                .to_owned(),
        ));
    }
    if arguments.goal == Goal::Features {
        let mut others = NOT_OF_FEATURES.iter().chain(&OF_ERRORS);
        if let Some(option) = others.find(|&&option| is_given(option)) {
            return Err(Failure::Usage(format!(
                "--{option} is for --goal error: features are learned from the start, by a recipe \
                 (see the crate's `FeatureRecipe` for its parts)"
            )));
        }
        if arguments.epochs == Some(1) {
            let expected = "at least 2 with --goal features, which learns in two stages";
            return Err(Failure::Usage(format!("--epochs is 1, expected {expected}")));
        }
        arguments.prepare_for_features();
    }
    if arguments.epochs == Some(0)
        && let Some(option) = OF_LEARNING.iter().chain(&OF_ERRORS).find(|&&option| is_given(option))
    {
        return Err(Failure::Usage(format!(
            "--{option} is about learning, and --epochs 0 asks for codes alone"
        )));
    }
    Ok(())
}

/// Takes the option `name` and its value, if it has one.
pub fn read(arguments: &mut Arguments, name: &str, options: &mut Options) -> Result<(), Usage> {
    let share = |share: &f64| *share > 0.0 && *share < 1.0;
    let factor = |factor: &f64| factor.is_finite() && *factor > 0.0;
    let error = |error: &f64| error.is_finite() && *error >= 0.0;
    let progress = |progress: &f64| (0.0..1.0).contains(progress);
    const FACTOR: &str = "a positive, finite multiple of the median norm";
    match name {
        "data" => arguments.data.extend(options.paths()?),
        "tensor" => arguments.tensor = Some(options.text()?),
        "precision" => {
            let precisions = [("f32", Precision::F32), ("f64", Precision::F64)];
            arguments.precision = Some(options.choice(&precisions)?);
        }
        "mask" => arguments.mask.extend(options.paths()?),
        "eval" => arguments.eval.extend(options.paths()?),
        "eval-mask" => arguments.eval_mask.extend(options.paths()?),
        "held-out" => {
            let expected = "a share of the rows, above 0 and below 1";
            arguments.held_out = Some(options.number(expected, share)?);
        }
        "dictionary" => arguments.dictionary = Some(options.path()?),
        "atoms" => arguments.atoms = Some(options.whole(1)?),
        "sparsity" => arguments.sparsity = Some(options.whole(1)?),
        "epochs" => arguments.epochs = Some(options.whole(0)?),
        "minibatch" => arguments.minibatch = Some(options.whole(1)?),
        "atom-batch" => arguments.atom_batch = Some(options.whole(1)?),
        "seed" => arguments.seed = options.whole(0)?,
        "threads" => arguments.threads = Some(options.threads()?),
        "selection" => {
            let rules = [("omp", Selection::Correlation), ("ols", Selection::LeastSquares)];
            arguments.selection = Some(options.choice(&rules)?);
        }
        "goal" => {
            let goals = [("error", Goal::Error), ("features", Goal::Features)];
            arguments.goal = options.choice(&goals)?;
        }
        "non-negative" => arguments.non_negative = true,
        "mean" | "center" => arguments.center = true,
        "scale" => arguments.scale = true,
        "clip-norm" => arguments.outliers = Outliers::Clip(options.number(FACTOR, factor)?),
        "drop-norm" => arguments.outliers = Outliers::Drop(options.number(FACTOR, factor)?),
        "start-at" => {
            arguments.start_at = Some(options.number("at least 0 and below 1", progress)?);
        }
        "steps" => arguments.steps = Some(options.whole(1)?),
        "time" => arguments.time = Some(duration(options)?),
        "target-fvu" => {
            arguments.target_fvu = Some(options.number("at least 0, and finite", error)?);
        }
        "evaluate-every" => arguments.evaluate_every = Some(options.whole(1)?),
        "checkpoint-every" => arguments.checkpoint_every = Some(often(options)?),
        "resume" => arguments.resume = true,
        "device" => {
            let name = options.text()?;
            let found = Device::parse(&name);
            arguments.device =
                found.ok_or_else(|| options.wrong(format!("{name:?}"), device::EXPECTED))?;
        }
        "no-codes" => arguments.codes = false,
        "out" => arguments.out = options.path()?,
        "quiet" => arguments.quiet = true,
        "json" => arguments.json = true,
        _ => return Err(options.unknown()),
    }
    Ok(())
}

/// `90`, `90s`, `15m`, `2h`.
fn duration(options: &mut Options) -> Result<Duration, Usage> {
    let text = options.text()?;
    let expected = "a time such as 90s, 15m or 2h";
    time(&text).ok_or_else(|| options.wrong(format!("{text:?}"), expected))
}

fn time(text: &str) -> Option<Duration> {
    let units = [('s', 1.0), ('m', 60.0), ('h', 3600.0)];
    let unit = units.iter().find(|(unit, _)| text.ends_with(*unit));
    let digits = text.trim_end_matches(['s', 'm', 'h']);
    let seconds = digits.parse::<f64>().ok()? * unit.map_or(1.0, |&(_, seconds)| seconds);
    let duration = Duration::try_from_secs_f64(seconds).ok()?;
    (!duration.is_zero() && text.len() - digits.len() <= 1).then_some(duration)
}

/// A number of steps, or a time with its unit.
fn often(options: &mut Options) -> Result<Often, Usage> {
    let text = options.text()?;
    let often = if text.ends_with(['s', 'm', 'h']) {
        time(&text).map(Often::Time)
    } else {
        text.parse().ok().filter(|&steps| steps > 0).map(Often::Steps)
    };
    let expected = "a number of steps, at least 1, or a time such as 90s, 15m or 2h";
    often.ok_or_else(|| options.wrong(text, expected))
}
