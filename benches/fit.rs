//! A whole run with the defaults, in samples a second: two epochs, from samples in memory.

mod workload;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use dbksvd::DbKsvd;
use workload::WORKLOADS;

const EPOCHS: usize = 2;

fn fit(criterion: &mut Criterion) {
    let mut group = workload::group(criterion, "fit");
    for workload in &WORKLOADS {
        let (_, samples) = workload.generate();
        let (atoms, sparsity) = (workload.shape.atoms, workload.shape.sparsity);
        let builder = DbKsvd::builder(atoms, sparsity).epochs(EPOCHS).minibatch(512);
        let learner = builder.build().expect("a legal configuration");
        let (_, report) = learner.fit(&samples).expect("finite samples");
        let last = report.epochs[EPOCHS - 1];
        assert!(last.relative_error < 1.0, "{}: {last:?}", workload.name);
        group.throughput(Throughput::Elements((EPOCHS * workload.samples) as u64));
        group.bench_function(workload.name, |bencher| {
            bencher.iter(|| learner.fit(&samples).expect("finite samples"));
        });
    }
    group.finish();
}

criterion_group!(benches, fit);
criterion_main!(benches);
