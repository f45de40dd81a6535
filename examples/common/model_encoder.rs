//! The coder that a model is coded with.

use dbksvd::coder::{BatchOmp, Selection, TopK};
use dbksvd::faer::MatRef;
use dbksvd::{Encoder, Error, Faer, Model, Scalar, SparseCodes};

/// Codes samples by a model's linear coder, or by a pursuit.
pub enum ModelEncoder<T: Scalar> {
    Pursuit(Box<Encoder<Faer<T>, BatchOmp>>),
    /// The one that was learned with the model.
    Linear(Box<Encoder<Faer<T>, TopK<T>>>),
}

impl<T: Scalar> ModelEncoder<T> {
    /// By a pursuit if there is a `selection` for one, or if the model has no linear coder.
    pub fn new(model: &Model<T>, selection: Option<Selection>) -> Result<Self, Error> {
        Ok(match (selection, model.linear_coder()) {
            (None, Some(coder)) => Self::Linear(Box::new(model.encoder(coder.clone())?)),
            (selection, _) => {
                let coder = BatchOmp::new().selection(selection.unwrap_or_default());
                Self::Pursuit(Box::new(model.encoder(coder)?))
            }
        })
    }

    /// The codes of `samples` (d × N).
    pub fn encode(&self, samples: MatRef<'_, T>) -> Result<SparseCodes<T>, Error> {
        match self {
            Self::Pursuit(encoder) => encoder.encode(samples),
            Self::Linear(encoder) => encoder.encode(samples),
        }
    }
}
