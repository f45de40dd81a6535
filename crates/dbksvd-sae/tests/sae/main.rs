//! Sparse autoencoders: against SAELens and sparsify by `tests/fixtures/sae`, and every way in
//! which their files can be wrong.

use std::path::{Path, PathBuf};

use dbksvd::coder::{BatchOmp, Coefficients, LinearEncoder, MeanBudget, SparseCoder, TopK};
use dbksvd::error::FileError;
use dbksvd::faer::{Mat, Scale, mat};
use dbksvd::metrics::reconstruction;
use dbksvd::source::{self, SampleSource};
use dbksvd::synthetic::Planted;
use dbksvd::{
    Dictionary, Error, Faer, Model, Preprocessing, ProblemShape, Scalar, Sign, SparseCodes,
};
use dbksvd_sae::{Affine, Architecture, Sae, SaeCoder, Tied, split_signs};
use tempfile::TempDir;

mod arguments;
mod files;
#[path = "../../../../tests/support/mod.rs"]
mod support;
mod weights;
use support::{assert_close, dense};

const SAELENS: [&str; 23] = [
    "standard",
    "uncentred",
    "hook_z",
    "bfloat16",
    "topk",
    "topk_rescaled",
    "abstopk",
    "abstopk_rescaled",
    "jumprelu",
    "jumprelu_uncentred",
    "gated",
    "gated_uncentred",
    "pursuit",
    "pursuit_stopping",
    "pursuit_uncentred",
    "standard_dead",
    "topk_dead",
    "rounded",
    "early_run",
    "early_standard",
    "early_gated",
    "early_topk",
    "early_jumprelu",
];
const SPARSIFY: [&str; 3] = ["sparsify", "sparsify_groupmax", "sparsify_early"];

/// Of the largest number; both sides compute in single precision.
const TOLERANCE: f64 = 1e-5;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/sae").join(name)
}

/// The rows of a tensor of `expected.safetensors` as columns.
fn expected<T: Scalar>(name: &str, tensor: &str) -> Mat<T> {
    let path = fixture(name).join("expected.safetensors");
    let file = source::open(&path, Some(tensor)).expect("a fixture");
    let mut values = vec![T::zero(); file.len() * file.dim()];
    file.read(0..file.len(), &mut values).expect("a fixture");
    Mat::from_fn(file.dim(), file.len(), |r, i| values[i * file.dim() + r])
}

fn read<T: Scalar>(name: &str) -> Sae<T> {
    let read = if SPARSIFY.contains(&name) { Sae::read_sparsify } else { Sae::read_saelens };
    read(fixture(name)).unwrap_or_else(|error| panic!("{error}"))
}

fn widen<T: Scalar>(matrix: &Mat<T>) -> Mat<f64> {
    Mat::from_fn(matrix.nrows(), matrix.ncols(), |i, j| matrix[(i, j)].widen())
}

fn largest(matrix: &Mat<f64>) -> f64 {
    matrix.col_iter().flat_map(|column| column.iter()).fold(0.0, |most, x| x.abs().max(most))
}

#[track_caller]
fn assert_alike(found: &Mat<f64>, expected: &Mat<f64>) {
    assert_close(found.as_ref(), expected.as_ref(), TOLERANCE * largest(expected));
}

fn agrees<T: Scalar>() {
    for name in SAELENS.into_iter().chain(SPARSIFY) {
        let (sae, samples) = (read::<T>(name), expected::<T>(name, "samples"));
        let latents: Mat<f64> = expected(name, "latents");
        let codes = sae.encode(samples.as_ref()).unwrap();
        let found = dense(&sae.encode_latents(samples.as_ref()).unwrap());
        assert_alike(&found, &latents);
        // Of latents that die in decoding there is no code.
        let live = |j: usize| sae.decoder().col(j).iter().any(|&x| x != T::zero());
        let coded =
            Mat::from_fn(
                found.nrows(),
                found.ncols(),
                |j, i| {
                    if live(j) { found[(j, i)] } else { 0.0 }
                },
            );
        assert_alike(&dense(&sae.latents(&codes).unwrap()), &coded);
        for (found, expected) in found.col_iter().zip(latents.col_iter()) {
            let fire = |&(found, expected): &(&f64, &f64)| (*found != 0.0) == (*expected != 0.0);
            assert!(found.iter().zip(expected.iter()).all(|pair| fire(&pair)), "{name}");
        }
        let decoded = sae.model(1).unwrap().decode(&codes).unwrap();
        assert_alike(&widen(&decoded), &expected(name, "reconstruction"));
    }
}

#[test]
fn latents_and_reconstructions_are_theirs_in_f32() {
    agrees::<f32>();
}

#[test]
fn latents_and_reconstructions_are_theirs_in_f64() {
    agrees::<f64>();
}

/// The coder with budget d on what `encode` finds, cut to its strongest.
#[test]
fn the_coder_keeps_the_strongest_and_counts_what_it_cuts() {
    for name in SAELENS.into_iter().chain(SPARSIFY) {
        let (sae, samples) = (read::<f64>(name), expected::<f64>(name, "samples"));
        let all = sae.encode(samples.as_ref()).unwrap();
        for budget in [3, 8] {
            let model = sae.model(budget).unwrap();
            let encoder = model.encoder(SaeCoder::new(sae.clone())).unwrap();
            let codes = encoder.encode(samples.as_ref()).unwrap();
            let more = all.iter().filter(|(support, _)| support.len() > budget).count();
            assert_eq!(encoder.state().cut(), more as u64, "{name}");
            for i in 0..all.samples() {
                let kept = all.support(i).len().min(budget);
                assert_eq!(codes.support(i), &all.support(i)[..kept], "{name}, sample {i}");
                let pairs = codes.values(i).iter().zip(all.values(i));
                let close = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * (1.0 + b.abs());
                assert!(pairs.into_iter().all(close), "{name}, sample {i}");
                assert!(all.values(i).is_sorted_by(|a, b| a.abs() >= b.abs()));
            }
        }
    }
}

#[test]
fn a_pursuit_on_the_decoder_beats_the_encoder_cut_to_its_budget() {
    let (sae, samples) = (read::<f64>("jumprelu"), expected::<f64>("jumprelu", "samples"));
    let model = sae.model(5).unwrap();
    let own = model.encode(&SaeCoder::new(sae), samples.as_ref()).unwrap();
    let pursued = model.encode(&BatchOmp::new(), samples.as_ref()).unwrap();
    let fvu = |codes| reconstruction(&model, samples.as_ref(), codes).unwrap().fvu();
    assert!(fvu(&pursued) < fvu(&own));
}

fn assert_same_codes<T: Scalar>(found: &SparseCodes<T>, i: usize, all: &SparseCodes<T>, j: usize) {
    assert_eq!((found.support(i), found.values(i)), (all.support(j), all.values(j)));
}

#[test]
fn codes_depend_on_the_sample_alone() {
    let many = Planted::new(8, 24, 3, 700).seed(3).generate::<f32>().unwrap().samples;
    for name in ["gated", "topk_rescaled", "pursuit_stopping"] {
        let sae = read::<f32>(name);
        let all = sae.encode(many.as_ref()).unwrap();
        let model = sae.model(4).unwrap();
        let coder = SaeCoder::new(sae.clone());
        let coded = model.encode(&coder, many.as_ref()).unwrap();
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                assert_eq!(sae.encode(many.as_ref()).unwrap(), all);
                assert_eq!(model.encode(&coder, many.as_ref()).unwrap(), coded);
            });
        }
        for i in [0, 129, 699] {
            let one = many.as_ref().subcols(i, 1);
            assert_same_codes(&sae.encode(one).unwrap(), 0, &all, i);
            assert_same_codes(&model.encode(&coder, one).unwrap(), 0, &coded, i);
        }
        assert_eq!(sae.encode(many.as_ref().subcols(0, 0)).unwrap().samples(), 0);
    }
}

#[test]
fn what_is_written_is_read_bit_by_bit() {
    let scratch = TempDir::new().unwrap();
    for name in SAELENS.into_iter().chain(["sparsify", "sparsify_early"]) {
        let sae = read::<f64>(name);
        sae.write_saelens(scratch.path()).unwrap();
        assert_eq!(Sae::read_saelens(scratch.path()).unwrap(), sae, "{name}");
        let bytes = || {
            let read = |file| std::fs::read(scratch.path().join(file)).unwrap();
            (read("cfg.json"), read("sae_weights.safetensors"))
        };
        let first = bytes();
        sae.write_saelens(scratch.path()).unwrap();
        assert_eq!(bytes(), first);
    }
    let error = read::<f64>("sparsify_groupmax").write_saelens(scratch.path()).unwrap_err();
    assert!(matches!(error, Error::Argument { argument: "architecture", .. }), "{error}");
}

#[test]
fn codes_of_a_signed_model_decode_alike_with_signs_split() {
    let data = Planted::new(12, 30, 4, 50).noise(0.1).seed(5).generate::<f64>().unwrap();
    let mean = (0..12).map(|i| f64::from(i) / 7.0).collect();
    let model = Model::new(data.dictionary, Some(mean), 4, Sign::Signed).unwrap();
    let codes = model.encode(&BatchOmp::new(), data.samples.as_ref()).unwrap();
    let decoded = model.decode(&codes).unwrap();
    let sae = Sae::from_model(&model, Tied::MatchingPursuit).unwrap();
    assert_eq!((sae.atoms(), sae.architecture().name()), (60, "matching_pursuit"));
    let split = split_signs(&codes);
    assert!(split.iter().all(|(_, values)| values.iter().all(|&value| value > 0.0)));
    let again = sae.model(4).unwrap().decode(&split).unwrap();
    assert_close(again.as_ref(), decoded.as_ref(), 1e-12);

    let sae = Sae::from_model(&model, Tied::TopK).unwrap();
    assert_eq!((sae.atoms(), sae.architecture().name()), (30, "abstopk"));
    assert_close(sae.model(4).unwrap().decode(&codes).unwrap().as_ref(), decoded.as_ref(), 1e-12);
}

/// A model with its linear coder, and the jumprelu SAE made of it, have the same codes: also where
/// samples are centred and scaled.
#[test]
fn a_linear_coder_is_a_jumprelu_encoder() {
    let data = Planted::new(40, 60, 4, 200).noise(0.1).seed(5).generate::<f64>().unwrap();
    let weights = Mat::from_fn(40, 60, |i, j| {
        data.dictionary.as_mat()[(i, j)] + 0.1 * ((i * 5 + j * 3) as f64).sin()
    });
    let bias = (0..60).map(|j| 0.01 * f64::from(j)).collect();
    let mean: Vec<f64> = (0..40).map(|i| f64::from(i) / 70.0).collect();
    let preprocessing = Preprocessing::none().with_mean(Some(mean)).unwrap().with_scale(3.0);
    let plain = Model::new(data.dictionary, None, 40, Sign::NonNegative).unwrap();
    let plain = plain.preprocessed(preprocessing.unwrap()).unwrap();
    let encoder = LinearEncoder::new(weights, Some(bias)).unwrap();
    for coder in [TopK::by_encoder(encoder), TopK::new()] {
        let coder = MeanBudget::new(3.0).fit(coder, &plain, &data.samples).unwrap();
        let model = plain.clone().with_linear_coder(Some(coder.clone())).unwrap();
        let sae = Sae::from_linear_coder(&model).unwrap();
        assert_eq!(sae.architecture().name(), "jumprelu");
        let codes = model.encode(&coder, data.samples.as_ref()).unwrap();
        assert!((codes.nnz() as f64 / 200.0 - 3.0).abs() < 0.2);
        assert!((0..200).all(|i| codes.support(i).len() < 40), "no sample is at its limit");
        let latents = sae.encode(data.samples.as_ref()).unwrap();
        let scaled = dense(&codes) * Scale(3.0);
        assert_close(dense(&latents).as_ref(), scaled.as_ref(), 1e-12);
        let decoded = model.decode(&codes).unwrap();
        let of_sae = sae.model(40).unwrap().decode(&latents).unwrap();
        assert_close(of_sae.as_ref(), decoded.as_ref(), 1e-12);
    }

    let argument = |model: &Model<f64>| match Sae::from_linear_coder(model) {
        Err(Error::Argument { argument, .. }) => argument,
        other => panic!("{other:?}"),
    };
    assert_eq!(argument(&plain), "linear_coder");
    let refitted = TopK::new().coefficients(Coefficients::Refitted);
    assert_eq!(argument(&plain.clone().with_linear_coder(Some(refitted)).unwrap()), "coefficients");
    let signed = Model::new(plain.dictionary().clone(), None, 4, Sign::Signed).unwrap();
    assert_eq!(argument(&signed.with_linear_coder(Some(TopK::new())).unwrap()), "sign");
}

#[test]
fn a_matching_pursuit_that_may_repeat_finds_what_the_book_says() {
    // Two atoms at 60°: matching pursuit comes back to the first.
    let dictionary = Dictionary::new(mat![[1.0, 0.5], [0.0, 0.75_f64.sqrt()]]).unwrap();
    let model = Model::new(dictionary, None, 2, Sign::NonNegative).unwrap();
    let pursue = |iterations, stop_on_duplicate_support| {
        let architecture = Architecture::MatchingPursuit {
            residual_threshold: 0.0,
            max_iterations: iterations,
            stop_on_duplicate_support,
        };
        let decoder = model.dictionary().as_mat().to_owned();
        let sae = Sae::new(decoder, vec![0.0; 2], true, architecture).unwrap();
        dense(&sae.encode(mat![[3.0], [1.0]].as_ref()).unwrap())
    };
    // 3; then (0, 1) on the second: √3/2; what is left, (−√3/4, 1/4), has no positive product.
    let second = 0.75_f64.sqrt();
    for (iterations, stop) in [(2, false), (9, false), (9, true)] {
        assert_close(pursue(iterations, stop).as_ref(), mat![[3.0], [second]].as_ref(), 1e-15);
    }
    assert_close(pursue(1, false).as_ref(), mat![[3.0], [0.0]].as_ref(), 1e-15);
}
