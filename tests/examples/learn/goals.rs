//! `--goal features`: both stages, their outputs, codes by the linear coder afterwards, resuming,
//! and what it refuses.

use dbksvd::Model;
use serde_json::Value;

use super::program::{Bench, events, one_line, result};
use crate::programs::{run, stdout_of};

const SMALL: [&str; 8] =
    ["--goal", "features", "--atoms", "24", "--sparsity", "3", "--epochs", "8"];

fn with<'a>(arguments: &[&'a str]) -> Vec<&'a str> {
    SMALL.iter().chain(arguments).copied().collect()
}

#[test]
fn both_stages_are_one_run() {
    let bench = Bench::new();
    let lines = events(&bench.learn(&with(&["--eval", "eval.npy", "--json"])));
    let epochs: Vec<u64> = lines
        .iter()
        .filter(|line| line["event"] == "epoch")
        .map(|line| line["epoch"].as_u64().unwrap())
        .collect();
    // Three epochs of growth, and five with the encoder.
    assert_eq!(epochs, [1, 2, 3, 4, 5, 6, 7, 8]);
    let last = lines.last().unwrap();
    assert_eq!(last["stop"], "completed");
    assert!(last["norm_limit"].is_f64() && last["eval_fvu"].is_f64(), "{last}");
    assert!((last["l0"].as_f64().unwrap() - 3.0).abs() < 0.5, "{last}");
    let path = bench.path("out").join("dictionary.safetensors");
    let model = Model::<f32>::load(&path).unwrap();
    let coder = model.linear_coder().unwrap();
    assert!(coder.encoder.is_some() && coder.threshold > 0.0);
    assert!(model.mean().is_some());

    // Codes of the saved model are by its linear coder, not by a pursuit.
    let model = ["--dictionary", "out/dictionary.safetensors", "--epochs", "0", "--out", "coded"];
    let again = result(&bench.learn(&[&model[..], &["--eval", "eval.npy", "--json"]].concat()));
    assert_eq!((&again["eval_fvu"], &again["l0"]), (&last["eval_fvu"], &last["l0"]));
    assert_eq!(std::fs::read(bench.path("coded").join("dictionary.safetensors")).unwrap(), {
        std::fs::read(&path).unwrap()
    });
    let eval = bench.path("eval.npy").display().to_string();
    let file = path.display().to_string();
    let encode = ["--dictionary", &file, "--samples", &eval, "--repeat", "1", "--json"];
    let of_encode = |others: &[&str]| -> Value {
        let said = stdout_of(&run("encode", &[&encode[..], others].concat()));
        serde_json::from_str(&said).unwrap()
    };
    let coded = of_encode(&[]);
    assert_eq!((&coded["selection"], &coded["fvu"]), (&"linear".into(), &last["eval_fvu"]));
    let pursued = of_encode(&["--selection", "omp"]);
    assert_eq!(pursued["selection"], "omp");
    assert!(pursued["fvu"].as_f64() < coded["fvu"].as_f64(), "{pursued}");
    let asked = [&model[..], &["--eval", "eval.npy", "--json", "--selection", "omp"]].concat();
    assert_eq!(result(&bench.learn(&asked))["eval_fvu"], pursued["fvu"]);
    // Learned on for the least error, it has no linear coder any more.
    let on = ["--dictionary", "out/dictionary.safetensors", "--epochs", "1", "--out", "on"];
    assert!(bench.learn(&on).status.success());
    let model = Model::<f32>::load(bench.path("on").join("dictionary.safetensors")).unwrap();
    assert!(model.linear_coder().is_none());
}

/// As if it had been killed in either stage: to the same bits.
#[test]
fn a_run_goes_on() {
    let bench = Bench::new();
    let model = |out: &str| std::fs::read(bench.path(out).join("dictionary.safetensors")).unwrap();
    assert!(bench.learn(&with(&["--checkpoint-every", "1"])).status.success());
    let whole = model("out");
    let checkpoints = bench.path("out").join("checkpoints");
    let remove_newest = |directory: &std::path::Path| {
        let entries = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.extension().is_some_and(|e| e == "safetensors"));
        let newest = files.max().unwrap();
        std::fs::remove_file(&newest).unwrap();
    };
    let go_on = || {
        let result = result(&bench.learn(&with(&["--resume", "--json"])));
        assert!(model("out") == whole);
        (result["resumed_from"].as_u64().unwrap(), result["steps"].as_u64().unwrap())
    };
    remove_newest(&checkpoints.join("linear"));
    let (from, steps) = go_on();
    assert_eq!(from, steps - 1);
    std::fs::remove_dir_all(checkpoints.join("linear")).unwrap();
    remove_newest(&checkpoints);
    let (from, steps) = go_on();
    // Of the five epochs with the encoder, each is one step.
    assert!(0 < from && from < steps - 5, "{from} of {steps}");
}

#[test]
fn options_of_the_other_goal_are_refused() {
    let bench = Bench::new();
    for option in [
        ["--selection", "ols"],
        ["--atom-batch", "8"],
        ["--minibatch", "50"],
        ["--start-at", "0.5"],
        ["--steps", "3"],
        ["--time", "3s"],
        ["--target-fvu", "0.1"],
        ["--dictionary", "out/dictionary.npy"],
    ] {
        let part = format!("{} is for --goal error", option[0]);
        one_line(&bench.learn(&with(&option)), 2, &part);
    }
    one_line(&bench.learn(&["--goal", "features", "--epochs", "1"]), 2, "at least 2");
    let few = ["--goal", "features", "--atoms", "4", "--sparsity", "3"];
    one_line(&bench.learn(&few), 2, "half the atoms");
    one_line(&bench.learn(&["--goal", "speed"]), 2, "error");
    let coding = ["--goal", "features", "--epochs", "0"];
    one_line(&bench.learn(&coding), 2, "--goal");
}
