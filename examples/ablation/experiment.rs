//! Every combination, learned with every seed.

use std::fmt;

use dbksvd::DbKsvd;
use dbksvd::updater::{KSvd, LeadingPair, Renewal};

use crate::arguments::Arguments;
use crate::problem::{Data, Problem};
use crate::program::Outcome;
use crate::statistics::mean;

/// One combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Samples a step.
    pub minibatch: usize,
    pub atom_batch: usize,
    pub power_steps: usize,
    /// Whether dead and duplicate atoms are renewed.
    pub care: bool,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { minibatch, atom_batch, power_steps, care } = self;
        let care = if *care { "care" } else { "no care" };
        write!(
            f,
            "minibatch {minibatch}, atom batch {atom_batch}, {power_steps} power steps, {care}"
        )
    }
}

/// What a combination came to.
pub struct Cell {
    pub setting: Setting,
    /// The measure of the problem, a value a seed.
    pub values: Vec<f64>,
    /// Mean seconds of learning.
    pub seconds: f64,
}

/// All combinations on one problem.
pub struct Study {
    pub problem: Problem,
    /// The levels of each factor, in the order they were asked for.
    pub minibatches: Vec<usize>,
    pub atom_batches: Vec<usize>,
    pub power_steps: Vec<usize>,
    pub cells: Vec<Cell>,
}

impl Study {
    pub fn cell(&self, setting: Setting) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.setting == setting)
    }

    /// The defaults of the crate where they are among the levels, else the first level.
    pub fn reference(&self) -> Setting {
        let pick = |levels: &[usize], default: usize| {
            if levels.contains(&default) { default } else { levels[0] }
        };
        let quarter = self.minibatches.iter().max().map_or(0, |all| all / 4);
        Setting {
            minibatch: pick(&self.minibatches, quarter),
            atom_batch: pick(&self.atom_batches, 32),
            power_steps: pick(&self.power_steps, 1),
            care: true,
        }
    }
}

/// Learns with every combination.
pub fn study(arguments: &Arguments, problem: Problem) -> Outcome<Study> {
    let data: Vec<Data> =
        (0..arguments.seeds).map(|seed| problem.data(seed)).collect::<Outcome<_>>()?;
    let samples = data[0].samples.ncols();
    let minibatches = distinct(arguments.minibatches.iter().map(|&steps| samples.div_ceil(steps)));
    let (atoms, _) = problem.size();
    let atom_batches = distinct(arguments.atom_batches.iter().map(|&batch| batch.min(atoms)));
    let power_steps = distinct(arguments.power_steps.iter().copied());
    let mut cells = Vec::new();
    for &minibatch in &minibatches {
        for &atom_batch in &atom_batches {
            for &power_steps in &power_steps {
                for care in [true, false] {
                    let setting = Setting { minibatch, atom_batch, power_steps, care };
                    let cell = measure(arguments, problem, &data, setting)?;
                    let digits = problem.digits();
                    eprintln!("{setting}: {:.digits$}", mean(&cell.values));
                    cells.push(cell);
                }
            }
        }
    }
    Ok(Study { problem, minibatches, atom_batches, power_steps, cells })
}

fn measure(
    arguments: &Arguments,
    problem: Problem,
    data: &[Data],
    setting: Setting,
) -> Outcome<Cell> {
    let Setting { minibatch, atom_batch, power_steps, care } = setting;
    let updater = KSvd::new()
        .atom_batch(atom_batch)
        .leading_pair(LeadingPair::Power { iterations: power_steps })
        .renewal(care.then(Renewal::default));
    let (atoms, sparsity) = problem.size();
    let (mut values, mut seconds) = (Vec::new(), Vec::new());
    for (seed, data) in (0..).zip(data) {
        let builder = DbKsvd::builder(atoms, sparsity).updater(updater).minibatch(minibatch);
        let learner = builder.epochs(arguments.epochs).seed(seed).build()?;
        let (model, report) = learner.fit(&data.samples)?;
        values.push(data.judge(&model)?);
        seconds.push(report.seconds.total);
    }
    Ok(Cell { setting, values, seconds: mean(&seconds) })
}

fn distinct(levels: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut seen = Vec::new();
    for level in levels {
        if !seen.contains(&level) {
            seen.push(level);
        }
    }
    seen
}
