//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use dbksvd::Outliers;
use lexopt::Arg::{Long, Short, Value};
use lexopt::Parser;

/// What is asked for.
#[derive(Debug)]
pub struct Arguments {
    pub data: Vec<PathBuf>,
    pub tensor: Option<String>,
    pub is_double: bool,
    pub held_out: Option<f64>,
    pub center: bool,
    pub scale: bool,
    pub outliers: Outliers,
    pub atoms: usize,
    pub sparsity: usize,
    pub non_negative: bool,
    pub shards: Option<usize>,
    pub minibatch: Option<usize>,
    pub epochs: Option<usize>,
    pub steps: Option<u64>,
    pub time: Option<Duration>,
    pub target_fvu: Option<f64>,
    pub evaluate_every: Option<u64>,
    pub seed: u64,
    pub threads: Option<usize>,
    pub out: PathBuf,
    pub checkpoint_every: Option<u64>,
    pub resume: bool,
    pub quiet: bool,
}

/// What the program is called for.
#[derive(Debug)]
pub enum Call {
    Help,
    Version,
    Learn(Box<Arguments>),
}

/// Reads the command line, and says in one line what is wrong with it.
pub fn parse() -> Result<Call, String> {
    parse_from(Parser::from_env())
}

fn parse_from(mut parser: Parser) -> Result<Call, String> {
    let mut arguments = Arguments {
        data: Vec::new(),
        tensor: None,
        is_double: false,
        held_out: None,
        center: false,
        scale: false,
        outliers: Outliers::Keep,
        atoms: 0,
        sparsity: 0,
        non_negative: false,
        shards: None,
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
    let mut is_learn = false;
    let (mut atoms, mut sparsity) = (None, None);
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let name = match argument {
            Value(command) if !is_learn && command == "learn" => {
                is_learn = true;
                continue;
            }
            Value(other) => return Err(format!("unexpected argument {other:?}")),
            Short(letter) => return Err(format!("unknown option -{letter}")),
            Long(name) => name.to_owned(),
        };
        let p = &mut parser;
        let a = &mut arguments;
        match name.as_str() {
            "help" => return Ok(Call::Help),
            "version" => return Ok(Call::Version),
            "data" => {
                let paths = p.values().map_err(|_| "--data is empty, expected files".to_owned())?;
                a.data.extend(paths.map(PathBuf::from));
            }
            "tensor" => a.tensor = Some(number(p, &name, "the name of a tensor")?),
            "precision" => {
                a.is_double = match text(p, &name)?.as_str() {
                    "f32" => false,
                    "f64" => true,
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
            "atoms" => atoms = Some(number(p, &name, "a number of atoms")?),
            "sparsity" => sparsity = Some(number(p, &name, "a number of atoms a row")?),
            "non-negative" => a.non_negative = true,
            "shards" => a.shards = Some(number(p, &name, "1, 2, 4, 8, 16 or 32")?),
            "minibatch" => a.minibatch = Some(number(p, &name, "a number of rows")?),
            "epochs" => a.epochs = Some(number(p, &name, "a number of passes")?),
            "steps" => a.steps = Some(number(p, &name, "a number of steps")?),
            "time" => {
                let seconds: f64 = number(p, &name, "seconds")?;
                let time = Duration::try_from_secs_f64(seconds);
                a.time = Some(time.map_err(|_| format!("--time is {seconds}, expected seconds"))?);
            }
            "target-fvu" => a.target_fvu = Some(number(p, &name, "an error")?),
            "evaluate-every" => a.evaluate_every = Some(number(p, &name, "a number of steps")?),
            "seed" => a.seed = number(p, &name, "a whole number")?,
            "threads" => a.threads = Some(number(p, &name, "a number of threads")?),
            "out" => a.out = value(p, &name)?.into(),
            "checkpoint-every" => {
                a.checkpoint_every = Some(number(p, &name, "a number of steps")?);
            }
            "resume" => a.resume = true,
            "quiet" => a.quiet = true,
            _ => return Err(format!("unknown option --{name}")),
        }
    }
    if !is_learn {
        return Err("nothing to do, expected `dbksvd-mpi learn`".into());
    }
    if arguments.data.is_empty() {
        return Err("--data is missing, expected files".into());
    }
    arguments.atoms = atoms.ok_or("--atoms is missing, expected the size of the dictionary")?;
    arguments.sparsity = sparsity.ok_or("--sparsity is missing, expected the most atoms a row")?;
    Ok(Call::Learn(Box::new(arguments)))
}

fn value(parser: &mut Parser, name: &str) -> Result<OsString, String> {
    parser.value().map_err(|_| format!("--{name} is empty, expected a value"))
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
        assert_eq!((arguments.atoms, arguments.shards), (64, Some(8)));
        assert_eq!(arguments.outliers, Outliers::Drop(3.0));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, named) in [
            ("--atoms 4", "learn"),
            ("learn --atoms 64 --sparsity 4", "--data"),
            ("learn --data a.npy --sparsity 4", "--atoms"),
            ("learn --data a.npy --atoms many", "--atoms is many"),
            ("learn --data a.npy --clip-norm 3 --drop-norm 3", "--drop-norm"),
            ("learn --goal features", "--goal"),
            ("learn again", "again"),
        ] {
            let error = call(words).expect_err(words);
            assert!(error.contains(named), "{words}: {error}");
        }
    }
}
