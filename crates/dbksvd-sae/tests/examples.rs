//! The example `sae`, run as a program.

use std::path::Path;

use dbksvd::Model;
use dbksvd_sae::Sae;
use tempfile::TempDir;

#[path = "../../../tests/support/programs.rs"]
mod programs;
use programs::{error_of, run, stdout_of};

const SAMPLES: &str = "tests/fixtures/measures/synth/samples.npy";

fn in_crate(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).to_str().expect("UTF-8").to_owned()
}

fn fixture(name: &str) -> String {
    in_crate(&format!("tests/fixtures/sae/{name}"))
}

#[test]
fn a_decoder_goes_to_a_model_and_back_to_saelens() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (model, back, copy) = (path("model.safetensors"), path("back"), path("copy"));
    stdout_of(&run("sae", &["import", &fixture("jumprelu"), &model, "3"]));
    let sae = Sae::<f32>::read_saelens(fixture("jumprelu")).unwrap();
    assert_eq!(Model::load(&model).unwrap(), sae.model(3).unwrap());

    stdout_of(&run("sae", &["export", &model, &back, "topk"]));
    let tied = Sae::<f32>::read_saelens(&back).unwrap();
    assert_eq!(tied.model(3).unwrap(), sae.model(3).unwrap());

    stdout_of(&run("sae", &["convert", &fixture("sparsify"), &copy, "--sparsify"]));
    let converted = Sae::<f32>::read_saelens(&copy).unwrap();
    assert_eq!(converted, Sae::read_sparsify(fixture("sparsify")).unwrap());
}

#[test]
fn encoders_are_compared_with_a_pursuit() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let (model, sae) = (path("model.safetensors"), path("sae"));
    let atoms = dbksvd::faer::Mat::from_fn(256, 40, |i, j| ((i * 40 + j * j) as f32 * 0.7).sin());
    let dictionary = dbksvd::Dictionary::normalized(atoms).unwrap();
    let learned = Model::new(dictionary, None, 6, dbksvd::Sign::Signed).unwrap();
    learned.save(&model).unwrap();
    stdout_of(&run("sae", &["export", &model, &sae, "topk"]));
    let told = stdout_of(&run("sae", &["compare", &sae, &in_crate(SAMPLES), "4"]));
    let fvu = |line: &str| {
        let line = told.lines().find(|found| found.starts_with(line)).expect("a line of the table");
        let words: Vec<&str> = line.split_whitespace().rev().collect();
        words[2].parse::<f64>().expect("a number")
    };
    assert!(fvu("OMP, at most 4") < fvu("its encoder, at most 4"));
    assert!(told.contains("120 of 120 samples were cut"), "{told}");
}

#[test]
fn help_is_told() {
    for asked in ["--help", "-h"] {
        let help = stdout_of(&run("sae", &[asked]));
        assert!(help.contains("Usage:") && help.contains("sae"), "{help}");
    }
}

#[test]
fn failures_are_one_line() {
    for (words, part) in [
        (&["encode"][..], "no such command"),
        (&["look", "at", "this"], "no such command"),
        (&["export", "none.safetensors", "out", "relu"], "relu"),
        (&["import", &fixture("gated"), "out", "many"], "many"),
        (&["import", "sae", "model.safetensors", "0"], "K is \"0\""),
        (&["convert", "sae", "below/../sae"], "kept apart"),
        (&["encode", "sae", "out/reconstruction.npy", "out"], "kept apart"),
        (&["--new"], "--new"),
        (&["--new=1"], "--new"),
        (&["-x"], "-x"),
    ] {
        let output = run("sae", words);
        let line = error_of(&output);
        assert!(line.contains(part), "{line}");
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(output.stdout.is_empty(), "{words:?}");
    }
    let output = run("sae", &["encode", "none", "none.npy", "out"]);
    assert!(error_of(&output).contains("none"));
    assert_eq!(output.status.code(), Some(1));
}
