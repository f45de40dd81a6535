//! Threads. They belong to the process that made them: a child made by `fork` has none of its
//! parent's, so rayon's global pool would wait there for ever. Pools are kept here under the
//! process they belong to, and made anew in a child.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The pools of one process, by their number of threads; 0 stands for rayon's default.
struct Pools {
    process: u32,
    by_threads: HashMap<usize, Arc<ThreadPool>>,
    /// What is taken where no number is asked for.
    default: usize,
}

/// Locked only by threads that are attached to Python, and only for moments in which they stay so.
/// A process is forked by such a thread, too, so the lock is free in a child.
static POOLS: Mutex<Option<Pools>> = Mutex::new(None);

/// The pool of so many threads (`None`: the default) in this process.
pub fn pool(_attached: Python<'_>, threads: Option<usize>) -> PyResult<Arc<ThreadPool>> {
    with_pools(|pools| {
        let threads = threads.unwrap_or(pools.default);
        if let Some(pool) = pools.by_threads.get(&threads) {
            return Ok(Arc::clone(pool));
        }
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let pool = Arc::new(pool);
        pools.by_threads.insert(threads, Arc::clone(&pool));
        Ok(pool)
    })
}

fn with_pools<R>(work: impl FnOnce(&mut Pools) -> R) -> R {
    let mut guard = POOLS.lock().unwrap_or_else(PoisonError::into_inner);
    let process = std::process::id();
    let default = guard.as_ref().map_or(0, |pools| pools.default);
    if guard.as_ref().is_some_and(|pools| pools.process != process) {
        // To drop the parent's pools would be to wait for threads that are not here.
        mem::forget(guard.take());
    }
    work(guard.get_or_insert_with(|| Pools { process, by_threads: HashMap::new(), default }))
}

/// Sets how many threads work where `n_jobs` does not say; 0 stands for one for each processor.
#[pyfunction]
pub fn set_num_threads(threads: usize) -> PyResult<()> {
    if threads > 4096 {
        let text = format!("`threads` is {threads}, expected 0 (one for each processor) to 4096");
        return Err(PyValueError::new_err(text));
    }
    with_pools(|pools| pools.default = threads);
    Ok(())
}

/// How many threads work where `n_jobs` does not say.
#[pyfunction]
pub fn get_num_threads(py: Python<'_>) -> PyResult<usize> {
    Ok(pool(py, None)?.current_num_threads())
}
