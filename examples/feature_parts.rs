//! What each part of the recipe for interpretable features is good for: the recipe without it.
//!
//! ```text
//! cargo run --release --example feature_parts -- --data acts.npy --eval held_out.npy \
//!     --without nesting --out parts/nesting
//! ```
//! writes the dictionary, its mean and the codes of `--eval`, for a program that measures features;
//! `docs/study/language-model/parts.sh` runs it for every part, and has the table.

#[path = "common/options.rs"]
mod options;
#[path = "common/program.rs"]
mod program;

use std::ops::Range;
use std::path::PathBuf;
use std::process::ExitCode;

use dbksvd::coder::BatchOmp;
use dbksvd::export::{write_codes_npz, write_dictionary_npy, write_mean_npy};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::learn::FeatureRecipe;
use dbksvd::metrics::reconstruction;
use dbksvd::source::{self, FileSource, SampleSource, Subset};
use dbksvd::{DbKsvd, Dictionary, Model, Outliers, Sign, SparseCodes};
use options::Options;
use program::Outcome;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// Passes over the samples, of which six are those of the first stage where there are two.
const EPOCHS: usize = 16;

const HELP: &str = "\
Learns interpretable features by the recipe without one of its parts, in as many passes.

Usage: cargo run --release --example feature_parts -- --data FILE (--eval FILE | --tune) --out DIR \
    [OPTIONS]

  --data FILE      rows to learn from: .npy or .safetensors
  --eval FILE      rows whose codes are written
  --tune           leaves the last tenth of the rows out, and codes them in place of --eval
  --out DIR        for dictionary.npy, mean.npy and codes.npz
  --without PART   nothing, centring, clipping, growth (the first stage is plain K-SVD), first-stage
                   (begins at random), second-stage (codes by pursuit), nesting, renewal [nothing]
  --atoms M        atoms [2304]
  --sparsity K     nonzeros a row, on average [32]
  --epochs E       passes over the rows, three eighths of them in the first stage [16]
  --rate R         step length of the second stage, for rows of mean norm 1 [0.001]
  --seed S         random numbers [0]
  --help           this text
";

#[derive(Clone, Copy, PartialEq)]
enum Part {
    Nothing,
    Centring,
    Clipping,
    Growth,
    FirstStage,
    SecondStage,
    Nesting,
    Renewal,
}

const PARTS: [(&str, Part); 8] = [
    ("nothing", Part::Nothing),
    ("centring", Part::Centring),
    ("clipping", Part::Clipping),
    ("growth", Part::Growth),
    ("first-stage", Part::FirstStage),
    ("second-stage", Part::SecondStage),
    ("nesting", Part::Nesting),
    ("renewal", Part::Renewal),
];

struct Arguments {
    data: PathBuf,
    /// `None`: the last tenth of the rows, which is left out of learning.
    eval: Option<PathBuf>,
    out: PathBuf,
    without: Part,
    atoms: usize,
    sparsity: usize,
    epochs: usize,
    rate: Option<f64>,
    seed: u64,
}

fn main() -> ExitCode {
    program::run(arguments, HELP, learn)
}

/// `None` if the command line asks for help.
fn arguments() -> Outcome<Option<Arguments>> {
    let mut options = Options::from_env();
    let (mut data, mut eval, mut is_tuning, mut out) = (None, None, false, None);
    let mut rate = None;
    let (mut without, mut atoms, mut sparsity, mut epochs, mut seed) =
        (Part::Nothing, 2304, 32, EPOCHS, 0);
    while let Some(name) = options.next()? {
        match name.as_str() {
            "data" => data = Some(options.path()?),
            "eval" => eval = Some(options.path()?),
            "tune" => is_tuning = true,
            "out" => out = Some(options.path()?),
            "without" => without = options.choice(&PARTS)?,
            "atoms" => atoms = options.whole(1)?,
            "sparsity" => sparsity = options.whole(1)?,
            "epochs" => epochs = options.whole(2)?,
            "rate" => rate = Some(options.number("above 0", |&rate: &f64| rate > 0.0)?),
            "seed" => seed = options.whole(0)?,
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    let needed = |path: Option<PathBuf>, name| {
        path.ok_or_else(|| format!("--{name} is needed (see --help)"))
    };
    let (data, out) = (needed(data, "data")?, needed(out, "out")?);
    if is_tuning && eval.is_some() {
        return Err("--tune takes the rows to code from --data: leave --eval out".into());
    }
    if rate.is_some() && without == Part::SecondStage {
        return Err("--rate is of the second stage, which --without leaves out".into());
    }
    let eval = if is_tuning { None } else { Some(needed(eval, "eval")?) };
    Ok(Some(Arguments { data, eval, out, without, atoms, sparsity, epochs, rate, seed }))
}

fn learn(arguments: Arguments) -> Outcome<()> {
    let Arguments { eval, out, sparsity, .. } = &arguments;
    let source = source::open(&arguments.data, None)?;
    let (eval, learned_from) = match eval {
        Some(eval) => (all_of(&source::open(eval, None)?)?, SampleSource::<f32>::len(&source)),
        None => {
            let rows = SampleSource::<f32>::len(&source);
            let learned_from = rows * 9 / 10;
            (all_of(&part(&source, learned_from..rows)?)?, learned_from)
        }
    };
    let model = learned(&arguments, &part(&source, 0..learned_from)?)?;
    let codes = match model.linear_coder() {
        Some(coder) => model.encode(coder, eval.as_ref())?,
        None => {
            let model = model.clone().with_sparsity(*sparsity)?;
            model.encode(&BatchOmp::new(), eval.as_ref())?
        }
    };
    tell(&model, eval.as_ref(), &codes)?;
    std::fs::create_dir_all(out)?;
    write_dictionary_npy(out.join("dictionary.npy"), model.dictionary())?;
    let zeros = vec![0.0; model.dim()];
    write_mean_npy(out.join("mean.npy"), model.mean().unwrap_or(&zeros))?;
    write_codes_npz(out.join("codes.npz"), &codes)?;
    Ok(())
}

/// The recipe without one part.
fn learned(arguments: &Arguments, source: &impl SampleSource<f32>) -> Outcome<Model<f32>> {
    let Arguments { without, atoms, sparsity, epochs, rate, seed, .. } = *arguments;
    let recipe = FeatureRecipe::new(atoms, sparsity as f64).total_epochs(epochs);
    let (of_first, of_second) = match without {
        Part::FirstStage => (1, epochs - 1),
        Part::SecondStage => (epochs, 1),
        _ => (recipe.epochs, recipe.linear.epochs),
    };
    let linear = recipe.linear.epochs(of_second).rate(rate.unwrap_or(recipe.linear.rate));
    let linear = match without {
        Part::Nesting => linear.nested(0.0),
        Part::Renewal => linear.idle(usize::MAX),
        _ => linear,
    };
    let recipe = recipe.epochs(of_first).linear(linear);
    let recipe = recipe.seed(seed);
    let outliers = match without {
        Part::Clipping => Outliers::Keep,
        _ => Outliers::Clip(3.0),
    };
    let is_centred = without != Part::Centring;
    let model = if without == Part::Growth {
        let plain = DbKsvd::builder(atoms, sparsity).sign(Sign::NonNegative).epochs(of_first);
        plain.seed(seed).center(is_centred).outliers(outliers).build()?.fit(source)?.0
    } else {
        let first = recipe.dictionary::<f32>(source.dim())?;
        first.center(is_centred).outliers(outliers).build()?.fit(source)?.0
    };
    Ok(match without {
        Part::SecondStage => model,
        Part::FirstStage => recipe.linear.fit(&at_random(&model, seed)?, source)?.0,
        _ => recipe.linear.fit(&model, source)?.0,
    })
}

/// A model with the same preprocessing and Gaussian atoms.
fn at_random(model: &Model<f32>, seed: u64) -> Outcome<Model<f32>> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let gauss = |_, _| StandardNormal.sample(&mut rng);
    let atoms = Mat::<f32>::from_fn(model.dim(), model.atoms(), gauss);
    let dictionary = Dictionary::normalized(atoms)?;
    let random = Model::new(dictionary, None, model.sparsity(), model.sign())?;
    Ok(random.preprocessed(model.preprocessing().clone())?)
}

/// These rows alone.
fn part(source: &FileSource, rows: Range<usize>) -> Outcome<Subset<&FileSource>> {
    Ok(Subset::new::<f32>(source, std::iter::once(rows).collect())?)
}

fn all_of(source: &impl SampleSource<f32>) -> Outcome<Mat<f32>> {
    let (dim, samples) = (source.dim(), source.len());
    let mut values = vec![0.0; dim * samples];
    source.read(0..samples, &mut values)?;
    Ok(MatRef::from_column_major_slice(&values, dim, samples).to_owned())
}

fn tell(model: &Model<f32>, eval: MatRef<'_, f32>, codes: &SparseCodes<f32>) -> Outcome<()> {
    let measured = reconstruction(model, eval, codes)?;
    println!("FVU {:.4}, L0 {:.2} on the rows coded", measured.fvu_within(), measured.l0());
    Ok(())
}
