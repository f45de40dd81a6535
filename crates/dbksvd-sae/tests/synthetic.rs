//! Samples of known features have the law of those of the reference implementation, whose
//! statistics `fixtures/synthsae2k` holds, and are what their documentation says.

use std::collections::HashMap;

use dbksvd::Error;
use dbksvd::metrics::Coherence;
use dbksvd::source::SampleSource;
use dbksvd_sae::synthetic::{FeatureData, FeatureModel, Recipe};

/// The depths of the 2k features' hierarchy: roots, their children, theirs, theirs; the rest.
const DEPTHS: [std::ops::Range<u32>; 5] = [0..16, 16..80, 80..336, 336..1360, 1360..2048];

const SAMPLES: usize = 20_000;

/// The statistics that the fixture has, by the same names; lists have an entry for each position.
fn statistics(model: &FeatureModel<f32>, data: &FeatureData<f32>) -> HashMap<String, Vec<f64>> {
    let n = data.samples.ncols();
    let rows: Vec<(&[u32], &[f32])> = data
        .codes
        .offsets
        .windows(2)
        .map(|w| (&data.codes.indices[w[0]..w[1]], &data.codes.values[w[0]..w[1]]))
        .collect();
    let per_sample = |total: f64| total / n as f64;
    let mean_of = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let deviation_of = |values: &[f64]| {
        let mean = mean_of(values);
        mean_of(&values.iter().map(|v| (v - mean).powi(2)).collect::<Vec<_>>()).sqrt()
    };
    let mut found = HashMap::new();
    let mut put = |name: &str, values: Vec<f64>| drop(found.insert(name.to_owned(), values));

    let mut counts: Vec<f64> = rows.iter().map(|(support, _)| support.len() as f64).collect();
    put("l0", vec![mean_of(&counts)]);
    put("l0_deviation", vec![deviation_of(&counts)]);
    counts.sort_by(f64::total_cmp);
    let quantiles = [0.01, 0.25, 0.5, 0.75, 0.99];
    put("l0_quantiles", quantiles.map(|q| counts[(q * n as f64) as usize]).to_vec());

    let at_depth = DEPTHS.map(|depth| {
        let fired = data.codes.indices.iter().zip(&data.codes.values);
        fired.filter(|(i, _)| depth.contains(i)).map(|(_, &v)| f64::from(v)).collect::<Vec<_>>()
    });
    put("active_at_depth", at_depth.iter().map(|v| per_sample(v.len() as f64)).collect());
    put("mean_value_at_depth", at_depth.iter().map(|v| mean_of(v)).collect());
    put("value_deviation_at_depth", at_depth.iter().map(|v| deviation_of(v)).collect());

    let mut density = vec![0.0; 80];
    for &feature in data.codes.indices.iter().filter(|&&feature| feature < 80) {
        density[feature as usize] += 1.0;
    }
    let children = (0..16).map(|root| density[16 + 4 * root..][..4].iter().sum::<f64>());
    put("children_per_firing_root", children.zip(&density).map(|(c, d)| c / d).collect());
    put("first_densities", density[..8].iter().map(|&d| per_sample(d)).collect());

    let norms = |power: f64| {
        let squares = data.samples.col_iter().map(|x| f64::from(x.squared_norm_l2()));
        mean_of(&squares.map(|square| square.powf(power)).collect::<Vec<_>>())
    };
    let roots: Vec<Vec<f64>> = (0..16)
        .map(|root| rows.iter().map(|(s, _)| f64::from(s.contains(&root))).collect())
        .collect();
    let mut squares = Vec::new();
    for a in 0..16 {
        for b in 0..a {
            let (mean_a, mean_b) = (mean_of(&roots[a]), mean_of(&roots[b]));
            let products = roots[a].iter().zip(&roots[b]).map(|(x, y)| x * y).sum::<f64>();
            let covariance = per_sample(products) - mean_a * mean_b;
            let correlation = covariance / deviation_of(&roots[a]) / deviation_of(&roots[b]);
            squares.push(correlation * correlation);
        }
    }
    put("root_correlation_rms", vec![mean_of(&squares).sqrt()]);

    put("squared_norm", vec![norms(1.0)]);
    put("norm", vec![norms(0.5)]);
    let means =
        data.samples.row_iter().map(|row| per_sample(row.iter().copied().map(f64::from).sum()));
    put("squared_norm_of_mean", vec![means.map(|mean| mean * mean).sum()]);
    put("bias_norm", vec![model.bias().iter().map(|b| f64::from(b * b)).sum::<f64>().sqrt()]);
    let nearest = Coherence::new(model.features()).nearest().to_vec();
    put("nearest_cosine", vec![mean_of(&nearest)]);
    found
}

/// How far a statistic may be from the reference's: what two data sets of one law differ by, of
/// which each draws σ_i, loadings and features anew. Where few features decide (the 16 roots pass
/// their σ on to all below; means add up along frequent features), that is much.
const TOLERANCES: [(&str, f64); 14] = [
    ("l0", 0.25),
    ("l0_deviation", 0.25),
    ("l0_quantiles", 1.0),
    ("active_at_depth", 0.08),
    ("mean_value_at_depth", 0.03),
    ("value_deviation_at_depth", 0.3),
    ("children_per_firing_root", 0.03),
    ("first_densities", 0.02),
    ("root_correlation_rms", 0.02),
    ("squared_norm", 12.0),
    ("norm", 0.3),
    ("squared_norm_of_mean", 4.5),
    ("bias_norm", 1e-3),
    ("nearest_cosine", 2e-3),
];

#[test]
fn samples_have_the_statistics_of_the_reference() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/synthsae2k/statistics.json");
    let text = std::fs::read_to_string(file).expect("the fixture");
    let reference: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for seed in [0, 1] {
        let model = Recipe::two_k().seed(seed).build::<f32>().unwrap();
        let found = statistics(&model, &model.draw(SAMPLES, 2).unwrap());
        for (name, tolerance) in TOLERANCES {
            let expected: Vec<f64> =
                serde_json::from_value(reference[name].clone()).expect("numbers");
            assert_eq!(found[name].len(), expected.len(), "{name}");
            for (found, expected) in found[name].iter().zip(&expected) {
                let near = (found - expected).abs() <= tolerance;
                assert!(near, "{name} is {found}, expected {expected} to {tolerance}");
            }
        }
    }
}

/// A model of every kind of feature, quickly made.
fn small() -> Recipe {
    Recipe::new(150, 24).hierarchy(4, 3, 2).frequencies(0.5, 0.02, 0.5).orthogonal_steps(3).seed(5)
}

#[test]
fn codes_with_the_bias_give_the_samples() {
    let model = small().build::<f64>().unwrap();
    let data = model.draw(100, 3).unwrap();
    for (i, x) in data.samples.col_iter().enumerate() {
        let row = data.codes.offsets[i]..data.codes.offsets[i + 1];
        let (support, values) = (&data.codes.indices[row.clone()], &data.codes.values[row]);
        assert!(support.is_sorted_by(|a, b| a < b), "{support:?}");
        for (r, &found) in x.iter().enumerate() {
            let terms = support.iter().zip(values);
            let sum: f64 = terms.map(|(&j, a)| a * model.features().atom(j as usize)[r]).sum();
            assert!((found - sum - model.bias()[r]).abs() < 1e-13, "sample {i}, coordinate {r}");
        }
    }
}

#[test]
fn children_fire_beside_their_parent_and_alone_among_siblings() {
    let model = small().build::<f32>().unwrap();
    assert_eq!(model.levels(), [0..4, 4..16, 16..52]);
    let data = model.draw(5_000, 3).unwrap();
    let mut children = 0;
    for row in data.codes.offsets.windows(2) {
        let support = &data.codes.indices[row[0]..row[1]];
        let parents: Vec<usize> =
            support.iter().filter_map(|&i| model.parent(i as usize)).collect();
        let mut distinct = parents.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), parents.len(), "siblings among {support:?}");
        assert!(parents.iter().all(|&p| support.contains(&(p as u32))), "orphans: {support:?}");
        children += parents.len();
    }
    assert!(children > 5_000, "{children} children in 5,000 samples");
}

/// Siblings with no correlation at hand: frequencies can be computed.
#[test]
fn features_fire_as_often_as_the_law_says() {
    let n = 200_000;
    let recipe = small().correlation(0, 0.0).deviation(0.0, 0.0);
    let model = recipe.build::<f32>().unwrap();
    let data = model.draw(n, 8).unwrap();
    let mut counts = vec![0.0; 150];
    data.codes.indices.iter().for_each(|&i| counts[i as usize] += 1.0);
    let near = |found: f64, probability: f64| {
        let deviation = (n as f64 * probability * (1.0 - probability)).sqrt();
        let off = (found - n as f64 * probability) / deviation;
        assert!(off.abs() < 5.0, "{found} of {n}, {off} standard deviations from {probability}");
    };
    let p = model.probabilities();
    // Roots, and features of no tree, common and rare.
    (0..4).chain(52..150).for_each(|i| near(counts[i], p[i]));
    // Some child fires unless all three are silent; s_c = p_c / p_P (1 + others / p_P).
    for root in 0..4 {
        let children = 4 + 3 * root..7 + 3 * root;
        let total: f64 = p[children.clone()].iter().sum();
        let silent = |c: usize| 1.0 - (p[c] / p[root] * (1.0 + (total - p[c]) / p[root])).min(1.0);
        let some = 1.0 - children.clone().map(silent).product::<f64>();
        near(counts[children].iter().sum(), p[root] * some);
    }
    // Without deviations a feature of no tree has its mean.
    let last = data.codes.indices.iter().position(|&i| i == 149).expect("a feature that fires");
    assert_eq!(data.codes.values[last], 4.0);
}

#[test]
fn a_sample_is_the_same_however_it_is_had() {
    let model = small().build::<f32>().unwrap();
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| (small().build::<f32>().unwrap().features().clone(), model.draw(300, 3)))
    };
    let ((features, data), (again, other)) = (on(1), on(3));
    let data = data.unwrap();
    assert_eq!((features, &data), (again, &other.unwrap()));
    assert_eq!(model.draw(77, 3).unwrap().samples, data.samples.subcols(0, 77));
    assert_ne!(model.draw(300, 4).unwrap().samples, data.samples);

    let source = model.source(300, 3);
    assert_eq!((source.dim(), source.len(), source.run_length()), (24, 300, 64));
    for range in [0..300, 0..1, 63..65, 64..192, 130..131, 5..299, 300..300] {
        let mut read = vec![0.0; range.len() * 24];
        source.read(range.clone(), &mut read).unwrap();
        for (x, i) in read.chunks(24).zip(range) {
            assert_eq!(x, data.samples.col(i).try_as_col_major().unwrap().as_slice(), "sample {i}");
        }
    }
    assert!(source.read(299..301, &mut [0.0; 48]).is_err());
}

/// The argument that building is refused for.
fn refused(recipe: Recipe) -> &'static str {
    match recipe.build::<f32>() {
        Err(Error::Argument { argument, .. }) => argument,
        other => panic!("expected an argument error, got {other:?}"),
    }
}

#[test]
fn every_parameter_is_checked() {
    assert_eq!(refused(Recipe::new(0, 4)), "features");
    assert_eq!(refused(Recipe::new(4, 0)), "dim");
    assert_eq!(refused(small().frequencies(0.5, 0.0, 0.5)), "frequencies");
    assert_eq!(refused(small().frequencies(0.1, 0.2, 0.5)), "frequencies");
    assert_eq!(refused(small().frequencies(1.0, 0.2, 0.5)), "frequencies");
    assert_eq!(refused(small().frequencies(f64::NAN, 0.2, 0.5)), "frequencies");
    assert_eq!(refused(small().frequencies(0.5, 0.2, 0.0)), "exponent");
    assert_eq!(refused(small().hierarchy(4, 0, 1)), "branching");
    assert_eq!(refused(small().hierarchy(4, 3, 3)), "hierarchy");
    assert_eq!(refused(small().hierarchy(1, usize::MAX, 9)), "hierarchy");
    assert_eq!(refused(small().magnitudes(0.0, 4.0)), "magnitudes");
    assert_eq!(refused(small().magnitudes(5.0, f64::INFINITY)), "magnitudes");
    assert_eq!(refused(small().deviation(-1.0, 0.5)), "deviation");
    assert_eq!(refused(small().correlation(2, f64::NAN)), "correlation");
    assert_eq!(refused(small().bias(-0.5)), "bias");
    assert!(matches!(
        small().build::<f32>().unwrap().draw(0, 1),
        Err(Error::Argument { argument: "count", .. })
    ));
}
