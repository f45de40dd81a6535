//! The examples `sae` and `score`, run as programs.

use std::fs::File;
use std::path::Path;

use dbksvd::export::write_codes_npz;
use dbksvd::faer::MatRef;
use dbksvd::{Dictionary, Model};
use dbksvd_sae::metrics::{Absorption, Features, Labelled, Perturbation, Probing, Split, Windows};
use dbksvd_sae::{Sae, Tied};
use npyz::WriterBuilder;
use serde_json::Value;
use tempfile::TempDir;

#[path = "../../../tests/support/programs.rs"]
mod programs;
#[path = "../../../tests/support/mod.rs"]
mod support;
use programs::{error_of, run, stdout_of, with, write_npy};
use support::{Arrays, sparse};

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

/// 200 samples of dimension 8, the first of which is massive, with a model of 12 atoms as a SAE.
fn write_samples(path: &dyn Fn(&str) -> String) {
    let value = |at: usize| if at == 3 { 5e3 } else { ((at * at) as f32 * 0.37).sin() };
    let rows = |range: std::ops::Range<usize>| -> Vec<u8> {
        range.flat_map(|at| value(at).to_le_bytes()).collect()
    };
    write_npy(path("all.npy"), "<f4", "(200, 8)", &rows(0..1600));
    write_npy(path("kept.npy"), "<f4", "(199, 8)", &rows(8..1600));
    let mask: Vec<u8> = (0..200).map(|row| u8::from(row > 0)).collect();
    write_npy(path("mask.npy"), "|b1", "(200,)", &mask);
    let atoms = dbksvd::faer::Mat::from_fn(8, 12, |i, j| ((i * 12 + j * j) as f32 * 0.7).sin());
    let dictionary = dbksvd::Dictionary::normalized(atoms).unwrap();
    let model = Model::new(dictionary, None, 3, dbksvd::Sign::Signed).unwrap();
    Sae::from_model(&model, Tied::TopK).unwrap().write_saelens(path("sae")).unwrap();
}

#[test]
fn samples_left_out_have_no_latents() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    write_samples(&path);
    let (sae, all, kept, mask) = (path("sae"), path("all.npy"), path("kept.npy"), path("mask.npy"));
    let told = stdout_of(&run("sae", &["compare", &sae, &all, "2"]));
    assert!(told.contains("warning: 0.50% of the rows (1) hold 99%"), "{told}");
    let expected = stdout_of(&run("sae", &["compare", &sae, &kept, "2"]));
    let told = stdout_of(&run("sae", &["compare", &sae, &all, "2", "--mask", &mask]));
    assert_eq!(told, format!("{expected}1 samples left out by the mask\n"));
    assert!(!told.contains("warning"), "{told}");

    let array = |path: &str| {
        let bytes = std::fs::read(path).unwrap();
        let file = npyz::NpyFile::new(&bytes[..]).unwrap();
        (file.shape().to_vec(), file.into_vec::<f32>().unwrap())
    };
    let (masked, plain) = (path("masked"), path("plain"));
    stdout_of(&run("sae", &["encode", &sae, &all, &masked, "--mask", &mask]));
    stdout_of(&run("sae", &["encode", &sae, &kept, &plain]));
    let (shape, found) = array(&path("masked/reconstruction.npy"));
    let (_, expected) = array(&path("plain/reconstruction.npy"));
    assert_eq!(shape, [200, 8]);
    assert_eq!(found[..8], [0.0; 8], "the bias alone");
    assert_eq!(found[8..], expected);
    for words in [&["convert", &sae, &masked][..], &["import", &sae, &masked, "3"]] {
        let error = error_of(&run("sae", &[words, &["--mask", &mask]].concat()));
        assert!(error.contains("only encode and compare"), "{error}");
    }
    let error = error_of(&run("sae", &["compare", &sae, &kept, "2", "--mask", &mask]));
    assert!(error.contains("mask.npy: 200 values, expected 199, one for each row of"), "{error}");
}

#[test]
fn help_is_told() {
    for (example, asked) in [("sae", "--help"), ("sae", "-h"), ("score", "--help")] {
        let help = stdout_of(&run(example, &[asked]));
        assert!(help.contains("Usage:") && help.contains(example), "{help}");
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

/// The fixture of the measures in files, as a user has them.
struct Scored {
    folder: TempDir,
    arrays: Arrays,
}

impl Scored {
    fn new() -> Self {
        let arrays = Arrays::parse(include_str!("fixtures/measures/saebench.txt"));
        let scored = Self { folder: TempDir::new().unwrap(), arrays };
        let of = |name: &str| scored.arrays.vector(name);
        // Atoms of norm 2: their codes are halves.
        let atoms: Vec<f32> = of("dictionary").iter().map(|&x| 2.0 * x as f32).collect();
        let samples: Vec<f32> = of("samples").iter().map(|&x| x as f32).collect();
        scored.write("dictionary.npy", &[20, 10], &atoms);
        scored.write("samples.npy", &[600, 10], &samples);
        let labels: Vec<u8> = of("labels").iter().map(|&label| label as u8).collect();
        scored.write("labels.npy", &[600], &labels);
        let overlapping = of("overlapping");
        let column = |i: usize| (0..3).map(move |label| overlapping[label * 600 + i] == 1.0);
        let columns: Vec<bool> = (0..600).flat_map(column).collect();
        scored.write("overlapping.npy", &[600, 3], &columns);
        let mut train = vec![false; 600];
        scored.arrays.indices("train").into_iter().for_each(|i| train[i] = true);
        scored.write("train.npy", &[600], &train);
        let halves = scored.arrays.columns::<f32>("codes").as_ref() * dbksvd::faer::Scale(0.5);
        let codes = sparse(halves.as_ref(), 8);
        write_codes_npz(scored.folder.path().join("codes.npz"), &codes).unwrap();
        scored
    }

    fn write<T: npyz::AutoSerialize + Copy>(&self, name: &str, shape: &[u64], values: &[T]) {
        let file = File::create(self.folder.path().join(name)).unwrap();
        let writer = npyz::WriteOptions::new().default_dtype().shape(shape);
        let mut writer = writer.writer(file).begin_nd().unwrap();
        values.iter().for_each(|value| writer.push(value).unwrap());
        writer.finish().unwrap();
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Runs the example with these options in place of, or beside, the usual ones.
    fn run(&self, others: &[&str]) -> std::process::Output {
        let files = ["dictionary.npy", "codes.npz", "samples.npy", "labels.npy", "train.npy"];
        let files = files.map(|name| self.path(name));
        let names = ["--dictionary", "--codes", "--samples", "--labels", "--train"];
        let base: Vec<&str> =
            names.iter().zip(&files).flat_map(|(name, file)| [*name, &**file]).collect();
        run("score", &with(&base, others))
    }

    /// The scores that it writes.
    fn scores(&self, others: &[&str]) -> Value {
        let json = self.path("scores.json");
        stdout_of(&self.run(&[others, &["--json", &json]].concat()));
        serde_json::from_slice(&std::fs::read(json).unwrap()).unwrap()
    }

    fn split(&self) -> Split {
        Split { train: self.arrays.indices("train"), test: self.arrays.indices("test") }
    }
}

#[test]
fn scores_of_files_are_those_of_the_library() {
    let scored = Scored::new();
    let dictionary = Dictionary::normalized(scored.arrays.columns::<f32>("dictionary")).unwrap();
    let samples = scored.arrays.columns::<f32>("samples");
    let codes = sparse(scored.arrays.columns::<f32>("codes").as_ref(), 8);
    let labels: Vec<u32> =
        scored.arrays.indices("labels").into_iter().map(|label| label as u32).collect();
    let split = scored.split();
    let labelled = Labelled {
        samples: samples.as_ref(),
        codes: &codes,
        dictionary: &dictionary,
        labels: &labels,
        split: &split,
    };
    let scores = scored.scores(&["--features", "2,3", "--ablate", "1,4", "--seed", "7"]);
    let close = |found: &Value, expected: f64| {
        let found = found.as_f64().expect("a number");
        assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
    };
    let absorbed = Absorption::default().run(labelled).unwrap();
    close(&scores["absorption"]["fraction"], absorbed.mean_fraction());
    close(&scores["absorption"]["full"], absorbed.mean_full());
    assert_eq!(scores["absorption"]["classes"][3]["main"], serde_json::json!([3, 11]));
    let perturbed = Perturbation { seed: 7, ..Perturbation::default() };
    let perturbed = perturbed.run(labelled, &[1, 4]).unwrap();
    close(&scores["perturbation"]["ablations"]["4"]["score"], perturbed.ablations[1].score());
    let probing = Probing { features: 3, seed: 7, ..Probing::default() };
    let probes = probing.run_split(Features::Codes(&codes), &labels, &split).unwrap();
    close(&scores["probing"]["3"]["mean"], probes.mean_test_accuracy());
}

#[test]
fn labels_that_overlap_and_windows_are_scored() {
    let scored = Scored::new();
    let overlapping = scored.path("overlapping.npy");
    let scores = scored.scores(&["--labels", &overlapping, "--features", "2"]);
    assert_eq!(scores["probing"]["2"]["accuracies"].as_array().unwrap().len(), 3);
    assert!(scores.get("absorption").is_none());
    let refused = scored.run(&["--labels", &overlapping, "--measures", "probing,absorption"]);
    assert!(error_of(&refused).contains("probing is the only measure"));

    // Sixty sequences of ten, of two classes by turns.
    let class: Vec<i64> = (0..60).map(|sequence| sequence % 2).collect();
    scored.write("sequences.npy", &[60], &class);
    let sequences = scored.path("sequences.npy");
    let folder = TempDir::new().unwrap();
    let train = folder.path().join("train.npy").to_str().expect("UTF-8").to_owned();
    scored.write("halves.npy", &[60], &(0..60).map(|i| i < 30).collect::<Vec<bool>>());
    std::fs::rename(scored.path("halves.npy"), &train).unwrap();
    let scores = scored.scores(&[
        "--labels",
        &sequences,
        "--train",
        &train,
        "--sequence",
        "10",
        "--window",
        "4",
        "--measures",
        "probing",
    ]);
    assert_eq!((&scores["train"], &scores["test"]), (&Value::from(60), &Value::from(60)));
    let windows = Windows::new(&[10; 60], 4).unwrap();
    let codes = sparse(scored.arrays.columns::<f32>("codes").as_ref(), 8);
    let codes = windows.codes(&codes).unwrap();
    assert_eq!(scores["l0"].as_f64().unwrap(), codes.nnz() as f64 / 120.0);
}

#[test]
fn signed_codes_are_split_into_their_signs() {
    let scored = Scored::new();
    let halves = scored.arrays.columns::<f32>("codes").as_ref() * dbksvd::faer::Scale(-0.5);
    write_codes_npz(scored.path("codes.npz"), &sparse(halves.as_ref(), 8)).unwrap();
    let atoms: Vec<f32> =
        scored.arrays.vector("dictionary").iter().map(|&x| -2.0 * x as f32).collect();
    scored.write("negative.npy", &[20, 10], &atoms);
    let output = scored.run(&["--dictionary", &scored.path("negative.npy")]);
    let told = stdout_of(&output);
    assert!(told.contains("codes have signs") && told.contains("40 atoms"), "{told}");
    // Atom 20 + j is what atom j was: the same measures.
    let usual = stdout_of(&scored.run(&["--dictionary", &scored.path("dictionary.npy")]));
    assert!(usual.contains("40 atoms"), "{usual}");
    assert!(told.contains("[23, 31]"), "{told}");
}

#[test]
fn what_cannot_be_scored_is_told_in_a_line() {
    let scored = Scored::new();
    scored.write("few.npy", &[599], &[0_u8; 599]);
    scored.write("below.npy", &[600], &[-1_i32; 600]);
    scored.write("floats.npy", &[600], &[0.5_f32; 600]);
    let narrow = MatRef::from_column_major_slice(&[0.5_f32; 600], 1, 600);
    write_codes_npz(scored.path("narrow.npz"), &sparse(narrow, 1)).unwrap();
    let whole = std::fs::read(scored.path("codes.npz")).unwrap();
    std::fs::write(scored.path("cut.npz"), &whole[..whole.len() / 2]).unwrap();
    for (option, file, part) in [
        ("--labels", "few.npy", "599 rows, expected 600"),
        ("--labels", "below.npy", "label 0 is -1"),
        ("--labels", "floats.npy", "expected whole numbers"),
        ("--labels", "none.npy", "none.npy"),
        ("--train", "labels.npy", "expected booleans (N)"),
        ("--codes", "narrow.npz", "codes of 1 atoms, expected 20"),
        ("--codes", "cut.npz", "cut.npz"),
        ("--codes", "labels.npy", "labels.npy"),
        ("--samples", "dictionary.npy", "600 rows, expected 20"),
    ] {
        let output = scored.run(&[option, &scored.path(file)]);
        let line = error_of(&output);
        assert!(line.contains(part), "{option} {file}: {line}");
        assert_eq!(output.status.code(), Some(1), "{line}");
    }
    let labels = scored.path("labels.npy");
    for (words, part) in [
        (&["--json", &*labels][..], "kept apart"),
        (&["--window", "3"], "go together"),
        (&["--window", "3", "--sequence", "2"], "at most --sequence"),
        (&["--measures", "absorbtion"], "probing, absorption or perturbation"),
        (&["--ablate", "0"], "at least 1"),
        (&["--new"], "--new"),
    ] {
        let output = scored.run(words);
        let line = error_of(&output);
        assert!(line.contains(part), "{line}");
        assert_eq!(output.status.code(), Some(2), "{line}");
    }
    let output = run("score", &["--codes", "codes.npz"]);
    assert!(error_of(&output).contains("--dictionary is missing"));
}
