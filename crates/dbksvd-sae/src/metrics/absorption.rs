//! Absorption: whether the features that stand for a class are silent where more special features
//! fire in their place.
//!
//! ```text
//! for each class c against the rest:
//!     w, b  ← ridge-logistic probe of the samples, on the training part; w ← w/‖w‖
//!     leave the class out if the probe's F1 on the test part is below a limit
//!     order ← atoms by falling weight in an L1-logistic probe of the codes
//!     main  ← the first of them, and each further one that adds enough to the F1 of a
//!             ridge-logistic probe of the first k codes, up to the first that does not
//!     for each test sample x of the class that the probe finds, with code y:
//!         a_j   ← y_j d_jᵀw              what atom j adds to the projection xᵀw
//!         m     ← Σ a_j over main
//!         e     ← sum of the 3 largest a_j > 0 of other atoms with d_jᵀw ≥ 0.1: the absorbers
//!         absorbed fraction ← 0                          if m ≥ xᵀw or e < 0.4 xᵀw
//!                             1                          else if m ≤ 0
//!                             q/(q + m),  q = min(e, xᵀw − m)          otherwise
//!         fully absorbed    ← no main atom fires, and the atom of the largest a_j has
//!                             d_jᵀw ≥ 0.025 and a_j ≥ 0.4 xᵀw
//! ```
//!
//! Reference: D. Chanin et al., *A is for absorption: studying feature splitting and absorption in
//! sparse autoencoders*, 2024, arXiv:2409.14507, and SAEBench 0.6.0, `evals/absorption`. Departures
//! from the latter:
//!
//! 1. Probes are fitted to their minimum, by Newton's method. SAEBench takes a number of Adam's
//!    steps, so its regularisation depends on that number.
//! 2. The L1 probe is scaled to the codes, and each class has its own; SAEBench adds 0.01 ‖w‖₁ to
//!    the mean loss of raw latents.
//! 3. Only atoms of positive weight in the L1 probe can be main. SAEBench may fill up with others.
//! 4. Latents are codes of atoms of norm 1. SAEBench takes latents of decoder rows as they are.
//! 5. Any classes will do. SAEBench's are first letters, of which at least 20 must be probed well.

use dbksvd::{Error, Scalar};
use rayon::prelude::*;

use super::features::{Features, places};
use super::labelled::{Labelled, LinearProbe};
use super::logistic::{Costs, Logistic};
use super::sparse_logistic::{self, Columns};

/// A code below this does not fire.
const SILENT: f64 = 1e-8;

/// The parameters of absorption. The defaults are SAEBench's, where it has them.
///
/// | field | default | range | |
/// |---|---|---|---|
/// | `least_f1` | 0.6 | 0 to 1 | classes whose probe has a lower F1 on the test part are left out |
/// | `least_samples` | 60 | ≥ 2 | classes with fewer samples are left out |
/// | `most_main` | 10 | ≥ 1 | the most atoms that stand for a class |
/// | `jump` | 0.03 | ≥ 0, finite | each main atom but the first adds more than this to F1 |
/// | `probe_ridge` | 0.1 | > 0, finite | λ of ½λ‖w‖² for probes of samples, which are scaled to a mean square norm of 1 |
/// | `ridge` | 1 | > 0, finite | the same for probes of codes, which are not scaled |
/// | `l1` | 1 | > 0, finite | λ of λ‖w‖₁ for probes of codes, which are scaled to a root mean square of 0.1, zeros included |
/// | `least_share` | 0.4 | 0 to 1 | share of the projection that absorbers must have |
/// | `absorbers` | 3 | ≥ 1 | the most absorbers of a sample |
/// | `least_cosine` | 0.1 | −1 to 1 | least d_jᵀw of an absorber, for the fraction |
/// | `least_full_cosine` | 0.025 | −1 to 1 | the same for full absorption |
///
/// In all these probes, class and rest have the same weight in the sum of losses, whose mean is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Absorption {
    /// The least F1 of a probe.
    pub least_f1: f64,
    /// The least number of samples of a class.
    pub least_samples: usize,
    /// The most main atoms of a class.
    pub most_main: usize,
    /// What an atom must add to F1.
    pub jump: f64,
    /// λ of probes of samples.
    pub probe_ridge: f64,
    /// λ of probes of a few codes.
    pub ridge: f64,
    /// λ of the probe that orders atoms.
    pub l1: f64,
    /// The least share of absorbers in the projection.
    pub least_share: f64,
    /// The most absorbers of a sample.
    pub absorbers: usize,
    /// The least cosine of an absorber with the probe, for the fraction.
    pub least_cosine: f64,
    /// The least cosine of an absorber with the probe, for full absorption.
    pub least_full_cosine: f64,
}

impl Default for Absorption {
    fn default() -> Self {
        Self {
            least_f1: 0.6,
            least_samples: 60,
            most_main: 10,
            jump: 0.03,
            probe_ridge: 0.1,
            ridge: 1.0,
            l1: 1.0,
            least_share: 0.4,
            absorbers: 3,
            least_cosine: 0.1,
            least_full_cosine: 0.025,
        }
    }
}

/// How much a class is absorbed.
#[derive(Clone, Debug, PartialEq)]
pub struct AbsorbedClass {
    /// The class.
    pub class: usize,
    /// F1 of the probe of samples, on the test part.
    pub probe_f1: f64,
    /// The atoms that stand for the class, in falling order of their weights in the L1 probe. More
    /// than one means that the class is split over several atoms. Empty if no atom has a positive
    /// weight.
    pub main: Vec<usize>,
    /// F1 of the probe of the first of these atoms alone, on the test part. 0 without any.
    pub first_f1: f64,
    /// F1 of the probe of all of these atoms, on the test part.
    pub main_f1: f64,
    /// Number of test samples of the class that the probe finds.
    pub samples: usize,
    /// Mean of the absorbed fractions of these samples.
    pub fraction: f64,
    /// Share of these samples that are fully absorbed.
    pub full: f64,
}

/// A class that is not measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LeftOut {
    /// The class.
    pub class: usize,
    /// F1 of its probe on the test part; `None` if it has too few samples for a probe.
    pub probe_f1: Option<f64>,
}

/// Absorption of all classes. Means are over the measured classes, and NaN if there are none.
#[derive(Clone, Debug, PartialEq)]
pub struct Absorbed {
    /// The classes that are measured.
    pub classes: Vec<AbsorbedClass>,
    /// The classes with samples that are not.
    pub left_out: Vec<LeftOut>,
}

impl Absorbed {
    /// Mean absorbed fraction: SAEBench's `mean_absorption_fraction_score`.
    #[must_use]
    pub fn mean_fraction(&self) -> f64 {
        self.mean(|class| class.fraction)
    }

    /// Mean share of fully absorbed samples: SAEBench's `mean_full_absorption_score`.
    #[must_use]
    pub fn mean_full(&self) -> f64 {
        self.mean(|class| class.full)
    }

    /// Mean number of main atoms: SAEBench's `mean_num_split_features`.
    #[must_use]
    pub fn mean_main(&self) -> f64 {
        self.mean(|class| class.main.len() as f64)
    }

    /// Mean F1 of the first main atom.
    #[must_use]
    pub fn mean_first_f1(&self) -> f64 {
        self.mean(|class| class.first_f1)
    }

    /// Mean F1 of the probes of samples.
    #[must_use]
    pub fn mean_probe_f1(&self) -> f64 {
        self.mean(|class| class.probe_f1)
    }

    fn mean(&self, of: impl Fn(&AbsorbedClass) -> f64) -> f64 {
        self.classes.iter().map(of).sum::<f64>() / self.classes.len() as f64
    }
}

impl Absorption {
    /// Measures absorption of the classes, with probes of the samples that are fitted here.
    ///
    /// O(C (d² N + nonzeros)) for C classes, in parallel over the classes. Memory: 8 d bytes for
    /// each training sample, and 8 d² bytes for each thread. The result is the same on any number
    /// of threads.
    ///
    /// # Errors
    /// [`Error::Dimension`] if samples, codes, dictionary and labels do not fit together;
    /// [`Error::NotFinite`] for a sample that is not finite; [`Error::Argument`] for a field
    /// outside its range, codes that are negative or not finite, a label as large as the number of
    /// samples, or a split with an empty part, with a sample that does not exist or with one that
    /// occurs twice.
    ///
    /// ```
    /// use dbksvd::faer::Mat;
    /// use dbksvd::{Dictionary, SparseCodes};
    /// use dbksvd_sae::metrics::{Absorption, Labelled, Split};
    ///
    /// // Six classes, each with an atom. Of class 0, every 20th sample is atom 1 instead, which
    /// // contains atom 0: there the atom of the class is absorbed.
    /// let atom = |i: usize| if i % 6 > 0 { i % 6 + 1 } else { usize::from(i % 120 == 0) };
    /// let mut atoms = Mat::<f64>::identity(7, 7);
    /// atoms[(0, 1)] = 1.0;
    /// let dictionary = Dictionary::normalized(atoms)?;
    /// let mut codes = SparseCodes::new(7, 1200, 1);
    /// (0..1200).for_each(|i| codes.set(i, &[atom(i) as u32], &[1.0]));
    /// let samples = Mat::from_fn(7, 1200, |r, i| dictionary.atom(atom(i))[r]);
    /// let labels: Vec<u32> = (0..1200).map(|i| i % 6).collect();
    /// let split = Split { train: (0..600).collect(), test: (600..1200).collect() };
    ///
    /// let absorbed = Absorption::default().run(Labelled {
    ///     samples: samples.as_ref(),
    ///     codes: &codes,
    ///     dictionary: &dictionary,
    ///     labels: &labels,
    ///     split: &split,
    /// })?;
    /// assert_eq!(absorbed.classes[0].main, [0]);
    /// assert_eq!((absorbed.classes[0].full, absorbed.classes[1].full), (0.05, 0.0));
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    pub fn run<T: Scalar>(&self, labelled: Labelled<'_, T>) -> Result<Absorbed, Error> {
        let classes = self.check(&labelled)?;
        let train = &labelled.split.train;
        let zero = vec![0.0; labelled.dictionary.dim()];
        let mut rows = labelled.rows(train, &zero, 1.0);
        let square = rows.iter().map(|x| x * x).sum::<f64>() / train.len() as f64;
        let factor = if square > 0.0 { 1.0 / square.sqrt() } else { 1.0 };
        rows.iter_mut().for_each(|x| *x *= factor);
        let probe = |_: usize, own: &[bool]| {
            let fitted = Logistic::fit(&rows, own, Costs::balanced(own), self.probe_ridge);
            let weights = fitted.weights.iter().map(|w| factor * w).collect();
            LinearProbe { weights, bias: fitted.bias }
        };
        Ok(self.measure(labelled, classes, probe))
    }

    /// The same as [`run`](Self::run), with given probes of the samples: probe c finds class c.
    /// `probe_ridge` has no effect.
    ///
    /// # Errors
    /// The errors of [`run`](Self::run); [`Error::Dimension`] if there are fewer probes than
    /// classes, or a probe has other than d weights; [`Error::Argument`] for a probe that is not
    /// finite or has no weights but 0.
    pub fn run_probes<T: Scalar>(
        &self,
        labelled: Labelled<'_, T>,
        probes: &[LinearProbe],
    ) -> Result<Absorbed, Error> {
        let classes = self.check(&labelled)?;
        LinearProbe::check_all(probes, classes, labelled.dictionary.dim())?;
        Ok(self.measure(labelled, classes, |class, _| probes[class].clone()))
    }

    /// The number of classes, if every argument is right.
    fn check<T: Scalar>(&self, labelled: &Labelled<'_, T>) -> Result<usize, Error> {
        let ranges = [
            ("least_f1", self.least_f1, 0.0..=1.0, "0 to 1"),
            ("jump", self.jump, 0.0..=f64::MAX, "at least 0, finite"),
            ("probe_ridge", self.probe_ridge, f64::MIN_POSITIVE..=f64::MAX, "more than 0, finite"),
            ("ridge", self.ridge, f64::MIN_POSITIVE..=f64::MAX, "more than 0, finite"),
            ("l1", self.l1, f64::MIN_POSITIVE..=f64::MAX, "more than 0, finite"),
            ("least_share", self.least_share, 0.0..=1.0, "0 to 1"),
            ("least_cosine", self.least_cosine, -1.0..=1.0, "-1 to 1"),
            ("least_full_cosine", self.least_full_cosine, -1.0..=1.0, "-1 to 1"),
        ];
        for (name, value, range, expected) in ranges {
            if !range.contains(&value) {
                return Err(Error::argument(name, value, expected));
            }
        }
        let counts = [
            ("least_samples", self.least_samples, 2),
            ("most_main", self.most_main, 1),
            ("absorbers", self.absorbers, 1),
        ];
        for (name, count, least) in counts {
            if count < least {
                return Err(Error::argument(name, count, format!("at least {least}")));
            }
        }
        labelled.check()
    }

    fn measure<T: Scalar>(
        &self,
        labelled: Labelled<'_, T>,
        classes: usize,
        probe: impl Fn(usize, &[bool]) -> LinearProbe + Sync,
    ) -> Absorbed {
        let train = &labelled.split.train;
        let squares = |&i: &usize| {
            labelled.codes.values(i).iter().map(|value| value.widen().powi(2)).sum::<f64>()
        };
        let square = train.iter().map(squares).sum::<f64>()
            / (train.len() * labelled.dictionary.atoms()) as f64;
        let factor = if square > 0.0 { 0.1 / square.sqrt() } else { 1.0 };
        let columns = Columns::of_codes(labelled.codes, train, factor);
        let measured: Vec<Option<Result<AbsorbedClass, LeftOut>>> = (0..classes)
            .into_par_iter()
            .map(|class| self.class(&labelled, class, &columns, &probe))
            .collect();
        let mut absorbed = Absorbed { classes: Vec::new(), left_out: Vec::new() };
        for class in measured.into_iter().flatten() {
            match class {
                Ok(class) => absorbed.classes.push(class),
                Err(left_out) => absorbed.left_out.push(left_out),
            }
        }
        absorbed
    }

    /// One class; `None` if it has no samples.
    fn class<T: Scalar>(
        &self,
        labelled: &Labelled<'_, T>,
        class: usize,
        columns: &Columns,
        probe: &(impl Fn(usize, &[bool]) -> LinearProbe + Sync),
    ) -> Option<Result<AbsorbedClass, LeftOut>> {
        let own = |samples: &[usize]| -> Vec<bool> {
            samples.iter().map(|&i| labelled.labels[i] as usize == class).collect()
        };
        let (train, test) = (own(&labelled.split.train), own(&labelled.split.test));
        let count = |labels: &[bool]| labels.iter().filter(|&&label| label).count();
        let (in_train, in_test) = (count(&train), count(&test));
        if in_train + in_test == 0 {
            return None;
        }
        let has_both = in_train > 0 && in_train < train.len() && in_test > 0;
        if !has_both || in_train + in_test < self.least_samples {
            return Some(Err(LeftOut { class, probe_f1: None }));
        }
        let probe = probe(class, &train);
        let decisions = labelled.decisions(&probe, &labelled.split.test);
        let found: Vec<bool> = decisions.iter().map(|&z| z > 0.0).collect();
        let probe_f1 = f1(&test, &found);
        let samples: Vec<usize> = (0..test.len()).filter(|&at| test[at] && found[at]).collect();
        if probe_f1 < self.least_f1 || samples.is_empty() {
            return Some(Err(LeftOut { class, probe_f1: Some(probe_f1) }));
        }
        let Main { atoms: main, first_f1, f1: main_f1 } =
            self.main(labelled, columns, &train, &test);

        let norm = probe.weights.iter().map(|w| w * w).sum::<f64>().sqrt();
        let direction: Vec<f64> = probe.weights.iter().map(|w| w / norm).collect();
        let cosines = labelled.products(&direction);
        let is_main = places(cosines.len(), &main);
        let (mut fraction, mut full) = (0.0, 0);
        for &at in &samples {
            let i = labelled.split.test[at];
            // The decision is ‖w‖ xᵀw + b.
            let projection = (decisions[at] - probe.bias) / norm;
            let code = Contributions::new(labelled, i, &cosines, |j| is_main[j] != u32::MAX);
            fraction += self.fraction(&code, projection);
            full += usize::from(self.is_full(&code, projection));
        }
        let samples = samples.len();
        let (fraction, full) = (fraction / samples as f64, full as f64 / samples as f64);
        Some(Ok(AbsorbedClass {
            class,
            probe_f1,
            main,
            first_f1,
            main_f1,
            samples,
            fraction,
            full,
        }))
    }

    /// The atoms that stand for a class.
    fn main<T: Scalar>(
        &self,
        labelled: &Labelled<'_, T>,
        columns: &Columns,
        train: &[bool],
        test: &[bool],
    ) -> Main {
        let costs = Costs::balanced(train);
        let (weights, _) = sparse_logistic::fit(columns, train, costs, self.l1);
        let mut order: Vec<usize> = (0..weights.len()).filter(|&j| weights[j] > 0.0).collect();
        order.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
        order.truncate(self.most_main);

        let features = Features::Codes(labelled.codes);
        let mut main = Main { atoms: Vec::new(), first_f1: 0.0, f1: 0.0 };
        for k in 1..=order.len() {
            let place = places(weights.len(), &order[..k]);
            let rows = |samples: &[usize]| features.rows(samples, &place, k);
            let fitted = Logistic::fit(&rows(&labelled.split.train), train, costs, self.ridge);
            let rows = rows(&labelled.split.test);
            let found: Vec<bool> = rows.chunks(k).map(|row| fitted.decision(row) > 0.0).collect();
            let f1 = f1(test, &found);
            if k == 1 {
                main.first_f1 = f1;
            } else if f1 <= main.f1 + self.jump {
                break;
            }
            (main.f1, main.atoms) = (f1, order[..k].to_vec());
        }
        main
    }

    /// The absorbed fraction of a sample with the projection xᵀw.
    fn fraction(&self, code: &Contributions, projection: f64) -> f64 {
        let mut absorbing: Vec<f64> = code
            .others
            .iter()
            .filter(|&&(added, cosine)| added > 0.0 && cosine >= self.least_cosine)
            .map(|&(added, _)| added)
            .collect();
        absorbing.sort_unstable_by(|a, b| b.total_cmp(a));
        let absorbers: f64 = absorbing.iter().take(self.absorbers).sum();
        let main = code.main;
        if projection <= 0.0 || main >= projection || absorbers < self.least_share * projection {
            0.0
        } else if main <= 0.0 {
            1.0
        } else {
            let absorbed = absorbers.min(projection - main);
            absorbed / (absorbed + main)
        }
    }

    /// Whether a sample with the projection xᵀw is fully absorbed by one atom.
    fn is_full(&self, code: &Contributions, projection: f64) -> bool {
        // Of atoms that add the same, the first.
        let most = code.others.iter().copied().reduce(|a, b| if b.0 > a.0 { b } else { a });
        let absorbs = |(added, cosine): (f64, f64)| {
            cosine >= self.least_full_cosine && added >= self.least_share * projection
        };
        !code.main_fires && projection > 0.0 && most.is_some_and(absorbs)
    }
}

/// The main atoms, and F1 of the probes of the first and of all of them.
struct Main {
    atoms: Vec<usize>,
    first_f1: f64,
    f1: f64,
}

/// What the code of a sample adds to its projection.
struct Contributions {
    /// By main atoms.
    main: f64,
    main_fires: bool,
    /// By each other atom that fires, with its cosine.
    others: Vec<(f64, f64)>,
}

impl Contributions {
    fn new<T: Scalar>(
        labelled: &Labelled<'_, T>,
        i: usize,
        cosines: &[f64],
        is_main: impl Fn(usize) -> bool,
    ) -> Self {
        let mut all = Self { main: 0.0, main_fires: false, others: Vec::new() };
        for (&atom, value) in labelled.codes.support(i).iter().zip(labelled.codes.values(i)) {
            let (j, value) = (atom as usize, value.widen());
            if is_main(j) {
                all.main += value * cosines[j];
                all.main_fires |= value >= SILENT;
            } else if value > 0.0 {
                all.others.push((value * cosines[j], cosines[j]));
            }
        }
        all
    }
}

/// 2 tp / (2 tp + fp + fn), or 0 without any.
fn f1(labels: &[bool], found: &[bool]) -> f64 {
    let both = labels.iter().zip(found).filter(|&(&label, &found)| label && found).count();
    let either = labels.iter().chain(found).filter(|&&is| is).count();
    if either == 0 { 0.0 } else { 2.0 * both as f64 / either as f64 }
}
