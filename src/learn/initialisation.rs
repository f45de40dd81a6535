//! The dictionary a run starts from.

use std::collections::HashSet;

use faer::Mat;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::Scalar;
use crate::cpu::vector::loops;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::matrix::zeros;
use crate::problem::{ProblemShape, Sign};
use crate::random::{RandomStream, generator};
use crate::samples::check_finite;
use crate::samples::preprocessing::{Outliers, Preprocessing, is_zero};
use crate::scalar::compiled;
use crate::source::SampleSource;
use crate::source::permutation::Permutation;

/// How the first dictionary is made.
///
/// ```
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Initialisation};
///
/// let data = Planted::new(16, 32, 3, 2000).generate::<f32>()?;
/// let (model, _) = DbKsvd::builder(32, 3).epochs(2).build()?.fit(&data.samples)?;
/// // On from there, in the course of a run that is nearly done.
/// let given = Initialisation::Given(model.dictionary().clone());
/// let learner = DbKsvd::builder(32, 3).epochs(2).initialisation(given).start_at(0.8).build()?;
/// let (_, report) = learner.fit(&data.samples)?;
/// println!("FVU {:.3}", report.epochs[1].fvu);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Initialisation<T: Scalar> {
    /// Distinct samples, drawn without replacement and scaled to norm 1. Zero samples and
    /// duplicates are passed over (equal directions, to 64 ε a coordinate; opposite ones too if
    /// codes are signed); if the data run out of distinct samples, Gaussian atoms follow.
    #[default]
    Samples,
    /// Directions uniform on the sphere.
    Gaussian,
    /// This dictionary. If it has fewer atoms than are asked for, the others are samples that it
    /// represents worst, of as many as a minibatch holds: the way to let a learned dictionary grow.
    Given(Dictionary<T>),
}

impl<T: Scalar> Initialisation<T> {
    /// Draws a dictionary of the shape's atoms from `source`, whose samples are preprocessed so.
    /// One that is given may have fewer.
    pub(crate) fn draw(
        &self,
        source: &dyn SampleSource<T>,
        preprocessing: &Preprocessing<T>,
        outliers: Outliers,
        shape: &ProblemShape,
        seed: u64,
    ) -> Result<Dictionary<T>, Error> {
        draw(self, source, preprocessing, outliers, shape, seed)
    }
}

compiled! {
    /// [`Initialisation::draw`].
    fn draw<T>(
        initialisation: &Initialisation<T>,
        source: &dyn SampleSource<T>,
        preprocessing: &Preprocessing<T>,
        outliers: Outliers,
        shape: &ProblemShape,
        seed: u64,
    ) -> Result<Dictionary<T>, Error> {
        let atoms = shape.atoms;
        let mut matrix = zeros::<T>(shape.dim, atoms)?;
        let filled = match initialisation {
            Initialisation::Given(dictionary) => return Ok(dictionary.clone()),
            Initialisation::Gaussian => 0,
            Initialisation::Samples => {
                let mut drawn = ShuffledSamples::new(source, preprocessing, outliers, seed);
                let mut filled = 0;
                let mut seen = HashSet::with_capacity(atoms.min(source.len()));
                while filled < atoms
                    && let Some(sample) = drawn.next()?
                {
                    if seen.insert(direction_bits(sample, shape.sign)) {
                        matrix.col_as_slice_mut(filled).copy_from_slice(sample);
                        filled += 1;
                    }
                }
                filled
            }
        };
        let mut random = generator(seed, RandomStream::Initialisation);
        fill_with_gaussians(&mut matrix, filled, &mut random);
        Ok(Dictionary::trusted(matrix))
    }
}

compiled! {
    /// Directions uniform on the sphere, in the columns from `first` on. Each use wants a stream of
    /// its own, or a dictionary gets the same directions again.
    pub(crate) fn fill_with_gaussians<T>(
        matrix: &mut Mat<T>,
        first: usize,
        random: &mut ChaCha8Rng,
    ) {
        for j in first..matrix.ncols() {
            let atom = matrix.col_as_slice_mut(j);
            while loops::normalize(atom) == 0.0 {
                atom.fill_with(|| T::narrow(StandardNormal.sample(random)));
            }
        }
    }
}

/// Samples of a source in random order, each once, preprocessed and scaled to norm 1. Those without
/// a direction are passed over, and those that learning drops.
struct ShuffledSamples<'a, T: Scalar> {
    source: &'a dyn SampleSource<T>,
    preprocessing: &'a Preprocessing<T>,
    outliers: Outliers,
    order: Permutation,
    next: usize,
    sample: Vec<T>,
}

impl<'a, T: Scalar> ShuffledSamples<'a, T> {
    fn new(
        source: &'a dyn SampleSource<T>,
        preprocessing: &'a Preprocessing<T>,
        outliers: Outliers,
        seed: u64,
    ) -> Self {
        let order = Permutation::new(source.len(), seed, RandomStream::Initialisation);
        let sample = vec![T::zero(); source.dim()];
        Self { source, preprocessing, outliers, order, next: 0, sample }
    }

    fn next(&mut self) -> Result<Option<&[T]>, Error> {
        let Self { source, preprocessing, outliers, order, next, sample } = self;
        while *next < source.len() {
            let i = order.at(*next);
            *next += 1;
            source.read(i..i + 1, sample)?;
            check_finite(sample, *source, i)?;
            // Padding, which is centred like the others, would give a direction: that of the mean.
            let is_padding = outliers.are_limited() && is_zero(sample);
            preprocessing.apply(sample);
            let is_dropped =
                matches!(outliers, Outliers::Drop(_)) && preprocessing.excess(sample).is_some();
            if loops::normalize(sample) > 0.0 && !is_padding && !is_dropped {
                return Ok(Some(&self.sample));
            }
        }
        Ok(None)
    }
}

/// A key that is equal for equal directions, to a few digits less than the scalar's; of either sign
/// if codes are signed.
fn direction_bits<T: Scalar>(unit: &[T], sign: Sign) -> Vec<u64> {
    let larger = |a: f64, b: f64| if b.abs() > a.abs() { b } else { a };
    let orientation = match sign {
        Sign::Signed => unit.iter().map(|x| x.widen()).fold(0.0, larger).signum(),
        Sign::NonNegative => 1.0,
    };
    let scale = orientation / (64.0 * T::EPSILON);
    unit.iter().map(|x| (x.widen() * scale).round() as i64 as u64).collect()
}
