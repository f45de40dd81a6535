//! A model that is ready to code: what a service keeps.

use crate::backend::Backend;
use crate::coded_blocks::{BLOCK, CodedBlocks};
use crate::coder::{BatchOmp, SparseCoder};
use crate::codes::SparseCodes;
use crate::cpu::{Faer, ScratchPool};
use crate::error::Error;
use crate::model::Model;
use crate::problem::ProblemShape;
use crate::samples::preprocessing::Preprocessing;
use crate::source::{AsSamples, SampleSource, check_rounding};

/// A model together with a backend and a coder. It keeps what the coder derived from the
/// dictionary.
///
/// Any number of threads can encode with one encoder at the same time. The dictionary and all that
/// is derived from it, such as the Gram matrix, are in memory once; each call takes scratch memory
/// that an earlier call has left, if there is some. Codes are the same as with one thread, bit by
/// bit. To put a newer model in the place of one that is in use, keep an `Arc` of the encoder
/// behind a lock that is held only to clone or to replace it, as `examples/service.rs` does.
///
/// ```
/// use dbksvd::coder::BatchOmp;
/// use dbksvd::synthetic::Planted;
/// use dbksvd::{Encoder, Model, Sign};
///
/// let data = Planted::new(16, 24, 2, 600).generate::<f32>()?;
/// let model = Model::new(data.dictionary, None, 2, Sign::Signed)?;
/// let encoder: Encoder = model.encoder(BatchOmp::new())?;
/// let halves = [data.samples.subcols(0, 300), data.samples.subcols(300, 300)];
/// let shared = &encoder;
/// let codes = std::thread::scope(|scope| {
///     let workers = halves.map(|half| scope.spawn(move || shared.encode(half)));
///     workers.map(|worker| worker.join().expect("no panic"))
/// });
/// let [first, second] = codes;
/// let all = encoder.encode(data.samples.as_ref())?;
/// assert_eq!(all.support(299), first?.support(299));
/// assert_eq!(all.support(300), second?.support(0));
/// # Ok::<(), dbksvd::Error>(())
/// ```
///
/// # Memory
/// Besides the dictionary and the coder's state: for as many calls as ever ran at once, 2·d·n
/// scalars and a copy of the codes, where n is the number of samples of a call, at most 4,096.
pub struct Encoder<B: Backend = Faer<f32>, C: SparseCoder<B> = BatchOmp> {
    shape: ProblemShape,
    preprocessing: Preprocessing<B::Scalar>,
    backend: B,
    coder: C,
    state: C::State,
    dictionary: B::Matrix,
    idle: ScratchPool<CodedBlocks<B>>,
}

impl<B: Backend, C: SparseCoder<B> + std::fmt::Debug> std::fmt::Debug for Encoder<B, C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { shape, coder, .. } = self;
        f.debug_struct("Encoder")
            .field("shape", shape)
            .field("coder", coder)
            .finish_non_exhaustive()
    }
}

/// The codes of samples of which some could not be coded: what [`Encoder::encode_each`] gives.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcomes<T> {
    /// The codes of all samples. Those of samples that could not be coded are empty.
    pub codes: SparseCodes<T>,
    /// The samples that could not be coded, in rising order, each with the reason.
    pub errors: Vec<(usize, Error)>,
}

impl<T: crate::Scalar> Outcomes<T> {
    /// The atoms and coefficients of sample `i`, or why there are none. O(log e) for e errors.
    ///
    /// # Errors
    /// The error of the sample: [`Error::NotFinite`] or [`Error::Range`].
    ///
    /// # Panics
    /// If `i` is not below the number of samples.
    pub fn code(&self, i: usize) -> Result<(&[u32], &[T]), &Error> {
        match self.errors.binary_search_by_key(&i, |(sample, _)| *sample) {
            Ok(place) => Err(&self.errors[place].1),
            Err(_) => Ok((self.codes.support(i), self.codes.values(i))),
        }
    }

    /// Every sample's code, or why there is none, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Result<(&[u32], &[T]), &Error>> {
        (0..self.codes.samples()).map(|i| self.code(i))
    }
}

impl<B: Backend, C: SparseCoder<B>> Encoder<B, C> {
    /// Uploads the model's dictionary to `backend` and prepares `coder` for it.
    ///
    /// # Errors
    /// [`Error::Argument`] if the coder cannot code for the model's shape, [`Error::Backend`] if
    /// memory cannot be allocated.
    pub fn new(backend: B, coder: C, model: &Model<B::Scalar>) -> Result<Self, Error> {
        let shape = model.shape();
        coder.check(&shape)?;
        let mut state = coder.prepare(&backend, &shape)?;
        let mut dictionary = backend.zeros(shape.dim, shape.atoms)?;
        backend.upload(model.dictionary().as_mat(), &mut dictionary)?;
        coder.set_dictionary(&backend, &mut state, &dictionary)?;
        let (preprocessing, idle) = (model.preprocessing().clone(), ScratchPool::default());
        Ok(Self { shape, preprocessing, backend, coder, state, dictionary, idle })
    }

    /// Dimensions and constraints of the model.
    #[must_use]
    pub fn shape(&self) -> &ProblemShape {
        &self.shape
    }

    /// The coder.
    #[must_use]
    pub fn coder(&self) -> &C {
        &self.coder
    }

    /// The coder's state, which may hold information about its work besides the codes.
    #[must_use]
    pub fn state(&self) -> &C::State {
        &self.state
    }

    /// The codes of `samples` (d × N, one sample per column).
    ///
    /// Samples are coded in blocks of 4,096, so apart from the codes themselves the memory does not
    /// grow with N. O(N (d·m + k²m)) with [`BatchOmp`](crate::coder::BatchOmp).
    ///
    /// # Errors
    /// [`Error::Dimension`] if samples are not of dimension d, [`Error::Source`] for a slice that
    /// does not hold a whole number of samples, [`Error::NotFinite`] if a sample holds a NaN or an
    /// infinity, [`Error::Range`] if samples are so large or so small that their squares overflow
    /// or vanish, [`Error::Backend`] if memory cannot be allocated. One bad sample is an error for
    /// all: [`encode_each`](Self::encode_each) codes the others.
    pub fn encode(
        &self,
        samples: impl AsSamples<B::Scalar>,
    ) -> Result<SparseCodes<B::Scalar>, Error> {
        self.encode_source(&samples.as_samples(self.shape.dim)?)
    }

    /// The codes of all samples of `source`, in order.
    ///
    /// # Errors
    /// The errors of [`encode`](Self::encode); [`Error::Source`] if reading fails; and
    /// [`Error::Rounding`] if the samples are stored in a higher precision and rounding them to `T`
    /// would destroy the differences between them.
    pub fn encode_source(
        &self,
        source: &impl SampleSource<B::Scalar>,
    ) -> Result<SparseCodes<B::Scalar>, Error> {
        self.for_blocks(source, |start, end, blocks| {
            let (backend, coder) = (&self.backend, (&self.coder, &self.state));
            blocks.code(backend, coder, &self.dictionary, source, std::iter::once(start..end))
        })
    }

    /// The codes of `samples` (d × N, one sample per column), of which some may be bad. Each sample
    /// is judged by itself, as [`encode`](Self::encode) would judge it alone: those that hold a NaN
    /// or an infinity, or are out of range, get an error, and all others get the code that `encode`
    /// would give them.
    ///
    /// ```
    /// use dbksvd::coder::BatchOmp;
    /// use dbksvd::synthetic::Planted;
    /// use dbksvd::{Error, Model, Sign};
    ///
    /// let mut data = Planted::new(16, 24, 2, 5).generate::<f32>()?;
    /// data.samples[(3, 1)] = f32::NAN;
    /// data.samples[(0, 4)] = 1e30;
    /// let encoder = Model::new(data.dictionary, None, 2, Sign::Signed)?.encoder(BatchOmp::new())?;
    /// let outcomes = encoder.encode_each(data.samples.as_ref())?;
    /// assert_eq!(outcomes.code(0).expect("a good sample").0.len(), 2);
    /// assert!(matches!(outcomes.code(1), Err(Error::NotFinite { sample: 1, coordinate: 3, .. })));
    /// assert!(matches!(outcomes.code(4), Err(Error::Range { sample: Some(4), .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Dimension`] and [`Error::Source`] as of [`encode`](Self::encode),
    /// [`Error::Backend`] if memory cannot be allocated.
    pub fn encode_each(
        &self,
        samples: impl AsSamples<B::Scalar>,
    ) -> Result<Outcomes<B::Scalar>, Error> {
        let samples = samples.as_samples(self.shape.dim)?;
        let mut errors = Vec::new();
        let mut codes = self.for_blocks(&samples, |start, end, blocks| {
            let (backend, coder) = (&self.backend, (&self.coder, &self.state));
            let range = start..end;
            blocks.code_each(backend, coder, &self.dictionary, &samples, range, &mut errors)
        })?;
        for (sample, _) in &errors {
            codes.set(*sample, &[], &[]);
        }
        Ok(Outcomes { codes, errors })
    }

    /// Codes all samples of `source` by `code`, a block at a time.
    fn for_blocks(
        &self,
        source: &impl SampleSource<B::Scalar>,
        mut code: impl FnMut(usize, usize, &mut CodedBlocks<B>) -> Result<(), Error>,
    ) -> Result<SparseCodes<B::Scalar>, Error> {
        let ProblemShape { dim, atoms, sparsity, .. } = self.shape;
        if source.dim() != dim {
            let found = source.dim();
            return Err(Error::Dimension { argument: "samples", found, expected: dim });
        }
        check_rounding(source)?;
        let new = || CodedBlocks::new(&self.backend, &self.shape, self.preprocessing.clone());
        self.idle.try_with(new, |blocks| {
            let mut all: Option<SparseCodes<B::Scalar>> = None;
            for start in (0..source.len()).step_by(BLOCK) {
                code(start, (start + BLOCK).min(source.len()), blocks)?;
                self.backend.synchronize()?;
                let codes = self.backend.download_codes(blocks.codes())?;
                match &mut all {
                    None => all = Some(codes),
                    Some(all) => all.extend(&codes),
                }
            }
            Ok(all.unwrap_or_else(|| SparseCodes::new(atoms, 0, sparsity)))
        })
    }
}
