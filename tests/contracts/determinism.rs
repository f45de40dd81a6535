//! Results do not depend on the number of threads, and a sample's code on nothing but the sample:
//! bit by bit.

use dbksvd::coder::{BatchOmp, Omp, Selection, SparseCoder};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::Mat;
use dbksvd::learn::Report;
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::Renewal;
use dbksvd::updater::{DictionaryUpdater, Incoherent, KSvd, LeadingPair, Memory, Mod, Online};
use dbksvd::{DbKsvd, Faer, Model, Sign};

use crate::support::on_threads;

/// What a run gives without its times.
fn without_times((model, report): (Model<f32>, Report)) -> (Model<f32>, Vec<[u64; 5]>) {
    let epochs = report.epochs.iter().map(|epoch| {
        let counts = [epoch.replaced as u64, epoch.merged as u64];
        let errors = [epoch.fvu, epoch.relative_error, epoch.l0].map(f64::to_bits);
        [errors[0], errors[1], errors[2], counts[0], counts[1]]
    });
    (model, epochs.collect())
}

/// Learns on anisotropic samples, more than a block of them, and codes them.
fn learn_and_encode(updater: KSvd, seed: u64) -> (Model<f32>, Vec<[u64; 5]>, SparseCodes<f32>) {
    let planted = Planted::new(20, 40, 3, 700).kind(Kind::Anisotropic).seed(1);
    let samples = planted.generate::<f32>().unwrap().samples;
    let builder = DbKsvd::builder(40, 3).epochs(3).minibatch(350).seed(seed).center(true);
    let learner = builder.updater(updater).build().unwrap();
    let (model, epochs) = without_times(learner.fit(&samples).unwrap());
    let codes = model.encode(&BatchOmp::new(), samples.as_ref()).unwrap();
    (model, epochs, codes)
}

/// The defaults, with windows short enough that atoms are renewed in a run this short.
fn renewing() -> KSvd {
    let renewal = Renewal { min_usage: 0.7, max_coherence: 0.95, window: 5.0, until: 1.0 };
    let memory = Memory { start: 0.0, full: 0.5, retention: 0.9 };
    KSvd::new().renewal(Some(renewal)).memory(Some(memory))
}

#[test]
fn learning_and_coding_have_the_same_bits_on_any_number_of_threads() {
    let expected = on_threads(1, || learn_and_encode(renewing(), 1));
    let renewed: u64 = expected.1.iter().map(|epoch| epoch[3] + epoch[4]).sum();
    assert!(renewed > 0, "no atom was renewed: the test shows nothing of renewal");
    for threads in [2, 3, 4, 8] {
        assert!(
            on_threads(threads, || learn_and_encode(renewing(), 1)) == expected,
            "{threads} threads give another result than one"
        );
    }
}

#[test]
fn exact_pairs_have_the_same_bits_on_any_number_of_threads() {
    let updater = KSvd::textbook().leading_pair(LeadingPair::Exact).atom_batch(16);
    let learn = || {
        let samples = Planted::new(9, 16, 2, 150).generate::<f32>().unwrap().samples;
        let learner = DbKsvd::builder(16, 2).epochs(2).updater(updater).build().unwrap();
        without_times(learner.fit(&samples).unwrap())
    };
    let expected = on_threads(1, learn);
    for threads in [2, 3, 4, 8] {
        assert!(on_threads(threads, learn) == expected, "{threads} threads");
    }
}

/// Learns with more atoms, samples and dimensions than one task takes.
fn learn_with<U: DictionaryUpdater<Faer<f32>>>(updater: U) -> (Model<f32>, Vec<[u64; 5]>) {
    let planted = Planted::new(40, 150, 3, 1200).kind(Kind::Correlated).noise(0.1).seed(1);
    let samples = planted.generate::<f32>().unwrap().samples;
    let builder = DbKsvd::builder(150, 3).epochs(2).minibatch(600);
    without_times(builder.updater(updater).build().unwrap().fit(&samples).unwrap())
}

#[track_caller]
fn same_on_any_number_of_threads<U>(updater: U)
where
    U: DictionaryUpdater<Faer<f32>> + Copy,
{
    let expected = on_threads(1, || learn_with(updater));
    for threads in [2, 3, 4, 8] {
        assert!(on_threads(threads, || learn_with(updater)) == expected, "{threads} threads");
    }
}

#[test]
fn mod_has_the_same_bits_on_any_number_of_threads() {
    same_on_any_number_of_threads(Mod::new());
}

#[test]
fn online_learning_has_the_same_bits_on_any_number_of_threads() {
    same_on_any_number_of_threads(Online::new());
}

#[test]
fn parting_atoms_has_the_same_bits_on_any_number_of_threads() {
    same_on_any_number_of_threads(Incoherent::new(KSvd::new(), 0.5));
}

#[test]
fn a_seed_gives_one_model_and_another_seed_another() {
    let once = learn_and_encode(KSvd::new(), 5);
    assert!(learn_and_encode(KSvd::new(), 5) == once, "the same seed gives another model");
    assert_ne!(learn_and_encode(KSvd::new(), 6).0, once.0);
}

/// Codes by `coder` on the true dictionary.
fn encode<C>(coder: C, dictionary: &Mat<f32>, samples: &Mat<f32>, k: usize) -> SparseCodes<f32>
where
    C: SparseCoder<Faer<f32>>,
{
    crate::support::encode::<Faer<f32>, C>(coder, dictionary, samples.as_ref(), k, Sign::Signed)
}

fn bits(codes: &SparseCodes<f32>, i: usize) -> (Vec<u32>, Vec<u32>) {
    (codes.support(i).to_vec(), codes.values(i).iter().map(|x| x.to_bits()).collect())
}

/// The codes of `count` samples, each alone, are those they have among all, and those they have at
/// other positions.
fn a_code_is_its_samples_own<C>(coder: C, planted: Planted, k: usize, count: usize)
where
    C: SparseCoder<Faer<f32>> + Copy,
{
    let data = planted.generate::<f32>().unwrap();
    let (d, y) = (data.dictionary.into_mat(), data.samples);
    let (dim, n) = y.shape();
    let codes = encode(coder, &d, &y, k);
    for i in (0..n).step_by(n.div_ceil(count)).chain([n - 1]) {
        let alone = Mat::from_fn(dim, 1, |row, _| y[(row, i)]);
        assert_eq!(bits(&encode(coder, &d, &alone, k), 0), bits(&codes, i), "{i} alone");
    }
    // Shifted by less than any block, so that every sample stands elsewhere in its block.
    for shift in [1, 7] {
        let shifted = Mat::from_fn(dim, n, |row, i| y[(row, (i + shift) % n)]);
        let found = encode(coder, &d, &shifted, k);
        for i in 0..n {
            assert_eq!(bits(&found, i), bits(&codes, (i + shift) % n), "{i} + {shift}");
        }
    }
}

fn ols() -> BatchOmp {
    BatchOmp::new().selection(Selection::LeastSquares)
}

#[test]
fn a_code_is_its_samples_own_in_any_dimension() {
    for dim in [3, 16, 17, 31, 64, 100] {
        let planted = Planted::new(dim, 50, 2, 140).kind(Kind::Anisotropic).seed(dim as u64);
        a_code_is_its_samples_own(BatchOmp::new(), planted, 2, 6);
        a_code_is_its_samples_own(ols(), planted, 3, 6);
        a_code_is_its_samples_own(Omp::new(), planted, 2, 6);
    }
}

#[test]
fn a_code_is_its_samples_own_at_the_size_of_embeddings() {
    let planted = Planted::new(384, 1024, 4, 10).kind(Kind::Anisotropic);
    a_code_is_its_samples_own(BatchOmp::new(), planted, 4, 2);
    a_code_is_its_samples_own(Omp::new(), planted, 2, 2);
}

/// A hundred thousand samples of a small problem, many blocks for every thread: a few are looked at
/// alone, and all are copies of 125 of them at every place in a block of 128.
#[test]
fn a_code_is_its_samples_own_among_a_hundred_thousand() {
    const DISTINCT: usize = 125;
    let data = Planted::new(3, 4, 1, DISTINCT).noise(0.2).generate::<f32>().unwrap();
    let d = data.dictionary.into_mat();
    let few = encode(BatchOmp::new(), &d, &data.samples, 1);
    let many = Mat::from_fn(3, 100_000, |row, i| data.samples[(row, i % DISTINCT)]);
    let codes = encode(BatchOmp::new(), &d, &many, 1);
    for i in 0..100_000 {
        let same = codes.support(i) == few.support(i % DISTINCT)
            && codes.values(i) == few.values(i % DISTINCT);
        assert!(same, "sample {i}");
    }
}
