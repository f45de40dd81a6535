//! What must be the same for a run to go on: its configuration and its data.

use crate::Scalar;
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::learn::config::{Config, Settings};
use crate::parameters::Parameters;
use crate::source::SampleSource;
use crate::updater::DictionaryUpdater;

/// Samples of the data that are part of its identity.
const PROBES: usize = 16;

/// Names and values, in words: the configuration, then the data.
pub(in crate::learn) fn of<B, C, U>(
    config: &Config<B, C, U>,
    source: &dyn SampleSource<B::Scalar>,
    held_out: Option<&dyn SampleSource<B::Scalar>>,
) -> Result<Parameters, Error>
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    let settings = &config.settings;
    let own = of_learner(config)
        .with("epochs", settings.epochs)
        .with("minibatch", settings.minibatch_of(source.len()))
        .with("max_steps", settings.max_steps)
        .with("evaluate_every", settings.evaluate_every)
        .with("held_out", config.held_out.as_ref())
        .with("data", described(source)?);
    Ok(match (&config.held_out, held_out) {
        // What is measured decides which dictionary is the best, and when a run ends.
        (None, Some(held_out)) => own.with("held_out_data", described(held_out)?),
        _ => own,
    })
}

/// What is known of the data without reading them all.
pub(in crate::learn) fn described<T: Scalar>(
    source: &dyn SampleSource<T>,
) -> Result<Parameters, Error> {
    let selection = source.selection();
    Ok(Parameters::of("source")
        .with("dim", source.dim())
        .with("samples", source.len())
        .with("selection", if selection.is_empty() { "all" } else { &selection })
        .with("run_length", source.run_length())
        .with("element_type", source.element_type())
        .with("fingerprint", fingerprint(source)?))
}

/// What has to be the same for a session to go on.
pub(in crate::learn) fn of_session<B, C, U>(
    config: &Config<B, C, U>,
    dim: usize,
    planned_steps: u64,
) -> Parameters
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    of_learner(config).with("dim", dim).with("planned_steps", planned_steps)
}

/// What every step of a learner depends on.
fn of_learner<B, C, U>(config: &Config<B, C, U>) -> Parameters
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    listed(B::Scalar::NAME, &config.settings)
        .with("coder", config.coder.parameters())
        .with("updater", config.updater.parameters())
}

/// What is of no type of backend, coder or updater.
fn listed(scalar: &str, settings: &Settings) -> Parameters {
    let statistics = &settings.statistics;
    let listed = Parameters::of("DbKsvd")
        .with("scalar", scalar)
        .with("atoms", settings.atoms)
        .with("sparsity", settings.sparsity)
        .with("sign", settings.sign)
        .with("seed", settings.seed)
        .with("growth", settings.growth)
        .with("start_at", settings.start_at)
        .with("center", statistics.center)
        .with("scale", statistics.scale)
        .with("outliers", statistics.outliers);
    // Runs that set none go on from checkpoints of a time when nobody could.
    match settings.shards {
        None => listed,
        Some(shards) => listed.with("shards", shards),
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
