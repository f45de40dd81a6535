//! What a program says before it gives up.

use std::fmt::Write as _;
use std::io::{self, Write as _};

/// Prints what is wrong on one line of stderr. Names of files may hold anything, line breaks
/// included.
pub fn complain(program: &str, message: &str) {
    let mut line = format!("{program}: ");
    for character in message.chars() {
        if character.is_control() {
            let _ = write!(line, "{}", character.escape_default());
        } else {
            line.push(character);
        }
    }
    line.push('\n');
    // One write, which lines of other processes cannot part. Where nobody reads, there is nothing
    // to do about it.
    let _ = io::stderr().write_all(line.as_bytes());
}
