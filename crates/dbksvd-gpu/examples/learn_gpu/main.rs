//! `learn` with graphics devices: the program of the library, of which a run may compute on one.
//! `cargo run --release -p dbksvd-gpu --example learn_gpu -- --device gpu`. `--help` is that of
//! `learn`; after learning, rows are coded by the processor.

#[path = "../../../../examples/learn/arguments.rs"]
mod arguments;
#[path = "../../../../examples/learn/coding.rs"]
mod coding;
#[path = "../../../../examples/common/complaint.rs"]
mod complaint;
#[path = "../../../../examples/learn/dataset.rs"]
mod dataset;
mod device;
#[path = "../../../../examples/learn/dozen.rs"]
mod dozen;
#[path = "../../../../examples/learn/events.rs"]
mod events;
#[path = "../../../../examples/learn/failure.rs"]
mod failure;
#[path = "../../../../examples/learn/feature.rs"]
mod feature;
#[path = "../../../../examples/learn/features.rs"]
mod features;
#[path = "../../../../examples/learn/help.rs"]
mod help;
#[path = "../../../../examples/learn/learner.rs"]
mod learner;
#[path = "../../../../examples/learn/learning.rs"]
mod learning;
#[path = "../../../../examples/common/machine.rs"]
mod machine;
#[path = "../../../../examples/learn/memory.rs"]
mod memory;
#[path = "../../../../examples/common/model_encoder.rs"]
mod model_encoder;
#[path = "../../../../examples/common/options.rs"]
mod options;
#[path = "../../../../examples/learn/outputs.rs"]
mod outputs;
#[path = "../../../../examples/common/outputs.rs"]
mod paths;
#[path = "../../../../examples/learn/plots.rs"]
mod plots;
#[path = "../../../../examples/learn/progress.rs"]
mod progress;
#[path = "../../../../examples/learn/run.rs"]
mod run;
#[path = "../../../../examples/learn/start.rs"]
mod start;
#[path = "../../../../examples/learn/table.rs"]
mod table;
#[path = "../../../../examples/learn/texts.rs"]
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
        Call::Version => {
            failure::say(concat!("learn_gpu (dbksvd-gpu ", env!("CARGO_PKG_VERSION"), ")\n"))
        }
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
