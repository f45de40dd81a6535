//! `dbksvd-mpi cost`: what a step would take on other machines, from what it takes on this one.

pub mod arguments;
mod measure;
mod model;

use std::io::{self, Write as _};

use arguments::CostArguments;
use dbksvd::ProblemShape;
use dbksvd::error::Error;
use dbksvd::group::Group;
use dbksvd_mpi::MpiGroup;
use model::{Plan, Work};

use crate::failure::{Failure, say};
use crate::machine;

/// Measures what was not given, and prints the model's table, by the first process.
///
/// # Errors
/// A problem that this machine cannot hold, where it has to be measured.
pub fn run(arguments: &CostArguments, group: &MpiGroup) -> Result<(), Failure> {
    let ProblemShape { dim, atoms, sparsity, .. } = arguments.shape;
    machine::check::<f32>(dim, atoms, sparsity, measure::SAMPLES).map_err(Failure::Usage)?;
    let meeting = measure::meeting(arguments, group).map_err(Error::from)?;
    if group.rank() > 0 {
        return Ok(());
    }
    let work = work(arguments)?;
    if let Some(meeting) = &meeting {
        say(&format!(
            "{} processes: {:.1} µs a short call, {:.1} µs the sums of {} atoms, {:.0} MB/s\n",
            group.ranks(),
            meeting.short * 1e6,
            meeting.sums * 1e6,
            arguments.atom_batch,
            meeting.bytes_per_second / 1e6,
        ))?;
    }
    let plan = Plan {
        shape: arguments.shape,
        minibatch: arguments.minibatch,
        sweeps: arguments.sweeps,
        atom_batch: arguments.atom_batch,
        bytes: size_of::<f32>(),
        cores: arguments.cores,
        machines: arguments.machines.clone(),
        networks: arguments.networks.clone(),
        work,
        message: arguments.message.unwrap_or_else(|| group.seconds_a_message()),
    };
    say(&plan.table())
}

/// What one core needs: as given, or else as measured.
fn work(arguments: &CostArguments) -> Result<Work, Error> {
    let CostArguments { coding, gram, update, .. } = *arguments;
    if let (Some(coding), Some(gram), Some(update)) = (coding, gram, update) {
        return Ok(Work { coding, gram, update });
    }
    let ProblemShape { dim, atoms, sparsity, .. } = arguments.shape;
    let _ = writeln!(io::stderr(), "measuring d {dim}, m {atoms}, k {sparsity} on one core");
    let found = measure::work(arguments)?;
    Ok(Work {
        coding: coding.unwrap_or(found.coding),
        gram: gram.unwrap_or(found.gram),
        update: update.unwrap_or(found.update),
    })
}
