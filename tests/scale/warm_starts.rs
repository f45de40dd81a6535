//! Learning that goes on from a dictionary: on new data, and with more atoms.

use dbksvd::faer::Mat;
use dbksvd::metrics::Recovery;
use dbksvd::synthetic::Planted;
use dbksvd::{DbKsvd, Dictionary, Initialisation};

/// Two halves of one planted problem.
fn halves() -> (Mat<f32>, Mat<f32>, Dictionary<f32>) {
    let data = Planted::new(24, 40, 3, 6000).noise(0.1).seed(8).generate::<f32>().unwrap();
    let half = |first| data.samples.as_ref().subcols(first, 3000).to_owned();
    (half(0), half(3000), data.dictionary)
}

#[test]
fn new_data_do_not_undo_what_was_learned() {
    let (old, new, truth) = halves();
    let (model, report) = DbKsvd::builder(40, 3).build().unwrap().fit(&old).unwrap();
    let learned = report.epochs.last().unwrap().fvu;
    let go_on = |start_at| {
        let given = Initialisation::Given(model.dictionary().clone());
        let builder = DbKsvd::builder(40, 3).initialisation(given).start_at(start_at).epochs(4);
        let mut worst = 0.0_f64;
        let mut watch = |progress: &dbksvd::learn::Progress| {
            worst = worst.max(progress.fvu);
            std::ops::ControlFlow::Continue(())
        };
        let learner = builder.minibatch(150).build().unwrap();
        let (model, _) = learner.fit_with(&new, &mut watch).unwrap();
        (model, worst)
    };
    let ((warm, warm_worst), (_, cold_worst)) = (go_on(0.8), go_on(0.0));
    // Small minibatches without memory shake a dictionary; with it the error stays where it was.
    assert!(warm_worst < 1.15 * learned, "{warm_worst} {learned}");
    assert!(warm_worst < cold_worst, "{warm_worst} {cold_worst}");
    let mcc = |model: &dbksvd::Model<f32>| Recovery::new(model.dictionary(), &truth).unwrap().mcc();
    assert!(mcc(&warm) >= mcc(&model) - 0.005, "{} {}", mcc(&warm), mcc(&model));
}

#[test]
fn a_dictionary_grows_by_what_it_represents_worst() {
    let (samples, _, truth) = halves();
    // All planted atoms but the last four.
    let known = Dictionary::new(truth.as_mat().subcols(0, 36).to_owned()).unwrap();
    let grow = |epochs| {
        let given = Initialisation::Given(known.clone());
        let builder = DbKsvd::builder(40, 3).initialisation(given).epochs(epochs).seed(3);
        builder.build().unwrap().fit(&samples).unwrap().0
    };
    let grown = grow(0);
    assert_eq!(grown.dictionary().as_mat().subcols(0, 36), known.as_mat());
    // The new ones are samples that hold a missing atom.
    for j in 36..40 {
        let atom = grown.dictionary().atom(j);
        let largest = (36..40)
            .map(|t| {
                let products = atom.iter().zip(truth.atom(t));
                products.map(|(a, b)| a * b).sum::<f32>().abs()
            })
            .fold(0.0, f32::max);
        assert!(largest > 0.4, "atom {j}: {largest}");
    }
    assert_eq!(grow(0), grown, "a function of the seed");
    let learned = grow(10);
    let found = Recovery::new(learned.dictionary(), &truth).unwrap();
    assert!(found.mcc() > 0.98, "{}", found.mcc());
}

#[test]
fn growth_ends_with_the_samples() {
    let samples = Mat::from_fn(5, 3, |r, c| if r == c { 1.0_f32 } else { 0.0 });
    let given = Dictionary::new(samples.as_ref().subcols(0, 1).to_owned()).unwrap();
    let builder = DbKsvd::builder(4, 1).initialisation(Initialisation::Given(given)).epochs(0);
    let (model, _) = builder.build().unwrap().fit(&samples).unwrap();
    // Two samples are not represented; the last atom is a random direction.
    let mut taken: Vec<usize> = (1..3)
        .map(|j| model.dictionary().atom(j).iter().position(|&x| x == 1.0).unwrap())
        .collect();
    taken.sort_unstable();
    assert_eq!(taken, [1, 2]);
}
