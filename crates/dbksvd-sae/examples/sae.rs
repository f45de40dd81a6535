//! Sparse autoencoders in and out: what they code, what a pursuit makes of their dictionaries, and
//! dictionaries as SAEs for other tools. `cargo run --release --example sae -- --help`.
//!
//! `tests/interop` checks the crate against SAELens and sparsify by means of this program.

#[path = "../../../examples/common/options.rs"]
mod options;
#[path = "../../../examples/common/outputs.rs"]
mod outputs;
#[path = "../../../examples/common/program.rs"]
mod program;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dbksvd::Model;
use dbksvd::coder::BatchOmp;
use dbksvd::export::write_codes_npz;
use dbksvd::faer::Mat;
use dbksvd::metrics::{Reconstruction, reconstruction};
use dbksvd::source::{self, SampleSource};
use dbksvd_sae::{Sae, SaeCoder, Tied};
use npyz::WriterBuilder;
use options::{Options, Usage};
use outputs::keep_apart;
use program::Outcome;

const HELP: &str = "\
Sparse autoencoders (SAEs) in directories of SAELens or, with --sparsify, of EleutherAI's sparsify.

Usage: cargo run --release --example sae -- COMMAND ARGUMENTS [--sparsify]

  encode SAE SAMPLES OUT     codes samples by the SAE's encoder; writes OUT/latents.npz (SciPy's
                             CSR) and OUT/reconstruction.npy
  compare SAE SAMPLES K      errors of its encoder, of its encoder cut to K latents a sample, and of
                             OMP with K atoms on its decoder (inference-time optimisation)
  import SAE MODEL K         its decoder as a model (.safetensors) for at most K atoms a sample
  export MODEL SAE ENCODER   a model as a SAELens directory; ENCODER is matching-pursuit, topk,
                             or linear: that of a model with a linear coder, as jumprelu
  convert SAE OUT            any SAE as a SAELens directory

  SAMPLES is .npy or .safetensors, a row a sample. Codes of `encode` are of the SAE's own decoder.
  --help      this text
";

/// The files of a SAE of either tool.
const SAE_FILES: [&str; 3] = ["cfg.json", "sae_weights.safetensors", "sae.safetensors"];

fn main() -> ExitCode {
    program::run(arguments, HELP, run)
}

struct Arguments {
    sparsify: bool,
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
    let mut sparsify = false;
    let mut options = Options::with_words();
    while let Some(name) = options.next()? {
        match name.as_str() {
            "sparsify" => sparsify = true,
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
    command.keep_outputs_apart()?;
    Ok(Some(Arguments { sparsify, command }))
}

impl Command {
    /// None of the files that are read is written.
    fn keep_outputs_apart(&self) -> Result<(), Usage> {
        let of_sae = |sae: &Path| SAE_FILES.map(|name| sae.join(name)).to_vec();
        let (inputs, outputs) = match self {
            Self::Encode { sae, samples, out } => {
                let mut inputs = of_sae(sae);
                inputs.push(samples.clone());
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

fn run(Arguments { sparsify, command }: Arguments) -> Outcome<()> {
    let read = |directory: &Path| {
        if sparsify { Sae::<f32>::read_sparsify(directory) } else { Sae::read_saelens(directory) }
    };
    match command {
        Command::Encode { sae, samples, out } => encode(&read(&sae)?, &rows(&samples)?, &out),
        Command::Compare { sae, samples, sparsity } => {
            compare(read(&sae)?, &rows(&samples)?, sparsity)
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

fn encode(sae: &Sae<f32>, samples: &Mat<f32>, out: &Path) -> Outcome<()> {
    std::fs::create_dir_all(out)?;
    let codes = sae.encode(samples.as_ref())?;
    write_codes_npz(out.join("latents.npz"), &sae.encode_latents(samples.as_ref())?)?;
    // The budget of a model bounds what a coder may use, not what it can decode.
    write_npy(&out.join("reconstruction.npy"), &sae.model(1)?.decode(&codes)?)
}

fn compare(sae: Sae<f32>, samples: &Mat<f32>, k: usize) -> Outcome<()> {
    let (model, name) = (sae.model(k)?, sae.architecture().name());
    let own = sae.encode(samples.as_ref())?;
    let mut encoder = model.encoder(SaeCoder::new(sae))?;
    let cut = encoder.encode(samples.as_ref())?;
    let pursued = model.encode(&BatchOmp::new(), samples.as_ref())?;
    say(&format!("{name}, {} atoms of dimension {}\n\n", model.atoms(), model.dim()))?;
    say("codes                              FVU      L0   dead atoms\n")?;
    let line = |what: &str, measured: &Reconstruction| {
        let (fvu, l0, dead) = (measured.fvu(), measured.l0(), measured.dead_atoms().count());
        say(&format!("{what:<30} {fvu:>7.4} {l0:>7.2} {dead:>12}\n"))
    };
    line("its encoder", &reconstruction(&model, samples.as_ref(), &own)?)?;
    let what = format!("its encoder, at most {k}");
    line(&what, &reconstruction(&model, samples.as_ref(), &cut)?)?;
    line(&format!("OMP, at most {k}"), &reconstruction(&model, samples.as_ref(), &pursued)?)?;
    say(&format!("\n{} of {} samples were cut\n", encoder.state().cut(), samples.ncols()))
}

/// The rows of a file as columns.
fn rows(path: &Path) -> Outcome<Mat<f32>> {
    let file = source::open(path, None)?;
    source::check_rounding::<f32>(&file)?;
    let mut values = vec![0.0; file.len() * file.dim()];
    file.read(0..file.len(), &mut values)?;
    Ok(Mat::from_fn(file.dim(), file.len(), |r, i| values[i * file.dim() + r]))
}

/// Writes the columns of a matrix as rows.
fn write_npy(path: &Path, matrix: &Mat<f32>) -> Outcome<()> {
    let mut writer = npyz::WriteOptions::new()
        .default_dtype()
        .shape(&[matrix.ncols() as u64, matrix.nrows() as u64])
        .writer(BufWriter::new(File::create(path)?))
        .begin_nd()?;
    (0..matrix.ncols()).try_for_each(|i| writer.extend(matrix.col_as_slice(i)))?;
    Ok(writer.finish()?)
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
