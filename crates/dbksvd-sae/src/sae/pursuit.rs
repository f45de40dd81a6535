//! Matching pursuit as SAELens' `matching_pursuit` defines it. Rows may have any norm, and steps
//! are not divided by it, so a row longer than √2 makes the residual grow.
//!
//! ```text
//! r ← x, z ← 0
//! up to max_iterations times:
//!     j ← argmax_j w_jᵀr;  stop if that is ≤ 0
//!     z_j ← z_j + w_jᵀr,   r ← r − (w_jᵀr) w_j
//!     stop if j was in the support already and stop_on_duplicate_support,
//!          or ‖r‖ < residual_threshold
//! ```
//!
//! V. Costa et al., *From flat to hierarchical: extracting sparse representations with matching
//! pursuit*, 2025, arXiv:2506.03093.

use dbksvd::HostBackend;
use dbksvd::faer::{MatMut, MatRef};
use num_traits::Zero;

use crate::vector::{axpy, column, squared_norm};

/// Parameters and scratch memory.
#[derive(Debug)]
pub(super) struct Pursuit<T> {
    pub(super) residual_threshold: f64,
    pub(super) max_iterations: usize,
    pub(super) stop_on_duplicate_support: bool,
    residual: Vec<T>,
    correlations: Vec<T>,
}

impl<T> Default for Pursuit<T> {
    fn default() -> Self {
        Self {
            residual_threshold: 0.0,
            max_iterations: 0,
            stop_on_duplicate_support: false,
            residual: Vec::new(),
            correlations: Vec::new(),
        }
    }
}

/// Appends the latents of `sample`, each once, in the order in which they were first chosen.
pub(super) fn pursue<B: HostBackend>(
    backend: &B,
    rows: MatRef<'_, B::Scalar>,
    sample: &[B::Scalar],
    pursuit: &mut Pursuit<B::Scalar>,
    latents: &mut Vec<(u32, B::Scalar)>,
) {
    let Pursuit { residual, correlations, .. } = pursuit;
    residual.clear();
    residual.extend_from_slice(sample);
    correlations.resize(rows.ncols(), B::Scalar::zero());
    for _ in 0..pursuit.max_iterations {
        // α ← Wr
        backend.product_tn(
            MatMut::from_column_major_slice_mut(correlations, rows.ncols(), 1),
            rows,
            MatRef::from_column_major_slice(residual, rows.nrows(), 1),
        );
        let mut best = (0, B::Scalar::zero());
        for (j, &correlation) in correlations.iter().enumerate() {
            if correlation > best.1 {
                best = (j, correlation);
            }
        }
        let (j, value) = best;
        // No row correlates with the residual, so all further steps would change nothing.
        if value <= B::Scalar::zero() {
            return;
        }
        axpy(residual, -value, column(rows, j));
        let known = latents.iter_mut().find(|(atom, _)| *atom as usize == j);
        let duplicate = known.is_some();
        match known {
            Some((_, latent)) => *latent += value,
            None => latents.push((j as u32, value)),
        }
        let small = pursuit.residual_threshold > 0.0
            && squared_norm(residual).sqrt() < pursuit.residual_threshold;
        if small || (duplicate && pursuit.stop_on_duplicate_support) {
            return;
        }
    }
}
