//! Makes features less coherent, by Adam on Σ_{i≠j} (e_i·e_j)² + N Σ (‖e_i‖² − 1)².
//!
//! ```text
//! S ← E Eᵀ                                                       d × d: no Gram matrix of features
//! g_i ← 4 (S e_i − ‖e_i‖² e_i) + 4 N (‖e_i‖² − 1) e_i
//! m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  e ← e − η m̂ / (√v̂ + ϵ)
//! ```
//! D. P. Kingma, J. Ba, *Adam*, 2015, arXiv:1412.6980.

use dbksvd::faer::Mat;
use dbksvd::{Faer, HostBackend, Scalar};
use num_traits::{Float, One};
use rayon::prelude::*;

use crate::vector::{column_mut, squared_norm};

const RATE: f64 = 3e-4;
const BETA_1: f64 = 0.9;
const BETA_2: f64 = 0.999;
const EPSILON: f64 = 1e-8;

/// Columns of a product that one task computes.
const BLOCK: usize = 128;

/// Makes `steps` steps from E (d × N). Afterwards norms are close to 1, but not equal to 1.
pub(super) fn spread<T: Scalar>(e: &mut Mat<T>, steps: usize) {
    if steps == 0 {
        return;
    }
    let (dim, features) = e.shape();
    let (mut first, mut second) = (Mat::<T>::zeros(dim, features), Mat::<T>::zeros(dim, features));
    let mut s = Mat::<T>::zeros(dim, dim);
    let backend = Faer::<T>::default();
    for step in 1..=steps {
        s.par_col_chunks_mut(BLOCK).enumerate().for_each(|(block, s)| {
            let rows = e.as_ref().subrows(block * BLOCK, s.ncols());
            backend.product_tn(s, e.transpose(), rows.transpose());
        });
        let correction = |beta: f64| 1.0 - beta.powi(step as i32);
        let scale = Scale {
            // η m̂ / (√v̂ + ϵ) = rate · m / (√v + floor)
            rate: T::narrow(RATE * correction(BETA_2).sqrt() / correction(BETA_1)),
            floor: T::narrow(EPSILON * correction(BETA_2).sqrt()),
            features: T::narrow(features as f64),
        };
        e.par_col_chunks_mut(BLOCK)
            .zip(first.par_col_chunks_mut(BLOCK))
            .zip(second.par_col_chunks_mut(BLOCK))
            .for_each(|((mut e, mut first), mut second)| {
                let mut gradient = Mat::<T>::zeros(dim, e.ncols());
                backend.product_tn(gradient.as_mut(), s.transpose(), e.as_ref());
                for i in 0..e.ncols() {
                    let e = column_mut(e.as_mut(), i);
                    let (first, second) =
                        (column_mut(first.as_mut(), i), column_mut(second.as_mut(), i));
                    descend(e, gradient.col_as_slice(i), first, second, scale);
                }
            });
    }
}

/// The factors of a step.
#[derive(Clone, Copy)]
struct Scale<T> {
    rate: T,
    floor: T,
    features: T,
}

/// One step of one feature. `product` is S e.
fn descend<T: Scalar>(
    e: &mut [T],
    product: &[T],
    first: &mut [T],
    second: &mut [T],
    scale: Scale<T>,
) {
    let squares = T::narrow(squared_norm(e));
    let four = T::narrow(4.0);
    // 4 S e + (4 N (‖e‖² − 1) − 4 ‖e‖²) e
    let along = four * (scale.features * (squares - <T as One>::one()) - squares);
    let (beta_1, beta_2) = (T::narrow(BETA_1), T::narrow(BETA_2));
    let (rest_1, rest_2) = (T::narrow(1.0 - BETA_1), T::narrow(1.0 - BETA_2));
    for (((e, &product), m), v) in e.iter_mut().zip(product).zip(first).zip(second) {
        let gradient = four * product + along * *e;
        *m = beta_1 * *m + rest_1 * gradient;
        *v = beta_2 * *v + rest_2 * gradient * gradient;
        *e -= scale.rate * *m / (Float::sqrt(*v) + scale.floor);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{RandomStream, gaussian, generator};
    use crate::vector::normalize;

    /// The formula at the beginning of this file, with the Gram matrix and plain loops.
    fn naive(e: &mut Mat<f64>, steps: i32) {
        let (dim, n) = e.shape();
        let (mut m, mut v) = (Mat::<f64>::zeros(dim, n), Mat::<f64>::zeros(dim, n));
        for step in 1..=steps {
            let gram = e.transpose() * &*e;
            for i in 0..n {
                for r in 0..dim {
                    let others = (0..n).filter(|&j| j != i).map(|j| gram[(i, j)] * e[(r, j)]);
                    let pull = n as f64 * (gram[(i, i)] - 1.0) * e[(r, i)];
                    let g = 4.0 * others.sum::<f64>() + 4.0 * pull;
                    m[(r, i)] = 0.9 * m[(r, i)] + 0.1 * g;
                    v[(r, i)] = 0.999 * v[(r, i)] + 0.001 * g * g;
                }
            }
            for i in 0..n {
                for r in 0..dim {
                    let m = m[(r, i)] / (1.0 - 0.9_f64.powi(step));
                    let v = v[(r, i)] / (1.0 - 0.999_f64.powi(step));
                    e[(r, i)] -= 3e-4 * m / (v.sqrt() + 1e-8);
                }
            }
        }
    }

    #[test]
    fn steps_are_those_of_the_formula() {
        let mut random = generator(5, RandomStream::Features);
        let mut e = Mat::from_fn(9, 150, |_, _| gaussian(&mut random));
        for j in 0..150 {
            normalize(e.col_as_slice_mut(j));
        }
        let mut expected = e.clone();
        naive(&mut expected, 5);
        spread(&mut e, 5);
        assert!((&e - &expected).norm_max() < 1e-12);
    }
}
