//! Rows of extreme norm, and rows of zeros: what the program does with them, and what it says.

use std::path::Path;

use dbksvd::Model;
use serde_json::Value;

use super::program::{Bench, DIM, events, one_line, planted, result};
use crate::programs::with;

const ROWS: usize = 1200;
const SINKS: usize = 8;
const SMALL: [&str; 8] = ["--atoms", "24", "--sparsity", "3", "--epochs", "4", "--seed", "7"];

/// `sinks.npy`: planted rows with a mean, of which eight are of norm 400. `padded.npy`: the same
/// with 1,000 rows of zeros. `usual.npy`: those that are neither. `zeros.npy`: nothing but zeros.
fn bench() -> Bench {
    let bench = Bench::new();
    let mut values = planted::<f32>(ROWS, DIM);
    values.iter_mut().enumerate().for_each(|(i, x)| *x += 0.25 * ((i % DIM) % 4) as f32);
    let mut usual = Vec::new();
    let mut padded = Vec::new();
    for (i, row) in values.chunks_exact_mut(DIM).enumerate() {
        if i % (ROWS / SINKS) == 3 {
            row[5] += 400.0;
        } else {
            usual.extend_from_slice(row);
        }
        padded.extend_from_slice(row);
        if i < 1000 {
            padded.extend([0.0; DIM]);
        }
    }
    bench.write_values("sinks.npy", &values, DIM);
    bench.write_values("padded.npy", &padded, DIM);
    bench.write_values("usual.npy", &usual, DIM);
    bench.write_values("zeros.npy", &[0.0; 50 * DIM], DIM);
    bench
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is a number"))
}

fn text(bench: &Bench, arguments: &[&str]) -> String {
    let run = bench.call(arguments);
    assert!(run.status.success() && run.stderr.is_empty(), "{run:?}");
    String::from_utf8(run.stdout).unwrap()
}

fn model(path: &Path) -> Model<f32> {
    Model::load(path.join("dictionary.safetensors")).unwrap()
}

#[test]
fn padding_is_left_out_and_said() {
    let bench = bench();
    for (options, clipped, dropped) in [
        (&["--clip-norm", "3"][..], SINKS, 0),
        (&["--mean", "--clip-norm", "3"], SINKS, 0),
        (&["--mean", "--scale", "--drop-norm", "3"], 0, SINKS),
    ] {
        let mut limits = Vec::new();
        for (data, zeros) in [("sinks.npy", 0), ("padded.npy", 1000)] {
            let files = ["--data", data, "--eval", "usual.npy", "--json"];
            let result = result(&bench.call(&[&SMALL[..], &files, options].concat()));
            let counts = ["clipped", "dropped", "zeros", "within", "samples"];
            let counts = counts.map(|key| result[key].as_u64().unwrap() as usize);
            assert_eq!(counts, [clipped, dropped, zeros, ROWS - SINKS, ROWS + zeros]);
            assert!(number(&result["eval_fvu_within"]) < 0.2, "{result}");
            assert!(result["massive"].is_null());
            limits.push(number(&result["norm_limit"]));
        }
        assert_eq!(limits[0], limits[1]);
    }
    let files = ["--data", "padded.npy", "--eval", "usual.npy", "--mean", "--clip-norm", "3"];
    let table = text(&bench, &[&SMALL[..], &files].concat());
    assert!(table.contains("rows of extreme norm: 8 clipped, 0 dropped an epoch"), "{table}");
    assert!(table.contains("rows of zeros: 1,000 left out an epoch, as padding"), "{table}");
    assert!(table.contains("within the norm limit          1,192"), "{table}");
    for line in ["FVU within it", "FVU of all rows"] {
        assert!(table.contains(line), "{line} in {table}");
    }
    assert!(!table.contains("warning"), "{table}");
}

/// The epochs' figure and the result's are of the same rows, and so alike; those of all rows are
/// not.
#[test]
fn one_output_has_one_primary_figure() {
    let bench = bench();
    let files =
        ["--data", "sinks.npy", "--held-out", "0.2", "--mean", "--clip-norm", "3", "--json"];
    let events = events(&bench.call(&[&SMALL[..], &files].concat()));
    let (result, rest) = events.split_last().unwrap();
    let of = |event: &str| rest.iter().rfind(|line| line["event"] == event).unwrap();
    let [epoch, evaluation] = [of("epoch"), of("evaluation")];
    let figures = [
        &epoch["fvu_within"],
        &evaluation["eval_fvu_within"],
        &result["fvu_within"],
        &result["eval_fvu_within"],
    ];
    let figures = figures.map(number);
    let [least, most] = [f64::min, f64::max].map(|of| figures.into_iter().reduce(of).unwrap());
    assert!(most < 1.6 * least, "{figures:?}");
    let ratio = number(&result["fvu"]) / number(&result["fvu_within"]);
    assert!((ratio - 1.0).abs() > 0.5, "massive rows make another figure: {result}");
}

#[test]
fn massive_rows_are_warned_of() {
    let bench = bench();
    let table = text(&bench, &[&SMALL[..], &["--data", "sinks.npy", "--mean"]].concat());
    let warnings: Vec<&str> =
        table.lines().filter(|line| line.contains("of the variance")).collect();
    let [warning] = warnings[..] else { panic!("{table}") };
    assert!(warning.contains("0.67% of the rows (8) hold 9"), "{warning}");
    assert!(warning.contains("--clip-norm 3 or --drop-norm 3"), "{warning}");
    let json = events(&bench.call(&[&SMALL[..], &["--data", "sinks.npy", "--json"]].concat()));
    for line in &json {
        assert_eq!(line["massive"]["rows"], SINKS, "{line}");
    }
    let usual = text(&bench, &[&SMALL[..], &["--data", "usual.npy", "--mean"]].concat());
    assert!(!usual.contains("warning") && !usual.contains("limit"), "{usual}");
}

#[test]
fn a_limit_that_most_rows_pass_is_refused() {
    let bench = bench();
    let call = |options: &[&str]| bench.call(&[&SMALL[..], options].concat());
    let part = "--clip-norm: the norm limit of ";
    one_line(&call(&["--data", "padded.npy", "--clip-norm", "0.2"]), 2, part);
    let part = "--drop-norm: the norm limit of ";
    one_line(&call(&["--data", "sinks.npy", "--drop-norm", "0.01", "--mean"]), 2, part);
    for options in [&[][..], &["--mean"], &["--clip-norm", "3"], &["--mean", "--drop-norm", "3"]] {
        let run = call(&[&["--data", "zeros.npy", "--out", "nothing"], options].concat());
        one_line(&run, 1, "zeros.npy: nothing to learn from: of 50 samples, 50 are zero");
        let left = std::fs::read_dir(bench.path("nothing")).unwrap().count();
        assert_eq!(left, 0, "no dictionary is called learned");
    }
}

/// Each option takes its own part from the rows, and leaves the others as the model has them.
#[test]
fn options_override_their_own_part_of_a_model() {
    let bench = bench();
    let options = ["--data", "usual.npy", "--mean", "--scale", "--out", "model", "--quiet"];
    let run = bench.call(&[&SMALL[..], &options].concat());
    assert!(run.status.success(), "{run:?}");
    let given = model(&bench.path("model"));
    let (mean, scale) = (given.mean().unwrap().to_vec(), given.preprocessing().scale());

    let go_on = |options: &[&str]| {
        let path = bench.path("model").join("dictionary.safetensors");
        let path = path.to_str().unwrap().to_owned();
        let base = ["--data", "sinks.npy", "--epochs", "1", "--out", "on", "--dictionary", &path];
        let call = with(&base, options);
        let table = text(&bench, &call);
        let result = result(&bench.call(&with(&call, &["--json"])));
        (table, result["preprocessing"].clone(), model(&bench.path("on")))
    };
    let (table, from, on) = go_on(&["--clip-norm", "3"]);
    assert_eq!((on.mean(), on.preprocessing().scale()), (Some(&mean[..]), scale));
    assert!(on.preprocessing().norm_limit().is_some());
    assert!(
        table.contains("of the given model: mean, scale; of these rows: norm limit"),
        "{table}"
    );
    let expected = serde_json::json!({ "mean": "model", "scale": "model", "norm_limit": "data" });
    assert_eq!(from, expected);

    let (table, _, on) = go_on(&["--scale"]);
    assert_eq!(on.mean(), Some(&mean[..]));
    assert_ne!(on.preprocessing().scale(), scale);
    assert!(table.contains("of the given model: mean; of these rows: scale"), "{table}");

    let (table, _, on) = go_on(&["--mean"]);
    assert_ne!(on.mean(), Some(&mean[..]));
    assert_eq!(on.preprocessing().scale(), scale);
    assert!(table.contains("of the given model: scale; of these rows: mean"), "{table}");

    let (table, _, on) = go_on(&[]);
    assert_eq!(on.preprocessing(), given.preprocessing());
    assert!(table.contains("of the given model: mean, scale\n"), "{table}");

    // With nothing to learn, an option does the same.
    let (_, _, on) = go_on(&["--clip-norm", "3", "--epochs", "0"]);
    assert_eq!(on.mean(), Some(&mean[..]));
    assert!(on.preprocessing().norm_limit().is_some());
}

#[test]
fn rows_beyond_the_limit_of_a_given_model_are_said() {
    let bench = bench();
    let options = ["--data", "sinks.npy", "--clip-norm", "3", "--out", "model", "--quiet"];
    assert!(bench.call(&[&SMALL[..], &options].concat()).status.success());
    let path = bench.path("model").join("dictionary.safetensors");
    let on = ["--data", "sinks.npy", "--epochs", "1", "--dictionary", path.to_str().unwrap()];
    let table = text(&bench, &on);
    assert!(table.contains("of the given model: norm limit"), "{table}");
    assert!(table.contains("or of zeros: 8, learned from as they are"), "{table}");
    assert!(table.contains("warning: 0.67% of the rows (8)"), "{table}");
}

#[test]
fn rows_of_another_file_are_measured_each_epoch_and_give_a_best_model() {
    let bench = bench();
    let files = ["--data", "usual.npy", "--eval", "eval.npy", "--minibatch", "100", "--json"];
    let events = events(&bench.call(&[&SMALL[..], &files].concat()));
    let evaluated: Vec<&Value> =
        events.iter().filter(|line| line["event"] == "evaluation").collect();
    assert_eq!(evaluated.len(), 4);
    for (nth, line) in evaluated.iter().enumerate() {
        assert_eq!(line["epoch"], nth + 1);
    }
    let last = number(&evaluated[3]["eval_fvu"]);
    let result = number(&events.last().unwrap()["eval_fvu"]);
    assert!((last / result - 1.0).abs() < 1e-3, "all rows are measured: {last} {result}");
    let fvus = evaluated.iter().map(|line| number(&line["eval_fvu"]));
    let is_last_best = fvus.fold(f64::INFINITY, f64::min) == last;
    assert_eq!(bench.path("out").join("best.safetensors").exists(), !is_last_best);
}

#[test]
fn features_are_listed_by_rows_within_the_limit() {
    let bench = bench();
    let options = ["--data", "sinks.npy", "--clip-norm", "3", "--quiet"];
    let table = text(&bench, &[&SMALL[..], &options].concat());
    let (_, features) = table.split_once("features, from rare to frequent").unwrap();
    let (features, _) = features.split_once("Wrote").unwrap();
    let sinks: Vec<String> =
        (0..SINKS).map(|sink| (sink * (ROWS / SINKS) + 3).to_string()).collect();
    // The words of a line are its rows, each with a coefficient.
    for word in features.split_whitespace() {
        assert!(!sinks.iter().any(|sink| sink == word), "row {word} in {features}");
    }
}
