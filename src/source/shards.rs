//! Several sources that are read as one.

use std::ops::Range;

use super::{SampleSource, check_read};
use crate::Scalar;
use crate::error::{Error, SourceError};

/// Sources one after the other, such as the shards of a data set. Sample i of the whole is in the
/// shard whose range of samples contains i. Shards may differ in length and may be empty.
///
/// ```
/// use dbksvd::faer::Mat;
/// use dbksvd::source::{SampleSource, Shards};
///
/// let parts = vec![Mat::<f32>::zeros(4, 10), Mat::<f32>::zeros(4, 5)];
/// let all = Shards::new::<f32>(parts)?;
/// assert_eq!((all.samples(), all.locate(12)), (15, Some((1, 2))));
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Shards<S> {
    shards: Vec<S>,
    /// The first sample of each shard, and one past the last of all.
    starts: Vec<usize>,
    dim: usize,
}

impl<S> Shards<S> {
    /// The concatenation of `shards`, in their order.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are no shards or more samples than a `usize` can count,
    /// [`Error::Shard`] for a shard whose dimension differs from that of the first.
    pub fn new<T: Scalar>(shards: Vec<S>) -> Result<Self, Error>
    where
        S: SampleSource<T>,
    {
        let Some(first) = shards.first() else {
            return Err(Error::argument("shards", 0, "at least 1"));
        };
        let dim = first.dim();
        let mut starts = vec![0_usize];
        for (shard, source) in shards.iter().enumerate() {
            if source.dim() != dim {
                return Err(Error::Shard { shard, found: source.dim(), expected: dim });
            }
            let end = starts[shard].checked_add(source.len()).ok_or_else(|| {
                Error::argument("shards", "more than 2⁶⁴", "samples that can be counted")
            })?;
            starts.push(end);
        }
        Ok(Self { shards, starts, dim })
    }

    /// The shards.
    #[must_use]
    pub fn shards(&self) -> &[S] {
        &self.shards
    }

    /// The shard that holds sample `index` of the whole, and the sample's index in that shard;
    /// `None` if `index` is beyond the end.
    #[must_use]
    pub fn locate(&self, index: usize) -> Option<(usize, usize)> {
        // An empty shard starts where the next one does. Of several shards with the same start, the
        // last one holds the sample.
        let shard = self.starts.partition_point(|&start| start <= index) - 1;
        (shard < self.shards.len()).then(|| (shard, index - self.starts[shard]))
    }

    /// The number of samples N of all shards.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.starts[self.shards.len()]
    }
}

impl<T: Scalar, S: SampleSource<T>> SampleSource<T> for Shards<S> {
    fn dim(&self) -> usize {
        self.dim
    }

    fn len(&self) -> usize {
        self.samples()
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        check_read(&range, into.len(), self.samples(), self.dim)?;
        let (mut at, mut rest) = (range.start, into);
        while at < range.end {
            let Some((shard, first)) = self.locate(at) else { break };
            let count = (range.end - at).min(self.starts[shard + 1] - at);
            let (into, after) = rest.split_at_mut(count * self.dim);
            self.shards[shard].read(first..first + count, into)?;
            (at, rest) = (at + count, after);
        }
        Ok(())
    }

    /// The longest run length of the shards.
    fn run_length(&self) -> usize {
        self.shards.iter().map(SampleSource::run_length).max().unwrap_or(1)
    }

    /// The element type of the shards, or `mixed` if they differ.
    fn element_type(&self) -> &'static str {
        let mut types = self.shards.iter().map(SampleSource::element_type);
        let first = types.next().unwrap_or(T::NAME);
        if types.all(|other| other == first) { first } else { "mixed" }
    }

    /// The selections of the shards; empty if all of them are.
    fn selection(&self) -> String {
        let selections: Vec<String> = self.shards.iter().map(SampleSource::selection).collect();
        if selections.iter().all(String::is_empty) {
            return String::new();
        }
        selections.join("; ")
    }

    fn read_unrounded(&self, sample: usize, into: &mut [f64]) -> Result<bool, SourceError> {
        match self.locate(sample) {
            Some((shard, sample)) => self.shards[shard].read_unrounded(sample, into),
            None => Ok(false),
        }
    }
}
