//! The run of one process.

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use dbksvd::coder::BatchOmp;
use dbksvd::export::read_dictionary_npy;
use dbksvd::group::Group;
use dbksvd::learn::{
    Checkpoints, EpochReport, Evaluation, Every, Fit, Observer, Resume, Seconds, Snapshot,
};
use dbksvd::source::{
    FileSource, HeldOut, Mask, SampleSource, Shards, Subset, open_shards, read_mask,
};
use dbksvd::updater::KSvd;
use dbksvd::{
    DbKsvd, Dictionary, Error, Faer, Initialisation, Model, Outliers, Preprocessing, Scalar, Sign,
};
use dbksvd_mpi::MpiGroup;

use crate::arguments::{Arguments, Often};

/// Learns, and writes what was learned.
pub fn run(arguments: &Arguments, group: &MpiGroup) -> Result<(), String> {
    if let Some(threads) = arguments.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        told(group, pool.build_global().map_err(|error| format!("--threads: {error}")))?;
    }
    let opened = open(&arguments.data, &arguments.mask, arguments);
    let (source, mask) = told(group, opened.map_err(text))?;
    let is_double = SampleSource::<f64>::element_type(&source) == "f64";
    if arguments.is_double.unwrap_or(is_double) {
        learn::<f64>(arguments, group, &source, &mask)
    } else {
        learn::<f32>(arguments, group, &source, &mask)
    }
}

type Rows = Shards<FileSource>;

/// Rows of files, and those of them that are used.
fn open(files: &[PathBuf], masks: &[PathBuf], with: &Arguments) -> Result<(Rows, Mask), Error> {
    let rows = open_shards(files, with.tensor.as_deref())?;
    let mask = match masks {
        [] => Mask::all(rows.samples()),
        masks => read_mask(masks, rows.shards())?,
    };
    Ok((rows, mask))
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
    rows: &Rows,
    mask: &Mask,
) -> Result<(), String> {
    let source = told(group, Subset::masked::<T>(rows, mask).map_err(text))?;
    let eval = match arguments.eval.as_slice() {
        [] => None,
        files => Some(told(group, open(files, &arguments.eval_mask, arguments).map_err(text))?),
    };
    let eval = eval.as_ref().map(|(rows, mask)| Subset::masked::<T>(rows, mask)).transpose();
    let eval = told(group, eval.map_err(text))?;
    let learner = told(group, learner::<T>(arguments).map_err(text))?;
    let (shards, processes) = (learner.shards_of(&source), group.ranks());
    if group.rank() == 0 && shards < processes {
        eprintln!(
            "warning: {processes} processes and {shards} shards, so {} have no samples to learn \
             from: give --shards, a power of two and at least {processes}, or start fewer",
            processes - shards
        );
    }
    if group.rank() == 0 {
        // Before hours of learning, not after them.
        told(group, made_ready(arguments))?;
    }
    let mut teller = Teller { tells: group.rank() == 0 && !arguments.quiet };
    let checkpoints = Checkpoints::new(arguments.out.join("checkpoints"));
    let checkpoints = match arguments.checkpoint_every {
        None => checkpoints,
        Some(Often::Steps(steps)) => checkpoints.every_steps(steps).every(None),
        Some(Often::Time(time)) => checkpoints.every(Some(time)),
    };
    let resume = if arguments.resume { Resume::IfPresent } else { Resume::Never };
    let mut run = learner.run(&source).group(group).observer(&mut teller);
    if let Some(eval) = &eval {
        run = run.held_out(eval);
    }
    if arguments.resume || arguments.checkpoint_every.is_some() {
        run = run.checkpoints(checkpoints.resume(resume));
    }
    let Fit { model, best, report, failure, .. } = run.finish().map_err(text)?;
    if group.rank() > 0 {
        return failure.map_or(Ok(()), |failure| Err(text(failure)));
    }
    let out = &arguments.out;
    let best = best.filter(|best| best.step != report.steps).map(|best| best.model);
    let saved = model.save(out.join("dictionary.safetensors")).and_then(|()| match &best {
        Some(best) => best.save(out.join("best.safetensors")),
        None => Ok(()),
    });
    // What was learned until a failure is kept, and the failure is what there is to say.
    match failure {
        Some(failure) => return Err(text(failure)),
        None => saved.map_err(text)?,
    }
    if !arguments.quiet {
        let (processes, steps) = (group.ranks(), report.steps);
        print(&format!("{}: {steps} steps\n", report.stop.name()));
        let Seconds { encode, update, total, .. } = report.seconds;
        eprintln!("{processes} processes: {total:.2} s, coding {encode:.2}, updates {update:.2}");
    }
    Ok(())
}

/// Makes the directory of outputs, and refuses outputs in the place of what is read.
fn made_ready(arguments: &Arguments) -> Result<(), String> {
    let Arguments { out, data, mask, eval, eval_mask, dictionary, .. } = arguments;
    fs::create_dir_all(out).map_err(|error| format!("--out {}: {error}", out.display()))?;
    let inputs = [data, mask, eval, eval_mask].into_iter().flatten().chain(dictionary);
    let inputs: Vec<PathBuf> = inputs.filter_map(|path| path.canonicalize().ok()).collect();
    for name in ["dictionary.safetensors", "best.safetensors"] {
        let output = out.join(name);
        if output.canonicalize().is_ok_and(|output| inputs.contains(&output)) {
            let output = output.display();
            return Err(format!("--out would overwrite {output}, which is read: give another"));
        }
    }
    Ok(())
}

/// Prints; nobody may be there to read it, which ends no run.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// The learner that `learn` would make of the same options.
fn learner<T: Scalar>(arguments: &Arguments) -> Result<DbKsvd<Faer<T>>, Error> {
    let given = arguments.dictionary.as_ref().map(|path| given(path)).transpose()?;
    let sizes = given.as_ref().map(|given: &Given<T>| (given.dictionary.atoms(), given.sparsity));
    let (given_atoms, given_sparsity) = sizes.unwrap_or_default();
    let atoms = arguments.atoms.unwrap_or(given_atoms);
    let sparsity = arguments.sparsity.or(given_sparsity).unwrap_or_default();
    if atoms < given_atoms {
        let expected = format!("at least {given_atoms}, the atoms of --dictionary");
        return Err(Error::argument("atoms", atoms, expected));
    }
    let is_non_negative =
        arguments.non_negative || given.as_ref().is_some_and(|given| given.is_non_negative);
    let mut updater = KSvd::new();
    if let Some(atoms) = arguments.atom_batch {
        updater = updater.atom_batch(atoms);
    }
    let mut builder = DbKsvd::builder_on(Faer::default(), atoms, sparsity)
        .sign(if is_non_negative { Sign::NonNegative } else { Sign::Signed })
        .seed(arguments.seed)
        .center(arguments.center)
        .scale(arguments.scale)
        .outliers(arguments.outliers)
        .coder(BatchOmp::new().selection(arguments.selection.unwrap_or_default()))
        .updater(updater);
    if let Some(Given { dictionary, preprocessing, .. }) = given {
        // New atoms need the whole schedule.
        builder = builder.start_at(if given_atoms == atoms { NEARLY_DONE } else { 0.0 });
        builder = builder.initialisation(Initialisation::Given(dictionary));
        builder = builder.preprocessing(kept(arguments, &preprocessing)?);
    }
    if let Some(progress) = arguments.start_at {
        builder = builder.start_at(progress);
    }
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

/// The progress at which a run begins that has a learned dictionary of as many atoms as it wants.
const NEARLY_DONE: f64 = 0.8;

/// A dictionary to start from, with what its file says besides.
struct Given<T: Scalar> {
    dictionary: Dictionary<T>,
    preprocessing: Preprocessing<T>,
    sparsity: Option<usize>,
    is_non_negative: bool,
}

fn given<T: Scalar>(path: &Path) -> Result<Given<T>, Error> {
    if path.extension().is_some_and(|text| text.eq_ignore_ascii_case("npy")) {
        return Ok(Given {
            dictionary: read_dictionary_npy(path)?,
            preprocessing: Preprocessing::none(),
            sparsity: None,
            is_non_negative: false,
        });
    }
    let model = Model::<T>::load(path)?;
    Ok(Given {
        dictionary: model.dictionary().clone(),
        preprocessing: model.preprocessing().clone(),
        sparsity: Some(model.sparsity()),
        is_non_negative: model.sign() == Sign::NonNegative,
    })
}

/// What of a model's preprocessing stays: all that no option asks to take from the data.
fn kept<T: Scalar>(
    arguments: &Arguments,
    model: &Preprocessing<T>,
) -> Result<Preprocessing<T>, Error> {
    let mean = model.mean().filter(|_| !arguments.center).map(<[T]>::to_vec);
    let scale = if arguments.scale { 1.0 } else { model.scale() };
    let limit = model.norm_limit().filter(|_| arguments.outliers == Outliers::Keep);
    Preprocessing::none().with_mean(mean)?.with_scale(scale)?.with_norm_limit(limit)
}

/// Prints what happens, in lines that are the same for any number of processes.
struct Teller {
    tells: bool,
}

impl<T: Scalar> Observer<T> for Teller {
    fn on_epoch(&mut self, epoch: &EpochReport, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        if self.tells {
            let EpochReport { epoch, fvu, fvu_within, l0, replaced, merged, .. } = *epoch;
            print(&format!(
                "epoch {epoch}: fvu {fvu}, within {fvu_within}, l0 {l0}, {replaced} replaced, \
                 {merged} merged\n"
            ));
        }
        ControlFlow::Continue(())
    }

    fn on_evaluation(&mut self, evaluation: &Evaluation, _: &Snapshot<'_, T>) -> ControlFlow<()> {
        if self.tells && evaluation.held_out {
            let Evaluation { step, fvu, fvu_within, .. } = *evaluation;
            print(&format!("step {step}: held-out fvu {fvu}, within {fvu_within}\n"));
        }
        ControlFlow::Continue(())
    }
}
