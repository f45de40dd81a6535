//! What can go wrong on a device.

use dbksvd::error::BackendError;

/// Why a device cannot be used, or what happened to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GpuError {
    /// No adapter is there at all.
    #[error(
        "no graphics adapter was found: a driver for Vulkan, Metal or DirectX 12 is needed \
         (without a graphics card, Debian's mesa-vulkan-drivers has one that runs on the processor)"
    )]
    NoAdapter,
    /// Adapters are there, but not the one that was asked for.
    #[error("no graphics adapter is {wanted}; there are: {found}")]
    NoSuchAdapter {
        /// The name or the number asked for.
        wanted: String,
        /// The adapters that are there, with their numbers.
        found: String,
    },
    /// The adapter lacks what the kernels need.
    #[error("the graphics adapter {adapter} does not suffice: {lacks}")]
    Insufficient {
        /// The name of the adapter.
        adapter: String,
        /// What it lacks.
        lacks: String,
    },
    /// The driver refused to open the adapter.
    #[error("the graphics adapter {adapter} cannot be opened: {reason}")]
    NotOpened {
        /// The name of the adapter.
        adapter: String,
        /// The driver's reason.
        reason: String,
    },
    /// The device went away, for example because a driver was reset. Nothing on it can be read any
    /// more; a new [`Gpu`](crate::Gpu) is needed.
    #[error("the graphics device was lost: {reason}")]
    Lost {
        /// The driver's reason.
        reason: String,
    },
    /// The memory of the device does not suffice.
    #[error("the graphics device has no memory left for {what}")]
    OutOfMemory {
        /// What the memory was for.
        what: String,
    },
    /// The driver reported an error of another kind.
    #[error("the graphics device reports an error: {reason}")]
    Driver {
        /// The driver's message.
        reason: String,
    },
}

impl From<GpuError> for BackendError {
    fn from(error: GpuError) -> Self {
        Self::Device(Box::new(error))
    }
}
