//! Phase (a): the leading left singular vector of E_Ω = R_Ω + d xᵀ, without forming E_Ω.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd::{ComputeSvdVectors, svd, svd_scratch};
use faer::{Mat, MatRef, Par};
use num_traits::Float;

use super::{LeadingPair, project};
use crate::backend::column;
use crate::codes::{SparseCodes, Use};
use crate::kernel;
use crate::{Scalar, Sign};

/// Power steps after which an exact non-negative pair is taken as it is.
const MOST_STEPS: usize = 200;

/// One atom with the samples Ω that use it.
pub(super) struct Atom<'a, T: Scalar> {
    pub(super) residual: MatRef<'a, T>,
    pub(super) codes: &'a SparseCodes<T>,
    pub(super) uses: &'a [Use],
    /// d.
    pub(super) direction: &'a [T],
    /// w, the weight of earlier minibatches: E is extended by the column √w d.
    pub(super) weight: T,
    pub(super) sign: Sign,
}

impl<T: Scalar> Atom<'_, T> {
    /// Writes the improved direction, of norm 1. An atom that no sample uses, or whose E x is
    /// zero, keeps its direction.
    pub(super) fn improve(&self, pair: LeadingPair, into: &mut [T]) {
        let improved = !self.uses.is_empty()
            && match (pair, self.sign) {
                (LeadingPair::Exact, Sign::Signed) => self.decompose(into),
                (LeadingPair::Exact, Sign::NonNegative) => self.iterate(MOST_STEPS, into),
                (LeadingPair::Power { iterations }, _) => self.iterate(iterations, into),
            };
        if !improved {
            into.copy_from_slice(self.direction);
        }
    }

    /// Up to `steps` power steps, the first from the coefficients at hand.
    fn iterate(&self, steps: usize, into: &mut [T]) -> bool {
        start(self, into);
        if !scale_to_unit(into) {
            return false;
        }
        let mut v = Vec::new();
        for _ in 1..steps {
            v.clear();
            v.extend_from_slice(into);
            step(self, &v, into);
            if !scale_to_unit(into) {
                into.copy_from_slice(&v);
                break;
            }
            let difference = |(a, b): (&T, &T)| (a.widen() - b.widen()).powi(2);
            let change: f64 = v.iter().zip(&*into).map(difference).sum();
            if change.sqrt() < 4.0 * T::EPSILON {
                break;
            }
        }
        true
    }

    /// The leading left singular vector of [E, √w d] by a full decomposition, with the sign that
    /// points along d.
    fn decompose(&self, into: &mut [T]) -> bool {
        let (dim, uses) = (into.len(), self.uses.len());
        let mut e = Mat::<T>::zeros(dim, uses + 1);
        for (i, &at) in self.uses.iter().enumerate() {
            let column = e.col_as_slice_mut(i);
            column.copy_from_slice(self.residual(at));
            kernel::axpy(column, self.coefficient(at), self.direction);
        }
        kernel::axpy(e.col_as_slice_mut(uses), Float::sqrt(self.weight), self.direction);

        let size = dim.min(uses + 1);
        let (mut u, mut v) = (Mat::<T>::zeros(dim, size), Mat::<T>::zeros(uses + 1, size));
        let mut sigma = faer::diag::Diag::<T>::zeros(size);
        let thin = ComputeSvdVectors::Thin;
        let request = svd_scratch::<T>(dim, uses + 1, thin, thin, Par::Seq, Default::default());
        let mut memory = MemBuffer::new(request);
        let decomposed = svd(
            e.as_ref(),
            sigma.as_mut(),
            Some(u.as_mut()),
            Some(v.as_mut()),
            Par::Seq,
            MemStack::new(&mut memory),
            Default::default(),
        );
        // A decomposition that does not settle, or an E of zero, leaves the atom as it is.
        if decomposed.is_err() || sigma.column_vector()[0] <= T::zero() {
            return false;
        }
        into.copy_from_slice(u.col_as_slice(0));
        if kernel::dot(into, self.direction) < T::zero() {
            into.iter_mut().for_each(|x| *x = -*x);
        }
        scale_to_unit(into)
    }

    #[inline(always)]
    fn coefficient(&self, at: Use) -> T {
        self.codes.values(at.sample as usize)[at.slot as usize]
    }

    #[inline(always)]
    fn residual(&self, at: Use) -> &[T] {
        column(self.residual, at.sample as usize)
    }
}

kernel::vectorized! {
    /// u ← E x + w d = Σ x_i r_i + d (‖x‖² + w)
    fn start<'a, T>(atom: &'a Atom<'a, T>, u: &'a mut [T]) {
        let mut along = atom.weight;
        u.fill(T::zero());
        let mut quads = atom.uses.chunks_exact(4);
        for quad in &mut quads {
            let x: [T; 4] = std::array::from_fn(|q| atom.coefficient(quad[q]));
            for x in x {
                along += x * x;
            }
            kernel::axpy4(u, x, std::array::from_fn(|q| atom.residual(quad[q])));
        }
        for &at in quads.remainder() {
            let x = atom.coefficient(at);
            along += x * x;
            kernel::axpy(u, x, atom.residual(at));
        }
        kernel::axpy(u, along, atom.direction);
    }
}

kernel::vectorized! {
    /// u ← E Eᵀ v + w d (d·v), with c = Eᵀv: c_i = r_i·v + x_i (d·v).
    fn step<'a, T>(atom: &'a Atom<'a, T>, v: &'a [T], u: &'a mut [T]) {
        let overlap = kernel::dot(atom.direction, v);
        let mut along = atom.weight * overlap;
        u.fill(T::zero());
        for &at in atom.uses {
            let (x, r) = (atom.coefficient(at), atom.residual(at));
            let c = project(kernel::dot(r, v) + x * overlap, atom.sign);
            along += c * x;
            kernel::axpy(u, c, r);
        }
        kernel::axpy(u, along, atom.direction);
    }
}

/// Scales to norm 1; `false` for a vector without a direction.
#[inline(always)]
fn scale_to_unit<T: Scalar>(u: &mut [T]) -> bool {
    let norm = kernel::normalize(u);
    norm.is_finite() && norm > 0.0
}
