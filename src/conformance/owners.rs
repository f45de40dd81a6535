//! The test suite for backends on which several owners can hold the samples of a minibatch.

use std::thread;

use super::{assert_same_bits, download, upload};
use crate::backend::{LeadingPair, PursuitKernels, SampleShards, SweepKernels};
use crate::coder::{BatchOmp, SparseCoder};
use crate::error::BackendError;
use crate::group::{Group, Share, Threads};
use crate::synthetic::{Kind, Planted};
use crate::updater::{DictionaryUpdater, KSvd, Step, UpdateReport};
use crate::{ProblemShape, Sign};

/// The number of samples of a minibatch, which has eight shards.
const SAMPLES: usize = 600;

/// Checks [`direction_sums`](SweepKernels::direction_sums) and
/// [`directions_of`](SweepKernels::directions_of), which a backend need not implement. Several
/// owners that each hold a part of a minibatch update by [`KSvd`]. Each of them must get the same
/// dictionary, report and state, bit by bit, as one owner that holds all samples.
///
/// # Panics
/// If an owner's result differs. The message names the owner.
pub fn owners<B: PursuitKernels + SweepKernels>(backend: &B) {
    for sign in [Sign::Signed, Sign::NonNegative] {
        for leading_pair in [1, 3].map(|iterations| LeadingPair::Power { iterations }) {
            let shape = ProblemShape { dim: 10, atoms: 24, sparsity: 3, sign };
            check(backend, &KSvd::new().atom_batch(9).leading_pair(leading_pair), &shape);
        }
    }
}

fn check<B: PursuitKernels + SweepKernels>(backend: &B, updater: &KSvd, shape: &ProblemShape) {
    let alone = learn(backend, updater, shape, None).expect("a sound device");
    for ranks in [2, 3] {
        let together: Vec<_> = thread::scope(|scope| {
            let owners = Threads::group_of(ranks).into_iter();
            let owners: Vec<_> = owners
                .map(|owner| scope.spawn(move || learn(backend, updater, shape, Some(owner))))
                .collect();
            owners.into_iter().map(|owner| owner.join().expect("no panic")).collect()
        });
        for (rank, owner) in together.into_iter().enumerate() {
            let (dictionary, report) = owner.expect("a backend that knows owners");
            let what = format!("owner {rank} of {ranks}: {updater:?}, {shape:?}");
            assert_same_bits(dictionary.as_ref(), alone.0.as_ref(), &what);
            assert_eq!(report, alone.1, "{what}");
        }
    }
}

type Learned<T> = (faer::Mat<T>, UpdateReport);

/// Two updates, made by one owner of a group, or by one owner that holds all samples.
fn learn<B: PursuitKernels + SweepKernels>(
    backend: &B,
    updater: &KSvd,
    shape: &ProblemShape,
    owner: Option<Threads>,
) -> Result<Learned<B::Scalar>, BackendError> {
    let planted = Planted::new(shape.dim, shape.atoms, shape.sparsity, SAMPLES);
    let planted = planted.kind(Kind::Correlated).sign(shape.sign).noise(0.1);
    let data = planted.seed(1).generate::<B::Scalar>().expect("a legal problem");
    let start = planted.seed(2).generate::<B::Scalar>().expect("a legal problem");
    let all = SampleShards::try_equal(8, SAMPLES).expect("a power of two");
    let (rank, ranks) = owner.as_ref().map_or((0, 1), |owner| (owner.rank(), owner.ranks()));
    let own = rank * 8 / ranks..(rank + 1) * 8 / ranks;
    let (shards, first) = (all.part(own.clone()), all.part(0..own.start).samples());
    let y = upload(backend, data.samples.subcols(first, shards.samples()));
    let share =
        owner.as_ref().map_or(Share::alone(shards.clone()), |owner| Share::new(owner, shards));

    let mut dictionary = upload(backend, start.dictionary.as_mat());
    let mut codes = backend.codes(shape.atoms, 0, shape.sparsity)?;
    let coder = BatchOmp::new();
    let mut coding = coder.prepare(backend, shape)?;
    let mut state = updater.prepare(backend, shape)?;
    let order: Vec<u32> = (0..shape.atoms as u32).rev().collect();
    let mut report = UpdateReport::default();
    for progress in [0.0, 0.5] {
        coder.set_dictionary(backend, &mut coding, &dictionary)?;
        coder.encode(backend, &coding, &dictionary, &y, &mut codes)?;
        let step = Step::new(&order, progress).with_share(&share);
        report = updater.update(backend, &mut state, &y, &mut codes, &mut dictionary, &step)?;
    }
    Ok((download(backend, &dictionary), report))
}
