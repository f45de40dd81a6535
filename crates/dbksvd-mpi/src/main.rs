//! `dbksvd-mpi learn`: learns a dictionary of files of samples by the processes of an MPI job.
//! `dbksvd-mpi cost`: what a step takes on so many machines.
//!
//! What both programs make of their options is the example `learn`'s: its modules for the command
//! line, the rows, the dictionary to start from and the learner.

#![forbid(unsafe_code)]

#[path = "../../../examples/learn/arguments.rs"]
#[allow(dead_code, reason = "`learn` has more options")]
mod arguments;
mod call;
#[path = "../../../examples/common/complaint.rs"]
mod complaint;
mod cost;
#[path = "../../../examples/learn/dataset.rs"]
#[allow(dead_code, reason = "`learn` measures and codes as well")]
mod dataset;
mod device;
#[path = "../../../examples/learn/failure.rs"]
#[allow(dead_code, reason = "this program prints failures with the number of the process")]
mod failure;
mod help;
#[path = "../../../examples/learn/learner.rs"]
mod learner;
mod learning;
#[path = "../../../examples/common/machine.rs"]
mod machine;
#[path = "../../../examples/common/options.rs"]
mod options;
#[path = "../../../examples/common/outputs.rs"]
mod paths;
#[path = "../../../examples/learn/start.rs"]
#[allow(dead_code, reason = "`learn` tells where means and scales come from")]
mod start;
#[path = "../../../examples/learn/texts.rs"]
#[allow(dead_code, reason = "`learn` prints texts of its own data")]
mod texts;

use std::process::ExitCode;

use call::Call;
use complaint::complain;
use dbksvd::group::Group;
use dbksvd_mpi::MpiGroup;
use failure::{Failure, say};

fn main() -> ExitCode {
    // What is wrong with the arguments needs no job, and every process finds it.
    let call = match call::parse() {
        Ok(call) => call,
        Err(failure) => return failure.report(),
    };
    let said = match call {
        Call::Help => say(help::TEXT),
        Call::Version => say(concat!("dbksvd-mpi ", env!("CARGO_PKG_VERSION"), "\n")),
        Call::Learn(learn) => {
            return within_job(|group| {
                let group = group.sharing_products(learn.shares_gram);
                let done = learning::run(&learn, &group);
                (group, done)
            });
        }
        Call::Cost(arguments) => {
            return within_job(|group| {
                let done = cost::run(&arguments, &group);
                (group, done)
            });
        }
    };
    said.map_or_else(Failure::report, |()| ExitCode::SUCCESS)
}

/// Does what is asked for by the processes of the job. What fails is told with the number of the
/// process.
fn within_job(work: impl FnOnce(MpiGroup) -> (MpiGroup, Result<(), Failure>)) -> ExitCode {
    let group = match MpiGroup::start() {
        Ok(group) => group,
        Err(error) => return Failure::Run(error.to_string()).report(),
    };
    let (group, done) = work(group);
    let complain = |message: &str| complain(&format!("owner {}", group.rank()), message);
    match done {
        Ok(()) | Err(Failure::Closed) => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            complain(&message);
            ExitCode::from(2)
        }
        Err(Failure::Run(message)) => {
            complain(&message);
            ExitCode::FAILURE
        }
    }
}
