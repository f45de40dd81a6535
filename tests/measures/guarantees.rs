//! Guarantees of recovery on dictionaries whose answer is known in closed form.

use dbksvd::coder::Omp;
use dbksvd::codes::SparseCodes;
use dbksvd::faer::{Mat, mat};
use dbksvd::metrics::{Guarantees, SampleGuarantee};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Dictionary, Error, Faer, Scalar, Sign};

/// Codes of the given supports, with coefficients 1, 2, 3, …
fn codes<T: Scalar>(atoms: usize, supports: &[&[u32]]) -> SparseCodes<T> {
    let sparsity = supports.iter().map(|support| support.len()).max().unwrap();
    let mut codes = SparseCodes::new(atoms, supports.len(), sparsity);
    for (i, support) in supports.iter().enumerate() {
        let values: Vec<T> = (1..=support.len()).map(|x| T::narrow(x as f64)).collect();
        codes.set(i, support, &values);
    }
    codes
}

/// 16 spikes and the 16 Walsh functions of norm 1: |cos| = 1/4 between a spike and a function, 0
/// within either basis.
fn spikes_and_functions<T: Scalar>() -> Dictionary<T> {
    let walsh =
        |row: usize, j: usize| if (row & j).count_ones().is_multiple_of(2) { 0.25 } else { -0.25 };
    Dictionary::new(Mat::from_fn(16, 32, |row, j| {
        T::narrow(if j < 16 { f64::from(u8::from(row == j)) } else { walsh(row, j - 16) })
    }))
    .unwrap()
}

#[test]
fn orthonormal_atoms_guarantee_everything() {
    let dictionary = Dictionary::new(Mat::<f64>::identity(8, 8)).unwrap();
    let guarantees =
        Guarantees::new(&dictionary, &codes(8, &[&[0], &[1, 5, 2], &[0, 1, 2, 3, 4, 5, 6, 7]]))
            .unwrap();
    assert_eq!(guarantees.coherence().sparsity_bound(), 8);
    for sample in guarantees.samples() {
        assert!(sample.by_coherence && sample.by_babel && sample.by_support(), "{sample:?}");
        assert_eq!(sample.recovery_coefficient, 0.0);
    }
    assert_eq!(guarantees.mean_nonzeros(), 4.0);
}

/// μ = 1/4, so that k < 5/2; μ₁(k) = k/4, so that (2k − 1)/4 < 1: up to two nonzeros by either.
/// A spike is no part of other spikes, and Σ over n spikes of its 1/4 of a function is n/4.
fn bounds_of_two_bases<T: Scalar>() {
    let supports: [&[u32]; 5] = [&[3], &[3, 7], &[3, 7, 9], &[3, 7, 9, 15], &[3, 7, 9, 15, 0]];
    let guarantees = Guarantees::new(&spikes_and_functions::<T>(), &codes(32, &supports)).unwrap();
    let held: Vec<_> = guarantees
        .samples()
        .iter()
        .map(|sample| (sample.nonzeros, sample.by_coherence, sample.by_babel))
        .collect();
    let expected = (1..=5).map(|size| (size, size <= 2, size <= 2));
    assert_eq!(held, expected.collect::<Vec<_>>());
    for (size, sample) in (1..).map(f64::from).zip(guarantees.samples()) {
        let bound = 64.0 * T::EPSILON;
        assert!((sample.recovery_coefficient - size / 4.0).abs() <= bound, "{sample:?}");
    }
    assert_eq!(guarantees.share_by_coherence(), 0.4);
    assert_eq!(guarantees.share_by_babel(), 0.4);
}

#[test]
fn spikes_of_two_bases_in_double_precision() {
    bounds_of_two_bases::<f64>();
}

#[test]
fn spikes_of_two_bases_in_single_precision() {
    bounds_of_two_bases::<f32>();
}

/// One spike e and one function h with e·h = g = ±1/4: another spike has products (0, ±1/4) with
/// them, and D_S⁺ makes (∓g, ±1)/4 / (1 − g²) of these, of ℓ1 norm (1 + 1/4)/4 / (1 − 1/16) = 1/3.
#[test]
fn a_spike_and_a_function() {
    for support in [[3, 16], [7, 21], [15, 31]] {
        let dictionary = spikes_and_functions::<f64>();
        let guarantees = Guarantees::new(&dictionary, &codes(32, &[&support])).unwrap();
        let found = guarantees.samples()[0].recovery_coefficient;
        assert!((found - 1.0 / 3.0).abs() < 1e-14, "{found}");
    }
}

/// Where the coefficient exceeds 1, some sample of the support misleads the pursuit; where it is
/// below, none does. Five spikes, added with the signs of a function, are most like that function.
#[test]
fn the_condition_is_sharp_for_a_pursuit() {
    let dictionary = spikes_and_functions::<f64>();
    let spikes = [0_u32, 1, 2, 3, 4];
    let first_choice = |count: usize| {
        // Walsh function 0 is constant: all signs are +.
        let sample = Mat::from_fn(16, 1, |row, _| f64::from(u8::from(row < count)));
        let found = crate::support::encode::<Faer<f64>, _>(
            Omp::new(),
            &dictionary.as_mat().to_owned(),
            sample.as_ref(),
            count,
            Sign::Signed,
        );
        found.support(0)[0]
    };
    let coefficient = |count: usize| {
        let codes = codes(32, &[&spikes[..count]]);
        Guarantees::new(&dictionary, &codes).unwrap().samples()[0].recovery_coefficient
    };
    assert!(coefficient(3) < 1.0 && first_choice(3) < 16);
    assert!(coefficient(5) > 1.0 && first_choice(5) == 16);
}

#[test]
fn dependent_atoms_guarantee_nothing() {
    let dictionary = Dictionary::new(mat![[1.0, 0.6, 0.0, -1.0], [0.0, 0.8, 1.0, 0.0]]).unwrap();
    let supports: [&[u32]; 2] = [&[0, 3], &[0, 1, 2]];
    let guarantees = Guarantees::new(&dictionary, &codes(4, &supports)).unwrap();
    for sample in guarantees.samples() {
        assert_eq!(sample.recovery_coefficient, f64::INFINITY);
        assert!(!sample.by_coherence && !sample.by_babel && !sample.by_support());
    }
    assert_eq!(guarantees.share_by_support(), 0.0);
}

/// Two atoms that are nearly alike are not dependent, in however many dimensions they are.
#[test]
fn nearly_alike_atoms_of_many_dimensions_are_independent() {
    let dim = 4096;
    let (cosine, sine) = (0.9995_f32, (1.0 - 0.9995_f32 * 0.9995).sqrt());
    let atoms = Mat::from_fn(dim, 3, |i, j| match (i, j) {
        (0, 0) | (2, 2) => 1.0,
        (0, 1) => cosine,
        (1, 1) => sine,
        _ => 0.0,
    });
    let dictionary = Dictionary::normalized(atoms).unwrap();
    let guarantees = Guarantees::new(&dictionary, &codes::<f32>(3, &[&[0, 1]])).unwrap();
    // The third atom is orthogonal to both.
    assert!(guarantees.samples()[0].recovery_coefficient < 1e-6, "{guarantees}");
    // The second is cosine times the first and a part of its own.
    let atoms = Mat::from_fn(dim, 4, |i, j| match (i, j) {
        (0, 0) | (1, 3) | (2, 2) => 1.0,
        (0, 1) => cosine,
        (1, 1) => sine,
        _ => 0.0,
    });
    let dictionary = Dictionary::normalized(atoms).unwrap();
    let guarantees = Guarantees::new(&dictionary, &codes::<f32>(4, &[&[0, 1]])).unwrap();
    let expected = f64::from((1.0 + cosine) / sine);
    let found = guarantees.samples()[0].recovery_coefficient;
    assert!((found / expected - 1.0).abs() < 1e-4, "{found}, not {expected}");
}

#[test]
fn empty_codes_and_zero_coefficients_are_no_support() {
    let dictionary = spikes_and_functions::<f64>();
    let mut codes = SparseCodes::new(32, 2, 5);
    codes.set(1, &[0, 1, 2, 3, 4], &[0.0, 1.0, 0.0, 0.0, 0.0]);
    let guarantees = Guarantees::new(&dictionary, &codes).unwrap();
    let nonzeros: Vec<usize> = guarantees.samples().iter().map(|sample| sample.nonzeros).collect();
    assert_eq!(nonzeros, [0, 1]);
    assert_eq!(guarantees.samples()[0].recovery_coefficient, 0.0);
    assert_eq!(guarantees.share_by_coherence(), 1.0);
}

/// Coherence implies Babel implies the condition of the support, on any dictionary.
#[test]
fn each_guarantee_implies_the_next() {
    let mut held = [0; 3];
    for seed in 0..20 {
        let dim = [8, 40, 200][seed as usize % 3];
        let planted = Planted::new(dim, dim + 8, 3, 40).kind(Kind::Planted).seed(seed);
        let data = planted.generate::<f64>().unwrap();
        let guarantees = Guarantees::new(&data.dictionary, &data.codes).unwrap();
        for SampleGuarantee { by_coherence, by_babel, recovery_coefficient, .. } in
            guarantees.samples()
        {
            let conditions = [*by_coherence, *by_babel, *recovery_coefficient < 1.0];
            assert!(conditions.is_sorted(), "{conditions:?}");
            held.iter_mut().zip(conditions).for_each(|(held, now)| *held += usize::from(now));
        }
    }
    assert!(held[2] > 0 && held[2] < 800, "the conditions are tried by both outcomes: {held:?}");
}

/// The printed table, in whole.
#[test]
fn the_report_is_a_table() {
    let supports: [&[u32]; 2] = [&[3, 7], &[3, 7, 9, 15]];
    let dictionary = spikes_and_functions::<f64>();
    let guarantees = Guarantees::new(&dictionary, &codes(32, &supports)).unwrap();
    let expected = "\
32 atoms of coherence 0.2500; 2 samples of 3.0 nonzeros on average
guaranteed by    holds for               samples
coherence        up to 2 nonzeros          50.0%
Babel            up to 2 nonzeros          50.0%
exact recovery   own support               50.0%
mean recovery coefficient 0.750 (below 1 is guaranteed)";
    assert_eq!(guarantees.to_string(), expected);
}

#[test]
fn codes_over_other_atoms() {
    let error = Guarantees::new(&spikes_and_functions::<f64>(), &codes(31, &[&[3]])).unwrap_err();
    let expected = (31, 32);
    assert!(
        matches!(error, Error::Dimension { argument: "codes", found, expected: e } if (found, e) == expected),
        "{error:?}"
    );
}

#[test]
fn no_codes() {
    let empty = SparseCodes::<f64>::new(32, 0, 2);
    let error = Guarantees::new(&spikes_and_functions(), &empty).unwrap_err();
    assert!(matches!(error, Error::NoSamples { argument: "codes" }), "{error:?}");
}
