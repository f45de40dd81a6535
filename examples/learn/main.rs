//! Learns a dictionary of a file of samples, says how good it is, shows what its atoms stand for,
//! and writes dictionary, codes and plots. `cargo run --release --example learn -- --help`.
//!
//! | module | |
//! |---|---|
//! | `arguments`, `help` | the command line |
//! | `dataset`, `texts` | rows to learn on, rows held out, and the tokens they belong to |
//! | `start`, `learner`, `learning` | the dictionary to start from, the learner and its run |
//! | `device` | where it computes |
//! | `coding` | codes and measures of any number of rows, batch by batch |
//! | `feature`, `dozen` | what atoms stand for, and which are shown |
//! | `progress`, `events`, `table`, `features` | what is printed |
//! | `outputs`, `plots` | what is written |
//! | `options`, `paths`, `machine` | checks that examples have in common |

mod arguments;
mod coding;
#[path = "../common/complaint.rs"]
mod complaint;
mod dataset;
mod device;
mod dozen;
mod events;
mod failure;
mod feature;
mod features;
mod help;
mod learner;
mod learning;
#[path = "../common/machine.rs"]
mod machine;
mod memory;
#[path = "../common/model_encoder.rs"]
mod model_encoder;
#[path = "../common/options.rs"]
mod options;
mod outputs;
#[path = "../common/outputs.rs"]
mod paths;
mod plots;
mod progress;
mod run;
mod start;
mod table;
mod texts;

use std::process::ExitCode;

use arguments::Call;
use failure::Failure;

fn main() -> ExitCode {
    match respond() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn respond() -> Result<(), Failure> {
    match arguments::parse()? {
        Call::Help => failure::say(help::TEXT),
        Call::Version => failure::say(concat!("learn (dbksvd ", env!("CARGO_PKG_VERSION"), ")\n")),
        Call::Learn(arguments) => {
            let mut pool = rayon::ThreadPoolBuilder::new();
            if let Some(threads) = arguments.threads {
                pool = pool.num_threads(threads);
            }
            let pool = pool.build().map_err(|error| Failure::Run(error.to_string()))?;
            pool.install(|| run::run(&arguments))
        }
    }
}
