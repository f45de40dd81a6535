//! The test suite for [`DictionaryUpdater`]s.

use faer::{Mat, MatRef};

use super::{
    assert_same_bits, assert_sound, download, magnitude, on_threads, residual, squared, upload,
};
use crate::backend::Backend;
use crate::coder::SparseCoder;
use crate::codes::SparseCodes;
use crate::synthetic::{Kind, Planted};
use crate::updater::{DictionaryUpdater, Step, UpdateReport};
use crate::{ProblemShape, Scalar, Sign};

/// d, m, k, N and the kind of data: the smallest sizes that are possible, several uses of each
/// atom, and fewer samples than atoms, so that most atoms are unused.
const PROBLEMS: [(usize, usize, usize, usize, Kind); 4] = [
    (1, 1, 1, 8, Kind::Planted),
    (8, 24, 3, 100, Kind::Correlated),
    (17, 40, 2, 9, Kind::Planted),
    (12, 15, 4, 60, Kind::Anisotropic),
];

/// Minibatches that one state is given, so that effects of earlier minibatches are tested, too.
const STEPS: usize = 4;

/// Checks `updater` on `backend` against the contract of [`DictionaryUpdater`], over several steps
/// of coding and updating: atoms are finite and of norm 1, and fixed ones stay; codes keep their
/// budget, use an atom only once and obey the sign; the numbers of the report are those of Y, D and
/// X; samples are unchanged. The same bits must result on any number of threads, and if the state
/// is restored before each step.
///
/// Codes cannot be uploaded to every backend, so `coder` makes them. Choose a coder that passes
/// [`coder`](super::coder()).
///
/// # Panics
/// If `updater` breaks the contract, or refuses small problems for both signs.
#[track_caller]
pub fn updater<B, C, U>(backend: &B, coder: &C, updater: &U)
where
    B: Backend,
    C: SparseCoder<B>,
    U: DictionaryUpdater<B>,
{
    let mut accepted = false;
    for sign in [Sign::Signed, Sign::NonNegative] {
        for (dim, atoms, sparsity, samples, kind) in PROBLEMS {
            let shape = ProblemShape { dim, atoms, sparsity, sign };
            // The coder and the updater may accept one sign only.
            if coder.check(&shape).is_err() || updater.check(&shape).is_err() {
                continue;
            }
            accepted = true;
            let planted = Planted::new(dim, atoms, sparsity, samples).kind(kind).noise(0.1);
            let data = planted.seed(2).generate().expect("a legal problem");
            let start = planted.seed(3).generate().expect("a legal problem");
            let mut samples = data.samples;
            samples.col_mut(0).fill(B::Scalar::narrow(0.0));
            let dictionary = start.dictionary.into_mat();
            Suite { backend, coder, updater, shape, dictionary, samples }.run();
        }
    }
    assert!(accepted, "coder or updater refuses every small problem");
}

/// One updater on one problem.
struct Suite<'a, B: Backend, C, U> {
    backend: &'a B,
    coder: &'a C,
    updater: &'a U,
    shape: ProblemShape,
    dictionary: Mat<B::Scalar>,
    samples: Mat<B::Scalar>,
}

/// The input and the result of one update.
#[derive(Debug, PartialEq)]
struct Updated<T: Scalar> {
    old_dictionary: Mat<T>,
    old_codes: SparseCodes<T>,
    dictionary: Mat<T>,
    codes: SparseCodes<T>,
    report: UpdateReport,
}

impl<B: Backend, C: SparseCoder<B>, U: DictionaryUpdater<B>> Suite<'_, B, C, U> {
    fn run(&self) {
        let run = on_threads(1, || self.learn(false));
        for updated in &run {
            self.atoms_are_of_unit_norm(updated.dictionary.as_ref());
            self.fixed_atoms_stay(updated);
            self.codes_are_sound(updated);
            self.report_is_true(updated);
        }
        let again = on_threads(3, || self.learn(false));
        assert!(again == run, "the result on three threads is not that on one: {:?}", self.shape);
        let restored = self.learn(true);
        assert!(restored == run, "what `keep` gave does not restore the state: {:?}", self.shape);
    }

    /// A few steps of coding and updating: all with one state or, if `is_restored`, each with a
    /// fresh state that is restored from what the state before saved.
    fn learn(&self, is_restored: bool) -> Vec<Updated<B::Scalar>> {
        let Self { backend, coder, updater, shape, .. } = *self;
        let mut coder_state = coder.prepare(backend, &shape).expect("memory");
        let mut state = updater.prepare(backend, &shape).expect("memory");
        let y = upload(backend, self.samples.as_ref());
        let mut dictionary = upload(backend, self.dictionary.as_ref());
        let mut codes = backend.codes(shape.atoms, 0, shape.sparsity).expect("memory");
        let mut order: Vec<u32> = (0..shape.atoms as u32).collect();
        let steps = 0..STEPS;
        let run = steps.map(|number| {
            if is_restored {
                let saved = updater.save(backend, &state).expect("memory for small states");
                state = updater.prepare(backend, &shape).expect("memory");
                let restored = updater.restore(backend, &mut state, &saved);
                restored.expect("`restore` takes what `keep` gave");
            }
            order.reverse();
            let rotation = number % order.len();
            order.rotate_left(rotation);
            let step = Step::new(&order, number as f64 / STEPS as f64);
            coder.set_dictionary(backend, &mut coder_state, &dictionary).expect("a sound device");
            coder
                .encode(backend, &coder_state, &dictionary, &y, &mut codes)
                .expect("a sound device");
            let old_dictionary = download(backend, &dictionary);
            let old_codes = backend.download_codes(&codes).expect("memory for small codes");
            let report =
                updater.update(backend, &mut state, &y, &mut codes, &mut dictionary, &step);
            let report = report.expect("memory for small matrices");
            let (codes, dictionary) =
                (backend.download_codes(&codes), download(backend, &dictionary));
            let codes = codes.expect("memory for small codes");
            Updated { old_dictionary, old_codes, dictionary, codes, report }
        });
        let run = run.collect();
        assert_same_bits(download(backend, &y).as_ref(), self.samples.as_ref(), "the samples");
        run
    }

    fn atoms_are_of_unit_norm(&self, dictionary: MatRef<'_, B::Scalar>) {
        let ProblemShape { dim, atoms, .. } = self.shape;
        assert_eq!(dictionary.shape(), (dim, atoms), "the dictionary's shape");
        let bound = (dim + 8) as f64 * B::Scalar::EPSILON;
        for (j, atom) in dictionary.col_iter().enumerate() {
            let norm = squared(atom.iter().map(|x| x.widen())).sqrt();
            assert!((norm - 1.0).abs() <= bound, "atom {j} has norm {norm}: {:?}", self.shape);
        }
    }

    fn fixed_atoms_stay(&self, updated: &Updated<B::Scalar>) {
        for atom in self.updater.fixed_atoms() {
            let of = |dictionary: &Mat<B::Scalar>| dictionary.subcols(atom as usize, 1).to_owned();
            let (found, expected) = (of(&updated.dictionary), of(&updated.old_dictionary));
            let what = format!("atom {atom}, which is fixed: {:?}", self.shape);
            assert_same_bits(found.as_ref(), expected.as_ref(), &what);
        }
    }

    fn codes_are_sound(&self, updated: &Updated<B::Scalar>) {
        let (old, new) = (&updated.old_codes, &updated.codes);
        let shape = |codes: &SparseCodes<_>| (codes.atoms(), codes.samples(), codes.sparsity());
        assert_eq!(shape(new), shape(old), "the shape (m, N, k) of codes");
        for i in 0..new.samples() {
            assert_sound(new, &self.shape, i);
        }
    }

    /// Both errors are ‖Y − DX‖² with the atoms and codes at that time, which shows that X belongs
    /// to D.
    fn report_is_true(&self, updated: &Updated<B::Scalar>) {
        let Updated { old_dictionary, old_codes, dictionary, codes, report } = updated;
        self.assert_error(report.error_before, old_dictionary.as_ref(), old_codes, "error_before");
        self.assert_error(report.error_after, dictionary.as_ref(), codes, "error_after");
        assert_eq!(report.nonzeros, old_codes.nnz(), "nonzeros as the coder left them");
        let mut used = vec![false; self.shape.atoms];
        for (support, _) in old_codes.iter() {
            support.iter().for_each(|&atom| used[atom as usize] = true);
        }
        let unused = used.iter().filter(|&&used| !used).count();
        assert_eq!(report.unused, unused, "atoms that no sample used");
        let renewed = report.replaced + report.merged;
        assert!(renewed <= self.shape.atoms, "{renewed} atoms renewed of {}", self.shape.atoms);
    }

    #[track_caller]
    fn assert_error(
        &self,
        found: f64,
        dictionary: MatRef<'_, B::Scalar>,
        codes: &SparseCodes<B::Scalar>,
        what: &str,
    ) {
        let samples = self.samples.as_ref();
        let (mut expected, mut size) = (0.0, 0.0);
        for i in 0..codes.samples() {
            let error = squared(residual(samples, dictionary, codes, i));
            expected += error;
            // If residuals r are off by ε(‖y‖ + Σ|x|), their squares are off by that times ‖r‖.
            let magnitude = magnitude(samples, codes, i);
            size += magnitude * (error.sqrt() + B::Scalar::EPSILON * magnitude);
        }
        let swaps = (self.shape.dim + 8 * self.shape.sparsity) as f64;
        let bound = 4.0 * swaps * B::Scalar::EPSILON * size;
        let near = (found - expected).abs() <= bound;
        assert!(near, "{what} is {found:e}, expected {expected:e} to {bound:e}: {:?}", self.shape);
    }
}
