//! Linear features: an encoder that reads a dictionary's features with one product, learned
//! together with the last refinement of the dictionary.
//!
//! A pursuit explains a sample as cheaply as it can. If an atom for "snake" contains what "begins
//! with s" contributes, the atom for "begins with s" gets no coefficient in that sample, although
//! the sample has this feature: it is absorbed. A linear encoder decides on every atom by itself,
//! and an atom that fires beside others is fitted to what the others leave, so parts that are
//! shared move to the atoms that stand for them.
//!
//! ```text
//! for each minibatch Y of B samples, in units of their mean norm:
//!     H ← E Y + c
//!     θ ← the value between the n-th and the next of all entries of H, for n = B · mean nonzeros
//!     Z ← H where it is above θ, else 0
//!     P ← prefixes of the atoms: of m/16, …, m/2 and m atoms in the first part of the run,
//!         later m alone
//!     R_p ← Y − D_p Z_p for each of them, and for each atom j the mean over all P of the R_p
//!         whose prefix holds j:  R^j = Σ_p R_p / |P|
//!     e_j ← e_j + Adam(Σ y_i d_jᵀ r_i^j / B)         over the samples i that use j
//!     c_j ← c_j + Adam(Σ d_jᵀ r_i^j / B)
//!     d_j ← d_j + Adam((I − d_j d_jᵀ) Σ z_ij r_i^j / B), scaled to norm 1
//!     atoms that no sample has used for a while ← the samples of the largest relative error
//! ```
//! This is a BatchTopK autoencoder with the prefixes of Matryoshka autoencoders, begun at a learned
//! dictionary with E = Dᵀ. Activations that are not used have no gradient, so a step costs one
//! product with E and sums over the nonzeros, where tools for dense gradients compute four
//! products.
//!
//! B. Bussmann, P. Leask, N. Nanda, "BatchTopK sparse autoencoders", arXiv:2412.06410, 2024.
//! B. Bussmann, N. Nabeshima, A. Karvonen, N. Nanda, "Learning multi-level features with Matryoshka
//! sparse autoencoders", arXiv:2503.17547, 2025. D. Kingma, J. Ba, "Adam: a method for stochastic
//! optimization", arXiv:1412.6980, 2014. Absorption: D. Chanin et al., arXiv:2409.14507, 2024.

mod minibatch;
mod weights;

use std::ops::ControlFlow;
use std::thread;
use std::time::Instant;

use super::loader::{Buffers, Loaded, Loader};
use super::observer::{Observer, PanicCatching, Progress, Renewed, Snapshot};
use super::reader::{Schedule, read_ahead};
use super::report::{EpochReport, Report, Seconds};
use super::run_state::{Position, Tally};
use super::session::Outcome;
use super::{StopReason, StopToken};
use crate::coder::{LinearEncoder, TopK};
use crate::cpu::{Faer, HostBackend};
use crate::dictionary::Dictionary;
use crate::error::Error;
use crate::model::Model;
use crate::problem::Sign;
use crate::samples::HostSamples;
use crate::source::{SampleSource, check_rounding};
use crate::updater::UpdateReport;
use crate::{Outliers, Scalar};
use minibatch::Minibatch;
use weights::Weights;

/// The share of the run in which the step length falls to zero.
const DECAY: f64 = 0.2;

/// Steps in which the step length rises to its value, so that Adam's averages mean something.
const WARM_UP: f64 = 100.0;

/// The model's θ is the mean over the minibatches of the last part of the run, from this share on,
/// in which atoms hardly move. Until then, it is a mean over about so many minibatches.
const SETTLED: f64 = 0.95;
const RECENT: f64 = 50.0;

/// Codes have room for this many times the mean number of nonzeros.
const ROOM: f64 = 4.0;

/// Learns a linear encoder for a model's dictionary, and refines the dictionary with it.
///
/// The atoms of the result are *linearly detectable*: whether a sample has a feature is one product
/// and one comparison, as in a sparse autoencoder, so the model can be exported as one. Compared
/// with pursuits on the dictionary it begins with, features are absorbed far less, at an error that
/// is a little above that of a pursuit. `docs/study/language-model` in the repository has
/// measurements.
///
/// | parameter | default | range | purpose |
/// |---|---|---|---|
/// | `mean_nonzeros` | given | > 0, at most m/2 and d | mean number of nonzeros of a sample |
/// | [`epochs`](Self::epochs) | 10 | ≥ 1 | passes over the samples |
/// | [`minibatch`](Self::minibatch) | 2,048 | ≥ 1 | samples a step |
/// | [`rate`](Self::rate) | 10⁻³ | > 0 | Adam's step length, for samples of mean norm 1 |
/// | [`nested`](Self::nested) | 0.4 | 0 to 1 | share of the run in which prefixes of the atoms are fitted, too |
/// | [`idle`](Self::idle) | 50,000 | ≥ 1 | samples after which an unused atom is replaced |
/// | [`seed`](Self::seed) | 0 | | order of the samples |
///
/// Complexity of a step of B samples: O(B d m) for one product, O(B d k) for the sums over the
/// nonzeros, O(d m) for the step itself. Memory: six times the dictionary, and about (10 d + m) B
/// scalars for a minibatch.
///
/// ```
/// use dbksvd::learn::LinearFeatures;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{DbKsvd, Sign};
///
/// let planted = Planted::new(16, 32, 3, 2_000).sign(Sign::NonNegative).noise(0.05);
/// let data = planted.generate::<f32>()?.samples;
/// let (model, _) = DbKsvd::true_features(32, 8).epochs(5).build()?.fit(&data)?;
/// let (model, report) = LinearFeatures::new(3.0).minibatch(256).epochs(20).fit(&model, &data)?;
/// let coder = model.linear_coder().expect("it was learned").clone();
/// let codes = model.encode(&coder, data.as_ref())?;
/// assert!((codes.nnz() as f64 / 2_000.0 - 3.0).abs() < 0.5);
/// assert!(report.epochs.last().unwrap().fvu < report.epochs[0].fvu);
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LinearFeatures {
    /// The mean number of nonzeros of a sample.
    pub mean_nonzeros: f64,
    /// Passes over the samples.
    pub epochs: usize,
    /// Samples a step.
    pub minibatch: usize,
    /// Adam's step length, for samples of mean norm 1.
    pub rate: f64,
    /// The share of the run in which prefixes of the atoms are fitted, too.
    pub nested: f64,
    /// Samples after which an atom that none of them used is replaced.
    pub idle: usize,
    /// The seed of the order of samples.
    pub seed: u64,
}

impl LinearFeatures {
    /// Features of which a sample has so many on average.
    #[must_use]
    pub fn new(mean_nonzeros: f64) -> Self {
        let (epochs, minibatch, rate, nested) = (10, 2048, 1e-3, 0.4);
        Self { mean_nonzeros, epochs, minibatch, rate, nested, idle: 50_000, seed: 0 }
    }

    /// Passes over the samples. Default: 10.
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        Self { epochs, ..self }
    }

    /// Samples a step. Default: 2,048.
    #[must_use]
    pub fn minibatch(self, samples: usize) -> Self {
        Self { minibatch: samples, ..self }
    }

    /// Adam's step length, for samples of mean norm 1. Default: 10⁻³.
    #[must_use]
    pub fn rate(self, rate: f64) -> Self {
        Self { rate, ..self }
    }

    /// The share of the run in which prefixes of the atoms (m/16, m/8, m/4, m/2 of them) are fitted
    /// besides all atoms together. It keeps general features, which come first in a dictionary that
    /// has [grown](super::Growth), from being divided among special ones. Default: 0.4.
    #[must_use]
    pub fn nested(self, share: f64) -> Self {
        Self { nested: share, ..self }
    }

    /// Samples after which an atom that none of them used is replaced. Default: 50,000.
    #[must_use]
    pub fn idle(self, samples: usize) -> Self {
        Self { idle: samples, ..self }
    }

    /// The seed of the order of samples. Default: 0.
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Learns from the samples of `source`, beginning with `model`.
    ///
    /// Samples are preprocessed as the model says; those beyond its norm limit are scaled down to
    /// it, and where it has a limit, rows of zeros are left out. The result has the model's
    /// preprocessing, a refined dictionary, and a [linear coder](Model::linear_coder). Its
    /// sparsity, which limits the nonzeros of a single sample, is four times the mean, or d or m if
    /// they are smaller. A model that has a linear coder already goes on from its encoder.
    ///
    /// The result is the same on any number of threads.
    ///
    /// # Errors
    /// [`Error::Argument`] for a parameter outside its range, or a model with signed codes;
    /// [`Error::Dimension`] if samples are not of the model's dimension; [`Error::NoSamples`]
    /// without any; [`Error::NothingLearned`] if no sample is left of a minibatch;
    /// [`Error::NotFinite`], [`Error::Source`], [`Error::Backend`], [`Error::Rounding`] as in
    /// [`DbKsvd::fit`](crate::DbKsvd::fit).
    pub fn fit<T: Scalar>(
        &self,
        model: &Model<T>,
        source: &dyn SampleSource<T>,
    ) -> Result<(Model<T>, Report), Error> {
        let mut silent = |_: &Progress| ControlFlow::Continue(());
        self.fit_observed(model, source, &mut silent, &StopToken::new())
    }

    /// [`fit`](Self::fit), while `observer` is told of every step. If it breaks, or `token` is
    /// stopped, learning ends after the current step, and gives what was learned until then.
    ///
    /// # Errors
    /// Those of [`fit`](Self::fit).
    pub fn fit_observed<T: Scalar>(
        &self,
        model: &Model<T>,
        source: &dyn SampleSource<T>,
        observer: &mut dyn Observer<T>,
        token: &StopToken,
    ) -> Result<(Model<T>, Report), Error> {
        if model.sign() != Sign::NonNegative {
            return Err(Error::argument("sign", "signed", "a model with non-negative codes"));
        }
        let dim = model.dim();
        self.check(model.atoms(), dim)?;
        if source.dim() != dim {
            let found = source.dim();
            return Err(Error::Dimension { argument: "samples", found, expected: dim });
        }
        if source.is_empty() {
            return Err(Error::NoSamples { argument: "samples" });
        }
        check_rounding(source)?;
        let Self { epochs, seed, .. } = *self;
        let schedule =
            Schedule { source, minibatch: self.minibatch.min(source.len()), seed, epochs };
        thread::scope(|scope| {
            let mut reader = read_ahead(scope, schedule, Position { epoch: 1, step: 0 }, 1)?;
            let next = |taken: Option<HostSamples<T>>| {
                if let Some(samples) = taken {
                    reader.give_back(samples);
                }
                reader.next()
            };
            Course::new(self, model, schedule)?.run(next, observer, token)
        })
    }

    pub(super) fn check(&self, atoms: usize, dim: usize) -> Result<(), Error> {
        let Self { mean_nonzeros, epochs, minibatch, rate, nested, idle, seed: _ } = *self;
        let most = (atoms as f64 / 2.0).min(dim as f64);
        if !(mean_nonzeros > 0.0 && mean_nonzeros <= most) {
            let expected = format!("above 0, and at most {most} (half the atoms, the dimension)");
            return Err(Error::argument("mean_nonzeros", mean_nonzeros, expected));
        }
        if !(rate > 0.0 && rate.is_finite()) {
            return Err(Error::argument("rate", rate, "positive and finite"));
        }
        if !(0.0..=1.0).contains(&nested) {
            return Err(Error::argument("nested", nested, "0 to 1"));
        }
        for (name, count) in [("epochs", epochs), ("minibatch", minibatch), ("idle", idle)] {
            if count == 0 {
                return Err(Error::argument(name, 0, "at least 1"));
            }
        }
        Ok(())
    }

    /// The most nonzeros of a sample.
    fn room<T: Scalar>(&self, model: &Model<T>) -> usize {
        let room = (ROOM * self.mean_nonzeros).ceil() as usize;
        room.min(model.dim()).min(model.atoms())
    }

    /// Adam's step length after so many steps, when this share of the run is done.
    fn rate_at(&self, steps: u64, done: f64) -> f64 {
        let warm = ((steps + 1) as f64 / WARM_UP).min(1.0);
        self.rate * warm * ((1.0 - done) / DECAY).min(1.0)
    }
}

/// A run of [`LinearFeatures`].
struct Course<'a, T: Scalar> {
    rule: &'a LinearFeatures,
    model: &'a Model<T>,
    schedule: Schedule<'a, T>,
    weights: Weights<T>,
    minibatch: Minibatch<T>,
    /// Samples are divided by this: the mean norm of the first minibatch.
    unit: Option<f64>,
    /// θ, in this unit: the mean over so many minibatches.
    threshold: f64,
    averaged: f64,
    /// Whether this mean is of the last part of the run alone.
    is_settled: bool,
    /// The share of the run that lies behind.
    done: f64,
    tally: Tally,
    report: Report,
    start: Instant,
}

impl<'a, T: Scalar> Course<'a, T> {
    fn new(
        rule: &'a LinearFeatures,
        model: &'a Model<T>,
        schedule: Schedule<'a, T>,
    ) -> Result<Self, Error> {
        Ok(Self {
            rule,
            model,
            schedule,
            weights: Weights::new(model)?,
            minibatch: Minibatch::new(model.dim(), model.atoms(), rule.room(model)),
            unit: None,
            threshold: 0.0,
            averaged: 0.0,
            is_settled: false,
            done: 0.0,
            tally: Tally::new(model.dim()),
            report: Report { noise: f64::NAN, ..Report::default() },
            start: Instant::now(),
        })
    }

    /// Takes step after step with the minibatches that `next` gives, in exchange for the last.
    fn run(
        mut self,
        mut next: impl FnMut(Option<HostSamples<T>>) -> Result<HostSamples<T>, Error>,
        observer: &mut dyn Observer<T>,
        token: &StopToken,
    ) -> Result<(Model<T>, Report), Error> {
        let backend = Faer::<T>::default();
        let (preprocessing, shape) = (self.model.preprocessing().clone(), self.model.shape());
        let outliers = preprocessing.norm_limit().map_or(Outliers::Keep, Outliers::Clip);
        let loader = Loader::new(preprocessing, outliers, shape);
        let mut buffers = Buffers::new(&backend, shape.dim)?;
        let mut observer = PanicCatching::new(Some(observer));
        let mut taken = None;
        'run: for epoch in 1..=self.rule.epochs {
            for step in 0..self.schedule.plan(epoch).steps() {
                if let Some(stop) = reason_to_stop(&observer, token) {
                    self.report.stop = stop;
                    break 'run;
                }
                let mut host = next(taken.take())?;
                let loaded = loader.load(&backend, &mut host, &mut buffers)?;
                taken = Some(host);
                self.take(&backend, &buffers)?;
                let is_outside = buffers.upload.is_outside();
                let replaced = self.step(&backend, loaded, is_outside, (epoch, step));
                self.tell_of_step(&mut observer, (epoch, step), replaced);
            }
            self.tally.check()?;
            self.end_epoch(epoch, &mut observer);
        }
        if self.tally.outliers.read > 0 {
            let epoch = self.report.epochs.len() + 1;
            self.report.epochs.push(self.epoch(epoch));
        }
        let Seconds { encode, update, .. } = self.report.seconds;
        let total = self.start.elapsed().as_secs_f64();
        self.report.seconds = Seconds { encode, update, other: total - encode - update, total };
        observer.tell(|observer| {
            observer.on_stop(&self.report);
            ControlFlow::Continue(())
        });
        self.report.observer_panic = observer.panic.take();
        Ok((self.model()?, self.report))
    }

    /// Takes a minibatch in the unit of this run, which is that of its first.
    fn take(&mut self, backend: &Faer<T>, buffers: &Buffers<Faer<T>>) -> Result<(), Error> {
        let is_known = self.unit.is_some();
        self.minibatch.take(backend.view(buffers.upload.matrix()), &mut self.unit)?;
        if let Some(unit) = self.unit.filter(|_| !is_known) {
            self.weights.count_in(unit);
        }
        Ok(())
    }

    /// One step. Returns how many atoms were replaced.
    fn step(
        &mut self,
        backend: &Faer<T>,
        loaded: Loaded,
        is_outside: &[bool],
        (epoch, step): (usize, usize),
    ) -> usize {
        let Loaded { mut figures, spectrum, outliers, .. } = loaded;
        let mut update = UpdateReport::default();
        if self.minibatch.samples() > 0 {
            let begin = Instant::now();
            let cut = self.minibatch.code(backend, &self.weights, self.rule.mean_nonzeros);
            self.report.seconds.encode += begin.elapsed().as_secs_f64();
            let begin = Instant::now();
            self.average(cut);
            update.nonzeros = self.minibatch.nonzeros();
            update.replaced = self.descend();
            self.report.seconds.update += begin.elapsed().as_secs_f64();
            let errors = self.minibatch.errors().iter().map(|e| e * self.unit_squared());
            for (i, error) in errors.enumerate() {
                let is_within = !is_outside.get(i).is_some_and(|&outside| outside);
                figures.all.error += error;
                figures.within.error += if is_within { error } else { 0.0 };
            }
            let coordinates = figures.all.samples * self.model.dim();
            self.report.noise = (figures.all.error / coordinates as f64).sqrt();
        }
        self.report.steps += 1;
        let steps = self.schedule.plan(epoch).steps();
        let position = (epoch - 1) as f64 + (step + 1) as f64 / steps as f64;
        self.done = position / self.rule.epochs as f64;
        self.tally.add(&Outcome { update, figures, spectrum, outliers });
        update.replaced
    }

    /// Adam's step, and the renewal of unused atoms. Returns how many were replaced.
    fn descend(&mut self) -> usize {
        let Self { rule, weights, minibatch, done, report, .. } = self;
        let atoms = self.model.atoms();
        let prefixes = if *done < rule.nested { prefixes(atoms) } else { vec![atoms] };
        minibatch.differentiate(weights, &prefixes);
        weights.step(minibatch, &prefixes, rule.rate_at(report.steps, *done));
        weights.renew(minibatch, rule.idle, *done < 1.0 - DECAY)
    }

    /// Adds the threshold of one minibatch to the mean.
    fn average(&mut self, cut: f64) {
        let is_settled = self.done >= SETTLED;
        if !is_settled {
            self.averaged = self.averaged.min(RECENT - 1.0);
        } else if !std::mem::replace(&mut self.is_settled, true) {
            self.averaged = 0.0;
        }
        self.averaged += 1.0;
        self.threshold += (cut - self.threshold) / self.averaged;
    }

    /// What squared errors are multiplied by, to be those of the preprocessed samples.
    fn unit_squared(&self) -> f64 {
        self.unit.unwrap_or(1.0).powi(2)
    }

    fn tell_of_step(
        &self,
        observer: &mut PanicCatching<'_, T>,
        (epoch, step): (usize, usize),
        replaced: usize,
    ) {
        let figures = &self.tally.figures;
        let progress = Progress {
            epoch,
            epochs: self.rule.epochs,
            step: step + 1,
            steps: self.schedule.plan(epoch).steps(),
            total_steps: self.report.steps,
            done: self.done,
            samples: self.minibatch.samples(),
            fvu: figures.all.fvu(),
            fvu_within: figures.fvu_within(),
            elapsed: self.start.elapsed().as_secs_f64(),
        };
        observer.tell(|observer| observer.on_step(&progress));
        if replaced > 0 {
            let renewed = Renewed { step: self.report.steps, replaced, merged: 0 };
            observer.tell(|observer| observer.on_renewal(&renewed));
        }
    }

    fn epoch(&self, epoch: usize) -> EpochReport {
        self.tally.report(epoch, self.start.elapsed().as_secs_f64())
    }

    fn end_epoch(&mut self, epoch: usize, observer: &mut PanicCatching<'_, T>) {
        let report = self.epoch(epoch);
        self.report.epochs.push(report);
        self.tally = Tally::new(self.model.dim());
        let snapshot = Snapshot { fetch: &|| self.model() };
        observer.tell(|observer| observer.on_epoch(&report, &snapshot));
    }

    /// The model as it is now, in the units of the preprocessed samples.
    fn model(&self) -> Result<Model<T>, Error> {
        let unit = self.unit.unwrap_or(1.0);
        let (dictionary, encoder, mut bias) = self.weights.matrices();
        bias.iter_mut().for_each(|c| *c *= T::narrow(unit));
        let encoder = LinearEncoder::new(encoder, Some(bias))?;
        let coder = TopK::by_encoder(encoder).threshold(self.threshold * unit);
        let room = self.rule.room(self.model);
        Model::new(Dictionary::trusted(dictionary), None, room, self.model.sign())?
            .preprocessed(self.model.preprocessing().clone())?
            .with_linear_coder(Some(coder))
    }
}

/// The sizes of the prefixes that are fitted in the first part of a run: halvings of m, down to a
/// sixteenth.
fn prefixes(atoms: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = (0..=4).rev().map(|halvings| atoms >> halvings).collect();
    sizes.retain(|&size| size > 0);
    sizes.dedup();
    sizes
}

fn reason_to_stop<T: Scalar>(
    observer: &PanicCatching<'_, T>,
    token: &StopToken,
) -> Option<StopReason> {
    if observer.has_asked_to_stop {
        return Some(StopReason::Observer);
    }
    token.is_stopped().then_some(StopReason::Token)
}

#[cfg(test)]
mod tests {
    use faer::Mat;

    use super::*;

    /// The gradients are those of ½ Σ_p ‖Y − D_p Z_p‖² / |P|, for the coefficients at hand.
    #[test]
    fn gradients_are_those_of_the_loss() {
        let (dim, atoms, samples) = (7, 32, 40);
        let entry = |i: usize, j: usize| ((i * 31 + j * 17) as f64 * 0.37).sin();
        let dictionary = Dictionary::normalized(Mat::from_fn(dim, atoms, entry)).unwrap();
        let model = Model::new(dictionary, None, 5, Sign::NonNegative).unwrap();
        let y = Mat::from_fn(dim, samples, |i, j| entry(j + 3, i + 50));
        for prefixes in [vec![atoms], prefixes(atoms)] {
            let mut weights = Weights::<f64>::new(&model).unwrap();
            let mut minibatch = Minibatch::new(dim, atoms, 7);
            minibatch.take(y.as_ref(), &mut Some(1.0)).unwrap();
            minibatch.code(&Faer::default(), &weights, 3.0);
            minibatch.differentiate(&weights, &prefixes);
            let loss = |weights: &Weights<f64>| -> f64 {
                let mut sum = 0.0;
                for &prefix in &prefixes {
                    for i in 0..samples {
                        let mut r = y.col_as_slice(i).to_vec();
                        for j in 0..prefix {
                            let place = j * dim..(j + 1) * dim;
                            let (row, atom) =
                                (&weights.encoder[place.clone()], &weights.dictionary[place]);
                            let h: f64 =
                                row.iter().zip(y.col_as_slice(i)).map(|(e, y)| e * y).sum();
                            let is_used =
                                minibatch.uses(j).iter().any(|at| at.sample as usize == i);
                            if is_used {
                                let z = h + weights.bias[j];
                                r.iter_mut().zip(atom).for_each(|(r, d)| *r -= z * d);
                            }
                        }
                        sum += r.iter().map(|r| r * r).sum::<f64>();
                    }
                }
                0.5 * sum / prefixes.len() as f64
            };
            let last = *minibatch.worst(samples).last().unwrap();
            assert_eq!(last.len(), dim);
            for j in (0..atoms).filter(|&j| !minibatch.uses(j).is_empty()) {
                let (mut of_encoder, mut of_atom) = (vec![0.0; dim], vec![0.0; dim]);
                let prefix = prefixes.partition_point(|&size| size <= j);
                let place = (prefix, prefixes.len());
                let of_bias = minibatch.gradients(j, place, &mut of_encoder, &mut of_atom);
                let step = 1e-5;
                let mut slope = |change: &dyn Fn(&mut Weights<f64>, f64)| {
                    change(&mut weights, step);
                    let above = loss(&weights);
                    change(&mut weights, -2.0 * step);
                    let below = loss(&weights);
                    change(&mut weights, step);
                    -(above - below) / (2.0 * step)
                };
                let at = j * dim + 2;
                let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-6, "{a} {b}");
                close(slope(&|w, by| w.encoder[at] += by), of_encoder[2]);
                close(slope(&|w, by| w.dictionary[at] += by), of_atom[2]);
                close(slope(&|w, by| w.bias[j] += by), of_bias);
            }
        }
    }

    #[test]
    fn prefixes_are_halvings() {
        assert_eq!(prefixes(2304), [144, 288, 576, 1152, 2304]);
        assert_eq!(prefixes(3), [1, 3]);
        assert_eq!(prefixes(1), [1]);
    }

    #[test]
    fn the_step_length_rises_and_falls() {
        let rule = LinearFeatures::new(1.0).rate(1.0);
        assert_eq!(rule.rate_at(0, 0.0), 0.01);
        assert_eq!(rule.rate_at(500, 0.5), 1.0);
        assert!((rule.rate_at(500, 0.9) - 0.5).abs() < 1e-12);
    }
}
