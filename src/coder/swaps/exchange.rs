//! The support of one sample, and the gain of an exchange of one of its atoms.
//!
//! Let H = (D_SᵀD_S)⁻¹. Every chosen atom u has a dual direction q_u = Σ_t H_ut d_t, which is
//! orthogonal to the other chosen atoms, with d_uᵀq_u = 1. Removing u from S turns
//!
//! ```text
//! r   into  r + (γ_u/H_uu) q_u                  ‖r‖² rises by γ_u²/H_uu
//! α_j into  α_j + (γ_u/H_uu) b_uj               b_u = Dᵀq_u, a row of B = H G_S
//! h_j into  h_j + b_uj²/H_uu                    h_j = ‖(I − P_S) d_j‖²
//! ```
//! So B, α and h give the best atom to replace u, by the maximum of m quotients: it is the atom
//! that orthogonal least squares would choose. To exchange u for j, let f_t = H_tu/H_uu and, after
//! u has left, c = H' g, where g = D_S'ᵀd_j, and let h be the height of j. Then one pass over B is
//! enough:
//!
//! ```text
//! b_j ← (G_j − Σ_t g_t b_t + (Σ_t g_t f_t) b_u) / h,     b_t ← b_t − f_t b_u − c_t b_j
//! ```
//! For a new support, B = H G_S is computed by one small product per block of columns. Quantities
//! whose size depends on k alone are in double precision.

use faer::MatRef;

use super::passes::{Weights, best_without, duals, pass};
use crate::Scalar;
use crate::backend::Selection;
use crate::cpu::pursuit::argmax::select;
use crate::cpu::pursuit::dependence;
use crate::cpu::pursuit::full_gram::{CHUNK, GramRows};
use crate::problem::Sign;

/// A support that grows or changes, with its dual directions.
#[derive(Debug)]
pub(super) struct Exchange<T> {
    capacity: usize,
    support: Vec<u32>,
    /// α = Dᵀr; zero at the chosen atoms.
    alpha: Vec<T>,
    /// h_j; zero at the chosen atoms.
    heights: Vec<T>,
    /// The rows of B, each as long as α.
    duals: Vec<T>,
    /// H, in rows of `capacity`.
    inverse: Vec<f64>,
    gamma: Vec<f64>,
    /// Scratch for a row of the Gram matrix, if the matrix is not kept.
    row: Vec<T>,
    /// g, f and c.
    products: Vec<f64>,
    fall: Vec<f64>,
    share: Vec<f64>,
    weights: Weights<T>,
    /// H in the precision of T, and a block of columns of G_S.
    narrow_inverse: Vec<T>,
    tile: Vec<T>,
}

/// An atom that may replace a chosen one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swap {
    pub(super) place: usize,
    pub(super) atom: u32,
}

/// An exchange, or an addition if it has no place, and the gain if signs did not matter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) place: Option<usize>,
    pub(super) atom: u32,
    pub(super) gain: f64,
}

/// The data of a sample: α⁰ = Dᵀy, and the dictionary.
#[derive(Clone, Copy)]
pub(in crate::coder) struct Sample<'a, T: Scalar> {
    pub(in crate::coder) gram: &'a GramRows<T>,
    pub(in crate::coder) dictionary: MatRef<'a, T>,
    pub(in crate::coder) initial: &'a [T],
    /// ‖y‖².
    pub(in crate::coder) energy: f64,
}

impl<T: Scalar> Exchange<T> {
    /// Allocates memory for supports of up to `capacity` out of `atoms` atoms.
    pub(super) fn new(atoms: usize, capacity: usize) -> Self {
        let width = atoms.next_multiple_of(CHUNK);
        let (zeros, small) = (|length| vec![T::zero(); length], || vec![0.0; capacity]);
        Self {
            capacity,
            support: Vec::with_capacity(capacity),
            alpha: zeros(width),
            heights: zeros(width),
            duals: zeros(width * capacity),
            inverse: vec![0.0; capacity * capacity],
            gamma: small(),
            row: zeros(width),
            products: small(),
            fall: small(),
            share: small(),
            weights: Weights {
                products: zeros(capacity),
                fall: zeros(capacity),
                share: zeros(capacity),
            },
            narrow_inverse: zeros(capacity * capacity),
            tile: zeros(CHUNK * capacity),
        }
    }

    /// Begins with a support. Atoms that depend linearly on the atoms before them are left out.
    pub(super) fn begin(&mut self, sample: Sample<'_, T>, support: &[u32]) {
        let (atoms, width) = (sample.initial.len(), self.alpha.len());
        self.alpha[..atoms].copy_from_slice(sample.initial);
        self.heights[..atoms].copy_from_slice(sample.gram.norms());
        self.support.clear();
        for &atom in support {
            let place = self.support.len();
            let row = sample.gram.row(sample.dictionary, atom as usize, &mut self.row);
            self.duals[place * width..][..width].copy_from_slice(row);
            self.reserve(atom);
            if self.enter(sample, Swap { place, atom }).is_none() {
                self.support.pop();
            }
        }
        let (count, capacity) = (self.support.len(), self.capacity);
        self.narrow_inverse.clear();
        for t in 0..count {
            let row = &self.inverse[t * capacity..][..count];
            self.narrow_inverse.extend(row.iter().map(|&h| T::narrow(h)));
        }
        let gamma = &mut self.weights.products;
        gamma.clear();
        gamma.extend(self.gamma[..count].iter().map(|&gamma| T::narrow(gamma)));
        let (alpha, heights) = (&mut self.alpha, &mut self.heights);
        duals(&mut self.duals, &self.narrow_inverse, gamma, &mut self.tile, alpha, heights);
        self.settle();
    }

    pub(super) fn support(&self) -> &[u32] {
        &self.support
    }

    /// Adds a place for another atom, which has no influence yet.
    fn reserve(&mut self, atom: u32) {
        let place = self.support.len();
        self.support.push(atom);
        self.inverse[place * self.capacity..][..place + 1].fill(0.0);
        for t in 0..place {
            self.inverse[t * self.capacity + place] = 0.0;
        }
        self.gamma[place] = 0.0;
        self.fall[..=place].fill(0.0);
    }

    /// Adds an atom, as if it replaced a row of zeros. Returns `false` if it depends linearly on
    /// the chosen atoms.
    fn add(&mut self, sample: Sample<'_, T>, atom: u32) -> bool {
        let (place, width) = (self.support.len(), self.alpha.len());
        self.reserve(atom);
        self.duals[place * width..][..width].fill(T::zero());
        let added = self.put(sample, Swap { place, atom }, 0.0, 0.0);
        if !added {
            self.support.pop();
        }
        added
    }

    /// Adds atoms to the support by orthogonal least squares, until it has `count` atoms or nothing
    /// is left to explain.
    pub(super) fn grow(&mut self, sample: Sample<'_, T>, count: usize) {
        while self.support.len() < count {
            let by_drop = Selection::LeastSquares;
            let Some(best) =
                select(&self.alpha, &self.heights, dependence::of_gram(), by_drop, Sign::Signed)
            else {
                return;
            };
            if !self.add(sample, best as u32) {
                return;
            }
        }
    }

    /// The exchange that lowers the error most, if it lowers it by more than `least`. O(km).
    pub(super) fn best(&self, least: f64) -> Option<Swap> {
        let (mut best, mut gain) = (None, least);
        for place in 0..self.support.len() {
            let eta = self.inverse[place * self.capacity + place].recip();
            let step = self.gamma[place] * eta;
            let loss = self.gamma[place] * step;
            let (step, eta) = (T::narrow(step), T::narrow(eta));
            let floor = T::narrow(loss + gain);
            let dual = self.dual(place);
            let found = best_without(&self.alpha, &self.heights, dual, step, eta, floor);
            if let Some((atom, drop)) = found {
                gain = drop.widen() - loss;
                best = Some(Swap { place, atom: atom as u32 });
            }
        }
        best
    }

    /// All exchanges (and additions, if there is `room`) that would lower the error by more than
    /// `least` if signs did not matter, for a support whose atoms are all in use (γ > 0). Moves
    /// that certainly gain nothing under γ ≥ 0 are left out. O(km).
    pub(super) fn moves(&self, least: f64, room: bool, into: &mut Vec<Move>) {
        let count = self.support.len();
        let least = T::narrow(least);
        let dependence = dependence::of_gram::<T>();
        let drop = |alpha: T, height: T| {
            if height > dependence { alpha * alpha / height } else { T::zero() }
        };
        for place in 0..count {
            let row = |t: usize| self.inverse[t * self.capacity + place];
            let eta = row(place).recip();
            let step = self.gamma[place] * eta;
            let loss = self.gamma[place] * step;
            let mut others = (0..count).filter(|&t| t != place);
            let stay_positive = others.all(|t| self.gamma[t] >= row(t) * step);
            let (step, eta, loss) = (T::narrow(step), T::narrow(eta), T::narrow(loss));
            let dual = self.dual(place);
            let floor = loss + least;
            if best_without(&self.alpha, &self.heights, dual, step, eta, floor).is_none() {
                continue;
            }
            for (atom, &b) in dual.iter().enumerate() {
                let alpha = self.alpha[atom] + step * b;
                let drop = drop(alpha, self.heights[atom] + eta * (b * b));
                if drop > floor && (alpha > T::zero() || !stay_positive) {
                    let gain = (drop - loss).widen();
                    into.push(Move { place: Some(place), atom: atom as u32, gain });
                }
            }
        }
        if !room {
            return;
        }
        for (atom, (&alpha, &height)) in self.alpha.iter().zip(&self.heights).enumerate() {
            let drop = drop(alpha, height);
            if drop > least && alpha > T::zero() {
                into.push(Move { place: None, atom: atom as u32, gain: drop.widen() });
            }
        }
    }

    /// Makes an exchange. Returns `false` if the new atom depends linearly on the atoms that stay.
    /// The support is then unchanged, but it must be built again.
    pub(super) fn exchange(&mut self, sample: Sample<'_, T>, swap: Swap) -> bool {
        let (count, capacity, u) = (self.support.len(), self.capacity, swap.place);
        let eta = self.inverse[u * capacity + u].recip();
        for t in 0..count {
            self.fall[t] = self.inverse[t * capacity + u] * eta;
        }
        self.fall[u] = 0.0;
        // H and γ without u.
        for t in 0..count {
            let fall = self.fall[t];
            for s in 0..count {
                self.inverse[t * capacity + s] -= fall * self.inverse[u * capacity + s];
            }
        }
        let gamma = self.gamma[u];
        for t in 0..count {
            self.gamma[t] -= self.fall[t] * gamma;
            self.inverse[t * capacity + u] = 0.0;
            self.inverse[u * capacity + t] = 0.0;
        }
        self.gamma[u] = 0.0;
        let old = std::mem::replace(&mut self.support[u], swap.atom);
        let made = self.put(sample, swap, gamma * eta, eta);
        if !made {
            self.support[u] = old;
        }
        made
    }

    /// Puts an atom in a place whose atom has left, where H and γ are those without that atom.
    /// `step` and `eta` are its γ_u/H_uu and 1/H_uu, or zero if the place was empty.
    fn put(&mut self, sample: Sample<'_, T>, swap: Swap, step: f64, eta: f64) -> bool {
        let Some((height, alpha)) = self.enter(sample, swap) else { return false };
        let (count, u) = (self.support.len(), swap.place);
        // The weight of b_u is therefore −Σ g_t f_t.
        let products = self.products[..count].iter().zip(&self.fall);
        self.products[u] = -products.map(|(g, f)| g * f).sum::<f64>();
        for (into, from) in [
            (&mut self.weights.products, &self.products),
            (&mut self.weights.fall, &self.fall),
            (&mut self.weights.share, &self.share),
        ] {
            into.clear();
            into.extend(from[..count].iter().map(|&value| T::narrow(value)));
        }
        let row = sample.gram.row(sample.dictionary, swap.atom as usize, &mut self.row);
        let factors = [height.recip(), height, alpha, step, eta].map(T::narrow);
        let (alpha, heights) = (&mut self.alpha, &mut self.heights);
        pass(&mut self.duals, &self.weights, u, row, factors, alpha, heights);
        self.settle();
        true
    }

    /// Updates H and γ for an atom that enters a free place. Returns the atom's height and its
    /// correlation with the residual without it, and leaves g and c in scratch memory. Returns
    /// `None` if the atom depends linearly on the others.
    fn enter(&mut self, sample: Sample<'_, T>, swap: Swap) -> Option<(f64, f64)> {
        let (count, capacity, u) = (self.support.len(), self.capacity, swap.place);
        for (product, &other) in self.products.iter_mut().zip(&self.support) {
            *product = sample.gram.entry(sample.dictionary, swap.atom, other).widen();
        }
        self.products[u] = 0.0;
        let (g, atom) = (&self.products[..count], swap.atom as usize);
        let (mut height, mut alpha) =
            (sample.gram.norms()[atom].widen(), sample.initial[atom].widen());
        for t in 0..count {
            let inverse = &self.inverse[t * capacity..][..count];
            self.share[t] = inverse.iter().zip(g).map(|(h, g)| h * g).sum();
            height -= g[t] * self.share[t];
            alpha -= g[t] * self.gamma[t];
        }
        if height <= dependence::of_gram::<T>().widen() {
            return None;
        }
        let coefficient = alpha / height;
        for t in 0..count {
            let share = self.share[t];
            self.gamma[t] -= share * coefficient;
            let inverse = &mut self.inverse[t * capacity..][..count];
            for (inverse, other) in inverse.iter_mut().zip(&self.share) {
                *inverse += share * other / height;
            }
        }
        for t in 0..count {
            self.inverse[t * capacity + u] = -self.share[t] / height;
            self.inverse[u * capacity + t] = -self.share[t] / height;
        }
        (self.gamma[u], self.inverse[u * capacity + u]) = (coefficient, height.recip());
        Some((height, alpha))
    }

    /// Sets the values that are known exactly at the chosen atoms: α_s = 0, h_s = 0, and b_t at s
    /// is 1 for t = s, else 0.
    fn settle(&mut self) {
        let width = self.alpha.len();
        for (t, &atom) in self.support.iter().enumerate() {
            let atom = atom as usize;
            (self.alpha[atom], self.heights[atom]) = (T::zero(), T::zero());
            for s in 0..self.support.len() {
                self.duals[s * width + atom] = T::narrow(if s == t { 1.0 } else { 0.0 });
            }
        }
    }

    fn dual(&self, place: usize) -> &[T] {
        let width = self.alpha.len();
        &self.duals[place * width..][..width]
    }
}

#[cfg(test)]
mod tests {
    use faer::Mat;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::cpu::Faer;
    use crate::cpu::pursuit::least_squares::LeastSquares;
    use crate::cpu::vector::loops;
    use crate::matrix::column;

    /// After many exchanges, α, h, γ and the gains equal those of a support that is built anew.
    #[test]
    fn exchanges_leave_what_a_new_start_gives() {
        let (dim, atoms, sparsity) = (11, 70, 4);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut draw = |cols| Mat::from_fn(dim, cols, |_, _| rng.random_range(-1.0..1.0_f64));
        let (mut dictionary, samples) = (draw(atoms), draw(1));
        for j in 0..atoms {
            loops::normalize(dictionary.col_as_slice_mut(j));
        }
        let mut gram = GramRows::new(atoms, usize::MAX).expect("memory");
        gram.compute(&Faer::<f64>::default(), dictionary.as_ref());
        let y = samples.col_as_slice(0);
        let initial: Vec<f64> =
            (0..atoms).map(|j| loops::dot(column(dictionary.as_ref(), j), y)).collect();
        let sample = Sample {
            gram: &gram,
            dictionary: dictionary.as_ref(),
            initial: &initial,
            energy: loops::energy(y),
        };
        let mut walked = Exchange::new(atoms, sparsity);
        walked.begin(sample, &[3, 69, 20]);
        assert!(walked.add(sample, 41));
        for (place, atom) in [(1, 7), (3, 64), (0, 69), (1, 3), (1, 12)] {
            assert!(walked.exchange(sample, Swap { place, atom }));
        }
        assert_eq!(walked.support(), [69, 12, 20, 64]);
        let mut fresh = Exchange::new(atoms, sparsity);
        fresh.begin(sample, walked.support());
        let near = |a: &[f64], b: &[f64]| {
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
        };
        near(&walked.alpha, &fresh.alpha);
        near(&walked.heights, &fresh.heights);
        near(&walked.duals, &fresh.duals);
        near(&walked.gamma, &fresh.gamma);
        near(&walked.inverse, &fresh.inverse);
        // The best exchange lowers the error by as much as least squares says.
        let mut squares = LeastSquares::new(sparsity);
        let mut error = |support: &[u32]| {
            squares.fit(Sign::Signed, dictionary.as_ref(), y, support);
            squares.error()
        };
        let before = error(walked.support());
        let mut least = f64::INFINITY;
        for place in 0..sparsity {
            for atom in (0..atoms as u32).filter(|atom| !walked.support().contains(atom)) {
                let mut support = walked.support().to_vec();
                support[place] = atom;
                least = least.min(error(&support));
            }
        }
        let swap = walked.best(0.0).expect("a random support can be improved");
        assert!(walked.exchange(sample, swap));
        assert!(least < before && (error(walked.support()) - least).abs() < 1e-12);
    }
}
