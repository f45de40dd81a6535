//! The coders compared on the shipped embeddings: errors at the same k, time, what learning with
//! swaps gains, and how far from optimal each coder is.
//!
//! ```text
//! cargo run --release --example coders         # all of it, or parts: -- coding learning optima
//! ```
//! `docs/coders.md` has a run of it, and says when to choose which coder.

#[path = "common/embeddings.rs"]
mod embeddings;
#[path = "common/options.rs"]
mod options;
#[path = "common/program.rs"]
mod program;

use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use dbksvd::coder::{
    BatchOmp, Coefficients, Exact, MatchingPursuit, Selection, SparseCoder, Swaps, TopK,
};
use dbksvd::faer::{Mat, MatRef, Side};
use dbksvd::metrics::reconstruction;
use dbksvd::{DbKsvd, Faer, Model, Sign, SparseCodes};
use embeddings::{HELD_OUT, embeddings};
use options::Options;
use program::Outcome;

const ATOMS: usize = 1024;
const SEEDS: u64 = 3;

/// Timed runs of each coder on the first rows, on one thread; the median counts.
const RUNS: usize = 15;
const TIMED: usize = 1024;

/// The small problem: principal directions, atoms.
const SMALL: (usize, usize) = (24, 64);

/// Held-out samples whose optimum is looked for.
const PROVEN: usize = 256;

/// What the command line may ask for.
const PARTS: [&str; 3] = ["coding", "learning", "optima"];

const HELP: &str = "\
Compares the coders on the shipped embeddings: errors at the same k, time, what learning with swaps
gains, and how far from optimal each coder is.

Usage: cargo run --release --example coders -- [PARTS]

  PARTS       some of: coding learning optima [all of them]
  --help      this text
";

/// A coder by its name: codes samples, and says how long that took.
type Named = (&'static str, Box<dyn Fn(&Model<f32>, MatRef<'_, f32>) -> Outcome<Coded> + Sync>);

/// Codes, and the seconds they took; of this thread alone, so that times are for one thread.
type Coded = (SparseCodes<f32>, f64);

fn named<C>(name: &'static str, coder: C) -> Named
where
    C: SparseCoder<Faer<f32>> + Clone + 'static,
{
    let encode = move |model: &Model<f32>, samples: MatRef<'_, f32>| {
        let encoder = model.encoder(coder.clone())?;
        // What is derived from the dictionary, and scratch memory, are there from now on.
        encoder.encode(samples.subcols(0, 256.min(samples.ncols())))?;
        let start = seconds();
        let codes = encoder.encode(samples)?;
        Ok((codes, seconds() - start))
    };
    (name, Box::new(encode))
}

/// Processor time of this thread where the system tells it (Linux), so that other programs matter
/// little; else the time of day.
fn seconds() -> f64 {
    let spent = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = spent.and_then(|spent| spent.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(
        || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64()),
        |nanoseconds| 1e-9 * nanoseconds,
    )
}

fn ols() -> BatchOmp {
    BatchOmp::new().selection(Selection::LeastSquares)
}

/// The coders; the first is what time is measured in.
fn coders() -> Vec<Named> {
    let refitted = Coefficients::Refitted;
    vec![
        named("OMP", BatchOmp::new()),
        named("OLS", ols()),
        named("matching pursuit", MatchingPursuit::new()),
        named("matching pursuit, refitted", MatchingPursuit::new().coefficients(refitted)),
        named("top k", TopK::new()),
        named("top k, refitted", TopK::new().coefficients(refitted)),
        named("swaps after top k", Swaps::after(TopK::new())),
        named("one swap after OMP", Swaps::new().max_swaps(1)),
        named("swaps after OMP", Swaps::new()),
        named("swaps after OLS", Swaps::after(ols())),
    ]
}

fn main() -> ExitCode {
    program::run(parts, HELP, compare)
}

/// The parts that the command line asks for; `None` if it asks for help.
fn parts() -> Outcome<Option<Vec<String>>> {
    let Some(parts) = Options::words()? else { return Ok(None) };
    match parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        Some(unknown) => Err(format!("{unknown:?} is no part, expected some of {PARTS:?}").into()),
        None => Ok(Some(parts)),
    }
}

fn compare(parts: Vec<String>) -> Outcome<()> {
    let asked = |part: &str| parts.is_empty() || parts.iter().any(|asked| asked == part);
    let samples = embeddings()?;
    let (train, held_out) = samples.as_ref().split_at_col(samples.ncols() - HELD_OUT);
    for sparsity in [16, 4] {
        if asked("coding") {
            same_dictionary(train, held_out, sparsity)?;
        }
        if asked("learning") {
            learning(train, held_out, sparsity)?;
        }
    }
    if !asked("optima") {
        return Ok(());
    }
    let small = principal(samples.as_ref(), SMALL.0)?;
    let (train, held_out) = small.as_ref().split_at_col(small.ncols() - HELD_OUT);
    // Every fourth: neighbours are of one text.
    let held_out = Mat::from_fn(SMALL.0, PROVEN, |i, n| held_out[(i, n * HELD_OUT / PROVEN)]);
    for (sparsity, sign) in [(3, Sign::Signed), (5, Sign::Signed), (5, Sign::NonNegative)] {
        optima(train, held_out.as_ref(), sparsity, sign)?;
    }
    Ok(())
}

/// Errors and times of all coders on one dictionary, learned with the defaults.
fn same_dictionary(
    train: MatRef<'_, f32>,
    held_out: MatRef<'_, f32>,
    sparsity: usize,
) -> Outcome<()> {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    let timed = train.subcols(0, TIMED);
    let (model, _) = DbKsvd::builder(ATOMS, sparsity).build()?.fit(&train)?;
    println!("## One dictionary, m = {ATOMS}, k = {sparsity}\n");
    println!("| coder | held-out FVU | over OMP's | time over OMP's | nonzeros |");
    println!("|---|---|---|---|---|");
    let coders = coders();
    let (_, omp) = &coders[0];
    let mut base = None;
    for (name, encode) in &coders {
        let (codes, _) = encode(&model, held_out)?;
        let measured = reconstruction(&model, held_out, &codes)?;
        let base = *base.get_or_insert(measured.fvu());
        let (fvu, ratio, l0) = (measured.fvu(), measured.fvu() / base, measured.l0());
        // The two take turns, so that both see the same machine.
        let mut times = Vec::new();
        for _ in 0..RUNS {
            let of_omp = one.install(|| omp(&model, timed))?.1;
            times.push(one.install(|| encode(&model, timed))?.1 / of_omp);
        }
        times.sort_by(f64::total_cmp);
        let time = times[RUNS / 2];
        println!("| {name} | {fvu:.4} | {ratio:.3} | {time:.2} | {l0:.1} |");
    }
    println!();
    Ok(())
}

/// Dictionaries learned with one coder, used with another.
fn learning(train: MatRef<'_, f32>, held_out: MatRef<'_, f32>, sparsity: usize) -> Outcome<()> {
    println!("## Learned with one coder, coded by another, m = {ATOMS}, k = {sparsity}\n");
    println!(
        "| learned with | held-out FVU by OMP | by OLS | by swaps after OMP | rows learned from, by \
         swaps | time over OMP's |"
    );
    println!("|---|---|---|---|---|---|");
    let mut sums = [[0.0; 5]; 3];
    for seed in 0..SEEDS {
        let builder = || DbKsvd::builder(ATOMS, sparsity).seed(seed);
        let learned = [
            builder().build()?.fit(&train)?,
            builder().coder(ols()).build()?.fit(&train)?,
            builder().coder(Swaps::new()).build()?.fit(&train)?,
        ];
        let seconds = learned[0].1.seconds.total;
        for (sums, (model, report)) in sums.iter_mut().zip(learned) {
            let by_omp = model.encode(&BatchOmp::new(), held_out)?;
            let by_ols = model.encode(&ols(), held_out)?;
            let by_swaps = model.encode(&Swaps::new(), held_out)?;
            for (sum, codes) in sums.iter_mut().zip([by_omp, by_ols, by_swaps]) {
                *sum += reconstruction(&model, held_out, &codes)?.fvu() / SEEDS as f64;
            }
            let learned = reconstruction(&model, train, &model.encode(&Swaps::new(), train)?)?;
            sums[3] += learned.fvu() / SEEDS as f64;
            sums[4] += report.seconds.total / seconds / SEEDS as f64;
        }
    }
    for (name, [omp, ols, swaps, learned, time]) in
        ["OMP", "OLS", "swaps after OMP"].iter().zip(sums)
    {
        println!("| {name} | {omp:.4} | {ols:.4} | {swaps:.4} | {learned:.4} | {time:.1} |");
    }
    println!("\nMeans of {SEEDS} seeds.\n");
    Ok(())
}

/// How far from the optimum each coder is, on a dictionary small enough to find it.
fn optima(
    train: MatRef<'_, f32>,
    held_out: MatRef<'_, f32>,
    sparsity: usize,
    sign: Sign,
) -> Outcome<()> {
    let (model, _) = DbKsvd::builder(SMALL.1, sparsity).sign(sign).build()?.fit(&train)?;
    let start = seconds();
    let (mut least, mut nodes) = (Vec::new(), Vec::new());
    for i in 0..held_out.ncols() {
        let sample: Vec<f32> = held_out.col(i).iter().copied().collect();
        let proof = Exact.solve(model.dictionary(), &sample, sparsity, sign)?;
        least.push(proof.error);
        nodes.push(proof.nodes);
    }
    let milliseconds = 1e3 * (seconds() - start) / least.len() as f64;
    nodes.sort_unstable();
    let (median, most) = (nodes[nodes.len() / 2], nodes[nodes.len() - 1]);
    println!(
        "## Against the optimum, d = {}, m = {}, k = {sparsity}, {sign:?}\n",
        SMALL.0, SMALL.1
    );
    println!("| coder | held-out FVU | mean excess of the error | samples at the optimum |");
    println!("|---|---|---|---|");
    for (name, encode) in coders().into_iter().chain([named("exact", Exact)]) {
        let (codes, _) = encode(&model, held_out)?;
        let fvu = reconstruction(&model, held_out, &codes)?.fvu();
        let decoded = model.decode(&codes)?;
        let (mut excess, mut optimal) = (0.0, 0);
        for (i, &least) in least.iter().enumerate() {
            let left = decoded.col(i).iter().zip(held_out.col(i).iter());
            let error: f64 = left.map(|(a, b)| f64::from(a - b).powi(2)).sum();
            excess += (error / least - 1.0) / held_out.ncols() as f64;
            // In single precision, errors are this exact.
            optimal += usize::from(error <= least * (1.0 + 1e-4));
        }
        // The decoded optimum is rounded, too: not below zero.
        let (excess, optimal) =
            (100.0 * f64::max(excess, 0.0), 100.0 * optimal as f64 / least.len() as f64);
        println!("| {name} | {fvu:.4} | {excess:.2}% | {optimal:.1}% |");
    }
    println!(
        "\nThe proofs took {milliseconds:.2} ms a sample on one thread: {median} nodes in the median, \
         at most {most}.\n"
    );
    Ok(())
}

/// The samples' coordinates in their first principal directions, largest variance first, without
/// their mean.
fn principal(samples: MatRef<'_, f32>, directions: usize) -> Outcome<Mat<f32>> {
    let (dim, count) = samples.shape();
    let mean: Vec<f64> = (0..dim)
        .map(|i| samples.row(i).iter().map(|&x| f64::from(x)).sum::<f64>() / count as f64)
        .collect();
    let centred = Mat::from_fn(dim, count, |i, n| f64::from(samples[(i, n)]) - mean[i]);
    let covariance = &centred * centred.transpose();
    let eigen = covariance.self_adjoint_eigen(Side::Lower).map_err(|e| format!("{e:?}"))?;
    let vectors = eigen.U();
    let directions = vectors.subcols(dim - directions, directions).reverse_cols().to_owned();
    let coordinates = directions.transpose() * &centred;
    Ok(Mat::from_fn(coordinates.nrows(), count, |i, n| coordinates[(i, n)] as f32))
}
