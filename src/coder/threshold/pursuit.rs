//! The pursuit of one sample.

use num_traits::Float;

use super::Nesting;
use super::gram::SymmetricGram;
use crate::Scalar;
use crate::cpu::pursuit::dependence;
use crate::cpu::pursuit::factor::Factor;
use crate::cpu::pursuit::wide::Wide;
use crate::cpu::vector::loops::{self, LANES};
use crate::cpu::vector::{rows, vectorized};
use crate::matrix::column;
use crate::problem::ProblemShape;

/// Correlations that are updated at a time with all rows, so that they stay in the first-level
/// cache.
const STRETCH: usize = 1024;

/// The products with the dictionary that a pursuit needs.
pub(super) trait Products<T> {
    /// d_sᵀd_t.
    fn entry(&self, s: u32, t: u32) -> T;

    /// α ← α − D_Jᵀ D_S γ, where `alpha` belongs to the atoms J from `start` on.
    fn subtract(&self, alpha: &mut [T], start: usize, support: &[u32], gamma: &[T]);
}

impl<T: Scalar> Products<T> for SymmetricGram<T> {
    fn entry(&self, s: u32, t: u32) -> T {
        self.row(s)[t as usize]
    }

    fn subtract(&self, alpha: &mut [T], start: usize, support: &[u32], gamma: &[T]) {
        for (at, alpha) in (start..).step_by(STRETCH).zip(alpha.chunks_mut(STRETCH)) {
            subtract_rows(alpha, self, at, support, gamma);
        }
    }
}

impl Products<f64> for Wide {
    fn entry(&self, s: u32, t: u32) -> f64 {
        self.gram.entry(self.dictionary(), s, t)
    }

    fn subtract(&self, alpha: &mut [f64], start: usize, support: &[u32], gamma: &[f64]) {
        let mut sum = vec![0.0; self.dictionary().nrows()];
        for (&atom, &gamma) in support.iter().zip(gamma) {
            loops::axpy(&mut sum, gamma, column(self.dictionary(), atom as usize));
        }
        for (j, alpha) in (start..).zip(alpha) {
            *alpha -= loops::product(column(self.dictionary(), j), &sum);
        }
    }
}

/// The parameters of the coder, in the form that a pursuit uses.
#[derive(Clone, Debug)]
pub(super) struct Limits<T> {
    pub(super) threshold: T,
    pub(super) share: T,
    pub(super) prune: T,
    /// Sizes of the prefixes, increasing; the last is m.
    pub(super) prefixes: Vec<usize>,
    pub(super) budget: usize,
    pub(super) nesting: Nesting,
    /// `dependence`: an atom with ‖(I − P) d‖² up to this counts as a combination of the chosen
    /// atoms. `doubt`: below this, ‖(I − P) d‖² is not known well enough.
    pub(super) dependence: T,
    pub(super) doubt: T,
}

impl<T: Scalar> Limits<T> {
    /// The same limits in double precision.
    pub(super) fn widen(&self) -> Limits<f64> {
        Limits {
            threshold: self.threshold.widen(),
            share: self.share.widen(),
            prune: self.prune.widen(),
            prefixes: self.prefixes.clone(),
            budget: self.budget,
            nesting: self.nesting,
            dependence: dependence::of_wide_gram::<T>(),
            doubt: 0.0,
        }
    }
}

/// The data of a pursuit; they are reused from sample to sample.
#[derive(Debug)]
pub(super) struct Pursuit<T: Scalar> {
    /// α. Only the entries of the current prefix are up to date. Entries of atoms that were chosen
    /// or dropped are minus infinity.
    alpha: Vec<T>,
    dependence: T,
    doubt: T,
    /// Whether a height was below `doubt`.
    pub(super) is_doubtful: bool,
    /// S, and the factor of its Gram matrix.
    factor: Factor<T>,
    dropped: Vec<u32>,
    gamma: Vec<T>,
    found: Vec<u32>,
    row: Vec<T>,
    /// The part of the code that later prefixes leave as it is; at the end, the whole code.
    kept: Vec<u32>,
    kept_gamma: Vec<T>,
    /// The correlations with what this part of the code leaves.
    left: Vec<T>,
}

impl<T: Scalar> Pursuit<T> {
    pub(super) fn new(shape: &ProblemShape) -> Self {
        Self {
            alpha: vec![T::zero(); shape.atoms],
            dependence: T::zero(),
            doubt: T::zero(),
            is_doubtful: false,
            factor: Factor::new(shape.sparsity),
            dropped: Vec::new(),
            gamma: Vec::with_capacity(shape.sparsity),
            found: Vec::new(),
            row: Vec::with_capacity(shape.sparsity),
            kept: Vec::with_capacity(shape.sparsity),
            kept_gamma: Vec::with_capacity(shape.sparsity),
            left: vec![T::zero(); shape.atoms],
        }
    }

    /// Codes the sample with the correlations α⁰. Returns its atoms and their coefficients.
    pub(super) fn run(
        &mut self,
        gram: &impl Products<T>,
        limits: &Limits<T>,
        correlations: &[T],
    ) -> (&[u32], &[T]) {
        (self.dependence, self.doubt) = (limits.dependence, limits.doubt);
        self.is_doubtful = false;
        self.factor.clear();
        self.dropped.clear();
        self.gamma.clear();
        self.kept.clear();
        self.kept_gamma.clear();
        match limits.nesting {
            Nesting::Refitted => {
                let mut known = 0;
                for &prefix in &limits.prefixes {
                    // The atoms that this prefix adds to the previous one.
                    self.refresh(gram, correlations, known..prefix);
                    self.pursue(gram, limits, correlations, prefix);
                    known = prefix;
                }
            }
            Nesting::Kept => {
                // Correlations with what the kept coefficients leave.
                let mut left = std::mem::take(&mut self.left);
                left.copy_from_slice(correlations);
                for &prefix in &limits.prefixes {
                    self.refresh(gram, &left, 0..prefix);
                    self.pursue(gram, limits, &left, prefix);
                    self.keep(gram, &mut left);
                }
                self.left = left;
            }
        }
        self.keep_rest();
        if limits.prune > T::zero() {
            self.prune(gram, correlations, limits.prune);
        }
        (&self.kept, &self.kept_gamma)
    }

    /// Adds atoms of one prefix until no correlation reaches the threshold.
    fn pursue(
        &mut self,
        gram: &impl Products<T>,
        limits: &Limits<T>,
        correlations: &[T],
        prefix: usize,
    ) {
        while self.choose(gram, limits, correlations, prefix) {
            self.refit(gram, correlations);
            self.refresh(gram, correlations, 0..prefix);
        }
    }

    /// Keeps the coefficients of S as they are, subtracts them from what is `left`, and empties S.
    fn keep(&mut self, gram: &impl Products<T>, left: &mut [T]) {
        gram.subtract(left, 0, self.factor.support(), &self.gamma);
        self.keep_rest();
    }

    fn keep_rest(&mut self) {
        self.kept.extend_from_slice(self.factor.support());
        self.kept_gamma.extend_from_slice(&self.gamma);
        self.factor.clear();
        self.gamma.clear();
    }

    /// Drops atoms with a coefficient below `least`, and computes the coefficients of the others
    /// again.
    fn prune(&mut self, gram: &impl Products<T>, correlations: &[T], least: T) {
        for at in 0..self.kept.len() {
            if self.kept_gamma[at] >= least {
                // Atoms of different prefixes have not been tested for dependence on each other
                // yet.
                self.push(gram, correlations, self.kept[at]);
            }
        }
        self.refit(gram, correlations);
        self.kept.clear();
        self.kept_gamma.clear();
        self.keep_rest();
    }

    /// Adds the atoms of one round. Returns `false` if there are none to add.
    fn choose(
        &mut self,
        gram: &impl Products<T>,
        limits: &Limits<T>,
        correlations: &[T],
        prefix: usize,
    ) -> bool {
        let room = limits.budget - self.factor.support().len() - self.kept.len();
        let alpha = &self.alpha[..prefix];
        let highest = largest(alpha);
        if room == 0 || highest < limits.threshold {
            return false;
        }
        let bar = Float::max(limits.threshold, limits.share * highest);
        collect(alpha, bar, &mut self.found);
        if self.found.len() > room {
            let order = |&a: &u32, &b: &u32| {
                let (of_a, of_b) = (alpha[a as usize].widen(), alpha[b as usize].widen());
                of_b.total_cmp(&of_a).then(a.cmp(&b))
            };
            self.found.sort_unstable_by(order);
            self.found.truncate(room);
        }
        for at in 0..self.found.len() {
            let atom = self.found[at];
            if !self.push(gram, correlations, atom) {
                self.dropped.push(atom);
            }
        }
        true
    }

    /// Appends an atom to S. Returns `false` if it depends linearly on the others.
    fn push(&mut self, gram: &impl Products<T>, correlations: &[T], atom: u32) -> bool {
        self.row.clear();
        self.row.extend(self.factor.support().iter().map(|&other| gram.entry(atom, other)));
        self.factor.extend_row(&mut self.row);
        let squares: T = self.row.iter().map(|&l| l * l).sum();
        let squared = gram.entry(atom, atom) - squares;
        self.is_doubtful |= squared < self.doubt;
        if squared <= self.dependence {
            return false;
        }
        let height = Float::sqrt(squared);
        let overlap: T = self.row.iter().zip(self.factor.coordinates()).map(|(&l, &c)| l * c).sum();
        let coordinate = (correlations[atom as usize] - overlap) / height;
        self.factor.push(atom, &self.row, height, coordinate);
        true
    }

    /// c ← argmin ‖y − D_S c‖, after dropping the atoms that would get no positive coefficient.
    fn refit(&mut self, gram: &impl Products<T>, correlations: &[T]) {
        self.factor.solve(&mut self.gamma);
        while !self.gamma.iter().all(|&c| c > T::zero()) {
            self.drop_negative(gram, correlations);
            self.factor.solve(&mut self.gamma);
        }
    }

    /// Removes the atoms without a positive coefficient from S, for the rest of the pursuit.
    fn drop_negative(&mut self, gram: &impl Products<T>, correlations: &[T]) {
        self.found.clear();
        for (&atom, &c) in self.factor.support().iter().zip(&self.gamma) {
            let into = if c > T::zero() { &mut self.found } else { &mut self.dropped };
            into.push(atom);
        }
        self.factor.clear();
        for at in 0..self.found.len() {
            let atom = self.found[at];
            // A subset of independent atoms is independent, but rounding may give another answer.
            if !self.push(gram, correlations, atom) {
                self.dropped.push(atom);
            }
        }
    }

    /// α ← α⁰ − G_S c for the atoms of `range`.
    fn refresh(
        &mut self,
        gram: &impl Products<T>,
        correlations: &[T],
        range: std::ops::Range<usize>,
    ) {
        let support = self.factor.support();
        let alpha = &mut self.alpha[range.clone()];
        alpha.copy_from_slice(&correlations[range.clone()]);
        gram.subtract(alpha, range.start, support, &self.gamma);
        for &atom in support.iter().chain(&self.dropped).chain(&self.kept) {
            if let Some(alpha) = self.alpha[..range.end].get_mut(atom as usize) {
                *alpha = -T::infinity();
            }
        }
    }
}

vectorized! {
    /// α ← α − Σ c_s G_s, for the atoms from `start` on.
    fn subtract_rows<'a, T>(
        simd;
        alpha: &'a mut [T],
        gram: &'a SymmetricGram<T>,
        start: usize,
        support: &'a [u32],
        gamma: &'a [T],
    ) -> () {
        let end = start + alpha.len();
        let (eights, rest) = support.as_chunks::<8>();
        let (gamma_eights, gamma_rest) = gamma.as_chunks::<8>();
        for (support, gamma) in eights.iter().zip(gamma_eights) {
            let (mut stretches, mut c): ([&[T]; 8], _) = ([&[]; 8], [T::zero(); 8]);
            for q in 0..8 {
                stretches[q] = &gram.row(support[q])[start..end];
                c[q] = -gamma[q];
            }
            rows::gather(simd, alpha, c, stretches);
        }
        for (&s, &c) in rest.iter().zip(gamma_rest) {
            rows::gather(simd, alpha, [-c], [&gram.row(s)[start..end]]);
        }
    }
}

vectorized! {
    /// The largest value; minus infinity if there is none.
    fn largest<'a, T>(alpha: &'a [T]) -> T {
        let (chunks, rest) = alpha.as_chunks::<LANES>();
        let mut lanes = [-T::infinity(); LANES];
        for chunk in chunks {
            for l in 0..LANES {
                lanes[l] = if chunk[l] > lanes[l] { chunk[l] } else { lanes[l] };
            }
        }
        let mut largest = -T::infinity();
        for &a in lanes.iter().chain(rest) {
            largest = if a > largest { a } else { largest };
        }
        largest
    }
}

vectorized! {
    /// The indices of the values that are at least `bar`, in order.
    fn collect<'a, T>(alpha: &'a [T], bar: T, found: &'a mut Vec<u32>) {
        found.clear();
        for (chunk, values) in alpha.chunks(LANES).enumerate() {
            let mut any = false;
            for &a in values {
                any |= a >= bar;
            }
            if any {
                let first = chunk * LANES;
                let places = values.iter().enumerate().filter(|&(_, &a)| a >= bar);
                found.extend(places.map(|(place, _)| (first + place) as u32));
            }
        }
    }
}
