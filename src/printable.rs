//! Text that a file holds, for messages.

/// Most characters that an excerpt shows.
#[cfg(feature = "npy")]
const MOST: usize = 100;

/// The text on one line: control characters are escaped.
pub(crate) fn on_a_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

/// The first hundred characters of the text, on one line.
#[cfg(feature = "npy")]
pub(crate) fn excerpt(text: &str) -> String {
    match text.char_indices().nth(MOST) {
        Some((end, _)) => on_a_line(&text[..end]) + "…",
        None => on_a_line(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_hold_no_control_characters() {
        assert_eq!(on_a_line("a\nb\t\u{7}é"), "a\\nb\\t\\u{7}é");
    }

    #[cfg(feature = "npy")]
    #[test]
    fn excerpts_end_after_a_hundred_characters() {
        assert_eq!(excerpt(&"é".repeat(100)), "é".repeat(100));
        assert_eq!(excerpt(&"é".repeat(101)), "é".repeat(100) + "…");
        assert_eq!(excerpt("a\n"), "a\\n");
    }
}
