//! Sparse coding, in samples a second; beside it the product DᵀY alone, which no pursuit that looks
//! at every atom can do without: the ratio says what the pursuit itself costs.

mod workload;

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use dbksvd::Faer;
use dbksvd::coder::{BatchOmp, Omp, Selection, SparseCoder};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::linalg::matmul::matmul;
use dbksvd::faer::{Accum, Mat, Par};
use workload::{WORKLOADS, Workload};

fn encode(criterion: &mut Criterion) {
    let mut group = workload::group(criterion, "encode");
    for workload in &WORKLOADS {
        let (dictionary, samples) = workload.generate();
        group.throughput(Throughput::Elements(workload.samples as u64));
        product(&mut group, workload, &dictionary, &samples);
        let ols = BatchOmp::new().selection(Selection::LeastSquares);
        code(&mut group, workload, "batch-omp", BatchOmp::new(), &dictionary, &samples);
        code(&mut group, workload, "batch-ols", ols, &dictionary, &samples);
        // The textbook's time is a multiple of the others': a part of the samples is enough.
        let few = samples.subcols(0, workload.samples / 16).to_owned();
        group.throughput(Throughput::Elements(few.ncols() as u64));
        code(&mut group, workload, "omp", Omp::new(), &dictionary, &few);
    }
    group.finish();
}

/// DᵀY.
fn product(
    group: &mut BenchmarkGroup<'_, WallTime>,
    workload: &Workload,
    dictionary: &Mat<f32>,
    samples: &Mat<f32>,
) {
    let mut correlations = Mat::<f32>::zeros(dictionary.ncols(), samples.ncols());
    group.bench_function(format!("product/{}", workload.name), |bencher| {
        bencher.iter(|| {
            let (d, y) = (black_box(dictionary), black_box(samples));
            let into = correlations.as_mut();
            matmul(into, Accum::Replace, d.transpose(), y, 1.0, Par::rayon(0));
        });
    });
}

/// One coder with its Gram matrix, if any, at hand.
fn code<C: SparseCoder<Faer<f32>>>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    workload: &Workload,
    name: &str,
    coder: C,
    dictionary: &Mat<f32>,
    samples: &Mat<f32>,
) {
    let backend = Faer::<f32>::default();
    let mut state = coder.prepare(&backend, &workload.shape).expect("memory");
    coder.set_dictionary(&backend, &mut state, dictionary).unwrap();
    let mut codes = SparseCodes::new(workload.shape.atoms, 0, workload.shape.sparsity);
    coder.encode(&backend, &state, dictionary, samples, &mut codes).unwrap();
    workload.check(dictionary, samples, &codes);
    group.bench_function(format!("{name}/{}", workload.name), |bencher| {
        bencher.iter(|| {
            let samples = black_box(samples);
            coder.encode(&backend, &state, dictionary, samples, &mut codes).unwrap();
        });
    });
}

criterion_group!(benches, encode);
criterion_main!(benches);
