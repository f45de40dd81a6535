//! Writes a page to look at the features of a dictionary: one HTML file that needs nothing else.
//! `cargo run --release --example features -- --help`.
//!
//! | module | |
//! |---|---|
//! | `arguments` | the command line |
//! | `page` | the file: `page.html` with the data in it |
//! | `feature`, `dozen`, `texts`, `failure` | those of the example `learn` |

mod arguments;
#[path = "../common/complaint.rs"]
mod complaint;
#[path = "../learn/dozen.rs"]
mod dozen;
#[path = "../learn/failure.rs"]
mod failure;
#[path = "../learn/feature.rs"]
mod feature;
#[path = "../common/machine.rs"]
mod machine;
#[path = "../common/masks.rs"]
mod masks;
#[path = "../common/massive.rs"]
mod massive;
#[path = "../common/model_encoder.rs"]
mod model_encoder;
#[path = "../common/options.rs"]
mod options;
#[path = "../common/outputs.rs"]
mod outputs;
mod page;
#[path = "../learn/texts.rs"]
mod texts;

use std::io::Write;
use std::process::ExitCode;

use dbksvd::faer::MatRef;
use dbksvd::files::write_atomically;
use dbksvd::metrics::reconstruction;
use dbksvd::source::{self, SampleSource, SliceSource, Subset};
use dbksvd::{DbKsvd, Error, Model, Sign};

use arguments::{Arguments, Call};
use failure::{Failure, say};
use masks::mask_of;
use model_encoder::ModelEncoder;
use page::Subject;
use texts::Texts;

fn main() -> ExitCode {
    match respond() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn respond() -> Result<(), Failure> {
    match arguments::parse()? {
        Call::Help => say(arguments::HELP),
        Call::Page(arguments) => {
            let mut pool = rayon::ThreadPoolBuilder::new();
            if let Some(threads) = arguments.threads {
                pool = pool.num_threads(threads);
            }
            let pool = pool.build().map_err(|error| Failure::Run(error.to_string()))?;
            pool.install(|| run(&arguments))
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let data = source::open(&arguments.data, None)?;
    let texts =
        Texts::read(&arguments.tokens, &arguments.groups, data.len()).map_err(Failure::Run)?;
    let dim = data.dim();
    let (atoms, sparsity) = match arguments.model {
        Some(_) => (0, 0),
        None => (arguments.atoms, arguments.sparsity),
    };
    let mask = mask_of(&data, arguments.mask.as_deref())?;
    let used = Subset::masked::<f32>(&data, &mask)?;
    let rows = used.samples();
    machine::check::<f32>(dim, atoms, sparsity, rows).map_err(Failure::Run)?;
    let files = arguments.data.display().to_string();
    let in_file =
        |error: Error| Failure::in_files(error, &files, |row| Some((&*arguments.data, row)));
    source::check_rounding::<f32>(&used).map_err(in_file)?;
    // Errors of what is in memory count the rows that are used.
    let in_memory = |error: Error| {
        let row = |row| Some((&*arguments.data, used.index_in_source(row)?));
        Failure::in_files(error, &files, row)
    };
    let mut values = vec![0.0; rows * dim];
    used.read(0..rows, &mut values)?;

    let model = match &arguments.model {
        Some(path) => Model::<f32>::load(path)?,
        None => {
            let sign = if arguments.signed { Sign::Signed } else { Sign::NonNegative };
            let mut builder = DbKsvd::builder(arguments.atoms, arguments.sparsity)
                .sign(sign)
                .center(true)
                .seed(arguments.seed);
            if let Some(epochs) = arguments.epochs {
                builder = builder.epochs(epochs);
            }
            let samples = SliceSource::new(&values, dim).map_err(Error::from)?;
            builder.build()?.fit(&samples).map_err(in_memory)?.0
        }
    };
    let samples = MatRef::from_column_major_slice(&values, dim, rows);
    let encoder = ModelEncoder::new(&model, None)?;
    let codes = encoder.encode(samples).map_err(in_memory)?;
    let measured = reconstruction(&model, samples, &codes)?;
    let name = arguments.data.file_name().unwrap_or(arguments.data.as_os_str());
    let name = name.to_string_lossy();
    // Rows of extreme norm would stand first in every feature that they use.
    let mut within = vec![false; data.len()];
    for (place, row) in mask.ranges().iter().cloned().flatten().zip(values.chunks(dim)) {
        within[place] = model.preprocessing().is_within(row);
    }
    // The rows of the page are those of the files of tokens and texts.
    let codes = mask.spread(&codes)?;
    let subject =
        Subject { name: &name, model: &model, codes: &codes, within: &within, measured: &measured };
    let page = page::page(&subject, &texts);
    let out = arguments.out.display();
    write_atomically(&arguments.out, |file| file.write_all(page.as_bytes()))
        .map_err(|error| Failure::Run(error.to_string()))?;
    let (atoms, kilobytes) = (model.atoms(), page.len() / 1000);
    say(&format!("Wrote {out}: {atoms} atoms, {kilobytes} kB. Open it in a browser.\n"))?;
    if mask.kept() < mask.rows() {
        let (masked, all) = (mask.rows() - mask.kept(), mask.rows());
        say(&format!("Left out by --mask: {masked} of {all} rows\n"))?;
    }
    match measured.massive() {
        Some(massive) if model.preprocessing().norm_limit().is_none() => {
            say(&format!("{}\n", massive::warning(massive, rows)))
        }
        _ => Ok(()),
    }
}
