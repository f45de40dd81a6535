//! Learns dictionaries of the rows in `data/` by the processes of an MPI job, or without MPI by
//! `--library`, and prints hashes of what came out: the same for any number of processes.
//!
//! ```sh
//! mpirun -n 4 same >four.txt && same --library >library.txt && cmp four.txt library.txt
//! ```
//! With `--pieces`, messages are sent in pieces of 999 bytes.

use std::path::Path;
use std::process::ExitCode;

use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::error::Error;
use dbksvd::faer::Mat;
use dbksvd::group::{Group, Solo};
use dbksvd::learn::{Every, Fit, Growth, Initialisation};
use dbksvd::source::{HeldOut, SampleSource, Subset, open_shards};
use dbksvd::updater::{DictionaryUpdater, Incoherent, KSvd, Renewal};
use dbksvd::{DbKsvd, Faer, Groups, Model, Outliers, Scalar, Sign};
use dbksvd_mpi::MpiGroup;

/// Rows that are learned from and held out: enough for several steps and blocks.
const ROWS: usize = 6_000;
/// Rows that are coded in the end.
const CODED: usize = 1_000;

fn main() -> ExitCode {
    let is_given = |option: &str| std::env::args().any(|argument| argument == option);
    let told = if is_given("--library") {
        all(None)
    } else {
        MpiGroup::start().map_err(Error::from).and_then(|group| {
            let group = if is_given("--pieces") { group.in_pieces_of(999) } else { group };
            let lines = all(Some(&group));
            if let Err(error) = &lines {
                group.leave(&error.to_string());
            }
            agreed(&group, lines?)
        })
    };
    match told {
        Ok(lines) => {
            print!("{lines}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// The lines of the first process, if those of all are the same. The others have none to print.
fn agreed(group: &MpiGroup, own: String) -> Result<String, Error> {
    let all = group.gather(own.as_bytes())?;
    if let Some(rank) = all.iter().position(|lines| *lines != all[0]) {
        let lines = String::from_utf8_lossy(&all[rank]);
        return Err(Error::argument("processes", format!("{rank} with\n{lines}"), own));
    }
    Ok(if group.rank() == 0 { own } else { String::new() })
}

fn all(group: Option<&dyn Group>) -> Result<String, Error> {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/minilm_l3_8192_f16.safetensors");
    let rows = Subset::new::<f32>(open_shards(&[file], None)?, std::iter::once(0..ROWS).collect())?;
    let mut lines = String::new();

    let growth = Growth { doublings: 2, until: 0.6 };
    let renewal = Renewal { window: 3.0, max_coherence: 0.5, ..Renewal::default() };
    let learner = DbKsvd::builder(96, 6).minibatch(1_200).epochs(2).shards(8).seed(5);
    let learner = learner.center(true).outliers(Outliers::Drop(1.03)).growth(Some(growth));
    let learner = learner.held_out(HeldOut::Share(0.15)).initialisation(Initialisation::Gaussian);
    let learner = learner.updater(KSvd::new().renewal(Some(renewal)));
    line::<f32, _, _>(&mut lines, "growth, dropped", &learner.build()?, &rows, group)?;

    let learner = DbKsvd::builder(500, 3).minibatch(1_200).epochs(2).shards(8);
    let learner = learner.center(true).initialisation(Initialisation::Gaussian);
    let learner = learner.updater(KSvd::new().renewal(Some(renewal)));
    line::<f32, _, _>(&mut lines, "renewed", &learner.build()?, &rows, group)?;

    let learner = DbKsvd::builder_on(Faer::<f64>::default(), 96, 6).sign(Sign::NonNegative);
    let learner = learner.minibatch(1_500).epochs(1).shards(4).evaluate_every(Every::Steps(2));
    let learner = learner.center(true).scale(true).outliers(Outliers::Clip(1.03));
    let learner = learner.held_out(HeldOut::Share(0.15));
    line::<f64, _, _>(&mut lines, "double, clipped", &learner.build()?, &rows, group)?;

    let learner = DbKsvd::builder(96, 6).minibatch(1_500).epochs(1).shards(2);
    let learner = learner.updater(Incoherent::new(KSvd::new(), 0.9));
    let learner = learner.matryoshka(Groups::new([32, 64])).held_out(HeldOut::Share(0.15));
    line::<f32, _, _>(&mut lines, "nested, incoherent", &learner.build()?, &rows, group)?;
    Ok(lines)
}

/// Makes a run, on a group or without, and adds what it gave.
fn line<T, C, U>(
    lines: &mut String,
    name: &str,
    learner: &DbKsvd<Faer<T>, C, U>,
    rows: &impl SampleSource<T>,
    group: Option<&dyn Group>,
) -> Result<(), Error>
where
    T: Scalar,
    C: SparseCoder<Faer<T>>,
    U: DictionaryUpdater<Faer<T>>,
{
    let run = learner.run(rows);
    let run = match group {
        Some(group) => run.group(group),
        None => run.group(&Solo),
    };
    let Fit { model, best, mut report, failure, .. } = run.finish()?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    report.seconds = Default::default();
    report.epochs.iter_mut().for_each(|epoch| epoch.elapsed = 0.0);
    report.evaluations.iter_mut().for_each(|evaluation| evaluation.elapsed = 0.0);
    let mut samples = Mat::<T>::zeros(rows.dim(), CODED);
    let mut values = vec![T::zero(); rows.dim() * CODED];
    rows.read(0..CODED, &mut values)?;
    values.chunks(rows.dim()).enumerate().for_each(|(i, row)| {
        samples.col_as_slice_mut(i).copy_from_slice(row);
    });
    let codes = model.encode(&BatchOmp::new(), samples.as_ref())?;
    let best = best.map(|best| (best.step, hash_of(&best.model)));
    let count = |of: fn(&dbksvd::learn::EpochReport) -> usize| -> usize {
        report.epochs.iter().map(of).sum()
    };
    let counts = [
        count(|epoch| epoch.replaced),
        count(|epoch| epoch.merged),
        count(|epoch| epoch.dropped),
        count(|epoch| epoch.clipped),
    ];
    let [replaced, merged, dropped, clipped] = counts;
    let (dictionary, codes) =
        (hash_of(&model), hash(format!("{:?}", codes.to_csr_parts()).as_bytes()));
    // The shortest text of a number tells it from any other.
    let whole = hash(format!("{report:?} {best:?}").as_bytes());
    lines.push_str(&format!(
        "{name}: dictionary {dictionary:016x}, codes {codes:016x}, report {whole:016x}; \
         {} steps, {replaced} replaced, {merged} merged, {dropped} dropped, {clipped} clipped, \
         {} measured\n",
        report.steps,
        report.evaluations.len(),
    ));
    Ok(())
}

/// A hash of the bits of atoms, mean, scale and norm limit.
fn hash_of<T: Scalar>(model: &Model<T>) -> u64 {
    let preprocessing = model.preprocessing();
    let atoms = model.dictionary().as_mat().col_iter().flat_map(|atom| atom.iter().copied());
    let mean = preprocessing.mean().unwrap_or_default().iter().copied();
    let limits = [preprocessing.scale(), preprocessing.norm_limit().unwrap_or(f64::NAN)];
    let numbers = atoms.chain(mean).map(Scalar::widen).chain(limits);
    hash(&numbers.flat_map(|x| x.to_bits().to_le_bytes()).collect::<Vec<u8>>())
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
