//! Scores a dictionary from files, by the labels of its samples.
//! `cargo run --release --example score -- --help`.

mod arguments;
mod files;
#[path = "../../../../examples/common/options.rs"]
mod options;
#[path = "../../../../examples/common/outputs.rs"]
mod outputs;
#[path = "../../../../examples/common/program.rs"]
mod program;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use arguments::{Arguments, HELP, Measure, Sequences};
use dbksvd::export::read_atoms_npy;
use dbksvd::faer::Mat;
use dbksvd::files::write_atomically;
use dbksvd::{Dictionary, SparseCodes};
use dbksvd_sae::metrics::{
    AbsorbedClass, Absorption, Features, Labelled, LeftOut, Perturbation, Probe, Probing, Split,
    Windows,
};
use dbksvd_sae::split_signs;
use files::Labels;
use program::Outcome;
use serde_json::{Map, Value, json};

fn main() -> ExitCode {
    program::run(arguments::parse, HELP, run)
}

/// What is scored.
struct Coded {
    dictionary: Dictionary<f32>,
    codes: SparseCodes<f32>,
    samples: Mat<f32>,
    labels: Labels,
    split: Split,
}

fn run(arguments: Arguments) -> Outcome<()> {
    let coded = read(&arguments)?;
    let (train, test) = (coded.split.train.len(), coded.split.test.len());
    let l0 = coded.codes.nnz() as f64 / coded.codes.samples() as f64;
    let (dim, atoms) = (coded.dictionary.dim(), coded.dictionary.atoms());
    say(&format!(
        "{atoms} atoms of dimension {dim}, {train} samples for training, {test} for testing, {l0:.1} \
         atoms a sample\n\n"
    ))?;
    let mut scores = Map::new();
    scores.insert("atoms".into(), json!(atoms));
    scores.insert("train".into(), json!(train));
    scores.insert("test".into(), json!(test));
    scores.insert("l0".into(), json!(l0));
    let measures = arguments.measures.clone().unwrap_or_else(|| coded.labels.measures());
    for measure in measures {
        let (name, score) = match (measure, &coded.labels) {
            (Measure::Probing, _) => ("probing", probing(&arguments, &coded)?),
            (Measure::Absorption, Labels::Classes(labels)) => {
                ("absorption", absorption(&coded, labels)?)
            }
            (Measure::Perturbation, Labels::Classes(labels)) => {
                ("perturbation", perturbation(&arguments, &coded, labels)?)
            }
            (_, Labels::Columns(_)) => {
                let path = arguments.labels.display();
                let found = "labels that overlap";
                return Err(
                    format!("{path}: {found}, for which probing is the only measure").into()
                );
            }
        };
        scores.insert(name.into(), score);
    }
    if let Some(path) = &arguments.json {
        let text = format!("{:#}\n", Value::Object(scores));
        write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    }
    Ok(())
}

/// The files, brought to unit atoms, to codes that are not negative, and to windows.
fn read(arguments: &Arguments) -> Outcome<Coded> {
    let (mut dictionary, norms) = read_atoms_npy::<f32>(&arguments.dictionary)?;
    let inverse: Vec<f64> = norms.iter().map(|norm| norm.recip()).collect();
    let mut codes = files::codes(&arguments.codes)?;
    if codes.atoms() != dictionary.atoms() {
        let (found, expected) = (codes.atoms(), dictionary.atoms());
        let path = arguments.codes.display();
        return Err(format!("{path}: codes of {found} atoms, expected {expected}").into());
    }
    codes = codes.for_atoms_of_norms(&inverse)?;
    if codes.iter().any(|(_, values)| values.iter().any(|&value| value < 0.0)) {
        say(
            "codes have signs: the positive and the negative part of an atom are atoms of their own\n",
        )?;
        let (m, atoms) = (dictionary.atoms(), dictionary.as_mat());
        let both = |r: usize, j: usize| if j < m { atoms[(r, j)] } else { -atoms[(r, j - m)] };
        dictionary = Dictionary::new(Mat::from_fn(dictionary.dim(), 2 * m, both))?;
        codes = split_signs(&codes);
    }
    let mut samples = files::rows(&arguments.samples)?;
    let mut labels = files::labels(&arguments.labels)?;
    let mut train = match &arguments.train {
        Some(path) => files::booleans(path)?,
        None => (0..labels.len()).map(|i| i % 5 != 4).collect(),
    };
    if let Some(Sequences { length, window }) = arguments.sequences {
        let windows = Windows::new(&vec![length; samples.ncols() / length], window)?;
        samples = windows.samples(samples.as_ref())?;
        codes = windows.codes(&codes)?;
        labels = labels.of_windows(&windows)?;
        train = windows.labels(&train)?;
    }
    let count = samples.ncols();
    for (path, found) in [(&arguments.labels, labels.len()), (&arguments.codes, codes.samples())] {
        expect(path, found, count)?;
    }
    if let Some(path) = &arguments.train {
        expect(path, train.len(), count)?;
    }
    let (train, test) = (0..count).partition(|&i| train[i]);
    Ok(Coded { dictionary, codes, samples, labels, split: Split { train, test } })
}

fn expect(path: &Path, found: usize, expected: usize) -> Outcome<()> {
    if found == expected {
        return Ok(());
    }
    let path = path.display();
    Err(format!("{path}: {found} rows, expected {expected}, one for each of the samples").into())
}

fn probing(arguments: &Arguments, coded: &Coded) -> Outcome<Value> {
    say("probing: mean accuracy of class or label against the rest, by the best atoms\n")?;
    let mut scores = Map::new();
    for &features in &arguments.features {
        let probing = Probing { features, seed: arguments.seed, ..Probing::default() };
        let of = Features::Codes(&coded.codes);
        let probes = match &coded.labels {
            Labels::Classes(labels) => probing.run_split(of, labels, &coded.split)?.classes,
            Labels::Columns(columns) => probing.run_labels(of, columns, &coded.split)?,
        };
        let each: Vec<f64> = probes.iter().map(|probe: &Probe| probe.test_accuracy).collect();
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        say(&format!("  k = {features:<4} {mean:.4}\n"))?;
        let atoms: Vec<&[usize]> = probes.iter().map(|probe| &*probe.features).collect();
        scores.insert(
            features.to_string(),
            json!({ "mean": mean, "accuracies": each, "atoms": atoms }),
        );
    }
    say("\n")?;
    Ok(Value::Object(scores))
}

fn absorption(coded: &Coded, labels: &[u32]) -> Outcome<Value> {
    let absorbed = Absorption::default().run(coded.labelled(labels))?;
    say("absorption\n  class  probe F1  first F1  samples  fraction    full  main atoms\n")?;
    for class in &absorbed.classes {
        say(&format!(
            "  {:<5} {:>9.4} {:>9.4} {:>8} {:>9.4} {:>7.4}  {:?}\n",
            class.class,
            class.probe_f1,
            class.first_f1,
            class.samples,
            class.fraction,
            class.full,
            class.main
        ))?;
    }
    say(&format!(
        "  mean  {:>9.4} {:>9.4} {:>18.4} {:>7.4}  {:.2} main atoms\n",
        absorbed.mean_probe_f1(),
        absorbed.mean_first_f1(),
        absorbed.mean_fraction(),
        absorbed.mean_full(),
        absorbed.mean_main()
    ))?;
    say(&format!("  {} classes left out\n\n", absorbed.left_out.len()))?;
    let class = |class: &AbsorbedClass| {
        json!({
            "class": class.class, "probe_f1": class.probe_f1, "main": class.main,
            "first_f1": class.first_f1, "main_f1": class.main_f1, "samples": class.samples,
            "fraction": class.fraction, "full": class.full,
        })
    };
    let left_out = |left: &LeftOut| json!({ "class": left.class, "probe_f1": left.probe_f1 });
    Ok(json!({
        "fraction": absorbed.mean_fraction(), "full": absorbed.mean_full(),
        "main_atoms": absorbed.mean_main(), "first_f1": absorbed.mean_first_f1(),
        "probe_f1": absorbed.mean_probe_f1(),
        "classes": absorbed.classes.iter().map(class).collect::<Vec<_>>(),
        "left_out": absorbed.left_out.iter().map(left_out).collect::<Vec<_>>(),
    }))
}

fn perturbation(arguments: &Arguments, coded: &Coded, labels: &[u32]) -> Outcome<Value> {
    let perturbation = Perturbation { seed: arguments.seed, ..Perturbation::default() };
    let counts = arguments.ablate.clone().unwrap_or_else(|| {
        let atoms = coded.dictionary.atoms();
        [2, 5, 10, 20, 50, 100].into_iter().filter(|&count| count <= atoms).collect()
    });
    let perturbed = perturbation.run(coded.labelled(labels), &counts)?;
    let clean = perturbed.accuracies.iter().sum::<f64>() / perturbed.accuracies.len() as f64;
    say(&format!("targeted probe perturbation, of probes of mean accuracy {clean:.4}\n"))?;
    say("  atoms  intended  unintended     TPP\n")?;
    let mut scores = Map::new();
    for ablation in &perturbed.ablations {
        let (intended, unintended) = (ablation.intended(), ablation.unintended());
        let (count, score) = (ablation.count, ablation.score());
        say(&format!("  {count:<6} {intended:>8.4} {unintended:>11.4} {score:>7.4}\n"))?;
        let each: Vec<f64> = (0..ablation.drops.len()).map(|c| ablation.score_of(c)).collect();
        scores.insert(
            count.to_string(),
            json!({
                "score": score, "intended": intended, "unintended": unintended, "classes": each,
            }),
        );
    }
    say("\n")?;
    Ok(json!({ "accuracies": perturbed.accuracies, "ablations": scores }))
}

impl Coded {
    fn labelled<'a>(&'a self, labels: &'a [u32]) -> Labelled<'a, f32> {
        Labelled {
            samples: self.samples.as_ref(),
            codes: &self.codes,
            dictionary: &self.dictionary,
            labels,
            split: &self.split,
        }
    }
}

fn say(text: &str) -> Outcome<()> {
    Ok(std::io::stdout().write_all(text.as_bytes())?)
}
