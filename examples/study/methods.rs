//! The methods compared: each gives a dictionary, and a coder for it.

use dbksvd::coder::{BatchOmp, SparseCoder, ThresholdPursuit, TopK};
use dbksvd::faer::MatRef;
use dbksvd::{DbKsvd, Faer, Initialisation, Model, Sign, SparseCodes};
use dbksvd_sae::{Sae, SaeCoder};

use crate::arguments::Arguments;
use crate::clock;
use crate::data::Data;
use crate::program::Outcome;
use crate::saes::{Kind, Saes, Trained};

/// A method by its place in [`METHODS`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Method(pub usize);

pub struct Described {
    pub name: &'static str,
    /// What exactly it is.
    pub meaning: &'static str,
}

const fn described(name: &'static str, meaning: &'static str) -> Described {
    Described { name, meaning }
}

pub const METHODS: [Described; 12] = [
    described("DB-KSVD, OMP", "`DbKsvd::builder`, centred; `BatchOmp`"),
    described("DB-KSVD non-negative, OMP", "the same with codes that are not negative"),
    described("DB-KSVD, top k", "the dictionary of the first; `TopK` by its atoms, signed"),
    described(
        "DB-KSVD non-negative, top k",
        "the dictionary of the second; `TopK` by its atoms, not negative",
    ),
    described("TopK SAE", "trained to convergence; its own encoder"),
    described("TopK SAE, equal time", "trained for the time of DB-KSVD; its own encoder"),
    described("TopK SAE, OMP", "the decoder of the converged; non-negative `BatchOmp`"),
    described("TopK SAE equal time, OMP", "the decoder of the other; non-negative `BatchOmp`"),
    described("random rows, OMP", "m rows learned from as atoms, centred; `BatchOmp`"),
    described("Gaussian atoms, OMP", "m directions uniform on the sphere; `BatchOmp`"),
    described("PCA", "the first k principal directions, all used by every row"),
    described(
        "true features",
        "`DbKsvd::true_features`, at most 48 atoms a row, not centred; `ThresholdPursuit::of_noise`",
    ),
];

pub const PLAIN: Method = Method(0);
const NON_NEGATIVE: Method = Method(1);
const TOP: Method = Method(2);
const TOP_NON_NEGATIVE: Method = Method(3);
pub const SAE: Method = Method(4);
const SAE_EQUAL: Method = Method(5);
const SAE_OMP: Method = Method(6);
const SAE_EQUAL_OMP: Method = Method(7);
const ROWS: Method = Method(8);
const GAUSSIAN: Method = Method(9);
const PCA: Method = Method(10);
pub const FEATURES: Method = Method(11);

/// Most atoms a row of the preset for true features.
const FEATURES_AT_MOST: usize = 48;

type Encode = Box<dyn Fn(&Model<f32>, MatRef<'_, f32>) -> Outcome<SparseCodes<f32>>>;

/// A dictionary that was learned, and how it is used.
pub struct Subject {
    pub method: Method,
    pub model: Model<f32>,
    /// Seconds of processor time that learning took.
    pub seconds: f64,
    encode: Encode,
}

impl Subject {
    fn new<C>(method: Method, (model, seconds): (Model<f32>, f64), coder: C) -> Self
    where
        C: SparseCoder<Faer<f32>> + Clone + 'static,
    {
        let encode: Encode = Box::new(move |model, samples| Ok(model.encode(&coder, samples)?));
        Self { method, model, seconds, encode }
    }

    pub fn encode(&self, samples: MatRef<'_, f32>) -> Outcome<SparseCodes<f32>> {
        (self.encode)(&self.model, samples)
    }
}

/// DB-KSVD with its defaults, centred, and the seconds it took.
pub fn learn(
    arguments: &Arguments,
    data: &Data,
    sparsity: usize,
    seed: u64,
    sign: Sign,
) -> Outcome<(Model<f32>, f64)> {
    let builder = DbKsvd::builder(arguments.atoms, sparsity).sign(sign).center(true).seed(seed);
    let learner = builder.epochs(arguments.epochs).build()?;
    timed(|| Ok(learner.fit(&data.learned())?.0))
}

/// Every method for a sparsity and a seed. PCA is of no seed: it comes with the first.
pub fn subjects(
    arguments: &Arguments,
    data: &Data,
    saes: Option<&Saes>,
    sparsity: usize,
    seed: u64,
) -> Outcome<Vec<Subject>> {
    let mut subjects = Vec::new();
    let signs = [(Sign::Signed, PLAIN, TOP), (Sign::NonNegative, NON_NEGATIVE, TOP_NON_NEGATIVE)];
    for (sign, pursued, top) in signs {
        let learned = learn(arguments, data, sparsity, seed, sign)?;
        subjects.push(Subject::new(pursued, learned.clone(), BatchOmp::new()));
        subjects.push(Subject::new(top, learned, TopK::new()));
    }
    if let Some(saes) = saes {
        let kinds = [(Kind::Converged, SAE, SAE_OMP), (Kind::EqualTime, SAE_EQUAL, SAE_EQUAL_OMP)];
        for (kind, own, pursued) in kinds {
            let Some(Trained { sae, seconds }) = saes.read(kind, sparsity, seed)? else { continue };
            check(&sae, arguments.atoms, data.dim())?;
            let model = sae.model(sparsity)?;
            subjects.push(Subject::new(pursued, (model.clone(), seconds), BatchOmp::new()));
            subjects.push(Subject::new(own, (model, seconds), SaeCoder::new(sae)));
        }
    }
    let random = [(ROWS, Initialisation::Samples), (GAUSSIAN, Initialisation::Gaussian)];
    for (method, initialisation) in random {
        let builder = DbKsvd::builder(arguments.atoms, sparsity).center(true).seed(seed).epochs(0);
        let learner = builder.initialisation(initialisation).build()?;
        let drawn = timed(|| Ok(learner.fit(&data.learned())?.0))?;
        subjects.push(Subject::new(method, drawn, BatchOmp::new()));
    }
    if seed == 0 {
        let found = timed(|| {
            let principal = data.principal(sparsity)?;
            let mean = Some(principal.mean());
            Ok(Model::new(principal.dictionary()?, mean, sparsity, Sign::Signed)?)
        })?;
        subjects.push(Subject::new(PCA, found, TopK::new()));
    }
    Ok(subjects)
}

/// The preset for true features: its sparsity is what comes of it.
pub fn true_features(arguments: &Arguments, data: &Data, seed: u64) -> Outcome<Subject> {
    let most = FEATURES_AT_MOST.min(data.dim()).min(arguments.atoms);
    let builder = DbKsvd::true_features(arguments.atoms, most).seed(seed);
    let learner = builder.epochs(arguments.epochs).build()?;
    let mut noise = f64::NAN;
    let learned = timed(|| {
        let (model, report) = learner.fit(&data.learned())?;
        noise = report.noise;
        Ok(model)
    })?;
    Ok(Subject::new(FEATURES, learned, ThresholdPursuit::of_noise(noise)))
}

fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, f64)> {
    let start = clock::seconds();
    let done = work()?;
    Ok((done, clock::seconds() - start))
}

/// An autoencoder of other data is no error of the crate's.
pub fn check(sae: &Sae<f32>, atoms: usize, dim: usize) -> Outcome<()> {
    if (sae.atoms(), sae.dim()) == (atoms, dim) {
        return Ok(());
    }
    let (found, of) = (sae.atoms(), sae.dim());
    Err(format!("an SAE of {found} atoms in {of} dimensions, for {atoms} in {dim}").into())
}
