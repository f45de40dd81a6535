//! The example `ablation`, run as a program.

use crate::programs::{error_of, run, stdout_of};

const SMALL: [&str; 12] = [
    "--problems",
    "planted",
    "--minibatches",
    "4,1",
    "--atom-batches",
    "32,999",
    "--power-steps",
    "1",
    "--seeds",
    "2",
    "--epochs",
    "2",
];

#[test]
fn it_writes_every_combination_and_the_differences() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("new/ablation");
    let arguments = [&SMALL[..], &["--out", out.to_str().unwrap()]].concat();
    let text = stdout_of(&run("ablation", &arguments));
    // Minibatches of a quarter and of all samples; batches of 32 and, at most, all 256 atoms.
    for row in ["| 1024 | 32 |", "| 1024 | 256 |", "| 4096 | 32 |", "| 4096 | 256 |"] {
        assert_eq!(text.matches(row).count(), 1, "{row} in {text}");
    }
    for row in ["| minibatch 4096 |", "| atom batch 256 |", "| no care |"] {
        assert_eq!(text.matches(row).count(), 1, "{row} in {text}");
    }
    assert_eq!(std::fs::read_to_string(out.join("ablation.md")).unwrap().trim(), text.trim());
    let picture = std::fs::read(out.join("ablation.png")).unwrap();
    assert!(picture.starts_with(b"\x89PNG"));
}

#[test]
fn wrong_arguments_are_named() {
    for (arguments, named) in [
        (
            vec!["--problems", "images"],
            "--problems is \"images\", expected embeddings, planted or coherent",
        ),
        (
            vec!["--atom-batches", "0"],
            "--atom-batches is \"0\", expected whole numbers, at least 1",
        ),
        (vec!["--atom-batches", "2,2"], "--atom-batches is 2 twice"),
        (vec!["--seeds", "1"], "--seeds is 1, expected a whole number, at least 2"),
        (vec!["--minibatch", "4"], "see --help"),
    ] {
        let message = error_of(&run("ablation", &arguments));
        assert!(message.contains(named), "{message}");
    }
}
