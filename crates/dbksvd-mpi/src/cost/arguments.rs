//! The options of `dbksvd-mpi cost`.

use dbksvd::{ProblemShape, Sign};

use super::model::Network;
use crate::failure::Failure;
use crate::options::{Options, Usage};

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

/// Reads what follows `cost`; `None` if help is asked for.
pub fn parse(mut options: Options) -> Result<Option<CostArguments>, Failure> {
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
    while let Some(name) = options.next()? {
        let a = &mut arguments;
        match name.as_str() {
            "help" => return Ok(None),
            "dim" => a.shape.dim = options.whole(1)?,
            "atoms" => a.shape.atoms = options.whole(1)?,
            "sparsity" => a.shape.sparsity = options.whole(1)?,
            "minibatch" => a.minibatch = options.whole(1)?,
            "sweeps" => a.sweeps = options.whole(1)?,
            "atom-batch" => a.atom_batch = options.whole(1)?,
            "cores" => a.cores = options.whole(1)?,
            "machines" => a.machines = options.sizes()?,
            "networks" => {
                let text = options.text()?;
                let read = |text: &str| {
                    let (gigabits, micros) = text.split_once(':')?;
                    let [gigabits, micros] = [gigabits, micros].map(|text| text.parse().ok());
                    let is_legal = |number: &f64| is_positive(number);
                    Some(network(gigabits.filter(is_legal)?, micros.filter(is_legal)?))
                };
                let found: Option<Vec<Network>> = text.split(',').map(read).collect();
                let expected = "gigabits a second and microseconds, such as 1:60,100:2";
                a.networks = found.ok_or_else(|| options.wrong(&text, expected))?;
            }
            "coding" => a.coding = Some(positive(&mut options)? * 1e-3),
            "gram" => a.gram = Some(positive(&mut options)?),
            "update" => a.update = Some(positive(&mut options)? * 1e-3),
            "message" => a.message = Some(positive(&mut options)? * 1e-6),
            _ => return Err(options.unknown().into()),
        }
    }
    arguments.shape.check()?;
    Ok(Some(arguments))
}

fn is_positive(number: &f64) -> bool {
    number.is_finite() && *number > 0.0
}

fn positive(options: &mut Options) -> Result<f64, Usage> {
    options.number("a positive number", is_positive)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(words: &str) -> Result<Option<CostArguments>, Failure> {
        parse(Options::of(lexopt::Parser::from_args(words.split_whitespace())))
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
        assert!(matches!(call("--help"), Ok(None)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, named) in [
            ("--machines 4,0", "--machines is \"4,0\""),
            ("--networks 4", "--networks is 4"),
            ("--coding -1", "--coding is -1"),
            ("--atoms many", "--atoms is \"many\""),
            ("--sparsity 4000", "sparsity"),
            ("--speed 3", "--speed"),
            ("twice", "twice"),
        ] {
            match call(words) {
                Err(Failure::Usage(message) | Failure::Run(message)) => {
                    assert!(message.contains(named), "{words}: {message}");
                }
                other => panic!("{words}: {other:?}"),
            }
        }
    }
}
