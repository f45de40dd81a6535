//! The value of an option, and errors that name the option.

use std::fmt::Display;
use std::str::FromStr;

use lexopt::{Parser, ValueExt};

use crate::program::Outcome;

/// The value of an option.
pub fn value<T: FromStr<Err: Display>>(parser: &mut Parser, option: &str) -> Outcome<T> {
    let text = parser.value()?.string()?;
    text.parse().map_err(|error| format!("--{option} {text}: {error}").into())
}
