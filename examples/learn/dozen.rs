//! The dozen features that are shown first.

use crate::feature::{Feature, TOP, counted_tokens};
use crate::texts::Texts;

const FEATURES: usize = 12;

/// A dozen features, from rare to frequent.
///
/// Features that 0.4% to 5% of the rows use (of few rows: 32 to 128 of them; any if there are none)
/// are cut by usage into twelve classes. Chosen is of each class the one whose largest coefficients
/// are the largest, among those that more than one text and several tokens use (see [`is_broad`]):
/// an atom of a single word needs no explanation.
pub fn dozen<'a>(features: &'a [Feature], rows: usize, texts: Option<&Texts>) -> Vec<&'a Feature> {
    let range = (rows / 250).max(2 * TOP)..=(rows / 20).max(8 * TOP);
    let any = features.iter().any(|feature| range.contains(&feature.uses));
    let common = |feature: &&Feature| {
        if any { range.contains(&feature.uses) } else { feature.uses > 0 }
    };
    let mut all: Vec<&Feature> = features.iter().filter(common).collect();
    all.sort_by_key(|feature| feature.uses);
    let classes = FEATURES.min(all.len());
    let best = |class: usize| {
        let members = &all[class * all.len() / classes..(class + 1) * all.len() / classes];
        let key = |feature: &Feature| texts.is_some_and(|texts| is_broad(feature, texts));
        members
            .iter()
            .max_by(|a, b| key(a).cmp(&key(b)).then(strength(a).total_cmp(&strength(b))))
            .copied()
    };
    (0..classes).filter_map(best).collect()
}

/// The sum of the largest coefficients.
pub fn strength(feature: &Feature) -> f64 {
    feature.top.iter().map(|&(_, value)| value).sum()
}

/// Whether the top rows are of three tokens and three texts at least, none of the tokens making up
/// more than three quarters.
fn is_broad(feature: &Feature, texts: &Texts) -> bool {
    let mut groups: Vec<_> = feature.rows().map(|row| texts.group(row)).collect();
    groups.sort_unstable();
    groups.dedup();
    let tokens = counted_tokens(feature.rows(), texts);
    groups.len() >= 3 && tokens.len() >= 3 && 4 * tokens[0].1 <= 3 * feature.top.len()
}
