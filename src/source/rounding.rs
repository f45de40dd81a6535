//! A check that samples survive rounding to a lower precision than the one they are stored in.

use super::SampleSource;
use super::permutation::Permutation;
use crate::Scalar;
use crate::error::Error;
use crate::random::RandomStream;
use crate::scalar::compiled;

/// Pairs of samples that are compared.
const PAIRS: usize = 256;

/// The most samples that are read to find these pairs. It matters if many samples are padding.
const MOST_READ: usize = 32 * PAIRS;

/// The most that rounding may change samples, as a share of their spread. For comparison, the error
/// of codes is a few percent of the spread, and rarely less than a hundredth.
const MOST: f64 = 1e-3;

compiled! {
    /// Refuses samples that rounding to `T` would destroy. These are samples that are stored as f64
    /// and read as f32, but differ by less than the precision of f32 at their size. For example,
    /// values near 10⁹ that differ by 1 all become one number, and nothing can be learned from
    /// them.
    ///
    /// Up to 512 samples, chosen by a function of the number of samples, are compared in pairs. For
    /// a pair (a, b), rounding may change ‖a − r(a)‖² + ‖b − r(b)‖² by up to a thousandth of ‖a −
    /// b‖², where r rounds. The median over the pairs decides, so a few samples of extreme size do
    /// not hide what rounding does to the others. Pairs of equal samples do not count. Samples that
    /// are zero in every coordinate are taken for padding and passed over; up to 8192 samples are
    /// read to find others, so much padding hides nothing. Sources that round nothing pass at once.
    ///
    /// Learning from a source and [`Encoder::encode_source`](crate::Encoder::encode_source) make
    /// this check themselves. Call it before you read a file into memory.
    ///
    /// # Errors
    /// [`Error::Rounding`], which names a sample that is typical of all samples and the coordinate
    /// that loses most; and [`Error::Source`] if reading fails, for example for samples that `T`
    /// cannot hold at all.
    pub fn check_rounding<T>(source: &dyn SampleSource<T>) -> Result<(), Error> {
        let (samples, dim) = (source.len(), source.dim());
        if T::EPSILON == f64::EPSILON || source.element_type() == T::NAME {
            return Ok(());
        }
        let order = Permutation::new(samples, 0, RandomStream::Rounding);
        let (mut shares, mut first, mut compared) = (Vec::new(), None::<Rounded>, 0);
        for sample in (0..samples.min(MOST_READ)).map(|i| order.at(i)) {
            if compared == PAIRS {
                break;
            }
            let mut stored = vec![0.0; dim];
            if !source.read_unrounded(sample, &mut stored)? || stored.iter().all(|&y| y == 0.0) {
                continue;
            }
            let mut rounded = vec![T::zero(); dim];
            source.read(sample..sample + 1, &mut rounded)?;
            let b = Rounded::new(sample, stored, &rounded);
            let Some(a) = first.take() else {
                first = Some(b);
                continue;
            };
            compared += 1;
            let share = (a.change + b.change) / a.squared_distance(&b);
            // The share is not finite for equal samples, whose distance is 0, and for samples that
            // are not finite.
            if share.is_finite() {
                shares.push((share, a));
            }
        }
        shares.sort_by(|a, b| a.0.total_cmp(&b.0));
        let median = shares.len() / 2;
        match shares.get(median) {
            Some(&(share, Rounded { sample, coordinate, value, .. })) if share > MOST => {
                Err(Error::Rounding { sample: source.origin(sample), coordinate, value, share })
            }
            _ => Ok(()),
        }
    }
}

/// A sample and the change that rounding made to it.
struct Rounded {
    sample: usize,
    stored: Vec<f64>,
    /// ‖y − r(y)‖².
    change: f64,
    /// The coordinate that changed most, and its value before rounding.
    coordinate: usize,
    value: f64,
}

impl Rounded {
    fn new<T: Scalar>(sample: usize, stored: Vec<f64>, rounded: &[T]) -> Self {
        let (mut change, mut most) = (0.0, (0, -1.0));
        for (coordinate, (y, rounded)) in stored.iter().zip(rounded).enumerate() {
            let square = (y - rounded.widen()).powi(2);
            change += square;
            if square > most.1 {
                most = (coordinate, square);
            }
        }
        let coordinate = most.0;
        let value = stored[coordinate];
        Self { sample, stored, change, coordinate, value }
    }

    fn squared_distance(&self, other: &Self) -> f64 {
        self.stored.iter().zip(&other.stored).map(|(a, b)| (a - b).powi(2)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::error::SourceError;
    use crate::source::check_read;

    /// Doubles that are read as f32.
    struct Doubles(Vec<[f64; 2]>);

    impl SampleSource<f32> for Doubles {
        fn dim(&self) -> usize {
            2
        }

        fn len(&self) -> usize {
            self.0.len()
        }

        fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
            check_read(&range, into.len(), self.0.len(), 2)?;
            let stored = self.0[range].iter().flatten();
            into.iter_mut().zip(stored).for_each(|(to, &from)| *to = from as f32);
            Ok(())
        }

        fn element_type(&self) -> &'static str {
            "f64"
        }

        fn read_unrounded(&self, sample: usize, into: &mut [f64]) -> Result<bool, SourceError> {
            into.copy_from_slice(&self.0[sample]);
            Ok(true)
        }
    }

    /// Points of a unit square, shifted by `offset` in the second coordinate.
    fn points(count: usize, offset: f64) -> Vec<[f64; 2]> {
        (0..count)
            .map(|i| [(i as f64 * 0.37).fract(), (i as f64 * 0.73).fract() + offset])
            .collect()
    }

    #[test]
    fn an_offset_that_hides_the_spread_is_refused() {
        for (offset, is_right) in [(0.0, true), (1e5, true), (1e7, false), (-1e9, false)] {
            match check_rounding(&Doubles(points(2000, offset))) {
                Ok(()) => assert!(is_right, "{offset}"),
                Err(Error::Rounding { coordinate, value, share, .. }) => {
                    assert!(!is_right && coordinate == 1 && share > MOST, "{offset}: {share}");
                    assert!((value - offset).abs() <= 1.0);
                }
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn extreme_samples_hide_nothing_and_equal_ones_say_nothing() {
        let mut some = points(2000, 1e9);
        some.iter_mut().step_by(50).for_each(|sample| sample[0] = 1e12);
        assert!(matches!(check_rounding(&Doubles(some)), Err(Error::Rounding { .. })));
        let mut padded = points(500, 1e9);
        padded.extend(vec![[0.0, 0.0]; 100]);
        assert!(matches!(check_rounding(&Doubles(padded)), Err(Error::Rounding { .. })));
        // 0.1 is rounded, and so are the few points that differ, but by too little to matter.
        let mut padded = points(100, 0.0);
        padded.extend(vec![[0.1, 0.1]; 5000]);
        check_rounding(&Doubles(padded)).unwrap();
        check_rounding(&Doubles(vec![[1e9 + 0.3; 2]; 100])).unwrap();
        for few in 0..3 {
            check_rounding(&Doubles(points(few, 0.0))).unwrap();
        }
    }

    #[test]
    fn padding_hides_nothing() {
        for zeros in [3000, 18_000] {
            let mut some = points(2000, 1e9);
            some.extend(vec![[0.0, 0.0]; zeros]);
            let error = check_rounding(&Doubles(some)).unwrap_err();
            assert!(matches!(error, Error::Rounding { value, .. } if value > 9e8), "{zeros}");
            let mut some = points(2000, 1e3);
            some.extend(vec![[0.0, 0.0]; zeros]);
            check_rounding(&Doubles(some)).unwrap();
        }
        check_rounding(&Doubles(vec![[0.0, -0.0]; 20_000])).unwrap();
    }

    #[test]
    fn doubles_that_are_singles_pass_whatever_their_size() {
        let whole = (0..500).map(|i| [1e6 + f64::from(i % 7), f64::from(i % 5)]).collect();
        check_rounding(&Doubles(whole)).unwrap();
    }
}
