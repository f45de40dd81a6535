//! Processor time: what work would take on a machine of its own.

#[path = "../common/clock.rs"]
mod process;

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds that the threads of this process have run, where the system tells (Linux); else the time
/// of day. Differences count.
pub fn seconds() -> f64 {
    process::cpu_seconds().unwrap_or_else(|| {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |now| now.as_secs_f64())
    })
}
