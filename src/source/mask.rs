//! Masks: which rows of a source are used.

use std::ops::Range;

use crate::Scalar;
use crate::codes::SparseCodes;
use crate::error::Error;

/// Which rows of a source are used, and which are left out: padding, tokens that begin a text
/// (attention sinks), special tokens.
///
/// A mask has one value for each row of the source, and keeps a row whose value is true or 1, as
/// the `attention_mask` of a tokeniser does. [`Subset::masked`](super::Subset::masked) is the
/// source of the rows that are kept. With the feature `npy`, `Mask::read_npy` and `read_mask` read
/// masks from files. Memory: 16 bytes for each run of rows that are kept.
///
/// ```
/// use dbksvd::source::{Mask, SampleSource, SliceSource, Subset};
///
/// let mask: Mask = [false, true, true, false, true].into_iter().collect();
/// assert_eq!((mask.rows(), mask.kept()), (5, 3));
/// assert_eq!(mask.ranges(), [1..3, 4..5]);
/// let values = [0.0_f32, 10.0, 20.0, 30.0, 40.0];
/// let used = Subset::masked(SliceSource::new(&values, 1)?, &mask)?;
/// let mut into = [0.0; 3];
/// used.read(0..3, &mut into)?;
/// assert_eq!(into, [10.0, 20.0, 40.0]);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    rows: usize,
    kept: usize,
    /// The rows that are kept: ascending, none of them empty, with rows left out between any two.
    ranges: Vec<Range<usize>>,
}

impl Mask {
    /// The mask that keeps each of `rows` rows.
    #[must_use]
    pub fn all(rows: usize) -> Self {
        let ranges = if rows > 0 { std::iter::once(0..rows).collect() } else { Vec::new() };
        Self { rows, kept: rows, ranges }
    }

    /// The number of rows of the source that the mask is for: those that are kept and those that
    /// are left out.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of rows that are kept.
    #[must_use]
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// The rows that are kept, as the longest possible ranges in ascending order.
    #[must_use]
    pub fn ranges(&self) -> &[Range<usize>] {
        &self.ranges
    }

    /// Lays the codes of the kept rows out over all rows: code i becomes that of the i-th row that
    /// is kept, and rows that are left out have empty codes. So row r of the result belongs to row
    /// r of the source, and to the token that it is of.
    ///
    /// # Errors
    /// [`Error::Argument`], naming `codes`, unless there is one code for each row that is kept.
    pub fn spread<T: Scalar>(&self, codes: &SparseCodes<T>) -> Result<SparseCodes<T>, Error> {
        if codes.samples() != self.kept {
            let expected = format!("codes of the {} rows that the mask keeps", self.kept);
            return Err(Error::argument("codes", codes.samples(), expected));
        }
        let mut spread = SparseCodes::new(codes.atoms(), self.rows, codes.sparsity());
        let kept = self.ranges.iter().cloned().flatten();
        kept.zip(codes.iter())
            .for_each(|(row, (support, values))| spread.set(row, support, values));
        Ok(spread)
    }

    /// Adds a row at the end.
    pub(super) fn push(&mut self, is_kept: bool) {
        if is_kept {
            match self.ranges.last_mut() {
                Some(last) if last.end == self.rows => last.end += 1,
                _ => self.ranges.push(self.rows..self.rows + 1),
            }
            self.kept += 1;
        }
        self.rows += 1;
    }

    /// Adds the rows of `other` at the end.
    #[cfg(feature = "npy")]
    pub(super) fn append(&mut self, other: Self) {
        for range in other.ranges {
            let range = self.rows + range.start..self.rows + range.end;
            match self.ranges.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => self.ranges.push(range),
            }
        }
        self.rows += other.rows;
        self.kept += other.kept;
    }
}

/// One value for each row, in their order: true keeps it.
impl FromIterator<bool> for Mask {
    fn from_iter<I: IntoIterator<Item = bool>>(keep: I) -> Self {
        let mut mask = Self::default();
        keep.into_iter().for_each(|is_kept| mask.push(is_kept));
        mask
    }
}
