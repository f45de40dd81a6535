//! A second dictionary, for targets that belong to the samples: what codes of one thing say of
//! another.
//!
//! ```text
//! X: codes of samples Y;  Z: their targets
//! A ← Σ x xᵀ,  B ← Σ z xᵀ,  a ← Σ x,  b ← Σ z,  n ← Σ 1          over minibatches, in f64
//! A ← A − a aᵀ/n,  B ← B − b aᵀ/n                                 with an offset
//! D₂ ← B (A + λI)⁻¹,  λ = ridge · tr(A)/m
//! z ≈ D₂ x + c,  c = (b − D₂ a)/n                                 c = 0 without an offset
//! ```
//! With λ = 0 this is D₂ = Z Xᵀ(X Xᵀ)⁻¹, which minimises ‖Z − D₂X‖²_F. It is how R. Zeyde, M. Elad
//! & M. Protter (*On single image scale-up using sparse representations*, Curves and Surfaces 2010,
//! equation 18) make a dictionary of sharp patches for the codes of blurred ones, and what the
//! decoder of a transcoder is (Dunefsky, Chlenski & Nanda 2024, arXiv:2406.11944), which learns
//! both by gradients.

mod quality;
mod sums;

pub use quality::PairedQuality;
pub use sums::PairedSums;

use std::ops::Range;

use faer::{Mat, MatRef};
use rayon::prelude::*;

use crate::Scalar;
use crate::coder::SparseCoder;
use crate::codes::SparseCodes;
use crate::cpu::Faer;
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::matrix::{column, column_mut};
use crate::model::Model;
use crate::source::{SampleSource, Subset, check_rounding};
use crate::updater::System;

/// The least ridge for a singular system. Rounding, divided by it, is what is left to chance of
/// directions that the codes do not determine.
const LEAST_RAISED: f64 = 1e-10;

/// Samples that are read and coded at a time.
const BLOCK: usize = 4096;

/// How a second dictionary is made from codes and targets.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | [`ridge`](Self::ridge) | 10⁻⁶ | ≥ 0 | λ, in units of the mean of Σ x² over all atoms |
/// | [`offset`](Self::offset) | yes | | whether z ≈ D₂x + c, with a constant c |
///
/// **Rank.** Atoms that no sample uses, or that are used only together in fixed proportions, leave
/// the system singular. If it cannot be factorised, or a pivot is no more than rounding, the ridge
/// is raised: to 10⁻¹⁰ at least, and a hundredfold as often as it takes.
/// [`PairedDictionary::ridge`] tells which was used. The ridge pulls towards zero, so an atom that
/// no sample uses gets the direction 0, and atoms that are used in fixed proportions share what
/// they explain.
///
/// Complexity: O(k + d₂) for each nonzero, m³/3 multiplications on one thread for the factor, and
/// d₂·m² in parallel. Memory: m² + d₂·m doubles for sums, and 2·m² + 2·d₂·m more while solving.
///
/// ```
/// use dbksvd::coder::BatchOmp;
/// use dbksvd::faer::Mat;
/// use dbksvd::learn::Paired;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{Model, Sign};
///
/// // A target holds two numbers for each of the atoms that its sample is made of.
/// let data = Planted::new(16, 24, 2, 1000).generate::<f64>()?;
/// let targets = Mat::from_fn(2, 1000, |row, i| {
///     let code = data.codes.support(i).iter().zip(data.codes.values(i));
///     code.map(|(&atom, x)| x * f64::from(atom * (row as u32 + 1)).sin()).sum()
/// });
/// let model = Model::new(data.dictionary, None, 2, Sign::Signed)?;
/// let part = |of: &Mat<f64>, first: usize, count| of.subcols(first, count).to_owned();
///
/// let (y, z) = (part(&data.samples, 0, 800), part(&targets, 0, 800));
/// let paired = Paired::new().fit(&model, &BatchOmp::new(), &y, &z)?;
/// let (y, z) = (part(&data.samples, 800, 200), part(&targets, 800, 200));
/// let quality = paired.evaluate(&model, &BatchOmp::new(), &y, &z)?;
/// assert!(quality.fvu() < 0.05);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Paired {
    /// λ, in units of the mean of Σ x² over all atoms.
    pub ridge: f64,
    /// Whether a constant is added.
    pub offset: bool,
}

impl Default for Paired {
    fn default() -> Self {
        Self { ridge: 1e-6, offset: true }
    }
}

impl Paired {
    /// The defaults in the table above.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How much D₂ is pulled towards zero: ‖D₂‖² times this and the mean of Σ x² over all atoms (of
    /// squares around the mean, with an offset) is added to the error. Raised for singular systems.
    #[must_use]
    pub fn ridge(mut self, ridge: f64) -> Self {
        self.ridge = ridge;
        self
    }

    /// Whether a constant is added, as the bias of a transcoder. Without one, the empty code stands
    /// for the target 0.
    #[must_use]
    pub fn offset(mut self, offset: bool) -> Self {
        self.offset = offset;
        self
    }

    /// The second dictionary for the codes of `samples` by `coder`: `targets` has a target for each
    /// sample. Both are read 4,096 at a time: once, but for samples by which the
    /// [rounding](check_rounding) of each 4,096 is judged.
    ///
    /// # Errors
    /// [`Error::Argument`] for a ridge that is negative or not finite, [`Error::Dimension`] unless
    /// there are as many targets as samples, and those of [`Encoder::encode_source`] and
    /// [`PairedSums::add`].
    ///
    /// [`Encoder::encode_source`]: crate::Encoder::encode_source
    pub fn fit<T, C>(
        &self,
        model: &Model<T>,
        coder: &C,
        samples: &impl SampleSource<T>,
        targets: &impl SampleSource<T>,
    ) -> Result<PairedDictionary<T>, Error>
    where
        T: Scalar,
        C: SparseCoder<Faer<T>> + Clone,
    {
        self.check()?;
        let mut sums = PairedSums::new(model.atoms(), targets.dim())?;
        for_each_block(model, coder, samples, targets, |codes, targets| sums.add(codes, targets))?;
        self.solve(&sums)
    }

    /// The second dictionary that these sums determine.
    ///
    /// # Errors
    /// [`Error::Argument`] for a ridge that is negative or not finite and for sums that overflowed,
    /// [`Error::NoSamples`] for sums of nothing, [`Error::Backend`] if memory cannot be had.
    pub fn solve<T: Scalar>(&self, sums: &PairedSums<T>) -> Result<PairedDictionary<T>, Error> {
        self.check()?;
        if sums.samples() == 0 {
            return Err(Error::NoSamples { argument: "sums" });
        }
        let mut system = System::new(sums.atoms(), sums.dim())?;
        let mut wide = sums.products(self.offset, system.matrix_mut())?;
        let mean = system.matrix_mut().diagonal().column_vector().sum();
        if !mean.is_finite() {
            return Err(Error::argument("sums", mean, "finite sums of squares of coefficients"));
        }
        let claims = vec![0.0; sums.atoms()];
        let mut ridge = system.factorise(self.ridge, &claims);
        if let Some(raised) = ridge.filter(|&ridge| ridge > self.ridge) {
            ridge = system.factorise(raised.max(LEAST_RAISED), &claims);
        }
        match ridge {
            Some(_) => system.solve(&mut wide),
            // No code has a nonzero, or all have the same: there is nothing to say by D₂.
            None => wide.fill(0.0),
        }
        let offset = if self.offset { sums.offset(wide.as_ref()) } else { vec![0.0; sums.dim()] };
        let atoms = Mat::from_fn(sums.dim(), sums.atoms(), |i, j| T::narrow(wide[(i, j)]));
        let offset: Vec<T> = offset.into_iter().map(T::narrow).collect();
        let broken = atoms.col_iter().flat_map(|atom| atom.iter()).chain(&offset);
        let broken = broken.copied().find(|number| !number.is_finite());
        if let Some(number) = broken {
            let expected = format!("sums of which the dictionary is finite in {}", T::NAME);
            return Err(Error::argument("sums", number.widen(), expected));
        }
        Ok(PairedDictionary { atoms, offset, ridge: ridge.unwrap_or(self.ridge) })
    }

    fn check(&self) -> Result<(), Error> {
        if self.ridge >= 0.0 && self.ridge.is_finite() {
            return Ok(());
        }
        Err(Error::argument("ridge", self.ridge, "a finite number, at least 0"))
    }
}

/// A second dictionary D₂ (d₂ × m) with an offset: z ≈ D₂x + c for the target z of a sample with
/// the code x. Atoms are of any norm.
#[derive(Clone, Debug, PartialEq)]
pub struct PairedDictionary<T: Scalar> {
    atoms: Mat<T>,
    offset: Vec<T>,
    ridge: f64,
}

impl<T: Scalar> PairedDictionary<T> {
    /// D₂ (d₂ × m): what each atom of the first dictionary stands for among targets.
    #[must_use]
    pub fn as_mat(&self) -> MatRef<'_, T> {
        self.atoms.as_ref()
    }

    /// The number of atoms m.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.atoms.ncols()
    }

    /// The dimension d₂ of targets.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.atoms.nrows()
    }

    /// c, of length d₂: the target of the empty code.
    #[must_use]
    pub fn offset(&self) -> &[T] {
        &self.offset
    }

    /// The ridge that was used: that of [`Paired`], or a larger one for a singular system.
    #[must_use]
    pub fn ridge(&self) -> f64 {
        self.ridge
    }

    /// D₂x + c for each code (d₂ × N). Summed in double precision, O(N·k·d₂), in parallel.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the codes are for another number of atoms.
    pub fn predict(&self, codes: &SparseCodes<T>) -> Result<Mat<T>, Error> {
        agree("codes", codes.atoms(), self.atoms())?;
        let mut targets = Mat::zeros(self.dim(), codes.samples());
        targets.as_mut().par_col_chunks_mut(64).enumerate().for_each(|(chunk, mut targets)| {
            let mut wide = vec![0.0; self.dim()];
            for within in 0..targets.ncols() {
                let i = chunk * 64 + within;
                self.predict_one(codes.support(i), codes.values(i), &mut wide);
                let target = column_mut(targets.as_mut(), within);
                target.iter_mut().zip(&wide).for_each(|(z, &wide)| *z = T::narrow(wide));
            }
        });
        Ok(targets)
    }

    /// ẑ ← D₂x + c in double precision.
    fn predict_one(&self, support: &[u32], values: &[T], into: &mut [f64]) {
        into.iter_mut().zip(&self.offset).for_each(|(z, c)| *z = c.widen());
        for (&atom, value) in support.iter().zip(values) {
            loops::add_wide(into, value.widen(), column(self.atoms.as_ref(), atom as usize));
        }
    }

    /// How well the codes of `samples` by `coder` predict `targets`: for held-out pairs. Both are
    /// read as by [`Paired::fit`].
    ///
    /// # Errors
    /// As [`Paired::fit`], and [`Error::Dimension`] if the model has another number of atoms or
    /// targets are of another dimension; [`Error::NoSamples`] if there are none.
    pub fn evaluate<C>(
        &self,
        model: &Model<T>,
        coder: &C,
        samples: &impl SampleSource<T>,
        targets: &impl SampleSource<T>,
    ) -> Result<PairedQuality, Error>
    where
        C: SparseCoder<Faer<T>> + Clone,
    {
        let mut quality = PairedQuality::new(self.dim());
        for_each_block(model, coder, samples, targets, |codes, targets| {
            quality.add(self, codes, targets)
        })?;
        if quality.samples() == 0 {
            return Err(Error::NoSamples { argument: "samples" });
        }
        Ok(quality)
    }
}

/// An error unless the two sizes are the same.
fn agree(argument: &'static str, found: usize, expected: usize) -> Result<(), Error> {
    if found == expected { Ok(()) } else { Err(Error::Dimension { argument, found, expected }) }
}

/// Calls `take` with the codes of a block of samples, and their targets (d₂ × n), block after
/// block.
fn for_each_block<T, C>(
    model: &Model<T>,
    coder: &C,
    samples: &impl SampleSource<T>,
    targets: &impl SampleSource<T>,
    mut take: impl FnMut(&SparseCodes<T>, MatRef<'_, T>) -> Result<(), Error>,
) -> Result<(), Error>
where
    T: Scalar,
    C: SparseCoder<Faer<T>> + Clone,
{
    agree("targets of the samples", targets.len(), samples.len())?;
    check_rounding(targets)?;
    let encoder = model.encoder(coder.clone())?;
    let mut host = Vec::new();
    for first in (0..samples.len()).step_by(BLOCK) {
        let block: Range<usize> = first..(first + BLOCK).min(samples.len());
        let codes = encoder.encode_source(&Subset::new(samples, vec![block.clone()])?)?;
        host.resize(targets.dim() * block.len(), T::zero());
        targets.read(block.clone(), &mut host)?;
        take(&codes, MatRef::from_column_major_slice(&host, targets.dim(), block.len()))?;
    }
    Ok(())
}

/// An error for the first target that is not finite. `before` targets came before these.
fn check_targets<T: Scalar>(targets: MatRef<'_, T>, before: usize) -> Result<(), Error> {
    for i in 0..targets.ncols() {
        let target = targets.col(i);
        if let Some(coordinate) = target.iter().position(|z| !z.widen().is_finite()) {
            let value = target[coordinate].widen();
            return Err(Error::NotFinite { sample: before + i, coordinate, value });
        }
    }
    Ok(())
}

/// An error for a coefficient that is not finite.
fn check_codes<T: Scalar>(codes: &SparseCodes<T>) -> Result<(), Error> {
    let mut values = codes.iter().flat_map(|(_, values)| values);
    match values.find(|x| !x.widen().is_finite()) {
        None => Ok(()),
        Some(value) => Err(Error::argument("codes", value, "finite coefficients")),
    }
}
