//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use dbksvd::Outliers;
use dbksvd::coder::Selection;
use lexopt::Arg;

use crate::failure::Failure;

/// What is asked for. `None` where the default depends on something else.
#[derive(Debug)]
pub struct Arguments {
    pub data: Vec<PathBuf>,
    pub tensor: Option<String>,
    pub precision: Option<Precision>,
    pub eval: Vec<PathBuf>,
    pub held_out: Option<f64>,
    pub dictionary: Option<PathBuf>,
    pub atoms: Option<usize>,
    pub sparsity: Option<usize>,
    pub epochs: Option<usize>,
    pub minibatch: Option<usize>,
    pub atom_batch: Option<usize>,
    pub selection: Selection,
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

/// Reads the command line.
pub fn parse() -> Result<Call, Failure> {
    let mut parser = lexopt::Parser::from_env();
    let mut arguments = Arguments {
        data: Vec::new(),
        tensor: None,
        precision: None,
        eval: Vec::new(),
        held_out: None,
        dictionary: None,
        atoms: None,
        sparsity: None,
        epochs: None,
        minibatch: None,
        atom_batch: None,
        selection: Selection::default(),
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
        seed: 0,
        threads: None,
        out: PathBuf::from("out"),
        quiet: false,
        json: false,
    };
    while let Some(argument) = parser.next().map_err(usage)? {
        let name = match argument {
            Arg::Long(name) => name.to_owned(),
            Arg::Short('h') => "help".to_owned(),
            Arg::Short('V') => "version".to_owned(),
            other => return Err(usage(other.unexpected())),
        };
        let mut value = || parser.value().map_err(usage);
        match name.as_str() {
            "help" => return Ok(Call::Help),
            "version" => return Ok(Call::Version),
            "data" => arguments.data.extend(parser.values().map_err(usage)?.map(PathBuf::from)),
            "tensor" => arguments.tensor = Some(text(&name, value()?)?),
            "precision" => arguments.precision = Some(precision(&text(&name, value()?)?)?),
            "eval" => arguments.eval.extend(parser.values().map_err(usage)?.map(PathBuf::from)),
            "held-out" => arguments.held_out = Some(real(&name, value()?)?),
            "dictionary" => arguments.dictionary = Some(value()?.into()),
            "atoms" => arguments.atoms = Some(number(&name, value()?)?),
            "sparsity" => arguments.sparsity = Some(number(&name, value()?)?),
            "epochs" => arguments.epochs = Some(number(&name, value()?)?),
            "minibatch" => arguments.minibatch = Some(number(&name, value()?)?),
            "atom-batch" => arguments.atom_batch = Some(number(&name, value()?)?),
            "seed" => arguments.seed = number(&name, value()?)?,
            "threads" => arguments.threads = Some(threads(number(&name, value()?)?)?),
            "selection" => arguments.selection = selection(&text(&name, value()?)?)?,
            "non-negative" => arguments.non_negative = true,
            "mean" | "center" => arguments.center = true,
            "scale" => arguments.scale = true,
            "clip-norm" => arguments.outliers = Outliers::Clip(real(&name, value()?)?),
            "drop-norm" => arguments.outliers = Outliers::Drop(real(&name, value()?)?),
            "start-at" => arguments.start_at = Some(real(&name, value()?)?),
            "steps" => arguments.steps = Some(number(&name, value()?)?),
            "time" => arguments.time = Some(duration(&name, value()?)?),
            "target-fvu" => arguments.target_fvu = Some(real(&name, value()?)?),
            "evaluate-every" => arguments.evaluate_every = Some(positive(&name, value()?)?),
            "checkpoint-every" => arguments.checkpoint_every = Some(often(&name, value()?)?),
            "resume" => arguments.resume = true,
            "no-codes" => arguments.codes = false,
            "out" => arguments.out = value()?.into(),
            "quiet" => arguments.quiet = true,
            "json" => arguments.json = true,
            _ => return Err(usage(Arg::Long(&name).unexpected())),
        }
    }
    Ok(Call::Learn(Box::new(arguments)))
}

fn usage(error: lexopt::Error) -> Failure {
    Failure::Usage(format!("{error} (see --help)"))
}

fn text(option: &str, value: OsString) -> Result<String, Failure> {
    value
        .into_string()
        .map_err(|value| Failure::Usage(format!("--{option} is {value:?}, expected UTF-8")))
}

fn number<N: FromStr>(option: &str, value: OsString) -> Result<N, Failure> {
    let value = text(option, value)?;
    let expected = "expected a whole number, at least 0";
    value.parse().map_err(|_| Failure::Usage(format!("--{option} is {value:?}, {expected}")))
}

fn positive(option: &str, value: OsString) -> Result<u64, Failure> {
    match number(option, value)? {
        0 => Err(Failure::Usage(format!("--{option} is 0, expected at least 1"))),
        number => Ok(number),
    }
}

fn real(option: &str, value: OsString) -> Result<f64, Failure> {
    let value = text(option, value)?;
    value.parse().map_err(|_| Failure::Usage(format!("--{option} is {value:?}, expected a number")))
}

/// `90`, `90s`, `15m`, `2h`.
fn duration(option: &str, value: OsString) -> Result<Duration, Failure> {
    let value = text(option, value)?;
    let units = [('s', 1.0), ('m', 60.0), ('h', 3600.0)];
    let unit = units.iter().find(|(unit, _)| value.ends_with(*unit));
    let digits = value.trim_end_matches(['s', 'm', 'h']);
    let seconds = digits.parse::<f64>().ok().map(|count| count * unit.map_or(1.0, |&(_, s)| s));
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration.filter(|time| !time.is_zero() && value.len() - digits.len() <= 1).ok_or_else(|| {
        let expected = "expected a time such as 90s, 15m or 2h";
        Failure::Usage(format!("--{option} is {value:?}, {expected}"))
    })
}

/// A number of steps, or a time with its unit.
fn often(option: &str, value: OsString) -> Result<Often, Failure> {
    if value.to_str().is_some_and(|text| text.ends_with(['s', 'm', 'h'])) {
        Ok(Often::Time(duration(option, value)?))
    } else {
        Ok(Often::Steps(positive(option, value)?))
    }
}

fn threads(count: usize) -> Result<usize, Failure> {
    match count {
        0 => Err(Failure::Usage("--threads is 0, expected at least 1".to_owned())),
        count => Ok(count),
    }
}

fn precision(name: &str) -> Result<Precision, Failure> {
    match name {
        "f32" => Ok(Precision::F32),
        "f64" => Ok(Precision::F64),
        _ => Err(Failure::Usage(format!("--precision is {name:?}, expected f32 or f64"))),
    }
}

fn selection(name: &str) -> Result<Selection, Failure> {
    match name {
        "omp" => Ok(Selection::Correlation),
        "ols" => Ok(Selection::LeastSquares),
        _ => Err(Failure::Usage(format!("--selection is {name:?}, expected omp or ols"))),
    }
}
