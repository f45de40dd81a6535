//! Targeted probe perturbation (TPP): whether the atoms that matter to a class matter to that class
//! alone.
//!
//! ```text
//! for each class e: w_e, b_e ← ridge-logistic probe of the samples, e against the rest
//! for each class c:
//!     δ_j     ← max(0, mean y_j over c − mean y_j over the rest) d_jᵀw_c    on the training part
//!     for each n, with S = the n atoms of largest δ_j > 0:
//!         drop(c, e) ← accuracy of probe e on the test part, less the same where each sample x
//!                      with code y is replaced by x − Σ_{j in S} y_j d_j
//!         score(c)   ← drop(c, c) − mean of drop(c, e) over e ≠ c
//! TPP(n) ← mean of score(c)
//! ```
//!
//! Class and rest are made equally large, by random draws, in training and in testing, unless
//! [`Perturbation::balanced`] says otherwise.
//!
//! Reference: A. Karvonen et al., *Evaluating sparse autoencoders on targeted concept erasure
//! tasks*, 2024, arXiv:2411.18895, and SAEBench 0.6.0, `evals/scr_and_tpp`. Departures from the
//! latter:
//!
//! 1. Probes have a ridge and are fitted to their minimum. SAEBench's have an L1 penalty of 0.001
//!    and are fitted by 20 epochs of Adam's steps.
//! 2. Only atoms with δ_j > 0 are ablated, so there may be fewer than n. SAEBench fills up with
//!    atoms that matter to no class or speak against it, if n is large.
//! 3. The rest is drawn from all other classes together. SAEBench draws equally many of each.
//! 4. Samples are what they are. SAEBench's are means over texts: see [`Windows`](super::Windows).

use dbksvd::{Error, Scalar};
use rayon::prelude::*;

use super::labelled::{Labelled, LinearProbe};
use super::logistic::{Costs, Logistic};
use super::split::{Sides, Split, members};
use crate::random::{RandomStream, generator};

/// The parameters of targeted probe perturbation.
///
/// | field | default | range | |
/// |---|---|---|---|
/// | `ridge` | 10 | > 0, finite | λ of ½λ‖w‖² for probes of samples, which are centred and scaled to a root mean square of 1 |
/// | `balanced` | true | | the larger of class and rest is reduced, by a random draw, to the size of the other |
/// | `most_train` | 4000 | ≥ 1 | the most samples of a class, and of the rest, that are drawn for training |
/// | `most_test` | 2000 | ≥ 1 | the same for testing |
/// | `seed` | 0 | | for these draws |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Perturbation {
    /// λ.
    pub ridge: f64,
    /// Whether class and rest are made equally large, in training and in testing.
    pub balanced: bool,
    /// The most samples of a class, and the most of the rest, in training.
    pub most_train: usize,
    /// The most samples of a class, and the most of the rest, in testing.
    pub most_test: usize,
    /// The seed of the random numbers.
    pub seed: u64,
}

impl Default for Perturbation {
    fn default() -> Self {
        Self { ridge: 10.0, balanced: true, most_train: 4000, most_test: 2000, seed: 0 }
    }
}

/// What ablations do to probes.
#[derive(Clone, Debug, PartialEq)]
pub struct Perturbed {
    /// The probe of each class.
    pub probes: Vec<LinearProbe>,
    /// Its accuracy on the test part, where nothing is ablated.
    pub accuracies: Vec<f64>,
    /// For each class, the atoms that matter to it, the most important ones first: as many as the
    /// largest ablation needs, or all that matter.
    pub atoms: Vec<Vec<usize>>,
    /// The ablations, in the order of the counts that were asked for.
    pub ablations: Vec<Ablation>,
}

/// What it does to the probes if the n most important atoms of a class are ablated.
#[derive(Clone, Debug, PartialEq)]
pub struct Ablation {
    /// n.
    pub count: usize,
    /// `drops[c][e]` is what probe e loses in accuracy if the atoms of class c are ablated.
    pub drops: Vec<Vec<f64>>,
}

impl Ablation {
    /// TPP of class `c`: what its own probe loses, less the mean of what the others lose. Panics if
    /// there is no such class.
    #[must_use]
    pub fn score_of(&self, c: usize) -> f64 {
        self.drops[c][c] - self.unintended_of(c)
    }

    /// TPP: the mean over all classes. SAEBench's `tpp_threshold_n_total_metric`.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.mean(|c| self.score_of(c))
    }

    /// What the probes of the ablated classes lose, in the mean: SAEBench's `intended_diff_only`.
    #[must_use]
    pub fn intended(&self) -> f64 {
        self.mean(|c| self.drops[c][c])
    }

    /// What the other probes lose, in the mean: SAEBench's `unintended_diff_only`.
    #[must_use]
    pub fn unintended(&self) -> f64 {
        self.mean(|c| self.unintended_of(c))
    }

    fn unintended_of(&self, c: usize) -> f64 {
        let others = self.drops[c].iter().enumerate().filter(|&(e, _)| e != c);
        others.map(|(_, drop)| drop).sum::<f64>() / (self.drops.len() - 1) as f64
    }

    fn mean(&self, of: impl Fn(usize) -> f64) -> f64 {
        (0..self.drops.len()).map(of).sum::<f64>() / self.drops.len() as f64
    }
}

impl Perturbation {
    /// Ablates, for each class, as many atoms as each of `counts` says, with probes of the samples
    /// that are fitted here. SAEBench's counts are 2, 5, 10, 20, 50, 100 and 500.
    ///
    /// O(C (d² n + C × nonzeros)) for C classes of n samples that are drawn, in parallel over the
    /// classes. Memory: 8 d bytes for each sample of a draw, and 8 d² bytes, for each thread. The
    /// result is the same on any number of threads.
    ///
    /// # Errors
    /// [`Error::Dimension`] if samples, codes, dictionary and labels do not fit together;
    /// [`Error::NotFinite`] for a sample that is not finite; [`Error::Argument`] for a field
    /// outside its range, no counts or one that is not from 1 to m, codes that are negative or not
    /// finite, fewer than two classes, a class that is missing in one of the parts or has fewer
    /// than two samples, or a split with a sample that does not exist or that occurs twice.
    ///
    /// ```
    /// use dbksvd::faer::Mat;
    /// use dbksvd::{Dictionary, SparseCodes};
    /// use dbksvd_sae::metrics::{Labelled, Perturbation, Split};
    ///
    /// // Atom c fires for class c alone.
    /// let dictionary = Dictionary::new(Mat::<f64>::identity(3, 3))?;
    /// let labels: Vec<u32> = (0..300).map(|i| i % 3).collect();
    /// let mut codes = SparseCodes::new(3, 300, 1);
    /// (0..300).for_each(|i| codes.set(i, &[labels[i]], &[1.0]));
    /// let samples = Mat::from_fn(3, 300, |r, i| if r == labels[i] as usize { 1.0 } else { 0.0 });
    /// let split = Split { train: (0..150).collect(), test: (150..300).collect() };
    ///
    /// let perturbed = Perturbation::default().run(
    ///     Labelled {
    ///         samples: samples.as_ref(),
    ///         codes: &codes,
    ///         dictionary: &dictionary,
    ///         labels: &labels,
    ///         split: &split,
    ///     },
    ///     &[1],
    /// )?;
    /// // The probe of the class takes all of its samples for others; other probes lose nothing.
    /// assert_eq!(perturbed.accuracies, [1.0; 3]);
    /// assert_eq!(perturbed.atoms, [[0], [1], [2]]);
    /// assert_eq!(perturbed.ablations[0].score(), 0.5);
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    pub fn run<T: Scalar>(
        &self,
        labelled: Labelled<'_, T>,
        counts: &[usize],
    ) -> Result<Perturbed, Error> {
        let draws = self.draw(&labelled, counts)?;
        let (mean, scale) = scaling(&labelled);
        let fit = |(class, draw): (usize, &Split)| {
            let own = own(&labelled, class, &draw.train);
            let rows = labelled.rows(&draw.train, &mean, 1.0 / scale);
            let fitted = Logistic::fit(&rows, &own, Costs::EQUAL, self.ridge);
            let weights: Vec<f64> = fitted.weights.iter().map(|w| w / scale).collect();
            let offset: f64 = weights.iter().zip(&mean).map(|(w, mean)| w * mean).sum();
            LinearProbe { weights, bias: fitted.bias - offset }
        };
        let probes = draws.par_iter().enumerate().map(fit).collect();
        Ok(ablate(&labelled, counts, &draws, probes))
    }

    /// The same as [`run`](Self::run), with given probes of the samples: probe c finds class c.
    /// `ridge` has no effect.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run); [`Error::Dimension`] unless there is a probe for each
    /// class, with d weights; [`Error::Argument`] for a probe that is not finite or has no weights
    /// but 0.
    pub fn run_probes<T: Scalar>(
        &self,
        labelled: Labelled<'_, T>,
        counts: &[usize],
        probes: &[LinearProbe],
    ) -> Result<Perturbed, Error> {
        let draws = self.draw(&labelled, counts)?;
        if probes.len() > draws.len() {
            let (found, expected) = (probes.len(), draws.len());
            return Err(Error::Dimension { argument: "probes", found, expected });
        }
        LinearProbe::check_all(probes, draws.len(), labelled.dictionary.dim())?;
        Ok(ablate(&labelled, counts, &draws, probes.to_vec()))
    }

    /// The samples that are drawn for each class, if every argument is right.
    fn draw<T: Scalar>(
        &self,
        labelled: &Labelled<'_, T>,
        counts: &[usize],
    ) -> Result<Vec<Split>, Error> {
        if !(self.ridge > 0.0 && self.ridge.is_finite()) {
            return Err(Error::argument("ridge", self.ridge, "more than 0, finite"));
        }
        for (most, name) in [(self.most_train, "most_train"), (self.most_test, "most_test")] {
            if most == 0 {
                return Err(Error::argument(name, most, "at least 1"));
            }
        }
        labelled.check()?;
        let atoms = labelled.dictionary.atoms();
        if counts.is_empty() {
            return Err(Error::argument("counts", "empty", "numbers of atoms"));
        }
        if let Some(count) = counts.iter().find(|count| !(1..=atoms).contains(*count)) {
            return Err(Error::argument("counts", count, format!("1 to {atoms}, the atoms")));
        }
        let classes = members(labelled.labels)?.len();
        labelled.split.check_classes(labelled.labels, classes)?;
        let mut random = generator(self.seed, RandomStream::Balance);
        let draw = |class: usize| {
            let mut part = |part: &[usize], most| {
                let sides = Sides { balanced: self.balanced, most };
                sides.draw(part, |i| labelled.labels[i] as usize == class, &mut random)
            };
            Split {
                train: part(&labelled.split.train, self.most_train),
                test: part(&labelled.split.test, self.most_test),
            }
        };
        Ok((0..classes).map(draw).collect())
    }
}

/// Ablates the atoms of all classes, for the probes and the samples of each class.
fn ablate<T: Scalar>(
    labelled: &Labelled<'_, T>,
    counts: &[usize],
    draws: &[Split],
    probes: Vec<LinearProbe>,
) -> Perturbed {
    let classes = || (0..draws.len()).into_par_iter();
    let products: Vec<Vec<f64>> =
        classes().map(|class| labelled.products(&probes[class].weights)).collect();
    let tested: Vec<Tested> = classes()
        .map(|class| Tested {
            samples: &draws[class].test,
            own: own(labelled, class, &draws[class].test),
            decisions: labelled.decisions(&probes[class], &draws[class].test),
        })
        .collect();
    let accuracies: Vec<f64> = tested.iter().map(Tested::accuracy).collect();

    let most = counts.iter().copied().max().unwrap_or(0);
    let of_class = |class: usize| {
        let own = own(labelled, class, &draws[class].train);
        let atoms = important(labelled, &draws[class].train, &own, &products[class], most);
        let mut rank = vec![usize::MAX; products[class].len()];
        atoms.iter().enumerate().for_each(|(at, &atom)| rank[atom] = at);
        let drops: Vec<Vec<f64>> = tested
            .iter()
            .zip(&products)
            .zip(&accuracies)
            .map(|((tested, products), clean)| {
                let left = tested.accuracies_without(labelled, counts, &rank, products);
                left.into_iter().map(|accuracy| clean - accuracy).collect()
            })
            .collect();
        (atoms, drops)
    };
    let (atoms, drops): (Vec<Vec<usize>>, Vec<Vec<Vec<f64>>>) =
        classes().map(of_class).collect::<Vec<_>>().into_iter().unzip();
    let ablation = |(at, &count): (usize, &usize)| Ablation {
        count,
        drops: drops.iter().map(|of| of.iter().map(|drops| drops[at]).collect()).collect(),
    };
    let ablations = counts.iter().enumerate().map(ablation).collect();
    Perturbed { probes, accuracies, atoms, ablations }
}

/// The test samples of a class and the rest, and what its probe says of them.
struct Tested<'a> {
    samples: &'a [usize],
    own: Vec<bool>,
    decisions: Vec<f64>,
}

impl Tested<'_> {
    fn accuracy(&self) -> f64 {
        let told = self.decisions.iter().zip(&self.own);
        told.filter(|&(&z, &own)| (z > 0.0) == own).count() as f64 / self.own.len() as f64
    }

    /// For each count n, the accuracy where atoms of a rank below n are ablated. `products` are
    /// d_jᵀw of the probe.
    fn accuracies_without<T: Scalar>(
        &self,
        labelled: &Labelled<'_, T>,
        counts: &[usize],
        rank: &[usize],
        products: &[f64],
    ) -> Vec<f64> {
        let mut right = vec![0; counts.len()];
        let mut taken = vec![0.0; counts.len()];
        for ((&i, &own), &decision) in self.samples.iter().zip(&self.own).zip(&self.decisions) {
            taken.fill(0.0);
            for (&atom, value) in labelled.codes.support(i).iter().zip(labelled.codes.values(i)) {
                let atom = atom as usize;
                for (taken, &count) in taken.iter_mut().zip(counts) {
                    if rank[atom] < count {
                        *taken += value.widen() * products[atom];
                    }
                }
            }
            for (right, taken) in right.iter_mut().zip(&taken) {
                *right += u32::from((decision - taken > 0.0) == own);
            }
        }
        right.into_iter().map(|right| f64::from(right) / self.own.len() as f64).collect()
    }
}

/// The atoms of positive effect on a probe, the largest first, and `most` at most.
fn important<T: Scalar>(
    labelled: &Labelled<'_, T>,
    samples: &[usize],
    own: &[bool],
    products: &[f64],
    most: usize,
) -> Vec<usize> {
    let count = own.iter().filter(|&&own| own).count() as f64;
    let (own_share, rest_share) = (1.0 / count, -1.0 / (own.len() as f64 - count));
    let mut effects = vec![0.0; products.len()];
    for (&i, &own) in samples.iter().zip(own) {
        let share = if own { own_share } else { rest_share };
        for (&atom, value) in labelled.codes.support(i).iter().zip(labelled.codes.values(i)) {
            effects[atom as usize] += share * value.widen();
        }
    }
    effects.iter_mut().zip(products).for_each(|(x, product)| *x = x.max(0.0) * product);
    let mut atoms: Vec<usize> = (0..effects.len()).filter(|&j| effects[j] > 0.0).collect();
    atoms.sort_by(|&a, &b| effects[b].total_cmp(&effects[a]).then(a.cmp(&b)));
    atoms.truncate(most);
    atoms
}

/// The mean of the training samples, and the root mean square of what differs from it.
fn scaling<T: Scalar>(labelled: &Labelled<'_, T>) -> (Vec<f64>, f64) {
    let (train, dim) = (&labelled.split.train, labelled.dictionary.dim());
    let mut mean = vec![0.0; dim];
    for &i in train {
        let values = labelled.samples.col(i);
        mean.iter_mut().zip(values.iter()).for_each(|(mean, value)| *mean += value.widen());
    }
    mean.iter_mut().for_each(|mean| *mean /= train.len() as f64);
    let square = |&i: &usize| {
        let differences = labelled.samples.col(i).iter().zip(&mean);
        differences.map(|(value, mean)| (value.widen() - mean).powi(2)).sum::<f64>()
    };
    let square = train.iter().map(square).sum::<f64>() / (train.len() * dim) as f64;
    (mean, if square > 0.0 { square.sqrt() } else { 1.0 })
}

/// Which of these samples are of a class.
fn own<T: Scalar>(labelled: &Labelled<'_, T>, class: usize, samples: &[usize]) -> Vec<bool> {
    samples.iter().map(|&i| labelled.labels[i] as usize == class).collect()
}
