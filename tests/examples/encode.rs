//! The example `encode`, run as a program: what it prints and writes, and what it says when its
//! arguments or files are no good.

use std::fs;
use std::path::{Path, PathBuf};

use crate::programs::{error_of, run, stdout_of, with, write_npy};
use dbksvd::coder::{BatchOmp, Selection};
use dbksvd::export::{read_dictionary_npy, write_codes_npz, write_dictionary_npy};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::metrics::reconstruction;
use dbksvd::source::{NpySource, SampleSource};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Dictionary, Model, Sign};
use serde_json::Value;
use tempfile::TempDir;

const DIM: usize = 16;
const ATOMS: usize = 24;
const SPARSITY: usize = 3;
const SAMPLES: usize = 300;

/// A folder with `atoms.npy` (24 × 16), `samples.npy` (300 × 16, of norm 1) and `model.safetensors`
/// of those atoms.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        let bench = Self(TempDir::new().unwrap());
        let planted = Planted::new(DIM, ATOMS, SPARSITY, SAMPLES).kind(Kind::Correlated);
        let data = planted.noise(0.3).generate::<f32>().unwrap();
        write_dictionary_npy(bench.path("atoms.npy"), &data.dictionary).unwrap();
        let samples = Dictionary::normalized(data.samples).unwrap();
        write_dictionary_npy(bench.path("samples.npy"), &samples).unwrap();
        bench.model().save(bench.path("model.safetensors")).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).into_os_string().into_string().unwrap()
    }

    fn model(&self) -> Model<f32> {
        let atoms = read_dictionary_npy(self.path("atoms.npy")).unwrap();
        Model::new(atoms, None, SPARSITY, Sign::Signed).unwrap()
    }

    fn samples(&self) -> Mat<f32> {
        let source = NpySource::open(self.path("samples.npy")).unwrap();
        let mut values = vec![0.0; DIM * SAMPLES];
        source.read(0..SAMPLES, &mut values).unwrap();
        MatRef::from_column_major_slice(&values, DIM, SAMPLES).to_owned()
    }

    /// Calls the program on the atoms and samples of the folder.
    fn encode(&self, arguments: &[&str]) -> std::process::Output {
        let (atoms, samples) = (self.text("atoms.npy"), self.text("samples.npy"));
        let files = ["--dictionary", &atoms, "--samples", &samples, "--sparsity", "3"];
        run("encode", &with(&files, arguments))
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = stdout_of(&self.encode(&[arguments, &["--json"]].concat()));
        serde_json::from_str(&text).unwrap()
    }
}

#[test]
fn codes_and_errors_are_those_of_the_library() {
    let bench = Bench::new();
    let rules = [("omp", Selection::Correlation), ("ols", Selection::LeastSquares)];
    let mut errors = Vec::new();
    for (name, selection) in rules {
        let (written, expected) = (bench.path("codes.npz"), bench.path("expected.npz"));
        let out = bench.text("codes.npz");
        let told = bench.json(&["--selection", name, "--repeat", "2", "--out", &out]);

        let (model, samples) = (bench.model(), bench.samples());
        let coder = BatchOmp::new().selection(selection);
        let codes = model.encode(&coder, samples.as_ref()).unwrap();
        let measured = reconstruction(&model, samples.as_ref(), &codes).unwrap();
        assert_eq!(told["selection"], name);
        assert_eq!(told["relative_error"].as_f64(), Some(measured.relative_error()));
        assert_eq!(told["fvu"].as_f64(), Some(measured.fvu()));
        assert_eq!(told["fvu_within"].as_f64(), Some(measured.fvu_within()));
        assert_eq!(told["samples_within"], measured.samples_within());
        assert_eq!(told["l0"].as_f64(), Some(measured.l0()));
        write_codes_npz(&expected, &codes).unwrap();
        assert!(fs::read(written).unwrap() == fs::read(expected).unwrap(), "{name}");
        errors.push(measured.relative_error());
    }
    assert!(errors[0] != errors[1], "the rules choose differently on coherent atoms");
}

#[test]
fn every_repetition_is_told() {
    let bench = Bench::new();
    let told = bench.json(&["--repeat", "3", "--threads", "2", "--product"]);
    let keys = ["samples", "dim", "atoms", "sparsity", "threads"];
    let sizes = keys.map(|key| told[key].as_u64().unwrap() as usize);
    assert_eq!(sizes, [SAMPLES, DIM, ATOMS, SPARSITY, 2]);
    let seconds = &told["seconds"];
    assert!(seconds["gram"].as_f64().unwrap() >= 0.0);
    let product = seconds["product"].as_object().unwrap();
    assert_eq!(product.len(), 4);
    for measured in product.values().chain([&seconds["encode"]]) {
        let mut all: Vec<f64> =
            measured["all"].as_array().unwrap().iter().map(|s| s.as_f64().unwrap()).collect();
        all.sort_by(f64::total_cmp);
        assert!(all.len() == 3 && all[0] > 0.0, "{measured}");
        assert_eq!(measured["best"].as_f64(), Some(all[0]));
        assert_eq!(measured["median"].as_f64(), Some(all[1]));
    }
    let even = &bench.json(&["--repeat", "2"])["seconds"];
    assert!(even["product"].as_object().unwrap().is_empty(), "it was not asked for");
    let all = even["encode"]["all"].as_array().unwrap();
    let mean = (all[0].as_f64().unwrap() + all[1].as_f64().unwrap()) / 2.0;
    let median = even["encode"]["median"].as_f64().unwrap();
    assert!((median - mean).abs() <= 2.0 * f64::EPSILON * mean, "{even}");
}

#[test]
fn a_model_brings_its_sparsity() {
    let bench = Bench::new();
    let (model, samples) = (bench.text("model.safetensors"), bench.text("samples.npy"));
    let files = ["--dictionary", &model, "--samples", &samples, "--json"];
    let json = |arguments: &[&str]| -> Value {
        let text = stdout_of(&run("encode", &[&files[..], arguments].concat()));
        serde_json::from_str(&text).unwrap()
    };
    assert_eq!(json(&[])["sparsity"], 3);
    assert_eq!(json(&["--sparsity", "2"])["sparsity"], 2);
}

#[test]
fn threads_change_no_code() {
    let bench = Bench::new();
    let [one, two] = ["1", "2"].map(|threads| {
        let out = bench.text(threads);
        bench.json(&["--threads", threads, "--out", &out]);
        fs::read(out).unwrap()
    });
    assert!(one == two);
}

#[test]
fn the_table_and_the_help() {
    let bench = Bench::new();
    let table = stdout_of(&bench.encode(&["--product", "--threads", "1"]));
    for part in ["300 samples", "by omp, 1 threads", "Gram", "median", "product by 1024", "FVU"] {
        assert!(table.contains(part), "{part} in {table}");
    }
    assert!(!stdout_of(&bench.encode(&[])).contains("product"));
    let help = stdout_of(&run("encode", &["--help"]));
    assert!(help.contains("Usage: cargo run --release --example encode"), "{help}");
}

#[test]
fn what_is_wrong_is_named() {
    let bench = Bench::new();
    let narrow = Dictionary::normalized(Mat::<f32>::from_fn(DIM - 1, 5, |_, _| 1.0)).unwrap();
    write_dictionary_npy(bench.path("narrow.npy"), &narrow).unwrap();
    fs::write(bench.path("text.txt"), "").unwrap();
    let (narrow, text) = (bench.text("narrow.npy"), bench.text("text.txt"));
    let missing = bench.text("missing.npy");
    let below = Path::new(&bench.text("atoms.npy")).join("below.npz").display().to_string();
    let wrong: [(&[&str], &str); 14] = [
        (&["--frobnicate"], "--frobnicate"),
        (&["surplus"], "surplus"),
        (&["--sparsity", "many"], "--sparsity is \"many\""),
        (&["--sparsity", "0"], "--sparsity is 0"),
        (&["--sparsity", "17"], "`sparsity` is 17"),
        (&["--selection", "best"], "--selection is \"best\", expected omp or ols"),
        (&["--repeat", "0"], "--repeat is 0"),
        (&["--repeat", "-1"], "--repeat is \"-1\""),
        (&["--threads", "some"], "--threads is \"some\""),
        (&["--dictionary", &narrow], "atoms of 15"),
        (&["--dictionary", &text], "text.txt"),
        (&["--dictionary", &missing], "missing.npy"),
        (&["--samples", &text], "text.txt"),
        (&["--out", &below], "below.npz"),
    ];
    for (arguments, named) in wrong {
        let error = error_of(&bench.encode(arguments));
        assert!(error.contains(named), "{error} does not name {named}");
    }
    let samples = bench.text("samples.npy");
    let atoms = bench.text("atoms.npy");
    let needed: [(&[&str], &str); 3] = [
        (&["--samples", &samples], "--dictionary"),
        (&["--dictionary", &atoms], "--samples"),
        (&["--dictionary", &atoms, "--samples", &samples], "--sparsity"),
    ];
    for (arguments, named) in needed {
        let error = error_of(&run("encode", arguments));
        assert!(error.contains(named), "{error} does not name {named}");
    }
}

#[test]
fn codes_are_of_the_atoms_that_were_given() {
    let bench = Bench::new();
    // e₁, e₂ and (e₁ + e₂, of norm √2) of dimension 2, and a sample of 1 of e₂ and 2 of the sum.
    let array = |name: &str, shape: &str, values: &[f32]| {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        fs::write(bench.path(name), bytes).unwrap();
    };
    array("given.npy", "(3, 3)", &[1.0, 0.0, 0.0, 0.0, 0.0, 4.0, 1.0, 1.0, 0.0]);
    array("rows.npy", "(2, 3)", &[2.0, 2.0, 2.0, 0.0, 0.0, -1.0]);
    let (given, rows, out) = (bench.text("given.npy"), bench.text("rows.npy"), bench.text("x.npz"));
    let options = ["--dictionary", &given, "--samples", &rows, "--sparsity", "2", "--out", &out];
    stdout_of(&run("encode", &options));
    let archive = fs::read(&out).unwrap();
    let archive = rawzip::ZipArchive::from_slice(&archive).unwrap();
    let values = archive.entries().map(Result::unwrap).find_map(|header| {
        let entry = archive.get_entry(header.wayfinder()).unwrap();
        let is_values = header.file_path().as_bytes() == b"data.npy";
        is_values.then(|| npyz::NpyFile::new(entry.data()).unwrap().into_vec::<f32>().unwrap())
    });
    let values = values.unwrap();
    let expected = [0.5, 2.0, -0.25];
    assert_eq!(values.len(), expected.len(), "{values:?}");
    for (found, expected) in values.iter().zip(expected) {
        assert!((found - expected).abs() <= 4.0 * f32::EPSILON, "{values:?}");
    }

    for (name, row, part) in
        [("zero", [0.0; 3], "atom 1 is zero"), ("nan", [f32::NAN; 3], "atom 1")]
    {
        array("wrong.npy", "(2, 3)", &[[1.0, 0.0, 0.0], row].concat());
        let wrong = bench.text("wrong.npy");
        let options = ["--dictionary", &wrong, "--samples", &rows, "--sparsity", "1"];
        let error = error_of(&run("encode", &options));
        assert!(error.contains(part) && error.contains("wrong.npy"), "{name}: {error}");
    }
}

/// Rows of a codes file: the offsets and the coefficients.
fn rows_of(path: &Path) -> Vec<Vec<f32>> {
    let archive = fs::read(path).unwrap();
    let archive = rawzip::ZipArchive::from_slice(&archive).unwrap();
    let entry = |name: &str| {
        let mut headers = archive.entries().map(Result::unwrap);
        let header =
            headers.find(|header| header.file_path().as_bytes() == name.as_bytes()).unwrap();
        archive.get_entry(header.wayfinder()).unwrap().data().to_vec()
    };
    let offsets: Vec<i32> =
        npyz::NpyFile::new(&entry("indptr.npy")[..]).unwrap().into_vec().unwrap();
    let values: Vec<f32> = npyz::NpyFile::new(&entry("data.npy")[..]).unwrap().into_vec().unwrap();
    offsets.windows(2).map(|ends| values[ends[0] as usize..ends[1] as usize].to_vec()).collect()
}

#[test]
fn samples_left_out_have_empty_codes_and_no_part_in_figures() {
    let bench = Bench::new();
    let (all, used) = (bench.samples(), |i: usize| !i.is_multiple_of(7));
    let row = |i: usize| if used(i) { all.col_as_slice(i).to_vec() } else { vec![f32::NAN; DIM] };
    let bytes = |rows: &mut dyn Iterator<Item = Vec<f32>>| -> Vec<u8> {
        rows.flatten().flat_map(f32::to_le_bytes).collect()
    };
    let kept = (0..SAMPLES).filter(|&i| used(i)).count();
    let masked = bytes(&mut (0..SAMPLES).map(row));
    write_npy(bench.path("masked.npy"), "<f4", "(30, 10, 16)", &masked);
    let rows = bytes(&mut (0..SAMPLES).filter(|&i| used(i)).map(row));
    write_npy(bench.path("kept.npy"), "<f4", &format!("({kept}, {DIM})"), &rows);
    let mask: Vec<u8> = (0..SAMPLES).map(|i| u8::from(used(i))).collect();
    write_npy(bench.path("mask.npy"), "|b1", "(30, 10)", &mask);
    let [masked, plain, mask] = ["masked.npy", "kept.npy", "mask.npy"].map(|name| bench.text(name));
    let [found, expected] = ["found.npz", "expected.npz"].map(|name| bench.text(name));
    let told = bench.json(&["--samples", &masked, "--mask", &mask, "--out", &found]);
    let without = bench.json(&["--samples", &plain, "--out", &expected]);
    for key in ["samples", "fvu", "relative_error", "l0", "samples_within", "fvu_within", "massive"]
    {
        assert_eq!(told[key], without[key], "{key}");
    }
    assert_eq!((&told["masked"], &without["masked"]), (&(SAMPLES - kept).into(), &0.into()));
    let (found, expected) = (rows_of(Path::new(&found)), rows_of(Path::new(&expected)));
    assert_eq!((found.len(), expected.len()), (SAMPLES, kept));
    let mut expected = expected.into_iter();
    for (i, code) in found.into_iter().enumerate() {
        assert_eq!(code, if used(i) { expected.next().unwrap() } else { vec![] }, "{i}");
    }
    let table = stdout_of(&bench.encode(&["--samples", &masked, "--mask", &mask]));
    let out = SAMPLES - kept;
    assert!(table.contains(&format!("{out} samples left out by the mask\n")), "{table}");

    // Errors number the rows of the file.
    let mut wrong: Vec<Vec<f32>> = (0..SAMPLES).map(row).collect();
    wrong[101][3] = f32::INFINITY;
    let wrong = bytes(&mut wrong.into_iter());
    write_npy(bench.path("wrong.npy"), "<f4", "(300, 16)", &wrong);
    let error = error_of(&bench.encode(&["--samples", &bench.text("wrong.npy"), "--mask", &mask]));
    assert!(error.contains("wrong.npy: sample 101 is not finite: coordinate 3 is inf"), "{error}");
    let error = error_of(&bench.encode(&["--mask", &bench.text("atoms.npy")]));
    assert!(error.contains("atoms.npy: element type <f4, expected booleans"), "{error}");
    write_npy(bench.path("short.npy"), "|b1", "(299,)", &[1; 299]);
    let error = error_of(&bench.encode(&["--mask", &bench.text("short.npy")]));
    assert!(error.contains("short.npy: 299 values, expected 300, one for each row"), "{error}");
    let error = error_of(&bench.encode(&["--mask", &mask, "--out", &mask]));
    assert!(error.contains("kept apart"), "{error}");
}

/// A model that has a norm limit tells two figures; of another, a warning says that few samples
/// decide the one.
#[test]
fn massive_samples_are_told_of() {
    let bench = Bench::new();
    let mut samples = bench.samples();
    samples[(2, 40)] += 500.0;
    let values: Vec<u8> = (0..SAMPLES)
        .flat_map(|i| samples.col_as_slice(i).to_vec())
        .flat_map(f32::to_le_bytes)
        .collect();
    write_npy(bench.path("sink.npy"), "<f4", "(300, 16)", &values);
    let limit = dbksvd::Preprocessing::none().with_norm_limit(Some(3.0)).unwrap();
    bench.model().preprocessed(limit).unwrap().save(bench.path("limited.safetensors")).unwrap();
    let (sink, limited) = (bench.text("sink.npy"), bench.text("limited.safetensors"));
    let table = stdout_of(&bench.encode(&["--samples", &sink]));
    assert!(table.contains("warning: 0.33% of the rows (1) hold 100%"), "{table}");
    assert!(table.contains("leave them out by --mask"), "{table}");
    assert_eq!(bench.json(&["--samples", &sink])["massive"]["rows"], 1);
    let table = stdout_of(&bench.encode(&["--samples", &sink, "--dictionary", &limited]));
    assert!(!table.contains("warning"), "{table}");
    assert!(table.contains("299 samples within the model's norm limit: FVU 0."), "{table}");
    let told = bench.json(&["--samples", &sink, "--dictionary", &limited]);
    assert_eq!((&told["samples_within"], &told["massive"]), (&299.into(), &Value::Null));
    assert_ne!(told["fvu_within"], told["fvu"]);
    let usual = stdout_of(&bench.encode(&["--dictionary", &limited]));
    assert!(usual.contains("300 samples within the model's norm limit"), "{usual}");
    assert!(!stdout_of(&bench.encode(&[])).contains("within"));
}

/// Doubles that single precision, in which samples are coded, cannot hold or tell apart.
#[test]
fn doubles_that_would_be_lost_are_refused() {
    let bench = Bench::new();
    let samples = bench.samples();
    type Change = fn(f64) -> f64;
    let cases: [(Change, &str); 3] = [
        (|x| x + 1e9, "rounding to f32 would change"),
        (|x| x * 1e-60, "would take for zero"),
        (|x| x * 1e40, "finite, but beyond f32"),
    ];
    for (change, message) in cases {
        let shape = format!("({SAMPLES}, {DIM})");
        let header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        for i in 0..SAMPLES {
            let sample = samples.col_as_slice(i).iter();
            bytes.extend(sample.flat_map(|&x| change(f64::from(x)).to_le_bytes()));
        }
        fs::write(bench.path("doubles.npy"), bytes).unwrap();
        let (atoms, doubles) = (bench.text("atoms.npy"), bench.text("doubles.npy"));
        let arguments = ["--dictionary", &atoms, "--samples", &doubles, "--sparsity", "3"];
        let line = error_of(&run("encode", &arguments));
        assert!(line.contains(message) && line.contains("doubles.npy"), "{line}");
    }
}
