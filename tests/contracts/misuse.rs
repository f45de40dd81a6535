//! One good call, then one thing broken a test: every misuse is a typed error that names it.

use dbksvd::coder::{BatchOmp, MatchingPursuit, Omp, SparseCoder, Swaps, Tolerance};
use dbksvd::codes::{CsrParts, SparseCodes};
use dbksvd::error::{BackendError, SourceError};
use dbksvd::faer::Mat;
use dbksvd::learn::{Builder, Report};
use dbksvd::source::{SampleSource, SliceSource};
use dbksvd::updater::{
    Decorrelation, DictionaryUpdater, Forgetting, Incoherent, KSvd, LeadingPair, Memory, Mod,
};
use dbksvd::updater::{Online, Renewal};
use dbksvd::{DbKsvd, Dictionary, Encoder, Error, Initialisation, Model, Sign};
use dbksvd::{Faer, synthetic::Planted};

const DIM: usize = 6;
const ATOMS: usize = 8;

fn samples() -> Mat<f32> {
    Planted::new(DIM, ATOMS, 2, 40).seed(1).generate().unwrap().samples
}

fn dictionary() -> Dictionary<f32> {
    Planted::new(DIM, ATOMS, 2, 1).seed(2).generate().unwrap().dictionary
}

fn builder() -> Builder<Faer<f32>, BatchOmp, KSvd> {
    DbKsvd::builder(ATOMS, 2).epochs(2).minibatch(20)
}

fn model() -> Model<f32> {
    Model::new(dictionary(), None, 2, Sign::Signed).unwrap()
}

fn fit(samples: &Mat<f32>) -> Result<(Model<f32>, Report), Error> {
    builder().build().unwrap().fit(samples)
}

/// `samples` with one coordinate replaced.
fn broken(sample: usize, coordinate: usize, value: f32) -> Mat<f32> {
    let mut samples = samples();
    samples[(coordinate, sample)] = value;
    samples
}

/// Fails unless `result` is the error of an argument of this name and value.
#[track_caller]
fn refused<R>(result: Result<R, Error>, name: &str, value: &str) {
    let Err(error) = result else { panic!("`{name}` = {value} is accepted") };
    let Error::Argument { argument, found, expected } = &error else { panic!("{error:?}") };
    assert_eq!((*argument, found.as_str()), (name, value), "{error}");
    let message = error.to_string();
    assert!(message.contains(name) && message.contains(expected.as_str()), "{message}");
}

/// Fails unless `result` names the sample and coordinate that is not finite.
#[track_caller]
fn not_finite<R>(result: Result<R, Error>, at: (usize, usize), what: f64) {
    let Err(error) = result else { panic!("{what} is accepted") };
    let Error::NotFinite { sample, coordinate, value } = error else { panic!("{error:?}") };
    assert_eq!((sample, coordinate), at);
    assert_eq!(value.to_string(), what.to_string());
    let message = error.to_string();
    let place = format!("sample {} is not finite: coordinate {}", at.0, at.1);
    assert!(message.contains(&place), "{message}");
}

/// Fails unless `result` is a wrong dimension of the argument of this name.
#[track_caller]
fn wrong_dimension<R>(result: Result<R, Error>, name: &str, was: usize, should: usize) {
    let Err(error) = result else { panic!("dimension {was} is accepted") };
    let Error::Dimension { argument, found, expected } = error else { panic!("{error:?}") };
    assert_eq!((argument, found, expected), (name, was, should));
    assert!(error.to_string().contains(name), "{error}");
}

#[track_caller]
fn no_samples<R>(result: Result<R, Error>, name: &str) {
    let Err(error) = result else { panic!("no samples are accepted") };
    assert!(matches!(error, Error::NoSamples { argument } if argument == name), "{error:?}");
    assert!(error.to_string().contains(name), "{error}");
}

#[test]
fn the_good_calls_are() {
    let (model, _) = fit(&samples()).unwrap();
    model.encode(&BatchOmp::new(), samples().as_ref()).unwrap();
    let learner = builder().build().unwrap();
    let mut session = learner.session(DIM, 1).unwrap();
    session.step(samples().as_ref()).unwrap();
    let given = builder().initialisation(Initialisation::Given(dictionary()));
    given.build().unwrap().fit(&samples()).unwrap();
    SparseCodes::from_csr_parts(4, 2, &parts()).unwrap();
}

// Samples.

#[test]
fn nan_in_fit() {
    not_finite(fit(&broken(31, 4, f32::NAN)), (31, 4), f64::NAN);
}

#[test]
fn infinity_in_fit() {
    not_finite(fit(&broken(0, 5, f32::INFINITY)), (0, 5), f64::INFINITY);
    not_finite(fit(&broken(39, 0, f32::NEG_INFINITY)), (39, 0), f64::NEG_INFINITY);
}

#[test]
fn nan_in_fit_of_centred_samples() {
    let learner = builder().center(true).build().unwrap();
    not_finite(learner.fit(&broken(31, 4, f32::NAN)), (31, 4), f64::NAN);
}

#[test]
fn nan_in_fit_from_a_given_dictionary() {
    let learner = builder().initialisation(Initialisation::Given(dictionary())).build().unwrap();
    not_finite(learner.fit(&broken(31, 4, f32::NAN)), (31, 4), f64::NAN);
}

#[test]
fn nan_in_encode() {
    let encoded = model().encode(&BatchOmp::new(), broken(17, 2, f32::NAN).as_ref());
    not_finite(encoded, (17, 2), f64::NAN);
}

#[test]
fn infinity_in_encode() {
    let encoded = model().encode(&Omp::new(), broken(17, 2, f32::INFINITY).as_ref());
    not_finite(encoded, (17, 2), f64::INFINITY);
}

#[test]
fn an_encoder_survives_bad_samples() {
    let encoder = model().encoder(BatchOmp::new()).unwrap();
    let good = encoder.encode(samples().as_ref()).unwrap();
    not_finite(encoder.encode(broken(3, 3, f32::NAN).as_ref()), (3, 3), f64::NAN);
    assert_eq!(encoder.encode(samples().as_ref()).unwrap(), good);
}

#[test]
fn nan_in_a_session() {
    let learner = builder().build().unwrap();
    let mut session = learner.session(DIM, 3).unwrap();
    session.step(samples().as_ref()).unwrap();
    let before = session.model().unwrap();
    not_finite(session.step(broken(7, 1, f32::NAN).as_ref()), (7, 1), f64::NAN);
    not_finite(session.step(broken(7, 1, f32::INFINITY).as_ref()), (7, 1), f64::INFINITY);
    assert_eq!(session.model().unwrap(), before, "a refused step changed the model");
    assert_eq!(session.step(samples().as_ref()).unwrap().step, 2);
}

#[test]
fn nan_in_the_first_step_of_a_session() {
    let learner = builder().initialisation(Initialisation::Gaussian).build().unwrap();
    let mut session = learner.session(DIM, 3).unwrap();
    not_finite(session.step(broken(7, 1, f32::NAN).as_ref()), (7, 1), f64::NAN);
    assert_eq!(session.model().unwrap(), None, "a refused step began the session");
}

#[test]
fn no_samples_in_fit() {
    no_samples(fit(&Mat::zeros(DIM, 0)), "source");
}

#[test]
fn no_samples_in_a_session() {
    let learner = builder().build().unwrap();
    let mut session = learner.session(DIM, 3).unwrap();
    no_samples(session.step(Mat::zeros(DIM, 0).as_ref()), "samples");
    assert_eq!(session.model().unwrap(), None);
}

// Dimensions.

#[test]
fn samples_of_another_dimension_in_encode() {
    let other = Mat::<f32>::zeros(DIM + 1, 3);
    wrong_dimension(model().encode(&BatchOmp::new(), other.as_ref()), "samples", 7, 6);
    let encoder = Encoder::new(Faer::default(), Omp::new(), &model()).unwrap();
    wrong_dimension(encoder.encode(other.as_ref()), "samples", 7, 6);
}

#[test]
fn samples_of_another_dimension_in_a_session() {
    let learner = builder().build().unwrap();
    let mut session = learner.session(DIM, 3).unwrap();
    wrong_dimension(session.step(Mat::zeros(DIM - 1, 3).as_ref()), "samples", 5, 6);
}

#[test]
fn a_given_dictionary_of_another_dimension() {
    let learner = builder().initialisation(Initialisation::Given(dictionary())).build().unwrap();
    let other = Planted::new(DIM + 3, ATOMS, 2, 40).generate::<f32>().unwrap().samples;
    wrong_dimension(learner.fit(&other), "initialisation", 6, 9);
    wrong_dimension(learner.session(9, 1).map(|_| ()), "initialisation", 6, 9);
}

#[test]
fn samples_without_coordinates() {
    refused(fit(&Mat::zeros(0, 5)), "dim", "0");
    refused(builder().build().unwrap().session(0, 1).map(|_| ()), "dim", "0");
}

#[test]
fn a_mean_of_another_dimension() {
    let model = Model::new(dictionary(), Some(vec![0.0; 5]), 2, Sign::Signed);
    wrong_dimension(model, "mean", 5, 6);
}

#[test]
fn a_mean_that_is_not_finite() {
    let mut mean = vec![0.0; DIM];
    mean[4] = f32::NAN;
    refused(
        Model::new(dictionary(), Some(mean), 2, Sign::Signed).map(|_| ()),
        "mean",
        "NaN at coordinate 4",
    );
}

#[test]
fn codes_over_another_number_of_atoms_in_decode() {
    wrong_dimension(model().decode(&SparseCodes::new(9, 3, 2)), "codes", 9, 8);
}

// Atoms and budget.

#[test]
fn no_atoms() {
    refused(DbKsvd::builder(0, 1).build(), "atoms", "0");
}

#[test]
fn no_budget() {
    refused(DbKsvd::builder(8, 0).build(), "sparsity", "0");
    refused(model().with_sparsity(0), "sparsity", "0");
}

#[test]
fn a_budget_above_the_atoms() {
    refused(DbKsvd::builder(8, 9).build(), "sparsity", "9");
    refused(model().with_sparsity(9), "sparsity", "9");
}

#[test]
fn a_budget_above_the_dimension() {
    let learner = DbKsvd::builder(ATOMS, 7).build().unwrap();
    refused(learner.fit(&samples()), "sparsity", "7");
    refused(learner.session(DIM, 1).map(|_| ()), "sparsity", "7");
    refused(model().with_sparsity(7), "sparsity", "7");
    let given = DbKsvd::builder(ATOMS, 7).initialisation(Initialisation::Given(dictionary()));
    refused(given.build(), "sparsity", "7");
}

// Given atoms.

/// The good dictionary with one entry replaced.
fn atoms_with(atom: usize, coordinate: usize, value: f32) -> Mat<f32> {
    let mut atoms = dictionary().into_mat();
    atoms[(coordinate, atom)] = value;
    atoms
}

#[test]
fn an_atom_that_is_zero() {
    let mut atoms = dictionary().into_mat();
    atoms.col_mut(3).fill(0.0);
    let error = Dictionary::normalized(atoms.clone()).unwrap_err();
    assert!(matches!(error, Error::ZeroAtom { atom: 3 }), "{error:?}");
    assert!(error.to_string().contains("atom 3"), "{error}");
    let error = Dictionary::new(atoms).unwrap_err();
    assert!(matches!(error, Error::NotUnitAtom { atom: 3, norm: 0.0 }), "{error:?}");
}

#[test]
fn an_atom_that_is_not_of_unit_norm() {
    let error = Dictionary::new(atoms_with(5, 0, 2.0)).unwrap_err();
    assert!(matches!(error, Error::NotUnitAtom { atom: 5, norm } if norm > 2.0), "{error:?}");
    assert!(error.to_string().contains("atom 5"), "{error}");
}

#[test]
fn an_atom_that_is_not_finite() {
    for make in [Dictionary::new, Dictionary::normalized] {
        let error = make(atoms_with(5, 1, f32::NAN)).unwrap_err();
        assert!(
            matches!(error, Error::NotFiniteAtom { atom: 5, coordinate: 1, value } if value.is_nan()),
            "{error:?}"
        );
        let error = make(atoms_with(0, 2, f32::INFINITY)).unwrap_err();
        assert!(
            matches!(error, Error::NotFiniteAtom { atom: 0, coordinate: 2, value: f64::INFINITY }),
            "{error:?}"
        );
        assert!(error.to_string().contains("atom 0"), "{error}");
    }
}

#[test]
fn a_dictionary_without_atoms_or_coordinates() {
    refused(Dictionary::new(Mat::<f32>::zeros(3, 0)), "dictionary", "3 × 0");
    refused(Dictionary::normalized(Mat::<f32>::zeros(0, 3)), "dictionary", "0 × 3");
}

#[test]
fn a_given_dictionary_of_other_atoms() {
    let builder = DbKsvd::builder(7, 2).initialisation(Initialisation::Given(dictionary()));
    refused(builder.build(), "initialisation", "a dictionary of 8 atoms");
}

// Settings.

#[test]
fn a_minibatch_of_none() {
    refused(builder().minibatch(0).build(), "minibatch", "0");
}

#[test]
fn an_atom_batch_of_none() {
    refused(builder().updater(KSvd::new().atom_batch(0)).build(), "atom_batch", "0");
}

#[test]
fn no_sweeps() {
    refused(builder().updater(KSvd::new().sweeps(0)).build(), "sweeps", "0");
    for (tolerance, found) in [(-1.0, "-1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let updater = KSvd::new().decorrelation(Some(Decorrelation { tolerance }));
        refused(builder().updater(updater).build(), "decorrelation", found);
    }
}

#[test]
fn no_power_steps() {
    let pair = LeadingPair::Power { iterations: 0 };
    refused(builder().updater(KSvd::new().leading_pair(pair)).build(), "iterations", "0");
}

#[test]
fn no_planned_steps() {
    refused(builder().build().unwrap().session(DIM, 0).map(|_| ()), "planned_steps", "0");
}

#[track_caller]
fn memory_refused(memory: Memory, name: &str, value: &str) {
    refused(builder().updater(KSvd::new().memory(Some(memory))).build(), name, value);
}

#[test]
fn memory_out_of_range() {
    let good = Memory::default();
    memory_refused(Memory { start: -0.1, ..good }, "memory", "-0.1 to 0.8");
    memory_refused(Memory { start: 0.9, ..good }, "memory", "0.9 to 0.8");
    memory_refused(Memory { full: 1.1, ..good }, "memory", "0.4 to 1.1");
    memory_refused(Memory { start: f64::NAN, ..good }, "memory", "NaN to 0.8");
    memory_refused(Memory { full: f64::NAN, ..good }, "memory", "0.4 to NaN");
    memory_refused(Memory { retention: 1.0, ..good }, "memory.retention", "1");
    memory_refused(Memory { retention: -0.5, ..good }, "memory.retention", "-0.5");
    memory_refused(Memory { retention: f64::NAN, ..good }, "memory.retention", "NaN");
}

#[track_caller]
fn renewal_refused(renewal: Renewal, name: &str, value: &str) {
    refused(builder().updater(KSvd::new().renewal(Some(renewal))).build(), name, value);
}

#[test]
fn renewal_out_of_range() {
    let good = Renewal::default();
    renewal_refused(Renewal { min_usage: -0.1, ..good }, "min_usage", "-0.1");
    renewal_refused(Renewal { min_usage: 1.0, ..good }, "min_usage", "1");
    renewal_refused(Renewal { min_usage: f64::NAN, ..good }, "min_usage", "NaN");
    renewal_refused(Renewal { max_coherence: 0.0, ..good }, "max_coherence", "0");
    renewal_refused(Renewal { max_coherence: 1.1, ..good }, "max_coherence", "1.1");
    renewal_refused(Renewal { max_coherence: f64::NAN, ..good }, "max_coherence", "NaN");
    renewal_refused(Renewal { window: 0.0, ..good }, "window", "0");
    renewal_refused(Renewal { window: f64::INFINITY, ..good }, "window", "inf");
    renewal_refused(Renewal { window: f64::NAN, ..good }, "window", "NaN");
    renewal_refused(Renewal { until: -0.1, ..good }, "until", "-0.1");
    renewal_refused(Renewal { until: 1.1, ..good }, "until", "1.1");
    renewal_refused(Renewal { until: f64::NAN, ..good }, "until", "NaN");
}

/// Fails unless the builder refuses the updater.
#[track_caller]
fn updater_refused(updater: impl DictionaryUpdater<Faer<f32>>, name: &str, value: &str) {
    refused(builder().updater(updater).build().map(|_| ()), name, value);
}

#[test]
fn a_ridge_out_of_range() {
    updater_refused(Mod::new().ridge(-0.1), "ridge", "-0.1");
    updater_refused(Mod::new().ridge(f64::NAN), "ridge", "NaN");
    updater_refused(Mod::new().ridge(f64::INFINITY), "ridge", "inf");
}

#[test]
fn renewal_out_of_range_in_other_updaters() {
    let renewal = Some(Renewal { window: -1.0, ..Renewal::default() });
    updater_refused(Mod::new().renewal(renewal), "window", "-1");
    updater_refused(Online::new().renewal(renewal), "window", "-1");
}

#[test]
fn forgetting_out_of_range() {
    for (value, printed) in [(-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let power = Forgetting::Power { exponent: value };
        updater_refused(Online::new().forgetting(power), "exponent", printed);
        let constant = Forgetting::Retention { retention: value };
        updater_refused(Online::new().forgetting(constant), "retention", printed);
    }
    let constant = Forgetting::Retention { retention: 1.1 };
    updater_refused(Online::new().forgetting(constant), "retention", "1.1");
}

#[test]
fn no_sweeps_of_online_learning() {
    updater_refused(Online::new().sweeps(0), "sweeps", "0");
}

#[test]
fn a_bound_on_coherence_out_of_range() {
    for (value, printed) in [(0.0, "0"), (-0.5, "-0.5"), (1.1, "1.1"), (f64::NAN, "NaN")] {
        updater_refused(Incoherent::new(KSvd::new(), value), "max_coherence", printed);
    }
}

/// Eight atoms in six dimensions are at a coherence of √(2/42) = 0.218 at least, which is known
/// once the dimension is.
#[test]
fn a_bound_on_coherence_below_welchs() {
    let learner = builder().updater(Incoherent::new(KSvd::new(), 0.2)).build().unwrap();
    refused(learner.fit(&samples()).map(|_| ()), "max_coherence", "0.2");
    let learner = builder().updater(Incoherent::new(KSvd::new(), 0.25)).build().unwrap();
    learner.fit(&samples()).unwrap();
}

#[test]
fn no_steps_apart() {
    updater_refused(Incoherent::new(KSvd::new(), 0.9).iterations(0), "iterations", "0");
}

#[test]
fn an_incoherent_updater_that_is_refused_itself() {
    updater_refused(Incoherent::new(KSvd::new().sweeps(0), 0.9), "sweeps", "0");
}

/// Both coders, in the builder and in `encode`, refuse the rule.
#[track_caller]
fn rule_refused(omp: Omp, batch: BatchOmp, name: &str, value: &str) {
    refused(builder().coder(omp).build(), name, value);
    refused(builder().coder(batch).build(), name, value);
    refused(model().encode(&omp, samples().as_ref()), name, value);
    refused(model().encode(&batch, samples().as_ref()), name, value);
}

#[test]
fn a_tolerance_out_of_range() {
    for (value, printed) in [(-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        for tolerance in [Tolerance::Absolute(value), Tolerance::Relative(value)] {
            let (omp, batch) =
                (Omp::new().tolerance(tolerance), BatchOmp::new().tolerance(tolerance));
            rule_refused(omp, batch, "tolerance", printed);
        }
    }
}

#[test]
fn a_least_correlation_out_of_range() {
    for (value, printed) in [(-0.1, "-0.1"), (f64::NAN, "NaN"), (f64::INFINITY, "inf")] {
        let (omp, batch) =
            (Omp::new().min_correlation(value), BatchOmp::new().min_correlation(value));
        rule_refused(omp, batch, "min_correlation", printed);
    }
}

#[test]
fn thresholds_of_matching_pursuit_out_of_range() {
    let coder = MatchingPursuit::new().tolerance(Tolerance::Absolute(-0.1));
    refused(builder().coder(coder).build(), "tolerance", "-0.1");
    let coder = MatchingPursuit::new().min_correlation(f64::NAN);
    refused(builder().coder(coder).build(), "min_correlation", "NaN");
}

#[test]
fn the_start_of_swaps_is_checked() {
    let coder = Swaps::after(Omp::new().min_correlation(-1.0));
    refused(builder().coder(coder).build(), "min_correlation", "-1");
}

#[test]
fn shapes_are_checked_by_coders_and_updaters_themselves() {
    let shape = dbksvd::ProblemShape { dim: 4, atoms: 8, sparsity: 5, sign: Sign::Signed };
    refused(SparseCoder::<Faer<f32>>::check(&Omp::new(), &shape), "sparsity", "5");
    refused(SparseCoder::<Faer<f32>>::check(&BatchOmp::new(), &shape), "sparsity", "5");
    refused(DictionaryUpdater::<Faer<f32>>::check(&KSvd::new(), &shape), "sparsity", "5");
    refused(DictionaryUpdater::<Faer<f32>>::check(&Mod::new(), &shape), "sparsity", "5");
    refused(DictionaryUpdater::<Faer<f32>>::check(&Online::new(), &shape), "sparsity", "5");
}

// Codes from compressed rows.

/// Three samples over four atoms, with two, none and one nonzeros.
fn parts() -> CsrParts<f32> {
    CsrParts { indices: vec![3, 1, 0], values: vec![1.0, 2.0, 3.0], offsets: vec![0, 2, 2, 3] }
}

#[track_caller]
fn parts_refused(parts: CsrParts<f32>, name: &str, value: &str) {
    refused(SparseCodes::from_csr_parts(4, 2, &parts), name, value);
}

#[test]
fn budgets_beyond_memory() {
    for sparsity in [usize::MAX, 1 << 60] {
        let error = SparseCodes::from_csr_parts(4, sparsity, &parts()).unwrap_err();
        assert!(matches!(error, Error::Backend(BackendError::Allocation { .. })), "{error}");
    }
}

#[test]
fn values_that_are_not_one_for_each_index() {
    parts_refused(CsrParts { values: vec![1.0], ..parts() }, "values", "1");
}

#[test]
fn offsets_that_do_not_cut_the_indices() {
    let with = |offsets| CsrParts { offsets, ..parts() };
    parts_refused(with(vec![]), "offsets", "None..None");
    parts_refused(with(vec![1, 2, 2, 3]), "offsets", "Some(1)..Some(3)");
    parts_refused(with(vec![0, 2, 2]), "offsets", "Some(0)..Some(2)");
    parts_refused(with(vec![0, 2, 2, 4]), "offsets", "Some(0)..Some(4)");
    parts_refused(with(vec![0, 2, 1, 3]), "offsets", "Some(0)..Some(3)");
}

#[test]
fn an_index_that_is_no_atom() {
    parts_refused(CsrParts { indices: vec![4, 1, 0], ..parts() }, "indices", "4");
}

#[test]
fn an_atom_twice_in_a_sample() {
    parts_refused(CsrParts { indices: vec![3, 3, 0], ..parts() }, "indices", "3");
}

#[test]
fn more_nonzeros_than_the_budget() {
    parts_refused(CsrParts { offsets: vec![0, 3, 3], ..parts() }, "nonzeros of a sample", "3");
}

// Sources.

#[test]
fn a_slice_that_is_not_a_whole_number_of_samples() {
    let error = SliceSource::new(&[0.0_f32; 7], 3).unwrap_err();
    assert!(matches!(error, SourceError::Ragged { len: 7, dim: 3 }), "{error:?}");
    let error = SliceSource::new(&[0.0_f32; 7], 0).unwrap_err();
    assert!(matches!(error, SourceError::Ragged { len: 7, dim: 0 }), "{error:?}");
    assert!(error.to_string().contains("7 values"), "{error}");
}

/// Reads beyond the three samples of `source`, or into a buffer of another size.
fn reads_are_checked(source: &impl SampleSource<f32>) {
    let mut buffer = [0.0; 4];
    source.read(1..3, &mut buffer).unwrap();
    let error = source.read(2..4, &mut buffer).unwrap_err();
    assert!(matches!(error, SourceError::OutOfRange { start: 2, end: 4, len: 3 }), "{error:?}");
    assert!(error.to_string().contains("2..4"), "{error}");
    #[allow(clippy::reversed_empty_ranges)]
    let error = source.read(2..1, &mut buffer).unwrap_err();
    assert!(matches!(error, SourceError::OutOfRange { start: 2, end: 1, len: 3 }), "{error:?}");
    let error = source.read(0..3, &mut buffer).unwrap_err();
    assert!(matches!(error, SourceError::Buffer { found: 4, expected: 6 }), "{error:?}");
    assert!(error.to_string().contains("buffer"), "{error}");
}

#[test]
fn reads_of_memory_are_checked() {
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let slice = SliceSource::new(&values, 2).unwrap();
    reads_are_checked(&slice);
    reads_are_checked(&slice.as_mat());
    reads_are_checked(&slice.as_mat().to_owned());
}

/// A source whose reads fail.
struct Failing;

impl SampleSource<f32> for Failing {
    fn dim(&self) -> usize {
        DIM
    }

    fn len(&self) -> usize {
        40
    }

    fn read(&self, _: std::ops::Range<usize>, _: &mut [f32]) -> Result<(), SourceError> {
        Err(SourceError::Other("the network is down".into()))
    }
}

#[test]
fn a_source_that_fails() {
    let error = builder().build().unwrap().fit(&Failing).unwrap_err();
    assert!(matches!(error, Error::Source(SourceError::Other(_))), "{error:?}");
    assert_eq!(error.to_string(), "the network is down");
}

/// Samples that nobody may read.
struct Unread;

impl SampleSource<f32> for Unread {
    fn dim(&self) -> usize {
        16
    }

    fn len(&self) -> usize {
        400
    }

    fn read(&self, _: std::ops::Range<usize>, _: &mut [f32]) -> Result<(), SourceError> {
        panic!("samples are read")
    }
}

#[test]
fn a_dictionary_beyond_the_memory_is_an_error_before_samples_are_read() {
    // Terabytes: no machine has them, and no system promises them.
    for (atoms, sparsity) in [(u32::MAX as usize - 1, 16), (2_000_000_000, 1)] {
        let learner = DbKsvd::builder(atoms, sparsity).build().unwrap();
        let Err(error) = learner.fit(&Unread) else { panic!("{atoms} atoms are accepted") };
        let Error::Backend(BackendError::Allocation { rows, .. }) = &error else {
            panic!("{error:?}")
        };
        assert_eq!(*rows, atoms);
    }
}
