//! The example's binary, and a directory of small files for it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use dbksvd::Scalar;
use dbksvd::synthetic::Planted;
use serde_json::Value;
use tempfile::TempDir;

use crate::programs::npy_of;

pub const DIM: usize = 16;
pub const ROWS: usize = 300;

/// Where Cargo puts the example, which it builds if that has not been done: tests are given paths
/// of binaries alone, and `cargo test --test NAME` leaves examples as they are.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // …/PROFILE/deps/test-hash
        let test = std::env::current_exe().unwrap();
        let directory = test.parent().and_then(Path::parent).unwrap();
        let profile = match directory.file_name().and_then(|name| name.to_str()).unwrap() {
            "debug" => "dev",
            profile => profile,
        };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--example", "learn", "--profile", profile]);
        cargo.arg("--manifest-path");
        cargo.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
        cargo.arg("--target-dir");
        cargo.arg(Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap());
        assert!(cargo.status().unwrap().success(), "cargo build --example learn");
        directory.join("examples").join(format!("learn{}", std::env::consts::EXE_SUFFIX))
    })
}

/// A directory with `data.npy` (300 × 16) and `eval.npy` (60 × 16), planted with 24 atoms.
pub struct Bench(TempDir);

impl Bench {
    pub fn new() -> Self {
        let bench = Self(TempDir::new().unwrap());
        bench.write("data.npy", ROWS, DIM);
        bench.write("eval.npy", 60, DIM);
        bench
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program with these arguments, in the directory.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(arguments).current_dir(self.0.path());
        command
    }

    /// Calls the program in the directory.
    pub fn call(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Calls the program on `data.npy`, unless the arguments name other data.
    pub fn learn(&self, arguments: &[&str]) -> Output {
        self.call(&[&["--data", "data.npy"], arguments].concat())
    }

    /// A model of 24 atoms.
    pub fn model(&self) -> PathBuf {
        let options = ["--atoms", "24", "--sparsity", "3", "--epochs", "0", "--out", "model"];
        let run = self.learn(&options);
        assert!(run.status.success(), "{run:?}");
        self.path("model").join("dictionary.safetensors")
    }

    /// Writes `rows` planted samples; fewer are the first of more.
    pub fn write(&self, name: &str, rows: usize, dim: usize) {
        std::fs::write(self.path(name), npy(&planted(rows, dim), dim)).unwrap();
    }

    /// Writes rows of these values.
    pub fn write_values(&self, name: &str, values: &[f32], dim: usize) {
        std::fs::write(self.path(name), npy(values, dim)).unwrap();
    }

    /// Writes samples of which one value is NaN.
    pub fn write_nan(&self, name: &str, row: usize, coordinate: usize) {
        let mut values = planted(ROWS, DIM);
        values[row * DIM + coordinate] = f32::NAN;
        std::fs::write(self.path(name), npy(&values, DIM)).unwrap();
    }

    /// Copies all but the last `bytes` bytes of a file.
    pub fn truncate(&self, from: &str, to: &str, bytes: usize) {
        let content = std::fs::read(self.path(from)).unwrap();
        std::fs::write(self.path(to), &content[..content.len() - bytes]).unwrap();
    }
}

/// Planted samples, one after the other.
pub fn planted<T: Scalar>(rows: usize, dim: usize) -> Vec<T> {
    let planted = Planted::new(dim, 24, 3, rows.max(1)).noise(0.05);
    let samples = planted.generate::<T>().unwrap().samples;
    (0..rows).flat_map(|i| samples.col_as_slice(i).to_vec()).collect()
}

/// A `.npy` file of f32.
pub fn npy(values: &[f32], dim: usize) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    npy_of("<f4", &format!("({}, {dim})", values.len() / dim), &bytes)
}

/// The lines of a stream.
pub fn lines(stream: &[u8]) -> Vec<String> {
    String::from_utf8(stream.to_vec()).unwrap().lines().map(str::to_owned).collect()
}

/// The events of a run with `--json`.
#[track_caller]
pub fn events(run: &Output) -> Vec<Value> {
    assert!(run.status.success() && run.stderr.is_empty(), "{run:?}");
    lines(&run.stdout).iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The last event of a run with `--json`.
#[track_caller]
pub fn result(run: &Output) -> Value {
    events(run).pop().unwrap()
}

/// Demands a refusal: this exit code, nothing on stdout, one line on stderr that contains `part`.
#[track_caller]
pub fn one_line(run: &Output, code: i32, part: &str) {
    let stderr = lines(&run.stderr);
    assert_eq!(run.status.code(), Some(code), "{run:?}");
    assert!(run.stdout.is_empty(), "{run:?}");
    assert!(stderr.len() == 1 && stderr[0].starts_with("learn: "), "{run:?}");
    assert!(stderr[0].contains(part), "{part} in {run:?}");
}
