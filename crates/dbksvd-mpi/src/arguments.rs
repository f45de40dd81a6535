//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use dbksvd::Outliers;
use dbksvd::coder::Selection;
use lexopt::Arg::{Long, Short, Value};
use lexopt::Parser;

use crate::cost::arguments::{self as cost, CostArguments};

/// What is asked for.
#[derive(Debug)]
pub struct Arguments {
    pub data: Vec<PathBuf>,
    pub tensor: Option<String>,
    /// Whether to compute in double precision; by default, as the data are stored.
    pub is_double: Option<bool>,
    pub mask: Vec<PathBuf>,
    pub eval: Vec<PathBuf>,
    pub eval_mask: Vec<PathBuf>,
    pub held_out: Option<f64>,
    pub center: bool,
    pub scale: bool,
    pub outliers: Outliers,
    pub dictionary: Option<PathBuf>,
    pub atoms: Option<usize>,
    pub sparsity: Option<usize>,
    pub non_negative: bool,
    pub atom_batch: Option<usize>,
    pub selection: Option<Selection>,
    pub start_at: Option<f64>,
    pub shards: Option<usize>,
    /// Whether each process computes a part of the Gram matrix, and not all of it.
    pub shares_gram: bool,
    pub minibatch: Option<usize>,
    pub epochs: Option<usize>,
    pub steps: Option<u64>,
    pub time: Option<Duration>,
    pub target_fvu: Option<f64>,
    pub evaluate_every: Option<u64>,
    pub seed: u64,
    pub threads: Option<usize>,
    pub out: PathBuf,
    pub checkpoint_every: Option<Often>,
    pub resume: bool,
    pub quiet: bool,
}

/// How often to save.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Often {
    Steps(u64),
    Time(Duration),
}

/// Options of `learn` that say nothing here, and why.
const OF_LEARN: [(&str, &str); 3] = [
    ("goal", "the recipe for features wants all rows in one place in its second stage"),
    ("no-codes", "no codes are written here: `learn --epochs 0 --dictionary` writes them"),
    ("json", "what is printed is one line of text for each epoch and evaluation"),
];

/// What the program is called for.
#[derive(Debug)]
pub enum Call {
    Help,
    Version,
    Learn(Box<Arguments>),
    Cost(Box<CostArguments>),
}

/// Reads the command line, and says in one line what is wrong with it.
pub fn parse() -> Result<Call, String> {
    parse_from(Parser::from_env())
}

fn parse_from(mut parser: Parser) -> Result<Call, String> {
    let mut arguments = Arguments {
        data: Vec::new(),
        tensor: None,
        is_double: None,
        mask: Vec::new(),
        eval: Vec::new(),
        eval_mask: Vec::new(),
        held_out: None,
        center: false,
        scale: false,
        outliers: Outliers::Keep,
        dictionary: None,
        atoms: None,
        sparsity: None,
        non_negative: false,
        atom_batch: None,
        selection: None,
        start_at: None,
        shards: None,
        shares_gram: true,
        minibatch: None,
        epochs: None,
        steps: None,
        time: None,
        target_fvu: None,
        evaluate_every: None,
        seed: 0,
        threads: None,
        out: PathBuf::from("out"),
        checkpoint_every: None,
        resume: false,
        quiet: false,
    };
    let (mut is_learn, mut is_first) = (false, true);
    let mut given = Vec::new();
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let is_first = std::mem::replace(&mut is_first, false);
        let name = match argument {
            Value(command) if is_first && command == "learn" => {
                is_learn = true;
                continue;
            }
            Value(command) if is_first && command == "cost" => {
                let call = cost::parse(parser)?.map(|arguments| Call::Cost(Box::new(arguments)));
                return Ok(call.unwrap_or(Call::Help));
            }
            Value(other) => return Err(format!("unexpected argument {other:?}")),
            Short(letter) => return Err(format!("unknown option -{letter}")),
            Long(name) => name.to_owned(),
        };
        let may_be_repeated = ["data", "mask", "eval", "eval-mask"].contains(&name.as_str());
        if given.contains(&name) && !may_be_repeated {
            return Err(format!("--{name} is given twice"));
        }
        given.push(name.clone());
        let p = &mut parser;
        let a = &mut arguments;
        match name.as_str() {
            "help" => return Ok(Call::Help),
            "version" => return Ok(Call::Version),
            "data" => a.data.extend(paths(p, &name)?),
            "mask" => a.mask.extend(paths(p, &name)?),
            "eval" => a.eval.extend(paths(p, &name)?),
            "eval-mask" => a.eval_mask.extend(paths(p, &name)?),
            "tensor" => a.tensor = Some(number(p, &name, "the name of a tensor")?),
            "precision" => {
                a.is_double = match text(p, &name)?.as_str() {
                    "f32" => Some(false),
                    "f64" => Some(true),
                    other => return Err(format!("--precision is {other}, expected f32 or f64")),
                };
            }
            "held-out" => a.held_out = Some(number(p, &name, "a share of the rows")?),
            "mean" | "center" => a.center = true,
            "scale" => a.scale = true,
            "clip-norm" | "drop-norm" => {
                if a.outliers != Outliers::Keep {
                    return Err("--clip-norm and --drop-norm: expected one of them, once".into());
                }
                let factor = number(p, &name, "a multiple of the median norm")?;
                a.outliers = match name.as_str() {
                    "clip-norm" => Outliers::Clip(factor),
                    _ => Outliers::Drop(factor),
                };
            }
            "dictionary" => a.dictionary = Some(value(p, &name)?.into()),
            "atoms" => a.atoms = Some(number(p, &name, "a number of atoms")?),
            "sparsity" => a.sparsity = Some(number(p, &name, "a number of atoms a row")?),
            "non-negative" => a.non_negative = true,
            "atom-batch" => a.atom_batch = Some(number(p, &name, "a number of atoms")?),
            "selection" => {
                a.selection = match text(p, &name)?.as_str() {
                    "omp" => Some(Selection::Correlation),
                    "ols" => Some(Selection::LeastSquares),
                    other => return Err(format!("--selection is {other}, expected omp or ols")),
                };
            }
            "start-at" => a.start_at = Some(number(p, &name, "0 to 1")?),
            "shards" => a.shards = Some(number(p, &name, "a power of two up to 128")?),
            "gram" => {
                a.shares_gram = match text(p, &name)?.as_str() {
                    "shared" => true,
                    "each" => false,
                    other => return Err(format!("--gram is {other}, expected shared or each")),
                };
            }
            "minibatch" => a.minibatch = Some(number(p, &name, "a number of rows")?),
            "epochs" => a.epochs = Some(number(p, &name, "a number of passes")?),
            "steps" => a.steps = Some(number(p, &name, "a number of steps")?),
            "time" => {
                let text = text(p, &name)?;
                let expected = "a time such as 90s, 15m or 2h";
                a.time = Some(
                    time(&text).ok_or_else(|| format!("--time is {text}, expected {expected}"))?,
                );
            }
            "target-fvu" => a.target_fvu = Some(number(p, &name, "an error")?),
            "evaluate-every" => a.evaluate_every = Some(number(p, &name, "a number of steps")?),
            "seed" => a.seed = number(p, &name, "a whole number")?,
            "threads" => {
                let threads = number(p, &name, "a number of threads")?;
                if threads == 0 {
                    return Err("--threads is 0, expected at least 1".into());
                }
                a.threads = Some(threads);
            }
            "out" => a.out = value(p, &name)?.into(),
            "checkpoint-every" => {
                let text = text(p, &name)?;
                let wrong = || {
                    format!("--{name} is {text}, expected steps, or a time such as 90s, 15m or 2h")
                };
                a.checkpoint_every = Some(often(&text).ok_or_else(wrong)?);
            }
            "resume" => a.resume = true,
            "quiet" => a.quiet = true,
            _ => {
                let why = OF_LEARN.iter().find(|(option, _)| *option == name);
                return Err(match why {
                    Some((_, why)) => format!("--{name} is an option of `learn` alone: {why}"),
                    None => format!("unknown option --{name}"),
                });
            }
        }
    }
    if !is_learn {
        return Err("nothing to do, expected `dbksvd-mpi learn` or `cost`".into());
    }
    if arguments.data.is_empty() {
        return Err("--data is missing, expected files".into());
    }
    if arguments.dictionary.is_none() {
        for (name, is_given) in
            [("atoms", arguments.atoms.is_some()), ("sparsity", arguments.sparsity.is_some())]
        {
            if !is_given {
                return Err(format!("--{name} is missing, expected a number or --dictionary"));
            }
        }
    }
    if !arguments.eval.is_empty() && arguments.held_out.is_some() {
        return Err("--eval and --held-out are given, expected one of them".into());
    }
    if arguments.eval.is_empty() && !arguments.eval_mask.is_empty() {
        return Err("--eval-mask is given without --eval, whose rows it is for".into());
    }
    Ok(Call::Learn(Box::new(arguments)))
}

fn value(parser: &mut Parser, name: &str) -> Result<OsString, String> {
    parser.value().map_err(|_| format!("--{name} is empty, expected a value"))
}

fn paths(parser: &mut Parser, name: &str) -> Result<Vec<PathBuf>, String> {
    let paths = parser.values().map_err(|_| format!("--{name} is empty, expected files"))?;
    Ok(paths.map(PathBuf::from).collect())
}

/// `90`, `90s`, `15m`, `2h`.
fn time(text: &str) -> Option<Duration> {
    let units = [('s', 1.0), ('m', 60.0), ('h', 3600.0)];
    let unit = units.iter().find_map(|&(unit, seconds)| Some((text.strip_suffix(unit)?, seconds)));
    let (digits, seconds) = unit.unwrap_or((text, 1.0));
    let time = Duration::try_from_secs_f64(digits.parse::<f64>().ok()? * seconds).ok()?;
    (!time.is_zero()).then_some(time)
}

fn often(text: &str) -> Option<Often> {
    if text.ends_with(['s', 'm', 'h']) {
        return time(text).map(Often::Time);
    }
    text.parse().ok().filter(|&steps| steps > 0).map(Often::Steps)
}

fn text(parser: &mut Parser, name: &str) -> Result<String, String> {
    value(parser, name)?.into_string().map_err(|value| format!("--{name} is {value:?}, not UTF-8"))
}

fn number<V: FromStr>(parser: &mut Parser, name: &str, expected: &str) -> Result<V, String> {
    let text = text(parser, name)?;
    text.parse().map_err(|_| format!("--{name} is {text}, expected {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &str) -> Result<Call, String> {
        parse_from(Parser::from_args(words.split_whitespace()))
    }

    #[test]
    fn options_are_taken() {
        let words = "learn --data a.npy b.npy --atoms 64 --sparsity 4 --drop-norm 3 --shards 8";
        let Ok(Call::Learn(arguments)) = call(words) else { panic!("a legal call") };
        assert_eq!(arguments.data.len(), 2);
        assert_eq!((arguments.atoms, arguments.shards), (Some(64), Some(8)));
        assert_eq!(arguments.outliers, Outliers::Drop(3.0));
        let words = "learn --data a.npy --dictionary d.npy --time 2h --checkpoint-every 10m";
        let Ok(Call::Learn(arguments)) = call(words) else { panic!("a legal call") };
        assert_eq!(arguments.time, Some(Duration::from_secs(7200)));
        assert_eq!(arguments.checkpoint_every, Some(Often::Time(Duration::from_secs(600))));
        assert!(matches!(call("cost --cores 4"), Ok(Call::Cost(_))));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, named) in [
            ("--atoms 4", "`dbksvd-mpi learn`"),
            ("learn --atoms 64 --sparsity 4", "--data"),
            ("learn --data a.npy --sparsity 4", "--atoms"),
            ("learn --data a.npy --atoms many", "--atoms is many"),
            ("learn --data a.npy --clip-norm 3 --drop-norm 3", "--drop-norm"),
            ("learn --goal features", "`learn` alone"),
            ("learn --data a.npy --time 2x", "--time is 2x"),
            ("learn --data a.npy --checkpoint-every 0", "--checkpoint-every is 0"),
            ("learn --data a.npy --atoms 4 --sparsity 2 --eval b.npy --held-out 0.1", "--eval"),
            ("learn --data a.npy --atoms 4 --sparsity 2 --eval-mask b.npy", "--eval-mask"),
            ("learn --nothing", "--nothing"),
            ("learn --data a.npy --atoms 4 --atoms 8", "--atoms is given twice"),
            ("learn --data a.npy --threads 0", "--threads is 0"),
            ("--quiet cost", "unexpected argument \"cost\""),
            ("learn again", "again"),
        ] {
            let error = call(words).expect_err(words);
            assert!(error.contains(named), "{words}: {error}");
        }
    }
}
