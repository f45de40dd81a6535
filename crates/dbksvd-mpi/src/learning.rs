//! The run of one process.

use std::fs;
use std::ops::ControlFlow;

use dbksvd::group::Group;
use dbksvd::learn::{Checkpoints, EpochReport, Evaluation, Every, Fit, Observer, Resume, Snapshot};
use dbksvd::source::{HeldOut, SampleSource, open_shards};
use dbksvd::{DbKsvd, Error, Faer, Scalar, Sign};
use dbksvd_mpi::MpiGroup;

use crate::arguments::Arguments;

/// Learns, and writes what was learned.
pub fn run(arguments: &Arguments, group: &MpiGroup) -> Result<(), String> {
    if let Some(threads) = arguments.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        told(group, pool.build_global().map_err(|error| format!("--threads: {error}")))?;
    }
    let source = open_shards(&arguments.data, arguments.tensor.as_deref());
    let source = told(group, source.map_err(text))?;
    if arguments.is_double {
        learn::<f64>(arguments, group, &source)
    } else {
        learn::<f32>(arguments, group, &source)
    }
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

/// A failure before the run, of which the others are told; a run tells them itself.
fn told<V>(group: &MpiGroup, result: Result<V, String>) -> Result<V, String> {
    if let Err(failure) = &result {
        group.leave(failure);
    }
    result
}

fn learn<T: Scalar>(
    arguments: &Arguments,
    group: &MpiGroup,
    source: &impl SampleSource<T>,
) -> Result<(), String> {
    let learner = told(group, learner::<T>(arguments).map_err(text))?;
    let mut teller = Teller { tells: group.rank() == 0 && !arguments.quiet };
    let checkpoints = Checkpoints::new(arguments.out.join("checkpoints"));
    let checkpoints = match arguments.checkpoint_every {
        None => checkpoints,
        Some(steps) => checkpoints.every_steps(steps).every(None),
    };
    let resume = if arguments.resume { Resume::IfPresent } else { Resume::Never };
    let mut run = learner.run(source).group(group).observer(&mut teller);
    if arguments.resume || arguments.checkpoint_every.is_some() {
        run = run.checkpoints(checkpoints.resume(resume));
    }
    let Fit { model, best, report, failure, .. } = run.finish().map_err(text)?;
    if let Some(failure) = failure {
        return Err(text(failure));
    }
    if group.rank() > 0 {
        return Ok(());
    }
    let out = &arguments.out;
    fs::create_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    model.save(out.join("dictionary.safetensors")).map_err(text)?;
    if let Some(best) = best.filter(|best| best.step != report.steps) {
        best.model.save(out.join("best.safetensors")).map_err(text)?;
    }
    if !arguments.quiet {
        let (owners, steps) = (group.ranks(), report.steps);
        println!("{}: {steps} steps", report.stop.name());
        eprintln!("{owners} processes, {:.1} s", report.seconds.total);
    }
    Ok(())
}

fn learner<T: Scalar>(arguments: &Arguments) -> Result<DbKsvd<Faer<T>>, Error> {
    let sign = if arguments.non_negative { Sign::NonNegative } else { Sign::Signed };
    let builder = DbKsvd::builder_on(Faer::default(), arguments.atoms, arguments.sparsity);
    let mut builder = builder
        .sign(sign)
        .seed(arguments.seed)
        .center(arguments.center)
        .scale(arguments.scale)
        .outliers(arguments.outliers);
    if let Some(share) = arguments.held_out {
        builder = builder.held_out(HeldOut::Share(share));
    }
    if let Some(shards) = arguments.shards {
        builder = builder.shards(shards);
    }
    if let Some(rows) = arguments.minibatch {
        builder = builder.minibatch(rows);
    }
    if let Some(epochs) = arguments.epochs {
        builder = builder.epochs(epochs);
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
    builder.build()
}

/// Prints what happens, in lines that are the same for any number of processes.
struct Teller {
    tells: bool,
}

impl<T: Scalar> Observer<T> for Teller {
    fn on_epoch(&mut self, epoch: &EpochReport, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        if self.tells {
            let EpochReport { epoch, fvu, fvu_within, l0, replaced, merged, .. } = *epoch;
            println!(
                "epoch {epoch}: fvu {fvu}, within {fvu_within}, l0 {l0}, {replaced} replaced, \
                 {merged} merged"
            );
        }
        ControlFlow::Continue(())
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        if self.tells && evaluation.held_out {
            let Evaluation { step, fvu, fvu_within, .. } = *evaluation;
            println!("step {step}: held-out fvu {fvu}, within {fvu_within}");
        }
        ControlFlow::Continue(())
    }
}
