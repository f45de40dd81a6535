//! Values of options, and errors that name the option.

use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;

use lexopt::{Parser, ValueExt};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// The value of an option.
pub fn value<T: FromStr<Err: Display>>(parser: &mut Parser, option: &str) -> Outcome<T> {
    let text = parser.value()?.string()?;
    text.parse().map_err(|error| format!("--{option} {text}: {error}").into())
}

/// Values with commas between them.
pub fn list<T: FromStr<Err: Display>>(parser: &mut Parser, option: &str) -> Outcome<Vec<T>> {
    let text = parser.value()?.string()?;
    let values: Result<Vec<T>, _> = text.split(',').map(str::parse).collect();
    values.map_err(|error| format!("--{option} {text}: {error}").into())
}
