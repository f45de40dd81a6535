//! The examples `phase` and `study`, run as programs.

use std::path::Path;

use crate::programs::{error_of, run, stdout_of, with};
use dbksvd::source::{SampleSource, SliceSource, open};
use dbksvd::{DbKsvd, Model, Sign};
use dbksvd_sae::{Sae, Tied};
use npyz::WriterBuilder;
use tempfile::TempDir;

/// A grid of four easy and hard cells, learned for a few steps.
const SMALL: [&str; 14] = [
    "--dim",
    "12",
    "--atoms",
    "16",
    "--sparsities",
    "1,6",
    "--samples",
    "60,600",
    "--steps",
    "30",
    "--seeds",
    "2",
    "--threads",
    "2",
];

#[test]
fn a_small_grid_gives_a_table_and_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let text = stdout_of(&run("phase", &[&SMALL[..], &["--out", out]].concat()));
    let table = std::fs::read_to_string(folder.path().join("phase.md")).unwrap();
    assert_eq!(text.trim_end(), table.trim_end());
    let cells: Vec<&str> =
        table.lines().filter(|line| line.starts_with('|') && line.contains('±')).collect();
    assert_eq!(cells.len(), 4 + 4, "cells and methods: {table}");
    let share = |row: &str| -> f64 {
        let first = row.split('|').nth(3).unwrap();
        first.split('±').next().unwrap().trim().parse().unwrap()
    };
    let of = |cell: &str| share(cells.iter().find(|line| line.starts_with(cell)).unwrap());
    assert!(of("| 1 | 600 |") > 90.0, "one atom a sample, many samples: {table}");
    assert!(of("| 6 | 60 |") < 10.0, "six of sixteen atoms a sample, few samples: {table}");

    let picture = std::fs::File::open(folder.path().join("phase.png")).unwrap();
    let reader = png::Decoder::new(std::io::BufReader::new(picture)).read_info().unwrap();
    assert!(reader.info().width > 400 && reader.info().height > 400);
}

#[test]
fn what_cannot_be_is_said_in_a_line() {
    assert!(error_of(&run("phase", &["--seeds", "1"])).contains("--seeds is 1"));
    assert!(error_of(&run("phase", &["--steps", "0"])).contains("--steps is 0"));
    assert!(error_of(&run("phase", &["--samples", "10,x"])).contains("--samples is \"10,x\""));
    assert!(error_of(&run("phase", &["--kind", "odd"])).contains("--kind is \"odd\""));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let beyond = ["--dim", "4", "--sparsities", "5", "--samples", "60", "--out", out];
    assert!(error_of(&run("phase", &beyond)).contains("`sparsity` is 5"));
}

#[test]
fn help_fits_on_a_screen() {
    for example in ["phase", "study"] {
        let help = stdout_of(&run(example, &["--help"]));
        assert!(help.contains("--sparsities LIST") && help.lines().count() <= 40, "{help}");
    }
}

/// Samples of `study` in a folder: 600 of dimension 16, mixtures of 20 directions, of five texts in
/// passages of 40 rows.
fn samples_of_study() -> TempDir {
    let planted = dbksvd::synthetic::Planted::new(16, 20, 2, 600).noise(0.2);
    let samples = planted.generate::<f32>().unwrap().samples;
    let folder = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(folder.path().join("samples.npy")).unwrap();
    let options = npyz::WriteOptions::new().default_dtype().shape(&[600, 16]);
    let mut writer = options.writer(file).begin_nd().unwrap();
    for sample in samples.col_iter() {
        writer.extend(sample.iter().copied()).unwrap();
    }
    writer.finish().unwrap();
    let lines = |line: fn(usize) -> String| (0..600).map(line).collect::<String>();
    let groups = lines(|row| format!("text-{}\n", row / 40 % 5));
    let tokens = lines(|row| format!("a|{}\n", row % 7));
    std::fs::write(folder.path().join("groups.txt"), groups).unwrap();
    std::fs::write(folder.path().join("tokens.txt"), tokens).unwrap();
    folder
}

/// `study` on those samples, small, with further arguments.
fn study(folder: &Path, others: &[&str]) -> std::process::Output {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let files = [path("samples.npy"), path("groups.txt"), path("tokens.txt"), path("out")];
    let [data, groups, tokens, out] = files.each_ref();
    let small = "--held-out 100 --atoms 24 --sparsities 2,4 --epochs 4 --seeds 2 --small 6,12,2";
    let mut arguments: Vec<&str> = small.split(' ').collect();
    arguments.extend(["--data", data, "--groups", groups, "--tokens", tokens, "--out", out]);
    run("study", &with(&arguments, others))
}

/// The cells of the first row that begins so, after a heading.
fn cells<'a>(text: &'a str, heading: &str, row: &str) -> Vec<&'a str> {
    let part = &text[text.find(heading).expect(heading)..];
    let line = part.lines().find(|line| line.starts_with(row)).expect(row);
    line.trim_matches('|').split('|').map(str::trim).collect()
}

/// The mean of a cell.
fn mean_of(cell: &str) -> f64 {
    cell.split('±').next().unwrap().trim().parse().unwrap()
}

#[test]
fn a_small_study_measures_draws_and_shows() {
    let folder = samples_of_study();
    let out = folder.path().join("out");
    let text = stdout_of(&study(folder.path(), &[]));
    let table = std::fs::read_to_string(out.join("study.md")).unwrap();
    assert_eq!(text.trim_end(), table.trim_end());

    let fvu = |row: &str| mean_of(cells(&text, "### k = 2", row)[2]);
    let (learned, top) = (fvu("| DB-KSVD, OMP |"), fvu("| DB-KSVD, top k |"));
    assert!(learned < 0.2 && learned <= top, "{text}");
    assert!(learned < fvu("| random rows, OMP |"), "{text}");
    assert!(learned < fvu("| Gaussian atoms, OMP |"), "{text}");
    let of_pca = cells(&text, "### k = 4", "| PCA |");
    assert_eq!((of_pca[1], of_pca[4], mean_of(of_pca[6])), ("1", "4.00", 0.0), "{text}");
    assert!(text.contains("| true features |") && !text.contains("SAE"), "{text}");
    let accuracy = cells(&text, "## Probing", "| DB-KSVD, OMP |")[1];
    assert!((30.0..70.0).contains(&mean_of(accuracy)), "texts are made of the same: {accuracy}");

    let excess = |coder: &str| {
        let row = format!("| DB-KSVD, signed | 2 | {coder} |");
        let cells = cells(&text, "## Against the optimal codes", &row);
        (mean_of(cells[5]), mean_of(cells[6]))
    };
    let (omp, swaps, top) = (excess("OMP"), excess("OMP with swaps"), excess("top k"));
    assert!(swaps.0 <= omp.0 && omp.0 < top.0, "{text}");
    assert!(swaps.1 >= omp.1 && omp.1 > top.1 && swaps.1 <= 100.0, "{text}");

    let features = std::fs::read_to_string(out.join("features.md")).unwrap();
    let rows = features.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    assert_eq!(rows.count(), 2 * 12, "{features}");
    assert!(features.contains("`a\\|3`"), "a bar does not end a cell: {features}");
    for name in ["pareto.png", "optimum.png"] {
        let picture = std::fs::File::open(out.join(name)).unwrap();
        let reader = png::Decoder::new(std::io::BufReader::new(picture)).read_info().unwrap();
        assert!(reader.info().width > 400 && reader.info().height > 300, "{name}");
    }
}

/// A model as an autoencoder in the place where the training writes it.
fn write_sae(root: &Path, place: &str, model: &Model<f32>) {
    let folder = root.join(place);
    Sae::from_model(model, Tied::TopK).unwrap().write_saelens(&folder).unwrap();
    std::fs::write(folder.join("training.json"), r#"{"seconds": 7.5}"#).unwrap();
}

#[test]
fn a_study_takes_autoencoders() {
    let folder = samples_of_study();
    let source = open(folder.path().join("samples.npy"), None).unwrap();
    let mut values = vec![0.0_f32; 500 * 16];
    source.read(0..500, &mut values).unwrap();
    let large = SliceSource::new(&values, 16).unwrap();
    let small: Vec<f32> = values.chunks_exact(16).flat_map(|row| &row[..6]).copied().collect();
    let small = SliceSource::new(&small, 6).unwrap();
    let saes = folder.path().join("saes");
    for seed in 0..2 {
        let learn = |samples: &SliceSource<'_, f32>, atoms, sparsity| {
            let builder = DbKsvd::builder(atoms, sparsity).sign(Sign::NonNegative).seed(seed);
            builder.epochs(2).build().unwrap().fit(samples).unwrap().0
        };
        write_sae(&saes, &format!("small/k2/seed{seed}"), &learn(&small, 12, 2));
        for sparsity in [2, 4] {
            let model = learn(&large, 24, sparsity);
            for kind in ["converged", "equal-time"] {
                write_sae(&saes, &format!("{kind}/k{sparsity}/seed{seed}"), &model);
            }
        }
    }
    let text = stdout_of(&study(folder.path(), &["--saes", saes.to_str().unwrap()]));
    let own = cells(&text, "### k = 2", "| TopK SAE |");
    let pursued = cells(&text, "### k = 2", "| TopK SAE, OMP |");
    assert_eq!((own[1], mean_of(own[9])), ("2", 7.5), "{text}");
    assert!(mean_of(pursued[2]) <= mean_of(own[2]), "{text}");
    let gap = |coder: &str| {
        let row = format!("| TopK SAE, non-negative | 2 | {coder} |");
        mean_of(cells(&text, "## Against the optimal codes", &row)[5])
    };
    assert!(gap("OMP") < gap("SAE encoder, refitted"), "{text}");
    assert!(gap("SAE encoder, refitted") < gap("SAE encoder"), "{text}");
    let features = std::fs::read_to_string(folder.path().join("out/features.md")).unwrap();
    assert!(features.contains("## TopK SAE\n"), "{features}");

    std::fs::remove_dir_all(saes.join("converged/k4/seed1")).unwrap();
    let error = error_of_study(&study(folder.path(), &["--saes", saes.to_str().unwrap()]));
    assert!(error.contains("seed1: no SAE of train_topk.py"), "{error}");
}

/// The last line, after those of progress.
fn error_of_study(output: &std::process::Output) -> String {
    assert!(!output.status.success());
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    said.lines().last().expect("an error").to_owned()
}

#[test]
fn a_study_prepares_the_training() {
    let folder = samples_of_study();
    let prepared = folder.path().join("prepared");
    stdout_of(&study(folder.path(), &["--prepare", prepared.to_str().unwrap()]));
    let size = |name: &str| {
        let source = open(prepared.join(name), None).unwrap();
        (SampleSource::<f32>::len(&source), SampleSource::<f32>::dim(&source))
    };
    assert_eq!((size("rows.npy"), size("small.npy")), ((500, 16), (500, 6)), "no row held out");
    let told = std::fs::read_to_string(prepared.join("prepared.json")).unwrap();
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((told["atoms"].as_u64(), told["seeds"].as_u64()), (Some(24), Some(2)));
    assert!(told["seconds"]["2"].is_f64() && told["seconds"]["4"].is_f64(), "{told}");
    assert_eq!(told["small"]["sparsities"], serde_json::json!([2]));
}

#[test]
fn a_study_names_what_is_wrong() {
    let folder = samples_of_study();
    let missing = folder.path().join("missing");
    let missing = missing.to_str().unwrap();
    let samples = folder.path().join("samples.npy");
    let wrong: [(&[&str], &str); 9] = [
        (&["--seeds", "1"], "--seeds is 1"),
        (&["--held-out", "0"], "--held-out is 0"),
        (&["--held-out", "600"], "has 600 rows"),
        (&["--sparsities", "4,x"], "--sparsities is \"4,x\""),
        (&["--small", "6,12"], "--small is 6,12"),
        (&["--data", missing], "missing"),
        (&["--saes", missing], "--saes"),
        (&["--out", samples.to_str().unwrap()], "samples.npy"),
        (&["--frobnicate"], "--frobnicate"),
    ];
    for (arguments, named) in wrong {
        let error = error_of(&study(folder.path(), arguments));
        assert!(error.contains(named), "{error} does not name {named}");
    }
    let groups = folder.path().join("tokens.txt");
    std::fs::write(&groups, "one\n").unwrap();
    let error = error_of(&study(folder.path(), &["--groups", groups.to_str().unwrap()]));
    assert!(error.contains("tokens.txt: 1 lines, expected 600"), "{error}");
}
