//! What coding costs beyond the product DᵀY, which no pursuit that looks at every atom can do
//! without.
//!
//! For every workload and kind of data: the product alone at its best, on one core; the time of the
//! whole of coding over it, by OMP and by orthogonal least squares; the cost of the Gram matrix in
//! samples' products; and what two threads gain. Rounds are interleaved and the least time of each
//! is taken, so that a busy machine disturbs ratios less than times. Supports are compared with
//! those of the textbook in double precision: a fast coder of wrong answers measures nothing.
//!
//! `cargo bench --bench ratios`, with a part of a workload's name to run only those.

mod workload;

use std::time::Instant;

use dbksvd::HostBackend;
use dbksvd::coder::{BatchOmp, Omp, Selection, SparseCoder};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::Mat;
use dbksvd::synthetic::Kind;
use dbksvd::{Faer, ProblemShape, Sign};
use workload::{Workload, workload};

/// Rounds of which the fastest counts.
const ROUNDS: usize = 5;

/// Widths of blocks at which the product alone is tried.
const WIDTHS: [usize; 3] = [128, 256, 512];

/// A correlation that leads by less than this part of itself is a tie.
const TIE: f64 = 1e-5;

/// Workloads with the number of samples whose supports are checked. W1 and W2 as in
/// [`workload::WORKLOADS`]; W3, embeddings of a transformer of 768 dimensions; W4, those of
/// Gemma-2-2B, 2,304: the Gram matrix lies in main memory. "long" has four times the atoms a code.
fn workloads() -> Vec<(Workload, usize)> {
    let shapes = [
        ("W1", (64, 256, 8), 8192, 4096),
        ("W2", (384, 2048, 16), 1024, 1024),
        ("W3", (768, 4096, 32), 512, 256),
        ("W4", (2304, 16384, 32), 256, 16),
        ("long", (768, 4096, 128), 256, 64),
    ];
    let kinds = [Kind::Planted, Kind::Correlated, Kind::Anisotropic];
    let all = shapes.into_iter().flat_map(|shape| kinds.map(|kind| (shape, kind)));
    all.map(|((name, shape, samples, checked), kind)| {
        (workload(name, shape, samples, kind, 1.0), checked)
    })
    .collect()
}

fn main() {
    // Cargo hands `--bench` on; what is not an option names workloads.
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    println!(
        "| | product, µs | OMP | OLS | Gram, samples | 2 threads, OMP / OLS | as f64 textbook |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (workload, checked) in workloads() {
        if only.is_empty() || only.iter().any(|name| workload.name.contains(name.as_str())) {
            row(&workload, checked);
        }
    }
}

fn row(workload: &Workload, checked: usize) {
    let (dictionary, samples) = workload.generate();
    let [one, two] = [1, 2].map(|threads| {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads")
    });
    let mut coders = [Selection::Correlation, Selection::LeastSquares]
        .map(|selection| Coder::new(workload, selection));
    let mut gram = f64::INFINITY;
    for coder in &mut coders {
        gram = gram.min(one.install(|| seconds(|| coder.set_dictionary(&dictionary))));
    }
    let mut product = f64::INFINITY;
    let mut coding = [[f64::INFINITY; 2]; 2];
    for _ in 0..ROUNDS {
        product = product.min(one.install(|| product_alone(&dictionary, &samples)));
        for (coder, times) in coders.iter_mut().zip(&mut coding) {
            for (pool, time) in [&one, &two].into_iter().zip(times) {
                let took = pool.install(|| seconds(|| coder.encode(&dictionary, &samples)));
                *time = time.min(took / workload.samples as f64);
            }
        }
    }
    let agreement = agreement(workload, &dictionary, &samples, &coders[0].codes, checked);
    println!(
        "| {} {:?} | {:.2} | {:.2} | {:.2} | {:.0} | {:.2} / {:.2} | {agreement} |",
        workload.name,
        workload.kind,
        product * 1e6,
        coding[0][0] / product,
        coding[1][0] / product,
        gram / product,
        coding[0][0] / coding[0][1],
        coding[1][0] / coding[1][1],
    );
}

fn seconds(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// Seconds a sample of DᵀY on this thread, at the fastest width.
fn product_alone(dictionary: &Mat<f32>, samples: &Mat<f32>) -> f64 {
    let backend = Faer::<f32>::default();
    let mut best = f64::INFINITY;
    for width in WIDTHS {
        if width > samples.ncols() {
            continue;
        }
        let mut products = Mat::zeros(dictionary.ncols(), width);
        let blocks = samples.ncols() / width;
        let took = seconds(|| {
            for block in 0..blocks {
                let samples = samples.subcols(block * width, width);
                backend.product_tn(products.as_mut(), dictionary.as_ref(), samples);
            }
        });
        best = best.min(took / (blocks * width) as f64);
    }
    best
}

/// A coder with its state and codes.
struct Coder {
    coder: BatchOmp,
    state: <BatchOmp as SparseCoder<Faer<f32>>>::State,
    codes: SparseCodes<f32>,
}

impl Coder {
    fn new(workload: &Workload, selection: Selection) -> Self {
        let coder = BatchOmp::new().selection(selection);
        let state = coder.prepare(&Faer::<f32>::default(), &workload.shape).expect("memory");
        let codes = SparseCodes::new(workload.shape.atoms, 0, workload.shape.sparsity);
        Self { coder, state, codes }
    }

    fn set_dictionary(&mut self, dictionary: &Mat<f32>) {
        self.coder.set_dictionary(&Faer::<f32>::default(), &mut self.state, dictionary).unwrap();
    }

    fn encode(&mut self, dictionary: &Mat<f32>, samples: &Mat<f32>) {
        let backend = Faer::<f32>::default();
        self.coder.encode(&backend, &self.state, dictionary, samples, &mut self.codes).unwrap();
    }
}

/// How many of the first `checked` supports are those of the textbook in double precision. Fails
/// if, ties aside, more than one in a thousand is not.
fn agreement(
    workload: &Workload,
    dictionary: &Mat<f32>,
    samples: &Mat<f32>,
    codes: &SparseCodes<f32>,
    checked: usize,
) -> String {
    let widen = |matrix: &Mat<f32>, columns: usize| {
        Mat::from_fn(matrix.nrows(), columns, |i, j| f64::from(matrix[(i, j)]))
    };
    let dictionary = widen(dictionary, workload.shape.atoms);
    let samples = widen(samples, checked);
    let truth = textbook(&dictionary, &samples, workload.shape.sparsity);
    let (mut same, mut ties) = (0, 0);
    for i in 0..checked {
        let pair = truth.support(i).iter().zip(codes.support(i));
        match pair.into_iter().position(|(a, b)| a != b) {
            None => same += 1,
            Some(step) => {
                let sample = samples.subcols(i, 1).to_owned();
                ties += usize::from(lead(&dictionary, &sample, step) < TIE);
            }
        }
    }
    let wrong = checked - same - ties;
    assert!(1000 * wrong <= checked, "{}: {wrong} of {checked} supports differ", workload.name);
    format!("{same} of {checked}, {ties} ties")
}

fn textbook(dictionary: &Mat<f64>, samples: &Mat<f64>, sparsity: usize) -> SparseCodes<f64> {
    let (backend, coder) = (Faer::<f64>::default(), Omp::new());
    let (dim, atoms) = dictionary.shape();
    let shape = ProblemShape { dim, atoms, sparsity, sign: Sign::Signed };
    let state = coder.prepare(&backend, &shape).expect("memory");
    let mut codes = SparseCodes::new(atoms, 0, sparsity);
    coder.encode(&backend, &state, dictionary, samples, &mut codes).unwrap();
    codes
}

/// By what part of itself the largest correlation leads the second after `chosen` atoms.
fn lead(dictionary: &Mat<f64>, sample: &Mat<f64>, chosen: usize) -> f64 {
    let mut residual: Vec<f64> = sample.col_as_slice(0).to_vec();
    if chosen > 0 {
        let codes = textbook(dictionary, sample, chosen);
        for (&atom, &value) in codes.support(0).iter().zip(codes.values(0)) {
            for (r, d) in residual.iter_mut().zip(dictionary.col_as_slice(atom as usize)) {
                *r -= value * d;
            }
        }
    }
    let (mut first, mut second) = (0.0, 0.0);
    for atom in dictionary.col_iter() {
        let alpha: f64 = atom.iter().zip(&residual).map(|(d, r)| d * r).sum();
        if alpha.abs() > first {
            (first, second) = (alpha.abs(), first);
        } else if alpha.abs() > second {
            second = alpha.abs();
        }
    }
    (first - second) / first
}
