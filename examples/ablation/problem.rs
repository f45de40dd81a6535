//! What is learned, and by what it is judged.

use std::str::FromStr;

use dbksvd::coder::BatchOmp;
use dbksvd::faer::Mat;
use dbksvd::metrics::{RECOVERED, Recovery, reconstruction};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::{Dictionary, Model};

use crate::embeddings::{HELD_OUT, embeddings};
use crate::program::Outcome;

/// A kind of problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Real embeddings.
    Embeddings,
    /// Independent atoms.
    Planted,
    /// Atoms that share directions.
    Coherent,
}

impl FromStr for Problem {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "embeddings" => Ok(Self::Embeddings),
            "planted" => Ok(Self::Planted),
            "coherent" => Ok(Self::Coherent),
            _ => Err(()),
        }
    }
}

/// The samples of one seed, and what tells how well they were learned from.
pub struct Data {
    pub samples: Mat<f32>,
    truth: Truth,
}

enum Truth {
    HeldOut(Mat<f32>),
    Dictionary(Dictionary<f32>),
}

impl Problem {
    pub fn title(self) -> &'static str {
        match self {
            Self::Embeddings => "MiniLM embeddings, m 512, k 16: held-out FVU",
            Self::Planted => "Planted atoms, d 96, m 256, k 6: atoms recovered, per cent",
            Self::Coherent => "Coherent planted atoms, d 96, m 256, k 6: atoms recovered, per cent",
        }
    }

    /// Atoms and nonzeros.
    pub fn size(self) -> (usize, usize) {
        match self {
            Self::Embeddings => (512, 16),
            Self::Planted | Self::Coherent => (256, 6),
        }
    }

    /// Decimals of the measure that mean something.
    pub fn digits(self) -> usize {
        match self {
            Self::Embeddings => 4,
            Self::Planted | Self::Coherent => 1,
        }
    }

    pub fn data(self, seed: u64) -> Outcome<Data> {
        let kind = match self {
            Self::Embeddings => {
                let all = embeddings()?;
                let (learned, held_out) = all.as_ref().split_at_col(all.ncols() - HELD_OUT);
                let truth = Truth::HeldOut(held_out.to_owned());
                return Ok(Data { samples: learned.to_owned(), truth });
            }
            Self::Planted => Kind::Planted,
            Self::Coherent => Kind::Correlated,
        };
        let (atoms, sparsity) = self.size();
        let planted = Planted::new(96, atoms, sparsity, 4096).kind(kind).noise(0.05);
        let data = planted.seed(seed).generate::<f32>()?;
        Ok(Data { samples: data.samples, truth: Truth::Dictionary(data.dictionary) })
    }
}

impl Data {
    /// The held-out error, or the share of atoms recovered in per cent.
    pub fn judge(&self, model: &Model<f32>) -> Outcome<f64> {
        match &self.truth {
            Truth::HeldOut(samples) => {
                let codes = model.encode(&BatchOmp::new(), samples.as_ref())?;
                Ok(reconstruction(model, samples.as_ref(), &codes)?.fvu())
            }
            Truth::Dictionary(planted) => {
                let recovery = Recovery::new(model.dictionary(), planted)?;
                Ok(100.0 * recovery.recovered(RECOVERED))
            }
        }
    }
}
