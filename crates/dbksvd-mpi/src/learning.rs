//! The run of one process.

use std::fs;
use std::io::{self, Write};
use std::ops::ControlFlow;

use dbksvd::group::Group;
use dbksvd::learn::{EpochReport, Evaluation, Fit, Observer, Seconds, Snapshot};
use dbksvd::observe::JsonLines;
use dbksvd::source::SampleSource;
use dbksvd::{DbKsvd, Faer, ProblemShape, Scalar};
use dbksvd_mpi::MpiGroup;

use crate::arguments::{Arguments, Precision};
use crate::call::Learn;
use crate::dataset::{Dataset, names};
use crate::failure::{Failure, say};
use crate::learner::{builder, checkpoints};
use crate::machine;
use crate::paths::keep_apart;
use crate::start::Start;

/// What the first process writes besides checkpoints.
const MODEL: &str = "dictionary.safetensors";
const BEST: &str = "best.safetensors";

/// Learns, and writes what was learned.
pub fn run(learn: &Learn, group: &MpiGroup) -> Result<(), Failure> {
    let dataset = told(group, opened(&learn.arguments))?;
    match learn.arguments.precision.unwrap_or_else(|| dataset.precision()) {
        Precision::F32 => run_in::<f32>(learn, group, &dataset),
        Precision::F64 => run_in::<f64>(learn, group, &dataset),
    }
}

/// The threads and the rows of this process.
fn opened(arguments: &Arguments) -> Result<Dataset, Failure> {
    if let Some(threads) = arguments.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build_global().map_err(|error| Failure::Usage(format!("--threads: {error}")))?;
    }
    Dataset::open(arguments)
}

/// A failure before the run, of which the others are told; a run tells them itself.
fn told<V>(group: &MpiGroup, result: Result<V, Failure>) -> Result<V, Failure> {
    if let Err(Failure::Usage(message) | Failure::Run(message)) = &result {
        group.leave(message);
    }
    result
}

fn run_in<T: Scalar>(learn: &Learn, group: &MpiGroup, dataset: &Dataset) -> Result<(), Failure> {
    let Learn { arguments, shards, .. } = learn;
    let learner = told(group, learner::<T>(arguments, *shards, dataset))?;
    let rows = told(group, dataset.learned(usize::MAX))?;
    let held_out = told(group, dataset.watched())?;
    let leads = group.rank() == 0;
    if leads {
        warn_of_idle_processes(learner.shards_of(&rows), group);
        // Before hours of learning, not after them.
        told(group, made_ready(arguments))?;
    }
    let mut observer = observer::<T>(arguments, leads);
    let mut run = learner.run(&rows).group(group).observer(&mut *observer);
    if let Some(held_out) = &held_out {
        run = run.held_out(held_out);
    }
    if let Some(checkpoints) = checkpoints(arguments) {
        run = run.checkpoints(checkpoints);
    }
    let in_rows = |error| dataset.failure(error);
    let Fit { model, best, report, failure, .. } = run.finish().map_err(in_rows)?;
    if !leads {
        return failure.map_or(Ok(()), |failure| Err(in_rows(failure)));
    }
    let out = &arguments.out;
    let best = best.filter(|best| best.step != report.steps).map(|best| best.model);
    let saved = model.save(out.join(MODEL)).and_then(|()| match &best {
        Some(best) => best.save(out.join(BEST)),
        None => Ok(()),
    });
    // What was learned until a failure is kept, and the failure is what there is to say.
    match failure {
        Some(failure) => {
            if let Err(error) = saved {
                let _ = writeln!(io::stderr(), "what was learned until then is not saved: {error}");
            }
            return Err(in_rows(failure));
        }
        None => saved?,
    }
    if !arguments.quiet && !arguments.json {
        let (processes, steps) = (group.ranks(), report.steps);
        say(&format!("{}: {steps} steps\n", report.stop.name()))?;
        let Seconds { encode, update, total, .. } = report.seconds;
        let _ = writeln!(
            io::stderr(),
            "{processes} processes: {total:.2} s, coding {encode:.2}, updates {update:.2}"
        );
    }
    Ok(())
}

/// The learner that `learn` would make of the same options.
fn learner<T: Scalar>(
    arguments: &Arguments,
    shards: Option<usize>,
    dataset: &Dataset,
) -> Result<DbKsvd<Faer<T>>, Failure> {
    let dim = SampleSource::<T>::dim(&dataset.source);
    let start = Start::<T>::new(arguments, dim, &names(&dataset.source))?;
    let ProblemShape { atoms, sparsity, .. } = start.shape;
    let minibatch = dataset.rows_learned().min(arguments.minibatch.unwrap_or(1));
    machine::check::<T>(dim, atoms, sparsity, minibatch).map_err(Failure::Usage)?;
    let mut builder = builder(Faer::default(), arguments, start);
    if let Some(shards) = shards {
        builder = builder.shards(shards);
    }
    Ok(builder.build()?)
}

fn warn_of_idle_processes(shards: usize, group: &MpiGroup) {
    let processes = group.ranks();
    if shards < processes {
        let _ = writeln!(
            io::stderr(),
            "warning: {processes} processes and {shards} shards, so {} have no samples to learn \
             from: give --shards, a power of two and at least {processes}, or start fewer",
            processes - shards
        );
    }
}

/// Makes the directory of outputs, and refuses outputs in the place of what is read.
fn made_ready(arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { out, data, mask, eval, eval_mask, dictionary, .. } = arguments;
    let inputs = [("--data", data), ("--mask", mask), ("--eval", eval), ("--eval-mask", eval_mask)];
    let inputs = inputs
        .iter()
        .flat_map(|(option, paths)| paths.iter().map(move |path| (*option, path.as_path())));
    let others = [BEST, "checkpoints/checkpoint-000000000001.safetensors"];
    let mut outputs = others.map(|name| ("--out", out.join(name))).to_vec();
    // A model may be learned on in its place.
    let dictionary = dictionary.iter().map(|path| ("--dictionary", path.as_path()));
    keep_apart(&dictionary.collect::<Vec<_>>(), &outputs)?;
    outputs.push(("--out", out.join(MODEL)));
    keep_apart(&inputs.collect::<Vec<_>>(), &outputs)?;
    fs::create_dir_all(out)
        .map_err(|error| Failure::Run(format!("--out {}: {error}", out.display())))
}

/// Whoever tells what happens: the first process.
fn observer<T: Scalar>(arguments: &Arguments, leads: bool) -> Box<dyn Observer<T>> {
    match (leads, arguments.json, arguments.quiet) {
        (false, ..) | (_, false, true) => Box::new(Silent),
        (_, true, _) => Box::new(JsonLines::new(io::stdout()).every_steps(0)),
        _ => Box::new(Teller),
    }
}

/// Tells nothing.
struct Silent;

impl<T: Scalar> Observer<T> for Silent {}

/// Prints what happens, in lines that are the same for any number of processes.
struct Teller;

impl<T: Scalar> Observer<T> for Teller {
    fn on_epoch(&mut self, epoch: &EpochReport, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        let EpochReport { epoch, fvu, fvu_within, l0, replaced, merged, .. } = *epoch;
        print(&format!(
            "epoch {epoch}: fvu {fvu}, within {fvu_within}, l0 {l0}, {replaced} replaced, {merged} \
             merged\n"
        ));
        ControlFlow::Continue(())
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        if evaluation.held_out {
            let Evaluation { step, fvu, fvu_within, .. } = *evaluation;
            print(&format!("step {step}: held-out fvu {fvu}, within {fvu_within}\n"));
        }
        ControlFlow::Continue(())
    }
}

/// Prints; nobody may be there to read it, which ends no run.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
