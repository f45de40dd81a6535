//! Sessions that are stored between two steps: bit by bit those that were not.

use dbksvd::coder::SparseCoder;
use dbksvd::faer::Mat;
use dbksvd::learn::{SavedSession, Session};
use dbksvd::synthetic::Planted;
use dbksvd::updater::{DictionaryUpdater, Incoherent, KSvd, Mod, Online, SavedArray};
use dbksvd::{DbKsvd, Error, Faer, Groups, Outliers, Scalar, Sign};

const STEPS: u64 = 8;
const SAMPLES: usize = 120;

fn data<T: Scalar>() -> Mat<T> {
    let planted = Planted::new(12, 20, 3, STEPS as usize * SAMPLES).sign(Sign::NonNegative);
    planted.noise(0.05).seed(3).generate::<T>().unwrap().samples
}

/// Takes the steps of `range`.
fn step<T, C, U>(session: &mut Session<Faer<T>, C, U>, range: std::ops::Range<u64>)
where
    T: Scalar,
    C: SparseCoder<Faer<T>>,
    U: DictionaryUpdater<Faer<T>>,
{
    let data = data::<T>();
    for i in range {
        session.step(data.subcols(i as usize * SAMPLES, SAMPLES)).unwrap();
    }
}

/// Stores a session after each of its steps, and goes on from there in a new one.
fn goes_on<T, C, U>(learner: &DbKsvd<Faer<T>, C, U>)
where
    T: Scalar,
    C: SparseCoder<Faer<T>> + Clone,
    U: DictionaryUpdater<Faer<T>> + Clone,
{
    let begin = || learner.clone().session(12, STEPS).unwrap();
    let mut whole = begin();
    assert_eq!(whole.save().unwrap(), None);
    assert!(whole.noise().is_nan());
    step(&mut whole, 0..STEPS);
    for stored in 1..STEPS {
        let mut first = begin();
        step(&mut first, 0..stored);
        let saved = first.save().unwrap().unwrap();
        assert_eq!(saved.training.steps, stored);
        let mut second = begin();
        second.restore(&saved).unwrap();
        assert_eq!(second.save().unwrap().unwrap(), saved);
        step(&mut second, stored..STEPS);
        assert_eq!(second.model().unwrap(), whole.model().unwrap(), "stored after {stored}");
        assert_eq!(second.save().unwrap(), whole.save().unwrap());
        assert_eq!(second.noise().to_bits(), whole.noise().to_bits());
    }
}

fn preprocessed<T: Scalar, C, U>(
    builder: dbksvd::learn::Builder<Faer<T>, C, U>,
) -> dbksvd::learn::Builder<Faer<T>, C, U> {
    builder.seed(9).center(true).scale(true).outliers(Outliers::Clip(1.5))
}

fn builder<T: Scalar>()
-> dbksvd::learn::Builder<Faer<T>, dbksvd::coder::BatchOmp, dbksvd::updater::KSvd> {
    preprocessed(DbKsvd::builder_on(Faer::<T>::default(), 20, 3))
}

#[test]
fn a_session_goes_on_with_any_updater() {
    goes_on(&builder::<f32>().build().unwrap());
    goes_on(&builder::<f64>().build().unwrap());
    goes_on(&builder::<f32>().updater(Mod::new()).build().unwrap());
    goes_on(&builder::<f32>().updater(Online::new()).build().unwrap());
    let incoherent = Incoherent::new(KSvd::new(), 0.8);
    goes_on(&builder::<f32>().updater(incoherent).build().unwrap());
    goes_on(&builder::<f64>().matryoshka(Groups::new([4, 16])).build().unwrap());
}

#[test]
fn a_session_of_a_dictionary_that_grows_goes_on() {
    let learner = DbKsvd::true_features_on(Faer::<f32>::default(), 20, 6);
    goes_on(&learner.seed(2).build().unwrap());
}

/// What restoring a changed session says.
fn refused(change: impl FnOnce(&mut SavedSession<f32>)) -> Error {
    let learner = builder::<f32>().build().unwrap();
    let mut session = learner.clone().session(12, STEPS).unwrap();
    step(&mut session, 0..2);
    let mut saved = session.save().unwrap().unwrap();
    change(&mut saved);
    let before = session.save().unwrap();
    let error = session.restore(&saved).unwrap_err();
    assert_eq!(session.save().unwrap(), before, "a session that refuses stays as it was");
    error
}

#[test]
fn sessions_that_were_not_are_refused() {
    type Change = fn(&mut SavedSession<f32>);
    let changes: [(&str, Change); 8] = [
        ("steps", |saved| saved.training.steps = 0),
        ("steps", |saved| saved.training.steps = u64::MAX),
        ("progress", |saved| saved.training.progress = 1.5),
        ("progress", |saved| saved.training.progress = f64::NAN),
        ("noise", |saved| saved.training.noise = -1.0),
        ("dimension 11", |saved| saved.training.dictionary = Mat::identity(11, 20)),
        ("19 atoms", |saved| saved.training.dictionary = Mat::identity(12, 19)),
        ("norm 0", |saved| saved.training.dictionary = Mat::zeros(12, 20)),
    ];
    for (words, change) in changes {
        let error = refused(change).to_string();
        assert!(error.contains(words), "{words}: {error}");
    }
    let error = refused(|saved| {
        let names: Vec<String> =
            saved.training.updater.iter().map(|(name, _)| name.to_owned()).collect();
        saved.training.updater.insert(names[0].clone(), SavedArray::F64(vec![1.0]));
    });
    assert!(matches!(error, Error::SavedState { .. }), "{error}");
}

#[test]
fn a_session_of_other_parameters_is_refused() {
    let mut session = builder::<f32>().build().unwrap().session(12, STEPS).unwrap();
    step(&mut session, 0..1);
    let saved = session.save().unwrap().unwrap();
    let others = [
        ("seed", builder::<f32>().seed(1).build().unwrap().session(12, STEPS).unwrap()),
        ("planned_steps", builder::<f32>().build().unwrap().session(12, 9).unwrap()),
        ("center", builder::<f32>().center(false).build().unwrap().session(12, STEPS).unwrap()),
    ];
    for (name, mut other) in others {
        let error = other.restore(&saved).unwrap_err().to_string();
        assert!(error.contains(&format!("`{name}`")), "{error}");
        assert_eq!(other.model().unwrap(), None);
    }
}
