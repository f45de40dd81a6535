//! Orthogonal matching pursuit by itself: for any matrix of atoms, in the scale of the caller.
//!
//! Here a dictionary is any matrix without a column of zeros, such as the measurement matrix of
//! compressed sensing. Its columns may have any norm: coefficients are those of the columns as they
//! are given, y ≈ D x. [`omp`] is one call; [`Pursuit`] has the choices; [`Path`] tells the
//! coefficients and the error after every atom; [`omp_gram`] takes G = DᵀD and DᵀY instead of D and
//! Y. All numbers are real.
//!
//! To code many batches of samples with one dictionary, make a [`Model`] and keep its
//! [`Encoder`](crate::Encoder).

mod atoms;
mod path;
mod products;
mod scaled;
mod stop;

use faer::Mat;
use faer::mat::AsMatRef;
use rayon::prelude::*;

pub(crate) use atoms::{Contiguous, UnitAtoms, contiguous};
use atoms::{check_dimension, check_finite};
pub use path::Path;
pub(crate) use scaled::ScaledPursuit;
pub use stop::Stop;

use crate::Scalar;
use crate::backend::{PursuitRule, Selection};
use crate::coder::BatchOmp;
use crate::codes::SparseCodes;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::matrix::check_room;
use crate::model::Model;
use crate::problem::{ProblemShape, Sign};
use crate::source::AsSamples;

/// Samples coded by one task.
const BLOCK: usize = 16;

/// The codes of `samples` (d × N) on the columns of `dictionary` (d × m), by orthogonal matching
/// pursuit (Pati, Rezaiifar & Krishnaprasad 1993).
///
/// ```text
/// S ← ∅, r ← y
/// repeat until `stop`:
///     S ← S ∪ {argmax_j |d_jᵀr| / ‖d_j‖},  γ ← argmin ‖y − D_S γ‖,  r ← y − D_S γ
/// ```
/// `stop` is the most nonzeros of a sample, a [`Tolerance`](crate::coder::Tolerance), or both (see
/// [`Stop`]). Columns may have any norm but zero; coefficients are those of the columns as they are
/// given. The dictionary may be a matrix, owned or borrowed, or a [`Dictionary`]; samples are
/// accepted in every form of [`AsSamples`].
///
/// Every pursuit is made in double precision, whatever `T` is and however large or small the
/// sample, and a sample's code has the same bits alone or among others. O(kdm) a sample, in
/// parallel over samples; memory: d·m doubles, and 2m + (k + 4)·d + k² doubles a thread. For many
/// samples, [`Pursuit::through_gram`] is faster.
///
/// ```
/// use dbksvd::coder::Tolerance;
/// use dbksvd::faer::mat;
/// use dbksvd::omp;
///
/// let dictionary = mat![[2.0_f64, 0.0, 1.0], [0.0, 5.0, 1.0]];
/// let samples = mat![[4.0], [1.0]];
/// let codes = omp(&dictionary, &samples, 1)?;
/// assert_eq!((codes.support(0), codes.values(0)), (&[0][..], &[2.0][..])); // 4 = 2 · 2.0
///
/// let codes = omp(&dictionary, &samples, Tolerance::Absolute(1e-9))?;
/// assert_eq!(codes.support(0), [0, 1]);
/// assert!((codes.values(0)[1] - 0.2).abs() < 1e-12); // 1 = 0.2 · 5.0
/// # Ok::<(), dbksvd::Error>(())
/// ```
///
/// # Errors
/// [`Error::Dimension`] if dictionary and samples have different numbers of rows;
/// [`Error::Argument`] for an empty dictionary, for a budget outside 1..=min(d, m), for a tolerance
/// that is negative or not finite, for an atom whose norm overflows, and for an atom so short that
/// a coefficient of it does (one that is too small for `T` is 0); [`Error::Source`] for a slice
/// that does not hold a whole number of samples; [`Error::ZeroAtom`], [`Error::NotFiniteAtom`] and
/// [`Error::NotFinite`] for atoms and samples that have no code; [`Error::Backend`] if memory
/// cannot be allocated. No samples have no codes, which is no error.
pub fn omp<T: Scalar>(
    dictionary: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
    samples: impl AsSamples<T>,
    stop: impl Into<Stop>,
) -> Result<SparseCodes<T>, Error> {
    Pursuit::new(stop).codes(dictionary, samples)
}

/// [`omp`] given `gram` = DᵀD (m × m) and `correlations` = DᵀY (m × N) in place of D and Y, for
/// atoms of any norm.
///
/// `squared_norms` are ‖y‖² of the samples. Only a tolerance needs them. The codes are those of
/// [`omp`] as far as the products tell, which are rounded: a pursuit ends when no correlation is
/// above about 10⁻⁵ (`f32`) or 10⁻¹⁴ (`f64`) of the first, and errors, which are the roots of
/// differences of squares, are known to some 3·10⁻⁴ (`f32`) or 10⁻⁸ (`f64`) of ‖y‖; so a tolerance
/// should not be smaller. O(k²m) a sample in double precision, in parallel; memory: (k + 4)·m + k²
/// doubles a thread.
///
/// ```
/// use dbksvd::coder::Tolerance;
/// use dbksvd::faer::mat;
/// use dbksvd::{omp, pursuit::omp_gram};
///
/// let dictionary = mat![[2.0_f64, 0.0, 1.0], [0.0, 5.0, 1.0]];
/// let samples = mat![[4.0], [1.0]];
/// let (gram, correlations) =
///     (dictionary.transpose() * &dictionary, dictionary.transpose() * &samples);
/// let stop = (2, Tolerance::Absolute(0.1));
/// let codes = omp_gram(&gram, &correlations, Some(&[17.0]), stop)?;
/// assert_eq!(codes.support(0), omp(&dictionary, &samples, stop)?.support(0));
/// # Ok::<(), dbksvd::Error>(())
/// ```
///
/// # Errors
/// [`Error::Argument`] for a `gram` that is empty, not square, not finite or not symmetric, or
/// whose entries are larger than atoms of these norms allow, for a number of `squared_norms` that
/// is not N, for one that is negative, not finite or less than the square of a correlation with a
/// unit atom, for a coefficient that is not finite, and for a tolerance without them;
/// [`Error::ZeroAtom`] for a zero on the diagonal; [`Error::Dimension`] for `correlations` of other
/// than m rows, and [`Error::NotFinite`] for one that is not finite (the coordinate is the atom);
/// and the errors of [`omp`] for `stop`.
pub fn omp_gram<T: Scalar>(
    gram: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
    correlations: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
    squared_norms: Option<&[f64]>,
    stop: impl Into<Stop>,
) -> Result<SparseCodes<T>, Error> {
    Pursuit::new(stop).codes_from_products(gram, correlations, squared_norms)
}

/// A pursuit with its choices; [`omp`] is one with the defaults.
///
/// | choice | default | |
/// |---|---|---|
/// | `stop` | given | the budget k, a tolerance, or both |
/// | [`selection`](Self::selection) | by correlation (OMP) | or by least squares (OLS) |
/// | [`sign`](Self::sign) | any | or coefficients ≥ 0 |
/// | [`through_gram`](Self::through_gram) | no | faster for many samples |
///
/// ```
/// use dbksvd::coder::Selection;
/// use dbksvd::faer::Mat;
/// use dbksvd::pursuit::Pursuit;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 50).seed(1).generate::<f64>()?;
/// // Measured in other units: 1,000 times as large, by atoms of norm 20.
/// let dictionary = Mat::from_fn(16, 32, |i, j| 20.0 * data.dictionary.as_mat()[(i, j)]);
/// let samples = Mat::from_fn(16, 50, |i, j| 1000.0 * data.samples[(i, j)]);
/// let pursuit = Pursuit::new(3).selection(Selection::LeastSquares);
/// let path = pursuit.path(&dictionary, &samples)?;
/// // The error after no atom, one, two and three.
/// let norms = path.residual_norms(0);
/// assert!(norms.len() == 4 && norms.is_sorted_by(|more, less| less <= more));
/// assert_eq!(path.at(2), pursuit.with_stop(2).codes(&dictionary, &samples)?);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pursuit {
    /// When a sample has been coded.
    pub stop: Stop,
    /// How the next atom is chosen. Correlations are divided by the norms of atoms.
    pub selection: Selection,
    /// The sign of coefficients.
    pub sign: Sign,
    /// Whether codes are found through the Gram matrix.
    pub through_gram: bool,
}

impl Pursuit {
    /// Selection by correlation, coefficients of any sign, without a Gram matrix.
    #[must_use]
    pub fn new(stop: impl Into<Stop>) -> Self {
        let (selection, sign) = (Selection::default(), Sign::default());
        Self { stop: stop.into(), selection, sign, through_gram: false }
    }

    /// The same with another end.
    #[must_use]
    pub fn with_stop(self, stop: impl Into<Stop>) -> Self {
        Self { stop: stop.into(), ..self }
    }

    /// How the next atom is chosen. Default: [`Selection::Correlation`].
    #[must_use]
    pub fn selection(self, selection: Selection) -> Self {
        Self { selection, ..self }
    }

    /// The sign of coefficients. Default: [`Sign::Signed`].
    #[must_use]
    pub fn sign(self, sign: Sign) -> Self {
        Self { sign, ..self }
    }

    /// Codes by [`BatchOmp`], which computes the Gram matrix of the dictionary first, for about the
    /// time of m samples. It pays from a few m/k samples on. Codes are the same but for rounding to
    /// `T` and ties, and so are errors, but for samples whose squares over- or underflow
    /// ([`Error::Range`]). Memory, besides that of `omp`: two copies of the dictionary and its Gram
    /// matrix, m² scalars, where [`BatchOmp`] keeps it. Default: no.
    #[must_use]
    pub fn through_gram(self, through_gram: bool) -> Self {
        Self { through_gram, ..self }
    }

    /// The codes of `samples` (d × N) on the columns of `dictionary` (d × m), in the scale of both.
    ///
    /// # Errors
    /// Those of [`omp`].
    pub fn codes<T: Scalar>(
        &self,
        dictionary: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
        samples: impl AsSamples<T>,
    ) -> Result<SparseCodes<T>, Error> {
        let atoms = UnitAtoms::new(dictionary.as_mat_ref())?;
        self.codes_on(&atoms, &contiguous(samples.as_samples(atoms.atoms.nrows())?)?)
    }

    /// The codes of `samples` together with the coefficients and the error after every atom, as
    /// scikit-learn's `return_path`.
    ///
    /// O(k³d) a sample more than [`codes`](Self::codes); memory: k²/2 scalars a sample.
    ///
    /// # Errors
    /// Those of [`omp`], and [`Error::Argument`] naming `sign` for non-negative codes, which have
    /// no such path: atoms may leave them.
    pub fn path<T: Scalar>(
        &self,
        dictionary: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
        samples: impl AsSamples<T>,
    ) -> Result<Path<T>, Error> {
        self.check_nested()?;
        let atoms = UnitAtoms::new(dictionary.as_mat_ref())?;
        let samples = contiguous(samples.as_samples(atoms.atoms.nrows())?)?;
        Path::on_atoms(self.codes_on(&atoms, &samples)?, &atoms, &samples)
    }

    /// [`codes`](Self::codes) given DᵀD and DᵀY: see [`omp_gram`]. The products are at hand, so
    /// [`through_gram`](Self::through_gram) makes no difference.
    ///
    /// # Errors
    /// Those of [`omp_gram`].
    pub fn codes_from_products<T: Scalar>(
        &self,
        gram: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
        correlations: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
        squared_norms: Option<&[f64]>,
    ) -> Result<SparseCodes<T>, Error> {
        products::codes(self, gram.as_mat_ref(), correlations.as_mat_ref(), squared_norms)
    }

    /// [`path`](Self::path) given DᵀD and DᵀY. Errors after every atom are told if `squared_norms`
    /// are given.
    ///
    /// # Errors
    /// Those of [`omp_gram`] and of [`path`](Self::path).
    pub fn path_from_products<T: Scalar>(
        &self,
        gram: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
        correlations: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
        squared_norms: Option<&[f64]>,
    ) -> Result<Path<T>, Error> {
        self.check_nested()?;
        products::path(self, gram.as_mat_ref(), correlations.as_mat_ref(), squared_norms)
    }

    fn check_nested(&self) -> Result<(), Error> {
        match self.sign {
            Sign::Signed => Ok(()),
            Sign::NonNegative => {
                let expected = "signed: atoms may leave a non-negative code, so it has no path";
                Err(Error::argument("sign", "non-negative", expected))
            }
        }
    }

    fn rule(&self) -> PursuitRule {
        let Self { stop: Stop { tolerance, .. }, selection, .. } = *self;
        PursuitRule { selection, tolerance, min_correlation: None }
    }

    /// The codes on `atoms`, in the scale that they had.
    fn codes_on<T: Scalar>(
        &self,
        atoms: &UnitAtoms,
        samples: &Contiguous<'_, T>,
    ) -> Result<SparseCodes<T>, Error> {
        let (dim, count) = atoms.atoms.shape();
        check_dimension("samples", samples.as_ref(), dim)?;
        check_finite(samples.as_ref())?;
        let sparsity = self.stop.budget(dim.min(count));
        let shape = ProblemShape { dim, atoms: count, sparsity, sign: self.sign };
        shape.check()?;
        let rule = self.rule();
        rule.check()?;
        if self.through_gram {
            return through_gram(&rule, &shape, atoms, samples);
        }
        let mut codes = room(count, samples.as_ref().ncols(), sparsity)?;
        let blocks = codes.par_blocks_mut(BLOCK).map_init(
            || ScaledPursuit::new::<T>(&shape, &rule),
            |pursuit, mut block| {
                (0..block.len()).try_for_each(|i| {
                    let sample = samples.column(block.first() + i);
                    pursuit.load(sample.iter().map(|y| y.widen()));
                    let scale = pursuit.scale();
                    let code = pursuit.code(atoms.atoms.as_ref(), 0.0);
                    atoms.write(&mut block, i, code, scale)
                })
            },
        );
        first_error(blocks.collect())?;
        Ok(codes)
    }
}

/// The codes by [`BatchOmp`], on unit atoms in the scalar of the samples.
fn through_gram<T: Scalar>(
    rule: &PursuitRule,
    shape: &ProblemShape,
    atoms: &UnitAtoms,
    samples: &Contiguous<'_, T>,
) -> Result<SparseCodes<T>, Error> {
    let unit = Mat::from_fn(shape.dim, shape.atoms, |i, j| T::narrow(atoms.atoms[(i, j)]));
    let model = Model::new(Dictionary::trusted(unit), None, shape.sparsity, shape.sign)?;
    let coder = BatchOmp { rule: *rule, ..BatchOmp::default() };
    let mut codes = model.encode(&coder, samples.as_ref())?;
    let mut block = codes.as_block_mut();
    for i in 0..block.len() {
        let (support, values) = block.code_mut(i);
        for (&atom, value) in support.iter().zip(values) {
            *value = atoms.coefficient(atom, (value.widen(), 1.0), i)?;
        }
    }
    Ok(codes)
}

/// Codes without nonzeros yet, or an error if there is no memory for them.
pub(crate) fn room<T: Scalar>(
    atoms: usize,
    samples: usize,
    sparsity: usize,
) -> Result<SparseCodes<T>, Error> {
    check_room::<(u32, T)>(sparsity, samples)?;
    Ok(SparseCodes::new(atoms, samples, sparsity))
}

/// The first error of blocks in order, so that it does not depend on the number of threads.
pub(crate) fn first_error(blocks: Vec<Result<(), Error>>) -> Result<(), Error> {
    blocks.into_iter().collect()
}
