//! Dictionaries that grow, and the preset for true features.

use std::ops::ControlFlow;

use dbksvd::coder::{Nesting, NoiseSchedule, Phase, SparseCoder, ThresholdPursuit};
use dbksvd::faer::Mat;
use dbksvd::learn::{Checkpoints, Growth, Progress, Resume};
use dbksvd::metrics::Recovery;
use dbksvd::source::HeldOut;
use dbksvd::synthetic::{Planted, PlantedData};
use dbksvd::{DbKsvd, Error, Faer, Initialisation, ProblemShape, Sign, SparseCodes};
use dbksvd_sae::metrics::Detection;
use dbksvd_sae::synthetic::Recipe;

fn planted() -> PlantedData<f32> {
    Planted::new(24, 40, 3, 1_000).sign(Sign::NonNegative).noise(0.1).generate().unwrap()
}

/// Five steps an epoch, and doublings from 5 atoms in half of the run.
fn growing(
    epochs: usize,
) -> dbksvd::learn::Builder<Faer<f32>, ThresholdPursuit, dbksvd::updater::KSvd> {
    DbKsvd::true_features(40, 10)
        .growth(Some(Growth { doublings: 3, until: 0.5 }))
        .minibatch(200)
        .epochs(epochs)
        .seed(4)
}

#[test]
fn a_dictionary_doubles_and_earlier_atoms_keep_their_places() {
    let data = planted();
    let mut session = growing(1).build().unwrap().session(24, 12).unwrap();
    let mut sizes = Vec::new();
    for step in 0..12 {
        let samples = data.samples.as_ref().subcols(200 * (step % 5), 200);
        session.step(samples).unwrap();
        let model = session.model().unwrap().unwrap();
        assert_eq!(model.sparsity(), 10.min(model.atoms()));
        sizes.push(model.atoms());
    }
    assert_eq!(sizes, [5, 5, 10, 10, 20, 20, 40, 40, 40, 40, 40, 40]);
}

#[test]
fn a_run_that_ends_early_gives_the_atoms_it_has() {
    let data = planted();
    let mut steps = 0;
    let mut stop = |_: &Progress| {
        steps += 1;
        if steps == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (model, report) = growing(4).build().unwrap().fit_with(&data.samples, &mut stop).unwrap();
    assert_eq!((report.steps, model.atoms()), (5, 10));
    assert!(report.noise > 0.0 && report.noise.is_finite());
}

/// Held-out samples are coded by dictionaries of every size.
#[test]
fn evaluations_follow_the_growth() {
    let data = planted();
    let learner = growing(4).held_out(HeldOut::Share(0.1)).build().unwrap();
    let fit = learner.run(&data.samples).finish().unwrap();
    let errors: Vec<f64> = fit.report.evaluations.iter().map(|e| e.fvu).collect();
    assert_eq!(errors.len(), 4);
    assert!(errors[3] < errors[0], "{errors:?}");
    assert_eq!(fit.best.unwrap().model.atoms(), 40);
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let data = planted();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| growing(3).build().unwrap().fit(&data.samples).unwrap())
    };
    let ((one, report), (three, again)) = (on(1), on(3));
    assert_eq!(one.dictionary(), three.dictionary());
    assert_eq!(report.noise.to_bits(), again.noise.to_bits());
}

/// Ended within each stage of growth, and at the moment of growth.
#[test]
fn a_run_that_was_ended_goes_on_bit_by_bit() {
    let data = planted();
    let learner = growing(4).build().unwrap();
    let (whole, report) = learner.fit(&data.samples).unwrap();
    for ended_after in [1, 3, 4, 7, 12] {
        let directory = tempfile::tempdir().unwrap();
        let mut steps = 0;
        let mut stop = |_: &Progress| {
            steps += 1;
            if steps == ended_after { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let checkpoints = Checkpoints::new(directory.path());
        let run = learner.run(&data.samples).checkpoints(checkpoints.clone());
        run.observer(&mut stop).finish().unwrap();
        let run = learner.run(&data.samples).checkpoints(checkpoints.resume(Resume::Always));
        let (model, resumed) = run.finish().unwrap().into_result().unwrap();
        assert_eq!(resumed.resumed_from, Some(ended_after));
        assert_eq!(model.dictionary(), whole.dictionary(), "ended after {ended_after} steps");
        assert_eq!(resumed.noise.to_bits(), report.noise.to_bits());
    }
}

#[test]
fn samples_that_are_explained_to_rounding_leave_nothing_to_grow_from() {
    // One direction: after the first step there is no residual worth an atom.
    let samples = Mat::from_fn(24, 400, |r, i| (1.0 + (i % 7) as f32) * (r as f32 - 11.5));
    let learner = growing(4).build().unwrap();
    let (model, _) = learner.fit(&samples).unwrap();
    for atom in model.dictionary().as_mat().col_iter() {
        assert!((atom.norm_l2() - 1.0).abs() < 1e-5);
    }
    let nothing = learner.fit(&Mat::<f32>::zeros(24, 400));
    assert!(matches!(nothing, Err(Error::NothingLearned { samples: 400, zeros: 400, dropped: 0 })));
}

/// A run whose last step comes before the end of growth has all atoms in that step.
#[test]
fn a_run_of_few_steps_has_all_atoms() {
    let data = planted();
    for steps in 1..6 {
        let learner = growing(1).max_steps(steps).build().unwrap();
        let (model, report) = learner.fit(&data.samples).unwrap();
        assert_eq!((report.steps, model.atoms()), (steps, 40));
        let mut session = learner.session(24, steps).unwrap();
        let mut sizes = Vec::new();
        for _ in 0..steps + 1 {
            session.step(data.samples.as_ref().subcols(0, 200)).unwrap();
            sizes.push(session.model().unwrap().unwrap().atoms());
        }
        assert_eq!(sizes[steps as usize - 1..], [40, 40], "{sizes:?}");
        assert!(steps == 1 || sizes[0] == 5, "{sizes:?}");
    }
    let one = DbKsvd::true_features(1, 1).epochs(2).build().unwrap();
    assert_eq!(one.fit(&data.samples).unwrap().0.atoms(), 1);
}

/// Where samples run out, atoms are random directions, and no two are the same.
#[test]
fn directions_that_fill_up_a_dictionary_are_all_different() {
    let few = planted().samples.subcols(0, 4).to_owned();
    let learner = growing(30).minibatch(4).build().unwrap();
    let (model, _) = learner.fit(&few).unwrap();
    let extended = DbKsvd::builder(60, 3)
        .initialisation(Initialisation::Given(model.dictionary().clone()))
        .seed(4)
        .epochs(0);
    let extended = extended.build().unwrap().fit(&few).unwrap().0;
    assert_eq!((model.atoms(), extended.atoms()), (40, 60));
    for i in 0..60 {
        for j in 0..i {
            let (a, b) = (extended.dictionary().atom(i), extended.dictionary().atom(j));
            assert_ne!(a, b, "atoms {j} and {i}");
        }
    }
}

/// The argument that building is refused for.
fn refused<B, C, U>(builder: dbksvd::learn::Builder<B, C, U>) -> &'static str
where
    B: dbksvd::backend::Backend,
    C: SparseCoder<B>,
    U: dbksvd::updater::DictionaryUpdater<B>,
{
    match builder.build() {
        Err(Error::Argument { argument, .. }) => argument,
        other => panic!("expected an argument error, got {:?}", other.map(|_| ())),
    }
}

#[test]
fn what_cannot_grow_is_refused() {
    let growth = Growth::default();
    assert_eq!(
        refused(growing(1).growth(Some(Growth { doublings: 6, ..growth }))),
        "growth.doublings"
    );
    assert_eq!(
        refused(growing(1).growth(Some(Growth { until: 1.0, ..growth }))),
        "growth.doublings"
    );
    let until = Growth { doublings: 2, until: 1.0 };
    assert_eq!(refused(growing(1).growth(Some(until))), "growth.until");
    let given = Initialisation::Given(planted().dictionary);
    assert_eq!(refused(growing(1).initialisation(given)), "initialisation");
    assert_eq!(refused(growing(1).sign(Sign::Signed)), "sign");
    for schedule in [
        NoiseSchedule { start: 0.0, ..NoiseSchedule::default() },
        NoiseSchedule { end: 1.0, ..NoiseSchedule::default() },
        NoiseSchedule { end: f64::INFINITY, ..NoiseSchedule::default() },
    ] {
        let coder = ThresholdPursuit::new(1.0).learning(Some(schedule));
        assert_eq!(refused(growing(1).coder(coder)), "noise_schedule");
    }
    for rise in [0.0, 1.1, f64::NAN] {
        let schedule = NoiseSchedule { rise, ..NoiseSchedule::default() };
        let coder = ThresholdPursuit::new(1.0).learning(Some(schedule));
        assert_eq!(refused(growing(1).coder(coder)), "rise");
    }
}

/// In a phase, a coder that follows learning codes as one with that threshold and those prefixes.
#[test]
fn thresholds_follow_the_noise() {
    let data = planted();
    let (backend, dictionary) = (Faer::<f32>::default(), data.dictionary.as_mat().to_owned());
    let shape = ProblemShape { dim: 24, atoms: 40, sparsity: 10, sign: Sign::NonNegative };
    let schedule = NoiseSchedule { start: 2.0, end: 4.0, rise: 0.5 };
    let coder = ThresholdPursuit::new(9.0).nesting(Nesting::Kept).learning(Some(schedule));
    let mut state = coder.prepare(&backend, &shape).unwrap();
    coder.set_dictionary(&backend, &mut state, &dictionary).unwrap();
    for (stage, is_grown, factor) in
        [(0.0, false, 2.0), (0.25, false, 3.0), (0.25, true, 4.0), (1.0, false, 4.0)]
    {
        let earlier = [10, 20];
        let mut phase = Phase::new(0.1, 0.125);
        (phase.stage, phase.is_grown, phase.earlier) = (stage, is_grown, &earlier);
        coder.set_phase(&backend, &mut state, &phase);
        let mut codes = SparseCodes::new(40, 0, 10);
        coder.encode(&backend, &state, &dictionary, &data.samples, &mut codes).unwrap();
        let plain = ThresholdPursuit::new(0.125 * factor).nesting(Nesting::Kept).prefixes([10, 20]);
        let samples = data.samples.as_ref();
        let expected = crate::support::encode::<Faer<f32>, _>(
            plain,
            &dictionary,
            samples,
            10,
            Sign::NonNegative,
        );
        assert_eq!(codes, expected, "at {stage} of a stage");
        assert!(codes.nnz() > 1_000);
    }
}

/// On a small benchmark the preset finds features as they are, which plain K-SVD does not.
#[test]
fn the_preset_finds_true_features() {
    let truth = Recipe::two_k().seed(77).build::<f32>().unwrap();
    let samples = truth.draw(20_000, 1).unwrap().samples;
    let held_out = truth.draw(4_000, 2).unwrap();
    let true_codes = SparseCodes::from_csr_parts(2_048, 256, &held_out.codes).unwrap();
    let f1_of = |model: &dbksvd::Model<f32>, codes: &SparseCodes<f32>| {
        let recovery = Recovery::new(model.dictionary(), truth.features()).unwrap();
        let mut detection = Detection::new(&recovery);
        detection.add(codes, &true_codes).unwrap();
        (detection.mean_f1(), recovery.mcc())
    };
    let learner = DbKsvd::true_features(256, 32).epochs(10).build().unwrap();
    let (model, report) = learner.fit(&samples).unwrap();
    let coder = ThresholdPursuit::of_noise(report.noise);
    let (f1, mcc) = f1_of(&model, &model.encode(&coder, held_out.samples.as_ref()).unwrap());
    let (plain, _) = DbKsvd::builder(256, 8).epochs(10).build().unwrap().fit(&samples).unwrap();
    let coder = dbksvd::coder::BatchOmp::new();
    let (plain_f1, plain_mcc) =
        f1_of(&plain, &plain.encode(&coder, held_out.samples.as_ref()).unwrap());
    println!("F1 {f1:.3} against {plain_f1:.3}, MCC {mcc:.3} against {plain_mcc:.3}");
    assert!(f1 > 0.85 && f1 > 2.0 * plain_f1, "F1 {f1}, plain {plain_f1}");
    assert!(mcc > 0.7 && mcc > plain_mcc + 0.1, "MCC {mcc}, plain {plain_mcc}");
}
