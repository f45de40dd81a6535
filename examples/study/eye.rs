//! Features to be judged by eye: a dozen of each method, chosen by a rule.
//!
//! Atoms that any row uses are ranked by how many do, the most used first; taken are the middles of
//! twelve equal parts of that ranking. Of signed codes, each atom is shown with the sign that more
//! rows use.

use std::fmt::Write;
use std::path::Path;

use dbksvd::SparseCodes;

use crate::feature::{Feature, collect, counted_tokens};
use crate::program::Outcome;
use crate::texts::Texts;

const FEATURES: usize = 12;

/// Strongest rows shown by their tokens, and those of them shown in their context.
const TOKENS: usize = 12;
const CONTEXTS: usize = 2;

/// What rows stand for.
pub struct Tokens(Texts);

impl Tokens {
    /// A token and the name of a text for each of `rows` rows.
    pub fn read(tokens: &Path, groups: &Path, rows: usize) -> Outcome<Self> {
        Ok(Self(Texts::read(tokens, groups, rows)?))
    }

    /// A Markdown table of the features of one method, by codes of all rows.
    pub fn table(&self, codes: &SparseCodes<f32>) -> String {
        let mut text = String::from(
            "| atom | rows | tokens of the strongest rows | the strongest in their context |\n|---|---|---|---|\n",
        );
        for feature in &chosen(codes) {
            let tokens: Vec<String> = counted_tokens(feature.rows().take(TOKENS), &self.0)
                .into_iter()
                .map(|(token, count)| match count {
                    1 => code(token),
                    count => format!("{} ×{count}", code(token)),
                })
                .collect();
            let _ = writeln!(
                text,
                "| {}{} | {} | {} | {} |",
                if feature.negative { "−" } else { "" },
                feature.atom,
                feature.uses,
                tokens.join(" "),
                self.contexts(feature).join(" · ")
            );
        }
        text
    }

    /// The strongest rows of different tokens, or of one if there is no other.
    fn contexts(&self, feature: &Feature) -> Vec<String> {
        let mut shown: Vec<(&str, String)> = Vec::new();
        for row in feature.rows() {
            let token = self.0.token(row);
            if shown.len() < CONTEXTS && shown.iter().all(|(other, _)| *other != token) {
                let (before, token_text, after) = self.0.context(row);
                let group = plain(self.0.group(row));
                let line = format!(
                    "{}**{}**{} ({group})",
                    plain(&before),
                    plain(&token_text),
                    plain(&after)
                );
                shown.push((token, line));
            }
        }
        shown.into_iter().map(|(_, line)| line).collect()
    }
}

/// The features by the rule above.
fn chosen(codes: &SparseCodes<f32>) -> Vec<Feature> {
    let mut sides = collect(codes, |_| true).into_iter();
    let mut atoms: Vec<Feature> = Vec::new();
    let mut uses: Vec<usize> = Vec::new();
    while let (Some(positive), Some(negative)) = (sides.next(), sides.next()) {
        let both = positive.uses + negative.uses;
        if both > 0 {
            uses.push(both);
            atoms.push(if negative.uses > positive.uses { negative } else { positive });
        }
    }
    let mut order: Vec<usize> = (0..atoms.len()).collect();
    order.sort_by_key(|&place| (std::cmp::Reverse(uses[place]), atoms[place].atom));
    let parts = FEATURES.min(order.len());
    let middles = (0..parts).map(|part| order[(2 * part + 1) * order.len() / (2 * parts)]);
    let mut atoms: Vec<Option<Feature>> = atoms.into_iter().map(Some).collect();
    middles.filter_map(|place| atoms[place].take()).collect()
}

/// A token as code in a cell of a table.
fn code(token: &str) -> String {
    let token = token.replace('|', "\\|");
    if token.contains('`') { format!("`` {token} ``") } else { format!("`{token}`") }
}

/// Text in a cell of a table: nothing in it is Markdown.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for character in text.chars() {
        if matches!(character, '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '#' | '\\' | '~') {
            plain.push('\\');
        }
        plain.push(character);
    }
    plain
}
