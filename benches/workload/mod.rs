//! What the benchmarks share: named shapes, data from fixed seeds, settings of criterion.
#![allow(dead_code, reason = "each benchmark uses its part")]

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use dbksvd::backend::Backend;
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::Mat;
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Faer, ProblemShape, Sign};

/// A problem of a size that occurs.
pub struct Workload {
    /// Its name, with the kind of data.
    pub name: &'static str,
    /// Dimensions and budget.
    pub shape: ProblemShape,
    /// Samples of one timed call: enough for every core to have several blocks.
    pub samples: usize,
    /// The kind of data.
    pub kind: Kind,
    /// What OMP leaves of ‖Y‖² at most: a benchmark of wrong answers measures nothing.
    pub error: f64,
}

/// A workload.
pub const fn workload(
    name: &'static str,
    (dim, atoms, sparsity): (usize, usize, usize),
    samples: usize,
    kind: Kind,
    error: f64,
) -> Workload {
    let shape = ProblemShape { dim, atoms, sparsity, sign: Sign::Signed };
    Workload { name, shape, samples, kind, error }
}

/// W1, patches of images of 8 × 8 pixels, four times overcomplete: the dictionary and its Gram
/// matrix lie in the caches. W2, sentence embeddings of MiniLM: d and k are large, and the Gram
/// matrix (16 MiB in f32) does not. Planted codes make the samples; anisotropic ones have no codes,
/// so that pursuits are not helped by the data being easy.
pub const WORKLOADS: [Workload; 4] = [
    workload("W1-planted", (64, 256, 8), 4096, Kind::Planted, 0.3),
    workload("W1-anisotropic", (64, 256, 8), 4096, Kind::Anisotropic, 0.5),
    workload("W2-planted", (384, 2048, 16), 1024, Kind::Planted, 0.3),
    workload("W2-anisotropic", (384, 2048, 16), 1024, Kind::Anisotropic, 0.6),
];

impl Workload {
    /// Atoms and samples.
    pub fn generate(&self) -> (Mat<f32>, Mat<f32>) {
        let ProblemShape { dim, atoms, sparsity, .. } = self.shape;
        let planted = Planted::new(dim, atoms, sparsity, self.samples).kind(self.kind);
        let data = planted.noise(0.05).seed(1).generate().expect("a legal problem");
        (data.dictionary.into_mat(), data.samples)
    }

    /// Codes by batch-OMP, checked.
    pub fn encode(&self, dictionary: &Mat<f32>, samples: &Mat<f32>) -> SparseCodes<f32> {
        let (backend, coder) = (Faer::<f32>::default(), BatchOmp::new());
        let mut state = coder.prepare(&backend, &self.shape).expect("memory");
        coder.set_dictionary(&backend, &mut state, dictionary).unwrap();
        let mut codes = SparseCodes::new(self.shape.atoms, 0, self.shape.sparsity);
        coder.encode(&backend, &state, dictionary, samples, &mut codes).unwrap();
        self.check(dictionary, samples, &codes);
        codes
    }

    /// Fails unless the codes leave no more than the error stated.
    pub fn check(&self, dictionary: &Mat<f32>, samples: &Mat<f32>, codes: &SparseCodes<f32>) {
        let backend = Faer::<f32>::default();
        let mut residual = Mat::zeros(0, 0);
        backend.residual(&mut residual, samples, dictionary, codes);
        let left = backend.squared_norm(&residual).expect("host memory")
            / backend.squared_norm(samples).expect("host memory");
        assert!(left < self.error, "{}: {left} of the energy is left", self.name);
    }
}

/// A group of few samples of short time: differences of a few percent want a longer run.
pub fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group.sample_size(10);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    group
}
