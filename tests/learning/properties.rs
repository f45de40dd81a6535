//! Properties of learning on random small problems.

use std::sync::Mutex;

use dbksvd::backend::Backend;
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::codes::SparseCodes;
use dbksvd::error::BackendError;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{AtomRule, KSvd, LeadingPair, Memory, Renewal};
use dbksvd::updater::{DictionaryUpdater, SavedState, Step, UpdateReport};
use dbksvd::{DbKsvd, Dictionary, Error, Faer, Initialisation, Model, Parameters, ProblemShape};
use dbksvd::{Scalar, Sign};
use proptest::prelude::*;

fn few_cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![Kind::Planted, Kind::Correlated, Kind::Anisotropic])
}

fn signs() -> impl Strategy<Value = Sign> {
    prop::sample::select(vec![Sign::Signed, Sign::NonNegative])
}

fn pairs() -> impl Strategy<Value = LeadingPair> {
    prop_oneof![
        Just(LeadingPair::Exact),
        (1..4_usize).prop_map(|iterations| LeadingPair::Power { iterations })
    ]
}

fn updaters() -> impl Strategy<Value = KSvd> {
    let rules = prop::sample::select(vec![AtomRule::Refitted, AtomRule::Shared]);
    let memory = prop::option::of(Just(Memory { start: 0.0, full: 0.5, retention: 0.8 }));
    let renewal = prop::option::of(Just(Renewal { window: 3.0, ..Renewal::default() }));
    (1..40_usize, pairs(), rules, 1..3_usize, memory, renewal).prop_map(
        |(batch, pair, rule, sweeps, memory, renewal)| {
            let updater = KSvd::new().atom_batch(batch).leading_pair(pair).atom_rule(rule);
            updater.sweeps(sweeps).memory(memory).renewal(renewal)
        },
    )
}

/// Coding and updating step by step, on all samples at once.
struct Alternation<T: Scalar> {
    shape: ProblemShape,
    samples: Mat<T>,
    dictionary: Mat<T>,
    codes: SparseCodes<T>,
    updater: KSvd,
    state: <KSvd as DictionaryUpdater<Faer<T>>>::State,
}

impl<T: Scalar> Alternation<T> {
    fn new(
        updater: KSvd,
        samples: Mat<T>,
        dictionary: Mat<T>,
        sparsity: usize,
        sign: Sign,
    ) -> Self {
        let (dim, atoms) = dictionary.shape();
        let shape = ProblemShape { dim, atoms, sparsity, sign };
        let codes = SparseCodes::new(atoms, samples.ncols(), sparsity);
        let state = updater.prepare(&Faer::default(), &shape).unwrap();
        Self { shape, samples, dictionary, codes, updater, state }
    }

    /// From a dictionary other than the true one.
    fn generated(updater: KSvd, planted: Planted, sparsity: usize, sign: Sign) -> Self {
        let samples = planted.sign(sign).noise(0.1).generate().unwrap().samples;
        let start = planted.seed(77).generate().unwrap().dictionary;
        Self::new(updater, samples, start.into_mat(), sparsity, sign)
    }

    fn encode(&mut self) {
        let backend = Faer::<T>::default();
        let coder = BatchOmp::new();
        let mut state = SparseCoder::<Faer<T>>::prepare(&coder, &backend, &self.shape).unwrap();
        coder.set_dictionary(&backend, &mut state, &self.dictionary).unwrap();
        coder.encode(&backend, &state, &self.dictionary, &self.samples, &mut self.codes).unwrap();
    }

    fn update(&mut self, progress: f64) -> UpdateReport {
        let order: Vec<u32> = (0..self.shape.atoms as u32).collect();
        self.update_in_order(&order, progress)
    }

    fn update_in_order(&mut self, order: &[u32], progress: f64) -> UpdateReport {
        let step = Step::new(order, progress);
        let Self { updater, state, samples, codes, dictionary, .. } = self;
        updater.update(&Faer::default(), state, samples, codes, dictionary, &step).unwrap()
    }

    /// ‖Y − DX‖², by naive loops.
    fn error(&self) -> f64 {
        let mut error = 0.0;
        for (i, (support, values)) in self.codes.iter().enumerate() {
            for row in 0..self.shape.dim {
                let coded = support.iter().zip(values);
                let decoded: f64 = coded
                    .map(|(&j, x)| self.dictionary[(row, j as usize)].widen() * x.widen())
                    .sum();
                error += (self.samples[(row, i)].widen() - decoded).powi(2);
            }
        }
        error
    }

    fn energy(&self) -> f64 {
        Faer::default().squared_norm(&self.samples).expect("host memory")
    }

    /// Rounding of errors, absolute.
    fn rounding(&self) -> f64 {
        64.0 * (self.shape.dim + self.shape.sparsity) as f64 * T::EPSILON * self.energy()
    }
}

#[track_caller]
fn assert_unit_atoms<T: Scalar>(dictionary: MatRef<'_, T>) {
    for (j, atom) in dictionary.col_iter().enumerate() {
        let norm = atom.iter().map(|x| x.widen().powi(2)).sum::<f64>().sqrt();
        let bound = 8.0 * dictionary.nrows() as f64 * T::EPSILON;
        assert!((norm - 1.0).abs() <= bound, "atom {j} has norm {norm}");
    }
}

#[track_caller]
fn assert_sound<T: Scalar>(codes: &SparseCodes<T>, sign: Sign) {
    for (i, (support, values)) in codes.iter().enumerate() {
        let mut distinct = support.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.len() == support.len() && distinct.len() <= codes.sparsity(), "{i}");
        let allowed = |x: &T| x.widen().is_finite() && (sign == Sign::Signed || x.widen() >= 0.0);
        assert!(values.iter().all(allowed), "sample {i}: {values:?}");
    }
}

proptest! {
    #![proptest_config(few_cases(16))]

    #[test]
    fn a_fit_gives_unit_atoms_and_sound_codes(
        updater in updaters(),
        (kind, sign, center) in (kinds(), signs(), any::<bool>()),
        (minibatch, threads, seed) in (1..80_usize, 1..5_usize, any::<u64>()),
    ) {
        let planted = Planted::new(7, 12, 3, 60).kind(kind).sign(sign).noise(0.1).seed(seed);
        let samples = planted.generate::<f32>().unwrap().samples;
        let builder = DbKsvd::builder(12, 3).updater(updater).sign(sign).center(center);
        let learner = builder.epochs(2).minibatch(minibatch).seed(seed).build().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (model, report) = pool.install(|| learner.fit(&samples)).unwrap();
        assert_unit_atoms(model.dictionary().as_mat());
        assert_sound(&model.encode(&BatchOmp::new(), samples.as_ref()).unwrap(), sign);
        prop_assert!(report.epochs.iter().all(|epoch| epoch.fvu >= 0.0), "{report:?}");
    }

    #[test]
    fn updates_keep_codes_sound_and_of_the_new_dictionary(
        updater in updaters(), kind in kinds(), sign in signs(), seed in any::<u64>(),
    ) {
        let planted = Planted::new(7, 12, 3, 60).kind(kind).seed(seed);
        let mut run = Alternation::<f64>::generated(updater, planted, 3, sign);
        for step in 0..4 {
            run.encode();
            let before = run.error();
            let report = run.update(f64::from(step) / 4.0);
            assert_unit_atoms(run.dictionary.as_ref());
            assert_sound(&run.codes, sign);
            let (after, bound) = (run.error(), run.rounding());
            prop_assert!((report.error_before - before).abs() <= bound, "{report:?}: {before}");
            prop_assert!((report.error_after - after).abs() <= bound, "{report:?}: {after}");
        }
    }

    #[test]
    fn sequential_exact_updates_never_raise_the_error(
        kind in kinds(), sign in signs(), seed in any::<u64>(),
    ) {
        let planted = Planted::new(7, 12, 3, 60).kind(kind).seed(seed);
        let mut run = Alternation::<f64>::generated(KSvd::textbook(), planted, 3, sign);
        for step in 0..4 {
            run.encode();
            let report = run.update(f64::from(step) / 4.0);
            let bound = report.error_before + run.rounding();
            prop_assert!(report.error_after <= bound, "{report:?}");
        }
    }
}

/// 96 atoms in 32 dimensions, six a sample, one power step an atom.
fn coupled(rule: AtomRule, atom_batch: usize, kind: Kind) -> Alternation<f64> {
    let planted = Planted::new(32, 96, 6, 300).kind(kind).seed(1);
    let updater = KSvd::textbook().leading_pair(LeadingPair::Power { iterations: 1 });
    let updater = updater.atom_rule(rule).atom_batch(atom_batch);
    let mut run = Alternation::generated(updater, planted, 6, Sign::Signed);
    run.encode();
    run
}

/// ‖Y − DX‖² / ‖Y‖² before and after each of six sweeps without coding in between.
fn errors_of_sweeps(rule: AtomRule, atom_batch: usize, kind: Kind) -> Vec<f64> {
    let mut run = coupled(rule, atom_batch, kind);
    let mut errors = vec![run.error()];
    errors.extend((0..6).map(|_| run.update(0.0).error_after));
    errors.into_iter().map(|error| error / run.energy()).collect()
}

/// ‖Y − DX‖² / ‖Y‖² as coded, in each of six alternations.
fn errors_as_coded(rule: AtomRule, atom_batch: usize, kind: Kind) -> Vec<f64> {
    let mut run = coupled(rule, atom_batch, kind);
    let mut alternate = || {
        let error = run.update(0.0).error_before;
        run.encode();
        error / run.energy()
    };
    (0..6).map(|_| alternate()).collect()
}

fn falls(errors: &[f64]) -> bool {
    errors.is_sorted_by(|a, b| b <= a)
}

const COUPLED: [Kind; 2] = [Kind::Correlated, Kind::Anisotropic];

#[test]
fn a_batch_of_a_third_of_the_atoms_refitted_does_not_raise_the_error() {
    for kind in COUPLED {
        let errors = errors_of_sweeps(AtomRule::Refitted, 32, kind);
        assert!(falls(&errors), "{kind:?}: {errors:?}");
    }
}

#[test]
fn a_batch_of_all_atoms_refitted_does_not_raise_the_error() {
    for kind in COUPLED {
        let errors = errors_of_sweeps(AtomRule::Refitted, 96, kind);
        assert!(falls(&errors), "{kind:?}: {errors:?}");
    }
}

#[test]
fn a_batch_of_all_atoms_refitted_ends_below_where_it_began() {
    for kind in COUPLED {
        let errors = errors_of_sweeps(AtomRule::Refitted, 96, kind);
        assert!(errors[6] < 0.7 * errors[0], "{kind:?}: {errors:?}");
    }
}

#[test]
fn a_batch_of_all_atoms_refitted_lowers_the_error_from_coding_to_coding() {
    for kind in COUPLED {
        let errors = errors_as_coded(AtomRule::Refitted, 96, kind);
        assert!(falls(&errors), "{kind:?}: {errors:?}");
    }
}

/// What the rule is there for: from the shared residual the same sweeps diverge.
#[test]
fn batches_from_the_shared_residual_diverge() {
    for kind in COUPLED {
        let errors = errors_of_sweeps(AtomRule::Shared, 96, kind);
        assert!(!falls(&errors) && errors[6] > errors[0], "{kind:?}: {errors:?}");
    }
}

/// One update on the codes of f64: atoms agree to √ε of f32 (the sum of d·uses terms of rounding,
/// times the conditioning of directions), errors to ε · d · k of the energy.
#[test]
fn single_precision_agrees_with_double() {
    let planted = Planted::new(16, 24, 3, 200).noise(0.1).seed(6);
    let start = planted.seed(8).generate::<f32>().unwrap().dictionary.into_mat();
    let single = planted.generate::<f32>().unwrap().samples;
    let widen = |a: &Mat<f32>| Mat::from_fn(a.nrows(), a.ncols(), |i, j| a[(i, j)].widen());
    let double = widen(&single);
    let updater = KSvd::new().renewal(None);
    let mut double = Alternation::new(updater, double, widen(&start), 3, Sign::Signed);
    let mut single = Alternation::new(updater, single, start, 3, Sign::Signed);
    double.encode();
    single.encode();
    let same = (0..200).filter(|&i| single.codes.support(i) == double.codes.support(i)).count();
    assert!(same >= 198, "{same} of 200 supports agree");
    for (i, (support, values)) in double.codes.iter().enumerate() {
        let narrow: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        single.codes.set(i, support, &narrow);
    }
    let (found, expected) = (single.update(0.0), double.update(0.0));
    let rounding = single.rounding();
    assert!((found.error_before - expected.error_before).abs() <= rounding);
    assert!((found.error_after - expected.error_after).abs() <= rounding);
    let difference = (widen(&single.dictionary) - &double.dictionary).norm_max();
    assert!(difference <= f64::from(f32::EPSILON).sqrt(), "atoms differ by {difference}");
}

/// K-SVD that writes down in which order it was told to take the atoms.
struct Recording {
    updater: KSvd,
    orders: Mutex<Vec<Vec<u32>>>,
}

impl DictionaryUpdater<Faer<f64>> for &Recording {
    type State = <KSvd as DictionaryUpdater<Faer<f64>>>::State;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        DictionaryUpdater::<Faer<f64>>::check(&self.updater, shape)
    }

    fn prepare(&self, b: &Faer<f64>, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        self.updater.prepare(b, shape)
    }

    fn update(
        &self,
        backend: &Faer<f64>,
        state: &mut Self::State,
        y: &Mat<f64>,
        codes: &mut SparseCodes<f64>,
        dictionary: &mut Mat<f64>,
        step: &Step<'_>,
    ) -> Result<UpdateReport, BackendError> {
        self.orders.lock().unwrap().push(step.order.to_vec());
        self.updater.update(backend, state, y, codes, dictionary, step)
    }

    fn save(
        &self,
        backend: &Faer<f64>,
        state: &Self::State,
    ) -> Result<SavedState<f64>, BackendError> {
        self.updater.save(backend, state)
    }

    fn restore(
        &self,
        backend: &Faer<f64>,
        state: &mut Self::State,
        saved: &SavedState<f64>,
    ) -> Result<(), Error> {
        self.updater.restore(backend, state, saved)
    }

    fn parameters(&self) -> Parameters {
        DictionaryUpdater::<Faer<f64>>::parameters(&self.updater)
    }
}

/// The learner is nothing but the alternation of its parts.
#[test]
fn a_fit_of_full_batches_is_coding_and_updating_by_turns() {
    let data = Planted::new(8, 14, 3, 90).noise(0.1).generate::<f64>().unwrap();
    let start = Planted::new(8, 14, 3, 1).seed(4).generate::<f64>().unwrap().dictionary;
    let recording = Recording { updater: KSvd::textbook(), orders: Mutex::default() };
    let builder = DbKsvd::builder_on(Faer::<f64>::default(), 14, 3).epochs(5).minibatch(90);
    let builder = builder.initialisation(Initialisation::Given(start.clone()));
    let learner = builder.updater(&recording).build().unwrap();
    let (model, report) = learner.fit(&data.samples).unwrap();

    // Minibatches are shuffled, so that sums over samples are rounded otherwise.
    let (start, updater) = (start.into_mat(), recording.updater);
    let mut run = Alternation::new(updater, data.samples, start, 3, Sign::Signed);
    for (epoch, order) in recording.orders.lock().unwrap().iter().enumerate() {
        run.encode();
        let found = report.epochs[epoch].relative_error;
        let expected = run.error() / run.energy();
        let bound = run.rounding() / run.energy();
        assert!((found - expected).abs() <= bound, "epoch {epoch}: {found}, {expected} by hand");
        run.update_in_order(order, 0.0);
    }
    let difference = (model.dictionary().as_mat() - &run.dictionary).norm_max();
    assert!(difference <= f64::EPSILON.sqrt(), "atoms differ by {difference}");
}

#[test]
fn memory_without_retention_is_no_memory() {
    let samples = Planted::new(8, 14, 3, 120).noise(0.1).generate::<f32>().unwrap().samples;
    let fit = |memory| {
        let updater = KSvd::new().memory(memory);
        let builder = DbKsvd::builder(14, 3).updater(updater).epochs(3).minibatch(40);
        builder.build().unwrap().fit(&samples).unwrap().0
    };
    let forgetful = Memory { start: 0.0, full: 0.0, retention: 0.0 };
    assert_eq!(fit(Some(forgetful)), fit(None));
    assert_ne!(fit(Some(Memory { retention: 0.9, ..forgetful })), fit(None));
}

/// Eager: due at every step, whatever the progress.
fn renewal() -> Renewal {
    Renewal { window: 0.1, until: 1.0, ..Renewal::default() }
}

/// `true_atoms` with column `to` replaced by `atom`.
fn with_atom(dictionary: &Dictionary<f64>, to: usize, atom: &[f64]) -> Mat<f64> {
    let mut matrix = dictionary.as_mat().to_owned();
    matrix.col_as_slice_mut(to).copy_from_slice(atom);
    matrix
}

#[test]
fn a_planted_duplicate_is_merged_and_counted() {
    let data = Planted::new(16, 12, 2, 300).noise(0.05).seed(3).generate::<f64>().unwrap();
    let duplicated = with_atom(&data.dictionary, 5, data.dictionary.atom(2));
    let updater = KSvd::new().renewal(Some(renewal()));
    let mut run = Alternation::new(updater, data.samples, duplicated, 2, Sign::Signed);
    run.encode();
    // Ties go to the lower index: half of the uses are moved to the duplicate.
    for i in (0..300).step_by(2) {
        if let Some(x) = run.codes.remove(i, 2) {
            run.codes.add(i, 5, x);
        }
    }
    let report = run.update(0.0);
    assert_eq!((report.merged, report.replaced), (1, 0), "{report:?}");
    assert!((run.error() - report.error_after).abs() <= run.rounding(), "{report:?}");
    run.encode();
    assert_eq!(run.update(0.0).merged, 0);
}

/// Of three alike, two go; whatever the order of their uses, codes belong to the new atoms.
#[test]
fn planted_triplicates_are_merged_and_codes_stay_true() {
    for uses in [[3, 2, 1], [1, 2, 3], [2, 1, 3], [2, 3, 1], [1, 3, 2], [3, 1, 2]] {
        let data = Planted::new(16, 12, 2, 600).noise(0.02).seed(3).generate::<f64>().unwrap();
        // Atoms 12 and 13 repeat atom 2, and take over some of its uses.
        let column = |j: usize| if j < 12 { j } else { 2 };
        let alike = Mat::from_fn(16, 14, |i, j| data.dictionary.as_mat()[(i, column(j))]);
        let updater = KSvd::new().renewal(Some(renewal()));
        let mut run = Alternation::new(updater, data.samples, alike, 2, Sign::Signed);
        run.encode();
        let shares = [2_u32, 12, 13].into_iter().zip(uses);
        let cycle: Vec<u32> =
            shares.flat_map(|(atom, count)| std::iter::repeat_n(atom, count)).collect();
        let mut cycle = cycle.into_iter().cycle();
        for i in 0..600 {
            if let Some(x) = run.codes.remove(i, 2) {
                run.codes.add(i, cycle.next().expect("a cycle"), x);
            }
        }
        let report = run.update(0.0);
        assert_eq!((report.merged, report.replaced), (2, 0), "{uses:?}: {report:?}");
        let error = run.error();
        let near = (error - report.error_after).abs() <= run.rounding();
        assert!(near, "uses {uses:?}: the error is {error}, {report:?}");
    }
}

#[test]
fn a_planted_dead_atom_is_replaced_and_counted() {
    // Samples of the first fifteen coordinates: the last is orthogonal to all of them.
    let data = Planted::new(15, 12, 2, 300).noise(0.05).seed(3).generate::<f64>().unwrap();
    let deepen = |a: MatRef<'_, f64>| {
        Mat::from_fn(16, a.ncols(), |i, j| if i < 15 { a[(i, j)] } else { 0.0 })
    };
    let mut start = deepen(data.dictionary.as_mat());
    start.col_as_slice_mut(7).fill(0.0);
    start[(15, 7)] = 1.0;
    let samples = deepen(data.samples.as_ref());
    let given = Initialisation::Given(Dictionary::new(start).unwrap());
    let builder = DbKsvd::builder_on(Faer::<f64>::default(), 12, 2).initialisation(given);
    let builder = builder.updater(KSvd::new().renewal(Some(renewal()))).epochs(3).minibatch(300);
    let (model, report) = builder.build().unwrap().fit(&samples).unwrap();
    assert_eq!(report.epochs.iter().map(|epoch| epoch.replaced).sum::<usize>(), 1, "{report:?}");
    assert!(model.dictionary().atom(7)[15].abs() <= 64.0 * f64::EPSILON);
    assert!(report.epochs[2].fvu < 0.5 * report.epochs[0].fvu, "{report:?}");
}

#[test]
fn without_renewal_a_dead_atom_stays() {
    let data = Planted::new(15, 12, 2, 100).seed(3).generate::<f64>().unwrap();
    let samples = Mat::from_fn(16, 100, |i, j| if i < 15 { data.samples[(i, j)] } else { 0.0 });
    let mut start =
        Mat::from_fn(16, 12, |i, j| if i < 15 { data.dictionary.as_mat()[(i, j)] } else { 0.0 });
    start.col_as_slice_mut(7).fill(0.0);
    start[(15, 7)] = 1.0;
    let mut run = Alternation::new(KSvd::new().renewal(None), samples, start, 2, Sign::Signed);
    run.encode();
    let report = run.update(0.0);
    assert_eq!((report.unused, report.replaced), (1, 0));
    assert_eq!(run.dictionary[(15, 7)], 1.0);
}

/// A model of another budget codes with that budget.
#[test]
fn a_budget_below_that_of_learning_is_kept() {
    let data = Planted::new(8, 14, 3, 90).generate::<f32>().unwrap();
    let model = Model::new(data.dictionary, None, 3, Sign::Signed).unwrap();
    let codes = model.with_sparsity(1).unwrap().encode(&BatchOmp::new(), data.samples.as_ref());
    assert!(codes.unwrap().iter().all(|(support, _)| support.len() == 1));
}
