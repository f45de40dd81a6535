//! Means over windows of consecutive samples of a sequence.

use std::ops::Range;

use dbksvd::faer::{Mat, MatRef};
use dbksvd::{Error, Scalar, SparseCodes};
use rayon::prelude::*;

/// Windows that cut sequences of samples, such as the tokens of texts, into runs of equal width.
///
/// A window lies within one sequence. What remains of a sequence after its last whole window is
/// left out. The mean of the codes of a window is what SAEBench probes and perturbs, with windows
/// that are whole texts. Since decoding is linear, the mean of the codes stands for the mean of the
/// reconstructions.
///
/// ```
/// use dbksvd::SparseCodes;
/// use dbksvd::faer::mat;
/// use dbksvd_sae::metrics::Windows;
///
/// let windows = Windows::new(&[5, 2], 2)?; // samples 0, 1 | 2, 3 | (4 is left) | 5, 6
/// let samples = mat![[1.0, 3.0, 5.0, 5.0, 9.0, 0.0, 4.0]];
/// assert_eq!(windows.samples(samples.as_ref())?, mat![[2.0, 5.0, 2.0]]);
///
/// let mut codes = SparseCodes::new(3, 7, 1);
/// codes.set(0, &[2], &[4.0]);
/// codes.set(1, &[1], &[1.0]);
/// let means = windows.codes(&codes)?;
/// assert_eq!((means.support(0), means.values(0)), (&[1, 2][..], &[0.5, 2.0][..]));
/// assert_eq!(windows.labels(&[7, 8])?, [7, 7, 8]);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Windows {
    width: usize,
    sequences: usize,
    samples: usize,
    /// First sample and sequence of each window.
    windows: Vec<(usize, usize)>,
}

impl Windows {
    /// Windows of `width` samples, of sequences that follow one another and have these lengths.
    ///
    /// # Errors
    /// [`Error::Argument`] if the width is 0, if no sequence is as long as a window, or if the
    /// lengths add up to more than a `usize` holds.
    pub fn new(lengths: &[usize], width: usize) -> Result<Self, Error> {
        if width == 0 {
            return Err(Error::argument("width", width, "at least 1"));
        }
        let (mut samples, mut windows) = (0_usize, Vec::new());
        for (sequence, &length) in lengths.iter().enumerate() {
            let Some(end) = samples.checked_add(length) else {
                return Err(Error::argument("lengths", length, "lengths whose sum is a number"));
            };
            windows.extend((0..length / width).map(|at| (samples + at * width, sequence)));
            samples = end;
        }
        if windows.is_empty() {
            let found =
                lengths.iter().max().map_or("empty".to_owned(), |most| format!("at most {most}"));
            let expected = format!("a sequence of {width} samples, the width of a window");
            return Err(Error::argument("lengths", found, expected));
        }
        Ok(Self { width, sequences: lengths.len(), samples, windows })
    }

    /// Number of windows, at least 1.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is always a window")]
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    /// The samples of window `w`. Panics if there are no more than `w` windows.
    #[must_use]
    pub fn range(&self, w: usize) -> Range<usize> {
        let first = self.windows[w].0;
        first..first + self.width
    }

    /// The sequence of window `w`. Panics if there are no more than `w` windows.
    #[must_use]
    pub fn sequence(&self, w: usize) -> usize {
        self.windows[w].1
    }

    /// The label of each window: that of its sequence.
    ///
    /// # Errors
    /// [`Error::Dimension`] unless there is one label for each sequence.
    pub fn labels<L: Copy>(&self, labels: &[L]) -> Result<Vec<L>, Error> {
        if labels.len() != self.sequences {
            let (found, expected) = (labels.len(), self.sequences);
            return Err(Error::Dimension { argument: "labels", found, expected });
        }
        Ok(self.windows.iter().map(|&(_, sequence)| labels[sequence]).collect())
    }

    /// The means of `samples` (d × N): d × windows.
    ///
    /// # Errors
    /// [`Error::Dimension`] unless there are as many samples as the sequences have.
    pub fn samples<T: Scalar>(&self, samples: MatRef<'_, T>) -> Result<Mat<T>, Error> {
        self.check("samples", samples.ncols())?;
        Ok(Mat::from_fn(samples.nrows(), self.len(), |r, w| {
            let sum: f64 = self.range(w).map(|i| samples[(r, i)].widen()).sum();
            T::narrow(sum / self.width as f64)
        }))
    }

    /// The means of `codes`, with atoms in increasing order. Their budget is the largest number of
    /// atoms that a window uses.
    ///
    /// O(nonzeros), in parallel over the windows.
    ///
    /// # Errors
    /// [`Error::Dimension`] unless there are as many samples as the sequences have.
    pub fn codes<T: Scalar>(&self, codes: &SparseCodes<T>) -> Result<SparseCodes<T>, Error> {
        self.check("codes", codes.samples())?;
        let mean = |w: usize| -> (Vec<u32>, Vec<T>) {
            let mut all: Vec<(u32, f64)> = Vec::new();
            for i in self.range(w) {
                let values = codes.values(i).iter().map(|value| value.widen());
                all.extend(codes.support(i).iter().copied().zip(values));
            }
            // The sort is stable, so that sums have one order.
            all.sort_by_key(|&(atom, _)| atom);
            let of_atoms = all.chunk_by(|a, b| a.0 == b.0).map(|uses| {
                let sum: f64 = uses.iter().map(|&(_, value)| value).sum();
                (uses[0].0, T::narrow(sum / self.width as f64))
            });
            of_atoms.unzip()
        };
        let means: Vec<(Vec<u32>, Vec<T>)> = (0..self.len()).into_par_iter().map(mean).collect();
        let most = means.iter().map(|(support, _)| support.len()).max().unwrap_or(0);
        let mut windows = SparseCodes::new(codes.atoms(), self.len(), most);
        windows.par_blocks_mut(1).zip(means).for_each(|(mut window, (support, values))| {
            window.write(0, |atoms, coefficients| {
                atoms[..support.len()].copy_from_slice(&support);
                coefficients[..values.len()].copy_from_slice(&values);
                support.len()
            });
        });
        Ok(windows)
    }

    fn check(&self, argument: &'static str, found: usize) -> Result<(), Error> {
        if found == self.samples {
            return Ok(());
        }
        Err(Error::Dimension { argument, found, expected: self.samples })
    }
}
