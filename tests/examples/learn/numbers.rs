//! Numbers that single precision cannot hold, and arrays of other shapes: read for what they are,
//! or refused in a line that says what to do.

use crate::learn::program::{Bench, DIM, ROWS, lines, one_line, planted, result};
use crate::programs::npy_of;
use crate::programs::with;

const OPTIONS: [&str; 8] = ["--atoms", "24", "--sparsity", "3", "--epochs", "10", "--seed", "1"];

/// The planted samples as f64, changed by `change`, which is told the row.
fn write(bench: &Bench, name: &str, change: impl Fn(usize, f64) -> f64) {
    let values = planted::<f64>(ROWS, DIM);
    let values = values.iter().enumerate().map(|(i, &x)| change(i / DIM, x));
    let bytes: Vec<u8> = values.flat_map(f64::to_le_bytes).collect();
    std::fs::write(bench.path(name), npy_of("<f8", &format!("({ROWS}, {DIM})"), &bytes)).unwrap();
}

/// Another value in place of one, of the row of that number.
type Change = fn(usize, f64) -> f64;

/// Ways in which single precision loses the planted samples, and what a refusal says of each.
const LOST: [(&str, Change, &str); 4] = [
    ("offset", |_, x| x + 1e9, "rounding to f32 would change"),
    ("tiny", |_, x| x * 1e-60, "would take for zero"),
    ("subnormal", |_, x| x * 1e-41, "would take for zero"),
    ("large", |row, x| if row == 7 { 1e39 } else { x }, "finite, but beyond f32"),
];

#[test]
fn doubles_are_learned_in_double_precision() {
    let bench = Bench::new();
    let fvu = |data: &str, options: &[&str]| {
        let call = [&OPTIONS[..], &["--json", "--data", data], options].concat();
        result(&bench.call(&call))["fvu"].as_f64().unwrap()
    };
    write(&bench, "plain.npy", |_, x| x);
    let plain = fvu("plain.npy", &["--mean"]);
    for (name, change, _) in LOST {
        let file = format!("{name}.npy");
        write(&bench, &file, change);
        if name == "large" {
            // A row of 10³⁹ is all of the variance, and is given by an atom of its own.
            assert!(fvu(&file, &[]) < 1e-6);
            continue;
        }
        let found = fvu(&file, &["--mean"]);
        assert!((found - plain).abs() < 0.01 * plain, "{name}: {found}, unchanged {plain}");
    }
    // What was learned is of the precision it was learned in.
    let model = dbksvd::Model::<f64>::load(bench.path("out").join("dictionary.safetensors"));
    assert_eq!(model.unwrap().atoms(), 24);
    let array = std::fs::read(bench.path("out").join("dictionary.npy")).unwrap();
    assert!(array.windows(5).any(|text| text == b"'<f8'"));
}

#[test]
fn doubles_that_single_precision_loses_are_refused_in_it() {
    let bench = Bench::new();
    let single = [&OPTIONS[..], &["--precision", "f32"]].concat();
    for (name, change, message) in LOST {
        let file = format!("{name}.npy");
        write(&bench, &file, change);
        for preprocessing in [&[][..], &["--mean"]] {
            let call = [&single[..], &["--data", &file], preprocessing].concat();
            let run = bench.call(&call);
            one_line(&run, 1, message);
            one_line(&run, 1, "--precision f64");
            one_line(&run, 1, &file);
        }
        // Rows that are only measured or coded are asked as well.
        let measured = bench.learn(&[&single[..], &["--eval", &file]].concat());
        one_line(&measured, 1, message);
        one_line(&measured, 1, &file);
        let coded = with(&single, &["--epochs", "0", "--data", &file]);
        one_line(&bench.call(&coded), 1, message);
    }
    let run = bench.call(&[&single[..], &["--data", "large.npy"]].concat());
    one_line(&run, 1, "row 7: coordinate 0 is 1e39");
    one_line(&bench.learn(&["--precision", "double"]), 2, "expected f32 or f64");
}

#[test]
fn the_precision_is_that_of_all_files_unless_it_is_given() {
    let bench = Bench::new();
    write(&bench, "double.npy", |_, x| x);
    let dictionary = |options: &[&str]| {
        let call = [&OPTIONS[..], &["--data", "double.npy"], options].concat();
        let run = bench.call(&call);
        assert!(run.status.success(), "{run:?}");
        std::fs::read(bench.path("out").join("dictionary.safetensors")).unwrap()
    };
    let of_type = |bytes: &[u8], name: &[u8]| bytes.windows(3).any(|text| text == name);
    assert!(of_type(&dictionary(&[]), b"F64"));
    assert!(of_type(&dictionary(&["--precision", "f32"]), b"F32"));
    assert!(of_type(&dictionary(&["data.npy"]), b"F32"), "files of both types");
    let single = [&OPTIONS[..], &["--precision", "f64", "--data", "data.npy"]].concat();
    assert!(bench.call(&single).status.success());
    let model = std::fs::read(bench.path("out").join("dictionary.safetensors")).unwrap();
    assert!(of_type(&model, b"F64"));
}

#[test]
fn arrays_of_more_axes_are_rows_and_the_table_says_so() {
    let bench = Bench::new();
    let bytes: Vec<u8> = planted::<f32>(ROWS, DIM).iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(bench.path("deep.npy"), npy_of("<f4", &format!("(15, 20, {DIM})"), &bytes))
        .unwrap();
    let flat = bench.learn(&[&OPTIONS[..], &["--json"]].concat());
    let deep = [&OPTIONS[..], &["--data", "deep.npy"]].concat();
    let json = bench.call(&[&deep[..], &["--json"]].concat());
    assert_eq!(result(&json)["fvu"], result(&flat)["fvu"]);
    let run = bench.call(&deep);
    let text = lines(&run.stdout).join("\n");
    assert!(text.contains("deep.npy: shape [15, 20, 16] is read as [300, 16]"), "{text}");
    std::fs::write(bench.path("flat.npy"), npy_of("<f4", "(16,)", &bytes[..64])).unwrap();
    one_line(&bench.call(&["--data", "flat.npy"]), 1, "flat.npy: shape [16], expected (N, d)");
}

#[test]
fn rows_without_variance_explain_nothing() {
    let bench = Bench::new();
    let bytes: Vec<u8> = (0..ROWS * DIM).flat_map(|i| ((i % DIM) as f32).to_le_bytes()).collect();
    let file = npy_of("<f4", &format!("({ROWS}, {DIM})"), &bytes);
    std::fs::write(bench.path("equal.npy"), file).unwrap();
    let call = [&OPTIONS[..], &["--mean", "--data", "equal.npy"]].concat();
    let text = lines(&bench.call(&call).stdout).join("\n");
    for measure in ["FVU", "explained variance"] {
        let line = text.lines().find(|line| line.trim_start().starts_with(measure)).unwrap();
        assert!(line.ends_with("no variance"), "{text}");
    }
    let last = result(&bench.call(&[&call[..], &["--json"]].concat()));
    assert!(last["fvu"].is_null() && last["explained_variance"].is_null(), "{last}");
}
