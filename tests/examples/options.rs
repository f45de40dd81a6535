//! What all examples have in common: help, and a refusal of what they do not know.

use std::path::Path;
use std::process::Output;

use crate::programs::run;

/// The names of all examples, as Cargo finds them.
fn examples() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_example = |path: &std::path::PathBuf| {
        path.join("main.rs").exists() || path.extension().is_some_and(|text| text == "rs")
    };
    let name = |path: std::path::PathBuf| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<String> = paths.filter(is_example).map(name).collect();
    names.sort();
    names
}

/// Demands exit code 2, nothing on stdout, and one line on stderr that contains `part`.
#[track_caller]
fn refused(example: &str, output: &Output, part: &str) {
    let line = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{example}: {line}");
    assert!(output.stdout.is_empty(), "{example}: {output:?}");
    assert!(line.lines().count() == 1 && line.contains(part), "{example}: {line}");
}

#[test]
fn every_example_explains_itself_and_refuses_what_it_does_not_know() {
    let examples = examples();
    assert!(examples.len() >= 17, "{examples:?}");
    for example in &examples {
        for asked in ["--help", "-h"] {
            let help = run(example, &[asked]);
            assert_eq!(help.status.code(), Some(0), "{example}: {help:?}");
            assert!(help.stderr.is_empty(), "{example}: {help:?}");
            let text = String::from_utf8(help.stdout).unwrap();
            assert!(text.contains("Usage:") && text.contains(example.as_str()), "{text}");
        }
        refused(example, &run(example, &["--frobnicate"]), "--frobnicate");
        refused(example, &run(example, &["--frobnicate=1"]), "--frobnicate");
        refused(example, &run(example, &["-x"]), "-x");
    }
}

#[test]
fn words_are_refused_where_none_are_expected() {
    for example in examples() {
        let words: &[&str] = match example.as_str() {
            "coders" => &["everything"],
            "matryoshka" => &["none"],
            _ => &["surplus"],
        };
        refused(&example, &run(&example, words), words[0]);
    }
}

#[test]
fn values_that_cannot_be_are_refused() {
    let cases: [(&str, &[&str], &str); 15] = [
        ("encode", &["--threads", "100000"], "--threads is 100000, expected a whole number from 1"),
        ("denoise", &["--threads", "0"], "--threads is 0"),
        ("features", &["--threads", "1025"], "--threads is 1025"),
        ("recover", &["--noise", "inf"], "--noise is inf"),
        ("phase", &["--noise", "NaN"], "--noise is NaN"),
        ("phase", &["--seeds", "2", "--seeds", "3"], "--seeds is both 2 and 3"),
        ("updaters", &["--epochs"], "--epochs"),
        ("ablation", &["--out", ""], "--out is empty"),
        ("study", &["--out", "--atoms", "3"], "--out is followed by --atoms"),
        ("truth", &["--samples=0"], "--samples is 0"),
        ("large", &["--dim", "-3"], "--dim is \"-3\""),
        ("large", &["--steps", "1e3"], "--steps is \"1e3\""),
        ("matryoshka", &["2000"], "from 1 to 1024"),
        ("matryoshka", &["3", "4"], "3 4"),
        ("denoise", &["--quiet=yes"], "--quiet"),
    ];
    for (example, arguments, part) in cases {
        refused(example, &run(example, arguments), part);
    }
}

#[test]
fn sizes_beyond_the_memory_are_refused_at_once() {
    let huge = ["--atoms", "4000000000"];
    let examples =
        ["recover", "phase", "updaters", "truth", "large", "features", "learn", "sensing"];
    for example in examples {
        let output = run(example, &huge);
        let line = String::from_utf8(output.stderr).unwrap();
        assert!(matches!(output.status.code(), Some(1 | 2)), "{example}: {line}");
        assert!(line.lines().count() == 1, "{example}: {line}");
        assert!(line.contains("4000000000") && line.contains("GiB"), "{example}: {line}");
    }
}

#[test]
fn an_output_is_no_input() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::create_dir(folder.path().join("below")).unwrap();
    let (a, same) = (path("a.npy"), path("below/../a.npy"));
    let cases: [(&str, Vec<&str>); 5] = [
        ("encode", vec!["--dictionary", "d.npy", "--samples", &a, "--out", &same]),
        ("encode", vec!["--dictionary", &a, "--samples", "y.npy", "--out", &same]),
        ("features", vec!["--data", &a, "--tokens", "t", "--groups", "g", "--out", &same]),
        ("denoise", vec!["--image", "out/noisy.png"]),
        ("study", vec!["--data", "out/rows.npy", "--prepare", "out"]),
    ];
    for (example, arguments) in &cases {
        std::fs::write(&a, "").unwrap();
        refused(example, &run(example, arguments), "kept apart");
        assert_eq!(std::fs::read(&a).unwrap(), b"", "nothing was written");
    }
}
