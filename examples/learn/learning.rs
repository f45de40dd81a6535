//! The run itself.

use dbksvd::coder::BatchOmp;
use dbksvd::learn::{Observer, Report, Seconds, StopReason};
use dbksvd::updater::KSvd;
use dbksvd::{DbKsvd, Initialisation, Model};

use crate::arguments::Arguments;
use crate::dataset::Part;
use crate::failure::Failure;
use crate::start::Start;

/// The coder of learning and of all measures.
pub fn coder(arguments: &Arguments) -> BatchOmp {
    BatchOmp::new().selection(arguments.selection)
}

/// Learns from `rows`, telling `observer`.
pub fn learn(
    arguments: &Arguments,
    start: Start,
    rows: &Part<'_>,
    observer: &mut impl Observer<f32>,
) -> Result<(Model<f32>, Report), Failure> {
    let Start { shape, given, center } = start;
    let mut initialisation = Initialisation::Samples;
    if let Some(given) = given {
        let has_mean = given.mean.is_some();
        if arguments.epochs == Some(0) && has_mean == center {
            let model = Model::new(given.dictionary, given.mean, shape.sparsity, shape.sign)?;
            return Ok((model, nothing_learned()));
        }
        initialisation = Initialisation::Given(given.dictionary);
    }
    let mut updater = KSvd::new();
    if let Some(atoms) = arguments.atom_batch {
        updater = updater.atom_batch(atoms);
    }
    let mut builder = DbKsvd::builder(shape.atoms, shape.sparsity)
        .sign(shape.sign)
        .seed(arguments.seed)
        .center(center)
        .initialisation(initialisation)
        .coder(coder(arguments))
        .updater(updater);
    if let Some(epochs) = arguments.epochs {
        builder = builder.epochs(epochs);
    }
    if let Some(samples) = arguments.minibatch {
        builder = builder.minibatch(samples);
    }
    let learner = builder.build()?;
    learner.fit_with(rows, observer).map_err(|error| Failure::in_file(error, rows.path()))
}

/// The report of a run that had nothing to do.
fn nothing_learned() -> Report {
    let (seconds, stop) = (Seconds::default(), StopReason::Completed);
    Report { epochs: Vec::new(), steps: 0, seconds, stop }
}
