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

#[path = "common/program.rs"]
mod program;

use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use dbksvd::DbKsvd;
use dbksvd::coder::BatchOmp;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::learn::Paired;
use program::Outcome;

/// The side of a patch.
const SIDE: usize = 8;
const ATOMS: usize = 256;
const SPARSITY: usize = 4;

const HELP: &str = "\
Enlarges the right half of the shipped picture, after learning from the left half what patches lack
that were enlarged by cubic interpolation. Takes half a minute.

Usage: cargo run --release --example scale_up

Writes out/scale_up.png: the right half as it is, interpolated, and with the details predicted.
";

fn main() -> ExitCode {
    program::run_without_options(HELP, scale_up)
}

fn scale_up() -> Outcome<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sharp = read(&root.join("data/camera256.png"))?;
    let (left, right) = (half(&sharp, 0), half(&sharp, 1));
    let (train, test) = (Pair::of(&left), Pair::of(&right));

    let learner = DbKsvd::builder(ATOMS, SPARSITY).epochs(10).build()?;
    let (model, _) = learner.fit(&train.samples)?;
    let coder = BatchOmp::new();
    let paired = Paired::new().fit(&model, &coder, &train.samples, &train.targets)?;

    let fvu = |pair: &Pair| -> Outcome<f64> {
        Ok(paired.evaluate(&model, &coder, &pair.samples, &pair.targets)?.fvu())
    };
    println!(
        "{} pairs of patches, {ATOMS} atoms, {SPARSITY} of them a patch",
        train.samples.ncols()
    );
    println!("details unexplained: {:.3} where learned", fvu(&train)?);
    println!("                     {:.3} on the other half", fvu(&test)?);

    let codes = model.encode(&coder, test.samples.as_ref())?;
    let details = average(paired.predict(&codes)?.as_ref(), right.nrows(), right.ncols());
    let enlarged = &test.enlarged + details;
    println!("PSNR of that half:   {:.2} dB interpolated", psnr(&test.enlarged, &right));
    println!("                     {:.2} dB with the details", psnr(&enlarged, &right));
    std::fs::create_dir_all("out")?;
    write(&PathBuf::from("out/scale_up.png"), &[&right, &test.enlarged, &enlarged])
}

/// Patches of an enlarged picture, without their means, and what they lack.
struct Pair {
    samples: Mat<f32>,
    targets: Mat<f32>,
    enlarged: Mat<f32>,
}

impl Pair {
    fn of(sharp: &Mat<f32>) -> Self {
        let enlarged = enlarge(&halve(sharp));
        let mut samples = patches(&enlarged);
        for n in 0..samples.ncols() {
            let patch = samples.col_as_slice_mut(n);
            let mean = patch.iter().sum::<f32>() / (SIDE * SIDE) as f32;
            patch.iter_mut().for_each(|pixel| *pixel -= mean);
        }
        Self { samples, targets: patches(&(sharp - &enlarged)), enlarged }
    }
}

/// The left or the right half.
fn half(picture: &Mat<f32>, which: usize) -> Mat<f32> {
    let width = picture.ncols() / 2;
    picture.subcols(which * width, width).to_owned()
}

/// A picture of half the size: means of 2 × 2 pixels.
fn halve(picture: &Mat<f32>) -> Mat<f32> {
    Mat::from_fn(picture.nrows() / 2, picture.ncols() / 2, |i, j| {
        let pixel = |row, column| picture[(2 * i + row, 2 * j + column)];
        0.25 * (pixel(0, 0) + pixel(0, 1) + pixel(1, 0) + pixel(1, 1))
    })
}

/// A picture of twice the size, by cubic interpolation (Keys 1981) of rows and of columns.
fn enlarge(picture: &Mat<f32>) -> Mat<f32> {
    // The weights of the four pixels around a place a quarter of a pixel after the second of them.
    const WEIGHTS: [f32; 4] = [-0.0703125, 0.8671875, 0.2265625, -0.0234375];
    let rows = |picture: MatRef<'_, f32>| {
        let last = picture.nrows() as isize - 1;
        Mat::from_fn(2 * picture.nrows(), picture.ncols(), |i, j| {
            // Even rows lie a quarter before a pixel, odd ones a quarter after it.
            let (at, way) = ((i / 2) as isize, if i % 2 == 0 { -1 } else { 1 });
            let weighted = (-1..=2).zip(WEIGHTS).map(|(step, weight)| {
                weight * picture[((at + way * step).clamp(0, last) as usize, j)]
            });
            weighted.sum()
        })
    };
    rows(rows(picture.as_ref()).transpose()).transpose().to_owned()
}

/// All patches, a column each, column by column.
fn patches(picture: &Mat<f32>) -> Mat<f32> {
    let (down, across) = (picture.nrows() - SIDE + 1, picture.ncols() - SIDE + 1);
    Mat::from_fn(SIDE * SIDE, down * across, |i, n| {
        picture[(n % down + i % SIDE, n / down + i / SIDE)]
    })
}

/// The picture in which each pixel is the mean of the patches that cover it.
fn average(patches: MatRef<'_, f32>, rows: usize, columns: usize) -> Mat<f32> {
    let down = rows - SIDE + 1;
    let (mut sums, mut counts) =
        (Mat::<f32>::zeros(rows, columns), Mat::<f32>::zeros(rows, columns));
    for (n, patch) in patches.col_iter().enumerate() {
        for (i, &value) in patch.iter().enumerate() {
            let at = (n % down + i % SIDE, n / down + i / SIDE);
            sums[at] += value;
            counts[at] += 1.0;
        }
    }
    Mat::from_fn(rows, columns, |i, j| sums[(i, j)] / counts[(i, j)])
}

/// The peak signal-to-noise ratio, in dB.
fn psnr(picture: &Mat<f32>, sharp: &Mat<f32>) -> f64 {
    let error = f64::from((picture - sharp).squared_norm_l2());
    10.0 * (255.0_f64.powi(2) * (sharp.nrows() * sharp.ncols()) as f64 / error).log10()
}

/// The grey pixels of a PNG with 8 bits a pixel.
fn read(path: &Path) -> Outcome<Mat<f32>> {
    let mut reader = png::Decoder::new(BufReader::new(File::open(path)?)).read_info()?;
    let mut bytes = vec![0; reader.output_buffer_size().ok_or("too large a picture")?];
    let info = reader.next_frame(&mut bytes)?;
    if (info.color_type, info.bit_depth) != (png::ColorType::Grayscale, png::BitDepth::Eight) {
        return Err(format!("{}: not a grey picture of 8 bits", path.display()).into());
    }
    let (rows, columns) = (info.height as usize, info.width as usize);
    Ok(Mat::from_fn(rows, columns, |i, j| f32::from(bytes[i * info.line_size + j])))
}

/// Writes pictures side by side.
fn write(path: &Path, pictures: &[&Mat<f32>]) -> Outcome<()> {
    let (rows, columns) = (pictures[0].nrows(), pictures[0].ncols());
    let file = BufWriter::new(File::create(path)?);
    let width = u32::try_from(pictures.len() * columns)?;
    let mut encoder = png::Encoder::new(file, width, u32::try_from(rows)?);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::Eight);
    let row = |i: usize| pictures.iter().flat_map(move |picture| picture.row(i).iter());
    // A cast of a float saturates.
    let bytes: Vec<u8> = (0..rows).flat_map(row).map(|pixel| pixel.round() as u8).collect();
    encoder.write_header()?.write_image_data(&bytes)?;
    Ok(())
}
