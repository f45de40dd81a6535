//! The example `phase`, run as a program.

use crate::programs::{error_of, run, stdout_of};

/// A grid of four easy and hard cells, learned for a few steps.
const SMALL: [&str; 14] = [
    "--dim",
    "12",
    "--atoms",
    "16",
    "--sparsities",
    "1,6",
    "--samples",
    "60,600",
    "--steps",
    "30",
    "--seeds",
    "2",
    "--threads",
    "2",
];

#[test]
fn a_small_grid_gives_a_table_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let text = stdout_of(&run("phase", &[&SMALL[..], &["--out", out]].concat()));
    let table = std::fs::read_to_string(folder.path().join("phase.md")).unwrap();
    assert_eq!(text.trim_end(), table.trim_end());
    let cells: Vec<&str> =
        table.lines().filter(|line| line.starts_with('|') && line.contains('±')).collect();
    assert_eq!(cells.len(), 4 + 4, "cells and methods: {table}");
    let share = |row: &str| -> f64 {
        let first = row.split('|').nth(3).unwrap();
        first.split('±').next().unwrap().trim().parse().unwrap()
    };
    let of = |cell: &str| share(cells.iter().find(|line| line.starts_with(cell)).unwrap());
    assert!(of("| 1 | 600 |") > 90.0, "one atom a sample, many samples: {table}");
    assert!(of("| 6 | 60 |") < 10.0, "six of sixteen atoms a sample, few samples: {table}");

    let picture = std::fs::File::open(folder.path().join("phase.png")).unwrap();
    let reader = png::Decoder::new(std::io::BufReader::new(picture)).read_info().unwrap();
    assert!(reader.info().width > 400 && reader.info().height > 400);
}

#[test]
fn what_cannot_be_is_said_in_a_line() {
    assert!(error_of(&run("phase", &["--seeds", "1"])).contains("--seeds 1"));
    assert!(error_of(&run("phase", &["--steps", "0"])).contains("--steps 0"));
    assert!(error_of(&run("phase", &["--samples", "10,x"])).contains("--samples 10,x"));
    assert!(error_of(&run("phase", &["--kind", "odd"])).contains("--kind odd"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let beyond = ["--dim", "4", "--sparsities", "5", "--samples", "60", "--out", out];
    assert!(error_of(&run("phase", &beyond)).contains("`sparsity` is 5"));
}

#[test]
fn help_fits_on_a_screen() {
    let help = stdout_of(&run("phase", &["--help"]));
    assert!(help.contains("--sparsities LIST") && help.lines().count() <= 40, "{help}");
}
