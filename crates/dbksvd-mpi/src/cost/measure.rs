//! What coding, updates and messages take here.

use std::time::Instant;

use dbksvd::backend::Backend;
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::error::{BackendError, Error};
use dbksvd::group::Group;
use dbksvd::synthetic::Planted;
use dbksvd::updater::{DictionaryUpdater, KSvd, Step};
use dbksvd::{Faer, ProblemShape};

use super::arguments::CostArguments;
use super::model::Work;

/// Samples that are coded.
pub const SAMPLES: usize = 4096;

/// Calls of which the median is taken.
const CALLS: usize = 1001;

/// What one core needs.
pub fn work(arguments: &CostArguments) -> Result<Work, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
    let pool = pool.map_err(|error| Error::argument("threads", error, "one thread"))?;
    pool.install(|| of_one_core(arguments))
}

fn of_one_core(arguments: &CostArguments) -> Result<Work, Error> {
    let shape = arguments.shape;
    let ProblemShape { dim, atoms, sparsity, .. } = shape;
    let planted = Planted::new(dim, atoms, sparsity, SAMPLES).noise(0.05).generate::<f32>()?;
    let (samples, mut dictionary) = (planted.samples, planted.dictionary.into_mat());
    let (backend, coder) = (Faer::<f32>::default(), BatchOmp::new());
    let updater = KSvd::new().sweeps(arguments.sweeps).atom_batch(arguments.atom_batch);
    let mut state = SparseCoder::<Faer<f32>>::prepare(&coder, &backend, &shape)?;
    let mut codes = backend.codes(atoms, SAMPLES, sparsity)?;
    let start = Instant::now();
    coder.set_dictionary(&backend, &mut state, &dictionary)?;
    let gram = start.elapsed().as_secs_f64();
    let start = Instant::now();
    coder.encode(&backend, &state, &dictionary, &samples, &mut codes)?;
    let coding = start.elapsed().as_secs_f64() / SAMPLES as f64;
    let order: Vec<u32> = (0..atoms as u32).collect();
    let mut state = DictionaryUpdater::<Faer<f32>>::prepare(&updater, &backend, &shape)?;
    let step = Step::new(&order, 0.0);
    let start = Instant::now();
    updater.update(&backend, &mut state, &samples, &mut codes, &mut dictionary, &step)?;
    let update = start.elapsed().as_secs_f64() / SAMPLES as f64;
    Ok(Work { coding, gram, update })
}

/// What calls take between the processes of this job.
#[derive(Clone, Copy, Debug)]
pub struct Meeting {
    /// Seconds of a call that moves a few numbers.
    pub short: f64,
    /// Seconds in which the directions of a batch of atoms are summed and sent.
    pub sums: f64,
    /// Bytes that each process sends a second meanwhile.
    pub bytes_per_second: f64,
}

/// Where there are several processes.
pub fn meeting(
    arguments: &CostArguments,
    group: &dyn Group,
) -> Result<Option<Meeting>, BackendError> {
    let ranks = group.ranks();
    if ranks == 1 {
        return Ok(None);
    }
    // As `Share` does it: each process sums some of the atoms, and gives the others the sums.
    let batch = arguments.atom_batch.min(arguments.shape.atoms);
    let each = batch.div_ceil(ranks) * (arguments.shape.dim + 2) * size_of::<f32>();
    let parts = vec![vec![0_u8; each]; ranks];
    let short = median(&mut || group.gather(&[0; 24]).map(|_| ()))?;
    let sums = median(&mut || {
        group.exchange(&parts)?;
        group.gather(&parts[0]).map(|_| ())
    })?;
    Ok(Some(Meeting { short, sums, bytes_per_second: (2 * (ranks - 1) * each) as f64 / sums }))
}

fn median(call: &mut dyn FnMut() -> Result<(), BackendError>) -> Result<f64, BackendError> {
    let mut seconds = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let start = Instant::now();
        call()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    Ok(seconds[CALLS / 2])
}
