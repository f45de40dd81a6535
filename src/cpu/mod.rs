//! The machine room: everything that is written for the processor at hand.

pub(crate) mod backend;
mod host;
pub(crate) mod product;
pub(crate) mod pursuit;
pub(crate) mod scratch_pool;
pub(crate) mod sweep;
pub(crate) mod vector;

pub use backend::Faer;
pub use host::HostBackend;
pub use scratch_pool::ScratchPool;
pub use sweep::host::HostSweep;
