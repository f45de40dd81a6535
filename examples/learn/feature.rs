//! Features: what atoms stand for, by the rows that use them most.

use dbksvd::SparseCodes;

use crate::texts::Texts;

/// Features shown first.
pub const FEATURES: usize = 12;
/// Rows of a feature by which it is judged and shown.
pub const TOP: usize = 16;

/// An atom with one sign of its coefficients: the two directions are different features.
pub struct Feature {
    pub atom: usize,
    pub negative: bool,
    /// How many rows use it, with this sign.
    pub uses: usize,
    /// The [`TOP`] rows with the largest coefficients, and those.
    pub top: Vec<(usize, f32)>,
}

/// Both features of every atom, the positive one first.
pub fn collect(codes: &SparseCodes<f32>) -> Vec<Feature> {
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
pub fn strength(feature: &Feature) -> f32 {
    feature.top.iter().map(|&(_, value)| value).sum()
}

/// Whether the top rows are of three tokens and three texts at least, none of the tokens making up
/// more than three quarters.
pub fn is_broad(feature: &Feature, texts: &Texts) -> bool {
    let mut groups: Vec<_> = feature.top.iter().map(|&(row, _)| texts.group(row)).collect();
    groups.sort_unstable();
    groups.dedup();
    let tokens = counted_tokens(feature, texts);
    groups.len() >= 3 && tokens.len() >= 3 && 4 * tokens[0].1 <= 3 * feature.top.len()
}

/// The tokens of the top rows and how many rows each has, most first; of equals, the strongest.
pub fn counted_tokens<'a>(feature: &Feature, texts: &'a Texts) -> Vec<(&'a str, usize)> {
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
