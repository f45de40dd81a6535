//! Coding with the planted dictionary: samples a second of OMP, and whether codes are the same.

use std::time::Instant;

use dbksvd::coder::BatchOmp;
use dbksvd::{Dictionary, Faer, Model, Sign, SparseCodes};
use oxicuda_cs::greedy::{GreedyResult, omp};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::problem::{HELD_OUT, Problem, rows, single};
use crate::program::Outcome;
use crate::table::{Column, Table, median};

pub const COLUMNS: &[Column] = &[
    Column { title: "codes/s", digits: 0 },
    Column { title: "over the last's", digits: 1 },
    Column { title: "error", digits: 5 },
    Column { title: "same atoms, %", digits: 2 },
];
/// Timed calls of a coder in a round, after one that is not timed.
const TURNS: usize = 3;

pub struct Coder {
    name: &'static str,
    kind: Kind,
    pool: ThreadPool,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Double,
    Single,
    OneByOne,
}

pub fn pool(threads: usize) -> Outcome<ThreadPool> {
    Ok(ThreadPoolBuilder::new().num_threads(threads).build()?)
}

/// All coders; ratios are to the last.
pub fn all() -> Outcome<Vec<Coder>> {
    let coder = |name, kind, threads| Ok(Coder { name, kind, pool: pool(threads)? });
    [
        ("dbksvd f64, 1 thread", Kind::Double, 1),
        ("dbksvd f64, 2 threads", Kind::Double, 2),
        ("dbksvd f32, 1 thread", Kind::Single, 1),
        ("dbksvd f32, 2 threads", Kind::Single, 2),
        ("oxicuda-cs omp, f64, called from 2 threads", Kind::OneByOne, 2),
        ("oxicuda-cs omp, f64, 1 thread", Kind::OneByOne, 1),
    ]
    .map(|(name, kind, threads)| coder(name, kind, threads))
    .into_iter()
    .collect()
}

/// Every coder on one problem, in turns.
pub fn round(coders: &[Coder], problem: &Problem, table: &mut Table) -> Outcome<()> {
    let double = problem.model(&problem.truth)?.encoder(BatchOmp::new());
    let atoms = Dictionary::new(single(problem.truth.as_mat()))?;
    let single = Model::new(atoms, None, problem.sparsity, Sign::Signed)?;
    let single = single.encoder(BatchOmp::new())?;
    let (double, truth): (dbksvd::Encoder<Faer<f64>>, _) = (double?, rows(problem.truth.as_mat()));
    let signals = signals(problem);

    let mut seconds = vec![Vec::new(); coders.len()];
    let mut codes = vec![SparseCodes::new(1, 0, 1); coders.len()];
    for turn in 0..=TURNS {
        for ((coder, seconds), codes) in coders.iter().zip(&mut seconds).zip(&mut codes) {
            let start = Instant::now();
            let taken;
            *codes = match coder.kind {
                Kind::Double => {
                    let codes = coder.pool.install(|| double.encode(&problem.held_out))?;
                    taken = start.elapsed();
                    codes
                }
                Kind::Single => {
                    let codes = coder.pool.install(|| single.encode(&problem.held_out_f32))?;
                    taken = start.elapsed();
                    widened(&codes)
                }
                Kind::OneByOne => {
                    let found = coder.pool.install(|| pursuits(problem, &truth, &signals))?;
                    taken = start.elapsed();
                    sparse(problem, problem.truth.atoms(), &found)
                }
            };
            if turn > 0 {
                seconds.push(taken.as_secs_f64());
            }
        }
    }
    let rates: Vec<f64> =
        codes.iter().zip(&seconds).map(|(codes, of)| codes.samples() as f64 / median(of)).collect();
    let last = rates[rates.len() - 1];
    for ((coder, &rate), found) in coders.iter().zip(&rates).zip(&codes) {
        let error = problem.error_of(&problem.truth, found)?;
        table.add(coder.name, [rate, rate / last, error, 100.0 * agreement(found, &codes[0])]);
    }
    Ok(())
}

/// Codes of the first held-out samples by `oxicuda-cs`.
pub fn one_by_one(problem: &Problem, dictionary: &Dictionary<f64>) -> Outcome<SparseCodes<f64>> {
    let found = pursuits(problem, &rows(dictionary.as_mat()), &signals(problem))?;
    Ok(sparse(problem, dictionary.atoms(), &found))
}

/// The samples that are coded one at a time.
fn signals(problem: &Problem) -> Vec<Vec<f64>> {
    let columns = problem.held_out.col_iter().take(problem.coded.min(HELD_OUT));
    columns.map(|column| column.iter().copied().collect()).collect()
}

/// It has no threads of its own, and takes one sample a call. A tolerance of 0 ends no pursuit.
fn pursuits(problem: &Problem, atoms: &[f64], signals: &[Vec<f64>]) -> Outcome<Vec<GreedyResult>> {
    let dim = problem.truth.dim();
    let code = |y: &Vec<f64>| omp(atoms, dim, atoms.len() / dim, y, problem.sparsity, 0.0);
    Ok(signals.par_iter().map(code).collect::<Result<_, _>>()?)
}

fn sparse(problem: &Problem, atoms: usize, found: &[GreedyResult]) -> SparseCodes<f64> {
    let mut codes = SparseCodes::new(atoms, found.len(), problem.sparsity);
    for (i, code) in found.iter().enumerate() {
        let support: Vec<u32> = code.support.iter().map(|&atom| atom as u32).collect();
        let values: Vec<f64> = code.support.iter().map(|&atom| code.x[atom]).collect();
        codes.set(i, &support, &values);
    }
    codes
}

fn widened(codes: &SparseCodes<f32>) -> SparseCodes<f64> {
    let mut wide = SparseCodes::new(codes.atoms(), codes.samples(), codes.sparsity());
    for (i, (support, values)) in codes.iter().enumerate() {
        let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
        wide.set(i, support, &values);
    }
    wide
}

/// The share of the samples of `some` for which `others` have the same atoms.
fn agreement(some: &SparseCodes<f64>, others: &SparseCodes<f64>) -> f64 {
    let sorted = |support: &[u32]| {
        let mut support = support.to_vec();
        support.sort_unstable();
        support
    };
    let pairs = some.iter().zip(others.iter());
    let same = pairs.filter(|((one, _), (other, _))| sorted(one) == sorted(other)).count();
    same as f64 / some.samples() as f64
}
