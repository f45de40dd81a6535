//! The test suites for the kernels of pursuits and sweeps, which compare them with [`Reference`].

use faer::Mat;

use super::{download, residual, squared, upload};
use crate::backend::{
    AtomRule, Change, LargeUse, LeadingPair, PursuitKernels, PursuitRule, SampleShards, Selection,
    SweepKernels, SweepRule, Tolerance,
};
use crate::codes::SparseCodes;
use crate::error::BackendError;
use crate::reference::Reference;
use crate::synthetic::Planted;
use crate::{ProblemShape, Scalar, Sign};

/// Checks the pursuits of a backend: for every rule, the error of each sample must be that of the
/// textbook loop of [`Reference`].
///
/// The suite [`coder`](super::coder), run with [`BatchOmp`](crate::coder::BatchOmp), checks that
/// the codes keep the contract of coders.
///
/// # Panics
/// If an error differs. The message names the rule, the shape and the sample.
pub fn pursuit_kernels<B: PursuitKernels>(backend: &B) {
    let plain = PursuitRule::default();
    let rules = [
        plain,
        PursuitRule { selection: Selection::LeastSquares, ..plain },
        PursuitRule { tolerance: Some(Tolerance::Relative(0.3)), ..plain },
        PursuitRule { min_correlation: Some(0.4), ..plain },
    ];
    for (dim, atoms, sparsity) in [(1, 1, 1), (12, 30, 3), (24, 40, 7)] {
        for sign in [Sign::Signed, Sign::NonNegative] {
            let shape = ProblemShape { dim, atoms, sparsity, sign };
            rules.iter().for_each(|rule| check_pursuits(backend, rule, &shape));
        }
    }
}

fn check_pursuits<B: PursuitKernels>(backend: &B, rule: &PursuitRule, shape: &ProblemShape) {
    let planted = Planted::new(shape.dim, shape.atoms, shape.sparsity, 150).noise(0.1).seed(5);
    let data = planted.generate::<B::Scalar>().expect("a legal problem");
    let (d, y) = (data.dictionary.as_mat(), data.samples.as_ref());
    let found = pursue(backend, rule, shape, &upload(backend, d), &upload(backend, y));
    let reference = Reference::<B::Scalar>::default();
    let expected = pursue(&reference, rule, shape, &d.to_owned(), &upload(&reference, y));
    for i in 0..y.ncols() {
        let energy = squared(y.col(i).iter().map(|y| y.widen()));
        let [found, expected] =
            [&found, &expected].map(|codes| squared(residual(y, d, codes, i)).sqrt());
        let rounding = 1e3 * B::Scalar::EPSILON * energy.sqrt();
        assert!(
            (found - expected).abs() <= rounding,
            "sample {i} is left with {found:e}, by the book with {expected:e}: {rule:?}, {shape:?}"
        );
    }
}

fn pursue<B: PursuitKernels>(
    backend: &B,
    rule: &PursuitRule,
    shape: &ProblemShape,
    d: &B::Matrix,
    y: &B::Matrix,
) -> SparseCodes<B::Scalar> {
    let mut pursuits = backend.prepare_pursuits(rule, shape, 1 << 20).expect("memory");
    let mut codes = backend.codes(shape.atoms, 0, shape.sparsity).expect("memory");
    backend.set_pursuit_dictionary(&mut pursuits, d).expect("a sound device");
    backend.pursue(&pursuits, d, y, &mut codes).expect("a sound device");
    backend.synchronize().expect("a sound device");
    backend.download_codes(&codes).expect("memory for small codes")
}

/// Checks the steps of K-SVD of a backend: to rounding, each step must give what [`Reference`]
/// gives. All combinations are tried: both signs, power steps and the exact pair, refitted and
/// shared.
///
/// # Panics
/// If a step gives something else. The message names the step, the rule and the shape.
pub fn sweep_kernels<B: SweepKernels>(backend: &B) {
    for (dim, atoms, sparsity) in [(1, 2, 1), (9, 20, 3), (24, 40, 5)] {
        for sign in [Sign::Signed, Sign::NonNegative] {
            let shape = ProblemShape { dim, atoms, sparsity, sign };
            for leading_pair in [
                LeadingPair::Power { iterations: 1 },
                LeadingPair::Power { iterations: 3 },
                LeadingPair::Exact,
            ] {
                for atom_rule in [AtomRule::Refitted, AtomRule::Shared] {
                    let rule = SweepRule { leading_pair, atom_rule, ..SweepRule::new(7) };
                    check_sweep(backend, &rule, &shape);
                    let rule = SweepRule { atom_sign: Sign::NonNegative, ..rule };
                    let prepared = backend.prepare_sweep(&rule, &shape);
                    let is_unsupported = matches!(prepared, Err(BackendError::Unsupported { .. }));
                    if leading_pair != LeadingPair::Exact && !is_unsupported {
                        check_sweep(backend, &rule, &shape);
                    }
                }
            }
            check_renewal(backend, &shape);
        }
    }
}

/// The number of samples of a minibatch.
const SAMPLES: usize = 300;

/// A minibatch on a backend, with a dictionary that differs from the one that generated the
/// samples.
struct Minibatch<B: SweepKernels> {
    y: B::Matrix,
    dictionary: B::Matrix,
    codes: B::Codes,
    sweep: B::Sweep,
    shards: SampleShards,
}

impl<B: SweepKernels> Minibatch<B> {
    fn new(backend: &B, rule: &SweepRule, shape: &ProblemShape) -> Self {
        let planted = Planted::new(shape.dim, shape.atoms, shape.sparsity, SAMPLES).noise(0.1);
        let data =
            planted.sign(shape.sign).seed(5).generate::<B::Scalar>().expect("a legal problem");
        let codes_of = data.codes;
        let mut dictionary = data.dictionary.as_mat().to_owned();
        for j in 0..dictionary.ncols() {
            let atom = dictionary.col_as_slice_mut(j);
            let turned = B::Scalar::narrow(atom[j % shape.dim].widen() + 0.2);
            atom[j % shape.dim] = turned;
            crate::cpu::vector::loops::normalize(atom);
        }
        let mut codes = backend.codes(shape.atoms, 0, shape.sparsity).expect("memory");
        backend.upload_codes(&codes_of, &mut codes).expect("memory");
        Self {
            y: upload(backend, data.samples.as_ref()),
            dictionary: upload(backend, dictionary.as_ref()),
            codes,
            sweep: backend.prepare_sweep(rule, shape).expect("memory"),
            // More than the problem is worth, so that sums over several shards are checked.
            shards: SampleShards::try_equal(4, SAMPLES).expect("a power of two"),
        }
    }

    fn begin(&mut self, backend: &B) -> f64 {
        let Self { y, dictionary, codes, sweep, shards } = self;
        let start = backend.begin(sweep, y, dictionary, codes, shards).expect("a sound device");
        assert_eq!(start.samples, SAMPLES, "samples");
        error_of(backend, sweep, shards)
    }
}

/// ‖R‖²_F, the sum over shards.
fn error_of<B: SweepKernels>(backend: &B, sweep: &B::Sweep, shards: &SampleShards) -> f64 {
    let mut errors = vec![f64::NAN; shards.len()];
    backend.errors(sweep, &mut errors).expect("a sound device");
    errors.iter().sum()
}

/// The results of every step of two sweeps of three batches each, in which the second batch is
/// undone.
struct Trace<T: Scalar> {
    numbers: Vec<(&'static str, f64)>,
    counts: Vec<u64>,
    energies: Vec<f64>,
    dictionary: Mat<T>,
    codes: SparseCodes<T>,
}

fn trace<B: SweepKernels>(backend: &B, rule: &SweepRule, shape: &ProblemShape) -> Trace<B::Scalar> {
    let sound = "a sound device";
    let mut at = Minibatch::new(backend, rule, shape);
    let mut numbers = vec![("begin", at.begin(backend))];
    let mut counts = vec![0; shape.atoms];
    let mut energies = vec![0.0; shape.atoms];
    backend.uses(&at.sweep, &mut counts).expect(sound);
    let weights: Vec<f64> = (0..shape.atoms).map(|j| (j % 3) as f64).collect();
    let order: Vec<u32> = (0..shape.atoms as u32).rev().collect();
    let Minibatch { y, dictionary, codes, sweep, shards } = &mut at;
    let mut changes = vec![Change::default(); shards.len()];
    for _ in 0..2 {
        for (number, batch) in order.chunks(7).enumerate() {
            let place = number * 7;
            backend.directions(sweep, dictionary, codes, &weights, batch, place).expect(sound);
            let exchanged = backend.exchange(sweep, dictionary, codes, batch, place, &mut changes);
            exchanged.expect(sound);
            for &Change { error, energy, uses } in &changes {
                numbers.push(("uses", uses as f64));
                if rule.atom_rule == AtomRule::Refitted && batch.len() > 1 {
                    numbers.extend([("energy", energy), ("change", error)]);
                }
            }
            if number == 1 {
                backend.undo(sweep, dictionary, codes, batch, place).expect(sound);
                numbers.push(("undone", error_of(backend, sweep, shards)));
                let again = backend.exchange(sweep, dictionary, codes, batch, place, &mut changes);
                again.expect(sound);
            }
        }
        backend.take_atoms(sweep, dictionary, &order).expect(sound);
        numbers.push(("sweep", error_of(backend, sweep, shards)));
    }
    backend.energies(sweep, codes, 2..3, &mut energies).expect(sound);
    numbers.push(("energy of a shard", energies.iter().sum()));
    backend.energies(sweep, codes, 0..shards.len(), &mut energies).expect(sound);
    backend.refresh(sweep, y, dictionary, codes).expect(sound);
    numbers.push(("refreshed", error_of(backend, sweep, shards)));
    let codes = backend.download_codes(codes).expect(sound);
    Trace { numbers, counts, energies, dictionary: download(backend, dictionary), codes }
}

fn check_sweep<B: SweepKernels>(backend: &B, rule: &SweepRule, shape: &ProblemShape) {
    let found = trace(backend, rule, shape);
    let expected = trace(&Reference::<B::Scalar>::default(), rule, shape);
    let what = format!("{rule:?}, {shape:?}");
    assert_eq!(found.counts, expected.counts, "uses: {what}");
    // Every batch starts from the result of the batch before, so rounding errors grow. The
    // iteration for exact pairs stops when the change is a few ε.
    let rounding = 2e4 * B::Scalar::EPSILON;
    let start = expected.numbers[0].1.max(expected.energies.iter().sum());
    for (found, expected) in found.numbers.iter().zip(&expected.numbers) {
        let (name, size) = (expected.0, expected.1.abs().max(start));
        let near = (found.1 - expected.1).abs() <= rounding * size;
        assert!(near, "{name} is {:e}, by the formula {:e}: {what}", found.1, expected.1);
    }
    for (j, (found, expected)) in found.energies.iter().zip(&expected.energies).enumerate() {
        let near = (found - expected).abs() <= rounding * start;
        assert!(near, "‖x‖² of atom {j} is {found:e}, by the formula {expected:e}: {what}");
    }
    for j in 0..shape.atoms {
        let apart = found.dictionary.col(j) - expected.dictionary.col(j);
        let apart = squared(apart.iter().map(|x| x.widen())).sqrt();
        assert!(apart <= rounding, "atom {j} is off by {apart:e}: {what}");
    }
    for i in 0..found.codes.samples() {
        assert_eq!(found.codes.support(i), expected.codes.support(i), "support {i}: {what}");
    }
}

/// Checks the queries that renewal makes, and its changes.
fn check_renewal<B: SweepKernels>(backend: &B, shape: &ProblemShape) {
    let found = renewed(backend, shape);
    let expected = renewed(&Reference::<B::Scalar>::default(), shape);
    assert_eq!(found.pairs, expected.pairs, "coherent_pairs: {shape:?}");
    assert_eq!(found.worst, expected.worst, "worst: {shape:?}");
    assert_eq!(found.large, expected.large, "large_uses: {shape:?}");
    let rounding = 1e3 * B::Scalar::EPSILON;
    for (found, expected) in found.numbers.iter().zip(&expected.numbers) {
        let near = (found.1 - expected.1).abs() <= rounding * (1.0 + expected.1.abs());
        assert!(
            near,
            "{} is {:e}, by the formula {:e}: {shape:?}",
            expected.0, found.1, expected.1
        );
    }
    for j in 0..shape.atoms {
        let apart = found.dictionary.col(j) - expected.dictionary.col(j);
        let apart = squared(apart.iter().map(|x| x.widen())).sqrt();
        assert!(apart <= rounding, "decorrelate: atom {j} is off by {apart:e}: {shape:?}");
    }
    for i in 0..found.codes.samples() {
        assert_eq!(found.codes.support(i), expected.codes.support(i), "support {i}: {shape:?}");
    }
}

struct Renewed<T: Scalar> {
    pairs: Vec<(u32, u32)>,
    worst: Vec<usize>,
    large: Vec<LargeUse>,
    numbers: Vec<(&'static str, f64)>,
    dictionary: Mat<T>,
    codes: SparseCodes<T>,
}

fn renewed<B: SweepKernels>(backend: &B, shape: &ProblemShape) -> Renewed<B::Scalar> {
    let sound = "a sound device";
    let mut at = Minibatch::new(backend, &SweepRule::new(4), shape);
    at.begin(backend);
    let Minibatch { y, dictionary, codes, sweep, shards } = &mut at;
    let pairs = backend.coherent_pairs(dictionary, 0.3, shape.sign).expect(sound);
    let worst = backend.worst(sweep, y, 0.0, 1e-3).expect(sound);
    assert!(worst.is_sorted_by(|a, b| a.error >= b.error), "worst is not by falling error");
    let rare: Vec<u32> = (0..shape.atoms as u32).step_by(2).collect();
    let large = backend.large_uses(sweep, codes, &rare, 0.5).expect(sound);
    let few = &large[..large.len().min(20)];
    let lost = backend.lost_without(sweep, y, dictionary, few, 0.9, 0.1).expect(sound);
    let mut numbers: Vec<_> = lost.into_iter().map(|lost| ("lost_without", lost)).collect();
    let last = shape.atoms as u32 - 1;
    backend.vacate(sweep, dictionary, codes, 0, Some(last)).expect(sound);
    numbers.push(("vacate for an heir", error_of(backend, sweep, shards)));
    backend.recount(sweep, codes).expect(sound);
    backend.vacate(sweep, dictionary, codes, last, None).expect(sound);
    numbers.push(("vacate", error_of(backend, sweep, shards)));
    backend.code_by_one(sweep, y, dictionary, codes, 5, 0).expect(sound);
    numbers.push(("code_by_one", error_of(backend, sweep, shards)));
    backend.recount(sweep, codes).expect(sound);
    let mut counts = vec![0; shape.atoms];
    backend.uses(sweep, &mut counts).expect(sound);
    backend.decorrelate(dictionary, &counts, 0.1).expect(sound);
    let worst = worst.into_iter().map(|candidate| candidate.sample).collect();
    let codes = backend.download_codes(codes).expect(sound);
    Renewed { pairs, worst, large, numbers, dictionary: download(backend, dictionary), codes }
}
