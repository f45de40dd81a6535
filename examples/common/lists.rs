//! Values of an option with commas between them.

use std::fmt::Display;
use std::str::FromStr;

use lexopt::{Parser, ValueExt};

use crate::program::Outcome;

/// The values of an option.
pub fn list<T: FromStr<Err: Display>>(parser: &mut Parser, option: &str) -> Outcome<Vec<T>> {
    let text = parser.value()?.string()?;
    let values: Result<Vec<T>, _> = text.split(',').map(str::parse).collect();
    values.map_err(|error| format!("--{option} {text}: {error}").into())
}
