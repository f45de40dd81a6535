//! Codes samples with a given dictionary, and says how long that took and what it left over.
//!
//! ```text
//! cargo run --release --example encode -- --dictionary D.npy --samples Y.npy --sparsity 16
//! ```
//! What depends on the dictionary alone (the Gram matrix) is timed apart from coding, which is
//! timed as a caller meets it: checks, correlations, pursuit and the writing of the codes.
//! `--product` times the product DᵀY alone besides, the least that a pursuit which looks at every
//! atom needs. `benches/peers` compares the crate with others by means of this program.

#[path = "common/machine.rs"]
mod machine;
#[path = "common/masks.rs"]
mod masks;
#[path = "common/massive.rs"]
mod massive;
#[path = "common/model_encoder.rs"]
mod model_encoder;
#[path = "common/options.rs"]
mod options;
#[path = "common/outputs.rs"]
mod outputs;
#[path = "common/program.rs"]
mod program;

use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use dbksvd::HostBackend;
use dbksvd::coder::Selection;
use dbksvd::export::{read_atoms_npy, write_codes_npz};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::metrics::{Reconstruction, reconstruction};
use dbksvd::source::{self, Mask, SampleSource, Subset};
use dbksvd::{Faer, Model, ProblemShape, Sign};
use masks::{in_file, mask_of};
use model_encoder::ModelEncoder;
use options::Options;
use outputs::keep_apart;
use program::Outcome;
use serde_json::{Value, json};

const HELP: &str = "\
Codes samples with a given dictionary; prints the seconds it took and the error that is left.

Usage: cargo run --release --example encode -- --dictionary FILE --samples FILE [OPTIONS]

  --dictionary FILE   a model (.safetensors) or an (m, d) array of atoms (.npy) of any norm but 0
  --samples FILE      samples, a row each: .npy or .safetensors; doubles are read as f32, which must
                      be able to tell them apart
  --mask FILE         .npy of booleans, or of 0 and 1, one for each sample: 1 uses it, 0 leaves it out
                      (padding, BOS and other special tokens), unread but for its place in --out
  --sparsity K        most atoms a sample; needed unless the dictionary is a model
  --selection WHICH   of the next atom: omp (correlation) or ols (drop of the error)
                      [a model's linear coder, if it has one, else omp]
  --repeat R          times to code the samples [5]
  --product           also time the product of atoms and samples alone, on one core, by blocks of
                      128 to 1,024 samples
  --threads T         threads of coding; changes no code [all cores]
  --out FILE          write the codes: .npz, SciPy's CSR, a row a sample; with an array D of atoms,
                      codes @ D are the samples, but for the error; a model's mean and scale, if it
                      has any, come to that: codes @ D * scale + mean; rows of samples that the
                      mask leaves out are empty
  --json              print one JSON object: shape, error, and seconds of every repetition;
                      fvu_within is of the samples_within the norm limit of a model that has one;
                      massive, if a few samples hold most of the variance, says how many, and what
                      share; masked are those left out
  --help              this text
";

/// Samples of a product alone; which is fastest depends on the shape and the machine.
const BLOCKS: [usize; 4] = [128, 256, 512, 1024];

struct Arguments {
    dictionary: PathBuf,
    samples: PathBuf,
    mask: Option<PathBuf>,
    sparsity: Option<usize>,
    selection: Option<Selection>,
    repeat: usize,
    product: bool,
    threads: usize,
    out: Option<PathBuf>,
    json: bool,
}

fn main() -> ExitCode {
    program::run(arguments, HELP, run)
}

fn run(arguments: Arguments) -> Outcome<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    let times = pool.install(|| encode(&arguments))?;
    let text = if arguments.json { format!("{}\n", times.json()) } else { times.text() };
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}

/// What there is to say of a run; seconds in the order in which they were measured.
struct Times {
    shape: ProblemShape,
    measured: Reconstruction,
    /// The rule of coding.
    rule: &'static str,
    /// Samples that the mask leaves out.
    masked: usize,
    /// Whether the model tells samples of extreme norm from others.
    has_limit: bool,
    threads: usize,
    /// Of what depends on the dictionary alone.
    prepare: f64,
    encode: Vec<f64>,
    /// Of the product alone, for each of [`BLOCKS`]; empty unless asked for.
    product: Vec<(usize, Vec<f64>)>,
}

/// Prepares, codes `--repeat` times, measures, writes.
fn encode(arguments: &Arguments) -> Outcome<Times> {
    let Given { model, norms } = model(arguments)?;
    let (samples, mask) = samples(arguments, &model)?;
    let start = Instant::now();
    let encoder = ModelEncoder::new(&model, arguments.selection)?;
    let prepare = start.elapsed().as_secs_f64();

    let mut times = Vec::new();
    let blocks: &[usize] = if arguments.product { &BLOCKS } else { &[] };
    let mut product: Vec<(usize, Vec<f64>)> =
        blocks.iter().map(|&block| (block, Vec::new())).collect();
    let mut codes = encoder.encode(samples.as_ref().subcols(0, 0))?;
    // In turn, so that what disturbs the machine disturbs all of them.
    for _ in 0..arguments.repeat {
        let start = Instant::now();
        let encoded = encoder.encode(samples.as_ref());
        codes = encoded.map_err(|error| in_file(error, &arguments.samples, &mask))?;
        times.push(start.elapsed().as_secs_f64());
        for (block, seconds) in &mut product {
            seconds.push(multiply(model.dictionary().as_mat(), samples.as_ref(), *block));
        }
    }
    let measured = reconstruction(&model, samples.as_ref(), &codes)?;
    if let Some(path) = &arguments.out {
        // The codes are to be of the atoms that were given, not of those scaled to norm 1.
        let codes =
            norms.map_or_else(|| Ok(codes.clone()), |norms| codes.for_atoms_of_norms(&norms))?;
        write_codes_npz(path, &mask.spread(&codes)?)?;
    }
    let threads = rayon::current_num_threads();
    Ok(Times {
        shape: model.shape(),
        measured,
        rule: rule(&encoder, arguments.selection),
        masked: mask.rows() - mask.kept(),
        has_limit: model.preprocessing().norm_limit().is_some(),
        threads,
        prepare,
        encode: times,
        product,
    })
}

/// The seconds of DᵀY on one core, `block` samples at a time into the same memory.
fn multiply(dictionary: MatRef<'_, f32>, samples: MatRef<'_, f32>, block: usize) -> f64 {
    let backend = Faer::<f32>::default();
    let mut correlations = Mat::zeros(dictionary.ncols(), block.min(samples.ncols()));
    let start = Instant::now();
    for first in (0..samples.ncols()).step_by(block) {
        let columns = block.min(samples.ncols() - first);
        let into = correlations.as_mut().subcols_mut(0, columns);
        backend.product_tn(into, black_box(dictionary), samples.subcols(first, columns));
        black_box(&correlations);
    }
    start.elapsed().as_secs_f64()
}

/// The dictionary as a model, and the norms of its atoms where they need not be 1.
struct Given {
    model: Model<f32>,
    norms: Option<Vec<f64>>,
}

fn model(arguments: &Arguments) -> Outcome<Given> {
    let path = &arguments.dictionary;
    let extension = path.extension().map(|text| text.to_string_lossy().to_ascii_lowercase());
    match (extension.as_deref(), arguments.sparsity) {
        (Some("npy"), Some(k)) => {
            let (dictionary, norms) = read_atoms_npy(path)?;
            let model = Model::new(dictionary, None, k, Sign::Signed)?;
            Ok(Given { model, norms: Some(norms) })
        }
        (Some("npy"), None) => Err("--sparsity is needed for a dictionary of .npy".into()),
        (Some("safetensors"), sparsity) => {
            let model = Model::load(path)?;
            let sparsity = sparsity.unwrap_or(model.sparsity());
            Ok(Given { model: model.with_sparsity(sparsity)?, norms: None })
        }
        _ if path.is_dir() => {
            Err(format!("{}: a directory, expected a file", path.display()).into())
        }
        _ => {
            let name = path.display();
            Err(format!("{name}: a dictionary's extension is .npy or .safetensors").into())
        }
    }
}

/// The samples of a file that are used, for a model of their dimension, and which these are.
fn samples(arguments: &Arguments, model: &Model<f32>) -> Outcome<(Mat<f32>, Mask)> {
    let path = &arguments.samples;
    let (name, source) = (path.display(), source::open(path, None)?);
    let (dim, expected) = (source.dim(), model.dim());
    if source.is_empty() {
        return Err(format!("{name}: no samples").into());
    }
    if dim != expected {
        return Err(format!("{name}: samples of dimension {dim}, but atoms of {expected}").into());
    }
    let mask = mask_of(&source, arguments.mask.as_deref())?;
    let used = Subset::masked::<f32>(&source, &mask)?;
    let samples = used.samples();
    machine::check::<f32>(dim, model.atoms(), model.sparsity(), samples)?;
    source::check_rounding::<f32>(&used).map_err(|error| in_file(error, path, &mask))?;
    let mut values = vec![0.0; dim * samples];
    used.read(0..samples, &mut values)?;
    Ok((MatRef::from_column_major_slice(&values, dim, samples).to_owned(), mask))
}

impl Times {
    fn text(&self) -> String {
        let Self { shape, measured, rule, masked, has_limit, threads, prepare, encode, product } =
            self;
        let ProblemShape { dim, atoms, sparsity, .. } = shape;
        let samples = measured.samples();
        let rate = |seconds: f64| samples as f64 / seconds;
        let mut text = format!(
            "{samples} samples of dimension {dim}, {atoms} atoms, at most {sparsity} a sample\n\
             by {rule}, {threads} threads\n\n\
             Gram matrix     {prepare:10.4} s\n\
             coding, best    {:10.4} s {:12.0} samples a second\n\
             coding, median  {:10.4} s {:12.0} samples a second\n",
            best(encode),
            rate(best(encode)),
            median(encode),
            rate(median(encode)),
        );
        for (block, seconds) in product {
            let (seconds, samples) = (best(seconds), rate(best(seconds)));
            let block = format!("product by {block}");
            text += &format!("{block:<15} {seconds:10.4} s {samples:12.0} samples a second\n");
        }
        text += &format!(
            "\nrelative error {:.6}, FVU {:.6}, L0 {:.2}\n",
            measured.relative_error(),
            measured.fvu(),
            measured.l0()
        );
        if *has_limit {
            let (within, fvu) = (measured.samples_within(), measured.fvu_within());
            text += &format!("{within} samples within the model's norm limit: FVU {fvu:.6}\n");
        } else if let Some(massive) = measured.massive() {
            text += &format!("{}\n", massive::warning(massive, samples));
        }
        if *masked > 0 {
            text += &format!("{masked} samples left out by the mask\n");
        }
        text
    }

    fn json(&self) -> Value {
        let Self { shape, measured, rule, masked, has_limit, threads, prepare, encode, product } =
            self;
        let massive = measured.massive().filter(|_| !has_limit);
        let seconds = |all: &[f64]| json!({ "best": best(all), "median": median(all), "all": all });
        let product = product.iter().map(|(block, all)| (block.to_string(), seconds(all)));
        json!({
            "samples": measured.samples(),
            "masked": masked,
            "dim": shape.dim,
            "atoms": shape.atoms,
            "sparsity": shape.sparsity,
            "selection": rule,
            "threads": threads,
            "relative_error": measured.relative_error(),
            "fvu": measured.fvu(),
            "samples_within": measured.samples_within(),
            "fvu_within": measured.fvu_within(),
            "massive": massive.map(|massive| json!({ "rows": massive.samples, "share": massive.share })),
            "l0": measured.l0(),
            "seconds": {
                "gram": prepare,
                "encode": seconds(encode),
                "product": product.collect::<serde_json::Map<_, _>>(),
            },
        })
    }
}

fn best(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(f64::INFINITY, f64::min)
}

fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        (sorted[half - 1] + sorted[half]) / 2.0
    } else {
        sorted[half]
    }
}

/// The name of the rule that an encoder goes by.
fn rule(encoder: &ModelEncoder<f32>, selection: Option<Selection>) -> &'static str {
    match (encoder, selection.unwrap_or_default()) {
        (ModelEncoder::Linear(_), _) => "linear",
        (_, Selection::Correlation) => "omp",
        (_, Selection::LeastSquares) => "ols",
    }
}

/// The command line; `None` if it asks for help.
fn arguments() -> Outcome<Option<Arguments>> {
    let (mut dictionary, mut samples) = (None, None);
    let mut arguments = Arguments {
        dictionary: PathBuf::new(),
        samples: PathBuf::new(),
        mask: None,
        sparsity: None,
        selection: None,
        repeat: 5,
        product: false,
        threads: 0,
        out: None,
        json: false,
    };
    let mut options = Options::from_env();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "dictionary" => dictionary = Some(options.path()?),
            "samples" => samples = Some(options.path()?),
            "mask" => arguments.mask = Some(options.path()?),
            "sparsity" => arguments.sparsity = Some(options.whole(1)?),
            "selection" => {
                let rules = [("omp", Selection::Correlation), ("ols", Selection::LeastSquares)];
                arguments.selection = Some(options.choice(&rules)?);
            }
            "repeat" => arguments.repeat = options.whole(1)?,
            "product" => arguments.product = true,
            "threads" => arguments.threads = options.threads()?,
            "out" => arguments.out = Some(options.path()?),
            "json" => arguments.json = true,
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    arguments.dictionary = dictionary.ok_or("--dictionary is needed; see --help")?;
    arguments.samples = samples.ok_or("--samples is needed; see --help")?;
    let mut inputs: Vec<(&str, &Path)> =
        vec![("--dictionary", &arguments.dictionary), ("--samples", &arguments.samples)];
    inputs.extend(arguments.mask.iter().map(|mask| ("--mask", mask.as_path())));
    let output = arguments.out.iter().map(|out| ("--out", out.clone()));
    keep_apart(&inputs, &output.collect::<Vec<_>>())?;
    Ok(Some(arguments))
}
