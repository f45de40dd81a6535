//! A process that is killed at any moment, also while it saves, leaves a run that goes on to the
//! same end, byte by byte.

use std::fs;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::program::Bench;

const KILLS: usize = 50;

const OPTIONS: [&str; 15] = [
    "--data",
    "data.npy",
    "--atoms",
    "24",
    "--sparsity",
    "3",
    "--epochs",
    "8",
    "--minibatch",
    "50",
    "--mean",
    "--checkpoint-every",
    "1",
    "--quiet",
    "--no-codes",
];

fn start(bench: &Bench, out: &str) -> Child {
    let mut program = bench.command(&[&OPTIONS[..], &["--out", out, "--resume"]].concat());
    program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn result(bench: &Bench, out: &str) -> Vec<u8> {
    fs::read(bench.path(out).join("dictionary.safetensors")).unwrap()
}

/// Names in the directory of checkpoints.
fn checkpoints(bench: &Bench, out: &str) -> Vec<String> {
    let entries = fs::read_dir(bench.path(out).join("checkpoints"));
    let names = entries.into_iter().flatten().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).collect()
}

#[test]
fn fifty_kills_change_nothing() {
    let bench = Bench::new();
    let whole = bench.learn(&[&OPTIONS[2..], &["--out", "whole"]].concat());
    assert!(whole.status.success(), "{whole:?}");
    let expected = result(&bench, "whole");
    // How long a run takes with its saves, program start included.
    let began = Instant::now();
    assert!(start(&bench, "timed").wait().unwrap().success());
    let length = began.elapsed().as_secs_f64();
    assert_eq!(result(&bench, "timed"), expected, "saving changes nothing");

    let mut random = ChaCha8Rng::seed_from_u64(4);
    let (mut killed, mut while_saving) = (0, 0);
    for kill in 0.. {
        let out = format!("out{kill}");
        let mut child = start(&bench, &out);
        sleep(Duration::from_secs_f64(length * random.random_range(0.0..1.0)));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        if !ended.success() {
            killed += 1;
            let is_half_written = |name: &String| name.ends_with(".tmp");
            while_saving += usize::from(checkpoints(&bench, &out).iter().any(is_half_written));
        }
        assert!(start(&bench, &out).wait().unwrap().success(), "kill {kill}");
        assert_eq!(result(&bench, &out), expected, "kill {kill}");
        let left = checkpoints(&bench, &out);
        assert!(!left.iter().any(|name| name.ends_with(".tmp")) && left.len() == 3, "{left:?}");
        fs::remove_dir_all(bench.path(&out)).unwrap();
        if killed == KILLS {
            break;
        }
        assert!(kill < 10 * KILLS, "{killed} of {kill} runs were killed before they had ended");
    }
    // Saves are most of what these runs do: some of the kills must have hit one.
    assert!(while_saving > 0, "none of {KILLS} kills left a file half written");
}
