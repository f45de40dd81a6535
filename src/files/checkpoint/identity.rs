//! Whether a checkpoint is one of this run: the names and values that the file states.

use std::collections::HashMap;
use std::path::Path;

use crate::error::CheckpointError;
use crate::parameters::Parameters;

/// Where parameters stand in the metadata of a checkpoint.
const PREFIX: &str = "run.";

/// The texts that a checkpoint holds, by key.
pub(super) fn texts(identity: &Parameters) -> impl Iterator<Item = (String, &str)> {
    named(identity).map(|(name, value)| (format!("{PREFIX}{name}"), value))
}

/// All but the first, which says what has these parameters.
fn named(identity: &Parameters) -> impl Iterator<Item = (&str, &str)> {
    identity.iter().filter(|(name, _)| !name.is_empty())
}

/// Refuses a checkpoint whose texts say otherwise, or of something that this run has not.
pub(super) fn check(
    identity: &Parameters,
    path: &Path,
    found: &HashMap<&str, &str>,
) -> Result<(), CheckpointError> {
    let mismatch = |what: &str, found: &str, expected: &str| {
        let (path, what) = (path.to_owned(), what.to_owned());
        let (found, expected) = (found.to_owned(), expected.to_owned());
        Err(CheckpointError::Mismatch { path, what, found, expected })
    };
    let own: HashMap<String, &str> = texts(identity).collect();
    for (name, expected) in named(identity) {
        let found = found.get(format!("{PREFIX}{name}").as_str()).copied();
        if found != Some(expected) {
            return mismatch(name, found.unwrap_or("not stated"), expected);
        }
    }
    let mut unknown: Vec<_> = found
        .iter()
        .filter_map(|(key, found)| Some((key.strip_prefix(PREFIX)?, found, key)))
        .filter(|(_, _, key)| !own.contains_key(**key))
        .collect();
    unknown.sort_unstable();
    match unknown.first() {
        Some((name, found, _)) => mismatch(name, found, "not a parameter of this run"),
        None => Ok(()),
    }
}
