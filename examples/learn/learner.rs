//! What the options make of the library's builders.

use dbksvd::backend::{PursuitKernels, SweepKernels};
use dbksvd::coder::BatchOmp;
use dbksvd::learn::{Builder, Checkpoints, Every, Resume};
use dbksvd::updater::KSvd;
use dbksvd::{DbKsvd, Initialisation};

use crate::arguments::{Arguments, Often};
use crate::start::{Given, Start};

/// The progress at which a run begins that has a learned dictionary of as many atoms as it wants.
const NEARLY_DONE: f64 = 0.8;

/// The builder of a run for the least error, on a backend.
pub fn builder<B: PursuitKernels + SweepKernels>(
    backend: B,
    arguments: &Arguments,
    start: Start<B::Scalar>,
) -> Builder<B, BatchOmp, KSvd> {
    let Start { shape, given, .. } = start;
    let mut updater = KSvd::new();
    if let Some(atoms) = arguments.atom_batch {
        updater = updater.atom_batch(atoms);
    }
    let mut builder = DbKsvd::builder_on(backend, shape.atoms, shape.sparsity)
        .sign(shape.sign)
        .seed(arguments.seed)
        .center(arguments.center)
        .scale(arguments.scale)
        .outliers(arguments.outliers)
        .coder(BatchOmp::new().selection(arguments.selection.unwrap_or_default()))
        .updater(updater);
    if let Some(Given { dictionary, preprocessing, .. }) = given {
        // New atoms need the whole schedule.
        let is_complete = dictionary.atoms() == shape.atoms;
        builder = builder.start_at(if is_complete { NEARLY_DONE } else { 0.0 });
        builder = builder.initialisation(Initialisation::Given(dictionary));
        builder = builder.preprocessing(preprocessing);
    }
    if let Some(progress) = arguments.start_at {
        builder = builder.start_at(progress);
    }
    if let Some(epochs) = arguments.epochs {
        builder = builder.epochs(epochs);
    }
    if let Some(samples) = arguments.minibatch {
        builder = builder.minibatch(samples);
    }
    if let Some(steps) = arguments.steps {
        builder = builder.max_steps(steps);
    }
    if let Some(time) = arguments.time {
        builder = builder.time_budget(time);
    }
    if let Some(fvu) = arguments.target_fvu {
        builder = builder.target_fvu(fvu);
    }
    if let Some(steps) = arguments.evaluate_every {
        builder = builder.evaluate_every(Every::Steps(steps));
    }
    builder
}

/// `checkpoints` in the directory of the outputs, if any are asked for.
pub fn checkpoints(arguments: &Arguments) -> Option<Checkpoints> {
    if arguments.checkpoint_every.is_none() && !arguments.resume {
        return None;
    }
    let checkpoints = Checkpoints::new(arguments.out.join("checkpoints"));
    let checkpoints = match arguments.checkpoint_every {
        None => checkpoints,
        Some(Often::Steps(steps)) => checkpoints.every_steps(steps).every(None),
        Some(Often::Time(time)) => checkpoints.every(Some(time)),
    };
    let resume = if arguments.resume { Resume::IfPresent } else { Resume::Never };
    Some(checkpoints.resume(resume))
}
