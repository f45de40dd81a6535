//! The search under γ ≥ 0.
//!
//! ```text
//! S ← the atoms in use by non-negative least squares on the start's support:  γ_S > 0
//! repeat:
//!     for every exchange of u ∈ S for j ∉ S, and every addition of j while |S| < budget:
//!         g ← what unconstrained least squares would gain on these atoms    at least the true gain
//!     in falling order of g, down to the best gain so far:
//!         gain ← that of non-negative least squares on these atoms
//!     make the best, if there is any above rounding:  S ← the atoms that are then in use
//! ```
//! If all γ_S are positive, the least squares of [`exchange`](super::exchange) on S are also the
//! non-negative ones, and the data it keeps give every g in one pass. The constraint can only
//! reduce a gain, so g is an upper bound, and most candidates are never solved for. Suppose that
//! all other coefficients stay non-negative when u leaves. Then the residual without u is the
//! non-negative one, and an atom j without a positive correlation with it cannot enter. Such a j
//! would get a negative coefficient, and its g is not considered.

use super::LocalSearch;
use super::exchange::{Move, Sample};
use crate::Scalar;
use crate::problem::Sign;

impl<T: Scalar> LocalSearch<T> {
    /// Searches from a support of at most `count` atoms. Returns the error of the atoms of
    /// [`chosen`](Self::chosen) that are in use.
    pub(super) fn run_non_negative(
        &mut self,
        sample: Sample<'_, T>,
        support: &[u32],
        count: usize,
        max_moves: usize,
    ) -> f64 {
        let rounding = super::rounding(sample);
        self.given.clear();
        self.given.extend_from_slice(support);
        let mut error = self.settle(sample);
        for _ in 0..max_moves {
            let Some(best) = self.best_move(sample, error, count, rounding) else { break };
            self.former.clear();
            self.former.extend_from_slice(self.exchange.support());
            self.solve_moved(sample, best);
            self.note_used();
            let lower = self.settle(sample);
            if lower >= error - rounding {
                // The new support is closer to linear dependence than it seemed, so the support
                // before it was better.
                std::mem::swap(&mut self.given, &mut self.former);
                return self.settle(sample);
            }
            error = lower;
        }
        self.solve_here(sample)
    }

    /// The move that gains most, if it gains more than `least`.
    fn best_move(
        &mut self,
        sample: Sample<'_, T>,
        error: f64,
        count: usize,
        least: f64,
    ) -> Option<Move> {
        let Self { exchange, moves, .. } = self;
        moves.clear();
        exchange.moves(least, exchange.support().len() < count, moves);
        moves.sort_unstable_by(|a, b| {
            b.gain.total_cmp(&a.gain).then((a.place, a.atom).cmp(&(b.place, b.atom)))
        });
        let (mut best, mut gain) = (None, least);
        for i in 0..self.moves.len() {
            let candidate = self.moves[i];
            if candidate.gain <= gain {
                break;
            }
            let lower = self.solve_moved(sample, candidate);
            if error - lower > gain {
                (best, gain) = (Some(candidate), error - lower);
            }
        }
        best
    }

    /// Begins with those of the given atoms that non-negative least squares uses. Returns the
    /// error.
    fn settle(&mut self, sample: Sample<'_, T>) -> f64 {
        loop {
            self.exchange.begin(sample, &self.given);
            let error = self.solve_here(sample);
            self.note_used();
            if self.given.len() == self.exchange.support().len() {
                return error;
            }
        }
    }

    /// Stores in `given` the atoms that the last solution uses.
    fn note_used(&mut self) {
        let Self { squares, chosen, given, .. } = self;
        given.clear();
        given.extend(squares.solution().map(|(place, _)| chosen[place]));
    }

    /// The error of non-negative least squares on the present support.
    fn solve_here(&mut self, sample: Sample<'_, T>) -> f64 {
        self.chosen.clear();
        self.chosen.extend_from_slice(self.exchange.support());
        self.solve_chosen(sample, Sign::NonNegative)
    }

    /// The error of non-negative least squares after a move.
    fn solve_moved(&mut self, sample: Sample<'_, T>, candidate: Move) -> f64 {
        self.chosen.clear();
        self.chosen.extend_from_slice(self.exchange.support());
        match candidate.place {
            Some(place) => self.chosen[place] = candidate.atom,
            None => self.chosen.push(candidate.atom),
        }
        self.solve_chosen(sample, Sign::NonNegative)
    }
}
