//! Lists the graphics adapters of this machine, or says why there is none.

use std::process::ExitCode;

use dbksvd_gpu::{GpuError, adapters};

fn main() -> ExitCode {
    let adapters = adapters();
    if adapters.is_empty() {
        eprintln!("{}", GpuError::NoAdapter);
        return ExitCode::FAILURE;
    }
    for (number, adapter) in adapters.iter().enumerate() {
        println!("{number}: {adapter}");
    }
    ExitCode::SUCCESS
}
