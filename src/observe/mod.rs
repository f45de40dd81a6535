//! Observers that are ready to use: closures, a progress bar, a log of JSON lines, `tracing`
//! events.
//!
//! A pair of observers, such as `(bar, log)`, is an observer, too. To write an observer of your
//! own, implement [`Observer`](crate::learn::Observer); all its methods have defaults.

mod closures;
#[cfg(feature = "json")]
mod json_lines;
#[cfg(feature = "progress")]
mod progress_bar;
#[cfg(feature = "tracing")]
mod trace;

pub use closures::{on_epoch, on_evaluation, on_step};
#[cfg(feature = "json")]
pub use json_lines::JsonLines;
#[cfg(feature = "progress")]
pub use progress_bar::ProgressBar;
#[cfg(feature = "tracing")]
pub use trace::Trace;
