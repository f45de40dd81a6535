//! Where a run computes: here, on the processors of the job. `learn` has another module in place of
//! this one.

/// The repository, where data to try the program on are.
pub const HOME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What `--device` may be.
pub const EXPECTED: &str = "cpu";

/// A place to compute.
#[derive(Clone, Debug, Default)]
pub enum Device {
    #[default]
    Processor,
}

impl Device {
    /// The one of this name.
    pub fn parse(name: &str) -> Option<Self> {
        (name == EXPECTED).then_some(Self::Processor)
    }
}
