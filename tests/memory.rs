//! A run takes no more memory than the crate's documentation says.
//!
//! One test a binary: what the process holds is the system's figure for all of it.
#![cfg(target_os = "linux")]

use std::fs;

use dbksvd::DbKsvd;
use dbksvd::synthetic::Planted;

/// A size in kibibytes from `/proc/self/status`.
fn status(key: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("the key");
    line.trim_start_matches(':').trim().trim_end_matches("kB").trim().parse().expect("a number")
}

#[test]
fn the_peak_of_a_run_is_within_the_documented_formula() {
    let (dim, atoms, sparsity, samples, minibatch) = (192, 2048, 16, 16_384, 16_384);
    let threads = 2;
    let data = Planted::new(dim, atoms, sparsity, samples).noise(0.1).seed(2);
    let data = data.generate::<f32>().expect("a legal problem").samples;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let builder = DbKsvd::builder(atoms, sparsity).epochs(3).minibatch(minibatch).seed(1);
    let learner = builder.build().expect("a legal configuration");

    // The peak so far is of making the data: start from what is held now.
    let reset = fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = if reset { status("VmRSS") } else { status("VmHWM") };
    let (_, report) = pool.install(|| learner.fit(&data)).expect("finite samples");
    assert_eq!(report.steps, 3);
    let held = 1024.0 * (status("VmHWM") - before);

    // The formula of the crate's documentation, section "Memory", in bytes.
    let (d, m, k, n, p, s) = (dim, atoms, sparsity, minibatch, threads, 4);
    let formula = s * (3 * d * n + 3 * d * m + p * ((324 + 2 * k) * m + 200 * d) + 32 * d)
        + 2 * (m * m + d * m)
        + n * (k * (s + 16) + 4)
        + 4 * samples;
    let ratio = held / formula as f64;
    println!("{held:.0} bytes, {ratio:.3} of {formula}");
    assert!(ratio < 1.3, "{held} bytes were held, the formula says {formula}");
    assert!(ratio > 0.5 || !reset, "{held} bytes: the formula says {formula}, which is too much");
}
