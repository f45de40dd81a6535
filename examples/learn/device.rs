//! Where a run computes: here, on the processor. `learn_gpu`, the same program in
//! `crates/dbksvd-gpu`, has another module in place of this one.

use dbksvd::learn::{Observer, StopToken};
use dbksvd::{Faer, Scalar};

use crate::arguments::Arguments;
use crate::dataset::Dataset;
use crate::failure::Failure;
use crate::learner::builder;
use crate::learning::{Learned, run};
use crate::start::Start;

/// The repository, where data to try the program on are.
pub const HOME: &str = env!("CARGO_MANIFEST_DIR");

/// What `--device` may be.
pub const EXPECTED: &str = "cpu; graphics devices are for learn_gpu (cargo run --release -p \
    dbksvd-gpu --example learn_gpu)";

/// A place to compute.
#[derive(Clone, Debug, Default)]
pub enum Device {
    #[default]
    Processor,
}

impl Device {
    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        (name == "cpu").then_some(Self::Processor)
    }
}

/// Numbers that a run can compute with on every device.
pub trait Real: Scalar {}

impl<T: Scalar> Real for T {}

/// A run for the least error.
pub fn learn<T: Real>(
    arguments: &Arguments,
    start: Start<T>,
    dataset: &Dataset,
    observer: &mut dyn Observer<T>,
    token: &StopToken,
) -> Result<Learned<T>, Failure> {
    let Device::Processor = arguments.device;
    run(arguments, &builder(Faer::default(), arguments, start).build()?, dataset, observer, token)
}
