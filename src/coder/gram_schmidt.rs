//! Modified Gram–Schmidt, twice ("twice is enough", Giraud, Langou & Rozložník 2005).

use crate::kernel;

kernel::vectorized! {
    /// q ← q − QQᵀq, twice; l ← Qᵀq. Returns ‖q‖².
    pub(super) fn orthogonalise<'a, T>(q: &'a mut [T], earlier: &'a [T], l: &'a mut [T]) -> f64 {
        for _ in 0..2 {
            for (l, earlier) in l.iter_mut().zip(earlier.chunks_exact(q.len())) {
                let overlap = kernel::dot(earlier, q);
                *l += overlap;
                kernel::axpy(q, -overlap, earlier);
            }
        }
        kernel::squared_norm(q)
    }
}

kernel::vectorized! {
    /// q ← q / h,  c ← qᵀr,  r ← r − c q. Returns c.
    pub(super) fn project_out<'a, T>(q: &'a mut [T], height: T, residual: &'a mut [T]) -> T {
        for q in q.iter_mut() {
            *q /= height;
        }
        let coordinate = kernel::dot(q, residual);
        kernel::axpy(residual, -coordinate, q);
        coordinate
    }
}
