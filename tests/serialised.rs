//! Models, codes, reports and coders by serde, in a text and back, and forged texts.

use dbksvd::coder::{
    AnyCoder, BatchOmp, Coefficients, Exact, Lasso, LinearEncoder, MatchingPursuit, Matryoshka,
    Omp, Selection, Swaps, ThresholdPursuit, Tolerance, TopK,
};
use dbksvd::learn::{Report, StepReport};
use dbksvd::synthetic::Planted;
use dbksvd::{
    DbKsvd, Dictionary, Faer, Groups, Model, Outliers, Preprocessing, Scalar, Sign, SparseCodes,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, from_str, from_value, json, to_string, to_value};

#[track_caller]
fn back<V: Serialize + DeserializeOwned>(value: &V) -> V {
    let text = to_string(value).expect("a text");
    let through_values: Result<V, _> = from_value(to_value(value).expect("a value"));
    assert!(through_values.is_ok(), "{text}");
    from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A learned model with all its parts.
fn model<T: Scalar>() -> (Model<T>, Report, SparseCodes<T>)
where
    Faer<T>: dbksvd::backend::Backend<Scalar = T>,
{
    let data = Planted::new(12, 20, 3, 300).noise(0.1).generate::<T>().expect("a legal problem");
    let learner = DbKsvd::builder_on(Faer::<T>::default(), 20, 3).epochs(3).center(true);
    let learner = learner.scale(true).outliers(Outliers::Clip(4.0)).build().expect("legal");
    let (model, report) = learner.fit(&data.samples).expect("finite samples");
    let weights = model.dictionary().as_mat().to_owned();
    let bias = Some(vec![T::narrow(-0.1); 20]);
    let linear = LinearEncoder::new(weights, bias).expect("finite weights");
    let model = model.with_linear_coder(Some(TopK::by_encoder(linear).threshold(0.2)));
    let model = model.expect("an encoder of the model's shape");
    let coder = BatchOmp::new().tolerance(Tolerance::Relative(0.3));
    let codes = model.encode(&coder, data.samples.as_ref()).expect("finite samples");
    (model, report, codes)
}

#[test]
fn models_codes_and_reports_come_back_bit_by_bit() {
    fn check<T: Scalar + Serialize + DeserializeOwned>() {
        let (model, report, codes) = model::<T>();
        assert_eq!(back(&model), model);
        assert_eq!(back(model.dictionary()), *model.dictionary());
        assert_eq!(back(model.preprocessing()), *model.preprocessing());
        assert_eq!(back(&codes), codes);
        assert!(codes.nnz() > 0 && codes.nnz() < 3 * codes.samples());
        assert_eq!(back(&report), report);
        let none = SparseCodes::<T>::new(20, 0, 3);
        assert_eq!(back(&none), none);
    }
    check::<f32>();
    check::<f64>();
}

/// JSON has no numbers for what a report may hold.
#[test]
fn reports_keep_numbers_that_are_not_finite() {
    let (_, mut report, _) = model::<f32>();
    report.noise = f64::NAN;
    report.epochs[0].fvu = f64::INFINITY;
    report.epochs[1].fvu_within = 2.0;
    report.observer_panic = Some("\"quoted\"".to_owned());
    let mut found = back(&report);
    assert!(found.noise.is_nan());
    (found.noise, report.noise) = (0.0, 0.0);
    assert_eq!(found, report);
    let text = to_string(&report).unwrap();
    assert!(text.contains(r#""fvu":"inf""#), "{text}");
    assert!(from_str::<Report>(&text.replace("\"inf\"", "\"much\"")).is_err());
    // Other programs write whole numbers without a point, and infinity with its sign.
    let mut forged = to_value(&report).unwrap();
    for (told, number) in
        [(json!(2), 2.0), (json!(-3), -3.0), (json!(0.5), 0.5), (json!("-inf"), f64::NEG_INFINITY)]
    {
        forged["noise"] = told;
        assert_eq!(from_value::<Report>(forged.clone()).unwrap().noise, number);
    }
    forged["noise"] = json!([1.0]);
    let error = from_value::<Report>(forged).unwrap_err().to_string();
    assert!(error.contains("expected a number, \"NaN\""), "{error}");
    let learner = DbKsvd::builder(4, 1).build().expect("a legal configuration");
    let mut session = learner.session(3, 1).expect("a legal dimension");
    let samples = dbksvd::faer::Mat::from_fn(3, 8, |i, j| ((i * 5 + j * 3) % 7) as f32 - 3.0);
    let step: StepReport = session.step(samples.as_ref()).expect("finite samples");
    assert_eq!(back(&step), step);
}

#[test]
fn coders_come_back() {
    let ols = BatchOmp::new().selection(Selection::LeastSquares).min_correlation(0.01);
    let weights = dbksvd::faer::Mat::from_fn(3, 5, |i, j| (i * 5 + j) as f32);
    let linear = LinearEncoder::new(weights, None).expect("finite weights");
    let coders: Vec<AnyCoder> = vec![
        ols.into(),
        Omp::new().tolerance(Tolerance::Absolute(0.5)).into(),
        MatchingPursuit::new().coefficients(Coefficients::Refitted).into(),
        ThresholdPursuit::new(0.2).prefixes([2, 4]).learning(Some(Default::default())).into(),
        Swaps::after(Swaps::after(ols)).max_swaps(3).into(),
        TopK::by_encoder(linear).threshold(0.5).into(),
        Exact.into(),
        Lasso::new(0.2).coefficients(Coefficients::Refitted).into(),
        Matryoshka::new(Groups::new([2, 3]).budgets([1, 1])).coder(ols).into(),
    ];
    for coder in &coders {
        assert_eq!(back(coder), *coder);
    }
}

/// The value at a path of keys and indices.
fn at<'a>(value: &'a mut Value, path: &str) -> &'a mut Value {
    value.pointer_mut(path).unwrap_or_else(|| panic!("nothing at {path}"))
}

/// One thing is changed in a text that was good; reading it must fail, in words that contain
/// `part`.
#[track_caller]
fn refused<V: Serialize + DeserializeOwned>(good: &V, path: &str, bad: Value, part: &str) {
    let mut value = to_value(good).expect("a value");
    *at(&mut value, path) = bad;
    match from_value::<V>(value) {
        Ok(_) => panic!("{path} is accepted"),
        Err(error) => assert!(error.to_string().contains(part), "{path}: {error}"),
    }
}

#[test]
fn forged_codes_are_refused() {
    let (_, _, codes) = model::<f32>();
    let first = codes.support(0)[0];
    refused(&codes, "/atoms", json!(first), "indices");
    refused(&codes, "/atoms", json!(u64::from(u32::MAX) + 1), "atoms");
    refused(&codes, "/sparsity", json!(1), "nonzeros of a sample");
    refused(&codes, "/sparsity", json!(21), "sparsity");
    refused(&codes, "/sparsity", json!(-1), "invalid value");
    refused(&codes, "/lengths/0", json!(u32::MAX), "offsets");
    refused(&codes, "/lengths/0", json!(0), "offsets");
    refused(&codes, "/support/0", json!(20), "indices");
    refused(&codes, "/support/1", json!(first), "each atom once");
    refused(&codes, "/values/0", json!(1e60), "finite");
    refused(&codes, "/values", json!([]), "values");
    let mut value = to_value(&codes).unwrap();
    (*at(&mut value, "/atoms"), *at(&mut value, "/sparsity")) = (json!(u32::MAX), json!(u32::MAX));
    value["lengths"] = json!(vec![0; 3_000_000]);
    (value["support"], value["values"]) = (json!([]), json!([]));
    let error = from_value::<SparseCodes<f32>>(value).expect_err("petabytes");
    assert!(error.to_string().contains("memory"), "{error}");
    let mut value = to_value(&codes).unwrap();
    value["more"] = json!(1);
    assert!(from_value::<SparseCodes<f32>>(value).is_err());
}

#[test]
fn forged_models_are_refused() {
    let (model, _, _) = model::<f32>();
    refused(&model, "/sparsity", json!(0), "sparsity");
    refused(&model, "/sparsity", json!(13), "sparsity");
    refused(&model, "/sign", json!("Positive"), "unknown variant");
    refused(&model, "/dictionary/values/3", json!(7.0), "norm");
    refused(&model, "/dictionary/values/3", json!(1e60), "finite");
    refused(&model, "/dictionary/rows", json!(13), "numbers");
    refused(&model, "/dictionary/rows", json!(0), "numbers");
    refused(&model, "/dictionary/columns", json!(u64::MAX), "numbers");
    refused(&model, "/preprocessing/mean", json!([1.0, 2.0]), "dimension");
    refused(&model, "/preprocessing/mean/0", json!(-1e60), "mean");
    refused(&model, "/preprocessing/scale", json!(0.0), "scale");
    refused(&model, "/preprocessing/norm_limit", json!(-1.0), "norm_limit");
    refused(&model, "/linear_coder/threshold", json!(-1.0), "threshold");
    refused(&model, "/linear_coder/encoder/bias", json!([0.0]), "bias");
    refused(&model, "/linear_coder/encoder/weights/values/0", json!(1e60), "weights");
    let other = Dictionary::new(dbksvd::faer::Mat::<f32>::identity(4, 4)).expect("unit atoms");
    refused(&model, "/dictionary", to_value(&other).unwrap(), "dimension");
    let preprocessing = Preprocessing::<f32>::none();
    refused(&preprocessing, "/scale", json!(1e-60), "scale");
    let signed = Model::new(other, None, 2, Sign::Signed).expect("a legal shape");
    assert_eq!(back(&signed), signed);
}
