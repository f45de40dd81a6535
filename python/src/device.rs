//! Learning on a graphics device.

use dbksvd::coder::{AnyCoder, BatchOmp};
use dbksvd::updater::KSvd;
use dbksvd::{DbKsvd, Sign};
use dbksvd_gpu::{Adapter, Gpu};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::coder::coder_of;
use crate::error::{exception, unexpected};
use crate::learner::Settings;
use crate::updater::AnyUpdater;

/// The graphics devices that ``DictionaryLearner`` can learn on, in words.
///
/// ``device="gpu"`` takes the first graphics card, ``"gpu:NUMBER"`` the one at that place here, and
/// ``"gpu:NAME"`` the first whose name contains the text. A driver that runs on the processor is a
/// device, too, and slow.
///
/// Returns
/// -------
/// list of str
///     Empty without a driver for Vulkan, Metal or DirectX 12.
#[pyfunction]
pub fn devices(py: Python<'_>) -> Vec<String> {
    py.detach(|| dbksvd_gpu::adapters().iter().map(ToString::to_string).collect())
}

/// The learner on the device that `settings` name.
pub fn learner(py: Python<'_>, settings: &Settings<'_>) -> PyResult<DbKsvd<Gpu>> {
    let adapter = adapter(&settings.device)?;
    let (coder, updater) = parts(settings)?;
    let gpu = py.detach(|| Gpu::on(&adapter));
    let gpu = gpu.map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    let sign = if settings.positive { Sign::NonNegative } else { Sign::Signed };
    let builder = DbKsvd::builder_on(gpu, settings.atoms, settings.nonzeros as usize);
    let builder = settings.finish(builder.coder(coder).updater(updater).sign(sign))?;
    builder.build().map_err(exception)
}

fn adapter(device: &str) -> PyResult<Adapter> {
    match device.split_once(':') {
        None if device == "gpu" => Ok(Adapter::Best),
        Some(("gpu", adapter)) if !adapter.is_empty() => Ok(Adapter::parse(adapter)),
        _ => {
            let expected = "'cpu', 'gpu', 'gpu:NAME' or 'gpu:NUMBER' (see dbksvd.devices())";
            Err(unexpected("device", format!("{device:?}"), expected))
        }
    }
}

/// The coder and the updater, which on a device are those of the defaults.
fn parts(settings: &Settings<'_>) -> PyResult<(BatchOmp, KSvd)> {
    let refused = |name: &str, found: String, expected: &str| {
        let device = &settings.device;
        Err(unexpected(name, found, &format!("{expected} with device={device:?}")))
    };
    if settings.goal != "error" {
        return refused("goal", format!("{:?}", settings.goal), "'error'");
    }
    if settings.groups.is_some() {
        return refused("groups", "given".to_owned(), "None");
    }
    let coder = match &settings.coder {
        None => BatchOmp::new(),
        Some(described) => match coder_of::<f32>(described, None)? {
            AnyCoder::BatchOmp(coder) => coder,
            _ => {
                let found = format!("{:?}", described.0);
                return refused("coder", found, "'omp', 'ols' or coders.OMP");
            }
        },
    };
    let updater = match &settings.updater {
        None => KSvd::new(),
        Some(described) => match AnyUpdater::new(described)? {
            AnyUpdater::KSvd(updater) => updater,
            _ => {
                let found = format!("{:?}", described.0);
                return refused("updater", found, "'ksvd' or updaters.KSVD");
            }
        },
    };
    Ok((coder, updater))
}
