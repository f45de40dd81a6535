//! Where a run computes: on the processor or on a graphics device.

use dbksvd::learn::{Observer, StopToken};
use dbksvd::{Faer, Scalar};
use dbksvd_gpu::{Adapter, Gpu};

use crate::arguments::Arguments;
use crate::dataset::Dataset;
use crate::failure::Failure;
use crate::learner::builder;
use crate::learning::{Learned, run};
use crate::start::Start;

/// The repository, where data to try the program on are.
pub const HOME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What `--device` may be.
pub const EXPECTED: &str = "cpu, gpu, gpu:NAME or gpu:NUMBER (the example adapters lists them)";

/// A place to compute.
#[derive(Clone, Debug, Default)]
pub enum Device {
    #[default]
    Processor,
    Graphics(Adapter),
}

impl Device {
    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        match name.split_once(':') {
            None if name == "cpu" => Some(Self::Processor),
            None if name == "gpu" => Some(Self::Graphics(Adapter::Best)),
            Some(("gpu", adapter)) if !adapter.is_empty() => {
                Some(Self::Graphics(Adapter::parse(adapter)))
            }
            _ => None,
        }
    }
}

/// Numbers that a run can compute with, but some on the processor alone.
pub trait Real: Scalar {
    /// A run for the least error on a graphics device.
    fn learn_on(
        adapter: &Adapter,
        arguments: &Arguments,
        start: Start<Self>,
        dataset: &Dataset,
        observer: &mut dyn Observer<Self>,
        token: &StopToken,
    ) -> Result<Learned<Self>, Failure>;
}

impl Real for f32 {
    fn learn_on(
        adapter: &Adapter,
        arguments: &Arguments,
        start: Start<Self>,
        dataset: &Dataset,
        observer: &mut dyn Observer<Self>,
        token: &StopToken,
    ) -> Result<Learned<Self>, Failure> {
        let gpu = Gpu::on(adapter).map_err(|error| Failure::Run(error.to_string()))?;
        run(arguments, &builder(gpu, arguments, start).build()?, dataset, observer, token)
    }
}

impl Real for f64 {
    fn learn_on(
        _: &Adapter,
        _: &Arguments,
        _: Start<Self>,
        _: &Dataset,
        _: &mut dyn Observer<Self>,
        _: &StopToken,
    ) -> Result<Learned<Self>, Failure> {
        let message = "--device is a graphics device, which computes in f32: add --precision f32";
        Err(Failure::Usage(message.to_owned()))
    }
}

/// A run for the least error.
pub fn learn<T: Real>(
    arguments: &Arguments,
    start: Start<T>,
    dataset: &Dataset,
    observer: &mut dyn Observer<T>,
    token: &StopToken,
) -> Result<Learned<T>, Failure> {
    match &arguments.device {
        Device::Processor => {
            let learner = builder(Faer::default(), arguments, start).build()?;
            run(arguments, &learner, dataset, observer, token)
        }
        Device::Graphics(adapter) => {
            T::learn_on(adapter, arguments, start, dataset, observer, token)
        }
    }
}
