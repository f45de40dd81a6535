//! The options of `dbksvd-mpi cost`.

use std::str::FromStr;

use dbksvd::{ProblemShape, Sign};
use lexopt::Arg::{Long, Short, Value};
use lexopt::Parser;

use super::model::Network;

/// A problem, machines, and what is known of them already.
#[derive(Clone, Debug, PartialEq)]
pub struct CostArguments {
    pub shape: ProblemShape,
    pub minibatch: usize,
    pub sweeps: usize,
    pub atom_batch: usize,
    pub cores: usize,
    pub machines: Vec<usize>,
    pub networks: Vec<Network>,
    /// Seconds of one core; measured where they are not given.
    pub coding: Option<f64>,
    pub gram: Option<f64>,
    pub update: Option<f64>,
    /// Seconds a message.
    pub message: Option<f64>,
}

/// Reads what follows `cost`.
pub fn parse(mut parser: Parser) -> Result<Option<CostArguments>, String> {
    let network = |gigabits: f64, micros: f64| Network { gigabits, latency: micros * 1e-6 };
    let mut arguments = CostArguments {
        shape: ProblemShape { dim: 2304, atoms: 16_384, sparsity: 32, sign: Sign::Signed },
        minibatch: 65_536,
        sweeps: 2,
        atom_batch: 32,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        machines: vec![4, 16, 64],
        networks: vec![network(1.0, 60.0), network(25.0, 10.0), network(100.0, 2.0)],
        coding: None,
        gram: None,
        update: None,
        message: None,
    };
    while let Some(argument) = parser.next().map_err(|error| error.to_string())? {
        let name = match argument {
            Long(name) => name.to_owned(),
            Short(letter) => return Err(format!("unknown option -{letter}")),
            Value(word) => return Err(format!("unexpected argument {word:?}")),
        };
        let p = &mut parser;
        let a = &mut arguments;
        match name.as_str() {
            "help" => return Ok(None),
            "dim" => a.shape.dim = whole(p, &name)?,
            "atoms" => a.shape.atoms = whole(p, &name)?,
            "sparsity" => a.shape.sparsity = whole(p, &name)?,
            "minibatch" => a.minibatch = whole(p, &name)?,
            "sweeps" => a.sweeps = whole(p, &name)?,
            "atom-batch" => a.atom_batch = whole(p, &name)?,
            "cores" => a.cores = whole(p, &name)?,
            "machines" => {
                let counts = text(p, &name)?;
                let found: Option<Vec<usize>> = counts.split(',').map(at_least_one).collect();
                let wrong = || format!("--machines is {counts}, expected numbers such as 4,16,64");
                a.machines = found.ok_or_else(wrong)?;
            }
            "networks" => {
                let networks = text(p, &name)?;
                let read = |text: &str| {
                    let (gigabits, micros) = text.split_once(':')?;
                    Some(network(positive(gigabits)?, positive(micros)?))
                };
                let found: Option<Vec<Network>> = networks.split(',').map(read).collect();
                let wrong = || {
                    format!("--networks is {networks}, expected Gb/s and µs, such as 1:60,100:2")
                };
                a.networks = found.ok_or_else(wrong)?;
            }
            "coding" => a.coding = Some(seconds(p, &name, 1e-3)?),
            "gram" => a.gram = Some(seconds(p, &name, 1.0)?),
            "update" => a.update = Some(seconds(p, &name, 1e-3)?),
            "message" => a.message = Some(seconds(p, &name, 1e-6)?),
            _ => return Err(format!("unknown option --{name}")),
        }
    }
    arguments.shape.check().map_err(|error| error.to_string())?;
    Ok(Some(arguments))
}

fn text(parser: &mut Parser, name: &str) -> Result<String, String> {
    let value = parser.value().map_err(|_| format!("--{name} is empty, expected a value"))?;
    value.into_string().map_err(|value| format!("--{name} is {value:?}, not UTF-8"))
}

fn at_least_one(text: &str) -> Option<usize> {
    text.parse().ok().filter(|&number| number > 0)
}

fn positive(text: &str) -> Option<f64> {
    f64::from_str(text).ok().filter(|number| number.is_finite() && *number > 0.0)
}

fn whole(parser: &mut Parser, name: &str) -> Result<usize, String> {
    let text = text(parser, name)?;
    let wrong = || format!("--{name} is {text}, expected a whole number, at least 1");
    at_least_one(&text).ok_or_else(wrong)
}

fn seconds(parser: &mut Parser, name: &str, unit: f64) -> Result<f64, String> {
    let text = text(parser, name)?;
    let wrong = || format!("--{name} is {text}, expected a positive number");
    positive(&text).map(|number| number * unit).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &str) -> Result<Option<CostArguments>, String> {
        parse(Parser::from_args(words.split_whitespace()))
    }

    #[test]
    fn numbers_have_their_units() {
        let words = "--dim 384 --atoms 2048 --sparsity 16 --machines 2,4 --networks 10:20 \
                     --coding 0.031 --gram 0.05 --update 0.004 --message 3 --cores 8";
        let arguments = call(words).expect("a legal call").expect("not help");
        assert_eq!((arguments.shape.dim, arguments.cores), (384, 8));
        assert_eq!(arguments.machines, [2, 4]);
        assert_eq!(arguments.networks, [Network { gigabits: 10.0, latency: 20.0 * 1e-6 }]);
        assert_eq!((arguments.coding, arguments.gram), (Some(0.031 * 1e-3), Some(0.05)));
        assert_eq!(arguments.message, Some(3.0 * 1e-6));
        assert_eq!(call("--help"), Ok(None));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, named) in [
            ("--machines 4,0", "--machines is 4,0"),
            ("--networks 4", "--networks is 4"),
            ("--coding -1", "--coding is -1"),
            ("--atoms many", "--atoms is many"),
            ("--sparsity 4000", "sparsity"),
            ("--speed 3", "--speed"),
            ("twice", "twice"),
        ] {
            let error = call(words).expect_err(words);
            assert!(error.contains(named), "{words}: {error}");
        }
    }
}
