//! A picture at twice its size: a second dictionary, for the details that patches of an enlarged
//! picture lack (R. Zeyde, M. Elad & M. Protter, *On single image scale-up using sparse
//! representations*, 2010).
//!
//! ```text
//! cargo run --release --example scale_up
//! ```
//! Samples are patches of a picture that was halved and enlarged again by cubic interpolation;
//! targets are what these patches lack of the sharp ones. Both dictionaries are learned from the
//! left half of the shipped picture. The right half says what they are worth.

#[path = "common/pictures.rs"]
mod pictures;
#[path = "common/program.rs"]
mod program;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dbksvd::DbKsvd;
use dbksvd::coder::BatchOmp;
use dbksvd::learn::Paired;
use dbksvd::patches::{Image, Patches};
use pictures::{read_png, side_by_side, write_png};
use program::Outcome;

/// The side of a patch.
const SIDE: usize = 8;
const ATOMS: usize = 256;
const SPARSITY: usize = 4;

/// The largest value of a pixel.
const PEAK: f64 = 255.0;

const HELP: &str = "\
Enlarges the right half of the shipped picture, after learning from the left half what patches lack
that were enlarged by cubic interpolation.

Usage: cargo run --release --example scale_up

Writes out/scale_up.png: the right half as it is, interpolated, and with the details predicted.
";

fn main() -> ExitCode {
    program::run_without_options(HELP, scale_up)
}

fn scale_up() -> Outcome<()> {
    let sharp = read_png(&Path::new(env!("CARGO_MANIFEST_DIR")).join("data/camera256.png"))?;
    let (left, right) = (half(&sharp, 0)?, half(&sharp, 1)?);
    let (train, test) = (Pair::of(&left)?, Pair::of(&right)?);
    let (samples, targets) = (train.samples.samples(), train.targets.samples());

    let learner = DbKsvd::builder(ATOMS, SPARSITY).epochs(10).build()?;
    let (model, _) = learner.fit(&samples)?;
    let coder = BatchOmp::new();
    let paired = Paired::new().fit(&model, &coder, &samples, &targets)?;

    let fvu = |pair: &Pair| -> Outcome<f64> {
        let (samples, targets) = (pair.samples.samples(), pair.targets.samples());
        Ok(paired.evaluate(&model, &coder, &samples, &targets)?.fvu())
    };
    println!("{} pairs of patches, {ATOMS} atoms, {SPARSITY} of them a patch", samples.ncols());
    println!("details unexplained: {:.3} where learned", fvu(&train)?);
    println!("                     {:.3} on the other half", fvu(&test)?);

    let codes = model.encode(&coder, test.samples.samples())?;
    let details = test.targets.average(paired.predict(&codes)?.as_ref())?;
    let restored = combined(&test.enlarged, &details, |enlarged, detail| enlarged + detail)?;
    println!("PSNR of that half:   {:.2} dB interpolated", test.enlarged.psnr(&right, PEAK)?);
    println!("                     {:.2} dB with the details", restored.psnr(&right, PEAK)?);
    std::fs::create_dir_all("out")?;
    let path = PathBuf::from("out/scale_up.png");
    write_png(&side_by_side(&[&right, &test.enlarged, &restored])?, &path)?;
    println!("The three pictures are in {}.", path.display());
    Ok(())
}

/// Patches of an enlarged picture, without their means, and what they lack.
struct Pair {
    samples: Patches,
    targets: Patches,
    enlarged: Image,
}

impl Pair {
    fn of(sharp: &Image) -> Outcome<Self> {
        let enlarged = enlarge(&halve(sharp)?)?;
        let mut samples = Patches::extract(&enlarged, SIDE, 1)?;
        samples.remove_means();
        let lacking = combined(sharp, &enlarged, |sharp, enlarged| sharp - enlarged)?;
        Ok(Self { samples, targets: Patches::extract(&lacking, SIDE, 1)?, enlarged })
    }
}

/// A grey picture of these sizes, from its pixels (row, column).
fn picture((height, width): (usize, usize), pixel: impl Fn(usize, usize) -> f32) -> Outcome<Image> {
    let pixel = &pixel;
    let pixels = (0..height).flat_map(|row| (0..width).map(move |column| pixel(row, column)));
    Ok(Image::new(width, height, 1, pixels.collect())?)
}

/// Two pictures of one size as one.
fn combined(a: &Image, b: &Image, of: impl Fn(f32, f32) -> f32) -> Outcome<Image> {
    let pixels = a.pixels().iter().zip(b.pixels()).map(|(&a, &b)| of(a, b)).collect();
    Ok(Image::new(a.width(), a.height(), 1, pixels)?)
}

/// The left or the right half.
fn half(whole: &Image, which: usize) -> Outcome<Image> {
    let width = whole.width() / 2;
    picture((whole.height(), width), |row, column| {
        whole.pixels()[row * whole.width() + which * width + column]
    })
}

/// A picture of half the size: means of 2 × 2 pixels.
fn halve(whole: &Image) -> Outcome<Image> {
    picture((whole.height() / 2, whole.width() / 2), |row, column| {
        let pixel =
            |i: usize, j: usize| whole.pixels()[(2 * row + i) * whole.width() + 2 * column + j];
        0.25 * (pixel(0, 0) + pixel(0, 1) + pixel(1, 0) + pixel(1, 1))
    })
}

/// A picture of twice the size, by cubic interpolation (Keys 1981) of columns and of rows.
fn enlarge(small: &Image) -> Outcome<Image> {
    let at =
        |image: &Image, row: usize, column: usize| image.pixels()[row * image.width() + column];
    let (height, width) = (small.height(), small.width());
    let tall = picture((2 * height, width), |row, column| {
        taps(row, height).map(|(from, weight)| weight * at(small, from, column)).sum()
    })?;
    picture((2 * height, 2 * width), |row, column| {
        taps(column, width).map(|(from, weight)| weight * at(&tall, row, from)).sum()
    })
}

/// The pixels of a line of this length that make pixel `i` of the line of twice its length, with
/// their weights. Beyond its ends, the line goes on as its last pixel.
fn taps(i: usize, length: usize) -> impl Iterator<Item = (usize, f32)> {
    // The weights of the four pixels around a place a quarter of a pixel after the second of them.
    const WEIGHTS: [f32; 4] = [-0.0703125, 0.8671875, 0.2265625, -0.0234375];
    // Even pixels lie a quarter before one of the small picture, odd ones a quarter after it.
    let (at, way) = ((i / 2) as isize, if i.is_multiple_of(2) { -1 } else { 1 });
    let last = length as isize - 1;
    (-1..=2).zip(WEIGHTS).map(move |(step, w)| ((at + way * step).clamp(0, last) as usize, w))
}
