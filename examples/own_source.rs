//! Samples from wherever they are: a source of one's own, and a stream that cannot seek.
//!
//! A source says how many samples there are, and reads a range of them into a buffer, from any
//! thread. That is all it takes for shuffling, read-ahead, held-out samples and checkpoints.
//! `cargo run --release --example own_source`

#[path = "common/program.rs"]
mod program;

use std::ops::Range;
use std::process::ExitCode;

use dbksvd::error::SourceError;
use dbksvd::faer::MatRef;
use dbksvd::learn::{Every, StopReason};
use dbksvd::source::{HeldOut, SampleSource, check_read};
use dbksvd::{DbKsvd, Error};

/// Windows of a long recording: window i is what begins at its i-th value. Nothing is copied but
/// what is read.
struct Windows<'a> {
    recording: &'a [f32],
    length: usize,
}

impl SampleSource<f32> for Windows<'_> {
    fn dim(&self) -> usize {
        self.length
    }

    fn len(&self) -> usize {
        self.recording.len() + 1 - self.length
    }

    fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
        check_read(&range, into.len(), self.len(), self.length)?;
        for (window, start) in into.chunks_exact_mut(self.length).zip(range) {
            window.copy_from_slice(&self.recording[start..start + self.length]);
        }
        Ok(())
    }
}

/// A recording: clicks of three shapes at random times, and a hum.
fn recording(length: usize) -> Vec<f32> {
    let mut recording: Vec<f32> = (0..length).map(|t| 0.1 * (t as f32 * 0.7).sin()).collect();
    let (mut at, mut random) = (0, 12345_u64);
    while at + 40 < length {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let pitch = [0.35, 0.9, 1.6][(random >> 33) as usize % 3];
        for t in 0..24 {
            recording[at + t] += (-(t as f32) / 6.0).exp() * (pitch * t as f32).sin();
        }
        at += 24 + (random >> 40) as usize % 16;
    }
    recording
}

const HELP: &str = "\
Learns from windows of a recording, through a source of one's own, and from a stream.

Usage: cargo run --release --example own_source
";

fn main() -> ExitCode {
    program::run_without_options(HELP, learn)
}

fn learn() -> Result<(), Error> {
    let recording = recording(60_000);
    let windows = Windows { recording: &recording, length: 32 };
    let learner = DbKsvd::builder(64, 3)
        .held_out(HeldOut::Share(0.1))
        .evaluate_every(Every::Steps(50))
        .target_fvu(0.05)
        .build()?;
    let fit = learner.run(&windows).finish()?;
    let ended = if fit.report.stop == StopReason::TargetFvu { "reached" } else { "missed" };
    for one in &fit.report.evaluations {
        println!(
            "after {:>4} steps: FVU {:.4} on {} held-out windows",
            one.step, one.fvu, one.samples
        );
    }
    println!("the target of 0.05 was {ended} in {:.1} s\n", fit.report.seconds.total);

    // A stream gives each sample once: minibatches are learned from as they come, and the model can
    // be had at any time. The number of steps is the horizon of the schedules.
    let mut session = DbKsvd::builder(64, 3).build()?.session(32, 30)?;
    for minibatch in recording.chunks_exact(32 * 60).take(30) {
        let samples = MatRef::from_column_major_slice(minibatch, 32, 60);
        let step = session.step(samples)?;
        if step.step.is_multiple_of(10) {
            println!("step {} of the stream: FVU {:.4}", step.step, step.fvu);
        }
    }
    let model = session.model()?.ok_or(Error::NoSamples { argument: "stream" })?;
    println!("{} atoms of dimension {}", model.atoms(), model.dim());
    Ok(())
}
