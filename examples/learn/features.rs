//! A dozen features, printed.

use std::fmt::Write as _;

use dbksvd::{Scalar, SparseCodes};

use crate::dozen::dozen;
use crate::feature::{Feature, TOP, collect, counted_tokens};
use crate::table::thousands;
use crate::texts::Texts;

/// Of the rows by which a feature is judged, those shown with their context.
const CONTEXTS: usize = 3;

/// A [`dozen`] features with the tokens that use each most; row numbers where tokens are not known.
/// Of the rows of `codes`, `rows` are used. Rows that are not `within` the norm limit are left out:
/// their coefficients would be the largest of every feature that they use.
pub fn features<T: Scalar>(
    codes: &SparseCodes<T>,
    rows: usize,
    within: &[bool],
    texts: Option<&Texts>,
) -> String {
    let all = collect(codes, |row| within[row]);
    let shown = dozen(&all, rows, texts);
    let mut text = String::new();
    if shown.is_empty() {
        return text;
    }
    let count = shown.len();
    let _ = writeln!(text, "\n{count} features, from rare to frequent, with what uses each most");
    for feature in shown {
        show(&mut text, feature, rows, texts);
    }
    text
}

fn show(text: &mut String, feature: &Feature, rows: usize, texts: Option<&Texts>) {
    let share = 100.0 * feature.uses as f64 / rows as f64;
    let sign = if feature.negative { '−' } else { '+' };
    let (atom, uses) = (feature.atom, thousands(feature.uses));
    let _ = write!(text, "\n  {sign}{atom:<5} {uses} rows, {share:.1}%: ");
    let Some(texts) = texts else {
        let strongest = feature.top.iter().take(TOP / 2);
        let rows = strongest.map(|(row, value)| format!("{row} ({value:.3})"));
        let _ = writeln!(text, "{}", rows.collect::<Vec<_>>().join(", "));
        return;
    };
    let tokens = counted_tokens(feature.rows(), texts);
    let counted = tokens.iter().map(|&(token, count)| match count {
        1 => token.to_owned(),
        count => format!("{token} ×{count}"),
    });
    let _ = writeln!(text, "{}", counted.collect::<Vec<_>>().join("  "));
    // The strongest row of each of the commonest tokens.
    for (token, _) in tokens.iter().take(CONTEXTS) {
        let strongest = feature.top.iter().find(|(row, _)| texts.token(*row) == *token);
        let Some(&(row, value)) = strongest else { continue };
        let (before, token, after) = texts.context(row);
        let from = format!("[{token}]{after}");
        let _ = writeln!(text, "    {value:>7.3} {before:>34}{from}  ({})", texts.group(row));
    }
}
