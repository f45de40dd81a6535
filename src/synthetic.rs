//! Problems with a known dictionary and known codes, generated from a seed, for docs, tests and
//! benches.
//!
//! [`Planted`] problems have few parameters. (The crate `dbksvd-sae` generates samples of features
//! that are correlated, rare and hierarchical.)

use faer::Mat;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use crate::Scalar;
use crate::backend::Backend;
use crate::codes::SparseCodes;
use crate::cpu::Faer;
use crate::cpu::vector::loops;
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::problem::{ProblemShape, Sign};
use crate::random::{RandomStream, generator};
use crate::scalar::compiled;

/// Samples that are drawn from one stream of random numbers.
const BLOCK: usize = 256;

/// Directions, besides their mean, that [`Kind::Correlated`] atoms share.
const SHARED: usize = 7;

/// The kind of atoms and samples. The default is easy, and methods that work on it may fail on real
/// data: draw conclusions from the other two kinds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Independent Gaussian atoms, which are nearly orthogonal if d is large.
    #[default]
    Planted,
    /// Coherent atoms: g + s + √(3/14) Σ_r w_r q_r, normalised. Here g ~ N(0, I/d) and the weights
    /// w_r ~ N(0, 1) are drawn for each atom; the unit direction s and seven unit directions q_r
    /// are shared by all atoms. An atom's largest |cos| with another atom is about 0.7 in the
    /// median.
    Correlated,
    /// Samples that resemble embeddings, without planted codes: a mean of norm 1 in a random
    /// direction, plus independent Gaussian coordinates. Coordinate r has a variance ∝ 1/(r + 1),
    /// and the variances sum to 1. The atoms are further samples of the same distribution,
    /// normalised, and the codes are empty.
    Anisotropic,
}

/// The parameters of a problem; [`generate`](Self::generate) makes it.
///
/// | parameter | default | meaning | range |
/// |---|---|---|---|
/// | `dim`, `atoms`, `sparsity`, `samples` | given | d, m, k, N | 1 ≤ k ≤ min(d, m), N ≥ 1 |
/// | `kind` | [`Kind::Planted`] | how atoms and samples are drawn | |
/// | `sign` | [`Sign::Signed`] | sign of the coefficients | |
/// | `noise` | 0 | norm of the noise over norm of the signal | ≥ 0, finite |
/// | `seed` | 0 | the random numbers | any |
///
/// Each sample is the sum of k distinct atoms, which are chosen uniformly. Their coefficients are
/// ±(0.5 + |g|) with g ~ N(0, 1); both signs are equally likely (or all are +, by `sign`). The
/// noise adds to every coordinate a Gaussian of standard deviation `noise` · s / √d, where s is the
/// root mean square, over all samples, of the norm of the signal. So Σ‖noise‖² / Σ‖signal‖² has the
/// expectation `noise`².
///
/// ```
/// use dbksvd::synthetic::Planted;
///
/// let data = Planted::new(16, 32, 3, 100).noise(0.05).seed(7).generate::<f32>()?;
/// assert_eq!(data.samples.shape(), (16, 100));
/// assert_eq!(data.codes.support(0).len(), 3);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[must_use]
pub struct Planted {
    shape: ProblemShape,
    samples: usize,
    noise: f64,
    seed: u64,
    kind: Kind,
}

/// A generated problem.
#[derive(Clone, Debug, PartialEq)]
pub struct PlantedData<T: Scalar> {
    /// The true dictionary D (d × m).
    pub dictionary: Dictionary<T>,
    /// The true codes X (m × N): exactly k nonzeros per sample, or none for [`Kind::Anisotropic`].
    pub codes: SparseCodes<T>,
    /// The samples Y (d × N): D X plus noise.
    pub samples: Mat<T>,
}

impl Planted {
    /// A problem of `samples` samples of dimension `dim`, each made of `sparsity` out of `atoms`
    /// atoms.
    pub fn new(dim: usize, atoms: usize, sparsity: usize, samples: usize) -> Self {
        let shape = ProblemShape { dim, atoms, sparsity, sign: Sign::default() };
        Self { shape, samples, noise: 0.0, seed: 0, kind: Kind::default() }
    }

    /// How atoms and samples are drawn.
    pub fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The sign of the coefficients.
    pub fn sign(self, sign: Sign) -> Self {
        Self { shape: ProblemShape { sign, ..self.shape }, ..self }
    }

    /// The norm of the noise relative to that of the signal.
    pub fn noise(self, noise: f64) -> Self {
        Self { noise, ..self }
    }

    /// The seed. The same seed gives the same bits on any number of threads.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Draws the problem: O((N k + m) d), in parallel over samples.
    ///
    /// # Errors
    /// [`Error::Argument`] for a parameter outside the range in the [table](Self),
    /// [`Error::Backend`] if the memory for samples or atoms cannot be allocated.
    pub fn generate<T: Scalar>(&self) -> Result<PlantedData<T>, Error> {
        generate(self)
    }

    fn check(&self) -> Result<(), Error> {
        self.shape.check()?;
        if self.samples == 0 {
            return Err(Error::argument("samples", self.samples, "at least 1"));
        }
        if !(self.noise >= 0.0 && self.noise.is_finite()) {
            return Err(Error::argument("noise", self.noise, "finite and at least 0"));
        }
        Ok(())
    }

    /// Writes the samples without noise, and their codes. Returns the sum of the squares of these
    /// samples.
    fn add_signal<T: Scalar>(
        &self,
        law: &Law,
        dictionary: &Dictionary<T>,
        codes: &mut SparseCodes<T>,
        samples: &mut Mat<T>,
        seed: u64,
    ) -> f64 {
        let energies: Vec<f64> = codes
            .par_blocks_mut(BLOCK)
            .zip(samples.par_col_chunks_mut(BLOCK))
            .enumerate()
            .map(|(block, (mut codes, mut samples))| {
                let mut random = stream(seed, block);
                let mut energy = 0.0;
                for (i, sample) in samples.as_mut().col_iter_mut().enumerate() {
                    let sample = sample.try_as_col_major_mut().expect("contiguous").as_slice_mut();
                    match self.kind {
                        Kind::Anisotropic => law.fill(sample, &mut random),
                        Kind::Planted | Kind::Correlated => {
                            codes.write(i, |support, values| {
                                self.draw_code(support, values, &mut random)
                            });
                            let (support, values) = codes.code(i);
                            for (&atom, &value) in support.iter().zip(values) {
                                loops::axpy(sample, value, dictionary.atom(atom as usize));
                            }
                        }
                    }
                    energy += loops::energy(sample);
                }
                energy
            })
            .collect();
        energies.into_iter().sum()
    }

    /// Draws k distinct atoms with coefficients ±(0.5 + |g|).
    fn draw_code<T: Scalar>(
        &self,
        support: &mut [u32],
        values: &mut [T],
        random: &mut ChaCha8Rng,
    ) -> usize {
        let chosen = rand::seq::index::sample(random, self.shape.atoms, self.shape.sparsity);
        for ((slot, value), atom) in support.iter_mut().zip(values).zip(chosen) {
            let size = 0.5 + gaussian(random).abs();
            let negative = self.shape.sign == Sign::Signed && random.random();
            *slot = atom as u32;
            *value = T::narrow(if negative { -size } else { size });
        }
        self.shape.sparsity
    }
}

/// The distribution of the vectors that a [`Kind`] draws: m₀ + g ⊙ σ + Σ_r w_r q_r.
struct Law {
    mean: Vec<f64>,
    deviations: Vec<f64>,
    shared: Vec<Vec<f64>>,
}

impl Law {
    fn draw(kind: Kind, dim: usize, random: &mut ChaCha8Rng) -> Self {
        let even = vec![(dim as f64).recip().sqrt(); dim];
        match kind {
            Kind::Planted => Self { mean: vec![0.0; dim], deviations: even, shared: Vec::new() },
            Kind::Correlated => {
                let mean = direction(dim, 1.0, random);
                // The energies are 1 (own part), 1 (mean) and 3/2 (shared directions), which gives
                // a median coherence of about 0.7.
                let length = (1.5 / SHARED as f64).sqrt();
                let shared = (0..SHARED).map(|_| direction(dim, length, random)).collect();
                Self { mean, deviations: even, shared }
            }
            Kind::Anisotropic => {
                let harmonic: f64 = (1..=dim).map(|r| (r as f64).recip()).sum();
                let deviations = (1..=dim).map(|r| (r as f64 * harmonic).recip().sqrt()).collect();
                Self { mean: direction(dim, 1.0, random), deviations, shared: Vec::new() }
            }
        }
    }

    fn fill<T: Scalar>(&self, vector: &mut [T], random: &mut ChaCha8Rng) {
        let weights: Vec<f64> = self.shared.iter().map(|_| gaussian(random)).collect();
        for (r, value) in vector.iter_mut().enumerate() {
            let common: f64 = weights.iter().zip(&self.shared).map(|(w, q)| w * q[r]).sum();
            *value = T::narrow(self.mean[r] + common + self.deviations[r] * gaussian(random));
        }
    }
}

fn add_noise<T: Scalar>(samples: &mut Mat<T>, deviation: f64, seed: u64) {
    samples.par_col_chunks_mut(BLOCK).enumerate().for_each(|(block, mut samples)| {
        let mut random = stream(seed, block);
        for sample in samples.as_mut().col_iter_mut() {
            for value in sample.iter_mut() {
                *value = T::narrow(value.widen() + deviation * gaussian(&mut random));
            }
        }
    });
}

/// The random numbers of one block of samples.
fn stream(seed: u64, block: usize) -> ChaCha8Rng {
    let mut random = generator(seed, RandomStream::Synthetic);
    random.set_stream(block as u64);
    random
}

/// A vector of the given length in a uniformly random direction.
fn direction(dim: usize, length: f64, random: &mut ChaCha8Rng) -> Vec<f64> {
    let mut direction: Vec<f64> = (0..dim).map(|_| gaussian(random)).collect();
    loops::normalize(&mut direction);
    direction.iter_mut().for_each(|x| *x *= length);
    direction
}

fn gaussian(random: &mut ChaCha8Rng) -> f64 {
    random.sample(StandardNormal)
}

compiled! {
    /// [`Planted::generate`].
    fn generate<T>(planted: &Planted) -> Result<PlantedData<T>, Error> {
        planted.check()?;
        let ProblemShape { dim, atoms, sparsity, .. } = planted.shape;
        let mut random = generator(planted.seed, RandomStream::Synthetic);
        let law = Law::draw(planted.kind, dim, &mut random);
        let mut dictionary = Faer::<T>::default().zeros(dim, atoms)?;
        let mut samples = Faer::<T>::default().zeros(dim, planted.samples)?;
        for j in 0..atoms {
            law.fill(dictionary.col_as_slice_mut(j), &mut random);
        }
        let dictionary = Dictionary::normalized(dictionary)?;
        let mut codes = SparseCodes::new(atoms, planted.samples, sparsity);

        let (seed_of_signal, seed_of_noise) = (random.random(), random.random());
        let energy =
            planted.add_signal(&law, &dictionary, &mut codes, &mut samples, seed_of_signal);
        let deviation = planted.noise * (energy / planted.samples as f64 / dim as f64).sqrt();
        if deviation > 0.0 {
            add_noise(&mut samples, deviation, seed_of_noise);
        }
        Ok(PlantedData { dictionary, codes, samples })
    }
}
