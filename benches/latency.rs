//! How long a service waits for the codes of few samples: the median of single calls of
//! `Encoder::encode`, and beside it that of the product DᵀY of the same samples alone, which no
//! pursuit that looks at every atom can do without.
//!
//! Every call is of other samples than the one before, and calls of both kinds take turns, so that
//! a busy machine disturbs ratios less than times. Codes are compared, bit by bit, with those of
//! all samples at once: a fast coder of other codes measures nothing. Times of one sample are of
//! the thread that calls; those of more samples are on a pool of one thread, and of two. For one
//! sample, the table also has `Omp`, the textbook's form, with an encoder that is kept as well.
//!
//! `cargo bench --bench latency`, with a part of a shape's name to run only those.

mod workload;

use std::hint::black_box;
use std::time::Instant;

use dbksvd::coder::{BatchOmp, Omp};
use dbksvd::faer::linalg::matmul::matmul;
use dbksvd::faer::{Accum, Mat, MatRef, Par};
use dbksvd::synthetic::Kind;
use dbksvd::{Dictionary, Encoder, Model, Sign, SparseCodes};
use workload::{Workload, workload};

/// Samples of a call.
const SIZES: [usize; 4] = [1, 4, 16, 128];

/// Calls of each kind.
const CALLS: usize = 2000;

/// The shapes of `ratios`, whose samples have no codes, so that pursuits take all their steps.
fn workloads() -> [Workload; 4] {
    let of = |name, shape| workload(name, shape, 2048, Kind::Anisotropic, 1.0);
    [
        of("W1", (64, 256, 8)),
        of("W2", (384, 2048, 16)),
        of("wide", (128, 1024, 8)),
        of("long", (384, 2048, 64)),
    ]
}

fn main() {
    // Cargo hands `--bench` on; what is not an option names workloads.
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    println!(
        "| (d, m, k) | samples | product, µs | encode, µs | over the product | p99, µs | \
         2 threads, µs | `Omp`, µs |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for workload in workloads() {
        if only.is_empty() || only.iter().any(|name| workload.name.contains(name.as_str())) {
            rows(&workload);
        }
    }
}

fn rows(workload: &Workload) {
    let (dictionary, samples) = workload.generate();
    let unit = Dictionary::new(dictionary.clone()).expect("unit atoms");
    let shape = workload.shape;
    let model = Model::new(unit, None, shape.sparsity, Sign::Signed).expect("a legal shape");
    let encoder: Encoder = model.encoder(BatchOmp::new()).expect("memory");
    let expected = encoder.encode(samples.as_ref()).expect("finite samples");
    workload.check(&dictionary, &samples, &expected);
    let problem = Problem { encoder: &encoder, dictionary: &dictionary, samples: &samples };
    let [one, two] = [1, 2].map(|threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
    });
    for size in SIZES {
        let of_one = || problem.times(size, &expected);
        // One sample is coded where the call is made.
        let (product, coding) = if size == 1 { of_one() } else { one.install(of_one) };
        let (_, by_two) = two.install(|| problem.times(size, &expected));
        let textbook = match size {
            1 => format!("{:.1}", median(&textbook_times(&model, &samples))),
            _ => "–".to_owned(),
        };
        println!(
            "| ({}, {}, {}) | {size} | {:.1} | {:.1} | {:.2} | {:.1} | {:.1} | {textbook} |",
            shape.dim,
            shape.atoms,
            shape.sparsity,
            median(&product),
            median(&coding),
            median(&coding) / median(&product),
            coding[coding.len() * 99 / 100] * 1e6,
            median(&by_two),
        );
    }
}

/// Microseconds.
fn median(times: &[f64]) -> f64 {
    times[times.len() / 2] * 1e6
}

/// Seconds in which [`Omp`] codes one sample, in rising order.
fn textbook_times(model: &Model<f32>, samples: &Mat<f32>) -> Vec<f64> {
    let encoder = model.encoder(Omp::new()).expect("memory");
    let mut times: Vec<f64> = (0..CALLS / 20)
        .map(|call| {
            let start = Instant::now();
            black_box(encoder.encode(black_box(samples.subcols(call, 1))).expect("finite samples"));
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times
}

struct Problem<'a> {
    encoder: &'a Encoder,
    dictionary: &'a Mat<f32>,
    samples: &'a Mat<f32>,
}

impl Problem<'_> {
    /// Seconds of products and of codes of `size` samples, in rising order.
    fn times(&self, size: usize, expected: &SparseCodes<f32>) -> (Vec<f64>, Vec<f64>) {
        let mut products = Mat::zeros(self.dictionary.ncols(), size);
        let (mut product, mut coding) = (Vec::new(), Vec::new());
        for call in 0..CALLS.div_ceil(size.min(16)) {
            let first = call * size % (self.samples.ncols() - size);
            let part = self.samples.subcols(first, size);
            let start = Instant::now();
            multiply(products.as_mut(), black_box(self.dictionary), black_box(part));
            product.push(start.elapsed().as_secs_f64());
            let start = Instant::now();
            let codes = self.encoder.encode(black_box(part)).expect("finite samples");
            coding.push(start.elapsed().as_secs_f64());
            for i in 0..size {
                let found = (codes.support(i), codes.values(i));
                assert_eq!(found, (expected.support(first + i), expected.values(first + i)));
            }
        }
        product.sort_by(f64::total_cmp);
        coding.sort_by(f64::total_cmp);
        (product, coding)
    }
}

/// DᵀY on this thread.
fn multiply(into: dbksvd::faer::MatMut<'_, f32>, d: &Mat<f32>, y: MatRef<'_, f32>) {
    matmul(into, Accum::Replace, d.transpose(), y, 1.0, Par::Seq);
}
