//! The result of learning: a dictionary, the preprocessing of samples, and the shape of their
//! codes.

use faer::{Mat, MatRef};
use rayon::prelude::*;

use crate::Scalar;
use crate::coder::{SparseCoder, TopK};
use crate::codes::SparseCodes;
use crate::cpu::Faer;
use crate::cpu::vector::{loops, vectorized};
use crate::dictionary::Dictionary;
use crate::encoder::Encoder;
use crate::error::Error;
use crate::matrix::{column, column_mut};
use crate::problem::{ProblemShape, Sign};
use crate::samples::preprocessing::Preprocessing;
use crate::source::AsSamples;

/// A learned dictionary, together with the preprocessing and the constraints that coding with it
/// needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Model<T: Scalar> {
    dictionary: Dictionary<T>,
    preprocessing: Preprocessing<T>,
    sparsity: usize,
    sign: Sign,
    linear_coder: Option<TopK<T>>,
}

impl<T: Scalar> Model<T> {
    /// A model of the given dictionary that codes `sample − mean` with at most `sparsity` nonzeros.
    ///
    /// # Errors
    /// [`Error::Argument`] for a sparsity outside 1..=min(d, m), [`Error::Dimension`] for a mean
    /// that is not of dimension d, [`Error::Argument`] for a mean that is not finite.
    pub fn new(
        dictionary: Dictionary<T>,
        mean: Option<Vec<T>>,
        sparsity: usize,
        sign: Sign,
    ) -> Result<Self, Error> {
        let preprocessing = Preprocessing::none().with_mean(mean)?;
        let linear_coder = None;
        Self { dictionary, preprocessing: Preprocessing::none(), sparsity, sign, linear_coder }
            .preprocessed(preprocessing)
    }

    /// The same dictionary with this preprocessing of samples: the codes are those of
    /// `(sample − mean) / scale`, and [`decode`](Self::decode) undoes the preprocessing.
    ///
    /// # Errors
    /// [`Error::Dimension`] for a mean that is not of dimension d.
    pub fn preprocessed(mut self, preprocessing: Preprocessing<T>) -> Result<Self, Error> {
        self.shape().check()?;
        preprocessing.check(self.dim())?;
        self.preprocessing = preprocessing;
        Ok(self)
    }

    /// The same dictionary with the linear coder that was learned for it, or without one. Coders
    /// are chosen by whoever codes; a model carries this one because it cannot be had from the
    /// dictionary.
    ///
    /// # Errors
    /// [`Error::Argument`] for an encoder of another shape, or a threshold that is not finite and
    /// at least 0.
    pub fn with_linear_coder(mut self, coder: Option<TopK<T>>) -> Result<Self, Error> {
        if let Some(coder) = &coder {
            SparseCoder::<Faer<T>>::check(coder, &self.shape())?;
        }
        self.linear_coder = coder;
        Ok(self)
    }

    /// The linear coder that was learned with the dictionary, if one was: it finds the features of
    /// a sample by one product (see [`LinearFeatures`](crate::learn::LinearFeatures)). Its encoder
    /// and threshold are for preprocessed samples.
    #[must_use]
    pub fn linear_coder(&self) -> Option<&TopK<T>> {
        self.linear_coder.as_ref()
    }

    /// The dictionary D.
    #[must_use]
    pub fn dictionary(&self) -> &Dictionary<T> {
        &self.dictionary
    }

    /// The mean that is subtracted before coding and added after decoding; `None` if samples are
    /// not centred.
    #[must_use]
    pub fn mean(&self) -> Option<&[T]> {
        self.preprocessing.mean()
    }

    /// What is done to samples before coding; decoding undoes it.
    #[must_use]
    pub fn preprocessing(&self) -> &Preprocessing<T> {
        &self.preprocessing
    }

    /// The dimension d of samples.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dictionary.dim()
    }

    /// The number of atoms m.
    #[must_use]
    pub fn atoms(&self) -> usize {
        self.dictionary.atoms()
    }

    /// The budget k: the most nonzeros of a sample.
    #[must_use]
    pub fn sparsity(&self) -> usize {
        self.sparsity
    }

    /// Whether coefficients may be negative.
    #[must_use]
    pub fn sign(&self) -> Sign {
        self.sign
    }

    /// Dimensions and constraints, in the form that coders take.
    #[must_use]
    pub fn shape(&self) -> ProblemShape {
        ProblemShape {
            dim: self.dim(),
            atoms: self.atoms(),
            sparsity: self.sparsity,
            sign: self.sign,
        }
    }

    /// The same dictionary with another budget k.
    ///
    /// # Errors
    /// [`Error::Argument`] for a sparsity outside 1..=min(d, m).
    pub fn with_sparsity(self, sparsity: usize) -> Result<Self, Error> {
        let model = Self { sparsity, ..self };
        model.shape().check()?;
        Ok(model)
    }

    /// Makes an [`Encoder`] of this model, with its own copy of the dictionary and scratch memory.
    /// Use it to encode more than once: it keeps whatever the coder derives from the dictionary,
    /// and any number of threads can share it.
    ///
    /// # Errors
    /// As [`Encoder::new`].
    pub fn encoder<C>(&self, coder: C) -> Result<Encoder<Faer<T>, C>, Error>
    where
        C: SparseCoder<Faer<T>>,
    {
        Encoder::new(Faer::default(), coder, self)
    }

    /// The codes of `samples` (d × N, one sample per column), computed by any coder.
    ///
    /// # Errors
    /// Those of [`encoder`](Self::encoder) and [`Encoder::encode`].
    pub fn encode<C>(&self, coder: &C, samples: impl AsSamples<T>) -> Result<SparseCodes<T>, Error>
    where
        C: SparseCoder<Faer<T>> + Clone,
    {
        self.encoder(coder.clone())?.encode(samples)
    }

    /// The samples (d × N) that `codes` stand for: D X, times the scale, plus the mean. O(N·k·d),
    /// in parallel.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the codes are for another number of atoms.
    pub fn decode(&self, codes: &SparseCodes<T>) -> Result<Mat<T>, Error> {
        if codes.atoms() != self.atoms() {
            return Err(Error::Dimension {
                argument: "codes",
                found: codes.atoms(),
                expected: self.atoms(),
            });
        }
        let mut samples = Mat::zeros(self.dim(), codes.samples());
        samples.as_mut().par_col_chunks_mut(1).enumerate().for_each(|(i, sample)| {
            let sample = column_mut(sample, 0);
            add_atoms(sample, self.dictionary.as_mat(), codes.support(i), codes.values(i));
            self.preprocessing.undo(sample);
        });
        Ok(samples)
    }
}

vectorized! {
    /// y ← y + Σ x_j d_j over the atoms j of one sample's code.
    fn add_atoms<'a, T>(
        y: &'a mut [T],
        dictionary: MatRef<'a, T>,
        support: &'a [u32],
        values: &'a [T],
    ) {
        for (&atom, &value) in support.iter().zip(values) {
            loops::axpy(y, value, column(dictionary, atom as usize));
        }
    }
}
