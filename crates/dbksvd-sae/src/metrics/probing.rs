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

use dbksvd::{Error, Scalar};
use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::features::{Features, places};
use super::logistic::{Costs, Logistic};
use super::split::{Sides, Split, check_count, members};
use crate::random::{RandomStream, generator};

/// The parameters of probing.
///
/// | field | default | range | |
/// |---|---|---|---|
/// | `features` | 1 | 1..=m | k; SAEBench shows 1, 2, 5 (and larger) |
/// | `ridge` | 1 | > 0, finite | λ of ½λ‖w‖², which is added to the sum of losses |
/// | `test_share` | 0.2 | 0 to 1 | share of every class; each part gets at least one sample |
/// | `balanced` | true | | the larger of class and rest is reduced, by a random draw, to the size of the other |
/// | `most_train` | no limit | ≥ 1 | the most samples of a class, and of the rest, that are drawn for training |
/// | `most_test` | no limit | ≥ 1 | the same for testing |
/// | `seed` | 0 | | for the split and for these draws |
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
    /// The most samples of a class, and the most of the rest, in training.
    pub most_train: usize,
    /// The most samples of a class, and the most of the rest, in testing.
    pub most_test: usize,
    /// The seed of the random numbers.
    pub seed: u64,
}

impl Default for Probing {
    fn default() -> Self {
        Self {
            features: 1,
            ridge: 1.0,
            test_share: 0.2,
            balanced: true,
            most_train: usize::MAX,
            most_test: usize::MAX,
            seed: 0,
        }
    }
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
        check_count(labels.len(), features.size().1)?;
        self.check(features)?;
        let classes = members(labels)?.len();
        split.check(labels.len())?;
        split.check_classes(labels, classes)?;
        features.check_finite(split.train.iter().chain(&split.test))?;
        let is_own = |class: usize, i: usize| labels[i] as usize == class;
        let probed = self.probe_all(features, classes, is_own, split);

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

    /// Probes the `features` of N samples for labels that may overlap: column l says, for each
    /// sample, whether it has label l. Probe l distinguishes the samples that have it from those
    /// that have not. `test_share` has no effect.
    ///
    /// Token-level probing is of this kind: a token may be a noun, begin with a capital, and end a
    /// sentence.
    ///
    /// # Errors
    /// [`Error::Dimension`] for a column whose length is not the number of samples;
    /// [`Error::Argument`] for a field outside its range, no columns, a sample that does not exist
    /// or occurs twice in the split, a label that all samples of a part have or that none of them
    /// has, or features that are not finite.
    ///
    /// ```
    /// use dbksvd::SparseCodes;
    /// use dbksvd_sae::metrics::{Features, Probing, Split};
    ///
    /// // Atom 0 fires for even samples, atom 1 for every third.
    /// let mut codes = SparseCodes::new(2, 60, 2);
    /// let even: Vec<bool> = (0..60).map(|i| i % 2 == 0).collect();
    /// let third: Vec<bool> = (0..60).map(|i| i % 3 == 0).collect();
    /// for i in 0..60 {
    ///     let support = [(0, even[i]), (1, third[i])].into_iter().filter(|&(_, fires)| fires);
    ///     let support: Vec<u32> = support.map(|(atom, _)| atom).collect();
    ///     codes.set(i, &support, &vec![1.0; support.len()]);
    /// }
    /// let split = Split { train: (0..40).collect(), test: (40..60).collect() };
    /// let features = Features::Codes(&codes);
    /// let probes = Probing::default().run_labels(features, &[even, third], &split)?;
    /// assert_eq!((probes[0].features[0], probes[0].test_accuracy), (0, 1.0));
    /// assert_eq!((probes[1].features[0], probes[1].test_accuracy), (1, 1.0));
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    pub fn run_labels<T: Scalar, L: AsRef<[bool]> + Sync>(
        &self,
        features: Features<'_, T>,
        columns: &[L],
        split: &Split,
    ) -> Result<Vec<Probe>, Error> {
        let samples = features.size().1;
        self.check(features)?;
        split.check(samples)?;
        if columns.is_empty() {
            return Err(Error::argument("labels", "no column", "at least one"));
        }
        for (label, column) in columns.iter().enumerate() {
            let column = column.as_ref();
            check_count(column.len(), samples)?;
            for (part, name) in [(&split.train, "train"), (&split.test, "test")] {
                let count = part.iter().filter(|&&i| column[i]).count();
                if count == 0 || count == part.len() {
                    let found =
                        format!("label {label}, which {count} of {} have in {name}", part.len());
                    let expected =
                        "labels that some samples of each part have, and others have not";
                    return Err(Error::argument("labels", found, expected));
                }
            }
        }
        features.check_finite(split.train.iter().chain(&split.test))?;
        let is_own = |label: usize, i: usize| columns[label].as_ref()[i];
        let probed = self.probe_all(features, columns.len(), is_own, split);
        Ok(probed.into_iter().map(|(probe, _)| probe).collect())
    }

    /// An error for a field that is outside its range.
    fn check<T: Scalar>(&self, features: Features<'_, T>) -> Result<(), Error> {
        let count = features.size().0;
        if !(1..=count).contains(&self.features) {
            let expected = format!("1 to {count}, the number of features");
            return Err(Error::argument("features", self.features, expected));
        }
        if !(self.ridge > 0.0 && self.ridge.is_finite()) {
            return Err(Error::argument("ridge", self.ridge, "more than 0, finite"));
        }
        for (most, name) in [(self.most_train, "most_train"), (self.most_test, "most_test")] {
            if most == 0 {
                return Err(Error::argument(name, most, "at least 1"));
            }
        }
        Ok(())
    }

    /// For each of `classes`, its probe, and wᵀx + b of all test samples.
    fn probe_all<T: Scalar>(
        &self,
        features: Features<'_, T>,
        classes: usize,
        is_own: impl Fn(usize, usize) -> bool + Sync,
        split: &Split,
    ) -> Vec<(Probe, Vec<f64>)> {
        // Samples are drawn for one class after the other; the classes are then fitted in parallel.
        let mut random = generator(self.seed, RandomStream::Balance);
        let parts: Vec<Split> = (0..classes)
            .map(|class| {
                let mut draw = |part: &[usize], most| {
                    let sides = Sides { balanced: self.balanced, most };
                    sides.draw(part, |i| is_own(class, i), &mut random)
                };
                Split {
                    train: draw(&split.train, self.most_train),
                    test: draw(&split.test, self.most_test),
                }
            })
            .collect();
        let probe = |(class, part): (usize, &Split)| {
            self.probe(features, |&i| is_own(class, i), part, &split.test)
        };
        parts.par_iter().enumerate().map(probe).collect()
    }

    /// The probe of one class, and wᵀx + b of the samples `tested`.
    fn probe<T: Scalar>(
        &self,
        features: Features<'_, T>,
        is_own: impl Fn(&usize) -> bool,
        part: &Split,
        tested: &[usize],
    ) -> (Probe, Vec<f64>) {
        let chosen = features.most_different(&part.train, &is_own, self.features);
        let place = places(features.size().0, &chosen);
        let labelled = |samples: &[usize]| samples.iter().map(&is_own).collect::<Vec<bool>>();
        let rows = |samples: &[usize]| features.rows(samples, &place, chosen.len());
        let fitted =
            Logistic::fit(&rows(&part.train), &labelled(&part.train), Costs::EQUAL, self.ridge);
        let decisions = |samples: &[usize]| -> Vec<f64> {
            rows(samples).chunks_exact(chosen.len()).map(|row| fitted.decision(row)).collect()
        };
        let accuracy = |samples: &[usize]| {
            let told = decisions(samples).into_iter().zip(labelled(samples));
            let right = told.filter(|&(decision, label)| (decision > 0.0) == label).count();
            right as f64 / samples.len() as f64
        };
        let own = part.test.iter().filter(|i| is_own(i)).count() as f64 / part.test.len() as f64;
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
