//! One dictionary update of a minibatch, in samples a second: the default, all atoms in one batch,
//! and one atom after the other. Before that, unless a name is asked for, three tables, each also
//! by its name: a sweep against the memory it moves (`stream`), two threads against one
//! (`threads`), and shards against one (`shards`).

mod sweep;
mod workload;

use criterion::{BatchSize, Criterion, Throughput, criterion_group};
use dbksvd::Faer;
use dbksvd::backend::Backend;
use dbksvd::updater::{DictionaryUpdater, KSvd, Step};
use workload::WORKLOADS;

fn update(criterion: &mut Criterion) {
    let backend = Faer::<f32>::default();
    let mut group = workload::group(criterion, "update");
    for workload in &WORKLOADS {
        let (dictionary, samples) = workload.generate();
        let codes = workload.encode(&dictionary, &samples);
        let energy = backend.squared_norm(&samples).expect("host memory");
        let order: Vec<u32> = (0..workload.shape.atoms as u32).collect();
        let step = Step::new(&order, 0.5);
        group.throughput(Throughput::Elements(workload.samples as u64));
        for (name, updater) in [
            ("default", KSvd::new()),
            ("one-batch", KSvd::new().atom_batch(workload.shape.atoms)),
            ("sequential", KSvd::new().atom_batch(1)),
        ] {
            let fresh = || {
                let state =
                    DictionaryUpdater::<Faer<f32>>::prepare(&updater, &backend, &workload.shape);
                (state.expect("memory"), codes.clone(), dictionary.clone())
            };
            let run = |(mut state, mut codes, mut dictionary)| {
                let report = updater
                    .update(&backend, &mut state, &samples, &mut codes, &mut dictionary, &step)
                    .expect("memory");
                (report, state, codes, dictionary)
            };
            let (report, ..) = run(fresh());
            let left = report.error_after / energy;
            assert!(left < workload.error, "{}: {left} of the energy is left", workload.name);
            group.bench_function(format!("{name}/{}", workload.name), |bencher| {
                bencher.iter_batched(fresh, run, BatchSize::LargeInput);
            });
        }
    }
    group.finish();
}

criterion_group!(benches, update);

fn main() {
    let names = std::env::args().skip(1).filter(|argument| !argument.starts_with('-'));
    let names: Vec<String> = names.collect();
    let printed = sweep::print(&names);
    if printed && !names.is_empty() {
        return;
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
