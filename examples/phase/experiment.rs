//! One cell of the grid: a planted problem, learned by every method.

use dbksvd::faer::Mat;
use dbksvd::metrics::{Guarantees, RECOVERED, Recovery};
use dbksvd::synthetic::{Planted, PlantedData};
use dbksvd::updater::{DictionaryUpdater, KSvd, LeadingPair, Mod, Online};
use dbksvd::{DbKsvd, Faer, Model};

use crate::arguments::Arguments;
use crate::program::Outcome;

/// Epochs by which the seconds of one are judged, and how often.
const EPOCHS_OF_TRIAL: usize = 4;
const TRIALS: usize = 4;

/// A method of learning.
pub struct Method {
    pub name: &'static str,
    /// What exactly it is.
    pub meaning: &'static str,
    learn: fn(&Run<'_>, Option<f64>) -> Outcome<Learned>,
}

/// The first is the one that others get the time of.
pub const METHODS: [Method; 4] = [
    Method {
        name: "DB-KSVD",
        meaning: "`KSvd::new()`, the default minibatch",
        learn: |run, seconds| run.learn(KSvd::new(), false, seconds),
    },
    Method {
        name: "K-SVD",
        meaning: "`KSvd::textbook()` with one power step, all samples at once",
        learn: |run, seconds| {
            let pair = LeadingPair::Power { iterations: 1 };
            run.learn(KSvd::textbook().leading_pair(pair), true, seconds)
        },
    },
    Method {
        name: "MOD",
        meaning: "`Mod::textbook()`, all samples at once",
        learn: |run, seconds| run.learn(Mod::textbook(), true, seconds),
    },
    Method {
        name: "online",
        meaning: "`Online::new()`, the default minibatch",
        learn: |run, seconds| run.learn(Online::new(), false, seconds),
    },
];

/// What was measured of one sparsity and number of samples: of each method, for each seed.
pub struct Cell {
    pub sparsity: usize,
    pub samples: usize,
    /// The share of atoms recovered.
    pub shares: Vec<Vec<f64>>,
    pub seconds: Vec<Vec<f64>>,
    pub epochs: Vec<Vec<f64>>,
}

/// What theory guarantees of pursuit with the planted dictionaries, for one sparsity; means over
/// the seeds.
pub struct Certainty {
    pub sparsity: usize,
    /// Shares of the planted codes.
    pub by_coherence: f64,
    pub by_babel: f64,
    pub by_support: f64,
}

/// Planted codes that guarantees are looked at for.
const EXAMINED: usize = 500;

pub fn certainty(arguments: &Arguments, sparsity: usize) -> Outcome<Certainty> {
    let mut sums = Certainty { sparsity, by_coherence: 0.0, by_babel: 0.0, by_support: 0.0 };
    let part = (arguments.seeds as f64).recip();
    for seed in 0..arguments.seeds {
        let planted = Planted::new(arguments.dim, arguments.atoms, sparsity, EXAMINED);
        let data = planted.kind(arguments.kind).seed(seed).generate::<f32>()?;
        let guarantees = Guarantees::new(&data.dictionary, &data.codes)?;
        sums.by_coherence += part * guarantees.share_by_coherence();
        sums.by_babel += part * guarantees.share_by_babel();
        sums.by_support += part * guarantees.share_by_support();
    }
    Ok(sums)
}

struct Run<'a> {
    arguments: &'a Arguments,
    sparsity: usize,
    seed: u64,
    samples: &'a Mat<f32>,
}

struct Learned {
    model: Model<f32>,
    /// What its epochs should take.
    planned: f64,
    seconds: f64,
    epochs: usize,
}

pub fn measure(arguments: &Arguments, sparsity: usize, samples: usize) -> Outcome<Cell> {
    let none = || vec![Vec::new(); METHODS.len()];
    let mut cell = Cell { sparsity, samples, shares: none(), seconds: none(), epochs: none() };
    for seed in 0..arguments.seeds {
        let planted = Planted::new(arguments.dim, arguments.atoms, sparsity, samples);
        let planted = planted.kind(arguments.kind).noise(arguments.noise).seed(seed);
        let PlantedData { dictionary, samples, .. } = planted.generate::<f32>()?;
        let run = Run { arguments, sparsity, seed, samples: &samples };
        let mut given = None;
        for (nth, method) in METHODS.iter().enumerate() {
            let Learned { model, planned, seconds, epochs } = (method.learn)(&run, given)?;
            given.get_or_insert(planned);
            let recovery = Recovery::new(model.dictionary(), &dictionary)?;
            cell.shares[nth].push(recovery.recovered(RECOVERED));
            cell.seconds[nth].push(seconds);
            cell.epochs[nth].push(epochs as f64);
        }
    }
    Ok(cell)
}

impl Run<'_> {
    /// Learns by `updater` for about the seconds given, or for the steps asked for. Epochs are
    /// planned by those of a trial, so that schedules run to their end.
    fn learn<U>(&self, updater: U, full_batch: bool, seconds: Option<f64>) -> Outcome<Learned>
    where
        U: DictionaryUpdater<Faer<f32>> + Copy,
    {
        let an_epoch = self.seconds_an_epoch(updater, full_batch)?;
        let epochs = match seconds {
            Some(seconds) => ((seconds / an_epoch).round() as usize).max(1),
            None => {
                let samples = self.samples.ncols();
                let minibatch = self.learner(updater, full_batch, 1)?.minibatch(samples);
                self.arguments.steps.div_ceil(samples.div_ceil(minibatch))
            }
        };
        let (model, report) = self.learner(updater, full_batch, epochs)?.fit(self.samples)?;
        let planned = epochs as f64 * an_epoch;
        Ok(Learned { model, planned, seconds: report.seconds.total, epochs })
    }

    /// The least that an epoch took in a few trials: other work on the machine only adds to it.
    fn seconds_an_epoch<U>(&self, updater: U, full_batch: bool) -> Outcome<f64>
    where
        U: DictionaryUpdater<Faer<f32>> + Copy,
    {
        let mut least = f64::INFINITY;
        for _ in 0..TRIALS {
            let learner = self.learner(updater, full_batch, EPOCHS_OF_TRIAL)?;
            let (_, report) = learner.fit(self.samples)?;
            least = least.min(report.seconds.total / EPOCHS_OF_TRIAL as f64);
        }
        Ok(least)
    }

    fn learner<U>(
        &self,
        updater: U,
        full_batch: bool,
        epochs: usize,
    ) -> Result<DbKsvd<Faer<f32>, dbksvd::coder::BatchOmp, U>, dbksvd::Error>
    where
        U: DictionaryUpdater<Faer<f32>>,
    {
        let builder = DbKsvd::builder(self.arguments.atoms, self.sparsity).updater(updater);
        let builder = builder.seed(self.seed).epochs(epochs);
        match full_batch {
            true => builder.minibatch(self.samples.ncols()).build(),
            false => builder.build(),
        }
    }
}
