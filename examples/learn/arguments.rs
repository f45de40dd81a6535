//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use dbksvd::coder::Selection;
use lexopt::Arg;

use crate::failure::Failure;

/// What is asked for. `None` where the default depends on something else.
#[derive(Debug)]
pub struct Arguments {
    pub data: Option<PathBuf>,
    pub tensor: Option<String>,
    pub eval: Option<PathBuf>,
    pub dictionary: Option<PathBuf>,
    pub atoms: Option<usize>,
    pub sparsity: Option<usize>,
    pub epochs: Option<usize>,
    pub minibatch: Option<usize>,
    pub atom_batch: Option<usize>,
    pub selection: Selection,
    pub non_negative: bool,
    pub center: bool,
    pub seed: u64,
    pub threads: Option<usize>,
    pub out: PathBuf,
    pub quiet: bool,
    pub json: bool,
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
        data: None,
        tensor: None,
        eval: None,
        dictionary: None,
        atoms: None,
        sparsity: None,
        epochs: None,
        minibatch: None,
        atom_batch: None,
        selection: Selection::default(),
        non_negative: false,
        center: false,
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
            "data" => arguments.data = Some(value()?.into()),
            "tensor" => arguments.tensor = Some(text(&name, value()?)?),
            "eval" => arguments.eval = Some(value()?.into()),
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
            "center" => arguments.center = true,
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

fn threads(count: usize) -> Result<usize, Failure> {
    match count {
        0 => Err(Failure::Usage("--threads is 0, expected at least 1".to_owned())),
        count => Ok(count),
    }
}

fn selection(name: &str) -> Result<Selection, Failure> {
    match name {
        "omp" => Ok(Selection::Correlation),
        "ols" => Ok(Selection::LeastSquares),
        _ => Err(Failure::Usage(format!("--selection is {name:?}, expected omp or ols"))),
    }
}
