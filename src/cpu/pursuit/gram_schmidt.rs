//! Modified Gram–Schmidt, twice ("twice is enough", Giraud, Langou & Rozložník 2005).

use crate::cpu::vector::{loops, vectorized};

vectorized! {
    /// q ← q − QQᵀq, twice; l ← Qᵀq. Returns ‖q‖².
    pub(crate) fn orthogonalise<'a, T>(
        simd;
        q: &'a mut [T],
        earlier: &'a [T],
        l: &'a mut [T],
    ) -> f64 {
        for _ in 0..2 {
            for (l, earlier) in l.iter_mut().zip(earlier.chunks_exact(q.len())) {
                let overlap = loops::dot(earlier, q);
                *l += overlap;
                loops::axpy(q, -overlap, earlier);
            }
        }
        loops::squared_norm(simd, q)
    }
}

vectorized! {
    /// q ← q / h,  c ← qᵀr,  r ← r − c q. Returns c.
    pub(crate) fn project_out<'a, T>(q: &'a mut [T], height: T, residual: &'a mut [T]) -> T {
        for q in q.iter_mut() {
            *q /= height;
        }
        let coordinate = loops::dot(q, residual);
        loops::axpy(residual, -coordinate, q);
        coordinate
    }
}
