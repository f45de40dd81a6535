//! Generated problems are what their documentation says.

use approx::assert_abs_diff_eq;
use dbksvd::faer::Mat;
use dbksvd::metrics::{Coherence, reconstruction};
use dbksvd::synthetic::{Kind, Planted, PlantedData};
use dbksvd::{Error, Model, Scalar, Sign};

fn problem() -> Planted {
    Planted::new(64, 256, 5, 1000).seed(3)
}

fn relative_error<T: Scalar>(data: &PlantedData<T>) -> f64 {
    let model = Model::new(data.dictionary.clone(), None, 5, Sign::Signed).unwrap();
    reconstruction(&model, data.samples.as_ref(), &data.codes).unwrap().relative_error()
}

fn median_nearest(data: &PlantedData<f32>) -> f64 {
    let mut nearest = Coherence::new(&data.dictionary).nearest().to_vec();
    nearest.sort_by(f64::total_cmp);
    nearest[nearest.len() / 2]
}

#[test]
fn atoms_are_of_unit_norm() {
    for kind in [Kind::Planted, Kind::Correlated, Kind::Anisotropic] {
        let data = problem().kind(kind).generate::<f64>().unwrap();
        assert_eq!((data.dictionary.dim(), data.dictionary.atoms()), (64, 256));
        for j in 0..256 {
            let squares: f64 = data.dictionary.atom(j).iter().map(|x| x * x).sum();
            assert_abs_diff_eq!(squares, 1.0, epsilon = 64.0 * f64::EPSILON);
        }
    }
}

#[test]
fn every_sample_has_k_distinct_atoms_of_some_size_and_either_sign() {
    let data = problem().generate::<f32>().unwrap();
    for (support, values) in data.codes.iter() {
        let mut distinct = support.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), 5);
        assert!(distinct[4] < 256);
        assert!(values.iter().all(|value| value.abs() >= 0.5));
    }
    let negative: usize =
        data.codes.iter().map(|(_, values)| values.iter().filter(|v| **v < 0.0).count()).sum();
    // 5000 fair coins: five standard deviations are 177.
    assert!((2323..2677).contains(&negative), "{negative} of 5000 coefficients are negative");
}

#[test]
fn non_negative_codes_are() {
    let data = problem().sign(Sign::NonNegative).generate::<f32>().unwrap();
    assert!(data.codes.iter().all(|(_, values)| values.iter().all(|&value| value >= 0.5)));
}

#[test]
fn without_noise_the_codes_give_the_samples() {
    for kind in [Kind::Planted, Kind::Correlated] {
        let error = relative_error(&problem().kind(kind).generate::<f32>().unwrap());
        // That of rounding the samples.
        assert!(error < f64::from(f32::EPSILON).powi(2), "{error:e}");
    }
}

#[test]
fn noise_has_the_stated_norm() {
    let (clean, noisy) = (problem(), problem().noise(0.05));
    let (clean, noisy) = (clean.generate::<f64>().unwrap(), noisy.generate::<f64>().unwrap());
    assert_eq!(clean.codes, noisy.codes);
    let noise = (&noisy.samples - &clean.samples).squared_norm_l2();
    let share = noise / clean.samples.squared_norm_l2();
    // χ² with 64,000 degrees of freedom: five relative standard deviations.
    assert_abs_diff_eq!(share.sqrt() / 0.05, 1.0, epsilon = 2.5 * (2.0 / 64_000.0_f64).sqrt());
}

#[test]
fn correlated_atoms_are_coherent_and_planted_ones_are_not() {
    let correlated = median_nearest(&problem().kind(Kind::Correlated).generate().unwrap());
    assert!((0.6..0.8).contains(&correlated), "median largest |cos| is {correlated}");
    let planted = median_nearest(&problem().generate().unwrap());
    assert!(planted < 0.5, "median largest |cos| is {planted}");
}

#[test]
fn anisotropic_samples_have_a_strong_mean_and_a_power_law() {
    let data = problem().kind(Kind::Anisotropic).generate::<f64>().unwrap();
    assert_eq!(data.codes.nnz(), 0);
    let mean = Mat::from_fn(64, 1, |r, _| data.samples.row(r).iter().sum::<f64>() / 1000.0);
    assert_abs_diff_eq!(mean.norm_l2(), 1.0, epsilon = 0.1);
    let variance = |r: usize| {
        data.samples.row(r).iter().map(|y| (y - mean[(r, 0)]).powi(2)).sum::<f64>() / 1000.0
    };
    // Each variance is known to √(2/1000) of itself.
    assert_abs_diff_eq!(variance(0) / variance(15) / 16.0, 1.0, epsilon = 0.3);
    assert_abs_diff_eq!((0..64).map(variance).sum::<f64>(), 1.0, epsilon = 0.15);
}

#[test]
fn a_seed_gives_the_same_bits_on_any_number_of_threads_and_another_seed_others() {
    for kind in [Kind::Planted, Kind::Correlated, Kind::Anisotropic] {
        let problem = problem().kind(kind).noise(0.1);
        let on = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| problem.generate::<f32>().unwrap())
        };
        let once = on(1);
        assert_eq!(once, on(3));
        assert_ne!(once.samples, problem.seed(4).generate::<f32>().unwrap().samples);
    }
}

/// The argument that generating is refused for.
fn refused(problem: Planted) -> &'static str {
    match problem.generate::<f32>() {
        Err(Error::Argument { argument, .. }) => argument,
        other => panic!("expected an argument error, got {other:?}"),
    }
}

#[test]
fn every_parameter_is_checked() {
    assert_eq!(refused(Planted::new(0, 4, 1, 1)), "dim");
    assert_eq!(refused(Planted::new(2, 0, 1, 1)), "atoms");
    assert_eq!(refused(Planted::new(2, 4, 0, 1)), "sparsity");
    assert_eq!(refused(Planted::new(2, 4, 3, 1)), "sparsity");
    assert_eq!(refused(Planted::new(2, 4, 1, 0)), "samples");
    assert_eq!(refused(problem().noise(-0.1)), "noise");
    assert_eq!(refused(problem().noise(f64::NAN)), "noise");
    assert_eq!(refused(problem().noise(f64::INFINITY)), "noise");
}

#[test]
fn samples_that_no_memory_holds_are_an_error() {
    let result = Planted::new(1 << 20, 4, 1, 1 << 60).generate::<f32>();
    assert!(matches!(result, Err(Error::Backend(_))));
}
