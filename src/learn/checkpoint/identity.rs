//! What must be the same for a run to go on: its configuration and its data.

use std::path::Path;

use crate::Scalar;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::{CheckpointError, Error};
use crate::fingerprint::Fingerprint;
use crate::learn::builder::Builder;
use crate::source::SampleSource;
use crate::updater::DictionaryUpdater;

/// Samples of the data that are part of its identity.
const PROBES: usize = 16;

/// Names and values, in words: the configuration, then the data.
pub(super) struct Identity {
    texts: Vec<(&'static str, String)>,
}

impl Identity {
    pub(super) fn of<B, C, U>(
        config: &Builder<B, C, U>,
        source: &dyn SampleSource<B::Scalar>,
    ) -> Result<Self, Error>
    where
        B: Backend,
        C: SparseCoder<B>,
        U: DictionaryUpdater<B>,
    {
        let settings = &config.settings;
        let statistics = &settings.statistics;
        let texts = vec![
            ("scalar", B::Scalar::NAME.to_owned()),
            ("atoms", settings.atoms.to_string()),
            ("sparsity", settings.sparsity.to_string()),
            ("sign", format!("{:?}", settings.sign)),
            ("epochs", settings.epochs.to_string()),
            ("minibatch", settings.minibatch_of(source.len()).to_string()),
            ("seed", settings.seed.to_string()),
            ("growth", format!("{:?}", settings.growth)),
            ("start_at", settings.start_at.to_string()),
            ("max_steps", format!("{:?}", settings.max_steps)),
            ("evaluate_every", format!("{:?}", settings.evaluate_every)),
            ("held_out", format!("{:?}", config.held_out)),
            ("center", statistics.center.to_string()),
            ("scale", statistics.scale.to_string()),
            ("outliers", format!("{:?}", statistics.outliers)),
            ("coder", config.coder.description()),
            ("updater", config.updater.description()),
            ("data.dim", source.dim().to_string()),
            ("data.samples", source.len().to_string()),
            ("data.run_length", source.run_length().to_string()),
            ("data.element_type", source.element_type().to_owned()),
            ("data.fingerprint", fingerprint(source)?),
        ];
        Ok(Self { texts })
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.texts.iter().map(|(name, text)| (*name, text.as_str()))
    }

    /// Refuses a checkpoint that says otherwise.
    pub(super) fn check(
        &self,
        path: &Path,
        found: impl Fn(&str) -> Option<String>,
    ) -> Result<(), CheckpointError> {
        for (name, expected) in self.iter() {
            let found = found(name).unwrap_or_else(|| "not stated".to_owned());
            if found != expected {
                return Err(CheckpointError::Mismatch {
                    path: path.to_owned(),
                    what: name.to_owned(),
                    found,
                    expected: expected.to_owned(),
                });
            }
        }
        Ok(())
    }
}

/// A hash of the bits of a few samples spread over the data: other data of the same shape are told
/// apart without being read.
fn fingerprint<T: Scalar>(source: &dyn SampleSource<T>) -> Result<String, Error> {
    let (dim, samples) = (source.dim(), source.len());
    let mut sample = vec![T::default(); dim];
    let mut hash = Fingerprint::new();
    for probe in 0..PROBES.min(samples) {
        let i = (probe as u128 * samples as u128 / PROBES.min(samples) as u128) as usize;
        source.read(i..i + 1, &mut sample)?;
        sample.iter().for_each(|x| hash.add(&x.widen().to_bits().to_le_bytes()));
    }
    Ok(hash.to_string())
}
