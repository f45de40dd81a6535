//! DB-KSVD beside sparse autoencoders, principal components and random dictionaries on real
//! embeddings; and how far from the optimal code each coder is.
//! `cargo run --release --example study -- --help`.
//!
//! `docs/study/embeddings` has a run of it, and trains the autoencoders.

mod arguments;
mod clock;
mod data;
mod eye;
#[path = "../learn/feature.rs"]
mod feature;
#[path = "../common/machine.rs"]
mod machine;
mod measure;
mod methods;
mod optimum;
#[path = "../common/options.rs"]
mod options;
#[path = "../common/outputs.rs"]
mod outputs;
mod picture;
mod prepare;
mod probe;
#[path = "../common/program.rs"]
mod program;
mod saes;
mod statistics;
mod table;
#[path = "../learn/texts.rs"]
mod texts;

use std::path::Path;
use std::process::ExitCode;

use arguments::Arguments;
use data::Data;
use eye::Tokens;
use measure::{L0, Row};
use methods::{FEATURES, METHODS, Method, PLAIN, SAE, Subject};
use probe::Probe;
use program::Outcome;
use saes::Saes;

fn main() -> ExitCode {
    program::run(arguments::parse, arguments::HELP, run)
}

fn run(arguments: Arguments) -> Outcome<()> {
    let data = Data::read(&arguments.data, arguments.held_out)?;
    // Seconds are compared with those of one thread.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    pool.install(|| {
        let most = arguments.sparsities.iter().copied().max().unwrap_or(1);
        machine::check::<f32>(data.dim(), arguments.atoms, most, data.all().ncols())
    })?;
    pool.install(|| match &arguments.prepare {
        Some(folder) => prepare::prepare(folder, &arguments, &data),
        None => study(&arguments, &data),
    })
}

/// A folder that cannot be had is said before the work, not after it.
pub fn make_folder(path: &Path) -> Outcome<()> {
    std::fs::create_dir_all(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn study(arguments: &Arguments, data: &Data) -> Outcome<()> {
    let Arguments { out, groups, tokens, .. } = arguments;
    make_folder(out)?;
    let saes = arguments.saes.as_deref().map(Saes::open).transpose()?;
    let count = data.all().ncols();
    let probe = groups.as_deref().map(|groups| Probe::read(groups, count)).transpose()?;
    let texts = tokens.as_deref().zip(groups.as_deref());
    let texts = texts.map(|(tokens, groups)| Tokens::read(tokens, groups, count)).transpose()?;

    let rows = measure(arguments, data, saes.as_ref(), probe.as_ref())?;
    let features_file = out.join("features.md");
    if let Some(texts) = texts {
        write(&features_file, &features(arguments, data, saes.as_ref(), &rows, &texts)?)?;
    } else if features_file.exists() {
        // That of an earlier study would pass for one of this.
        std::fs::remove_file(&features_file)
            .map_err(|error| format!("{}: {error}", features_file.display()))?;
    }
    let gaps = optimum::gaps(arguments, data, saes.as_ref())?;
    let text = table::text(arguments, data, &rows, probe.as_ref(), &gaps);
    println!("{text}");
    write(&out.join("study.md"), &text)?;
    picture::pareto(&out.join("pareto.png"), arguments, &rows)?;
    picture::optimum(&out.join("optimum.png"), arguments, &gaps)
}

/// A row for every method and sparsity; that of the true features stands at the nearest sparsity.
fn measure(
    arguments: &Arguments,
    data: &Data,
    saes: Option<&Saes>,
    probe: Option<&Probe>,
) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for &sparsity in &arguments.sparsities {
        let mut of_methods: Vec<Row> =
            (0..METHODS.len()).map(|place| Row::new(Method(place), sparsity)).collect();
        for seed in 0..arguments.seeds {
            for subject in methods::subjects(arguments, data, saes, sparsity, seed)? {
                of_methods[subject.method.0].add(&subject, data, probe)?;
            }
            eprintln!("k {sparsity}, seed {seed}");
        }
        rows.extend(of_methods.into_iter().filter(|row| row.seeds() > 0));
    }
    let mut features = Row::new(FEATURES, 0);
    for seed in 0..arguments.seeds {
        features.add(&methods::true_features(arguments, data, seed)?, data, probe)?;
        eprintln!("true features, seed {seed}");
    }
    features.sparsity = nearest(&arguments.sparsities, features.estimate(L0).mean);
    rows.push(features);
    for row in &mut rows {
        row.compare_seeds()?;
    }
    Ok(rows)
}

/// The sparsity of the least ratio to `l0`.
fn nearest(sparsities: &[usize], l0: f64) -> usize {
    let ratio = |&sparsity: &usize| (sparsity as f64 / l0.max(0.1)).ln().abs();
    let best = sparsities.iter().min_by(|a, b| ratio(a).total_cmp(&ratio(b)));
    best.copied().unwrap_or(1)
}

/// A dozen features of three methods, of the first seed, at the sparsity nearest to that of the
/// preset.
fn features(
    arguments: &Arguments,
    data: &Data,
    saes: Option<&Saes>,
    rows: &[Row],
    texts: &Tokens,
) -> Outcome<String> {
    let preset = rows.iter().find(|row| row.method == FEATURES);
    let sparsity = preset.map_or(arguments.sparsities[0], |row| row.sparsity);
    let mut subjects: Vec<Subject> = methods::subjects(arguments, data, saes, sparsity, 0)?;
    subjects.retain(|subject| subject.method == PLAIN || subject.method == SAE);
    subjects.push(methods::true_features(arguments, data, 0)?);
    let mut text = format!(
        "A dozen features of each method, of seed 0, at k = {sparsity}: atoms that any row uses, ranked by \
         how many do, the\nmost used first; the middles of twelve equal parts of that ranking. Of signed \
         codes, each atom with the sign\nthat more rows use. Tokens are those of the twelve rows with the \
         largest coefficients.\n"
    );
    for subject in subjects {
        let codes = subject.encode(data.all())?;
        let name = METHODS[subject.method.0].name;
        text += &format!("\n## {name}\n\n{}", texts.table(&codes));
    }
    Ok(text)
}

fn write(path: &Path, text: &str) -> Outcome<()> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()).into())
}
