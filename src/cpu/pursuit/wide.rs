//! The dictionary in double precision, for the few samples whose digits a coder in single precision
//! has lost.

use std::sync::OnceLock;

use faer::{Mat, MatRef};

use super::full_gram::{GramRows, correlate};
use crate::Scalar;
use crate::cpu::vector::loops;
use crate::matrix::column;

/// A dictionary in double precision, with rows of its Gram matrix as they are needed.
#[derive(Debug)]
pub(crate) struct Wide {
    dictionary: Mat<f64>,
    pub(crate) gram: GramRows<f64>,
}

/// A [`Wide`] that is made when it is first asked for: d·m doubles.
#[derive(Debug, Default)]
pub(crate) struct Widened(OnceLock<Wide>);

impl Widened {
    /// Takes notice of another dictionary.
    pub(crate) fn forget(&mut self) {
        self.0.take();
    }

    /// The dictionary, which is the same at each call until [`forget`](Self::forget). It is made on
    /// this thread alone: others may be waiting for it.
    pub(crate) fn get<T: Scalar>(&self, dictionary: MatRef<'_, T>) -> &Wide {
        self.0.get_or_init(|| {
            let (dim, atoms) = dictionary.shape();
            let dictionary = Mat::from_fn(dim, atoms, |i, j| dictionary[(i, j)].widen());
            let norms = dictionary.as_ref();
            let norms = (0..atoms).map(|j| loops::energy(column(norms, j))).collect();
            Wide { dictionary, gram: GramRows::Computed(norms) }
        })
    }
}

impl Wide {
    pub(crate) fn dictionary(&self) -> MatRef<'_, f64> {
        self.dictionary.as_ref()
    }

    /// α⁰ = Dᵀy, in as many places as there are atoms.
    pub(crate) fn correlate(&self, sample: &[f64], alpha: &mut [f64]) {
        correlate(self.dictionary(), sample, alpha);
    }
}

/// b ← a.
pub(crate) fn widen<T: Scalar>(a: &[T], b: &mut Vec<f64>) {
    b.clear();
    b.extend(a.iter().map(|a| a.widen()));
}

/// The atoms of a code and their coefficients, in double precision.
pub(crate) fn terms<'a, V: Scalar>(
    support: &'a [u32],
    values: &'a [V],
) -> impl Iterator<Item = (u32, f64)> + 'a {
    support.iter().zip(values).map(|(&atom, value)| (atom, value.widen()))
}

/// r ← y − D x. Returns ‖r‖².
pub(crate) fn leave<T: Scalar>(
    dictionary: MatRef<'_, T>,
    sample: &[T],
    code: impl Iterator<Item = (u32, f64)>,
    residual: &mut Vec<f64>,
) -> f64 {
    widen(sample, residual);
    for (atom, value) in code {
        let atom = column(dictionary, atom as usize);
        residual.iter_mut().zip(atom).for_each(|(r, d)| *r -= value * d.widen());
    }
    loops::energy(residual)
}

/// Whether a residual is no more, in every coordinate, than `unit` times the sizes of the terms of
/// D x and of what `sums` begins with: than rounding these terms can make.
pub(crate) fn is_rounding<T: Scalar>(
    dictionary: MatRef<'_, T>,
    code: impl Iterator<Item = (u32, f64)>,
    residual: &[f64],
    unit: f64,
    sums: &mut [f64],
) -> bool {
    for (atom, value) in code {
        let atom = column(dictionary, atom as usize);
        sums.iter_mut().zip(atom).for_each(|(sum, d)| *sum += (value * d.widen()).abs());
    }
    residual.iter().zip(sums.iter()).all(|(r, sum)| r.abs() <= unit * sum)
}
