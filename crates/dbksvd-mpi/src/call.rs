//! What the program is called for: the options of the example `learn`, but for those that an MPI
//! job has no use for, and some of its own.

use lexopt::Arg::{Long, Short, Value};
use lexopt::Parser;

use crate::arguments::{self, Arguments};
use crate::cost::arguments::{self as cost, CostArguments};
use crate::failure::Failure;
use crate::options::Options;

/// Options of `learn` that say nothing here, and why.
const OF_LEARN: [(&str, &str); 3] = [
    ("goal", "the recipe for features wants all rows in one place in its second stage"),
    ("no-codes", "no codes are written here: `learn --epochs 0 --dictionary` writes them"),
    ("device", "the processes of a job compute on their processors"),
];

/// The most shards of a minibatch.
const MOST_SHARDS: usize = 128;

/// What is asked for.
#[derive(Debug)]
pub enum Call {
    Help,
    Version,
    Learn(Box<Learn>),
    Cost(Box<CostArguments>),
}

/// A run, and what is the job's of it.
#[derive(Debug)]
pub struct Learn {
    pub arguments: Arguments,
    pub shards: Option<usize>,
    /// Whether each process computes a part of the Gram matrix, and not all of it.
    pub shares_gram: bool,
}

/// Reads the command line.
pub fn parse() -> Result<Call, Failure> {
    parse_from(Parser::from_env())
}

fn parse_from(mut parser: Parser) -> Result<Call, Failure> {
    let usage = |message: String| Failure::Usage(message);
    match parser.next().map_err(|error| usage(error.to_string()))? {
        Some(Value(command)) if command == "learn" => learn(Options::of(parser)),
        Some(Value(command)) if command == "cost" => {
            let arguments = cost::parse(Options::of(parser))?;
            Ok(arguments.map_or(Call::Help, |arguments| Call::Cost(Box::new(arguments))))
        }
        Some(Long("help") | Short('h')) => Ok(Call::Help),
        Some(Long("version") | Short('V')) => Ok(Call::Version),
        Some(other) => {
            let found = other.unexpected();
            Err(usage(format!("{found}, expected `learn` or `cost` first (see --help)")))
        }
        None => Err(usage("nothing to do, expected `learn` or `cost` (see --help)".to_owned())),
    }
}

fn learn(mut options: Options) -> Result<Call, Failure> {
    let mut arguments = Arguments::default();
    let (mut shards, mut shares_gram) = (None, true);
    let mut given = Vec::new();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "help" => return Ok(Call::Help),
            "version" => return Ok(Call::Version),
            "shards" => {
                let is_legal = |&n: &usize| n.is_power_of_two() && n <= MOST_SHARDS;
                let expected = format!("a power of two, 1 to {MOST_SHARDS}");
                shards = Some(options.number(&expected, is_legal)?);
            }
            "gram" => shares_gram = options.choice(&[("shared", true), ("each", false)])?,
            _ => match OF_LEARN.iter().find(|(option, _)| *option == name) {
                Some((_, why)) => {
                    let message = format!("--{name} is an option of `learn` alone: {why}");
                    return Err(Failure::Usage(message));
                }
                None => arguments::read(&mut arguments, &name, &mut options)?,
            },
        }
        given.push(name);
    }
    arguments::complete(&mut arguments, &given)?;
    if arguments.data.is_empty() {
        return Err(Failure::Usage("--data is missing, expected files".to_owned()));
    }
    if arguments.epochs == Some(0) {
        let why = "codes alone are written by `learn --epochs 0 --dictionary`";
        return Err(Failure::Usage(format!("--epochs is 0, expected at least 1: {why}")));
    }
    Ok(Call::Learn(Box::new(Learn { arguments, shards, shares_gram })))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use dbksvd::Outliers;

    use super::*;
    use crate::arguments::Often;

    fn call(words: &str) -> Result<Call, Failure> {
        parse_from(Parser::from_args(words.split_whitespace()))
    }

    fn legal(words: &str) -> Learn {
        match call(words) {
            Ok(Call::Learn(learn)) => *learn,
            other => panic!("{words}: {other:?}"),
        }
    }

    #[test]
    fn options_are_taken() {
        let words = "learn --data a.npy b.npy --atoms 64 --sparsity 4 --drop-norm 3 --shards 8";
        let Learn { arguments, shards, shares_gram } = legal(words);
        assert_eq!(arguments.data.len(), 2);
        assert_eq!((arguments.atoms, shards, shares_gram), (Some(64), Some(8), true));
        assert_eq!(arguments.outliers, Outliers::Drop(3.0));
        let words = "learn --data a.npy --dictionary d.npy --time 2h --checkpoint-every 10m \
                     --gram each --json";
        let Learn { arguments, shards, shares_gram } = legal(words);
        assert_eq!(arguments.time, Some(Duration::from_secs(7200)));
        assert!(
            matches!(arguments.checkpoint_every, Some(Often::Time(time)) if time.as_secs() == 600)
        );
        assert!((shards, shares_gram, arguments.json) == (None, false, true));
        assert!(matches!(call("cost --cores 4"), Ok(Call::Cost(_))));
        for words in ["-h", "--help", "learn -h", "learn --data a.npy --help", "cost --help"] {
            assert!(matches!(call(words), Ok(Call::Help)), "{words}");
        }
        assert!(matches!(call("-V"), Ok(Call::Version)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, named) in [
            ("", "`learn` or `cost`"),
            ("--atoms 4", "`learn` or `cost` first"),
            ("learn --atoms 64 --sparsity 4", "--data"),
            ("learn --data a.npy --atoms many", "--atoms is \"many\""),
            ("learn --data a.npy --clip-norm 3 --drop-norm 3", "--drop-norm"),
            ("learn --goal features", "`learn` alone"),
            ("learn --device cpu", "`learn` alone"),
            ("learn --data a.npy --time 2x", "--time is \"2x\""),
            ("learn --data a.npy --time --atoms", "--time is followed by --atoms"),
            ("learn --data a.npy --out=", "--out is empty"),
            ("learn --data a.npy --checkpoint-every 0", "--checkpoint-every is 0"),
            ("learn --data a.npy --eval b.npy --held-out 0.1", "--eval"),
            ("learn --data a.npy --eval-mask b.npy", "--eval-mask"),
            ("learn --nothing", "--nothing"),
            ("learn --data a.npy --atoms 4 --atoms 8", "--atoms is both 4 and 8"),
            ("learn --data a.npy --threads 0", "--threads is 0"),
            ("learn --data a.npy --shards 6", "--shards is 6"),
            ("learn --data a.npy --shards 256", "--shards is 256"),
            ("learn --data a.npy --epochs 0", "--epochs is 0"),
            ("--quiet cost", "`learn` or `cost` first"),
            ("learn again", "again"),
        ] {
            match call(words) {
                Err(Failure::Usage(message)) => {
                    assert!(message.contains(named), "{words}: {message}");
                }
                other => panic!("{words}: {other:?}"),
            }
        }
    }
}
