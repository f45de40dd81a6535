//! The token that each row belongs to, with the tokens around it.

use std::path::Path;

/// Tokens shown before and after the one in question.
const BEFORE: usize = 6;
const AFTER: usize = 4;

/// Word pieces in the order of the rows, and the text that each is from.
pub struct Texts {
    tokens: Vec<String>,
    groups: Vec<String>,
}

impl Texts {
    /// Reads two files of `rows` lines each; else says which is none.
    pub fn read(tokens: &Path, groups: &Path, rows: usize) -> Result<Self, String> {
        Ok(Self { tokens: lines(tokens, rows)?, groups: lines(groups, rows)? })
    }

    /// The token of a row, as the tokeniser writes it: `##` begins one that continues a word.
    pub fn token(&self, row: usize) -> &str {
        &self.tokens[row]
    }

    /// The text that a row is from.
    pub fn group(&self, row: usize) -> &str {
        &self.groups[row]
    }

    /// The words around a row's token: what comes before, the token's letters, what comes after,
    /// with pieces joined. Ends where another text begins.
    pub fn context(&self, row: usize) -> (String, String, String) {
        let same = |&other: &usize| self.groups[other] == self.groups[row];
        let mut first = (0..row).rev().take_while(same).take(BEFORE).last().unwrap_or(row);
        // Half a word is hard to read.
        while first < row && self.tokens[first].starts_with("##") {
            first += 1;
        }
        let after = (row + 1..self.tokens.len()).take_while(same);
        let whole =
            |(nth, other): &(usize, usize)| *nth < AFTER || self.tokens[*other].starts_with("##");
        let last = after.enumerate().take_while(whole).map(|(_, i)| i).last().unwrap_or(row);

        let mut before = String::new();
        (first..row).for_each(|other| append(&mut before, &self.tokens[other], first == other));
        let token = &self.tokens[row];
        if first < row && !is_joined(token) {
            before.push(' ');
        }
        let mut after = String::new();
        (row + 1..=last).for_each(|other| append(&mut after, &self.tokens[other], false));
        (before, piece(token).to_owned(), after)
    }
}

fn lines(path: &Path, rows: usize) -> Result<Vec<String>, String> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    if lines.len() != rows {
        let (path, found) = (path.display(), lines.len());
        return Err(format!("{path}: {found} lines, expected {rows}, one a row"));
    }
    Ok(lines)
}

/// The letters of a token.
fn piece(token: &str) -> &str {
    match token.strip_prefix("##") {
        Some(piece) if !piece.is_empty() => piece,
        _ => token,
    }
}

/// Whether a token is written without a space before it.
fn is_joined(token: &str) -> bool {
    piece(token) != token || matches!(token, "." | "," | ";" | ":" | "?" | "!" | ")" | "]")
}

fn append(line: &mut String, token: &str, first: bool) {
    if !first && !is_joined(token) {
        line.push(' ');
    }
    line.push_str(piece(token));
}
