//! Denoises a picture by a dictionary that K-SVD learns from its own noisy patches (M. Elad & M.
//! Aharon, "Image denoising via sparse and redundant representations over learned dictionaries",
//! IEEE Trans. Image Process. 15, 2006), and compares with the overcomplete DCT it starts from.
//!
//! ```text
//! cargo run --release --example denoise
//! ```
//! All of it is in [`dbksvd::patches`]: this program reads, writes and measures. Colours are kept.

mod arguments;
#[path = "../common/options.rs"]
mod options;
#[path = "../common/outputs.rs"]
mod outputs;
#[path = "../common/pictures.rs"]
mod pictures;
#[path = "../common/program.rs"]
mod program;

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use arguments::{Arguments, HELP, PICTURES};
use dbksvd::learn::{EpochReport, Observer, Snapshot};
use dbksvd::patches::{Denoising, Image, mosaic, overcomplete_dct};
use pictures::{read_npy, read_png, side_by_side, with_noise, write_png};
use program::Outcome;

/// The side of a patch, in pixels.
const SIDE: usize = 8;

/// The largest value of a pixel.
const PEAK: f64 = 255.0;

fn main() -> ExitCode {
    program::run(Arguments::parse, HELP, run)
}

fn run(arguments: Arguments) -> Outcome<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    pool.install(|| denoise(&arguments))
}

fn denoise(arguments: &Arguments) -> Outcome<()> {
    let (clean, noisy) = clean_and_noisy(arguments)?;
    fs::create_dir_all(&arguments.out)
        .map_err(|error| format!("{}: {error}", arguments.out.display()))?;
    // `--steps` 1, 4, 8 and 16 reach 29.93, 30.09, 30.05 and 30.02 dB on the default picture.
    let denoising = Denoising::new(arguments.sigma)
        .side(SIDE)
        .atoms(arguments.atoms)
        .epochs(arguments.epochs)
        .steps(arguments.steps)
        .seed(arguments.seed);

    let start = Instant::now();
    let dct = overcomplete_dct(SIDE, noisy.channels(), arguments.atoms)?;
    let by_dct = denoising.with_dictionary(&noisy, &dct)?;
    let dct_seconds = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let mut watch = Watch { quiet: arguments.quiet, epochs: arguments.epochs };
    let by_ksvd = denoising.run_observed(&noisy, &mut watch)?;
    let ksvd_seconds = start.elapsed().as_secs_f64();

    let comparison = side_by_side(&[&noisy, &by_dct.image, &by_ksvd.image])?;
    let atoms = mosaic(&by_ksvd.dictionary, &by_ksvd.by_usage(), clean.channels(), 4)?;
    let pictures = [&clean, &noisy, &by_dct.image, &by_ksvd.image, &atoms, &comparison];
    for (name, picture) in PICTURES.into_iter().zip(pictures) {
        write_png(picture, &arguments.out.join(name))?;
    }

    let mut out = std::io::stdout().lock();
    writeln!(out, "             PSNR  atoms a patch  seconds")?;
    writeln!(out, "noisy   {:6.2} dB", noisy.psnr(&clean, PEAK)?)?;
    for (name, restored, seconds) in
        [("DCT", by_dct, dct_seconds), ("K-SVD", by_ksvd, ksvd_seconds)]
    {
        let (psnr, l0) = (restored.image.psnr(&clean, PEAK)?, restored.l0);
        writeln!(out, "{name:7} {psnr:6.2} dB  {l0:13.2}  {seconds:7.1}")?;
    }
    writeln!(out, "\nPictures and atoms are in {}.", arguments.out.display())?;
    Ok(())
}

/// The clean picture and the noisy one.
fn clean_and_noisy(arguments: &Arguments) -> Outcome<(Image, Image)> {
    let clean = read_png(&arguments.image)?;
    let size = |image: &Image| {
        let colours = match image.channels() {
            1 => "in grey".to_owned(),
            3 => "in colours".to_owned(),
            channels => format!("of {channels} channels"),
        };
        format!("{} × {} pixels {colours}", image.width(), image.height())
    };
    if clean.width() < SIDE || clean.height() < SIDE {
        let (name, found) = (arguments.image.display(), size(&clean));
        return Err(format!("{name}: {found}, at least {SIDE} × {SIDE}").into());
    }
    let noisy = match &arguments.noisy {
        None => with_noise(&clean, arguments.sigma, arguments.seed),
        Some(path) => read_npy(path)?,
    };
    if size(&noisy) != size(&clean) {
        let path = arguments.noisy.as_deref().unwrap_or(&arguments.image).display();
        let (found, expected) = (size(&noisy), size(&clean));
        return Err(format!("{path}: {found}, the clean picture has {expected}").into());
    }
    Ok((clean, noisy))
}

/// A line on every epoch.
struct Watch {
    quiet: bool,
    epochs: usize,
}

impl Observer<f32> for Watch {
    fn on_epoch(&mut self, report: &EpochReport, _: &Snapshot<'_, f32>) -> ControlFlow<()> {
        if !self.quiet {
            let EpochReport { epoch, l0, elapsed, .. } = report;
            eprintln!("epoch {epoch}/{}: {l0:.3} atoms a patch, {elapsed:.1} s", self.epochs);
        }
        ControlFlow::Continue(())
    }
}
