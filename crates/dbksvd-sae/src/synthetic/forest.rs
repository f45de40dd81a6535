//! The hierarchy of features: trees of the same shape, numbered level by level.

use std::ops::Range;

/// All roots come first, then all their children, then all children of these. The children of a
/// feature have consecutive indices.
#[derive(Debug)]
pub(super) struct Forest {
    levels: Vec<Range<usize>>,
    branching: usize,
}

impl Forest {
    pub(super) fn new(roots: usize, branching: usize, depth: usize) -> Self {
        let mut levels = Vec::new();
        let (mut start, mut width) = (0, roots);
        for _ in 0..=depth {
            if width > 0 {
                levels.push(start..start + width);
            }
            start += width;
            width *= branching;
        }
        Self { levels, branching }
    }

    pub(super) fn levels(&self) -> &[Range<usize>] {
        &self.levels
    }

    /// The number of features that belong to trees.
    pub(super) fn len(&self) -> usize {
        self.levels.last().map_or(0, |level| level.end)
    }

    /// The number of trees.
    pub(super) fn roots(&self) -> usize {
        self.levels.first().map_or(0, |level| level.end)
    }

    pub(super) fn parent(&self, feature: usize) -> Option<usize> {
        let pairs = self.levels.windows(2);
        let mut pairs = pairs.filter(|pair| pair[1].contains(&feature));
        pairs.next().map(|pair| pair[0].start + (feature - pair[1].start) / self.branching)
    }

    pub(super) fn children(&self, feature: usize) -> Range<usize> {
        let mut pairs = self.levels.windows(2).filter(|pair| pair[0].contains(&feature));
        pairs.next().map_or(0..0, |pair| {
            let first = pair[1].start + (feature - pair[0].start) * self.branching;
            first..first + self.branching
        })
    }

    /// s_i, the probability with which a feature is drawn. It is larger than `wanted`, so that the
    /// feature fires about as often as `wanted`, although its parent may be silent and siblings
    /// exclude it.
    pub(super) fn sampled(&self, wanted: &[f64]) -> Vec<f64> {
        let mut sampled = wanted.to_vec();
        for parent in 0..self.len() {
            let above = wanted[parent];
            let siblings = self.children(parent);
            let together: f64 = wanted[siblings.clone()].iter().sum();
            for child in siblings {
                let others = (together - wanted[child]) / above;
                sampled[child] = (wanted[child] / above * (1.0 + others)).min(1.0);
            }
        }
        sampled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_consecutive_and_know_their_parent() {
        let forest = Forest::new(3, 2, 2);
        assert_eq!(forest.levels(), [0..3, 3..9, 9..21]);
        assert_eq!((forest.len(), forest.roots()), (21, 3));
        for parent in 0..21 {
            for child in forest.children(parent) {
                assert_eq!(forest.parent(child), Some(parent));
            }
        }
        assert_eq!(forest.children(1), 5..7);
        assert_eq!(forest.children(8), 19..21);
        assert_eq!(forest.children(20), 0..0);
        assert_eq!((forest.parent(2), forest.parent(21)), (None, None));
    }

    #[test]
    fn without_roots_there_are_no_trees() {
        let forest = Forest::new(0, 4, 3);
        assert_eq!((forest.len(), forest.roots()), (0, 0));
        assert_eq!((forest.children(0), forest.parent(5)), (0..0, None));
    }

    #[test]
    fn probabilities_are_compensated_for_parent_and_siblings() {
        let forest = Forest::new(1, 2, 1);
        let sampled = forest.sampled(&[0.4, 0.1, 0.05, 0.01]);
        let expected = [0.4, 0.1 / 0.4 * (1.0 + 0.05 / 0.4), 0.05 / 0.4 * (1.0 + 0.1 / 0.4), 0.01];
        for (found, expected) in sampled.iter().zip(expected) {
            assert!((found - expected).abs() < 4.0 * f64::EPSILON, "{found}, expected {expected}");
        }
        assert_eq!(forest.sampled(&[0.1, 0.1, 0.09, 0.01])[1], 1.0);
    }
}
