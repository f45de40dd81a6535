//! Sparse autoencoders in and out: what they code, what a pursuit makes of their dictionaries, and
//! dictionaries as SAEs for other tools. `cargo run --release --example sae -- --help`.
//!
//! `tests/interop` checks the crate against SAELens and sparsify by means of this program.

#[path = "../../../examples/common/masks.rs"]
mod masks;
#[path = "../../../examples/common/massive.rs"]
mod massive;
#[path = "../../../examples/common/options.rs"]
mod options;
#[path = "../../../examples/common/outputs.rs"]
mod outputs;
#[path = "../../../examples/common/program.rs"]
mod program;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dbksvd::coder::BatchOmp;
use dbksvd::export::write_codes_npz;
use dbksvd::faer::Mat;
use dbksvd::files::write_atomically;
use dbksvd::metrics::{Reconstruction, reconstruction};
use dbksvd::source::{self, Mask, SampleSource, Subset};
use dbksvd::{Error, Model};
use dbksvd_sae::{Sae, SaeCoder, Tied};
use masks::{in_file, mask_of};
use npyz::WriterBuilder;
use options::{Options, Usage};
use outputs::keep_apart;
use program::Outcome;

const HELP: &str = "\
Sparse autoencoders (SAEs) in directories of SAELens or, with --sparsify, of EleutherAI's sparsify.

Usage: cargo run --release --example sae -- COMMAND ARGUMENTS [--sparsify] [--mask FILE]

  encode SAE SAMPLES OUT     codes samples by the SAE's encoder; writes OUT/latents.npz (SciPy's
                             CSR) and OUT/reconstruction.npy
  compare SAE SAMPLES K      errors of its encoder, of its encoder cut to K latents a sample, and of
                             OMP with K atoms on its decoder (inference-time optimisation)
  import SAE MODEL K         its decoder as a model (.safetensors) for at most K atoms a sample
  export MODEL SAE ENCODER   a model as a SAELens directory; ENCODER is matching-pursuit, topk,
                             or linear: that of a model with a linear coder, as jumprelu
  convert SAE OUT            any SAE as a SAELens directory

  SAMPLES is .npy or .safetensors, a row a sample. Codes of `encode` are of the SAE's own decoder.
  --mask FILE leaves samples out: .npy of booleans, or of 0 and 1, one for each sample, 1 uses it. In
  what `encode` writes, samples left out have no latents, and the decoder's bias as reconstruction.
  --help      this text
";

/// The files of a SAE of either tool.
const SAE_FILES: [&str; 3] = ["cfg.json", "sae_weights.safetensors", "sae.safetensors"];

fn main() -> ExitCode {
    program::run(arguments, HELP, run)
}

struct Arguments {
    sparsify: bool,
    mask: Option<PathBuf>,
    command: Command,
}

/// What is to be done, with its files.
enum Command {
    Encode {
        sae: PathBuf,
        samples: PathBuf,
        out: PathBuf,
    },
    Compare {
        sae: PathBuf,
        samples: PathBuf,
        sparsity: usize,
    },
    Import {
        sae: PathBuf,
        model: PathBuf,
        sparsity: usize,
    },
    /// With weights tied so, or with the linear coder that the model has.
    Export {
        model: PathBuf,
        sae: PathBuf,
        encoder: Option<Tied>,
    },
    Convert {
        sae: PathBuf,
        out: PathBuf,
    },
}

/// The command line; `None` if it asks for help.
fn arguments() -> Outcome<Option<Arguments>> {
    let (mut sparsify, mut mask) = (false, None);
    let mut options = Options::with_words();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "sparsify" => sparsify = true,
            "mask" => mask = Some(options.path()?),
            "help" => return Ok(None),
            _ => return Err(options.unknown().into()),
        }
    }
    let words = options.into_words();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let command = match words[..] {
        ["encode", sae, samples, out] => {
            Command::Encode { sae: sae.into(), samples: samples.into(), out: out.into() }
        }
        ["compare", sae, samples, k] => {
            Command::Compare { sae: sae.into(), samples: samples.into(), sparsity: number(k)? }
        }
        ["import", sae, model, k] => {
            Command::Import { sae: sae.into(), model: model.into(), sparsity: number(k)? }
        }
        ["export", model, sae, encoder] => {
            let encoder = match encoder {
                "matching-pursuit" => Some(Tied::MatchingPursuit),
                "topk" => Some(Tied::TopK),
                "linear" => None,
                _ => {
                    let expected = "matching-pursuit, topk or linear";
                    return Err(format!("{encoder:?} is not {expected}").into());
                }
            };
            if sparsify {
                return Err("--sparsify is of SAEs that are read, and export reads none".into());
            }
            Command::Export { model: model.into(), sae: sae.into(), encoder }
        }
        ["convert", sae, out] => Command::Convert { sae: sae.into(), out: out.into() },
        _ => return Err("no such command, or not its arguments (see --help)".into()),
    };
    if mask.is_some() && !matches!(command, Command::Encode { .. } | Command::Compare { .. }) {
        return Err("--mask is of samples, and only encode and compare read any".into());
    }
    command.keep_outputs_apart(mask.as_deref())?;
    Ok(Some(Arguments { sparsify, mask, command }))
}

impl Command {
    /// None of the files that are read is written.
    fn keep_outputs_apart(&self, mask: Option<&Path>) -> Result<(), Usage> {
        let of_sae = |sae: &Path| SAE_FILES.map(|name| sae.join(name)).to_vec();
        let (inputs, outputs) = match self {
            Self::Encode { sae, samples, out } => {
                let mut inputs = of_sae(sae);
                inputs.push(samples.clone());
                inputs.extend(mask.map(Path::to_owned));
                (inputs, vec![out.join("latents.npz"), out.join("reconstruction.npy")])
            }
            Self::Compare { .. } => return Ok(()),
            Self::Import { sae, model, .. } => (of_sae(sae), vec![model.clone()]),
            Self::Export { model, sae, .. } => (vec![model.clone()], of_sae(sae)),
            Self::Convert { sae, out } => (of_sae(sae), of_sae(out)),
        };
        let inputs: Vec<(&str, &Path)> = inputs.iter().map(|path| ("input", &**path)).collect();
        let outputs: Vec<_> = outputs.into_iter().map(|path| ("the command", path)).collect();
        keep_apart(&inputs, &outputs)
    }
}

fn run(Arguments { sparsify, mask, command }: Arguments) -> Outcome<()> {
    let read = |directory: &Path| {
        if sparsify { Sae::<f32>::read_sparsify(directory) } else { Sae::read_saelens(directory) }
    };
    let mask = mask.as_deref();
    match command {
        Command::Encode { sae, samples, out } => encode(&read(&sae)?, &rows(&samples, mask)?, &out),
        Command::Compare { sae, samples, sparsity } => {
            compare(read(&sae)?, &rows(&samples, mask)?, sparsity)
        }
        Command::Import { sae, model, sparsity } => Ok(read(&sae)?.model(sparsity)?.save(model)?),
        Command::Export { model, sae, encoder } => {
            let model = Model::<f32>::load(model)?;
            let made = match encoder {
                Some(tied) => Sae::from_model(&model, tied)?,
                None => Sae::from_linear_coder(&model)?,
            };
            Ok(made.write_saelens(sae)?)
        }
        Command::Convert { sae, out } => Ok(read(&sae)?.write_saelens(out)?),
    }
}

fn encode(sae: &Sae<f32>, rows: &Rows, out: &Path) -> Outcome<()> {
    std::fs::create_dir_all(out)?;
    let (samples, mask) = (rows.samples.as_ref(), &rows.mask);
    let codes = mask.spread(&sae.encode(samples).map_err(|error| rows.failed(error))?)?;
    let latents = mask.spread(&sae.encode_latents(samples)?)?;
    write_codes_npz(out.join("latents.npz"), &latents)?;
    // The budget of a model bounds what a coder may use, not what it can decode.
    write_npy(&out.join("reconstruction.npy"), &sae.model(1)?.decode(&codes)?)
}

fn compare(sae: Sae<f32>, rows: &Rows, k: usize) -> Outcome<()> {
    let Rows { samples, mask, .. } = rows;
    let (model, name) = (sae.model(k)?, sae.architecture().name());
    let own = sae.encode(samples.as_ref()).map_err(|error| rows.failed(error))?;
    let encoder = model.encoder(SaeCoder::new(sae))?;
    let cut = encoder.encode(samples.as_ref())?;
    let pursued = model.encode(&BatchOmp::new(), samples.as_ref())?;
    say(&format!("{name}, {} atoms of dimension {}\n\n", model.atoms(), model.dim()))?;
    say("codes                              FVU      L0   dead atoms\n")?;
    let line = |what: &str, measured: &Reconstruction| {
        let (fvu, l0, dead) = (measured.fvu(), measured.l0(), measured.dead_atoms().count());
        say(&format!("{what:<30} {fvu:>7.4} {l0:>7.2} {dead:>12}\n"))
    };
    let measured = reconstruction(&model, samples.as_ref(), &own)?;
    line("its encoder", &measured)?;
    let what = format!("its encoder, at most {k}");
    line(&what, &reconstruction(&model, samples.as_ref(), &cut)?)?;
    line(&format!("OMP, at most {k}"), &reconstruction(&model, samples.as_ref(), &pursued)?)?;
    say(&format!("\n{} of {} samples were cut\n", encoder.state().cut(), samples.ncols()))?;
    if mask.kept() < mask.rows() {
        say(&format!("{} samples left out by the mask\n", mask.rows() - mask.kept()))?;
    }
    // The files of a SAE have no norm limit, by which such samples could be told from others.
    match measured.massive() {
        Some(massive) => say(&format!("{}\n", massive::warning(massive, samples.ncols()))),
        None => Ok(()),
    }
}

/// The samples of a file that are used.
struct Rows {
    /// A column each.
    samples: Mat<f32>,
    /// Which rows of the file they are.
    mask: Mask,
    path: PathBuf,
}

impl Rows {
    /// What is said of an error met in coding the samples.
    fn failed(&self, error: Error) -> String {
        in_file(error, &self.path, &self.mask)
    }
}

/// Reads the rows of a file that `mask` keeps.
fn rows(path: &Path, mask: Option<&Path>) -> Outcome<Rows> {
    let file = source::open(path, None)?;
    let mask = mask_of(&file, mask)?;
    let (used, dim) = (Subset::masked::<f32>(&file, &mask)?, file.dim());
    source::check_rounding::<f32>(&used).map_err(|error| in_file(error, path, &mask))?;
    let mut values = vec![0.0; used.samples() * dim];
    used.read(0..used.samples(), &mut values)?;
    let samples = Mat::from_fn(dim, used.samples(), |r, i| values[i * dim + r]);
    Ok(Rows { samples, mask, path: path.to_owned() })
}

/// Writes the columns of a matrix as rows.
fn write_npy(path: &Path, matrix: &Mat<f32>) -> Outcome<()> {
    Ok(write_atomically(path, |file| {
        let mut writer = npyz::WriteOptions::new()
            .default_dtype()
            .shape(&[matrix.ncols() as u64, matrix.nrows() as u64])
            .writer(file)
            .begin_nd()?;
        (0..matrix.ncols()).try_for_each(|i| writer.extend(matrix.col_as_slice(i)))?;
        writer.finish()
    })?)
}

fn number(text: &str) -> Outcome<usize> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(format!("K is {text:?}, expected a whole number, at least 1").into()),
    }
}

fn say(text: &str) -> Outcome<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
