//! A service that codes samples by a dictionary: one encoder for all threads, a newer model put in
//! its place while they work, bad input answered by its kind, and learning that can be stopped.
//!
//! ```text
//! cargo run --release --example service
//! ```
//! What a service keeps is an `Encoder`, which holds what coding derives from the dictionary. It is
//! shared, so that is in memory once. A newer one is made beside it and takes its place in an
//! instant; threads that are coding with the old one finish with it, and the last of them frees it.

#[path = "common/program.rs"]
mod program;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, mpsc};
use std::thread;
use std::time::Duration;

use dbksvd::coder::BatchOmp;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::learn::StopToken;
use dbksvd::synthetic::Planted;
use dbksvd::{DbKsvd, Encoder, Error, Model};

const DIM: usize = 32;
const ATOMS: usize = 96;
const SPARSITY: usize = 4;
const WORKERS: usize = 4;
const REQUESTS: usize = 2000;

/// What a client gets.
enum Answer {
    /// The features of its sample: atoms, and how strong each is.
    Features(Vec<(u32, f32)>),
    /// Why there are none, in words for the client.
    Refused(Refusal, String),
    /// Not the client's fault.
    Failed(String),
}

/// What is wrong with a sample.
#[derive(Clone, Copy)]
enum Refusal {
    NotFinite,
    OutOfRange,
    WrongLength,
}

/// The encoder in use.
struct Service {
    current: RwLock<Arc<Encoder>>,
    reloads: AtomicU64,
}

impl Service {
    fn new(model: &Model<f32>) -> Result<Self, Error> {
        let encoder = Arc::new(model.encoder(BatchOmp::new())?);
        Ok(Self { current: RwLock::new(encoder), reloads: AtomicU64::new(0) })
    }

    /// The encoder of this moment: the lock is held only to clone a pointer.
    fn encoder(&self) -> Arc<Encoder> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts a newer model in the place of the one in use. The Gram matrix is computed before the
    /// lock is taken.
    fn reload(&self, model: &Model<f32>) -> Result<(), Error> {
        let encoder = Arc::new(model.encoder(BatchOmp::new())?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = encoder;
        self.reloads.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn answer(&self, sample: &[f32]) -> Answer {
        // A matrix of one column, so that a sample of another length is told from many samples.
        let sample = MatRef::from_column_major_slice(sample, sample.len(), 1);
        match self.encoder().encode(sample) {
            Ok(codes) => {
                let code = codes.support(0).iter().copied().zip(codes.values(0).iter().copied());
                Answer::Features(code.collect())
            }
            Err(error) => {
                let refusal = match &error {
                    Error::NotFinite { .. } => Refusal::NotFinite,
                    Error::Range { .. } => Refusal::OutOfRange,
                    Error::Dimension { .. } => Refusal::WrongLength,
                    _ => return Answer::Failed(error.to_string()),
                };
                Answer::Refused(refusal, error.to_string())
            }
        }
    }
}

/// The request with this number: a sample, or something that is none.
fn request(samples: &Mat<f32>, number: usize) -> Vec<f32> {
    let mut sample = samples.col_as_slice(number % samples.ncols()).to_vec();
    match number % 100 {
        7 => sample[number % DIM] = f32::NAN,
        42 => sample[number % DIM] = 1e30,
        99 => sample.truncate(DIM - 1),
        _ => {}
    }
    sample
}

/// What was answered.
#[derive(Default)]
struct Counts {
    coded: usize,
    nonzeros: usize,
    refused: [usize; 3],
    failures: Vec<String>,
}

impl Counts {
    fn add(&mut self, answer: &Answer) {
        match answer {
            Answer::Features(features) => {
                self.coded += 1;
                self.nonzeros += features.len();
            }
            Answer::Refused(refusal, _) => self.refused[*refusal as usize] += 1,
            Answer::Failed(reason) => self.failures.push(reason.clone()),
        }
    }
}

const HELP: &str = "\
Codes samples for many threads at once, with a model that is replaced meanwhile.

Usage: cargo run --release --example service
";

fn main() -> ExitCode {
    program::run_without_options(HELP, serve)
}

fn serve() -> Result<(), Error> {
    let samples = Planted::new(DIM, ATOMS, SPARSITY, 4000).noise(0.1).generate::<f32>()?.samples;
    let learner = |epochs| DbKsvd::builder(ATOMS, SPARSITY).epochs(epochs).build();
    let (first, report) = learner(1)?.fit(&samples)?;
    println!("a first model, after {} epoch: FVU {:.3}", 1, report.epochs[0].fvu);
    let service = &Service::new(&first)?;

    // Requests come in at one end; each of the workers takes the next, answers, and counts.
    let (sender, receiver) = mpsc::sync_channel::<Vec<f32>>(64);
    let receiver = &Mutex::new(receiver);
    let next = || receiver.lock().unwrap_or_else(PoisonError::into_inner).recv().ok();
    let stop = StopToken::new();
    let (answers, results) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            let answers = answers.clone();
            scope.spawn(move || {
                while let Some(sample) = next() {
                    let answer = service.answer(&sample);
                    if answers.send(answer).is_err() {
                        return;
                    }
                }
            });
        }
        drop(answers);

        // A newer model is learned meanwhile, and takes over. Then a last one is, which nobody
        // waits for: it would take a hundred thousand epochs.
        let (token, samples) = (stop.clone(), &samples);
        let learning = scope.spawn(move || -> Result<_, Error> {
            let (better, report) = learner(10)?.fit(samples)?;
            service.reload(&better)?;
            println!("a better one took over: FVU {:.3}", report.epochs[9].fvu);
            learner(100_000)?.run(samples).stop_token(token).finish()
        });

        let mut counts = Counts::default();
        for number in 0..REQUESTS {
            if number == REQUESTS / 2 {
                // The second half is for the better model.
                while service.reloads.load(Ordering::Relaxed) == 0 && !learning.is_finished() {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            if sender.send(request(samples, number)).is_err() {
                break;
            }
        }
        drop(sender);
        let mut example = None;
        for answer in results {
            counts.add(&answer);
            if let Answer::Refused(Refusal::OutOfRange, reason) = answer {
                example.get_or_insert(reason);
            }
        }
        stop.stop();
        let fit = match learning.join() {
            Ok(fit) => fit?,
            Err(panic) => std::panic::resume_unwind(panic),
        };

        let Counts { coded, nonzeros, refused: [not_finite, range, length], failures } = counts;
        println!("{REQUESTS} requests by {WORKERS} threads: {coded} coded, {nonzeros} features");
        println!("refused: {not_finite} not finite, {range} out of range, {length} too short");
        let reloads = service.reloads.load(Ordering::Relaxed);
        println!("failed: {}; reloads: {reloads}", failures.len());
        failures.iter().for_each(|reason| println!("  {reason}"));
        println!("one of the refusals: {}", example.unwrap_or_default());
        // What was learned until then is not lost.
        println!("learning ended by {}: {:?}", fit.report.stop.name(), fit.model.shape());
        Ok(())
    })
}
