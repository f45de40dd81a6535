//! `dbksvd-mpi learn`: learns a dictionary of files of samples by the processes of an MPI job.
//! `dbksvd-mpi cost`: what a step takes on so many machines.

#![forbid(unsafe_code)]

mod arguments;
mod cost;
mod help;
mod learning;

use std::io::Write;
use std::process::ExitCode;

use arguments::Call;
use dbksvd::group::Group;
use dbksvd_mpi::MpiGroup;

fn main() -> ExitCode {
    // What is wrong with the arguments needs no job, and every process finds it.
    let call = match arguments::parse() {
        Ok(Call::Help) => return say(help::TEXT),
        Ok(Call::Version) => return say(concat!("dbksvd-mpi ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(call) => call,
        Err(complaint) => {
            eprintln!("{complaint}\nTry `dbksvd-mpi --help`.");
            return ExitCode::from(2);
        }
    };
    let group = match MpiGroup::start() {
        Ok(group) => match &call {
            Call::Learn(arguments) => group.sharing_products(arguments.shares_gram),
            _ => group,
        },
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let done = match &call {
        Call::Learn(arguments) => learning::run(arguments, &group),
        Call::Cost(arguments) => cost::run(arguments, &group),
        Call::Help | Call::Version => Ok(()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // One write, since the launcher mixes what processes print.
            let line = format!("owner {}: {failure}\n", group.rank());
            let _ = std::io::stderr().write_all(line.as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Prints a text; nobody may be there to read it.
fn say(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
