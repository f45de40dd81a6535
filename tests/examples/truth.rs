//! The example `truth`, run as a program.

use crate::programs::{error_of, run, stdout_of};

const SMALL: [&str; 10] =
    ["--samples", "3000", "--evaluation", "500", "--atoms", "64", "--epochs", "4", "--seeds", "2"];

#[test]
fn a_row_for_each_seed_and_one_for_their_mean() {
    let text = stdout_of(&run("truth", &[&SMALL[..], &["--first-seed", "3"]].concat()));
    let rows: Vec<Vec<&str>> =
        text.lines().map(|line| line.split('|').map(str::trim).collect()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row[1]).collect();
    assert_eq!(names, ["seed", "---", "3", "4", "mean"], "{text}");
    let f1 = |row: &[&str]| row[2].split(' ').next().unwrap().parse::<f64>().unwrap();
    let (one, two, mean) = (f1(&rows[2]), f1(&rows[3]), f1(&rows[4]));
    assert!(((one + two) / 2.0 - mean).abs() < 2e-4 && (0.0..=1.0).contains(&mean), "{text}");
    assert!(rows[4][2].contains('±'), "{text}");
}

#[test]
fn what_would_be_ignored_is_refused() {
    for (arguments, named) in [
        (vec!["--seeds", "0"], "--seeds is 0, expected"),
        (vec!["--features", "4k"], "--features is \"4k\", expected 2k or 16k"),
        (vec!["--center"], "--center goes with --data"),
        (vec!["--data", "x.npy", "--samples", "5"], "--samples is of the generator"),
        (vec!["--data", "x.npy", "--sweep"], "--sweep is of the generator"),
        (vec!["--data", "missing.npy"], "missing.npy"),
        (vec!["--epochs", "many"], "--epochs is \"many\""),
    ] {
        let message = error_of(&run("truth", &arguments));
        assert!(message.contains(named), "{arguments:?}: {message}");
    }
}
