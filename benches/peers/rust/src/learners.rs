//! Learning: seconds of a fit, and what its dictionary is worth.

use std::time::Instant;

use dbksvd::faer::Mat;
use dbksvd::metrics::{RECOVERED, Recovery};
use dbksvd::updater::KSvd;
use dbksvd::{DbKsvd, Dictionary, Faer, Initialisation, Scalar};
use oxicuda_cs::LcgRng;
use oxicuda_cs::dictionary::{k_svd, mod_dl};

use crate::coders::{one_by_one, pool};
use crate::problem::{Problem, dictionary, single};
use crate::program::Outcome;
use crate::table::{Column, Table};

pub const COLUMNS: &[Column] = &[
    Column { title: "seconds", digits: 3 },
    Column { title: "over the first's", digits: 1 },
    Column { title: "error", digits: 5 },
    Column { title: "by oxicuda-cs", digits: 5 },
    Column { title: "recovered, %", digits: 1 },
];

type Fit = Box<dyn Fn(&Problem) -> Outcome<Dictionary<f64>>>;

pub struct Learner {
    name: &'static str,
    fit: Fit,
    /// Fits a round: short ones are repeated, and their seconds are the median.
    times: usize,
}

/// How this crate cuts its work.
#[derive(Clone, Copy)]
enum Steps {
    /// Minibatches and batches of atoms, as they are by default.
    Defaults,
    /// All samples in a step, and one atom after the other.
    Whole,
}

/// All learners, each from the same start with the same passes over the samples.
pub fn all() -> Outcome<Vec<Learner>> {
    let learner = |name, times, fit| Learner { name, fit, times };
    Ok(vec![
        learner("dbksvd f64, 1 thread", 3, ours(1, false, Steps::Defaults)?),
        learner("dbksvd f64, 2 threads", 3, ours(2, false, Steps::Defaults)?),
        learner("dbksvd f32, 1 thread", 3, ours(1, true, Steps::Defaults)?),
        learner("dbksvd f32, 2 threads", 3, ours(2, true, Steps::Defaults)?),
        learner("dbksvd f64, whole sweeps, 1 thread", 3, ours(1, false, Steps::Whole)?),
        learner("oxicuda-cs k_svd, f64, 1 thread", 1, Box::new(theirs)),
        learner("oxicuda-cs mod_dl, f64, 1 thread", 1, Box::new(theirs_mod)),
    ])
}

/// Every learner on one problem, in turn.
pub fn round(learners: &[Learner], problem: &Problem, table: &mut Table) -> Outcome<()> {
    let unlearned = [("the start", &problem.start), ("the planted atoms", &problem.truth)];
    let mut learned = Vec::new();
    let mut seconds = vec![Vec::new(); learners.len()];
    // The first turn is in a cold cache, for those that have others.
    for turn in 0..=learners.iter().map(|learner| learner.times).max().unwrap_or(0) {
        for (learner, seconds) in learners.iter().zip(&mut seconds) {
            if turn > 0 && turn > learner.times || turn == 0 && learner.times == 1 {
                continue;
            }
            let start = Instant::now();
            let dictionary = (learner.fit)(problem)?;
            if turn > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
            if turn == 1 {
                learned.push((learner.name, dictionary));
            }
        }
    }
    let seconds: Vec<f64> = seconds.iter().map(|of| crate::table::median(of)).collect();
    for ((name, dictionary), &taken) in learned.iter().zip(&seconds) {
        let [error, by_peer, recovered] = worth(problem, dictionary)?;
        table.add(name, [taken, taken / seconds[0], error, by_peer, recovered]);
    }
    for (name, dictionary) in unlearned {
        let [error, by_peer, recovered] = worth(problem, dictionary)?;
        table.add(name, [f64::NAN, f64::NAN, error, by_peer, recovered]);
    }
    Ok(())
}

/// Held-out error by this crate's OMP, by that of `oxicuda-cs` on the first samples, and the share
/// of planted atoms that were found.
fn worth(problem: &Problem, dictionary: &Dictionary<f64>) -> Outcome<[f64; 3]> {
    let by_peer = problem.error_of(dictionary, &one_by_one(problem, dictionary)?)?;
    let recovered = Recovery::new(dictionary, &problem.truth)?.recovered(RECOVERED);
    Ok([problem.error(dictionary)?, by_peer, 100.0 * recovered])
}

/// This crate from the given start.
fn ours(threads: usize, in_single: bool, steps: Steps) -> Outcome<Fit> {
    let pool = pool(threads)?;
    Ok(Box::new(move |problem| {
        pool.install(|| {
            if !in_single {
                return fit(problem, &problem.train, problem.start.clone(), steps);
            }
            let start = Dictionary::new(single(problem.start.as_mat()))?;
            let learned = fit(problem, &problem.train_f32, start, steps)?.into_mat();
            let (dim, atoms) = learned.shape();
            let double = Mat::from_fn(dim, atoms, |i, j| f64::from(learned[(i, j)]));
            Ok(Dictionary::normalized(double)?)
        })
    }))
}

fn fit<T: Scalar>(
    problem: &Problem,
    samples: &Mat<T>,
    start: Dictionary<T>,
    steps: Steps,
) -> Outcome<Dictionary<T>> {
    let (_, atoms, sparsity) = problem.shape();
    let mut builder = DbKsvd::builder_on(Faer::<T>::default(), atoms, sparsity)
        .initialisation(Initialisation::Given(start))
        .seed(problem.seed)
        .epochs(problem.passes);
    if let Steps::Whole = steps {
        builder = builder.minibatch(samples.ncols()).updater(KSvd::new().atom_batch(1));
    }
    let (model, _) = builder.build()?.fit(samples)?;
    Ok(model.dictionary().clone())
}

/// K-SVD of `oxicuda-cs`; a tolerance of 0 lets it make all its iterations.
fn theirs(problem: &Problem) -> Outcome<Dictionary<f64>> {
    let (dim, atoms, sparsity) = problem.shape();
    let (samples, rng) = (problem.train.ncols(), &mut LcgRng::new(problem.seed));
    let (rows, passes) = (&problem.train_rows, problem.passes);
    dictionary(&k_svd(rows, dim, samples, atoms, sparsity, passes, 0.0, rng)?.dict, dim)
}

/// Its method of optimal directions, which draws the same start.
fn theirs_mod(problem: &Problem) -> Outcome<Dictionary<f64>> {
    let (dim, atoms, sparsity) = problem.shape();
    let (samples, rng) = (problem.train.ncols(), &mut LcgRng::new(problem.seed));
    let (rows, passes) = (&problem.train_rows, problem.passes);
    dictionary(&mod_dl(rows, dim, samples, atoms, sparsity, passes, 0.0, rng)?.dict, dim)
}
