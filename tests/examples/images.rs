//! The examples `denoise`, `inpaint`, `sensing` and `recover`, run as programs: what they write,
//! and what they say when their arguments or files are no good.

use std::fs;
use std::path::{Path, PathBuf};

use crate::programs::{error_of, run, stdout_of, with, write_npy};
use tempfile::TempDir;

/// Writes a picture with an edge and a gradient, in the given colours.
fn write_picture(path: &Path, (width, height): (u32, u32), colours: png::ColorType) {
    let file = fs::File::create(path).expect("a file in the temporary folder");
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(colours);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a header");
    let grey = |at: u32| {
        let (row, column) = (at / width, at % width);
        if row > column { 200 } else { (4 * column) as u8 }
    };
    let pixels = (0..width * height).flat_map(|at| vec![grey(at); colours.samples()]);
    writer.write_image_data(&pixels.collect::<Vec<u8>>()).expect("pixels");
}

/// The size of a PNG, and that it can be decoded.
fn size_of(path: &Path) -> (u32, u32) {
    let file = std::io::BufReader::new(fs::File::open(path).expect("the picture was written"));
    let mut reader = png::Decoder::new(file).read_info().expect("a PNG");
    let mut pixels = vec![0; reader.output_buffer_size().expect("a small picture")];
    let info = reader.next_frame(&mut pixels).expect("all pixels");
    (info.width, info.height)
}

/// The PSNR that the table states for a method.
fn psnr(table: &str, method: &str) -> f64 {
    let line = table.lines().find(|line| line.starts_with(method)).expect("a row of the table");
    line.split_whitespace().nth(1).and_then(|psnr| psnr.parse().ok()).expect("a number")
}

/// A folder with a small clean picture.
fn folder() -> (TempDir, PathBuf) {
    let folder = TempDir::new().expect("a temporary folder");
    let picture = folder.path().join("picture.png");
    write_picture(&picture, (40, 32), png::ColorType::Grayscale);
    (folder, picture)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

#[test]
fn denoise_writes_pictures_and_a_table() {
    let (folder, picture) = folder();
    let out = folder.path().join("new/out");
    let arguments = ["--image", text(&picture), "--atoms", "60", "--epochs", "2"];
    let output = run("denoise", &[&arguments[..], &["--quiet", "--out", text(&out)]].concat());
    let table = stdout_of(&output);
    assert!(output.stderr.is_empty(), "quiet");
    let noisy = psnr(&table, "noisy");
    assert!((noisy - 20.17).abs() < 0.5, "10 log₁₀(255² / 25²) is 20.17 dB: {noisy}");
    assert!(psnr(&table, "DCT") > noisy + 5.0, "{table}");
    assert!(psnr(&table, "K-SVD") > noisy + 5.0, "{table}");
    for name in ["clean", "noisy", "dct", "ksvd"] {
        assert_eq!(size_of(&out.join(name).with_extension("png")), (40, 32), "{name}");
    }
    assert_eq!(size_of(&out.join("comparison.png")), (3 * 40 + 2 * 8, 32));
    assert_eq!(size_of(&out.join("atoms.png")), (8 * 34 + 2, 8 * 34 + 2));
}

#[test]
fn denoise_repeats_on_any_number_of_threads_and_differs_by_seed() {
    let (folder, picture) = folder();
    let restored = |threads: &str, seed: &str| {
        let out = folder.path().join(format!("{threads}-{seed}"));
        let arguments = ["--image", text(&picture), "--atoms", "36", "--epochs", "1"];
        let others = ["--threads", threads, "--seed", seed, "--out", text(&out)];
        stdout_of(&run("denoise", &[&arguments[..], &others].concat()));
        fs::read(out.join("ksvd.png")).expect("written")
    };
    let first = restored("1", "3");
    assert!(first == restored("3", "3"));
    assert!(first != restored("1", "4"));
}

/// How many channels a PNG has.
fn channels_of(path: &Path) -> usize {
    let file = std::io::BufReader::new(fs::File::open(path).expect("the picture was written"));
    let reader = png::Decoder::new(file).read_info().expect("a PNG");
    reader.info().color_type.samples()
}

#[test]
fn denoise_keeps_colours() {
    let folder = TempDir::new().expect("a temporary folder");
    let coloured = folder.path().join("coloured.png");
    write_picture(&coloured, (40, 32), png::ColorType::Rgba);
    let arguments = ["--image", text(&coloured), "--atoms", "96", "--epochs", "1"];
    let output = run("denoise", &[&arguments[..], &["--out", text(folder.path())]].concat());
    let table = stdout_of(&output);
    assert!(psnr(&table, "K-SVD") > psnr(&table, "noisy") + 5.0, "{table}");
    for name in ["clean", "noisy", "dct", "ksvd", "comparison", "atoms"] {
        assert_eq!(channels_of(&folder.path().join(name).with_extension("png")), 3, "{name}");
    }
    // The noisy picture may be given: here, all of it is 100.
    let noisy = folder.path().join("noisy.npy");
    write_npy(&noisy, "<f4", "(32, 40, 3)", &100.0_f32.to_le_bytes().repeat(32 * 40 * 3));
    let given = ["--noisy", text(&noisy), "--out", text(folder.path())];
    stdout_of(&run("denoise", &[&arguments[..], &given].concat()));
    let written = fs::read(folder.path().join("ksvd.png")).expect("written");
    let mut reader = png::Decoder::new(std::io::Cursor::new(written)).read_info().expect("a PNG");
    let mut pixels = vec![0; 32 * 40 * 3];
    reader.next_frame(&mut pixels).expect("all pixels");
    assert!(pixels.iter().all(|&pixel| pixel == 100));
}

#[test]
fn inpaint_writes_pictures_and_a_table() {
    let (folder, picture) = folder();
    let out = folder.path().join("new/out");
    let arguments = ["--image", text(&picture), "--missing", "50", "--text", "--atoms", "64"];
    let others = ["--passes", "1", "--rounds", "8", "--epochs", "1", "--out", text(&out)];
    let output = run("inpaint", &[&arguments[..], &others, &["--quiet"]].concat());
    let table = stdout_of(&output);
    assert!(output.stderr.is_empty(), "quiet");
    for name in ["missing-50", "text"] {
        let line = table.lines().find(|line| line.starts_with(name)).expect("a row of the table");
        let numbers: Vec<f64> =
            line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [known, dct, ksvd] = numbers[..3] else { panic!("{line}") };
        assert!((40.0..95.0).contains(&known) && dct > 18.0 && ksvd > 18.0, "{line}");
        for (part, width) in [("", 3 * 40 + 2 * 8), ("-mask", 40), ("-filled", 40)] {
            let path = out.join(format!("{name}{part}.png"));
            assert_eq!(size_of(&path), (width, 32), "{}", path.display());
        }
    }
}

#[test]
fn inpaint_names_what_is_wrong() {
    let (folder, picture) = folder();
    let (picture, here) = (text(&picture), text(folder.path()));
    let wrong: [(&[&str], &str); 7] = [
        (&["--missing", "0"], "--missing is \"0\""),
        (&["--missing", "60,80,60"], "--missing is 60 twice"),
        (&["--limits", "10,20", "--image", picture], "--limits is 10,20"),
        (&["--missing", "50,100"], "--missing is \"50,100\""),
        (&["--side", "1"], "--side is 1"),
        (&["--side", "33", "--image", picture], "40 × 32 pixels, at least 33 × 33"),
        (&["--image", "nowhere.png"], "nowhere.png"),
    ];
    for (arguments, named) in wrong {
        let error = error_of(&run("inpaint", &[arguments, &["--out", here]].concat()));
        assert!(error.contains(named), "{error} does not name {named}");
    }
}

#[test]
fn sensing_finds_all_signals() {
    let table = stdout_of(&run("sensing", &[]));
    let found = table.lines().filter(|line| line.contains(" 200 of 200 ")).count();
    assert_eq!(found, 4, "{table}");
    let few = ["--noise", "0.05", "--signals", "20", "--threads", "2"];
    let table = stdout_of(&run("sensing", &few));
    assert_eq!(table.lines().filter(|line| line.contains(" 20 of 20 ")).count(), 4, "{table}");
    let error = error_of(&run("sensing", &["--sparsity", "129"]));
    assert!(error.contains("--sparsity is 129"), "{error}");
}

#[test]
fn denoise_names_what_is_wrong() {
    let (folder, picture) = folder();
    let (picture, here) = (text(&picture), text(folder.path()));
    let small = folder.path().join("small.png");
    write_picture(&small, (40, 7), png::ColorType::Grayscale);
    let text_file = folder.path().join("text.png");
    fs::write(&text_file, "not a picture").expect("written");
    let missing = folder.path().join("missing.png");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/camera256_noisy25.npy");
    let two = folder.path().join("two.npy");
    write_npy(&two, "<f4", "(32, 40, 2)", &[0; 4 * 32 * 40 * 2]);
    let wrong: [(&[&str], &str); 11] = [
        (
            &["--image", picture, "--noisy", text(&two)],
            "40 × 32 pixels of 2 channels, the clean picture has 40 × 32 pixels in grey",
        ),
        (&["--frobnicate"], "--frobnicate"),
        (&["--sigma", "much"], "--sigma is \"much\""),
        (&["--sigma", "-1"], "--sigma is -1"),
        (&["--sigma", "NaN"], "--sigma is NaN"),
        (&["--atoms", "0"], "--atoms is 0"),
        (&["--image", text(&missing)], "missing.png"),
        (&["--image", text(&text_file)], "text.png"),
        (&["--image", text(&small)], "small.png: 40 × 7"),
        (&["--image", picture, "--noisy", text(&shipped)], "256 × 256"),
        (&["--image", picture, "--noisy", picture], "picture.png"),
    ];
    for (arguments, named) in wrong {
        let error = error_of(&run("denoise", &[arguments, &["--out", here]].concat()));
        assert!(error.contains(named), "{error} does not name {named}");
    }
    let error = error_of(&run("denoise", &["--image", picture, "--out", picture]));
    assert!(error.contains("picture.png"), "{error}");
}

const SMALL: [&str; 8] = ["--dim", "16", "--atoms", "24", "--sparsity", "2", "--samples", "600"];

#[test]
fn recover_finds_what_was_planted() {
    for kind in [&["--noise", "0"][..], &["--non-negative", "--threads", "1"]] {
        let table = stdout_of(&run("recover", &[&SMALL[..], &["--epochs", "6"], kind].concat()));
        let last = table.lines().last().expect("a summary");
        let recovered = last.split_whitespace().nth(1).expect("a percentage");
        let recovered: f64 = recovered.trim_end_matches('%').parse().expect("a number");
        assert!(recovered > 80.0, "{table}");
    }
}

#[test]
fn recover_takes_every_kind_and_no_epochs() {
    let arguments = ["--kind", "correlated", "--minibatch", "100", "--epochs", "1"];
    assert!(stdout_of(&run("recover", &[&SMALL[..], &arguments].concat())).contains("Recovered"));
    let table = stdout_of(&run("recover", &[&SMALL[..], &["--epochs", "0"]].concat()));
    assert!(!table.contains("Recovered"), "{table}");
}

#[test]
fn recover_names_what_is_wrong() {
    let wrong: [(&[&str], &str); 7] = [
        (&["--kind", "odd"], "--kind is \"odd\""),
        (&["--atoms", "many"], "--atoms is \"many\""),
        (&["--atoms"], "--atoms"),
        (&["--minibatch", "0"], "--minibatch is 0"),
        (&["--samples", "0"], "samples"),
        (&["--sparsity", "0"], "sparsity"),
        (&["unexpected"], "unexpected"),
    ];
    for (arguments, named) in wrong {
        let error = error_of(&run("recover", &with(&SMALL, arguments)));
        assert!(error.contains(named), "{error} does not name {named}");
    }
}

#[test]
fn all_explain_themselves() {
    for example in ["denoise", "inpaint", "sensing", "recover"] {
        let help = stdout_of(&run(example, &["--help"]));
        assert!(help.contains("Usage: cargo run --release --example"), "{help}");
    }
}
