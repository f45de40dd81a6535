//! Which adapters there are, and which one is taken.

use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use crate::error::GpuError;

/// Which adapter to compute on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Adapter {
    /// The first graphics card; without one, a graphics unit of the processor, then virtual and
    /// other devices; without these, a driver that runs on the processor, which is slow and of use
    /// for tests.
    #[default]
    Best,
    /// The first adapter whose name contains this text. Upper and lower case are the same.
    Named(String),
    /// The adapter of this number in [`adapters`].
    Number(usize),
}

impl Adapter {
    /// The adapter that a text names: a number, or a part of the name. An empty text is
    /// [`Best`](Self::Best).
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match (text.is_empty(), text.parse()) {
            (true, _) => Self::Best,
            (_, Ok(number)) => Self::Number(number),
            _ => Self::Named(text.into()),
        }
    }
}

/// What is known of an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdapterInfo {
    /// Its name.
    pub name: String,
    /// The interface that it is reached by: `vulkan`, `metal` or `dx12`.
    pub interface: String,
    /// Name and version of the driver.
    pub driver: String,
    /// Whether it is a graphics card or unit, and not a driver that runs on the processor.
    pub is_hardware: bool,
}

impl fmt::Display for AdapterInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.interface, self.driver)
    }
}

impl From<&wgpu::Adapter> for AdapterInfo {
    fn from(adapter: &wgpu::Adapter) -> Self {
        let info = adapter.get_info();
        Self {
            name: info.name,
            interface: info.backend.to_string(),
            driver: format!("{} {}", info.driver, info.driver_info).trim().into(),
            is_hardware: info.device_type != wgpu::DeviceType::Cpu,
        }
    }
}

/// All adapters that a driver offers, in the order of their numbers.
#[must_use]
pub fn adapters() -> Vec<AdapterInfo> {
    found().iter().map(AdapterInfo::from).collect()
}

fn found() -> Vec<wgpu::Adapter> {
    let mut descriptor = wgpu::InstanceDescriptor::new_without_display_handle();
    descriptor.backends = wgpu::Backends::PRIMARY;
    descriptor.flags = wgpu::InstanceFlags::empty();
    let instance = wgpu::Instance::new(descriptor);
    wait_for(instance.enumerate_adapters(wgpu::Backends::PRIMARY))
}

/// The adapter of this choice.
pub(crate) fn choose(choice: &Adapter) -> Result<wgpu::Adapter, GpuError> {
    let mut found = found();
    let infos: Vec<AdapterInfo> = found.iter().map(AdapterInfo::from).collect();
    if infos.is_empty() {
        return Err(GpuError::NoAdapter);
    }
    let (position, wanted) = match choice {
        Adapter::Best => {
            let rank = |adapter: &wgpu::Adapter| match adapter.get_info().device_type {
                wgpu::DeviceType::DiscreteGpu => 0,
                wgpu::DeviceType::IntegratedGpu => 1,
                wgpu::DeviceType::VirtualGpu => 2,
                wgpu::DeviceType::Other => 3,
                wgpu::DeviceType::Cpu => 4,
            };
            ((0..found.len()).min_by_key(|&i| rank(&found[i])), String::new())
        }
        Adapter::Named(name) => {
            let part = name.to_lowercase();
            let is_it = |info: &AdapterInfo| info.name.to_lowercase().contains(&part);
            (infos.iter().position(is_it), format!("named {name:?}"))
        }
        Adapter::Number(number) => {
            (Some(*number).filter(|&number| number < infos.len()), format!("number {number}"))
        }
    };
    let Some(position) = position else {
        let list = infos.iter().enumerate().map(|(i, info)| format!("{i}: {info}"));
        return Err(GpuError::NoSuchAdapter { wanted, found: list.collect::<Vec<_>>().join("; ") });
    };
    Ok(found.swap_remove(position))
}

/// The result of a future of wgpu, which is ready at once where there is no browser.
pub(crate) fn wait_for<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::yield_now(),
        }
    }
}
