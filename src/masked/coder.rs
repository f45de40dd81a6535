//! Weighted orthogonal matching pursuit.

use faer::MatRef;
use faer::mat::AsMatRef;
use rayon::prelude::*;

use super::checks::Masked;
use crate::Scalar;
use crate::backend::{PursuitRule, Selection};
use crate::codes::{CodesBlock, SparseCodes};
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::model::Model;
use crate::problem::{ProblemShape, Sign};
use crate::pursuit::{ScaledPursuit, Stop, UnitAtoms, first_error, room};
use crate::source::AsSamples;

/// Samples coded by one task.
const BLOCK: usize = 16;

/// OMP or OLS of samples with weights: codes that minimise ‖W^{1/2} (y − D x)‖.
///
/// ```text
/// S ← ∅, r ← y
/// repeat until `stop`, or ‖W^{1/2}r‖ ≤ noise · √Σw:
///     S ← S ∪ {argmax_j |d_jᵀ W r| / ‖W^{1/2}d_j‖}
///     γ ← argmin ‖W^{1/2}(y − D_S γ)‖,  r ← y − D_S γ
/// ```
/// It is OMP on what is seen of sample and atoms, times the roots of the weights, each atom scaled
/// anew: an atom is judged by the coordinates that the sample has. Columns of the dictionary may
/// have any norm, as in [`omp`](crate::omp), whose codes these are, bit by bit, for weights of 1.
///
/// | parameter | default | meaning | range |
/// |---|---|---|---|
/// | `stop` | given | the budget k, a tolerance of ‖W^{1/2}r‖, or both; see [`Stop`] | as there |
/// | [`noise`](Self::noise) | 0 | the weighted root mean square residual that is small enough | ≥ 0, finite |
/// | [`least_seen`](Self::least_seen) | 10⁻³ | the share of an atom that a sample must see | 0 to 1 |
/// | [`selection`](Self::selection) | by correlation | as of [`Omp`](crate::coder::Omp) | |
/// | [`sign`](Self::sign) | any | of coefficients | |
///
/// A sample has no more atoms than coordinates of positive weight; one that is missing throughout
/// has the empty code. O((k + 1) s m) a sample of which s coordinates have weights, in parallel;
/// memory, in doubles: d·m + 2m + (k + 4)·d + k² a thread, and the dictionary. Samples that follow
/// each other with equal weights share the work of scaling atoms.
///
/// ```
/// use dbksvd::faer::mat;
/// use dbksvd::masked::MaskedOmp;
///
/// let dictionary = mat![[0.6_f64, 0.0, 1.0], [0.8, 0.6, 0.0], [0.0, 0.8, 0.0]];
/// let samples = mat![[f64::NAN], [1.2], [1.6]]; // twice the second atom, as far as is known
/// let weights = mat![[0.0], [1.0], [1.0]];
/// let codes = MaskedOmp::new(1).encode(&dictionary, &samples, &weights)?;
/// assert_eq!(codes.support(0), [1]);
/// assert!((codes.values(0)[0] - 2.0).abs() < 1e-12);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct MaskedOmp {
    stop: Stop,
    noise: f64,
    least_seen: f64,
    selection: Selection,
    pub(super) sign: Sign,
}

impl MaskedOmp {
    /// A coder with this budget, tolerance, or both.
    pub fn new(stop: impl Into<Stop>) -> Self {
        let (selection, sign) = (Selection::default(), Sign::default());
        Self { stop: stop.into(), noise: 0.0, least_seen: 1e-3, selection, sign }
    }

    /// Ends the pursuit of a sample once √(Σ w r² / Σ w) is at most this: the standard deviation of
    /// the noise of a coordinate. Unlike a tolerance, it asks the same of samples of which more or
    /// less is missing.
    pub fn noise(self, noise: f64) -> Self {
        Self { noise, ..self }
    }

    /// The share of an atom d that a sample must see to use it: ‖W^{1/2}d‖² must be at least this
    /// times ‖d‖² times the largest weight of the sample. The coefficient of an atom that is hardly
    /// seen is large, and what it says of the missing coordinates is a guess.
    pub fn least_seen(self, share: f64) -> Self {
        Self { least_seen: share, ..self }
    }

    /// How the next atom is chosen.
    pub fn selection(self, selection: Selection) -> Self {
        Self { selection, ..self }
    }

    /// The sign of coefficients.
    pub fn sign(self, sign: Sign) -> Self {
        Self { sign, ..self }
    }

    /// The codes of `samples` (d × N) with these `weights` (d × N) on the columns of `dictionary`
    /// (d × m).
    ///
    /// # Errors
    /// The errors of [`omp`](crate::omp), but values of a sample need be finite only where its
    /// weight is positive; [`Error::Dimension`], [`Error::Source`] and [`Error::Argument`] for
    /// weights of another shape than the samples; [`Error::Argument`] for a weight outside 0 to 1
    /// and for a parameter outside its range.
    pub fn encode<T: Scalar>(
        &self,
        dictionary: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
        samples: impl AsSamples<T>,
        weights: impl AsSamples<T>,
    ) -> Result<SparseCodes<T>, Error> {
        let atoms = UnitAtoms::new(dictionary.as_mat_ref())?;
        let masked = Masked::new(&samples, &weights, atoms.atoms.nrows())?;
        self.codes_on(&atoms, &masked)
    }

    /// The codes on `atoms`, in the scale that they had.
    pub(super) fn codes_on<T: Scalar>(
        &self,
        atoms: &UnitAtoms,
        masked: &Masked<'_, T>,
    ) -> Result<SparseCodes<T>, Error> {
        let (dim, count) = atoms.atoms.shape();
        let sparsity = self.stop.budget(dim.min(count));
        let shape = ProblemShape { dim, atoms: count, sparsity, sign: self.sign };
        shape.check()?;
        let Self { stop: Stop { tolerance, .. }, selection, noise, least_seen, .. } = *self;
        let rule = PursuitRule { selection, tolerance, min_correlation: None };
        rule.check()?;
        if !(noise.is_finite() && noise >= 0.0) {
            return Err(Error::argument("noise", noise, "finite and at least 0"));
        }
        if !(0.0..=1.0).contains(&least_seen) {
            return Err(Error::argument("least_seen", least_seen, "0 to 1"));
        }
        let mut codes = room(count, masked.len(), sparsity)?;
        let blocks = codes.par_blocks_mut(BLOCK).map_init(
            || View::new(&shape, &rule, least_seen),
            |view, mut block| {
                (0..block.len()).try_for_each(|i| {
                    let sample = block.first() + i;
                    view.look(atoms, masked.weights(sample));
                    view.code(atoms, masked.sample(sample), noise, (&mut block, i))
                })
            },
        );
        first_error(blocks.collect())?;
        Ok(codes)
    }
}

impl<T: Scalar> Model<T> {
    /// The codes of samples of which coordinates are missing, or count for less: with the model's
    /// budget and sign, by [`MaskedOmp`] with its defaults, on the preprocessed samples.
    /// [`decode`](Self::decode) then gives the whole samples.
    ///
    /// `samples` and `weights` are d × N, weights from 0 to 1; where a weight is 0, the coordinate
    /// is missing, and the sample may hold anything, such as NaN.
    ///
    /// ```
    /// use dbksvd::faer::Mat;
    /// use dbksvd::synthetic::Planted;
    /// use dbksvd::{Model, Sign};
    ///
    /// let data = Planted::new(32, 64, 2, 10).seed(1).generate::<f32>()?;
    /// let model = Model::new(data.dictionary, None, 2, Sign::Signed)?;
    /// // Every fourth coordinate is lost, and found again.
    /// let weights = Mat::from_fn(32, 10, |r, _| if r % 4 == 0 { 0.0 } else { 1.0 });
    /// let mut samples = data.samples.clone();
    /// (0..10).for_each(|i| (0..32).step_by(4).for_each(|r| samples[(r, i)] = f32::NAN));
    /// let codes = model.encode_masked(samples.as_ref(), weights.as_ref())?;
    /// assert!((model.decode(&codes)? - &data.samples).norm_max() < 1e-5);
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`MaskedOmp::encode`].
    pub fn encode_masked(
        &self,
        samples: impl AsSamples<T>,
        weights: impl AsSamples<T>,
    ) -> Result<SparseCodes<T>, Error> {
        let masked = Masked::new(&samples, &weights, self.dim())?;
        let mut known = crate::matrix::zeros(self.dim(), masked.len())?;
        for i in 0..masked.len() {
            let into = known.col_as_slice_mut(i);
            for ((into, &y), &w) in into.iter_mut().zip(masked.sample(i)).zip(masked.weights(i)) {
                *into = if w > T::zero() { y } else { T::zero() };
            }
            self.preprocessing().apply(into);
        }
        let coder = MaskedOmp::new(self.sparsity()).sign(self.sign());
        coder.encode(self.dictionary(), &known, weights)
    }
}

/// The atoms as samples of certain weights see them: times the roots of the weights, and scaled.
struct View<'a, T> {
    shape: &'a ProblemShape,
    rule: &'a PursuitRule,
    least_seen: f64,
    weights: Vec<T>,
    /// The coordinates of positive weight.
    rows: Vec<usize>,
    roots: Vec<f64>,
    /// Σ w.
    total: f64,
    /// s × m; empty where all weights are 1.
    atoms: Vec<f64>,
    /// What each was divided by; 0 where it is not seen.
    norms: Vec<f64>,
    pursuit: Option<ScaledPursuit>,
    coefficients: Vec<f64>,
}

impl<'a, T: Scalar> View<'a, T> {
    fn new(shape: &'a ProblemShape, rule: &'a PursuitRule, least_seen: f64) -> Self {
        Self {
            shape,
            rule,
            least_seen,
            weights: Vec::new(),
            rows: Vec::new(),
            roots: Vec::new(),
            total: 0.0,
            atoms: Vec::new(),
            norms: Vec::new(),
            pursuit: None,
            coefficients: Vec::new(),
        }
    }

    /// Turns to samples of other weights.
    fn look(&mut self, atoms: &UnitAtoms, weights: &[T]) {
        if self.weights == weights {
            return;
        }
        self.weights.clear();
        self.weights.extend_from_slice(weights);
        self.rows.clear();
        self.rows.extend((0..weights.len()).filter(|&row| weights[row] > T::zero()));
        self.roots.clear();
        self.roots.extend(self.rows.iter().map(|&row| weights[row].widen().sqrt()));
        self.total = self.rows.iter().map(|&row| weights[row].widen()).sum();
        self.atoms.clear();
        self.norms.clear();
        let seen = self.rows.len();
        let dim = seen.max(1);
        let sparsity = self.shape.sparsity.min(dim);
        let shape = ProblemShape { dim, sparsity, ..*self.shape };
        self.pursuit = Some(ScaledPursuit::new::<T>(&shape, self.rule));
        if self.weights.iter().all(|&w| w == T::narrow(1.0)) {
            return;
        }
        let largest = self.roots.iter().fold(0.0, |most, &root| f64::max(most, root));
        // An atom that is seen whole may lack some digits of its norm.
        let least = (1.0 - 1e-12) * self.least_seen * largest * largest;
        for j in 0..atoms.atoms.ncols() {
            let atom = atoms.atoms.col_as_slice(j);
            let start = self.atoms.len();
            self.atoms.extend(self.rows.iter().zip(&self.roots).map(|(&row, &s)| atom[row] * s));
            let into = &mut self.atoms[start..];
            let norm = loops::normalize(into);
            let is_seen = norm > 0.0 && norm * norm >= least;
            if !is_seen {
                into.fill(0.0);
            }
            self.norms.push(if is_seen { norm } else { 0.0 });
        }
    }

    /// Writes the code of sample `i` of a block, in the scale that the atoms had.
    fn code(
        &mut self,
        atoms: &UnitAtoms,
        sample: &[T],
        noise: f64,
        (block, i): (&mut CodesBlock<'_, T>, usize),
    ) -> Result<(), Error> {
        let Self { pursuit, rows, roots, norms, coefficients, .. } = self;
        let Some(pursuit) = pursuit.as_mut().filter(|_| !rows.is_empty()) else {
            block.write(i, |_, _| 0);
            return Ok(());
        };
        pursuit.load(rows.iter().zip(roots).map(|(&row, root)| sample[row].widen() * *root));
        // A whole sample sees the atoms as they are.
        let seen = match norms.is_empty() {
            true => atoms.atoms.as_ref(),
            false => MatRef::from_column_major_slice(&self.atoms, rows.len(), norms.len()),
        };
        let scale = pursuit.scale();
        let (support, unit) = pursuit.code(seen, noise * self.total.sqrt());
        coefficients.clear();
        let of_atom = |(&unit, &atom): (&f64, &u32)| match norms.get(atom as usize) {
            Some(norm) => unit / norm,
            None => unit,
        };
        coefficients.extend(unit.iter().zip(support).map(of_atom));
        atoms.write(block, i, (support, coefficients), scale)
    }
}
