//! Examples run as programs.
#![allow(dead_code, reason = "each test program uses its part")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Runs an example of this crate.
pub fn run(example: &str, arguments: &[&str]) -> Output {
    Command::new(program(example)).args(arguments).output().expect("the example can be started")
}

/// Where the example's program lies: next to this test's folder. `cargo test` has built it, unless
/// it was told to build this test alone.
fn program(example: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let profile = test.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    let file = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    let program = profile.join("examples").join(file);
    if !program.exists() {
        let target = profile.parent().expect("target/<profile>");
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--example", example]).current_dir(env!("CARGO_MANIFEST_DIR"));
        build.env("CARGO_TARGET_DIR", target);
        if profile.ends_with("release") {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo can be started").success());
    }
    program
}

/// A `.npy` file of this type and shape.
pub fn npy_of(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

/// Writes such a file.
pub fn write_npy(path: impl AsRef<Path>, descr: &str, shape: &str, data: &[u8]) {
    std::fs::write(path, npy_of(descr, shape, data)).expect("a file can be written");
}

/// The options of `base` but for those that `others` give as well, and then these.
pub fn with<'a>(base: &[&'a str], others: &[&'a str]) -> Vec<&'a str> {
    let mut all = Vec::new();
    let mut is_kept = true;
    for argument in base {
        if argument.starts_with("--") {
            is_kept = !others.contains(argument);
        }
        if is_kept {
            all.push(*argument);
        }
    }
    all.extend(others);
    all
}

/// The one line that a failing example writes.
#[track_caller]
pub fn error_of(output: &Output) -> String {
    assert!(!output.status.success(), "the example succeeded");
    let line = String::from_utf8(output.stderr.clone()).expect("UTF-8");
    assert_eq!(line.lines().count(), 1, "not one line: {line}");
    assert!(line.starts_with("error: "), "{line}");
    line
}

/// What an example that succeeds writes.
#[track_caller]
pub fn stdout_of(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the example failed: {said}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}
