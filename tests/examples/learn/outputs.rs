//! What a run of `learn` leaves: files that NumPy puts samples together from, none of another run,
//! and none that would be an input.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use dbksvd::Model;
use dbksvd::export::read_dictionary_npy;
use dbksvd::source::{NpySource, SampleSource};

use super::program::{Bench, DIM, ROWS, npy, one_line, planted, result};
use super::{SMALL, names};

/// The shape and the values of an array of f32.
fn array(bytes: &[u8]) -> (Vec<u64>, Vec<f32>) {
    let file = npyz::NpyFile::new(bytes).unwrap();
    (file.shape().to_vec(), file.into_vec().unwrap())
}

fn array_in(path: &Path) -> (Vec<u64>, Vec<f32>) {
    array(&fs::read(path).unwrap())
}

/// The codes as SciPy reads them: offsets, atoms, coefficients.
pub fn csr(path: &Path) -> (Vec<i32>, Vec<i32>, Vec<f32>) {
    let bytes = fs::read(path).unwrap();
    let archive = rawzip::ZipArchive::from_slice(&bytes).unwrap();
    let mut entries = HashMap::new();
    for header in archive.entries() {
        let header = header.unwrap();
        let name = String::from_utf8(header.file_path().as_bytes().to_vec()).unwrap();
        let entry = archive.get_entry(header.wayfinder()).unwrap();
        entries.insert(name, entry.data().to_vec());
    }
    let i32s = |name: &str| npyz::NpyFile::new(&entries[name][..]).unwrap().into_vec().unwrap();
    (i32s("indptr.npy"), i32s("indices.npy"), array(&entries["data.npy"]).1)
}

/// `codes @ dictionary * scale + mean`, in f32 and in the order of SciPy and NumPy.
fn rebuilt(out: &Path) -> Vec<f32> {
    let (offsets, atoms, values) = csr(&out.join("codes.npz"));
    let (shape, dictionary) = array_in(&out.join("dictionary.npy"));
    assert_eq!(shape, [24, DIM as u64]);
    let mut all = Vec::new();
    for row in offsets.windows(2) {
        let mut sample = vec![0.0_f32; DIM];
        for at in row[0] as usize..row[1] as usize {
            let atom = &dictionary[atoms[at] as usize * DIM..][..DIM];
            sample.iter_mut().zip(atoms_times(atom, values[at])).for_each(|(y, x)| *y += x);
        }
        if out.join("scale.npy").exists() {
            let (shape, scale) = array_in(&out.join("scale.npy"));
            assert_eq!((shape.len(), scale.len()), (0, 1));
            sample.iter_mut().for_each(|y| *y *= scale[0]);
        }
        if out.join("mean.npy").exists() {
            let (shape, mean) = array_in(&out.join("mean.npy"));
            assert_eq!(shape, [DIM as u64]);
            sample.iter_mut().zip(mean).for_each(|(y, mean)| *y += mean);
        }
        all.extend(sample);
    }
    all
}

fn atoms_times(atom: &[f32], value: f32) -> impl Iterator<Item = f32> {
    atom.iter().map(move |&x| value * x)
}

#[test]
fn numpy_puts_the_samples_together() {
    let bench = Bench::new();
    let rows: Vec<f32> = planted::<f32>(ROWS, DIM)
        .iter()
        .enumerate()
        .map(|(at, x)| 40.0 * x + 100.0 + (at % DIM) as f32)
        .collect();
    fs::write(bench.path("shifted.npy"), npy(&rows, DIM)).unwrap();
    let energy: f64 = rows.iter().map(|&y| f64::from(y).powi(2)).sum();
    for options in [&["--mean", "--scale"][..], &["--mean"], &["--scale"], &[]] {
        let data = ["--data", "shifted.npy", "--json"];
        let told = result(&bench.call(&[&SMALL[..], &data, options].concat()));
        let out = bench.path("out");
        for (option, file) in [("--mean", "mean.npy"), ("--scale", "scale.npy")] {
            assert_eq!(out.join(file).exists(), options.contains(&option), "{options:?}: {file}");
        }
        let error: f64 =
            rebuilt(&out).iter().zip(&rows).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        let (found, expected) = (error / energy, told["relative_error"].as_f64().unwrap());
        // Squares of what is left; rounding beside the mean, in single precision, is far below.
        assert!((found / expected - 1.0).abs() < 1e-3, "{options:?}: {found}, told {expected}");
        assert!(found < 0.05, "{options:?}: {found}");
    }
}

#[test]
fn the_listing_says_how_to_put_samples_together() {
    let bench = Bench::new();
    let said = |options: &[&str]| {
        let run = bench.learn(&[&SMALL[..], options].concat());
        assert!(run.status.success(), "{run:?}");
        String::from_utf8(run.stdout).unwrap()
    };
    assert!(said(&["--mean", "--scale"]).contains("codes @ dictionary * scale + mean\n"));
    assert!(said(&["--mean"]).contains("codes @ dictionary + mean\n"));
    assert!(said(&[]).contains("codes @ dictionary\n"));
    assert!(!said(&["--no-codes"]).contains("codes @"));
}

/// Nobody reads the events any more: the run ends, and what it has learned is kept.
#[test]
fn a_closed_output_loses_nothing() {
    let bench = Bench::new();
    let options = ["--atoms", "24", "--sparsity", "3", "--epochs", "500", "--json"];
    let mut command = bench.command(&[&["--data", "data.npy"], &options[..]].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    assert!(first.contains("event"), "{first}");
    // The reading end is closed.
    assert!(child.wait().unwrap().success());
    let model = Model::<f32>::load(bench.path("out").join("dictionary.safetensors")).unwrap();
    assert_eq!((model.dim(), model.atoms()), (DIM, 24));
}

#[test]
fn files_of_an_earlier_run_do_not_stay() {
    let bench = Bench::new();
    let out = bench.path("out");
    let first = bench.learn(&[&SMALL[..], &["--mean", "--scale"]].concat());
    assert!(first.status.success(), "{first:?}");
    fs::copy(out.join("dictionary.safetensors"), out.join("best.safetensors")).unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let second = bench.learn(&[&SMALL[..], &["--no-codes"]].concat());
    let text = String::from_utf8(second.stdout).unwrap();
    for name in ["codes.npz", "mean.npy", "scale.npy", "best.safetensors"] {
        let line = text.lines().find(|line| line.contains(name)).expect(name);
        assert!(line.ends_with("of an earlier run: removed"), "{line}");
    }
    let left = ["dictionary.npy", "dictionary.safetensors", "error.png", "notes.txt", "usage.png"];
    assert_eq!(names(&out), left);

    let model = ["--dictionary", "out/dictionary.safetensors", "--epochs", "0"];
    assert!(bench.learn(&model).status.success(), "a model may be replaced by itself");
    assert!(!out.join("error.png").exists(), "it is of the run before");
}

#[test]
fn what_is_written_is_never_read() {
    let bench = Bench::new();
    fs::create_dir_all(bench.path("acts/checkpoints")).unwrap();
    bench.write("acts/ok.npy", 200, DIM);
    fs::copy(bench.path("acts/ok.npy"), bench.path("acts/checkpoints/ok.npy")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(bench.path("acts"), bench.path("link")).unwrap();
    let small = ["--atoms", "24", "--sparsity", "3", "--epochs", "1", "--json"];
    let absolute = bench.path("acts");
    let absolute = absolute.to_str().unwrap();
    let refused: [&[&str]; 14] = [
        &["--data", "acts", "--out", "acts"],
        &["--data", "acts", "--out", absolute],
        &["--data", absolute, "--out", "acts/"],
        &["--data", "acts", "--out", "new/../acts"],
        &["--data", "acts/*.npy", "--out", "acts"],
        &["--data", "**/*.npy", "--out", "acts/run"],
        &["--data", "ac?s/*.safetensors", "--out", "acts"],
        &["--data", "acts/dictionary.npy", "--out", "acts"],
        &["--data", "data.npy", "--eval", "acts", "--out", "acts"],
        &["--data", "acts/checkpoints", "--out", "acts"],
        &["--data", "data.npy", "acts", "--out", "./acts"],
        &["--data", "link", "--out", "acts"],
        &["--data", "acts", "--out", "link"],
        &["--data", "link/*.npy", "--out", "acts"],
    ];
    let has_links = |paths: &&[&str]| paths.iter().any(|path| path.contains("link"));
    for paths in refused.into_iter().filter(|paths| cfg!(unix) || !has_links(paths)) {
        let run = bench.call(&[&small[..], paths].concat());
        one_line(&run, 2, "inputs and outputs must be kept apart");
        assert_eq!(names(&bench.path("acts")), ["checkpoints", "ok.npy"], "{paths:?}");
    }
    // Directories are read without those in them, and patterns may leave outputs out.
    let kept: [&[&str]; 3] = [
        &["--data", "acts", "--out", "acts/run"],
        &["--data", "acts/ok*.npy", "--out", "acts/checkpoints"],
        &["--data", "acts/ok.npy", "--out", "acts"],
    ];
    for paths in kept {
        for _ in 0..2 {
            let run = result(&bench.call(&[&small[..], paths].concat()));
            assert_eq!(run["samples"].as_u64(), Some(200), "{paths:?}");
        }
    }
    // Its atoms would be replaced by scaled ones.
    let given = ["--data", "data.npy", "--dictionary", "acts/dictionary.npy", "--out", "acts"];
    one_line(&bench.call(&given), 2, "kept apart");
}

#[test]
fn codes_are_of_the_dictionary_beside_them() {
    let bench = Bench::new();
    // Atoms of norms 1 to 24, which are scaled to norm 1: what is written beside the codes is.
    let atoms: Vec<f32> = planted::<f32>(24, DIM)
        .chunks_exact(DIM)
        .zip(1..)
        .flat_map(|(atom, norm)| atom.iter().map(move |x| x * norm as f32))
        .collect();
    fs::write(bench.path("atoms.npy"), npy(&atoms, DIM)).unwrap();
    let options = ["--dictionary", "atoms.npy", "--sparsity", "5", "--epochs", "0", "--json"];
    let told = result(&bench.learn(&options));
    let source = NpySource::open(bench.path("data.npy")).unwrap();
    let mut rows = vec![0.0_f32; ROWS * DIM];
    source.read(0..ROWS, &mut rows).unwrap();
    let found = rebuilt(&bench.path("out"));
    let squares = |values: &mut dyn Iterator<Item = f32>| -> f64 {
        values.map(|x| f64::from(x).powi(2)).sum()
    };
    let error = squares(&mut found.iter().zip(&rows).map(|(x, y)| x - y));
    let found = error / squares(&mut rows.iter().copied());
    let expected = told["relative_error"].as_f64().unwrap();
    assert!((found / expected - 1.0).abs() < 1e-3, "{found}, told {expected}");
    let written = read_dictionary_npy::<f32>(bench.path("out/dictionary.npy")).unwrap();
    assert_eq!(written, read_dictionary_npy(bench.path("atoms.npy")).unwrap());
}

#[test]
fn contradictions_and_sizes_that_cannot_be_are_refused() {
    let bench = Bench::new();
    let cases: [(&[&str], &str); 15] = [
        (&["--clip-norm", "3", "--drop-norm", "2"], "--clip-norm and --drop-norm are given"),
        (&["--drop-norm", "3", "--clip-norm", "3"], "--clip-norm and --drop-norm are given"),
        (&["--eval", "eval.npy", "--held-out", "0.1"], "--eval and --held-out are given"),
        (&["--epochs", "0", "--resume"], "--resume is about learning"),
        (&["--steps", "3", "--epochs", "0"], "--steps is about learning"),
        (&["--atoms", "24", "--atoms", "25"], "--atoms is both 24 and 25"),
        (&["--out", "a", "--out=b"], "--out is both a and b"),
        (&["--clip-norm", "NaN"], "--clip-norm is NaN"),
        (&["--start-at", "-0.5"], "--start-at is -0.5"),
        (&["--target-fvu", "inf"], "--target-fvu is inf"),
        (&["--threads", "100000"], "--threads is 100000, expected a whole number from 1 to 1024"),
        (&["--atoms", "4000000000"], "4000000000 atoms of dimension 16 take at least"),
        (&["--atoms", "30001"], "--atoms is 30001, expected at most 30000 for 300 rows"),
        (&["--sparsity", "100000000"], "--sparsity is 100000000"),
        (&["--tensor", ""], "--tensor is empty"),
    ];
    for (arguments, part) in cases {
        one_line(&bench.learn(arguments), 2, part);
    }
    assert!(!bench.path("out").exists() && !bench.path("a").exists());
    one_line(&bench.call(&["--data", "--json"]), 2, "missing argument for option '--data'");
    one_line(&bench.call(&["--data", ""]), 2, "--data is empty");
    // Twice the same says the same.
    let twice = ["--atoms", "24", "--atoms", "24", "--sparsity", "3", "--epochs", "1"];
    assert!(bench.learn(&twice).status.success());
}
