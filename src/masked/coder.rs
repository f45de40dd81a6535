//! Weighted orthogonal matching pursuit.

use faer::MatRef;
use faer::mat::AsMatRef;
use rayon::prelude::*;

use super::checks::Masked;
use crate::Scalar;
use crate::backend::{PursuitRule, Selection, Tolerance};
use crate::codes::SparseCodes;
use crate::cpu::pursuit::double::{DoublePursuit, Task};
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::matrix::column;
use crate::model::Model;
use crate::problem::{ProblemShape, Sign};
use crate::pursuit::{Stop, UnitAtoms};
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
/// | [`least_seen`](Self::least_seen) | 10⁻³ | see there | 0 to 1 |
/// | [`selection`](Self::selection) | by correlation | as of [`Omp`](crate::coder::Omp) | |
/// | [`sign`](Self::sign) | any | of coefficients | |
///
/// A sample has no more atoms than coordinates of positive weight; one that is missing throughout
/// has the empty code. O((k + 1) s m) a sample of which s coordinates have weights, in parallel;
/// memory: d·m scalars and 2m + (k + 3)·d + k² doubles a thread, and a copy of the dictionary.
/// Samples that follow each other with equal weights share the work of scaling atoms.
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

    /// An atom d is not for samples that see ‖W^{1/2}d‖² less than this times ‖d‖² of it: what
    /// it says of the rest would be a guess, many times as large as what is known.
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
    /// weight is positive; [`Error::Dimension`] and [`Error::Argument`] for weights of another
    /// shape than the samples; [`Error::Argument`] for a weight outside 0 to 1 and for a parameter
    /// outside its range.
    pub fn encode<T: Scalar>(
        &self,
        dictionary: impl AsMatRef<T = T, Rows = usize, Cols = usize>,
        samples: impl AsSamples<T>,
        weights: impl AsSamples<T>,
    ) -> Result<SparseCodes<T>, Error> {
        let atoms = UnitAtoms::new(dictionary.as_mat_ref())?;
        let dim = atoms.atoms.nrows();
        let masked = Masked::new(&samples, &weights, dim)?;
        let codes = self.unit_codes(atoms.atoms.as_ref(), &masked)?;
        atoms.rescaled(codes)
    }

    /// The codes on atoms of norm 1.
    pub(super) fn unit_codes<T: Scalar>(
        &self,
        atoms: MatRef<'_, T>,
        masked: &Masked<'_, T>,
    ) -> Result<SparseCodes<T>, Error> {
        let (dim, count) = atoms.shape();
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
        let mut codes = SparseCodes::new(count, masked.len(), sparsity);
        codes.par_blocks_mut(BLOCK).for_each(|mut block| {
            let mut view = View::new(&shape, &rule, least_seen);
            for i in 0..block.len() {
                let (sample, weights) =
                    (masked.sample(block.first() + i), masked.weights(block.first() + i));
                view.look(atoms, weights);
                block.write(i, |support, values| view.code(atoms, sample, noise, support, values));
            }
        });
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
    roots: Vec<T>,
    /// Σ w.
    total: f64,
    /// s × m; empty where all weights are 1.
    atoms: Vec<T>,
    /// What each was divided by; 0 where it is not seen.
    norms: Vec<f64>,
    sample: Vec<T>,
    pursuit: Option<DoublePursuit>,
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
            sample: Vec::new(),
            pursuit: None,
        }
    }

    /// Turns to samples of other weights.
    fn look(&mut self, atoms: MatRef<'_, T>, weights: &[T]) {
        if self.weights == weights {
            return;
        }
        self.weights.clear();
        self.weights.extend_from_slice(weights);
        self.rows.clear();
        self.rows.extend((0..weights.len()).filter(|&row| weights[row] > T::zero()));
        self.roots.clear();
        self.roots.extend(self.rows.iter().map(|&row| T::narrow(weights[row].widen().sqrt())));
        self.total = self.rows.iter().map(|&row| weights[row].widen()).sum();
        self.atoms.clear();
        self.norms.clear();
        let seen = self.rows.len();
        let dim = seen.max(1);
        let sparsity = self.shape.sparsity.min(dim);
        let shape = ProblemShape { dim, sparsity, ..*self.shape };
        self.pursuit = Some(DoublePursuit::new(&shape, self.rule.selection));
        if self.is_whole() {
            return;
        }
        for j in 0..atoms.ncols() {
            let atom = column(atoms, j);
            let start = self.atoms.len();
            self.atoms.extend(self.rows.iter().zip(&self.roots).map(|(&row, &s)| atom[row] * s));
            let into = &mut self.atoms[start..];
            let norm = loops::normalize(into);
            let is_seen = norm > 0.0 && norm * norm >= self.least_seen;
            if !is_seen {
                into.fill(T::zero());
            }
            self.norms.push(if is_seen { norm } else { 0.0 });
        }
    }

    /// Whether all weights are 1.
    fn is_whole(&self) -> bool {
        self.weights.iter().all(|&w| w == T::narrow(1.0))
    }

    /// Writes the code of a sample; returns its length.
    fn code(
        &mut self,
        atoms: MatRef<'_, T>,
        sample: &[T],
        noise: f64,
        support: &mut [u32],
        values: &mut [T],
    ) -> usize {
        let seen = self.rows.len();
        let Some(pursuit) = self.pursuit.as_mut().filter(|_| seen > 0) else { return 0 };
        self.sample.clear();
        self.sample.extend(self.rows.iter().zip(&self.roots).map(|(&row, &s)| sample[row] * s));
        // A whole sample sees the atoms as they are.
        let dictionary = if self.norms.is_empty() {
            atoms
        } else {
            MatRef::from_column_major_slice(&self.atoms, seen, self.norms.len())
        };
        // The first of two tolerances that is met ends the pursuit.
        let given = match self.rule.tolerance {
            None => None,
            Some(Tolerance::Absolute(norm)) => Some(norm),
            Some(Tolerance::Relative(share)) => Some(share * loops::energy(&self.sample).sqrt()),
        };
        let of_noise = (noise > 0.0).then_some(noise * self.total.sqrt());
        let tolerance = [given, of_noise].into_iter().flatten().reduce(f64::max);
        let tolerance = tolerance.map(Tolerance::Absolute);
        let rule = PursuitRule { tolerance, ..*self.rule };
        let mut task = Task { dictionary, sample: &self.sample, support, values };
        let length = pursuit.code(&mut task, &rule, &[]);
        if !self.norms.is_empty() {
            for (value, &atom) in values.iter_mut().zip(&*support).take(length) {
                *value = T::narrow(value.widen() / self.norms[atom as usize]);
            }
        }
        length
    }
}
