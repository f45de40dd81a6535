//! One sweep of the dictionary update against the memory it must move, on two threads against one,
//! and by shards against one shard: tables, printed.
//!
//! A sweep reads and writes the residual of a sample once for each atom that the sample uses: nnz ·
//! d values read and as many written. Their time at the bandwidth of a stream, measured in the same
//! process by scaling a buffer in place, is the unit of the table.

use std::hint::black_box;
use std::time::Instant;

use dbksvd::backend::SampleShards;
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::codes::SparseCodes;
use dbksvd::faer::Mat;
use dbksvd::group::Share;
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{DictionaryUpdater, KSvd, Step};
use dbksvd::{Faer, ProblemShape, Sign};

/// d, m, k and N. W1, patches of images of 8 × 8 pixels; W2, sentence embeddings; W3, embeddings of
/// a larger model. The residual lies beyond the last cache (77 and 61 MB), but for W1.
const SHAPES: [(&str, [usize; 4]); 3] = [
    ("W1", [64, 256, 8, 50_000]),
    ("W2", [384, 2048, 16, 50_000]),
    ("W3", [768, 4096, 32, 20_000]),
];

/// Easy data hide what goes wrong on real ones.
const KINDS: [(&str, Kind); 3] = [
    ("planted", Kind::Planted),
    ("anisotropic", Kind::Anisotropic),
    ("correlated", Kind::Correlated),
];

/// Minibatches of the size that the defaults give: d, m, k and N.
const MINIBATCHES: [(&str, [usize; 4]); 3] =
    [("MiniLM", [384, 1024, 16, 1792]), ("W1", [64, 256, 8, 1024]), ("W2", [384, 2048, 16, 8192])];

/// Minibatches of more than one shard: d, m, k and N. W4 with a quarter of its atoms.
const SHARDED: [(&str, [usize; 4]); 4] = [
    ("W1", [64, 256, 8, 50_000]),
    ("W2", [384, 2048, 16, 50_000]),
    ("W3", [768, 4096, 32, 20_000]),
    ("W4/4", [2304, 4096, 32, 8192]),
];

/// Shortest of so many times: other processes only ever add.
const RUNS: usize = 7;

/// Repetitions of an update go on for at least so many seconds.
const LEAST: f64 = 0.5;

/// A dictionary, samples and their codes.
struct Problem {
    shape: ProblemShape,
    dictionary: Mat<f32>,
    samples: Mat<f32>,
    codes: SparseCodes<f32>,
    order: Vec<u32>,
}

impl Problem {
    fn new([dim, atoms, sparsity, samples]: [usize; 4], kind: Kind) -> Self {
        let planted = Planted::new(dim, atoms, sparsity, samples).kind(kind).noise(0.05).seed(1);
        let data = planted.generate().expect("a legal problem");
        let (dictionary, samples) = (data.dictionary.into_mat(), data.samples);
        let shape = ProblemShape { dim, atoms, sparsity, sign: Sign::Signed };
        let (backend, coder) = (Faer::<f32>::default(), BatchOmp::new());
        let mut state = coder.prepare(&backend, &shape).expect("memory");
        let mut codes = SparseCodes::new(atoms, 0, sparsity);
        coder.set_dictionary(&backend, &mut state, &dictionary).unwrap();
        coder.encode(&backend, &state, &dictionary, &samples, &mut codes).unwrap();
        // A step that shares no factor with m visits every atom, out of the order of memory.
        let order = (0..atoms as u32).map(|j| j * 97 % atoms as u32).collect();
        Self { shape, dictionary, samples, codes, order }
    }

    /// Seconds of one warm update.
    fn seconds(&self, updater: &KSvd) -> f64 {
        self.seconds_of(updater, SampleShards::of(&self.shape, self.samples.ncols()))
    }

    /// The same, by these shards.
    fn seconds_of(&self, updater: &KSvd, shards: SampleShards) -> f64 {
        let backend = Faer::<f32>::default();
        let mut state = updater.prepare(&backend, &self.shape).expect("memory");
        let share = Share::alone(shards);
        let step = Step::new(&self.order, 0.0).with_share(&share);
        let (mut best, mut runs, begun) = (f64::INFINITY, 0, Instant::now());
        while runs <= RUNS || begun.elapsed().as_secs_f64() < LEAST {
            runs += 1;
            let (mut codes, mut dictionary) = (self.codes.clone(), self.dictionary.clone());
            let start = Instant::now();
            updater
                .update(&backend, &mut state, &self.samples, &mut codes, &mut dictionary, &step)
                .expect("memory");
            best = best.min(start.elapsed().as_secs_f64());
        }
        best
    }

    /// Seconds of one sweep alone: what two more sweeps add, by two.
    fn sweep(&self, atom_batch: usize) -> f64 {
        let updater = KSvd::new().memory(None).renewal(None).atom_batch(atom_batch);
        (self.seconds(&updater.sweeps(3)) - self.seconds(&updater.sweeps(1))) / 2.0
    }

    /// Seconds of reading and writing the residuals of a sweep as a stream.
    fn bound(&self, bandwidth: f64) -> f64 {
        (2 * size_of::<f32>() * self.codes.nnz() * self.shape.dim) as f64 / bandwidth
    }
}

/// Bytes a second read and written by one thread that scales 256 MiB in place.
fn stream_bandwidth() -> f64 {
    let mut buffer = vec![1.0_f32; 64 << 20];
    let mut best = f64::INFINITY;
    for _ in 0..RUNS {
        let start = Instant::now();
        let factor = black_box(1.000_001_f32);
        buffer.iter_mut().for_each(|x| *x *= factor);
        best = best.min(start.elapsed().as_secs_f64());
    }
    black_box(&buffer);
    (2 * size_of_val(&buffer[..])) as f64 / best
}

fn on_threads<R: Send>(threads: usize, run: impl FnOnce() -> R + Send) -> R {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.expect("threads").install(run)
}

/// A table, and the name by which it is asked for.
type Table = (&'static str, fn());

const TABLES: [Table; 3] =
    [("stream", over_a_stream), ("threads", two_threads_over_one), ("shards", by_shards)];

/// Prints the tables that are asked for, all unless a name is; says whether any was.
pub fn print(names: &[String]) -> bool {
    let asked = |name: &str| names.is_empty() || names.iter().any(|asked| asked == name);
    let tables = TABLES.iter().filter(|(name, _)| asked(name));
    tables.map(|(_, print)| print()).count() > 0
}

fn over_a_stream() {
    println!("one 1-step sweep on one thread over the time of its residuals as a stream");
    for (name, dims) in SHAPES {
        for (kind_name, kind) in KINDS {
            let problem = Problem::new(dims, kind);
            let bandwidth = stream_bandwidth();
            let bound = problem.bound(bandwidth);
            print!("  {name} {kind_name:12} {:5.1} GB/s {:6.1} ms", bandwidth / 1e9, bound * 1e3);
            for batch in [1, 32] {
                let sweep = on_threads(1, || problem.sweep(batch));
                print!("   batch {batch:2}: {:6.1} ms, {:4.2}", sweep * 1e3, sweep / bound);
            }
            println!();
        }
    }
}

fn two_threads_over_one() {
    println!("one update with the defaults, ms: on one thread, on two, and their ratio");
    for (name, dims) in MINIBATCHES {
        for (kind_name, kind) in KINDS {
            let problem = Problem::new(dims, kind);
            let [one, two] = in_turns([1, 2].map(|threads| {
                let problem = &problem;
                move || on_threads(threads, || problem.seconds(&KSvd::new()))
            }));
            let ratio = one / two;
            println!("  {name} {kind_name:12} {:7.2} {:7.2} {ratio:5.2}", one * 1e3, two * 1e3);
        }
    }
}

fn by_shards() {
    println!("one update with the defaults, ms: as one shard, by S shards, and their ratio");
    for (name, dims) in SHARDED {
        let problem = Problem::new(dims, Kind::Anisotropic);
        let shards = SampleShards::of(&problem.shape, problem.samples.ncols());
        let (samples, total) = (shards.samples(), shards.total());
        let [one, all] = in_turns([SampleShards::single(samples), shards].map(|shards| {
            let problem = &problem;
            move || problem.seconds_of(&KSvd::new(), shards.clone())
        }));
        let ratio = all / one;
        println!("  {name} S = {total:2} {:8.2} {:8.2} {ratio:6.3}", one * 1e3, all * 1e3);
    }
}

/// The least of what each gives, in turns, so that what else the machine does meets both.
fn in_turns<F: FnMut() -> f64>(mut runs: [F; 2]) -> [f64; 2] {
    let mut least = [f64::INFINITY; 2];
    for _ in 0..RUNS {
        for (least, run) in least.iter_mut().zip(&mut runs) {
            *least = least.min(run());
        }
    }
    least
}
