//! Sparse autoencoders in and out: what they code, what a pursuit makes of their dictionaries, and
//! dictionaries as SAEs for other tools. `cargo run --release --example sae -- --help`.
//!
//! `tests/interop` checks the crate against SAELens and sparsify by means of this program.

use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use dbksvd::Model;
use dbksvd::coder::BatchOmp;
use dbksvd::export::write_codes_npz;
use dbksvd::faer::Mat;
use dbksvd::metrics::{Reconstruction, reconstruction};
use dbksvd::sae::{Sae, SaeCoder, Tied};
use dbksvd::source::{self, SampleSource};
use lexopt::{Arg, Parser, ValueExt};
use npyz::WriterBuilder;

const HELP: &str = "\
Sparse autoencoders (SAEs) in directories of SAELens or, with --sparsify, of EleutherAI's sparsify.

Usage: cargo run --release --example sae -- COMMAND ARGUMENTS [--sparsify]

  encode SAE SAMPLES OUT     codes samples by the SAE's encoder; writes OUT/latents.npz (SciPy's
                             CSR) and OUT/reconstruction.npy
  compare SAE SAMPLES K      errors of its encoder, of its encoder cut to K latents a sample, and of
                             OMP with K atoms on its decoder (inference-time optimisation)
  import SAE MODEL K         its decoder as a model (.safetensors) for at most K atoms a sample
  export MODEL SAE ENCODER   a model as a SAELens directory; ENCODER is matching-pursuit or topk
  convert SAE OUT            any SAE as a SAELens directory

  SAMPLES is .npy or .safetensors, a row a sample.
";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    match respond() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn respond() -> Outcome<()> {
    let (mut sparsify, mut words) = (false, Vec::new());
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Arg::Long("help") | Arg::Short('h') => return say(HELP),
            Arg::Long("sparsify") => sparsify = true,
            Arg::Value(word) => words.push(word.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let read = |directory: &str| {
        if sparsify { Sae::<f32>::read_sparsify(directory) } else { Sae::read_saelens(directory) }
    };
    match words[..] {
        ["encode", sae, samples, out] => encode(&read(sae)?, &rows(samples)?, Path::new(out)),
        ["compare", sae, samples, k] => compare(read(sae)?, &rows(samples)?, number(k)?),
        ["import", sae, model, k] => Ok(read(sae)?.model(number(k)?)?.save(model)?),
        ["export", model, out, encoder] => {
            let tied = match encoder {
                "matching-pursuit" => Tied::MatchingPursuit,
                "topk" => Tied::TopK,
                _ => return Err(format!("{encoder:?} is not matching-pursuit or topk").into()),
            };
            Ok(Sae::from_model(&Model::<f32>::load(model)?, tied)?.write_saelens(out)?)
        }
        ["convert", sae, out] => Ok(read(sae)?.write_saelens(out)?),
        _ => Err("no such command, or not its arguments (see --help)".into()),
    }
}

fn encode(sae: &Sae<f32>, samples: &Mat<f32>, out: &Path) -> Outcome<()> {
    std::fs::create_dir_all(out)?;
    let codes = sae.encode(samples.as_ref())?;
    write_codes_npz(out.join("latents.npz"), &sae.latents(&codes)?)?;
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
fn rows(path: &str) -> Outcome<Mat<f32>> {
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
    text.parse().map_err(|_| format!("{text:?} is no whole number").into())
}

fn say(text: &str) -> Outcome<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
