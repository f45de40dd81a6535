//! Features: what atoms stand for, by the rows that use them most.

use dbksvd::{Scalar, SparseCodes};

use crate::texts::Texts;

/// Rows of a feature by which it is judged and shown.
pub const TOP: usize = 16;

/// An atom with one sign of its coefficients: the two directions are different features.
pub struct Feature {
    pub atom: usize,
    pub negative: bool,
    /// How many rows use it, with this sign.
    pub uses: usize,
    /// The [`TOP`] rows with the largest coefficients, and those.
    pub top: Vec<(usize, f64)>,
}

impl Feature {
    /// Its top rows, the strongest first.
    pub fn rows(&self) -> impl Iterator<Item = usize> {
        self.top.iter().map(|&(row, _)| row)
    }
}

/// Both features of every atom, the positive one first, by the rows that `is_within` keeps.
pub fn collect<T: Scalar>(
    codes: &SparseCodes<T>,
    is_within: impl Fn(usize) -> bool,
) -> Vec<Feature> {
    let mut uses: Vec<Vec<(usize, f64)>> = vec![Vec::new(); 2 * codes.atoms()];
    for (row, (support, values)) in codes.iter().enumerate().filter(|&(row, _)| is_within(row)) {
        for (&atom, &value) in support.iter().zip(values) {
            let value = value.widen();
            uses[2 * atom as usize + usize::from(value < 0.0)].push((row, value.abs()));
        }
    }
    let feature = |(side, mut top): (usize, Vec<(usize, f64)>)| {
        let uses = top.len();
        top.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        top.truncate(TOP);
        Feature { atom: side / 2, negative: side % 2 == 1, uses, top }
    };
    uses.into_iter().enumerate().map(feature).collect()
}

/// The tokens of these rows and how many rows each has, most first; of equals, the first met.
pub fn counted_tokens(rows: impl Iterator<Item = usize>, texts: &Texts) -> Vec<(&str, usize)> {
    let mut tokens: Vec<(&str, usize)> = Vec::new();
    for row in rows {
        match tokens.iter_mut().find(|(token, _)| *token == texts.token(row)) {
            Some((_, count)) => *count += 1,
            None => tokens.push((texts.token(row), 1)),
        }
    }
    tokens.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    tokens
}
