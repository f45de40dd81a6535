//! Measures a graphics device beside the processor: transfers, coding, updates, and a whole run.
//!
//! ```sh
//! cargo run --release -p dbksvd-gpu --example record -- [--device NAME] [--small] [--learn STEPS]
//! ```
//! `--small` takes small problems, to try the program on a driver that runs on the processor.
//! Everything is printed as a Markdown table. `record/run` keeps it, with adapter and date.

use std::error::Error;
use std::time::{Duration, Instant};

use dbksvd::backend::{Backend, PursuitKernels, SweepKernels};
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::faer::MatRef;
use dbksvd::learn::{Every, Report};
use dbksvd::source::HeldOut;
use dbksvd::synthetic::{Planted, PlantedData};
use dbksvd::updater::{DictionaryUpdater, KSvd, Step};
use dbksvd::{DbKsvd, Faer, ProblemShape, Sign};
use dbksvd_gpu::{Adapter, Gpu};

/// d, m, k, samples coded on the device, samples coded on the processor, and samples a second that
/// are half of what an H100's memory and arithmetic allow on paper.
const SHAPES: [(&str, [usize; 5], Option<f64>); 3] = [
    ("W2", [384, 2048, 16, 65_536, 16_384], Some(2.7e6)),
    ("W3", [768, 4096, 32, 65_536, 4096], Some(0.33e6)),
    ("W4", [2304, 16_384, 32, 16_384, 1024], Some(54e3)),
];

/// For a driver that runs on the processor.
const SMALL: [(&str, [usize; 5], Option<f64>); 2] =
    [("S1", [64, 256, 8, 1024, 1024], None), ("S2", [128, 512, 8, 512, 512], None)];

struct Arguments {
    adapter: Adapter,
    is_small: bool,
    /// Steps of the whole run.
    learn: u64,
}

fn arguments() -> Result<Arguments, String> {
    let mut arguments = Arguments { adapter: Adapter::Best, is_small: false, learn: 8 };
    let mut given = std::env::args().skip(1);
    while let Some(option) = given.next() {
        let mut value = || given.next().ok_or(format!("{option} needs a value"));
        match option.as_str() {
            "--device" => arguments.adapter = Adapter::parse(&value()?),
            "--small" => arguments.is_small = true,
            "--learn" => {
                let steps = value()?;
                arguments.learn =
                    steps.parse().map_err(|_| format!("--learn is {steps}, expected a number"))?;
            }
            _ => return Err(format!("{option} is no option: --device, --small, --learn")),
        }
    }
    Ok(arguments)
}

/// Seconds of the best of a few calls, after one that is not counted.
fn best_of<R>(
    calls: usize,
    mut call: impl FnMut() -> Result<R, Box<dyn Error>>,
) -> Result<f64, Box<dyn Error>> {
    call()?;
    let mut best = Duration::MAX;
    for _ in 0..calls {
        let start = Instant::now();
        call()?;
        best = best.min(start.elapsed());
    }
    Ok(best.as_secs_f64())
}

/// A problem on a backend, coded and updated in turn.
struct Problem<'a, B: PursuitKernels<Scalar = f32> + SweepKernels> {
    backend: &'a B,
    shape: ProblemShape,
    y: B::Matrix,
    dictionary: B::Matrix,
    codes: B::Codes,
    coding: B::Pursuits,
    coder: BatchOmp,
}

impl<'a, B: PursuitKernels<Scalar = f32> + SweepKernels> Problem<'a, B> {
    fn new(
        backend: &'a B,
        shape: ProblemShape,
        data: &PlantedData<f32>,
        samples: usize,
    ) -> Result<Self, Box<dyn Error>> {
        let upload = |host: MatRef<'_, f32>| {
            let mut matrix = backend.zeros(0, 0)?;
            backend.upload(host, &mut matrix)?;
            Ok::<_, Box<dyn Error>>(matrix)
        };
        let coder = BatchOmp::new();
        Ok(Self {
            backend,
            shape,
            y: upload(data.samples.subcols(0, samples))?,
            dictionary: upload(data.dictionary.as_mat())?,
            codes: backend.codes(shape.atoms, 0, shape.sparsity)?,
            coding: coder.prepare(backend, &shape)?,
            coder,
        })
    }

    fn take_dictionary(&mut self) -> Result<(), Box<dyn Error>> {
        let Self { backend, coder, coding, dictionary, .. } = self;
        coder.set_dictionary(*backend, coding, dictionary)?;
        Ok(backend.synchronize()?)
    }

    fn code(&mut self) -> Result<(), Box<dyn Error>> {
        let Self { backend, coder, coding, dictionary, y, codes, .. } = self;
        coder.encode(*backend, coding, dictionary, y, codes)?;
        Ok(backend.synchronize()?)
    }

    /// Seconds of an update of two sweeps.
    fn update(&mut self) -> Result<f64, Box<dyn Error>> {
        let updater = KSvd::new().renewal(None).atom_batch(128);
        let mut state = updater.prepare(self.backend, &self.shape)?;
        let order: Vec<u32> = (0..self.shape.atoms as u32).collect();
        let Self { backend, dictionary, y, codes, .. } = self;
        best_of(1, || {
            let step = Step::new(&order, 0.5);
            updater.update(*backend, &mut state, y, codes, dictionary, &step)?;
            Ok(backend.synchronize()?)
        })
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let gpu = Gpu::on(&arguments.adapter)?;
    let threads = std::thread::available_parallelism().map_or(0, usize::from);
    println!("adapter: {}; processor: {threads} threads\n", gpu.adapter());
    println!("| problem | d, m, k | what | device | processor | ratio | of half the roofline |");
    println!("|---|---|---|---|---|---|---|");
    let shapes: &[_] = if arguments.is_small { &SMALL } else { &SHAPES };
    for &(name, sizes, half) in shapes {
        measure(&gpu, name, sizes, half)?;
    }
    learn(&gpu, &arguments)
}

fn measure(
    gpu: &Gpu,
    name: &str,
    [dim, atoms, sparsity, many, few]: [usize; 5],
    half: Option<f64>,
) -> Result<(), Box<dyn Error>> {
    let shape = ProblemShape { dim, atoms, sparsity, sign: Sign::Signed };
    let data = Planted::new(dim, atoms, sparsity, many).noise(0.1).seed(1).generate::<f32>()?;
    let of = format!("{name} | {dim}, {atoms}, {sparsity}");

    let mut matrix = gpu.zeros(0, 0)?;
    let up = best_of(2, || {
        gpu.upload(data.samples.as_ref(), &mut matrix)?;
        Ok(gpu.synchronize()?)
    })?;
    let bytes = (4 * dim * many) as f64;
    println!("| {of} | upload, GB/s | {:.2} | | | |", bytes / up / 1e9);
    drop(matrix);

    let processor = Faer::<f32>::default();
    let mut here = Problem::new(&processor, shape, &data, few)?;
    let mut there = Problem::new(gpu, shape, &data, many)?;
    let (gram, gram_here) =
        (best_of(2, || there.take_dictionary())?, best_of(1, || here.take_dictionary())?);
    println!("| {of} | Gram matrix, s | {gram:.4} | {gram_here:.4} | {:.2} | |", gram_here / gram);
    let (coding, coding_here) =
        (many as f64 / best_of(2, || there.code())?, few as f64 / best_of(1, || here.code())?);
    let ratio = coding / coding_here;
    let half = half.map_or(String::new(), |half| format!("{:.2}", coding / half));
    println!("| {of} | coding, samples/s | {coding:.0} | {coding_here:.0} | {ratio:.2} | {half} |");
    let (update, update_here) = (many as f64 / there.update()?, few as f64 / here.update()?);
    let ratio = update / update_here;
    println!("| {of} | update, samples/s | {update:.0} | {update_here:.0} | {ratio:.2} | |");
    if let Some(bytes) = gpu.allocated_bytes() {
        println!("| {of} | device memory, MB | {} | | | |", bytes / 1_000_000);
    }
    Ok(())
}

/// A whole run: minibatches of a quarter of the samples, so that as many rows are learned from as
/// steps times that.
fn learn(gpu: &Gpu, arguments: &Arguments) -> Result<(), Box<dyn Error>> {
    let [dim, atoms, sparsity, samples] =
        if arguments.is_small { [64, 256, 8, 4096] } else { [2304, 16_384, 32, 262_144] };
    let data = Planted::new(dim, atoms, sparsity, samples).noise(0.1).seed(2).generate::<f32>()?;
    let minibatch = samples / 4;
    println!("\na run on rows of {dim}, m {atoms}, k {sparsity}, minibatches of {minibatch}:\n");
    println!("| where | steps | rows | s of coding and updates | rows/s | held-out FVU |");
    println!("|---|---|---|---|---|---|");
    let there = run(gpu.clone(), arguments.learn, &data, [atoms, sparsity, minibatch])?;
    tell("device", minibatch, &there);
    // The processor takes fewer steps of the same run: it is slower.
    let steps = arguments.learn.div_ceil(8);
    let here = run(Faer::<f32>::default(), steps, &data, [atoms, sparsity, minibatch])?;
    tell("processor", minibatch, &here);
    Ok(())
}

fn run<B: PursuitKernels<Scalar = f32> + SweepKernels>(
    backend: B,
    steps: u64,
    data: &PlantedData<f32>,
    [atoms, sparsity, minibatch]: [usize; 3],
) -> Result<Report, Box<dyn Error>> {
    let builder =
        DbKsvd::builder_on(backend, atoms, sparsity).minibatch(minibatch).max_steps(steps);
    let updater = KSvd::new().atom_batch(128);
    let builder = builder.updater(updater).held_out(HeldOut::Share(0.01));
    let learner = builder.evaluate_every(Every::Steps(steps)).build()?;
    Ok(learner.fit(&data.samples)?.1)
}

fn tell(place: &str, minibatch: usize, report: &Report) {
    let rows: usize = report.epochs.iter().map(|epoch| epoch.samples).sum();
    let seconds = report.seconds.encode + report.seconds.update;
    let fvu = report.evaluations.last().map_or(f64::NAN, |evaluation| evaluation.fvu);
    let steps = report.steps;
    let speed = rows as f64 / seconds;
    println!(
        "| {place} | {steps} | {rows} ({minibatch} a step) | {seconds:.2} | {speed:.0} | {fvu:.4} |"
    );
}
