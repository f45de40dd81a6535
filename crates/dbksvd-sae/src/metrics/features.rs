//! What probes see of samples: codes or coordinates.

use dbksvd::faer::MatRef;
use dbksvd::{Error, Scalar, SparseCodes};

/// The features that are probed. They are not standardised.
#[derive(Clone, Copy, Debug)]
pub enum Features<'a, T: Scalar> {
    /// Codes: each atom is a feature.
    Codes(&'a SparseCodes<T>),
    /// Samples (d × N) as they are, for a baseline: each coordinate is a feature.
    Samples(MatRef<'a, T>),
}

/// The place of a feature that was not chosen.
const NONE: u32 = u32::MAX;

/// For each feature, its place among `chosen`.
pub(super) fn places(features: usize, chosen: &[usize]) -> Vec<u32> {
    let mut place = vec![NONE; features];
    chosen.iter().enumerate().for_each(|(at, &feature)| place[feature] = at as u32);
    place
}

impl<T: Scalar> Features<'_, T> {
    /// The number of features and the number of samples.
    pub(super) fn size(&self) -> (usize, usize) {
        match self {
            Self::Codes(codes) => (codes.atoms(), codes.samples()),
            Self::Samples(samples) => samples.shape(),
        }
    }

    /// Calls `take` for every feature of sample `i` that may differ from zero.
    pub(super) fn visit(&self, i: usize, mut take: impl FnMut(usize, f64)) {
        match self {
            Self::Codes(codes) => {
                for (&atom, value) in codes.support(i).iter().zip(codes.values(i)) {
                    take(atom as usize, value.widen());
                }
            }
            Self::Samples(samples) => {
                samples.col(i).iter().enumerate().for_each(|(r, value)| take(r, value.widen()));
            }
        }
    }

    /// An error for the first of `samples` that has a feature that is not finite.
    pub(super) fn check_finite<'s>(
        &self,
        samples: impl IntoIterator<Item = &'s usize>,
    ) -> Result<(), Error> {
        for &i in samples {
            let mut bad = None;
            self.visit(i, |_, value| bad = bad.or((!value.is_finite()).then_some(value)));
            if let Some(value) = bad {
                let found = format!("{value} in sample {i}");
                return Err(Error::argument("features", found, "finite values"));
            }
        }
        Ok(())
    }

    /// The `count` features with the largest |difference of means|; of equal ones, the lowest.
    pub(super) fn most_different(
        &self,
        samples: &[usize],
        is_own: impl Fn(&usize) -> bool,
        count: usize,
    ) -> Vec<usize> {
        let own = samples.iter().filter(|&i| is_own(i)).count() as f64;
        let (own, rest) = (1.0 / own, 1.0 / (samples.len() as f64 - own));
        let mut differences = vec![0.0; self.size().0];
        for i in samples {
            let share = if is_own(i) { own } else { -rest };
            self.visit(*i, |feature, value| differences[feature] += share * value);
        }
        let mut order: Vec<usize> = (0..differences.len()).collect();
        let by_size = |a: &usize, b: &usize| {
            differences[*b].abs().total_cmp(&differences[*a].abs()).then(a.cmp(b))
        };
        if count < order.len() {
            order.select_nth_unstable_by(count, by_size);
            order.truncate(count);
        }
        order.sort_unstable_by(by_size);
        order
    }

    /// The chosen features of `samples`, one row per sample.
    pub(super) fn rows(&self, samples: &[usize], place: &[u32], chosen: usize) -> Vec<f64> {
        let mut rows = vec![0.0; samples.len() * chosen];
        for (row, &i) in rows.chunks_exact_mut(chosen).zip(samples) {
            self.visit(i, |feature, value| {
                if place[feature] != NONE {
                    row[place[feature] as usize] = value;
                }
            });
        }
        rows
    }
}
