//! Memory that is fetched ahead of its use.
//!
//! Processors foresee streams, but not where the next of many scattered rows begins: a loop over
//! such rows waits for each, unless it says beforehand which ones come. Results do not change.

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Begins to fetch `values`, without waiting for them. Does nothing where Rust has no safe way to
/// say so.
///
/// To the second level of the caches: fewer lines can be on their way to the first than keep the
/// memory busy, and rows fetched there make a sweep slower.
#[inline(always)]
pub(crate) fn fetch<T>(values: &[T]) {
    #[cfg(target_arch = "x86_64")]
    for first in values.iter().step_by(LINE / size_of::<T>()) {
        safe_arch::prefetch_t1(first);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}
