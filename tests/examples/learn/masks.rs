//! Rows that `--mask` leaves out: a run is the one on a file without them, to the bit, and what it
//! says and writes names rows of the files that were given.

use std::fs;

use serde_json::Value;

use super::outputs::csr;
use super::program::{Bench, DIM, ROWS, events, one_line, planted, result};
use super::{SMALL, names};
use crate::programs::npy_of;

/// Whether a row of the data is used: each text of 20 begins with a row that is not, and the last
/// texts end with padding.
fn is_used(row: usize) -> bool {
    let in_text = row % 20;
    in_text != 0 && !(row >= 200 && in_text > 14)
}

fn kept(rows: usize) -> Vec<usize> {
    (0..rows).filter(|&row| is_used(row)).collect()
}

fn mask_of(rows: std::ops::Range<usize>) -> Vec<u8> {
    rows.map(|row| u8::from(is_used(row))).collect()
}

/// `masked.npy`: planted rows, those that are not used NaN. `part1.npy` to `part3.npy`: the same in
/// three files, the last of shape (5, 20, d). `kept.npy`: the rows that are used. `mask.npy`, and
/// `mask1.npy` to `mask3.npy`.
fn bench() -> Bench {
    let bench = Bench::new();
    let whole = planted::<f32>(ROWS, DIM);
    let (mut masked, mut used) = (whole.clone(), Vec::new());
    for (row, values) in masked.chunks_exact_mut(DIM).enumerate() {
        if is_used(row) {
            used.extend_from_slice(values);
        } else {
            values.fill(f32::NAN);
        }
    }
    bench.write_values("masked.npy", &masked, DIM);
    bench.write_values("kept.npy", &used, DIM);
    bench.write_values("part1.npy", &masked[..90 * DIM], DIM);
    bench.write_values("part2.npy", &masked[90 * DIM..200 * DIM], DIM);
    let bytes: Vec<u8> = masked[200 * DIM..].iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(bench.path("part3.npy"), npy_of("<f4", "(5, 20, 16)", &bytes)).unwrap();
    write_mask(&bench, "mask.npy", "|b1", "(300,)", &mask_of(0..ROWS));
    write_mask(&bench, "mask1.npy", "|u1", "(90,)", &mask_of(0..90));
    let wide: Vec<u8> =
        mask_of(90..200).into_iter().flat_map(|x| i64::from(x).to_le_bytes()).collect();
    write_mask(&bench, "mask2.npy", "<i8", "(110,)", &wide);
    write_mask(&bench, "mask3.npy", "|b1", "(5, 20)", &mask_of(200..ROWS));
    bench
}

fn write_mask(bench: &Bench, name: &str, descr: &str, shape: &str, bytes: &[u8]) {
    fs::write(bench.path(name), npy_of(descr, shape, bytes)).unwrap();
}

/// Of each row of codes, its atoms and coefficients.
fn rows_of(bench: &Bench, out: &str) -> Vec<(Vec<i32>, Vec<f32>)> {
    let (offsets, atoms, values) = csr(&bench.path(out).join("codes.npz"));
    let range = |ends: &[i32]| ends[0] as usize..ends[1] as usize;
    offsets
        .windows(2)
        .map(range)
        .map(|at| (atoms[at.clone()].to_vec(), values[at].to_vec()))
        .collect()
}

/// Demands that both outputs have one dictionary, and that the codes of `masked` are those of
/// `plain`, with rows that are not used empty between them.
#[track_caller]
fn assert_alike(bench: &Bench, masked: &str, plain: &str, rows: usize) {
    for name in ["dictionary.npy", "dictionary.safetensors", "usage.png"] {
        let [found, expected] =
            [masked, plain].map(|out| fs::read(bench.path(out).join(name)).unwrap());
        assert!(found == expected, "{name} of {masked} and {plain}");
    }
    let (found, expected) = (rows_of(bench, masked), rows_of(bench, plain));
    assert_eq!((found.len(), expected.len()), (rows, kept(rows).len()));
    assert!(expected.iter().all(|(atoms, _)| !atoms.is_empty()));
    let mut expected = expected.into_iter();
    for (row, code) in found.into_iter().enumerate() {
        let expected = if is_used(row) { expected.next() } else { Some((vec![], vec![])) };
        assert_eq!(Some(code), expected, "row {row}");
    }
}

const FIGURES: [&str; 10] = [
    "samples",
    "fvu",
    "fvu_within",
    "within",
    "norm_limit",
    "relative_error",
    "l0",
    "dead_atoms",
    "eval_fvu",
    "eval_fvu_within",
];

fn figures(result: &Value) -> Vec<Value> {
    FIGURES.map(|key| result[key].clone()).to_vec()
}

#[test]
fn rows_left_out_are_used_nowhere() {
    let bench = bench();
    let options: [&[&str]; 4] = [
        &[],
        &["--mean", "--scale", "--clip-norm", "1.2"],
        &["--held-out", "0.2", "--minibatch", "40"],
        &["--epochs", "0"],
    ];
    let files: [&[&str]; 4] = [
        &["--data", "masked.npy", "--mask", "mask.npy"],
        &["--data", "part1.npy", "part2.npy", "part3.npy", "--mask", "mask.npy"],
        &["--data", "part*.npy", "--mask", "mask?.npy"],
        &[
            "--data",
            "part1.npy",
            "part2.npy",
            "--mask=mask1.npy",
            "--data=part3.npy",
            "--mask",
            "mask2.npy",
            "mask3.npy",
        ],
    ];
    for options in options {
        let small = if options.contains(&"--epochs") { &SMALL[..4] } else { &SMALL[..] };
        let run = |files: &[&str], out: &str| {
            let rest = [options, &["--json", "--out", out]].concat();
            result(&bench.call(&[small, files, &rest].concat()))
        };
        let plain = run(&["--data", "kept.npy"], "plain");
        assert_eq!(plain["masked"], 0);
        for files in files {
            let masked = run(files, "masked");
            assert_eq!(figures(&masked), figures(&plain), "{options:?} {files:?}");
            assert_eq!(masked["masked"], ROWS - kept(ROWS).len());
            assert_alike(&bench, "masked", "plain", ROWS);
        }
    }
}

#[test]
fn rows_to_measure_on_have_a_mask_of_their_own() {
    let bench = bench();
    let run = |files: &[&str], out: &str| {
        let data = ["--data", "data.npy", "--json", "--out", out];
        events(&bench.call(&[&SMALL[..], &data, files].concat()))
    };
    let plain = run(&["--eval", "kept.npy"], "plain");
    let masked = run(&["--eval", "masked.npy", "--eval-mask", "mask.npy"], "masked");
    let evaluations = |events: &[Value]| -> Vec<Value> {
        let of = events.iter().filter(|event| event["event"] == "evaluation");
        of.map(|event| event["eval_fvu"].clone()).collect()
    };
    assert_eq!(evaluations(&masked), evaluations(&plain));
    let (plain, masked) = (plain.last().unwrap(), masked.last().unwrap());
    assert_eq!(figures(masked), figures(plain));
    assert_eq!(
        (&masked["masked"], &masked["eval_masked"]),
        (&0.into(), &(ROWS - kept(ROWS).len()).into())
    );
    assert_alike(&bench, "masked", "plain", ROWS);
    // A mask of the data is not one of the others.
    let both = ["--eval", "eval.npy", "--mask", "mask.npy", "--data", "masked.npy", "--json"];
    let both = result(&bench.call(&[&SMALL[..], &both].concat()));
    assert_eq!((&both["eval_masked"], rows_of(&bench, "out").len()), (&0.into(), 60));
}

#[test]
fn what_is_left_out_is_told() {
    let bench = bench();
    let files = ["--data", "masked.npy", "--mask", "mask.npy"];
    let run = bench.call(&[&SMALL[..], &files].concat());
    let text = String::from_utf8(run.stdout).unwrap();
    let (out, used) = (ROWS - kept(ROWS).len(), kept(ROWS).len());
    assert!(text.contains(&format!("left out by --mask: {out} of its 300 rows\n")), "{text}");
    assert!(text.contains(&format!("from rows {used} in 15 ranges of masked.npy\n")), "{text}");
    assert!(text.contains(&format!("; the {out} that the mask leaves out are empty")), "{text}");
    assert!(
        text.contains("The rows that are used are, but for the error: codes @ dictionary\n"),
        "{text}"
    );
    let (_, features) = text.split_once("with what uses each most").unwrap();
    let (features, _) = features.split_once("Wrote").unwrap();
    let (mut listed, mut shares) = (0, 0);
    for line in features.lines().filter(|line| line.contains(" rows, ")) {
        let (head, rows) = line.split_once("%: ").unwrap();
        let words: Vec<&str> = head.split_whitespace().collect();
        let uses: f64 = words[1].parse().unwrap();
        assert_eq!(*words.last().unwrap(), format!("{:.1}", 100.0 * uses / used as f64), "{line}");
        shares += 1;
        for row in rows.split(", ") {
            let row: usize = row.split(' ').next().unwrap().parse().unwrap();
            assert!(is_used(row), "row {row} in {line}");
            listed += usize::from(row >= used);
        }
    }
    assert!(shares > 3 && listed > 0, "rows are those of the file: {features}");
}

#[test]
fn massive_rows_are_warned_of_until_a_mask_leaves_them_out() {
    let bench = bench();
    let mut values = planted::<f32>(ROWS, DIM);
    values[0] += 4000.0;
    bench.write_values("sink.npy", &values, DIM);
    let run = |options: &[&str]| {
        let run = bench.call(&[&SMALL[..4], &["--data", "sink.npy"], options].concat());
        assert!(run.status.success(), "{run:?}");
        String::from_utf8(run.stdout).unwrap()
    };
    for learning in [&["--epochs", "1"][..], &["--epochs", "0"]] {
        let text = run(learning);
        let line = text.lines().find(|line| line.contains("warning")).expect("a warning");
        assert!(
            line.contains("0.33% of the rows (1) hold ") && line.contains("by --mask"),
            "{line}"
        );
        let text = run(&[learning, &["--mask", "mask.npy"]].concat());
        assert!(!text.contains("warning"), "{text}");
    }
}

#[test]
fn rows_are_named_as_in_their_file() {
    let bench = bench();
    let mut bytes = fs::read(bench.path("masked.npy")).unwrap();
    let at = bytes.len() - (ROWS - 207) * DIM * 4;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(bench.path("nan.npy"), &bytes).unwrap();
    let files = ["--data", "nan.npy", "--mask", "mask.npy"];
    for options in [&SMALL[..], &["--atoms", "24", "--sparsity", "3", "--epochs", "0"]] {
        let run = bench.call(&[options, &files].concat());
        one_line(&run, 1, "nan.npy: sample 207 is not finite: coordinate 0 is NaN");
    }
    let files = ["--data", "data.npy", "--eval", "nan.npy", "--eval-mask", "mask.npy"];
    let run = bench.call(&[&SMALL[..], &files].concat());
    one_line(&run, 1, "nan.npy: sample 207 is not finite");
}

#[test]
fn a_run_goes_on_with_its_own_mask_alone() {
    let bench = bench();
    let run = |mask: &str, epochs: &str, out: &str| {
        let options = ["--data", "data.npy", "--mask", mask, "--sparsity", "3", "--atoms", "24"];
        let rest =
            ["--epochs", "4", "--steps", epochs, "--minibatch", "50", "--out", out, "--json"];
        bench.call(&[&options[..], &rest, &["--resume"]].concat())
    };
    let whole = result(&run("mask.npy", "12", "whole"));
    assert!(run("mask.npy", "12", "out").status.success());
    // Two rows that are not among those whose bits are compared change places.
    let mut other = mask_of(0..ROWS);
    other.swap(20, 21);
    write_mask(&bench, "other.npy", "|b1", "(300,)", &other);
    one_line(&run("other.npy", "12", "out"), 1, "`data.selection` was ");
    let again = result(&run("mask.npy", "12", "out"));
    assert_eq!((&again["resumed_from"], &again["fvu"]), (&12.into(), &whole["fvu"]));
}

#[test]
fn masks_that_cannot_be_are_refused_in_a_line() {
    let bench = bench();
    let ones = |count: usize| vec![1_u8; count];
    write_mask(&bench, "short.npy", "|b1", "(299,)", &ones(299));
    write_mask(&bench, "long.npy", "|u1", "(301,)", &ones(301));
    write_mask(&bench, "zeros.npy", "|b1", "(300,)", &[0; ROWS]);
    write_mask(&bench, "twos.npy", "|u1", "(300,)", &[ones(299), vec![2]].concat());
    write_mask(&bench, "minus.npy", "|i1", "(300,)", &[vec![255], ones(299)].concat());
    write_mask(&bench, "float.npy", "<f4", "(300,)", &[0; 1200]);
    write_mask(&bench, "cut.npy", "<i8", "(300,)", &ones(300));
    write_mask(&bench, "turned.npy", "|b1", "(20, 5)", &mask_of(200..ROWS));
    fs::write(bench.path("mask.txt"), "1\n0\n").unwrap();
    let cases: [(&[&str], &str); 13] = [
        (&["short.npy"], "short.npy: 299 values, expected 300, one for each row of data.npy"),
        (&["long.npy"], "long.npy: 301 values, expected 300, one for each row of data.npy"),
        (
            &["mask1.npy", "mask2.npy"],
            "mask1.npy: 200 values in this file and 1 more, expected 300",
        ),
        (&["zeros.npy"], "zeros.npy: all 300 values are 0, expected 1 for each row"),
        (
            &["twos.npy"],
            "twos.npy: value 299 is 2, expected 0 (leaves the row out) or 1 (keeps it)",
        ),
        (&["minus.npy"], "minus.npy: value 0 is -1, expected 0"),
        (&["float.npy"], "float.npy: element type <f4, expected booleans (b1), or whole numbers"),
        (&["cut.npy"], "cut.npy: truncated"),
        (&["mask.txt"], "mask.txt: not a valid npy file"),
        (&["none.npy"], "none.npy: "),
        (&["none*.npy"], "none*.npy: "),
        (&["mask.npy", "mask.npy"], "600 values in this file and 1 more, expected 300"),
        (&["data.npy"], "data.npy: element type <f4, expected booleans"),
    ];
    for (masks, part) in cases {
        one_line(&bench.learn(&[&["--mask"], masks].concat()), 1, part);
        let eval = ["--eval", "data.npy", "--eval-mask"];
        one_line(&bench.call(&[&["--data", "eval.npy"], &eval[..], masks].concat()), 1, part);
    }
    let turned = ["--data", "part3.npy", "--mask", "turned.npy"];
    one_line(&bench.call(&turned), 1, "turned.npy: shape [20, 5], expected [5, 20] or [100]");
    let parts = ["--data", "part1.npy", "part2.npy", "part3.npy", "--mask"];
    let swapped = bench.call(&[&parts[..], &["mask2.npy", "mask1.npy", "mask3.npy"]].concat());
    one_line(&swapped, 1, "mask2.npy: 110 values, expected 90, one for each row of part1.npy");

    let usage: [(&[&str], &str); 4] = [
        (&["--eval-mask", "mask.npy"], "--eval-mask is given without --eval"),
        (&["--mask"], "missing argument for option '--mask'"),
        (&["--mask", ""], "--mask is empty"),
        (&["--mask", "out/mean.npy"], "kept apart"),
    ];
    for (options, part) in usage {
        one_line(&bench.learn(options), 2, part);
    }
    // The mask leaves too little: of one part, or for the atoms.
    write_mask(&bench, "one.npy", "|b1", "(300,)", &[vec![1], vec![0; 299]].concat());
    one_line(&bench.learn(&["--mask", "one.npy", "--held-out", "0.5"]), 2, "--held-out is a share");
    one_line(&bench.learn(&["--mask", "one.npy", "--atoms", "101"]), 2, "100 for 1 rows");
    let first: Vec<u8> = (0..8192_usize).map(|row| u8::from(row < 7168)).collect();
    write_mask(&bench, "first.npy", "|b1", "(8192,)", &first);
    let part = "--mask keeps 7168 of the 7168 rows to learn from and 0 of the 1024 to measure on";
    one_line(&bench.call(&["--mask", "first.npy"]), 1, part);
    assert!(!names(&bench.path("")).contains(&"out".to_owned()), "nothing was begun");
}

/// Of the shipped rows, those to measure on are the last, whatever is left out before them.
#[test]
fn the_shipped_rows_are_split_where_they_are() {
    let bench = bench();
    let mask: Vec<u8> = (0..8192_usize).map(|row| u8::from(row % 4 == 1)).collect();
    write_mask(&bench, "quarter.npy", "|b1", "(8192,)", &mask);
    let options = ["--atoms", "8", "--sparsity", "2", "--epochs", "0", "--mask", "quarter.npy"];
    let run = bench.call(&options);
    let text = String::from_utf8(run.stdout).unwrap();
    assert!(text.contains("rows 1,792 in 1792 ranges of"), "{text}");
    assert!(text.contains("held out: rows 256 in 256 ranges of the same"), "{text}");
    let codes = rows_of(&bench, "out");
    assert_eq!(codes.len(), 8192);
    assert!(codes.iter().enumerate().all(|(row, code)| (row % 4 == 1) != code.0.is_empty()));
}
