//! Codes by the lasso: an ℓ1 penalty in place of a limit on the nonzeros, along its path.
//!
//! ```text
//! minimise ½‖y − Dx‖² + λ‖x‖₁     (and x ≥ 0)
//! ```
//! For a falling λ, the solution is piecewise linear ([`path`]): it begins at 0 for λ = ‖Dᵀy‖_∞,
//! and follows until λ is the wanted one, or until there would be a (k + 1)-th nonzero.
//!
//! References: R. Tibshirani, *Regression shrinkage and selection via the lasso*, J. Royal
//! Statistical Society B 58, 1996; M. R. Osborne, B. Presnell & B. A. Turlach, *A new approach to
//! variable selection in least squares problems*, IMA J. Numerical Analysis 20, 2000 (the path); B.
//! Efron, T. Hastie, I. Johnstone & R. Tibshirani, *Least angle regression*, Annals of Statistics
//! 32, 2004.

mod path;

use faer::Mat;
use rayon::prelude::*;

use super::{Coefficients, GRAM_LIMIT, SparseCoder};
use crate::Scalar;
use crate::cpu::pursuit::correlations::{BLOCK, Correlations};
use crate::cpu::pursuit::dependence;
use crate::cpu::pursuit::full_gram::{CHUNK, GramRows};
use crate::cpu::pursuit::least_squares::LeastSquares;
use crate::cpu::scratch_pool::ScratchPool;
use crate::cpu::vector::loops;
use crate::cpu::{Faer, HostBackend};
use crate::error::{BackendError, Error};
use crate::matrix::{column, zeros};
use crate::parameters::Parameters;
use crate::problem::ProblemShape;
use path::{Limits, Path};

/// Correlations up to this share of ‖y‖ are rounding.
const ROUNDING: f64 = 64.0 * f64::EPSILON;

/// Codes that minimise ½‖y − Dx‖² + λ‖x‖₁, as scikit-learn's `lasso_lars` and `lasso_cd` with
/// `alpha` = λ, as long as that takes at most k nonzeros.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | penalty λ | given | ≥ 0 | weight of ‖x‖₁, in units of the samples |
/// | [`coefficients`](Self::coefficients) | those of the lasso | | whether they are refitted by least squares |
/// | [`gram_limit`](Self::gram_limit) | 4 GiB | | bytes for the Gram matrix |
///
/// **The limit k.** If the solution at λ has more than k nonzeros, the code is the solution at the
/// larger λ' at which, as λ falls, a (k + 1)-th atom would first join. It is that of the lasso with
/// λ' in place of λ, which differs from sample to sample, and is what least angle regression gives
/// if it ends with k nonzeros. To compare with a solver that has no limit, set k to min(d, m),
/// which no solution on the path exceeds. With λ = 0, the limit alone ends the path.
///
/// The penalty draws coefficients towards 0, so at equal k the error is larger than that of
/// [`BatchOmp`](super::BatchOmp). [`Coefficients::Refitted`] takes this shrinkage back and keeps
/// the choice of atoms.
///
/// Everything is computed in double precision, whatever the scalar is. On a dictionary in general
/// position there is one solution. An atom that depends on those in use (a copy, for one) is passed
/// over, so of several solutions the code is one that uses fewer atoms. At equal correlations, the
/// lowest atom comes first. A path ends after 64·(k + 1) changes of its support, which is far
/// beyond what samples need, with the solution that it has reached.
///
/// Complexity per sample: O(dm) for Dᵀy, O(am + a²) for each atom that joins a support of a atoms,
/// and O(am + a³) for each that leaves it. If the Gram matrix does not fit, its rows are computed
/// at each of these changes, in O(adm). Memory: d·m doubles, m² doubles for the Gram matrix and,
/// per thread, 131·m + 256·d doubles and k².
///
/// ```
/// use dbksvd::Sign;
/// use dbksvd::coder::Lasso;
/// use dbksvd::faer::mat;
/// use dbksvd::{Dictionary, Model};
///
/// // On an orthonormal dictionary, the lasso is a soft threshold.
/// let dictionary = Dictionary::new(mat![[1.0, 0.0], [0.0, 1.0]])?;
/// let model = Model::new(dictionary, None, 2, Sign::Signed)?;
/// let codes = model.encode(&Lasso::new(0.5), mat![[3.0], [-1.0]].as_ref())?;
/// assert_eq!((codes.support(0), codes.values(0)), (&[0, 1][..], &[2.5, -0.5][..]));
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[non_exhaustive]
pub struct Lasso {
    /// λ, the weight of ‖x‖₁.
    pub penalty: f64,
    /// Which coefficients the atoms of the solution get.
    pub coefficients: Coefficients,
    /// Bytes that the Gram matrix may take.
    pub gram_limit: usize,
}

impl Lasso {
    /// The lasso with this λ.
    #[must_use]
    pub fn new(penalty: f64) -> Self {
        Self { penalty, coefficients: Coefficients::AsChosen, gram_limit: GRAM_LIMIT }
    }

    /// Whether the coefficients of the atoms are refitted by least squares, without the penalty.
    /// Default: [`Coefficients::AsChosen`].
    #[must_use]
    pub fn coefficients(mut self, coefficients: Coefficients) -> Self {
        self.coefficients = coefficients;
        self
    }

    /// Bytes that the Gram matrix may take. It takes m² doubles; if that is more than the limit,
    /// its rows are computed when they are needed. Default: 4 GiB, which is enough for 23,168
    /// atoms.
    #[must_use]
    pub fn gram_limit(mut self, bytes: usize) -> Self {
        self.gram_limit = bytes;
        self
    }
}

/// The dictionary in double precision, its Gram matrix, and scratch memory of [`Lasso`].
#[derive(Debug)]
pub struct LassoState {
    shape: ProblemShape,
    dictionary: Mat<f64>,
    gram: GramRows<f64>,
    idle: ScratchPool<Scratch>,
}

#[derive(Debug)]
struct Scratch {
    samples: Mat<f64>,
    correlations: Correlations<f64>,
    path: Path,
    squares: LeastSquares,
}

impl Scratch {
    fn new(shape: &ProblemShape) -> Self {
        let width = shape.atoms.next_multiple_of(CHUNK);
        Self {
            samples: Mat::zeros(shape.dim, BLOCK),
            correlations: Correlations::new(shape.dim, shape.atoms),
            path: Path::new(shape.atoms, width, shape.sparsity),
            squares: LeastSquares::new(shape.sparsity),
        }
    }
}

impl<B: HostBackend> SparseCoder<B> for Lasso {
    type State = LassoState;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        if !(self.penalty >= 0.0 && self.penalty.is_finite()) {
            return Err(Error::argument("penalty", self.penalty, "a finite number, at least 0"));
        }
        Ok(())
    }

    fn prepare(&self, _: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        Ok(LassoState {
            shape: *shape,
            dictionary: zeros(shape.dim, shape.atoms)?,
            gram: GramRows::new(shape.atoms, self.gram_limit)?,
            idle: ScratchPool::default(),
        })
    }

    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError> {
        let from = backend.view(dictionary);
        let LassoState { shape, dictionary, gram, .. } = state;
        assert_eq!(from.shape(), (shape.dim, shape.atoms), "the dictionary's shape");
        for j in 0..from.ncols() {
            widen_into(column(from, j), dictionary.col_as_slice_mut(j));
        }
        gram.compute(&Faer::<f64>::default(), dictionary.as_ref());
        Ok(())
    }

    fn encode(
        &self,
        backend: &B,
        state: &Self::State,
        _: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let y = backend.view(y);
        let LassoState { shape, dictionary, gram, idle } = state;
        assert_eq!(y.nrows(), shape.dim, "the samples' dimension");
        let dictionary = dictionary.as_ref();
        codes.reset(y.ncols());
        codes.par_blocks_mut(BLOCK).for_each(|mut block| {
            idle.with(
                || Scratch::new(shape),
                |scratch| {
                    let Scratch { samples, correlations, path, squares } = scratch;
                    let count = block.len();
                    for i in 0..count {
                        widen_into(column(y, block.first() + i), samples.col_as_slice_mut(i));
                    }
                    // Columns beyond these samples are stale, which is harmless.
                    let samples = samples.as_ref();
                    let initial =
                        correlations.compute(&Faer::<f64>::default(), dictionary, samples);
                    for i in 0..count {
                        let norm = loops::energy(column(samples, i)).sqrt();
                        let limits = Limits {
                            penalty: self.penalty,
                            rounding: ROUNDING * norm,
                            sparsity: shape.sparsity,
                            sign: shape.sign,
                            dependence: dependence::of_wide_gram::<B::Scalar>(),
                        };
                        path.follow(gram, dictionary, column(initial, i), &limits);
                        block.write(i, |slots, into| match self.coefficients {
                            Coefficients::AsChosen => {
                                let slots = slots.iter_mut().zip(into);
                                let code = path.support().iter().zip(path.values());
                                let entries = slots.zip(code).map(|(slot, (&atom, &value))| {
                                    (*slot.0, *slot.1) = (atom, B::Scalar::narrow(value));
                                });
                                entries.count()
                            }
                            Coefficients::Refitted => {
                                let sample = column(samples, i);
                                squares.fit(shape.sign, dictionary, sample, path.support());
                                squares.write(path.support(), slots, into)
                            }
                        });
                    }
                },
            );
        });
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        let Self { penalty, coefficients, gram_limit } = *self;
        Parameters::of("Lasso")
            .with("penalty", penalty)
            .with("coefficients", coefficients)
            .with("gram_limit", gram_limit)
    }
}

fn widen_into<T: Scalar>(from: &[T], into: &mut [f64]) {
    into.iter_mut().zip(from).for_each(|(into, value)| *into = value.widen());
}
