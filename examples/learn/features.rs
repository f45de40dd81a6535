//! What atoms stand for: the rows that use them most.

use std::fmt::Write as _;

use dbksvd::SparseCodes;

use crate::table::thousands;
use crate::texts::Texts;

/// Features shown.
const FEATURES: usize = 12;
/// Rows of a feature by which it is judged and shown.
const TOP: usize = 16;
/// Of those, rows shown with their context.
const CONTEXTS: usize = 3;

/// An atom with one sign of its coefficients: the two directions are different features.
struct Feature {
    atom: usize,
    negative: bool,
    /// How many rows use it, with this sign.
    uses: usize,
    /// The [`TOP`] rows with the largest coefficients, and those.
    top: Vec<(usize, f32)>,
}

/// A dozen features with the tokens that use each most; row numbers where tokens are not known.
///
/// Features that 0.4% to 5% of the rows use (of few rows: 32 to 128 of them; any if there are none)
/// are cut by usage into twelve classes. Shown is of each class the one whose largest coefficients
/// are the largest, among those that more than one text and several tokens use (see [`is_broad`]):
/// an atom of a single word needs no explanation.
pub fn features(codes: &SparseCodes<f32>, texts: Option<&Texts>) -> String {
    let mut all = collect(codes);
    let rows = codes.samples();
    let range = (rows / 250).max(2 * TOP)..=(rows / 20).max(8 * TOP);
    let any = all.iter().any(|feature| range.contains(&feature.uses));
    all.retain(|feature| if any { range.contains(&feature.uses) } else { feature.uses > 0 });
    all.sort_by_key(|feature| feature.uses);
    let mut text = String::new();
    if all.is_empty() {
        return text;
    }
    let classes = FEATURES.min(all.len());
    let _ = writeln!(text, "\n{classes} features, from rare to frequent, with what uses each most");
    for class in 0..classes {
        let members = &all[class * all.len() / classes..(class + 1) * all.len() / classes];
        let strength = |feature: &Feature| feature.top.iter().map(|&(_, value)| value).sum::<f32>();
        let key = |feature: &Feature| texts.is_some_and(|texts| is_broad(feature, texts));
        let best = members
            .iter()
            .max_by(|a, b| key(a).cmp(&key(b)).then(strength(a).total_cmp(&strength(b))));
        let Some(feature) = best else { continue };
        show(&mut text, feature, rows, texts);
    }
    text
}

fn collect(codes: &SparseCodes<f32>) -> Vec<Feature> {
    let mut uses: Vec<Vec<(usize, f32)>> = vec![Vec::new(); 2 * codes.atoms()];
    for (row, (support, values)) in codes.iter().enumerate() {
        for (&atom, &value) in support.iter().zip(values) {
            uses[2 * atom as usize + usize::from(value < 0.0)].push((row, value.abs()));
        }
    }
    let feature = |(side, mut top): (usize, Vec<(usize, f32)>)| {
        let uses = top.len();
        top.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        top.truncate(TOP);
        Feature { atom: side / 2, negative: side % 2 == 1, uses, top }
    };
    uses.into_iter().enumerate().map(feature).collect()
}

/// Whether the top rows are of three tokens and three texts at least, none of the tokens making up
/// more than three quarters.
fn is_broad(feature: &Feature, texts: &Texts) -> bool {
    let mut groups: Vec<_> = feature.top.iter().map(|&(row, _)| texts.group(row)).collect();
    groups.sort_unstable();
    groups.dedup();
    let tokens = counted_tokens(feature, texts);
    groups.len() >= 3 && tokens.len() >= 3 && 4 * tokens[0].1 <= 3 * feature.top.len()
}

/// The tokens of the top rows and how many rows each has, most first; of equals, the strongest.
fn counted_tokens<'a>(feature: &Feature, texts: &'a Texts) -> Vec<(&'a str, usize)> {
    let mut tokens: Vec<(&str, usize)> = Vec::new();
    for &(row, _) in &feature.top {
        match tokens.iter_mut().find(|(token, _)| *token == texts.token(row)) {
            Some((_, count)) => *count += 1,
            None => tokens.push((texts.token(row), 1)),
        }
    }
    tokens.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    tokens
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
    let tokens = counted_tokens(feature, texts);
    let counted = tokens.iter().map(|&(token, count)| match count {
        1 => token.to_owned(),
        count => format!("{token} ×{count}"),
    });
    let _ = writeln!(text, "{}", counted.collect::<Vec<_>>().join("  "));
    // The strongest row of each of the commonest tokens.
    for (token, _) in tokens.iter().take(CONTEXTS) {
        let strongest = feature.top.iter().find(|(row, _)| texts.token(*row) == *token);
        let Some(&(row, value)) = strongest else { continue };
        let (before, from) = texts.context(row);
        let _ = writeln!(text, "    {value:>7.3} {before:>34}{from}  ({})", texts.group(row));
    }
}
