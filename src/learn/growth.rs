//! Growth: a dictionary that begins small, and doubles.
//!
//! ```text
//! stages s = 0 … G, with m_s = ⌈m / 2^(G − s)⌉ atoms; those before the last share the run up to
//!     `until`
//! at the start of each stage: new atoms ← residuals of random samples of the minibatch, of norm 1
//! ```
//! Few atoms find what is general, and what they find stays first: a coder that is told of the
//! [phase](crate::coder::Phase) can let later atoms explain only what earlier ones leave.

use faer::Mat;
use rand::seq::index;

use super::config::Config;
use super::trainer::Trainer;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::cpu::vector::outlined;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::group::Share;
use crate::learn::initialisation::fill_with_gaussians;
use crate::matrix::zeros;
use crate::parameters::Parameters;
use crate::random::{RandomStream, generator};
use crate::updater::DictionaryUpdater;

/// In which steps a dictionary grows to its full size.
///
/// ```
/// use dbksvd::DbKsvd;
/// use dbksvd::learn::Growth;
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 2000).generate::<f32>()?;
/// // 8, 16 and, from half of the run on, 32 atoms.
/// let growth = Growth { doublings: 2, until: 0.5 };
/// let learner = DbKsvd::builder(32, 3).epochs(8).growth(Some(growth)).build()?;
/// let (model, _) = learner.fit(&data.samples)?;
/// assert_eq!(model.atoms(), 32);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// How often the number of atoms doubles; at least 1, and 2^`doublings` at most m.
    pub doublings: u32,
    /// The share of the run in which it does, in equal stages; above 0 and below 1. In a run of so
    /// few steps that none comes later, the last one has all atoms.
    pub until: f64,
}

impl From<Growth> for Parameters {
    fn from(growth: Growth) -> Self {
        let Growth { doublings, until } = growth;
        Self::of("doubling").with("doublings", doublings).with("until", until)
    }
}

impl Default for Growth {
    /// From m/64 atoms, in 0.7 of the run.
    fn default() -> Self {
        Self { doublings: 6, until: 0.7 }
    }
}

/// Where in its growth a dictionary is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) number: usize,
    /// The share of it that lies behind.
    pub(super) share: f64,
}

impl Growth {
    pub(super) fn check(&self, atoms: usize) -> Result<(), Error> {
        let Self { doublings, until } = *self;
        if doublings == 0 || atoms.checked_shr(doublings).unwrap_or(0) == 0 {
            let expected = format!("at least 1, and 2 to its power at most {atoms} atoms");
            return Err(Error::argument("growth.doublings", doublings, expected));
        }
        if !(until > 0.0 && until < 1.0) {
            return Err(Error::argument("growth.until", until, "above 0 and below 1"));
        }
        Ok(())
    }

    /// The numbers of atoms, stage by stage, the last m.
    pub(super) fn sizes(&self, atoms: usize) -> Vec<usize> {
        (0..=self.doublings).rev().map(|halvings| atoms.div_ceil(1 << halvings)).collect()
    }

    pub(super) fn stage_at(&self, progress: f64) -> Stage {
        let growing = f64::from(self.doublings);
        if progress >= self.until {
            let share = (progress - self.until) / (1.0 - self.until);
            return Stage { number: self.doublings as usize, share };
        }
        let position = growing * progress / self.until;
        Stage { number: position as usize, share: position.fract() }
    }
}

impl<B, C, U> Trainer<B, C, U>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    /// Gives the dictionary `atoms` atoms, the new ones from what the present ones leave of the
    /// samples `y`. Coder and updater begin anew.
    pub(super) fn grow(
        &mut self,
        config: &Config<B, C, U>,
        y: &B::Matrix,
        atoms: usize,
        share: &Share<'_>,
    ) -> Result<(), Error> {
        let (backend, settings) = (&config.backend, &config.settings);
        self.refresh_coder(config, share.group())?;
        self.encode(config, y)?;
        let mut residual = backend.zeros(self.shape().dim, 0)?;
        if backend.columns(y) > 0 {
            backend.residual(&mut residual, y, &self.dictionary, &self.codes);
        }
        backend.synchronize()?;
        let left = Residuals { backend, residual: &residual, dim: self.shape().dim, share };
        let samples = left.samples_of_all()?;
        let old: Mat<B::Scalar> = backend.download(&self.dictionary)?;

        let mut grown = zeros::<B::Scalar>(self.shape().dim, atoms)?;
        grown.as_mut().subcols_mut(0, old.ncols()).copy_from(&old);
        let missing = (atoms - old.ncols()).min(samples.iter().sum());
        let drawn = draw(settings.seed, self.steps, samples.iter().sum(), missing);
        let mut filled = old.ncols();
        for left in left.columns(&samples, &drawn)? {
            let atom = grown.col_as_slice_mut(filled);
            atom.copy_from_slice(&left);
            // What is explained to rounding has no direction of its own.
            let norm = outlined::normalize(atom);
            filled += usize::from(norm > 0.0 && norm.is_finite());
        }
        grown.as_mut().subcols_mut(filled, atoms - filled).fill(B::Scalar::default());
        let mut random = generator(settings.seed, RandomStream::GrowthFill(self.steps));
        fill_with_gaussians(&mut grown, filled, &mut random);
        self.replace(config, &Dictionary::trusted(grown))
    }
}

/// What is left of the samples of a minibatch that owners hold.
struct Residuals<'a, B: Backend> {
    backend: &'a B,
    residual: &'a B::Matrix,
    dim: usize,
    share: &'a Share<'a>,
}

impl<B: Backend> Residuals<'_, B> {
    /// How many samples each owner has.
    fn samples_of_all(&self) -> Result<Vec<usize>, Error> {
        let all = self.share.gather(&[self.backend.columns(self.residual) as u64])?;
        let one = |told: &Vec<u64>| {
            self.share.expect(told.len(), 1, "numbers of samples")?;
            Ok(told[0] as usize)
        };
        all.iter().map(one).collect()
    }

    /// The residuals of these samples of the minibatch, of which each owner has so many.
    fn columns(&self, samples: &[usize], drawn: &[usize]) -> Result<Vec<Vec<B::Scalar>>, Error> {
        let ends = samples.iter().scan(0, |end, &samples| {
            *end += samples;
            Some(*end)
        });
        let ends: Vec<usize> = ends.collect();
        let place = |&i: &usize| {
            let owner = ends.partition_point(|&end| end <= i);
            (owner, i + samples[owner] - ends[owner])
        };
        let wanted: Vec<(usize, usize)> = drawn.iter().map(place).collect();
        Ok(self.share.columns(self.backend, self.residual, self.dim, &wanted)?)
    }
}

/// Which `count` of so many residuals become atoms.
fn draw(seed: u64, step: u64, residuals: usize, count: usize) -> Vec<usize> {
    let mut random = generator(seed, RandomStream::Growth(step));
    index::sample(&mut random, residuals, count).into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_double_the_atoms_and_share_the_time() {
        let growth = Growth { doublings: 2, until: 0.5 };
        assert_eq!(growth.sizes(10), [3, 5, 10]);
        let at = |progress| {
            let Stage { number, share } = growth.stage_at(progress);
            (number, share)
        };
        assert_eq!(at(0.0), (0, 0.0));
        assert_eq!(at(0.125), (0, 0.5));
        assert_eq!(at(0.25), (1, 0.0));
        assert_eq!(at(0.5), (2, 0.0));
        assert_eq!(at(0.75), (2, 0.5));
        assert_eq!(at(1.0), (2, 1.0));
    }

    #[test]
    fn what_cannot_be_grown_is_refused() {
        let growth = Growth { doublings: 3, until: 0.5 };
        assert!(growth.check(8).is_ok());
        assert!(growth.check(7).is_err());
        assert!(Growth { doublings: 0, ..growth }.check(8).is_err());
        assert!(Growth { doublings: 99, ..growth }.check(usize::MAX).is_err());
        for until in [0.0, 1.0, f64::NAN] {
            assert!(Growth { until, ..growth }.check(8).is_err());
        }
    }
}
