//! What a service does: one encoder for many threads, newer models while others encode, samples of
//! which some are bad, coders chosen at run time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use dbksvd::backend::PursuitKernels;
use dbksvd::coder::{
    AnyCoder, BatchOmp, Coefficients, Exact, Lasso, LinearEncoder, MatchingPursuit, Matryoshka,
    Omp, Selection, SparseCoder, Swaps, ThresholdPursuit, TopK,
};
use dbksvd::error::SourceError;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::learn::Session;
use dbksvd::source::SliceSource;
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{
    DbKsvd, Encoder, Error, Faer, Groups, HostBackend, Model, Reference, Scalar, Sign, SparseCodes,
    metrics, omp,
};

/// A model and samples of its shape.
fn problem(dim: usize, atoms: usize, sparsity: usize, samples: usize) -> (Model<f32>, Mat<f32>) {
    let planted = Planted::new(dim, atoms, sparsity, samples).kind(Kind::Correlated).noise(0.1);
    let data = planted.generate::<f32>().expect("a legal problem");
    let model = Model::new(data.dictionary, None, sparsity, Sign::Signed).expect("a legal shape");
    (model, data.samples)
}

#[track_caller]
fn assert_same<T: Scalar>(found: &SparseCodes<T>, i: usize, expected: &SparseCodes<T>, j: usize) {
    let bits = |of: &[T]| -> Vec<u64> { of.iter().map(|x| x.widen().to_bits()).collect() };
    assert_eq!(found.support(i), expected.support(j), "sample {j}");
    assert_eq!(bits(found.values(i)), bits(expected.values(j)), "sample {j}");
}

/// Many threads, each with parts of many sizes, by each form of the Gram matrix.
#[test]
fn threads_that_share_an_encoder_get_the_codes_of_one() {
    let small = 2 * 600 * (640 + 32);
    for (dim, atoms, coder) in [
        (16, 48, BatchOmp::new()),
        (200, 1500, BatchOmp::new()),
        (24, 600, BatchOmp::new().selection(Selection::LeastSquares).gram_limit(small)),
        (16, 48, BatchOmp::new().gram_limit(0)),
    ] {
        let (model, samples) = problem(dim, atoms, 6, 420);
        let expected = model.encode(&coder, samples.as_ref()).expect("finite samples");
        let encoder: Encoder = model.encoder(coder).expect("a legal coder");
        std::thread::scope(|scope| {
            for worker in 0..8 {
                let (encoder, expected, samples) = (&encoder, &expected, &samples);
                scope.spawn(move || {
                    for (turn, size) in [1, 2, 7, 33, 130, 300].into_iter().enumerate() {
                        let first = (worker * 17 + turn * 5) % (420 - size);
                        let part = samples.subcols(first, size);
                        let codes = encoder.encode(part).expect("finite samples");
                        for i in 0..size {
                            assert_same(&codes, i, expected, first + i);
                        }
                    }
                });
            }
        });
    }
}

/// Calls with few samples are cut and multiplied otherwise than those with many, on pools of any
/// size: by each form of the Gram matrix and each product, the bits are those of a sample among
/// many.
#[test]
fn codes_of_few_samples_have_the_bits_of_those_of_many() {
    fn check<T: Scalar>(dim: usize, atoms: usize, sparsity: usize, coder: BatchOmp) {
        let planted = Planted::new(dim, atoms, sparsity, 600).kind(Kind::Anisotropic).noise(0.1);
        let data = planted.generate::<T>().expect("a legal problem");
        let model = Model::new(data.dictionary, None, sparsity, Sign::Signed).expect("legal");
        let encoder = model.encoder(coder).expect("a legal coder");
        let samples = data.samples.as_ref();
        let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let expected = pool(1).expect("a thread").install(|| encoder.encode(samples));
        let expected = expected.expect("finite samples");
        for threads in [1, 2, 5] {
            let pool = pool(threads).expect("threads");
            for (first, size) in [(3, 1), (599, 1), (17, 3), (40, 8), (1, 31), (9, 64), (5, 127)] {
                let codes = pool.install(|| encoder.encode(samples.subcols(first, size)));
                let codes = codes.expect("finite samples");
                for i in 0..size {
                    assert_same(&codes, i, &expected, first + i);
                }
            }
        }
    }
    let ols = BatchOmp::new().selection(Selection::LeastSquares);
    check::<f32>(64, 256, 8, BatchOmp::new());
    check::<f32>(700, 60, 8, ols);
    check::<f64>(33, 70, 5, BatchOmp::new());
    check::<f32>(100, 1500, 8, BatchOmp::new());
    check::<f64>(100, 1500, 8, ols);
    check::<f32>(256, 1500, 8, BatchOmp::new());
    check::<f64>(200, 1500, 8, ols);
    check::<f32>(64, 256, 4, BatchOmp::new().gram_limit(0));
}

/// Each of some workers holds the encoder that it began with; what it gets is of one model, never
/// of two.
#[test]
fn a_model_is_replaced_while_others_encode() {
    let (first, samples) = problem(16, 48, 4, 64);
    let learner = DbKsvd::builder(48, 4).epochs(2).build().expect("a legal configuration");
    let (second, _) = learner.fit(&samples).expect("finite samples");
    let expected = [&first, &second].map(|model| {
        let codes = model.encode(&BatchOmp::new(), samples.as_ref());
        codes.expect("finite samples")
    });
    assert_ne!(expected[0], expected[1]);
    let encoder_of = |model: &Model<f32>| Arc::new(model.encoder(BatchOmp::new()).expect("legal"));
    let current: RwLock<Arc<Encoder>> = RwLock::new(encoder_of(&first));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = [0; 2];
                    while !is_over.load(Ordering::Relaxed) || seen.contains(&0) {
                        let encoder = current.read().expect("no panic").clone();
                        let codes = encoder.encode(samples.as_ref()).expect("finite samples");
                        let model = expected.iter().position(|expected| *expected == codes);
                        seen[model.expect("codes of one of the two models")] += 1;
                    }
                    seen
                })
            })
            .collect();
        for turn in 0..50 {
            let newer = encoder_of([&second, &first][turn % 2]);
            *current.write().expect("no panic") = newer;
        }
        is_over.store(true, Ordering::Relaxed);
        // Until each worker has seen both.
        while !workers.iter().all(|worker| worker.is_finished()) {
            for model in [&first, &second] {
                *current.write().expect("no panic") = encoder_of(model);
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        }
        for worker in workers {
            let seen = worker.join().expect("no panic");
            assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
        }
    });
}

#[test]
fn types_of_a_service_need_no_parameters() {
    let (model, samples) = problem(16, 48, 4, 64);
    let encoder: Encoder = model.encoder(BatchOmp::new()).expect("a legal coder");
    let learner = DbKsvd::builder(48, 4).build().expect("a legal configuration");
    let mut session: Session = learner.session(16, 10).expect("a legal dimension");
    session.step(samples.as_ref()).expect("finite samples");
    assert_eq!(encoder.shape().atoms, 48);
    assert_eq!(*encoder.coder(), BatchOmp::new());
    let of_shared = |_: &(dyn Send + Sync)| ();
    of_shared(&encoder);
}

/// Samples with every kind of flaw, in several blocks, beside good ones.
#[test]
fn bad_samples_do_not_keep_good_ones_from_their_codes() {
    let (model, good) = problem(16, 48, 4, 9000);
    let mean: Vec<f32> = (0..16).map(|i| i as f32 / 8.0).collect();
    let preprocessing = dbksvd::Preprocessing::none().with_mean(Some(mean)).expect("finite");
    let model = model.preprocessed(preprocessing).expect("the mean's dimension");
    let coder = BatchOmp::new();
    let expected = model.encode(&coder, good.as_ref()).expect("finite samples");
    let encoder = model.encoder(coder).expect("a legal coder");
    let mut samples = good.clone();
    samples[(3, 0)] = f32::NAN;
    samples[(15, 5000)] = f32::NEG_INFINITY;
    samples[(0, 4095)] = 1e25;
    samples[(0, 4096)] = f32::MAX;
    samples.col_mut(8999).fill(-1e20);
    let outcomes = encoder.encode_each(samples.as_ref()).expect("the model's dimension");
    let bad: Vec<usize> = outcomes.errors.iter().map(|(sample, _)| *sample).collect();
    assert_eq!(bad, [0, 4095, 4096, 5000, 8999]);
    for i in 0..9000 {
        match outcomes.code(i) {
            Ok(code) => assert_eq!(code, (expected.support(i), expected.values(i)), "sample {i}"),
            Err(Error::NotFinite { sample, coordinate, value }) => {
                assert_eq!((*sample, *coordinate), if i == 0 { (0, 3) } else { (5000, 15) });
                assert!(!value.is_finite());
            }
            Err(Error::Range { argument, sample, found, least, most, scalar }) => {
                assert_eq!((*argument, *sample, *scalar), ("samples", Some(i), "f32"));
                assert!(!(*least..=*most).contains(found), "{found} within {least} to {most}");
            }
            Err(error) => panic!("{error}"),
        }
        if bad.contains(&i) {
            assert!(outcomes.code(i).is_err() && outcomes.codes.support(i).is_empty());
        }
    }
    assert_eq!(outcomes.iter().filter(Result::is_err).count(), 5);
    // What is bad by itself is refused by `encode` as well, and what is good is not.
    for i in [0, 1, 4095, 4096, 5000, 8999] {
        let alone = encoder.encode(samples.subcols(i, 1));
        assert_eq!(alone.is_err(), bad.contains(&i), "sample {i}");
    }
    let empty = encoder.encode_each(samples.subcols(0, 0)).expect("no samples have no codes");
    assert_eq!((empty.codes.samples(), empty.errors.len()), (0, 0));
    let wrong = encoder.encode_each(MatRef::from_column_major_slice(&[1.0_f32; 4], 4, 1));
    assert!(matches!(wrong, Err(Error::Dimension { found: 4, expected: 16, .. })), "{wrong:?}");
}

/// Zeros are good samples, with and without a mean.
#[test]
fn zeros_are_coded_by_themselves() {
    let (model, mut samples) = problem(16, 48, 4, 10);
    samples.col_mut(4).fill(0.0);
    samples.col_mut(6).fill(1e-30);
    let encoder = model.encoder(BatchOmp::new()).expect("a legal coder");
    let outcomes = encoder.encode_each(samples.as_ref()).expect("the model's dimension");
    assert_eq!(outcomes.code(4).expect("zeros are in range").0.len(), 0);
    assert!(matches!(outcomes.code(6), Err(Error::Range { sample: Some(6), .. })));
    // Beside others, the root mean square decides, and the sample is coded.
    assert!(encoder.encode(samples.as_ref()).is_ok());
    assert!(encoder.encode(samples.subcols(6, 1)).is_err());
}

#[test]
fn an_error_of_range_names_the_sample() {
    let (model, mut samples) = problem(16, 48, 4, 5000);
    samples.col_mut(4321).fill(1e25);
    let encoder = model.encoder(BatchOmp::new()).expect("a legal coder");
    let error = encoder.encode(samples.as_ref()).expect_err("a sample out of range");
    let Error::Range { sample, found, most, .. } = error else { panic!("{error}") };
    assert_eq!(sample, Some(4321));
    assert!((found / 4e25 - 1.0).abs() < 1e-6 && most == 1e15, "{found} {most}");
    let text = error.to_string();
    assert!(text.contains("sample 4321") && text.contains("scale the data"), "{text}");
    let proof = Exact.solve(model.dictionary(), &[1e30_f32; 16], 2, Sign::Signed);
    assert!(matches!(proof, Err(Error::Range { sample: Some(0), .. })), "{proof:?}");
}

/// Codes by `coder` and by the same as [`AnyCoder`] have the same bits, and the same parameters.
fn compare<B, C>(coder: C, sign: Sign)
where
    B: HostBackend + PursuitKernels + Default,
    C: SparseCoder<B> + Clone + Into<AnyCoder<B::Scalar>>,
{
    let planted = Planted::new(12, 24, 3, 150).kind(Kind::Correlated).noise(0.2).sign(sign);
    let data = planted.generate::<B::Scalar>().expect("a legal problem");
    let model = Model::new(data.dictionary, None, 3, sign).expect("a legal shape");
    let any: AnyCoder<B::Scalar> = coder.clone().into();
    let parameters = SparseCoder::<B>::parameters(&any);
    assert_eq!(parameters, coder.parameters());
    let encoder = Encoder::new(B::default(), coder, &model).expect("a legal coder");
    let expected = encoder.encode(data.samples.as_ref()).expect("finite samples");
    let encoder = Encoder::new(B::default(), any, &model).expect("a legal coder");
    let found = encoder.encode(data.samples.as_ref()).expect("finite samples");
    assert!(expected.nnz() > 0, "{parameters:?}");
    for i in 0..150 {
        assert_same(&found, i, &expected, i);
    }
}

#[test]
fn a_coder_chosen_at_run_time_codes_as_the_coder_itself() {
    type Single = Faer<f32>;
    type Double = Faer<f64>;
    let ols = BatchOmp::new().selection(Selection::LeastSquares);
    for sign in [Sign::Signed, Sign::NonNegative] {
        compare::<Single, _>(BatchOmp::new(), sign);
        compare::<Double, _>(ols, sign);
        compare::<Reference<f64>, _>(ols, sign);
        compare::<Single, _>(Omp::new(), sign);
        compare::<Single, _>(MatchingPursuit::new().coefficients(Coefficients::Refitted), sign);
        compare::<Double, _>(TopK::new(), sign);
        compare::<Single, _>(Exact, sign);
        compare::<Single, _>(Lasso::new(0.2), sign);
        compare::<Single, _>(Swaps::after(ols).max_swaps(2), sign);
        compare::<Single, _>(Swaps::after(Swaps::after(Omp::new())), sign);
        compare::<Double, _>(Matryoshka::new(Groups::doubling(24, 6)).coder(ols), sign);
    }
    compare::<Single, _>(ThresholdPursuit::new(0.2), Sign::NonNegative);
}

#[test]
fn an_any_coder_keeps_the_contract_and_refuses_what_its_coder_refuses() {
    let swaps: AnyCoder = Swaps::after(MatchingPursuit::new()).into();
    dbksvd::conformance::coder(&Faer::<f32>::default(), &swaps);
    dbksvd::conformance::coder(&Faer::<f32>::default(), &AnyCoder::default());
    let (model, _) = problem(16, 100, 4, 1);
    let error = model.encoder(AnyCoder::from(Exact)).expect_err("too many atoms");
    assert!(matches!(error, Error::Argument { argument: "atoms", .. }), "{error}");
}

/// A run with a coder chosen at run time has the bits of one with the coder itself, its phases
/// included, and resumes from its sessions.
#[test]
fn learning_with_a_coder_chosen_at_run_time() {
    let (_, samples) = problem(16, 48, 4, 600);
    let threshold = ThresholdPursuit::new(0.3).learning(Some(Default::default()));
    let builder = || DbKsvd::builder(48, 4).sign(Sign::NonNegative).epochs(4).minibatch(200);
    let fit = |any: Option<AnyCoder>| match any {
        Some(any) => builder().coder(any).build().expect("legal").fit(&samples),
        None => builder().coder(threshold.clone()).build().expect("legal").fit(&samples),
    };
    let (expected, _) = fit(None).expect("finite samples");
    let (found, _) = fit(Some(threshold.clone().into())).expect("finite samples");
    assert_eq!(found, expected);
}

/// Samples are taken in every form in which they usually lie in memory.
#[test]
fn samples_are_matrices_slices_and_vectors() {
    let (model, samples) = problem(16, 24, 2, 40);
    let coder = BatchOmp::new();
    let expected = model.encode(&coder, &samples).expect("legal samples");
    let values: Vec<f32> = (0..40).flat_map(|i| samples.col_as_slice(i).to_vec()).collect();
    let array: [f32; 640] = values.as_slice().try_into().expect("16 · 40 values");
    let source = SliceSource::new(&values, 16).expect("16 divides 640");
    let all = [
        model.encode(&coder, samples.as_ref()),
        model.encode(&coder, values.as_slice()),
        model.encode(&coder, &values),
        model.encode(&coder, array),
        model.encode(&coder, source),
    ];
    for codes in all {
        assert_eq!(codes.expect("legal samples"), expected);
    }
    assert_eq!(omp(model.dictionary(), &values, 2).expect("legal samples").samples(), 40);
    let measured = metrics::reconstruction(&model, &values, &expected).expect("legal samples");
    assert_eq!(measured, metrics::reconstruction(&model, &samples, &expected).expect("the same"));

    // A slice that holds part of a sample, and a matrix of another dimension.
    let cut = model.encode(&coder, &values[1..]).expect_err("639 values");
    let named =
        |error: &Error| matches!(error, Error::Source(SourceError::Ragged { len: 639, dim: 16 }));
    assert!(named(&cut), "{cut}");
    let mut session = DbKsvd::builder(24, 2).build().unwrap().session(16, 10).expect("legal");
    let cut = session.step(&values[1..]).expect_err("639 values");
    assert!(named(&cut), "{cut}");
    assert_eq!(session.step(&values).expect("40 samples").step, 1);
    let wide = model.encode(&coder, Mat::<f32>::zeros(17, 3)).expect_err("17 rows");
    assert!(matches!(wide, Error::Dimension { argument: "samples", found: 17, expected: 16 }));
}

#[test]
fn encoders_and_states_say_which_coder_is_theirs() {
    let dictionary = Planted::new(3, 5, 2, 1).generate::<f32>().unwrap().dictionary;
    let linear = LinearEncoder::new(dictionary.as_mat().to_owned(), None).unwrap();
    let model = |sign| Model::new(dictionary.clone(), None, 2, sign).unwrap();
    let models = [model(Sign::Signed), model(Sign::NonNegative)];
    let coders: [(AnyCoder, &str, usize); 9] = [
        (BatchOmp::new().into(), "BatchOmp", 0),
        (Omp::new().into(), "Omp", 0),
        (MatchingPursuit::new().coefficients(Coefficients::Refitted).into(), "MatchingPursuit", 0),
        (ThresholdPursuit::new(0.2).into(), "ThresholdPursuit", 1),
        (Swaps::after(BatchOmp::new()).into(), "Swaps", 0),
        (TopK::by_encoder(linear).into(), "TopK", 0),
        (Exact.into(), "Exact", 0),
        (Lasso::new(0.2).into(), "Lasso", 0),
        (Matryoshka::new(Groups::new([2, 3])).coder(BatchOmp::new()).into(), "Matryoshka", 0),
    ];
    for (coder, name, sign) in coders {
        let encoder = Encoder::new(Faer::<f32>::default(), coder, &models[sign]).unwrap();
        assert_eq!(format!("{:?}", encoder.state()), format!("AnyState({name})"));
        let said = format!("{encoder:?}");
        assert!(said.starts_with("Encoder { shape: ProblemShape { dim: 3, atoms: 5"), "{said}");
        assert!(
            said.contains(&format!("coder: {name}(")) || said.contains("coder: Exact"),
            "{said}"
        );
    }
}
