//! Learning on a graphics device, if the package is built with the feature `gpu`.

use dbksvd::source::SampleSource;
use pyo3::prelude::*;

use crate::error::unexpected;
use crate::learner::Settings;
use crate::run::{Fit, Supervision};

/// The graphics devices that a driver offers, by number, in words. `None` if the package was built
/// without them.
#[pyfunction]
pub fn devices() -> Option<Vec<String>> {
    found()
}

#[cfg(not(feature = "gpu"))]
fn found() -> Option<Vec<String>> {
    None
}

#[cfg(feature = "gpu")]
fn found() -> Option<Vec<String>> {
    Some(dbksvd_gpu::adapters().iter().map(ToString::to_string).collect())
}

/// Refuses what no build can do: another goal than the least error, and groups.
fn check(settings: &Settings<'_>) -> PyResult<()> {
    let on_a_device = |name: &str, found: &str, expected: &str| {
        Err(unexpected(name, found, &format!("{expected} with device={:?}", settings.device)))
    };
    if settings.goal != "error" {
        return on_a_device("goal", &format!("{:?}", settings.goal), "'error'");
    }
    if settings.groups.is_some() {
        return on_a_device("groups", "given", "None");
    }
    Ok(())
}

#[cfg(not(feature = "gpu"))]
pub fn fit(
    _: Python<'_>,
    settings: &Settings<'_>,
    _: (&dyn SampleSource<f32>, Option<&dyn SampleSource<f32>>),
    _: &Supervision<'_>,
) -> PyResult<Fit> {
    check(settings)?;
    let expected = "'cpu': this package was built without graphics devices \
                    (pip install ./python -C build-args='--features gpu')";
    Err(unexpected("device", format!("{:?}", settings.device), expected))
}

#[cfg(feature = "gpu")]
pub use on_devices::fit;

#[cfg(feature = "gpu")]
mod on_devices {
    use dbksvd::coder::{AnyCoder, BatchOmp};
    use dbksvd::updater::KSvd;
    use dbksvd::{DbKsvd, Sign};
    use dbksvd_gpu::{Adapter, Gpu};
    use pyo3::exceptions::PyRuntimeError;

    use super::*;
    use crate::coder::coder_of;
    use crate::error::exception;
    use crate::run::{learned, watched};
    use crate::updater::AnyUpdater;

    /// Learns on the device that `settings` name.
    pub fn fit(
        py: Python<'_>,
        settings: &Settings<'_>,
        data: (&dyn SampleSource<f32>, Option<&dyn SampleSource<f32>>),
        supervision: &Supervision<'_>,
    ) -> PyResult<Fit> {
        check(settings)?;
        let (coder, updater) = (coder(settings)?, updater(settings)?);
        let adapter = adapter(settings)?;
        let gpu = py.detach(|| Gpu::on(&adapter));
        let gpu = gpu.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
        let sign = if settings.positive { Sign::NonNegative } else { Sign::Signed };
        let builder = DbKsvd::builder_on(gpu, settings.atoms, settings.nonzeros as usize);
        let builder = settings.finish(builder.coder(coder).updater(updater).sign(sign))?;
        let learner = builder.build().map_err(exception)?;
        watched(py, settings, data, supervision, |part| learned(&learner, part))
    }

    fn adapter(settings: &Settings<'_>) -> PyResult<Adapter> {
        match settings.device.split_once(':') {
            None if settings.device == "gpu" => Ok(Adapter::Best),
            Some(("gpu", adapter)) if !adapter.is_empty() => Ok(Adapter::parse(adapter)),
            _ => {
                let expected = "'cpu', 'gpu', 'gpu:NAME' or 'gpu:NUMBER' (see dbksvd.devices())";
                Err(unexpected("device", format!("{:?}", settings.device), expected))
            }
        }
    }

    fn coder(settings: &Settings<'_>) -> PyResult<BatchOmp> {
        let Some(described) = &settings.coder else { return Ok(BatchOmp::new()) };
        match coder_of::<f32>(described, None)? {
            AnyCoder::BatchOmp(coder) => Ok(coder),
            _ => {
                let expected = "'omp', 'ols' or coders.OMP with a graphics device";
                Err(unexpected("coder", format!("{:?}", described.0), expected))
            }
        }
    }

    fn updater(settings: &Settings<'_>) -> PyResult<KSvd> {
        let Some(described) = &settings.updater else { return Ok(KSvd::new()) };
        match AnyUpdater::new(described)? {
            AnyUpdater::KSvd(updater) => Ok(updater),
            _ => {
                let expected = "'ksvd' or updaters.KSVD with a graphics device";
                Err(unexpected("updater", format!("{:?}", described.0), expected))
            }
        }
    }
}
