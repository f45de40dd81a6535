//! Fills in missing pixels, and takes text off a picture, by a dictionary that K-SVD learns from
//! the pixels that are there (J. Mairal, M. Elad & G. Sapiro, "Sparse representation for color
//! image restoration", IEEE Trans. Image Process. 17, 2008), and compares with the overcomplete DCT
//! that it starts from.
//!
//! ```text
//! cargo run --release --example inpaint -- --text
//! ```
//! All of it is in [`dbksvd::patches`]: this program makes holes, reads, writes and measures.

mod arguments;
#[path = "../common/options.rs"]
mod options;
#[path = "../common/outputs.rs"]
mod outputs;
#[path = "../common/pictures.rs"]
mod pictures;
#[path = "../common/program.rs"]
mod program;
mod text;

use std::fs;
use std::io::Write;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::time::Instant;

use arguments::{Arguments, HELP};
use dbksvd::masked::MaskedPass;
use dbksvd::patches::{Image, Inpainting};
use pictures::{read_png, side_by_side, write_png};
use program::Outcome;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The largest value of a pixel.
const PEAK: f64 = 255.0;

fn main() -> ExitCode {
    program::run(Arguments::parse, HELP, run)
}

fn run(arguments: Arguments) -> Outcome<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(arguments.threads).build()?;
    pool.install(|| fill_in(&arguments))
}

fn fill_in(arguments: &Arguments) -> Outcome<()> {
    let whole = read_png(&arguments.image)?;
    let (width, height) = (whole.width(), whole.height());
    if width.min(height) < arguments.side {
        let (name, side) = (arguments.image.display(), arguments.side);
        return Err(format!("{name}: {width} × {height} pixels, at least {side} × {side}").into());
    }
    fs::create_dir_all(&arguments.out)
        .map_err(|error| format!("{}: {error}", arguments.out.display()))?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "               known      DCT    K-SVD  atoms a patch  seconds")?;
    for (n, name) in arguments.names().into_iter().enumerate() {
        let known = match arguments.missing.get(n) {
            Some(&percent) => at_random(width * height, percent, arguments.seed),
            None => text::covered(width, height)?.into_iter().map(|covered| !covered).collect(),
        };
        let line = one(arguments, &name, &whole, &known)?;
        writeln!(out, "{line}")?;
    }
    writeln!(out, "\nPictures are in {}.", arguments.out.display())?;
    Ok(())
}

/// All pixels but so many of a hundred.
fn at_random(pixels: usize, percent: u32, seed: u64) -> Vec<bool> {
    let mut order: Vec<usize> = (0..pixels).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut known = vec![true; pixels];
    order[..pixels * percent as usize / 100].iter().for_each(|&pixel| known[pixel] = false);
    known
}

/// Makes holes and fills them in; the line of the table.
fn one(arguments: &Arguments, name: &str, whole: &Image, known: &[bool]) -> Outcome<String> {
    let (width, height, channels) = (whole.width(), whole.height(), whole.channels());
    let mask = known.iter().map(|&known| if known { 1.0 } else { 0.0 }).collect();
    let mask = Image::new(width, height, 1, mask)?;
    let mut holes = whole.clone();
    for (pixel, &known) in holes.pixels_mut().chunks_exact_mut(channels).zip(known) {
        if !known {
            pixel.fill(f32::NAN);
        }
    }
    let inpainting = Inpainting::new()
        .side(arguments.side)
        .atoms(arguments.atoms)
        .rounds(arguments.rounds)
        .limits(arguments.limits[0], arguments.limits[1])
        .seed(arguments.seed);
    let by_dct = inpainting.passes(0).epochs(0).run(&holes, &mask)?;
    let start = Instant::now();
    let watch = |pass: &MaskedPass| {
        if !arguments.quiet {
            let MaskedPass { pass, passes, relative_error, l0, replaced, .. } = pass;
            eprintln!(
                "{name}: pass {pass}/{passes}: {l0:.2} atoms a patch, error {relative_error:.2e}, \
                 {replaced} atoms replaced, {:.1} s",
                start.elapsed().as_secs_f64()
            );
        }
        ControlFlow::Continue(())
    };
    let learning = inpainting.passes(arguments.passes).epochs(arguments.epochs);
    let filled = learning.run_observed(&holes, &mask, watch)?;
    let seconds = start.elapsed().as_secs_f64();

    let path = |part: &str| arguments.out.join(format!("{name}{part}.png"));
    write_png(&side_by_side(&[&holes, &by_dct.image, &filled.image])?, &path(""))?;
    let mut shown = mask;
    shown.pixels_mut().iter_mut().for_each(|pixel| *pixel *= 255.0);
    write_png(&shown, &path("-mask"))?;
    write_png(&filled.image, &path("-filled"))?;
    let share = known.iter().filter(|&&known| known).count() as f64 / known.len() as f64;
    let [dct, ksvd] = [by_dct.image.psnr(whole, PEAK)?, filled.image.psnr(whole, PEAK)?];
    let (percent, l0) = (100.0 * share, filled.l0);
    Ok(format!("{name:12} {percent:5.1} % {dct:5.2} dB {ksvd:5.2} dB  {l0:13.2}  {seconds:7.1}"))
}
