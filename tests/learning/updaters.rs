//! Updaters beside K-SVD: what each promises, against its formula.

use dbksvd::backend::Backend;
use dbksvd::coder::BatchOmp;
use dbksvd::codes::SparseCodes;
use dbksvd::faer::Mat;
use dbksvd::metrics::{Coherence, RECOVERED, Recovery};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{DictionaryUpdater, Forgetting, Incoherent, KSvd, LeadingPair, Mod, Online};
use dbksvd::updater::{Renewal, Step, UpdateReport};
use dbksvd::{DbKsvd, Dictionary, Faer, ProblemShape, Sign};
use proptest::prelude::*;

type Double = Faer<f64>;

/// One updater with its state and what it works on.
struct Run<U: DictionaryUpdater<Double>> {
    updater: U,
    state: U::State,
    order: Vec<u32>,
    sign: Sign,
    samples: Mat<f64>,
    dictionary: Mat<f64>,
    codes: SparseCodes<f64>,
}

impl<U: DictionaryUpdater<Double>> Run<U> {
    fn new(updater: U, samples: Mat<f64>, dictionary: Mat<f64>, codes: SparseCodes<f64>) -> Self {
        let (dim, atoms) = dictionary.shape();
        let shape = ProblemShape { dim, atoms, sparsity: codes.sparsity(), sign: Sign::Signed };
        let state = updater.prepare(&Double::default(), &shape).unwrap();
        let order = (0..atoms as u32).rev().collect();
        Self { updater, state, order, sign: Sign::Signed, samples, dictionary, codes }
    }

    /// Samples of a planted problem, coded with another dictionary of the same law.
    fn generated(updater: U, planted: Planted, sparsity: usize, sign: Sign) -> Self {
        let samples = planted.sign(sign).noise(0.1).generate().unwrap().samples;
        let start = planted.seed(77).generate().unwrap().dictionary;
        let empty = SparseCodes::new(start.atoms(), samples.ncols(), sparsity);
        let mut run = Self::new(updater, samples, start.into_mat(), empty);
        run.sign = sign;
        run.encode();
        run
    }

    fn encode(&mut self) {
        let Self { dictionary, samples, codes, sign, .. } = self;
        let (samples, k) = (samples.as_ref(), codes.sparsity());
        *codes = crate::support::encode::<Double, BatchOmp>(
            BatchOmp::new(),
            dictionary,
            samples,
            k,
            *sign,
        );
    }

    fn update(&mut self) -> UpdateReport {
        let step = Step::new(&self.order, 0.0);
        let Self { updater, state, samples, codes, dictionary, .. } = self;
        updater.update(&Double::default(), state, samples, codes, dictionary, &step).unwrap()
    }

    fn energy(&self) -> f64 {
        Double::default().squared_norm(&self.samples).expect("host memory")
    }

    /// Rounding of errors, absolute.
    fn rounding(&self) -> f64 {
        let terms = (self.dictionary.nrows() + self.codes.sparsity()) as f64;
        64.0 * terms * f64::EPSILON * self.energy()
    }

    /// X (m × N) with its zeros.
    fn dense(&self) -> Mat<f64> {
        crate::support::dense(&self.codes)
    }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Planted, Kind::Correlated, Kind::Anisotropic])
}

fn signs() -> impl Strategy<Value = Sign> {
    prop::sample::select(vec![Sign::Signed, Sign::NonNegative])
}

fn few_cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// The method of optimal directions.

#[test]
fn mod_is_least_squares_by_numpy() {
    let at = |name: &str| crate::support::columns(&format!("fixtures/mod/{name}.npy"));
    let codes = crate::support::sparse(at("codes").as_ref(), 3);
    for updater in [Mod::textbook(), Mod::textbook().ridge(1e-14)] {
        let mut run = Run::new(updater, at("samples"), at("dictionary"), codes.clone());
        run.update();
        let tolerance = 1e4 * f64::EPSILON;
        crate::support::assert_close(
            run.dictionary.as_ref(),
            at("expected_dictionary").as_ref(),
            tolerance,
        );
        crate::support::assert_close(
            run.dense().as_ref(),
            at("expected_codes").as_ref(),
            tolerance,
        );
    }
}

proptest! {
    #![proptest_config(few_cases(24))]

    #[test]
    fn mod_never_raises_the_error(
        kind in kinds(), sign in signs(), seed in any::<u64>(),
        ridge in prop::sample::select(vec![0.0, 1e-8, 1e-2, 10.0]),
        samples in prop::sample::select(vec![5_usize, 20, 60]),
    ) {
        let planted = Planted::new(7, 12, 3, samples).kind(kind).seed(seed);
        let mut run = Run::generated(Mod::textbook().ridge(ridge), planted, 3, sign);
        for _ in 0..4 {
            let report = run.update();
            let bound = report.error_before + run.rounding();
            prop_assert!(report.error_after <= bound, "{report:?}");
            run.encode();
        }
    }

    /// The residual of least squares is orthogonal to what was fitted: R Xᵀ = 0.
    #[test]
    fn mod_leaves_nothing_for_a_second_step(kind in kinds(), seed in any::<u64>()) {
        let planted = Planted::new(7, 12, 3, 80).kind(kind).seed(seed);
        let mut run = Run::generated(Mod::textbook(), planted, 3, Sign::Signed);
        run.update();
        let x = run.dense();
        let left = (&run.samples - &run.dictionary * &x) * x.transpose();
        let bound = 1e8 * f64::EPSILON * run.energy().sqrt() * x.norm_l2();
        prop_assert!(left.norm_max() <= bound, "{} of {bound}", left.norm_max());
    }
}

#[test]
fn mod_leaves_unused_atoms_as_they_are() {
    let planted = Planted::new(8, 20, 2, 6).seed(3);
    for updater in [Mod::textbook(), Mod::new(), Mod::new().ridge(1.0)] {
        let mut run = Run::generated(updater, planted, 2, Sign::Signed);
        let before = run.dictionary.clone();
        let used: Vec<usize> =
            run.codes.iter().flat_map(|(support, _)| support).map(|&j| j as usize).collect();
        let report = run.update();
        assert!(report.unused > 5, "{report:?}");
        for j in (0..20).filter(|j| !used.contains(j)) {
            assert_eq!(run.dictionary.col(j), before.col(j), "atom {j}");
        }
        assert!(used.iter().any(|&j| run.dictionary.col(j) != before.col(j)));
    }
}

/// Two atoms used only together, in one proportion: A is singular, and their sum is all that is
/// determined.
#[test]
fn mod_on_a_singular_system_is_still_least_squares() {
    let data = Planted::new(6, 4, 2, 40).seed(5).generate::<f64>().unwrap();
    let mut codes = SparseCodes::new(4, 40, 2);
    for i in 0..40 {
        let x = 1.0 + 0.1 * i as f64;
        let pair = [([0, 1], [x, 2.0 * x]), ([2, 3], [x, x * x])];
        let (support, values) = pair[i % 2];
        codes.set(i, &support, &values);
    }
    let mut run = Run::new(Mod::textbook(), data.samples, data.dictionary.into_mat(), codes);
    let report = run.update();
    assert!(report.error_after < report.error_before, "{report:?}");
    let x = run.dense();
    let left = (&run.samples - &run.dictionary * &x) * x.transpose();
    let bound = 1e8 * f64::EPSILON * run.energy().sqrt() * x.norm_l2();
    assert!(left.norm_max() <= bound, "{} of {bound}", left.norm_max());
}

#[test]
fn mod_without_a_single_nonzero_changes_nothing() {
    let data = Planted::new(6, 4, 2, 5).seed(5).generate::<f64>().unwrap();
    let before = data.dictionary.clone().into_mat();
    let empty = SparseCodes::new(4, 5, 2);
    let mut run = Run::new(Mod::new(), data.samples, before.clone(), empty);
    let report = run.update();
    assert_eq!((report.unused, report.nonzeros), (4, 0));
    assert_eq!(run.dictionary, before);
}

/// An atom whose least-squares solution is zero: samples that are what other atoms make of them.
#[test]
fn mod_keeps_the_direction_of_an_atom_that_is_solved_to_zero() {
    let mut codes = SparseCodes::new(2, 4, 2);
    for (i, x) in [1.0, -1.0, 1.0, -1.0].into_iter().enumerate() {
        codes.set(i, &[0, 1], &[1.0, x]);
    }
    let samples = Mat::from_fn(3, 4, |row, _| if row == 0 { 2.0 } else { 0.0 });
    let dictionary = Mat::from_fn(3, 2, |row, j| if row == j { 1.0 } else { 0.0 });
    let mut run = Run::new(Mod::textbook(), samples, dictionary, codes);
    let report = run.update();
    assert!(report.error_after <= 1e-20, "{report:?}");
    assert_eq!(run.dictionary, Mat::from_fn(3, 2, |row, j| if row == j { 1.0 } else { 0.0 }));
    let x = run.dense();
    assert!((0..4).all(|i| (x[(0, i)] - 2.0).abs() < 1e-12 && x[(1, i)].abs() < 1e-12), "{x:?}");
}

// Online learning.

/// What the updater keeps, and its descent, by the formulas.
struct Naive {
    a: Mat<f64>,
    b: Mat<f64>,
}

impl Naive {
    fn new(dim: usize, atoms: usize) -> Self {
        Self { a: Mat::zeros(atoms, atoms), b: Mat::zeros(dim, atoms) }
    }

    fn add(&mut self, retention: f64, samples: &Mat<f64>, x: &Mat<f64>) {
        self.a = retention * &self.a + x * x.transpose();
        self.b = retention * &self.b + samples * x.transpose();
    }

    /// tr(DᵀDA) − 2 tr(DᵀB): the error so far, up to a constant.
    fn objective(&self, d: &Mat<f64>) -> f64 {
        let (da, mut sum) = (d * &self.a, 0.0);
        for j in 0..d.ncols() {
            for i in 0..d.nrows() {
                sum += d[(i, j)] * (da[(i, j)] - 2.0 * self.b[(i, j)]);
            }
        }
        sum
    }

    fn sweep(&self, d: &mut Mat<f64>, order: &[u32]) {
        for j in order.iter().map(|&j| j as usize) {
            if self.a[(j, j)] == 0.0 {
                continue;
            }
            let u = self.b.col(j) - &*d * self.a.col(j) + d.col(j) * self.a[(j, j)];
            let norm = u.norm_l2();
            for i in 0..d.nrows() {
                d[(i, j)] = u[i] / norm;
            }
        }
    }
}

/// More atoms than stand in a batch of the descent.
#[test]
fn online_descends_as_if_atoms_were_taken_one_by_one() {
    let planted = Planted::new(10, 150, 4, 400).kind(Kind::Correlated).seed(4);
    let updater = Online::new().renewal(None).sweeps(2);
    let updater = updater.forgetting(Forgetting::Retention { retention: 0.7 });
    let mut run = Run::generated(updater, planted, 4, Sign::Signed);
    let (mut naive, mut dictionary) = (Naive::new(10, 150), run.dictionary.clone());
    for _ in 0..3 {
        naive.add(0.7, &run.samples, &run.dense());
        naive.sweep(&mut dictionary, &run.order);
        naive.sweep(&mut dictionary, &run.order);
        let codes = run.codes.clone();
        run.update();
        assert_eq!(run.codes, codes, "coefficients are kept");
        crate::support::assert_close(run.dictionary.as_ref(), dictionary.as_ref(), 1e-9);
        run.encode();
    }
}

proptest! {
    #![proptest_config(few_cases(16))]

    #[test]
    fn online_without_a_past_never_raises_the_error(
        kind in kinds(), sign in signs(), seed in any::<u64>(), sweeps in 1..4_usize,
    ) {
        let planted = Planted::new(7, 12, 3, 60).kind(kind).seed(seed);
        let updater = Online::new().renewal(None).sweeps(sweeps);
        let updater = updater.forgetting(Forgetting::Retention { retention: 0.0 });
        let mut run = Run::generated(updater, planted, 3, sign);
        for _ in 0..4 {
            let report = run.update();
            let bound = report.error_before + run.rounding();
            prop_assert!(report.error_after <= bound, "{report:?}");
            run.encode();
        }
    }

    #[test]
    fn online_never_raises_the_error_of_all_it_has_seen(
        kind in kinds(), seed in any::<u64>(), exponent in 0.0..10.0,
    ) {
        let planted = Planted::new(7, 12, 3, 60).kind(kind).seed(seed);
        let updater = Online::new().renewal(None).forgetting(Forgetting::Power { exponent });
        let mut run = Run::generated(updater, planted, 3, Sign::Signed);
        let mut naive = Naive::new(7, 12);
        for t in 1..6 {
            let retention = (1.0 - 1.0 / f64::from(t)).powf(exponent);
            naive.add(retention, &run.samples, &run.dense());
            let before = naive.objective(&run.dictionary);
            run.update();
            let after = naive.objective(&run.dictionary);
            prop_assert!(after <= before + 10.0 * run.rounding(), "{before} to {after}");
            run.encode();
        }
    }
}

#[test]
fn online_recovers_a_planted_dictionary_in_one_pass() {
    let data = Planted::new(32, 48, 3, 20_000).noise(0.02).seed(6).generate::<f32>().unwrap();
    let builder = DbKsvd::builder(48, 3).epochs(1).minibatch(250).seed(1);
    let learner = builder.updater(Online::new()).build().unwrap();
    let (model, _) = learner.fit(&data.samples).unwrap();
    let recovery = Recovery::new(model.dictionary(), &data.dictionary).unwrap();
    assert!(recovery.recovered(RECOVERED) >= 0.95, "{}", recovery.recovered(RECOVERED));
}

/// The statistics of a replaced atom go with it: with all of the past kept, the next descent gives
/// the newcomer no more of the old one's samples.
#[test]
fn online_forgets_an_atom_that_is_replaced() {
    let planted = Planted::new(8, 12, 2, 200).seed(9);
    // Every atom is used less than the mean share demanded by somebody: renewals in each step.
    let renewal = Renewal { min_usage: 0.9, max_coherence: 1.0, window: 0.1, until: 1.0 };
    let updater = Online::new().renewal(Some(renewal));
    let updater = updater.forgetting(Forgetting::Power { exponent: 0.0 });
    let mut run = Run::generated(updater, planted, 2, Sign::Signed);
    let before = run.dictionary.clone();
    let report = run.update();
    assert!(report.replaced > 0, "{report:?}");
    let fresh = run.dictionary.clone();
    // No code uses a newcomer: only its own statistics could move it.
    run.codes = SparseCodes::new(12, 200, 2);
    run.update_without_renewal();
    let unmoved = (0..12).filter(|&j| run.dictionary.col(j) == fresh.col(j)).count();
    assert!(unmoved >= report.replaced, "{unmoved} of {} stayed", report.replaced);
    assert_ne!(before, fresh);
}

impl Run<Online> {
    fn update_without_renewal(&mut self) -> UpdateReport {
        let updater = self.updater;
        self.updater = updater.renewal(None);
        let report = self.update();
        self.updater = updater;
        report
    }
}

// The bound on coherence.

fn coherence(dictionary: &Mat<f64>) -> f64 {
    Coherence::new(&Dictionary::new(dictionary.clone()).unwrap()).coherence()
}

fn textbook() -> KSvd {
    KSvd::textbook().leading_pair(LeadingPair::Power { iterations: 1 })
}

#[test]
fn incoherent_holds_its_bound_at_every_step() {
    for (kind, bound) in [(Kind::Planted, 0.5), (Kind::Correlated, 0.6), (Kind::Anisotropic, 0.7)] {
        let planted = Planted::new(24, 48, 3, 600).kind(kind).seed(2);
        let updater = Incoherent::new(textbook(), bound).iterations(200);
        let mut run = Run::generated(updater, planted, 3, Sign::Signed);
        for _ in 0..4 {
            run.update();
            let found = coherence(&run.dictionary);
            assert!(found <= bound + 1e-9, "{kind:?}: {found}, bound {bound}");
            run.encode();
        }
    }
}

#[test]
fn incoherent_with_a_bound_of_one_is_the_updater_itself() {
    let planted = Planted::new(24, 48, 3, 600).kind(Kind::Correlated).seed(2);
    let mut run = Run::generated(textbook(), planted, 3, Sign::Signed);
    let mut bounded = Run::generated(Incoherent::new(textbook(), 1.0), planted, 3, Sign::Signed);
    assert_eq!(run.update(), bounded.update());
    assert_eq!(run.dictionary, bounded.dictionary);
    assert_eq!(run.codes, bounded.codes);
}

/// Two atoms at |cos| = 0.9 and one orthogonal to both: the pair parts evenly, the third stays.
#[test]
fn incoherent_parts_a_pair_and_leaves_the_others() {
    let (c, s) = (0.95_f64.sqrt(), 0.05_f64.sqrt());
    let atoms = [[c, s, 0.0], [c, -s, 0.0], [0.0, 0.0, 1.0]];
    let before = Mat::from_fn(3, 3, |row, j| atoms[j][row]);
    // An updater that changes nothing: it has no nonzeros to learn from.
    let empty = SparseCodes::new(3, 5, 1);
    let samples = Mat::from_fn(3, 5, |row, i| (row + i) as f64);
    let updater = Incoherent::new(textbook(), 0.5).iterations(10);
    let mut run = Run::new(updater, samples, before.clone(), empty);
    run.update();
    let d = &run.dictionary;
    let cosine = d.col(0).transpose() * d.col(1);
    assert!((0.4..=0.5).contains(&cosine), "{cosine}");
    assert!((d[(0, 0)] - d[(0, 1)]).abs() < 1e-14 && (d[(1, 0)] + d[(1, 1)]).abs() < 1e-14);
    assert_eq!(d.col(2), before.col(2));
}

/// The refit makes up for some of what moving the atoms costs: with the new atoms and the old
/// coefficients the error is larger.
#[test]
fn incoherent_refits_the_codes() {
    let planted = Planted::new(16, 32, 3, 400).kind(Kind::Correlated).seed(8);
    for sign in [Sign::Signed, Sign::NonNegative] {
        let mut inner = Run::generated(textbook(), planted, 3, sign);
        inner.update();
        let updater = Incoherent::new(textbook(), 0.6);
        let mut run = Run::generated(updater, planted, 3, sign);
        let report = run.update();
        let mut residual = Mat::zeros(0, 0);
        let backend = Double::default();
        backend.residual(&mut residual, &run.samples, &run.dictionary, &inner.codes);
        let unfitted = backend.squared_norm(&residual).expect("host memory");
        assert!(report.error_after < unfitted, "{} of {unfitted}", report.error_after);
    }
}
