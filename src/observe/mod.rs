//! Observers ready made: a progress bar, a log of JSON lines, `tracing` events.
//!
//! Two of them are one observer as a pair, `(bar, log)`. An observer of one's own implements
//! [`Observer`](crate::learn::Observer), whose methods all have defaults.

#[cfg(feature = "json")]
mod json_lines;
#[cfg(feature = "progress")]
mod progress_bar;
#[cfg(feature = "tracing")]
mod trace;

#[cfg(feature = "json")]
pub use json_lines::JsonLines;
#[cfg(feature = "progress")]
pub use progress_bar::ProgressBar;
#[cfg(feature = "tracing")]
pub use trace::Trace;
