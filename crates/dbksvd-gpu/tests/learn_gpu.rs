//! The example `learn_gpu` from outside.

#[path = "../../../tests/support/programs.rs"]
mod programs;

use std::path::Path;

use programs::{run, stdout_of};
use serde_json::Value;

const SMALL: [&str; 15] = [
    "--atoms",
    "48",
    "--sparsity",
    "3",
    "--steps",
    "3",
    "--minibatch",
    "400",
    "--epochs",
    "1",
    "--held-out",
    "0.02",
    "--no-codes",
    "--quiet",
    "--json",
];

/// The result of a run on the data that come with the repository.
fn learn(device: &str, out: &Path) -> Value {
    let out = out.to_str().expect("UTF-8");
    let arguments = [&SMALL[..], &["--device", device, "--out", out]].concat();
    let lines = stdout_of(&run("learn_gpu", &arguments));
    serde_json::from_str(lines.lines().last().expect("a result")).expect("JSON")
}

#[test]
fn a_run_on_a_device_is_as_good_as_one_on_the_processor() {
    let directory = tempfile::tempdir().expect("a directory");
    let [found, expected] = ["gpu", "cpu"].map(|device| {
        let result = learn(device, &directory.path().join(device));
        result["eval_fvu"].as_f64().expect("a number")
    });
    assert!((found - expected).abs() <= 0.01 * expected, "{found}, on the processor {expected}");
    assert!(directory.path().join("gpu/dictionary.safetensors").is_file());
}

#[test]
fn devices_that_are_not_there_and_calls_that_cannot_be_are_told_in_a_line() {
    for (arguments, words) in [
        (&["--device", "gpu:Voodoo 2"][..], &["Voodoo 2", "there are: 0"][..]),
        (&["--device", "gpu", "--precision", "f64"], &["f32", "--precision"]),
        (&["--device", "cuda"], &["cuda", "gpu:NAME"]),
        (&["--device", "gpu", "--goal", "features"], &["--device", "--goal error"]),
        (&["--device", "gpu", "--epochs", "0"], &["--device", "--epochs 0"]),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let out = directory.path().join("out");
        let out = out.to_str().expect("UTF-8");
        let output = run("learn_gpu", &[arguments, &["--out", out, "--quiet"]].concat());
        assert!(!output.status.success(), "{arguments:?}");
        let message = String::from_utf8(output.stderr).expect("UTF-8");
        // The loader of Vulkan has a line of its own.
        let line = message.lines().find(|line| line.starts_with("learn_gpu: "));
        let line = line.unwrap_or_else(|| panic!("{arguments:?}: {message}"));
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
}
