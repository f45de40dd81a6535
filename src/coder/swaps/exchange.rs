//! The support of one sample, and what an exchange of one of its atoms would gain.
//!
//! With H = (D_SᵀD_S)⁻¹, every chosen atom u has a dual direction q_u = Σ_t H_ut d_t: it is orthogonal to
//! the other chosen atoms, and d_uᵀq_u = 1. Taking u out of S turns
//!
//! ```text
//! r   into  r + (γ_u/H_uu) q_u                  ‖r‖² rises by γ_u²/H_uu
//! α_j into  α_j + (γ_u/H_uu) b_uj               b_u = Dᵀq_u, a row of B = H G_S
//! h_j into  h_j + b_uj²/H_uu                    h_j = ‖(I − P_S) d_j‖²
//! ```
//! so that with B, α and h at hand, the best atom to take u's place is the best of m quotients: the one
//! that orthogonal least squares would choose. An exchange of u for j, with f_t = H_tu/H_uu and, after u
//! has left, c = H' g, g = D_S'ᵀd_j and the height h of j, is one pass over B:
//!
//! ```text
//! b_j ← (G_j − Σ_t g_t b_t + (Σ_t g_t f_t) b_u) / h,     b_t ← b_t − f_t b_u − c_t b_j
//! ```
//! An atom is added in the same way: it takes the place of a row of zeros. All of order k is done in
//! double precision.

use faer::MatRef;

use crate::Scalar;
use crate::coder::argmax::select;
use crate::coder::factor::DEPENDENCE;
use crate::coder::full_gram::{CHUNK, GramRows};
use crate::coder::pursuit::Selection;
use crate::kernel;
use crate::problem::Sign;

/// A growing or changing support, orthogonalised.
#[derive(Debug)]
pub(super) struct Exchange<T> {
    capacity: usize,
    support: Vec<u32>,
    /// α = Dᵀr; zero at the chosen atoms.
    alpha: Vec<T>,
    /// h_j; zero at the chosen atoms.
    heights: Vec<T>,
    /// The rows of B, as long as α each.
    duals: Vec<T>,
    /// H, in rows of `capacity`.
    inverse: Vec<f64>,
    gamma: Vec<f64>,
    /// A row of the Gram matrix, where it is not kept.
    row: Vec<T>,
    /// g, f and c.
    products: Vec<f64>,
    fall: Vec<f64>,
    share: Vec<f64>,
    weights: Weights<T>,
}

/// The factors of one pass, for each row of B.
#[derive(Debug, Default)]
struct Weights<T> {
    products: Vec<T>,
    fall: Vec<T>,
    share: Vec<T>,
}

/// An atom that may take the place of a chosen one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Swap {
    pub(super) place: usize,
    pub(super) atom: u32,
}

/// What a sample brings: α⁰ = Dᵀy, and the dictionary it belongs to.
#[derive(Clone, Copy)]
pub(in crate::coder) struct Sample<'a, T: Scalar> {
    pub(in crate::coder) gram: &'a GramRows<T>,
    pub(in crate::coder) dictionary: MatRef<'a, T>,
    pub(in crate::coder) initial: &'a [T],
    /// ‖y‖².
    pub(in crate::coder) energy: f64,
}

impl<T: Scalar> Exchange<T> {
    /// Room for supports of `capacity` of `atoms` atoms.
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
        }
    }

    /// No atoms: r = y.
    pub(super) fn restart(&mut self, sample: Sample<'_, T>) {
        let atoms = sample.initial.len();
        self.support.clear();
        self.alpha[..atoms].copy_from_slice(sample.initial);
        self.heights[..atoms].copy_from_slice(sample.gram.norms());
    }

    pub(super) fn support(&self) -> &[u32] {
        &self.support
    }

    /// Adds an atom; `false` if it depends linearly on those chosen.
    pub(super) fn add(&mut self, sample: Sample<'_, T>, atom: u32) -> bool {
        let (place, width) = (self.support.len(), self.alpha.len());
        self.support.push(atom);
        self.duals[place * width..][..width].fill(T::zero());
        self.inverse[place * self.capacity..][..place + 1].fill(0.0);
        for t in 0..place {
            self.inverse[t * self.capacity + place] = 0.0;
        }
        self.gamma[place] = 0.0;
        self.fall[..=place].fill(0.0);
        let added = self.put(sample, Swap { place, atom }, 0.0);
        if !added {
            self.support.pop();
        }
        added
    }

    /// Fills the support up to `count` atoms by orthogonal least squares, as long as anything is left.
    pub(super) fn grow(&mut self, sample: Sample<'_, T>, count: usize) {
        while self.support.len() < count {
            let by_drop = Selection::LeastSquares;
            let Some(best) =
                select(&self.alpha, &self.heights, dependence(), by_drop, Sign::Signed)
            else {
                return;
            };
            if !self.add(sample, best as u32) {
                return;
            }
        }
    }

    /// The exchange that lowers the error most, if there is one that lowers it by more than `least`.
    /// O(km).
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

    /// Makes an exchange; `false` if the atom depends linearly on those that stay. The support is then
    /// as it was, but must be built anew.
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
        self.gamma[u] = gamma * eta;
        let old = std::mem::replace(&mut self.support[u], swap.atom);
        let made = self.put(sample, swap, eta);
        if !made {
            self.support[u] = old;
        }
        made
    }

    /// Puts an atom in a place that was left: H and γ are those without it, but for γ at this place,
    /// which is γ_u/H_uu of the atom that was there, and `eta` its 1/H_uu; both are zero if none was.
    fn put(&mut self, sample: Sample<'_, T>, swap: Swap, eta: f64) -> bool {
        let (count, capacity, u) = (self.support.len(), self.capacity, swap.place);
        let atom = swap.atom as usize;
        let step = std::mem::take(&mut self.gamma[u]);
        let row = sample.gram.row(sample.dictionary, atom, &mut self.row);
        for (product, &other) in self.products.iter_mut().zip(&self.support) {
            *product = row[other as usize].widen();
        }
        self.products[u] = 0.0;
        let (g, f) = (&mut self.products[..count], &self.fall[..count]);
        let (mut height, mut alpha) =
            (sample.gram.norms()[atom].widen(), sample.initial[atom].widen());
        for t in 0..count {
            let inverse = &self.inverse[t * capacity..][..count];
            self.share[t] = inverse.iter().zip(&*g).map(|(h, g)| h * g).sum();
            height -= g[t] * self.share[t];
            alpha -= g[t] * self.gamma[t];
        }
        if height <= DEPENDENCE * T::EPSILON {
            return false;
        }
        // Hence −Σ g_t f_t is the weight of b_u.
        g[u] = -g.iter().zip(f).map(|(g, f)| g * f).sum::<f64>();
        let coefficient = alpha / height;
        for t in 0..count {
            let share = self.share[t];
            self.gamma[t] -= share * coefficient;
            for s in 0..count {
                self.inverse[t * capacity + s] += share * self.share[s] / height;
            }
        }
        for t in 0..count {
            self.inverse[t * capacity + u] = -self.share[t] / height;
            self.inverse[u * capacity + t] = -self.share[t] / height;
        }
        (self.gamma[u], self.inverse[u * capacity + u]) = (coefficient, height.recip());
        for (into, from) in [
            (&mut self.weights.products, &self.products),
            (&mut self.weights.fall, &self.fall),
            (&mut self.weights.share, &self.share),
        ] {
            into.clear();
            into.extend(from[..count].iter().map(|&value| T::narrow(value)));
        }
        pass(
            &mut self.duals,
            &self.weights,
            u,
            row,
            [height.recip(), height, alpha, step, eta].map(T::narrow),
            &mut self.alpha,
            &mut self.heights,
        );
        self.settle();
        true
    }

    /// What is known exactly at the chosen atoms: α_s = 0, h_s = 0, b_t at s is 1 for t = s, else 0.
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

/// ‖(I − P) d‖² up to which an atom is taken for a combination of the chosen ones.
#[inline(always)]
fn dependence<T: Scalar>() -> T {
    T::narrow(DEPENDENCE * T::EPSILON)
}

kernel::vectorized! {
    /// One pass over B, α and h: row u gives way to the new atom's. `factors` are 1/h, h and α of the new
    /// atom, and γ_u/H_uu and 1/H_uu of the old one.
    fn pass<'a, T>(
        duals: &'a mut [T],
        weights: &'a Weights<T>,
        u: usize,
        row: &'a [T],
        factors: [T; 5],
        alpha: &'a mut [T],
        heights: &'a mut [T],
    ) {
        let [inverse, height, correlation, step, eta] = factors;
        let (stride, count) = (alpha.len() / CHUNK, weights.products.len());
        let (duals, _) = duals.as_chunks_mut::<CHUNK>();
        let (rows, _) = row.as_chunks::<CHUNK>();
        let (alphas, _) = alpha.as_chunks_mut::<CHUNK>();
        let (heights, _) = heights.as_chunks_mut::<CHUNK>();
        for (c, ((row, alpha), heights)) in rows.iter().zip(alphas).zip(heights).enumerate() {
            let old = duals[u * stride + c];
            let mut new = *row;
            for t in 0..count {
                let (dual, weight) = (&duals[t * stride + c], weights.products[t]);
                for l in 0..CHUNK {
                    new[l] -= weight * dual[l];
                }
            }
            for l in 0..CHUNK {
                new[l] *= inverse;
                alpha[l] += step * old[l] - correlation * new[l];
                heights[l] += eta * (old[l] * old[l]) - height * (new[l] * new[l]);
            }
            for t in 0..count {
                let dual = &mut duals[t * stride + c];
                let (fall, share) = (weights.fall[t], weights.share[t]);
                for l in 0..CHUNK {
                    dual[l] -= fall * old[l] + share * new[l];
                }
            }
            duals[u * stride + c] = new;
        }
    }
}

kernel::vectorized! {
    /// The atom with the largest drop of the error once an atom is gone, and this drop, if it is above
    /// `floor`: α + step · b and h + η b² are then the correlations and heights.
    fn best_without<'a, T>(
        alpha: &'a [T],
        heights: &'a [T],
        dual: &'a [T],
        step: T,
        eta: T,
        floor: T,
    ) -> Option<(usize, T)> {
        let (alphas, _) = alpha.as_chunks::<CHUNK>();
        let (heights, _) = heights.as_chunks::<CHUNK>();
        let (duals, _) = dual.as_chunks::<CHUNK>();
        let chunks = || alphas.iter().zip(heights).zip(duals);
        let mut lanes = [T::zero(); CHUNK];
        for ((alpha, heights), dual) in chunks() {
            for l in 0..CHUNK {
                let s = drop(alpha[l], heights[l], dual[l], step, eta);
                lanes[l] = if s > lanes[l] { s } else { lanes[l] };
            }
        }
        let mut best = floor;
        for s in lanes {
            best = if s > best { s } else { best };
        }
        if best <= floor {
            return None;
        }
        for (c, ((alpha, heights), dual)) in chunks().enumerate() {
            let place = (0..CHUNK).find(|&l| drop(alpha[l], heights[l], dual[l], step, eta) == best);
            if let Some(l) = place {
                return Some((c * CHUNK + l, best));
            }
        }
        None
    }
}

/// (α + step · b)² / (h + η b²), and zero for atoms in the span of those that stay.
#[inline(always)]
fn drop<T: Scalar>(alpha: T, height: T, dual: T, step: T, eta: T) -> T {
    let alpha = alpha + step * dual;
    let height = height + eta * (dual * dual);
    let drop = alpha * alpha / height;
    if height > dependence() { drop } else { T::zero() }
}

#[cfg(test)]
mod tests {
    use faer::Mat;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::backend::{Faer, column};
    use crate::coder::least_squares::LeastSquares;

    /// α, h, γ and the gains of exchanges after a walk are those of supports built anew.
    #[test]
    fn exchanges_leave_what_a_new_start_gives() {
        let (dim, atoms, sparsity) = (11, 70, 4);
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let mut draw = |cols| Mat::from_fn(dim, cols, |_, _| rng.random_range(-1.0..1.0_f64));
        let (mut dictionary, samples) = (draw(atoms), draw(1));
        for j in 0..atoms {
            kernel::normalize(dictionary.col_as_slice_mut(j));
        }
        let mut gram = GramRows::new(atoms, usize::MAX).expect("memory");
        gram.compute(&Faer::<f64>::default(), dictionary.as_ref());
        let y = samples.col_as_slice(0);
        let initial: Vec<f64> =
            (0..atoms).map(|j| kernel::dot(column(dictionary.as_ref(), j), y)).collect();
        let sample = Sample {
            gram: &gram,
            dictionary: dictionary.as_ref(),
            initial: &initial,
            energy: kernel::squared_norm(y),
        };
        let mut walked = Exchange::new(atoms, sparsity);
        walked.restart(sample);
        for atom in [3, 69, 20, 41] {
            assert!(walked.add(sample, atom));
        }
        for (place, atom) in [(1, 7), (3, 64), (0, 69), (1, 3), (1, 12)] {
            assert!(walked.exchange(sample, Swap { place, atom }));
        }
        assert_eq!(walked.support(), [69, 12, 20, 64]);
        let mut fresh = Exchange::new(atoms, sparsity);
        fresh.restart(sample);
        for &atom in walked.support() {
            assert!(fresh.add(sample, atom));
        }
        let near = |a: &[f64], b: &[f64]| {
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12), "{a:?} {b:?}");
        };
        near(&walked.alpha, &fresh.alpha);
        near(&walked.heights, &fresh.heights);
        near(&walked.duals, &fresh.duals);
        near(&walked.gamma, &fresh.gamma);
        near(&walked.inverse, &fresh.inverse);
        // The best exchange lowers the error by what least squares says.
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
