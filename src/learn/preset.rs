//! Sets of parameters that were found to go together.

use super::{Builder, DbKsvd, Growth};
use crate::Sign;
use crate::coder::{Nesting, NoiseSchedule, ThresholdPursuit};
use crate::cpu::Faer;
use crate::cpu::HostBackend;
use crate::updater::{Decorrelation, KSvd, Memory, Renewal};

impl DbKsvd {
    /// Sets up learning for *true features*: atoms that stand for what the data are made of, each
    /// used by the samples that have it and by no others, rather than atoms of the least error,
    /// which is what [`builder`](Self::builder) sets up.
    ///
    /// | part | here | default |
    /// |---|---|---|
    /// | codes | non-negative, by a [threshold](ThresholdPursuit) over the noise that is left | signed, k nonzeros |
    /// | dictionary | [grows](Growth) from m/64 atoms; earlier atoms are coded first | of full size |
    /// | updates | [decorrelate](Decorrelation) atoms | |
    ///
    /// `sparsity` is a limit, to be set well above the number of features that a sample may have.
    /// Read features with [`ThresholdPursuit::of_noise`] and the noise that the report tells
    /// ([`Report::noise`](super::Report::noise)):
    ///
    /// ```
    /// use dbksvd::coder::ThresholdPursuit;
    /// use dbksvd::synthetic::Planted;
    /// use dbksvd::{DbKsvd, Sign};
    ///
    /// let features = Planted::new(32, 64, 4, 2_000).sign(Sign::NonNegative).noise(0.1);
    /// let data = features.generate::<f32>()?.samples;
    /// let learner = DbKsvd::true_features(64, 16).epochs(8).build()?;
    /// let (model, report) = learner.fit(&data)?;
    /// let coder = ThresholdPursuit::of_noise(report.noise);
    /// let codes = model.encode(&coder, data.as_ref())?;
    /// assert!(codes.nnz() > 0);
    /// # Ok::<(), dbksvd::Error>(())
    /// ```
    ///
    /// The samples should not be centred: features that fire often are part of the mean. Some
    /// hundred uses of the rarest features are wanted among the samples. Method and measurements:
    /// `docs/study/truth.md` in the repository.
    pub fn true_features(
        atoms: usize,
        sparsity: usize,
    ) -> Builder<Faer<f32>, ThresholdPursuit, KSvd> {
        Self::true_features_on(Faer::default(), atoms, sparsity)
    }
}

impl<B: HostBackend> DbKsvd<B> {
    /// [`true_features`](DbKsvd::true_features) on another backend, and so in its scalar.
    pub fn true_features_on(
        backend: B,
        atoms: usize,
        sparsity: usize,
    ) -> Builder<B, ThresholdPursuit, KSvd> {
        // Outside of learning, where nothing is known of the noise, samples are taken to be in
        // units of it.
        let schedule = NoiseSchedule::default();
        let coder =
            ThresholdPursuit::new(schedule.end).nesting(Nesting::Kept).learning(Some(schedule));
        let updater = KSvd::new()
            .decorrelation(Some(Decorrelation::default()))
            .memory(Some(Memory { start: 0.5, full: 0.8, retention: 0.9 }))
            .renewal(Some(Renewal {
                min_usage: 0.03,
                max_coherence: 0.7,
                window: 10.0,
                until: 0.7,
            }));
        // One atom has nothing to grow from.
        let growth =
            (atoms > 1).then(|| Growth { doublings: atoms.ilog2().min(6), ..Growth::default() });
        Builder::new(backend, coder, updater, atoms, sparsity)
            .sign(Sign::NonNegative)
            .growth(growth)
    }
}
