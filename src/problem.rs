//! What fixes a sparse coding problem: its dimensions, its budget and the sign of its codes.

use num_traits::Float;

use crate::Scalar;
use crate::error::Error;
use crate::parameters::Parameters;

/// The sign that coefficients may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Sign {
    /// Any sign, as K-SVD.
    #[default]
    Signed,
    /// Coefficients ≥ 0, as the activations of sparse autoencoders.
    NonNegative,
}

impl Sign {
    /// max(c, 0) for non-negative codes.
    #[inline(always)]
    pub(crate) fn project<T: Scalar>(self, coefficient: T) -> T {
        match self {
            Self::Signed => coefficient,
            Self::NonNegative => Float::max(coefficient, T::zero()),
        }
    }

    /// How far two atoms of this cosine can stand in for each other: opposite ones cannot where
    /// codes are non-negative.
    pub(crate) fn likeness<T: Scalar>(self, cosine: T) -> f64 {
        match self {
            Self::Signed => cosine.widen().abs(),
            Self::NonNegative => cosine.widen(),
        }
    }
}

impl From<Sign> for Parameters {
    fn from(sign: Sign) -> Self {
        Self::of(match sign {
            Sign::Signed => "signed",
            Sign::NonNegative => "non-negative",
        })
    }
}

/// Dimensions and constraints that coder, updater and model share.
///
/// ```
/// use dbksvd::{ProblemShape, Sign};
///
/// let shape = ProblemShape { dim: 64, atoms: 256, sparsity: 8, sign: Sign::Signed };
/// assert!(shape.check().is_ok());
/// assert!(ProblemShape { sparsity: 65, ..shape }.check().is_err()); // more than d
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ProblemShape {
    /// Dimension d of samples and atoms.
    pub dim: usize,
    /// Number of atoms m.
    pub atoms: usize,
    /// Budget k: the most nonzeros a sample may have.
    pub sparsity: usize,
    /// The sign of coefficients.
    pub sign: Sign,
}

impl ProblemShape {
    /// Checks d ≥ 1, m ≥ 1 and 1 ≤ k ≤ min(d, m).
    ///
    /// # Errors
    /// [`Error::Argument`], naming `dim`, `atoms` or `sparsity`.
    pub fn check(&self) -> Result<(), Error> {
        let Self { dim, atoms, sparsity, .. } = *self;
        if dim == 0 {
            return Err(Error::argument("dim", dim, "at least 1"));
        }
        if atoms == 0 || atoms > u32::MAX as usize - 1 {
            return Err(Error::argument("atoms", atoms, "at least 1 and below 2³² − 1"));
        }
        if sparsity == 0 || sparsity > atoms {
            let expected = format!("1 to {atoms}, the number of atoms");
            return Err(Error::argument("sparsity", sparsity, expected));
        }
        if sparsity > dim {
            let expected = format!("1 to {dim}, the dimension of the samples");
            return Err(Error::argument("sparsity", sparsity, expected));
        }
        Ok(())
    }
}
