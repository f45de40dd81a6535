//! Scratch memory that tasks hand on to each other.

use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};

/// Scratch memory of tasks that have ended, for the tasks that come: as many as ever ran at once.
///
/// [`SparseCoder::encode`](crate::coder::SparseCoder::encode) gets a shared state, since threads
/// may encode at once. A coder that needs scratch memory keeps a pool of it in its state, and so
/// allocates nothing in a call like an earlier one.
///
/// ```
/// use dbksvd::coder::ScratchPool;
///
/// let pool = ScratchPool::<Vec<f64>>::default();
/// let sum_of_squares = |values: &[f64]| {
///     pool.with(Vec::new, |squares| {
///         squares.clear();
///         squares.extend(values.iter().map(|x| x * x));
///         squares.iter().sum::<f64>()
///     })
/// };
/// assert_eq!(sum_of_squares(&[3.0, 4.0]), 25.0);
/// assert_eq!(sum_of_squares(&[2.0]), 4.0); // in the same memory
/// ```
#[derive(Debug)]
pub struct ScratchPool<S>(Mutex<Vec<S>>);

impl<S> Default for ScratchPool<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S> ScratchPool<S> {
    /// Runs a task with scratch that is idle, or with `new` scratch. What an earlier task left in
    /// it is still there.
    pub fn with<R>(&self, new: impl FnOnce() -> S, task: impl FnOnce(&mut S) -> R) -> R {
        let task = |scratch: &mut S| Ok::<R, Infallible>(task(scratch));
        match self.try_with(|| Ok(new()), task) {
            Ok(result) => result,
            Err(never) => match never {},
        }
    }

    /// [`with`](Self::with) where making scratch, or the task, may fail.
    ///
    /// # Errors
    /// Those of `new` and of `task`.
    pub fn try_with<R, E>(
        &self,
        new: impl FnOnce() -> Result<S, E>,
        task: impl FnOnce(&mut S) -> Result<R, E>,
    ) -> Result<R, E> {
        // A panic elsewhere leaves scratch in no state that matters.
        let idle = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let scratch = idle().pop();
        let mut scratch = scratch.map_or_else(new, Ok)?;
        let result = task(&mut scratch);
        idle().push(scratch);
        result
    }

    /// Frees all scratch memory that is idle.
    pub fn clear(&mut self) {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[test]
    fn a_pool_makes_scratch_once_until_it_is_cleared() {
        let made = Cell::new(0);
        let new = || {
            made.set(made.get() + 1);
            Vec::<u8>::new()
        };
        let mut pool = ScratchPool::default();
        pool.with(new, |scratch| scratch.push(7));
        assert_eq!(pool.with(new, |scratch| scratch.clone()), [7], "what was left in it");
        assert_eq!(made.get(), 1);
        pool.clear();
        assert!(pool.with(new, |scratch| scratch.is_empty()));
        assert_eq!(made.get(), 2);
    }
}
