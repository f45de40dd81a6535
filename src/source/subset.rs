//! Parts of a source: the samples to learn from and the samples that are held out.

use std::ops::Range;

use super::mask::Mask;
use super::permutation::Permutation;
use super::{SampleSource, check_read};
use crate::Scalar;
use crate::error::{Error, SourceError};
use crate::fingerprint::Fingerprint;
use crate::parameters::Parameters;
use crate::random::RandomStream;

/// The most consecutive samples that are held out together. In a longer block, most samples would
/// resemble their held-out neighbours more than any sample that is learned from.
const LONGEST_BLOCK: usize = 1024;

/// The samples that are held out: errors are measured on them, and nothing is learned from them.
#[derive(Clone, Debug, PartialEq)]
pub enum HeldOut {
    /// The samples of this range.
    Range(Range<usize>),
    /// This share of all samples, above 0 and below 1. The samples are held out in blocks of up to
    /// 1,024 consecutive ones, whose places depend on the seed. Blocks are shorter where there
    /// would be fewer than 16 otherwise. The number of samples is rounded to whole blocks.
    Share(f64),
}

impl From<&HeldOut> for Parameters {
    fn from(held_out: &HeldOut) -> Self {
        match held_out {
            HeldOut::Range(range) => {
                Self::of("range").with("start", range.start).with("end", range.end)
            }
            HeldOut::Share(share) => Self::of("share").with("value", *share),
        }
    }
}

/// Some of the samples of a source, given as ranges in ascending order or by a [`Mask`].
///
/// Consecutive samples of the source are read at once: a read of this source makes as many reads
/// of that one as the samples that it asks for lie in ranges.
///
/// ```
/// use dbksvd::faer::Mat;
/// use dbksvd::source::{SampleSource, Subset};
///
/// let samples = Mat::from_fn(2, 100, |i, j| (i + j) as f32);
/// let part = Subset::new::<f32>(&samples, vec![10..20, 50..60])?;
/// assert_eq!((part.samples(), part.index_in_source(10)), (20, Some(50)));
/// let mut row = [0.0_f32; 2];
/// part.read(10..11, &mut row)?;
/// assert_eq!(row, [50.0, 51.0]);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Subset<S> {
    source: S,
    /// Disjoint ranges in ascending order, none of them empty.
    ranges: Vec<Range<usize>>,
    /// The index of the first sample of each range, and the number of samples.
    starts: Vec<usize>,
}

impl<S> Subset<S> {
    /// The samples of `ranges`. The ranges are sorted first.
    ///
    /// # Errors
    /// [`Error::Argument`] for a range that reaches beyond the source or overlaps another.
    pub fn new<T: Scalar>(source: S, mut ranges: Vec<Range<usize>>) -> Result<Self, Error>
    where
        S: SampleSource<T>,
    {
        ranges.retain(|range| !range.is_empty());
        ranges.sort_unstable_by_key(|range| range.start);
        let mut end = 0;
        let mut starts = vec![0_usize];
        for range in &ranges {
            if range.end > source.len() || range.start < end {
                let expected = format!("disjoint ranges below {}", source.len());
                return Err(Error::argument("ranges", format!("{range:?}"), expected));
            }
            end = range.end;
            starts.push(starts[starts.len() - 1] + range.len());
        }
        Ok(Self { source, ranges, starts })
    }

    /// The samples that `mask` keeps. There may be none.
    ///
    /// # Errors
    /// [`Error::Argument`], naming `mask`, unless the mask has one value for each sample.
    pub fn masked<T: Scalar>(source: S, mask: &Mask) -> Result<Self, Error>
    where
        S: SampleSource<T>,
    {
        if mask.rows() != source.len() {
            let expected = format!("one value for each of {} samples", source.len());
            return Err(Error::argument("mask", format!("{} values", mask.rows()), expected));
        }
        Self::new(source, mask.ranges().to_vec())
    }

    /// The source.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// The ranges in ascending order.
    #[must_use]
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// The number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.starts[self.ranges.len()]
    }

    /// The index in the source of sample `index` of this subset; `None` if `index` is beyond the
    /// end.
    #[must_use]
    pub fn index_in_source(&self, index: usize) -> Option<usize> {
        let at = self.starts.partition_point(|&start| start <= index) - 1;
        Some(self.ranges.get(at)?.start + index - self.starts[at])
    }

    /// The samples `range` of this subset as ranges of samples of the source, in ascending order.
    /// What lies beyond the end of this subset is left out.
    pub fn ranges_in_source(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let first = self.starts.partition_point(|&start| start <= range.start) - 1;
        let parts = self.ranges.iter().zip(&self.starts).skip(first);
        parts.map_while(move |(part, &start)| {
            // The part of `range` that lies in this part of the source, counted from its first.
            let from = range.start.saturating_sub(start);
            let to = range.end.saturating_sub(start).min(part.len());
            (from < to).then(|| part.start + from..part.start + to)
        })
    }
}

impl<T: Scalar, S: SampleSource<T>> SampleSource<T> for Subset<S> {
    fn dim(&self) -> usize {
        self.source.dim()
    }

    fn len(&self) -> usize {
        self.samples()
    }

    fn read(&self, range: Range<usize>, into: &mut [T]) -> Result<(), SourceError> {
        let dim = self.source.dim();
        check_read(&range, into.len(), self.samples(), dim)?;
        let mut rest = into;
        for part in self.ranges_in_source(range) {
            let (into, after) = rest.split_at_mut(part.len() * dim);
            self.source.read(part, into)?;
            rest = after;
        }
        Ok(())
    }

    fn run_length(&self) -> usize {
        self.source.run_length()
    }

    fn element_type(&self) -> &'static str {
        self.source.element_type()
    }

    fn origin(&self, sample: usize) -> usize {
        self.source.origin(self.index_in_source(sample).unwrap_or(sample))
    }

    fn selection(&self) -> String {
        let whole = self.source.selection();
        let (found, samples, ranges) = (self.samples(), self.source.len(), self.ranges.len());
        if found == samples {
            return whole;
        }
        let mut hash = Fingerprint::new();
        hash.add(whole.as_bytes());
        for range in &self.ranges {
            hash.add(&(range.start as u64).to_le_bytes());
            hash.add(&(range.end as u64).to_le_bytes());
        }
        format!("{found} of {samples} in {ranges} ranges ({hash})")
    }

    fn read_unrounded(&self, sample: usize, into: &mut [f64]) -> Result<bool, SourceError> {
        match self.index_in_source(sample) {
            Some(sample) => self.source.read_unrounded(sample, into),
            None => Ok(false),
        }
    }
}

/// Splits `source` into the samples to learn from and the samples that are held out. The split
/// depends only on the length of the source and on the seed.
///
/// # Errors
/// [`Error::Argument`], naming `held_out`, for a range beyond the source, a share that is not
/// between 0 and 1, or a split that leaves one of the parts empty.
///
/// ```
/// use dbksvd::faer::Mat;
/// use dbksvd::source::{HeldOut, split};
///
/// let samples = Mat::from_fn(2, 1000, |i, j| (i + j) as f32);
/// let (learned, held_out) = split::<f32, _>(&samples, &HeldOut::Share(0.1), 0)?;
/// assert_eq!((learned.samples(), held_out.samples()), (900, 100));
/// # Ok::<(), dbksvd::Error>(())
/// ```
pub fn split<T: Scalar, S: SampleSource<T> + Copy>(
    source: S,
    held_out: &HeldOut,
    seed: u64,
) -> Result<(Subset<S>, Subset<S>), Error> {
    let samples = source.len();
    let held = match held_out {
        HeldOut::Range(range) => {
            if range.is_empty() || range.end > samples || range.len() == samples {
                let expected = format!("a part of 0..{samples}, neither empty nor all");
                return Err(Error::argument("held_out", format!("{range:?}"), expected));
            }
            vec![range.clone()]
        }
        HeldOut::Share(share) => blocks(samples, *share, seed)?,
    };
    let mut learned = Vec::with_capacity(held.len() + 1);
    let mut end = 0;
    for range in &held {
        learned.push(end..range.start);
        end = range.end;
    }
    learned.push(end..samples);
    Ok((Subset::new(source, learned)?, Subset::new(source, held)?))
}

/// The blocks that make up `share` of `samples`, in ascending order.
fn blocks(samples: usize, share: f64, seed: u64) -> Result<Vec<Range<usize>>, Error> {
    let refuse =
        |expected: &str| Err(Error::argument("held_out", format!("a share of {share}"), expected));
    if !(share > 0.0 && share < 1.0) {
        return refuse("a share above 0 and below 1");
    }
    let length = ((samples as f64 * share / 16.0) as usize).clamp(1, LONGEST_BLOCK);
    let blocks = samples.div_ceil(length);
    let count = (samples as f64 * share / length as f64).round() as usize;
    if count == 0 || count >= blocks {
        return refuse("a share that leaves samples in both parts");
    }
    let order = Permutation::new(blocks, seed, RandomStream::HeldOut);
    let mut chosen: Vec<usize> = (0..count).map(|i| order.at(i)).collect();
    chosen.sort_unstable();
    Ok(chosen.into_iter().map(|b| b * length..((b + 1) * length).min(samples)).collect())
}
