//! k-sparse probing: how well a few features predict a label.
//!
//! ```text
//! for each class c against the rest:
//!     features ← the k with the largest |mean over c − mean over the rest|, on the training part
//!     w, b     ← ridge-logistic regression on them
//!     accuracy ← share of the test part on the right side of wᵀx + b = 0
//! ```
//!
//! Reference: W. Gurnee et al., *Finding neurons in a haystack: case studies with sparse probing*,
//! 2023, arXiv:2305.01610. Features are chosen by the difference of means, as in SAEBench 0.6.0
//! (`evals/sparse_probing`), whose ridge is 1 and whose classes are balanced.

use dbksvd::faer::MatRef;
use dbksvd::{Error, Scalar, SparseCodes};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::logistic::Logistic;
use crate::random::{RandomStream, generator};

/// The features that are probed. They are not standardised.
#[derive(Clone, Copy, Debug)]
pub enum Features<'a, T: Scalar> {
    /// Codes: each atom is a feature.
    Codes(&'a SparseCodes<T>),
    /// Samples (d × N) as they are, for a baseline: each coordinate is a feature.
    Samples(MatRef<'a, T>),
}

/// The parameters of probing.
///
/// | field | default | range | |
/// |---|---|---|---|
/// | `features` | 1 | 1..=m | k; SAEBench shows 1, 2, 5 (and larger) |
/// | `ridge` | 1 | > 0, finite | λ of ½λ‖w‖², which is added to the sum of losses |
/// | `test_share` | 0.2 | 0 to 1 | share of every class; each part gets at least one sample |
/// | `balanced` | true | | the larger of class and rest is reduced, by a random draw, to the size of the other |
/// | `seed` | 0 | | for the split and for this draw |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probing {
    /// Number k of features.
    pub features: usize,
    /// λ.
    pub ridge: f64,
    /// Share of the samples that are held out for testing.
    pub test_share: f64,
    /// Whether class and rest are made equally large, in training and in testing.
    pub balanced: bool,
    /// The seed of the random numbers.
    pub seed: u64,
}

impl Default for Probing {
    fn default() -> Self {
        Self { features: 1, ridge: 1.0, test_share: 0.2, balanced: true, seed: 0 }
    }
}

/// Which samples are used for training, and which for testing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Indices of the samples for training.
    pub train: Vec<usize>,
    /// Indices of the samples for testing, which are others.
    pub test: Vec<usize>,
}

/// A probe of one class against the rest.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The chosen features, in falling order of the difference of their means.
    pub features: Vec<usize>,
    /// The weight of each of these features.
    pub weights: Vec<f64>,
    /// The intercept b.
    pub bias: f64,
    /// Share of the training part that is classified correctly.
    pub train_accuracy: f64,
    /// Share of the test part that is classified correctly.
    pub test_accuracy: f64,
    /// Share of the test part that belongs to the larger of class and rest. This is the accuracy
    /// without any features; 0.5 if balanced.
    pub majority: f64,
}

/// The probes of all classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Probes {
    /// Probe c distinguishes class c from the rest.
    pub classes: Vec<Probe>,
    /// Share of all test samples for which the probe with the largest wᵀx + b is that of their
    /// class. Of equal values, the lowest class wins.
    pub accuracy: f64,
    /// Share of the test samples that belong to the largest class.
    pub majority: f64,
}

impl Probes {
    /// Mean of the test accuracies of all classes: SAEBench's number.
    #[must_use]
    pub fn mean_test_accuracy(&self) -> f64 {
        let sum: f64 = self.classes.iter().map(|probe| probe.test_accuracy).sum();
        sum / self.classes.len() as f64
    }
}

impl Probing {
    /// Probes the `features` of N samples for their `labels`. A label is the number of a class,
    /// counted from 0.
    ///
    /// Of a class of n samples, round(`test_share`·n), drawn with the seed, go to the test part.
    /// With two classes, both probes are made. They differ in sign and in the samples that
    /// balancing draws.
    ///
    /// O(C (nonzeros + N k²)) for C classes, in parallel over the classes. The result is the same
    /// on any number of threads.
    ///
    /// # Errors
    /// [`Error::NoSamples`]; [`Error::Dimension`] if the number of labels is not that of the
    /// samples; [`Error::Argument`] for a field outside its range, fewer than two classes, a class
    /// with fewer than two samples, or features that are not finite.
    ///
    /// ```
    /// use dbksvd::SparseCodes;
    /// use dbksvd_sae::metrics::{Features, Probing};
    ///
    /// let mut codes = SparseCodes::new(3, 40, 1);
    /// let labels: Vec<u32> = (0..40).map(|i| i % 2).collect();
    /// for i in 0..40 {
    ///     codes.set(i, &[if i % 2 == 0 { 2 } else { 0 }], &[if i % 2 == 0 { 1.0 } else { 3.0 }]);
    /// }
    /// let probes = Probing::default().run(Features::Codes(&codes), &labels)?;
    /// assert_eq!(probes.classes[0].features, [0]); // the stronger, though it fires for class 1
    /// assert_eq!(probes.accuracy, 1.0);
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    pub fn run<T: Scalar>(
        &self,
        features: Features<'_, T>,
        labels: &[u32],
    ) -> Result<Probes, Error> {
        if !(self.test_share > 0.0 && self.test_share < 1.0) {
            return Err(Error::argument("test_share", self.test_share, "more than 0, less than 1"));
        }
        let members = members(labels)?;
        let mut random = generator(self.seed, RandomStream::Split);
        let mut split = Split { train: Vec::new(), test: Vec::new() };
        for mut members in members {
            members.shuffle(&mut random);
            let held = (self.test_share * members.len() as f64).round() as usize;
            let held = held.clamp(1, members.len() - 1);
            split.test.extend(&members[..held]);
            split.train.extend(&members[held..]);
        }
        split.test.sort_unstable();
        split.train.sort_unstable();
        self.run_split(features, labels, &split)
    }

    /// The same as [`run`](Self::run), with a given split; `test_share` has no effect.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run), and [`Error::Argument`] for a sample that does not exist
    /// or occurs twice in the split, or a class that is missing in one of the parts.
    pub fn run_split<T: Scalar>(
        &self,
        features: Features<'_, T>,
        labels: &[u32],
        split: &Split,
    ) -> Result<Probes, Error> {
        let (count, samples) = features.size();
        if labels.len() != samples {
            let found = labels.len();
            return Err(Error::Dimension { argument: "labels", found, expected: samples });
        }
        if !(1..=count).contains(&self.features) {
            let expected = format!("1 to {count}, the number of features");
            return Err(Error::argument("features", self.features, expected));
        }
        if !(self.ridge > 0.0 && self.ridge.is_finite()) {
            return Err(Error::argument("ridge", self.ridge, "more than 0, finite"));
        }
        let classes = members(labels)?.len();
        check_split(split, labels, classes)?;
        for &i in split.train.iter().chain(&split.test) {
            let mut bad = None;
            features.visit(i, |_, value| bad = bad.or((!value.is_finite()).then_some(value)));
            if let Some(value) = bad {
                return Err(Error::argument("features", value, "finite values"));
            }
        }

        // Samples are drawn for one class after the other; the classes are then fitted in parallel.
        let mut random = generator(self.seed, RandomStream::Balance);
        let parts: Vec<Split> = (0..classes as u32)
            .map(|class| {
                let mut draw = |part: &[usize]| {
                    let (mut own, mut rest): (Vec<usize>, Vec<usize>) =
                        part.iter().partition(|&&i| labels[i] == class);
                    if self.balanced {
                        for side in [&mut own, &mut rest] {
                            side.shuffle(&mut random);
                        }
                        let least = own.len().min(rest.len());
                        own.truncate(least);
                        rest.truncate(least);
                    }
                    own.append(&mut rest);
                    own.sort_unstable();
                    own
                };
                Split { train: draw(&split.train), test: draw(&split.test) }
            })
            .collect();
        let probed: Vec<(Probe, Vec<f64>)> = parts
            .par_iter()
            .enumerate()
            .map(|(class, part)| self.probe(features, labels, class as u32, part, &split.test))
            .collect();

        let told = |place: usize| {
            let mut best = 0;
            for (class, (_, decisions)) in probed.iter().enumerate() {
                if decisions[place] > probed[best].1[place] {
                    best = class;
                }
            }
            best
        };
        let tested = split.test.iter().enumerate();
        let right = tested.filter(|&(place, &i)| told(place) == labels[i] as usize).count();
        let mut sizes = vec![0; classes];
        split.test.iter().for_each(|&i| sizes[labels[i] as usize] += 1);
        let largest = sizes.into_iter().max().unwrap_or(0);
        let tested = split.test.len() as f64;
        Ok(Probes {
            classes: probed.into_iter().map(|(probe, _)| probe).collect(),
            accuracy: right as f64 / tested,
            majority: f64::from(largest) / tested,
        })
    }

    /// The probe of one class, and wᵀx + b of the samples `tested`.
    fn probe<T: Scalar>(
        &self,
        features: Features<'_, T>,
        labels: &[u32],
        class: u32,
        part: &Split,
        tested: &[usize],
    ) -> (Probe, Vec<f64>) {
        let is_own = |&i: &usize| labels[i] == class;
        let chosen = features.most_different(&part.train, is_own, self.features);
        let place = places(features.size().0, &chosen);
        let labelled = |samples: &[usize]| samples.iter().map(is_own).collect::<Vec<bool>>();
        let rows = |samples: &[usize]| features.rows(samples, &place, chosen.len());
        let fitted = Logistic::fit(&rows(&part.train), &labelled(&part.train), self.ridge);
        let decisions = |samples: &[usize]| -> Vec<f64> {
            rows(samples).chunks_exact(chosen.len()).map(|row| fitted.decision(row)).collect()
        };
        let accuracy = |samples: &[usize]| {
            let told = decisions(samples).into_iter().zip(labelled(samples));
            let right = told.filter(|&(decision, label)| (decision > 0.0) == label).count();
            right as f64 / samples.len() as f64
        };
        let own = part.test.iter().filter(|&i| is_own(i)).count() as f64 / part.test.len() as f64;
        let probe = Probe {
            train_accuracy: accuracy(&part.train),
            test_accuracy: accuracy(&part.test),
            majority: own.max(1.0 - own),
            features: chosen.clone(),
            weights: fitted.weights.clone(),
            bias: fitted.bias,
        };
        (probe, decisions(tested))
    }
}

/// The place of a feature that was not chosen.
const NONE: u32 = u32::MAX;

/// For each feature, its place among `chosen`.
fn places(features: usize, chosen: &[usize]) -> Vec<u32> {
    let mut place = vec![NONE; features];
    chosen.iter().enumerate().for_each(|(at, &feature)| place[feature] = at as u32);
    place
}

impl<T: Scalar> Features<'_, T> {
    /// The number of features and the number of samples.
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Codes(codes) => (codes.atoms(), codes.samples()),
            Self::Samples(samples) => samples.shape(),
        }
    }

    /// Calls `take` for every feature of sample `i` that may differ from zero.
    fn visit(&self, i: usize, mut take: impl FnMut(usize, f64)) {
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

    /// The `count` features with the largest |difference of means|; of equal ones, the lowest.
    fn most_different(
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
    fn rows(&self, samples: &[usize], place: &[u32], chosen: usize) -> Vec<f64> {
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

/// The samples of each class.
fn members(labels: &[u32]) -> Result<Vec<Vec<usize>>, Error> {
    let Some(&last) = labels.iter().max() else {
        return Err(Error::NoSamples { argument: "labels" });
    };
    // Every class needs two samples, so there cannot be more classes than samples.
    if last as usize >= labels.len() {
        let expected = format!("classes below {}, each of two samples", labels.len());
        return Err(Error::argument("labels", last, expected));
    }
    let mut members = vec![Vec::new(); last as usize + 1];
    labels.iter().enumerate().for_each(|(i, &label)| members[label as usize].push(i));
    if members.len() < 2 {
        return Err(Error::argument("labels", "a single class", "at least two"));
    }
    match members.iter().enumerate().find(|(_, members)| members.len() < 2) {
        None => Ok(members),
        Some((class, members)) => {
            let found = format!("class {class} of {} samples", members.len());
            Err(Error::argument("labels", found, "at least two of every class"))
        }
    }
}

fn check_split(split: &Split, labels: &[u32], classes: usize) -> Result<(), Error> {
    let mut seen = vec![false; labels.len()];
    for (part, name) in [(&split.train, "train"), (&split.test, "test")] {
        let mut has = vec![false; classes];
        for &i in part {
            if i >= labels.len() {
                let expected = format!("samples below {}", labels.len());
                return Err(Error::argument("split", i, expected));
            }
            if std::mem::replace(&mut seen[i], true) {
                return Err(Error::argument("split", i, "each sample once"));
            }
            has[labels[i] as usize] = true;
        }
        if let Some(class) = has.iter().position(|has| !has) {
            let found = format!("{name} without class {class}");
            return Err(Error::argument("split", found, "every class in both parts"));
        }
    }
    Ok(())
}
