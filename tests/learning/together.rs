//! Runs of several owners: any number of them has the model and the report of one.

use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use dbksvd::backend::LeadingPair;
use dbksvd::coder::SparseCoder;
use dbksvd::error::SourceError;
use dbksvd::faer::Mat;
use dbksvd::group::{Group, Solo, Threads};
use dbksvd::learn::{
    Checkpoints, Every, FeatureRecipe, Fit, Growth, Initialisation, Plateau, Progress, Resume,
    StopReason, StopToken,
};
use dbksvd::source::{HeldOut, SampleSource};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{
    DictionaryUpdater, Incoherent, KSvd, MatryoshkaUpdates, Mod, Online, Renewal,
};
use dbksvd::{DbKsvd, Error, Faer, Groups, Outliers, Scalar, Sign};

use crate::messages::Counted;

const RANKS: [usize; 7] = [1, 2, 3, 4, 5, 8, 9];

/// Runs `learn` at every owner of a group of threads, and catches what panics.
pub fn together<R: Send>(
    ranks: usize,
    learn: impl Fn(Threads) -> R + Sync,
) -> Vec<thread::Result<R>> {
    thread::scope(|scope| {
        let learn = &learn;
        let owners: Vec<_> = Threads::group_of(ranks)
            .into_iter()
            .map(|owner| scope.spawn(move || catch_unwind(AssertUnwindSafe(|| learn(owner)))))
            .collect();
        owners.into_iter().map(|owner| owner.join().expect("panics are caught")).collect()
    })
}

/// Samples of which every ninth has thirty times the usual norm, and some are zero.
pub fn samples<T: Scalar>(count: usize, sign: Sign, seed: u64) -> Mat<T> {
    let planted = Planted::new(16, 40, 3, count).kind(Kind::Correlated).noise(0.1);
    let mut samples = planted.sign(sign).seed(seed).generate::<T>().expect("a problem").samples;
    let thirty = T::narrow(30.0);
    for i in (0..count).step_by(9) {
        samples.col_mut(i).iter_mut().for_each(|x| *x *= thirty);
    }
    for i in (4..count).step_by(100) {
        samples.col_mut(i).iter_mut().for_each(|x| *x = T::zero());
    }
    samples
}

/// All that a run gives but its seconds, in words that tell any two numbers apart.
pub fn told<T: Scalar>(fit: &Fit<T>) -> String {
    let mut report = fit.report.clone();
    report.seconds = Default::default();
    report.epochs.iter_mut().for_each(|epoch| epoch.elapsed = 0.0);
    report.evaluations.iter_mut().for_each(|evaluation| evaluation.elapsed = 0.0);
    let bits = |model: &dbksvd::Model<T>| -> Vec<u64> {
        let atoms = model.dictionary().as_mat().col_iter();
        let preprocessing = model.preprocessing();
        let mean = preprocessing.mean().unwrap_or_default().iter().copied();
        let numbers = atoms.flat_map(|atom| atom.iter().copied()).chain(mean);
        let limits = [preprocessing.scale(), preprocessing.norm_limit().unwrap_or(0.0)];
        numbers.map(|x| x.widen().to_bits()).chain(limits.map(f64::to_bits)).collect()
    };
    let best = fit.best.as_ref().map(|best| (best.step, best.fvu, bits(&best.model)));
    format!("{report:?}\n{:?}\n{best:?}\n{:?}", bits(&fit.model), fit.failure)
}

/// Compares owners of every number with one, on data with held-out samples of several blocks.
pub fn check<T, C, U>(learner: &DbKsvd<Faer<T>, C, U>, sign: Sign) -> Fit<T>
where
    T: Scalar,
    C: SparseCoder<Faer<T>>,
    U: DictionaryUpdater<Faer<T>>,
{
    check_on(learner, &samples::<T>(3001, sign, 1), &samples::<T>(9000, sign, 2))
}

fn check_on<T, C, U>(learner: &DbKsvd<Faer<T>, C, U>, data: &Mat<T>, held_out: &Mat<T>) -> Fit<T>
where
    T: Scalar,
    C: SparseCoder<Faer<T>>,
    U: DictionaryUpdater<Faer<T>>,
{
    let alone = learner.run(data).held_out(held_out).finish().expect("sound samples");
    assert!(alone.failure.is_none(), "{:?}", alone.failure);
    let expected = told(&alone);
    let solo = learner.run(data).held_out(held_out).group(&Solo).finish();
    assert_eq!(told(&solo.expect("sound samples")), expected);
    for ranks in RANKS {
        let fits = together(ranks, |owner| {
            learner.run(data).held_out(held_out).group(&owner).finish().expect("sound samples")
        });
        for (rank, fit) in fits.into_iter().enumerate() {
            let fit = fit.expect("no panic");
            assert!(told(&fit) == expected, "owner {rank} of {ranks}:\n{:?}", fit.report);
        }
    }
    alone
}

fn renewal() -> Renewal {
    Renewal { window: 30.0, max_coherence: 0.9, ..Renewal::default() }
}

#[test]
fn owners_have_the_run_of_one_with_growth_and_samples_that_are_dropped() {
    let growth = Growth { doublings: 2, until: 0.6 };
    let learner = DbKsvd::builder(40, 3).minibatch(700).epochs(3).seed(5).shards(8);
    let learner = learner.center(true).outliers(Outliers::Drop(4.0)).growth(Some(growth));
    let fit = check(&learner.build().expect("a legal setting"), Sign::Signed);
    let epochs = &fit.report.epochs;
    assert!(epochs.iter().all(|epoch| epoch.dropped > 0 && epoch.zeros > 0), "{epochs:?}");
    assert_eq!(fit.model.atoms(), 40);
    assert!(fit.best.is_some());
}

#[test]
fn so_they_do_where_atoms_are_renewed() {
    let renewal = Renewal { window: 5.0, max_coherence: 0.8, ..Renewal::default() };
    let learner = DbKsvd::builder(80, 3).minibatch(700).epochs(3).shards(8);
    let learner = learner.initialisation(Initialisation::Gaussian);
    let learner = learner.updater(KSvd::new().renewal(Some(renewal)));
    // A sample that outweighs all others gets an atom.
    let mut data = samples::<f32>(3001, Sign::Signed, 1);
    data.col_mut(700).iter_mut().for_each(|x| *x *= 1e3);
    let held_out = samples(9000, Sign::Signed, 2);
    let fit = check_on(&learner.build().expect("a legal setting"), &data, &held_out);
    let (replaced, merged) = fit.report.epochs.iter().fold((0, 0), |(replaced, merged), epoch| {
        (replaced + epoch.replaced, merged + epoch.merged)
    });
    assert!(replaced > 0 && merged > 0, "{replaced} replaced, {merged} merged");
}

#[test]
fn so_they_do_in_double_precision_with_samples_that_are_clipped() {
    let learner = DbKsvd::builder_on(Faer::<f64>::default(), 40, 3).sign(Sign::NonNegative);
    let learner = learner.minibatch(500).epochs(2).shards(8).evaluate_every(Every::Steps(2));
    let learner = learner.center(true).scale(true).outliers(Outliers::Clip(3.0));
    let fit = check(&learner.build().expect("a legal setting"), Sign::NonNegative);
    let clipped: usize = fit.report.epochs.iter().map(|epoch| epoch.clipped).sum();
    assert!(clipped > 0, "{:?}", fit.report);
    let within = fit.report.epochs.iter().all(|epoch| epoch.fvu_within != epoch.fvu);
    assert!(within, "{:?}", fit.report);
}

#[test]
fn so_they_do_with_groups_of_atoms_and_with_fewer_shards_than_owners() {
    let builder = || DbKsvd::builder(40, 3).minibatch(700).epochs(2);
    let learner = builder().shards(2).matryoshka(Groups::new([10, 30]));
    check(&learner.build().expect("a legal setting"), Sign::Signed);
    let plateau = Plateau { window: 1, least: 0.5 };
    let learner = builder().plateau(plateau).updater(Incoherent::new(KSvd::new(), 0.9));
    let fit = check(&learner.build().expect("a legal setting"), Sign::Signed);
    assert_eq!(fit.report.stop, StopReason::Plateau);
}

/// A run of 12 steps.
fn learner() -> DbKsvd {
    let learner = DbKsvd::builder(40, 3).minibatch(750).epochs(3).shards(8).center(true);
    let learner = learner.updater(KSvd::new().renewal(Some(renewal())));
    learner.held_out(HeldOut::Share(0.1)).build().expect("a legal setting")
}

#[test]
fn what_several_owners_have_saved_any_number_goes_on_with() {
    let data = samples::<f32>(3001, Sign::Signed, 1);
    let learner = learner();
    let whole = learner.run(&data).finish().expect("sound samples");
    for (first, then) in [(4, 2), (4, 1), (1, 3)] {
        let directory = tempfile::tempdir().expect("a place for files");
        let plan = || Checkpoints::new(directory.path()).every(None).every_steps(2);
        let stopped = together(first, |owner| {
            // An owner that does not lead ends the run.
            let last = owner.ranks() - 1;
            let is_last = owner.rank() == last;
            let mut end = |progress: &Progress| match progress.total_steps {
                5 if is_last => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            let run = learner.run(&data).observer(&mut end).checkpoints(plan());
            run.group(&owner).finish().expect("sound samples")
        });
        for fit in stopped {
            let report = fit.expect("no panic").report;
            assert_eq!((report.stop, report.steps), (StopReason::Observer, 5));
        }
        let resumed = together(then, |owner| {
            let run = learner.run(&data).checkpoints(plan().resume(Resume::Always));
            run.group(&owner).finish().expect("sound samples")
        });
        for fit in resumed {
            let mut fit = fit.expect("no panic");
            assert_eq!(fit.report.resumed_from.take(), Some(5));
            assert!(told(&fit) == told(&whole), "{first}, then {then}: {:?}", fit.report);
        }
    }
}

#[test]
fn a_token_ends_the_run_at_any_owner() {
    let data = samples::<f32>(900, Sign::Signed, 1);
    let fits = together(3, |owner| {
        let token = StopToken::new();
        if owner.rank() == 2 {
            token.stop();
        }
        learner().run(&data).stop_token(token).group(&owner).finish().expect("sound samples")
    });
    for fit in fits {
        assert_eq!(fit.expect("no panic").report.stop, StopReason::Token);
    }
}

/// What happens at the owner whose source this is, once it has read so many samples.
#[derive(Clone, Copy)]
enum Fate {
    Fails,
    Panics,
}

struct Doomed<'a> {
    data: &'a Mat<f32>,
    fate: Option<Fate>,
    left: AtomicUsize,
}

impl SampleSource<f32> for Doomed<'_> {
    fn dim(&self) -> usize {
        self.data.nrows()
    }

    fn len(&self) -> usize {
        self.data.ncols()
    }

    fn read(&self, range: Range<usize>, into: &mut [f32]) -> Result<(), SourceError> {
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(range.len())
        });
        match (taken, self.fate) {
            (Err(_), Some(Fate::Fails)) => Err(SourceError::Other("the disk has gone".into())),
            (Err(_), Some(Fate::Panics)) => panic!("killed"),
            _ => SampleSource::read(self.data, range, into),
        }
    }
}

#[test]
fn an_owner_that_fails_or_goes_is_named_and_the_last_checkpoint_is_whole() {
    let data = samples::<f32>(3001, Sign::Signed, 1);
    let learner = learner();
    let whole = learner.run(&data).finish().expect("sound samples");
    for (fate, reason) in [(Fate::Fails, "the disk has gone"), (Fate::Panics, "has gone")] {
        for doomed in [0, 2] {
            let directory = tempfile::tempdir().expect("a place for files");
            let plan = || Checkpoints::new(directory.path()).every(None).every_steps(1);
            let fits = together(4, |owner| {
                let is_doomed = owner.rank() == doomed;
                // Owner 0 takes the mean, and draws and measures the dictionary, besides. Both fail
                // within an epoch.
                let some = if doomed == 0 { 4200 } else { 1500 };
                let left = AtomicUsize::new(if is_doomed { some } else { usize::MAX });
                let source = Doomed { data: &data, fate: is_doomed.then_some(fate), left };
                learner.run(&source).checkpoints(plan()).group(&owner).finish()
            });
            for (rank, fit) in fits.into_iter().enumerate() {
                let fit = match (rank == doomed, fate) {
                    (true, Fate::Panics) => {
                        assert!(fit.is_err());
                        continue;
                    }
                    _ => fit.expect("no panic"),
                };
                let fit = fit.expect("a run that had begun");
                let failure = fit.failure.expect("a failure").to_string();
                assert!(failure.contains(reason), "{failure}");
                let names = failure.contains(&format!("owner {doomed} of the group"));
                assert!(names || rank == doomed, "{failure}");
            }
            let run = learner.run(&data).checkpoints(plan().resume(Resume::Always));
            let mut resumed = run.finish().expect("a whole checkpoint");
            assert!(resumed.report.resumed_from.take().is_some_and(|step| step > 0));
            assert!(told(&resumed) == told(&whole), "{:?}", resumed.report);
        }
    }
}

#[test]
fn owners_that_do_not_make_the_same_run_are_told() {
    let (data, other) =
        (samples::<f32>(900, Sign::Signed, 1), samples::<f32>(900, Sign::Signed, 2));
    let fits = together(3, |owner| {
        let data = if owner.rank() == 2 { &other } else { &data };
        learner().run(data).group(&owner).finish().map(|_| ())
    });
    for fit in fits {
        let error = fit.expect("no panic").expect_err("other samples").to_string();
        assert!(error.contains("owner 2") && error.contains("data.fingerprint"), "{error}");
    }
    let fits = together(2, |owner| {
        let learner = DbKsvd::builder(20, 3).minibatch(if owner.rank() == 1 { 90 } else { 100 });
        let learner = learner.build().expect("a legal setting");
        learner.run(&data).group(&owner).finish().map(|_| ())
    });
    for fit in fits {
        let error = fit.expect("no panic").expect_err("another minibatch").to_string();
        assert!(error.contains("owner 1") && error.contains("`minibatch 90`"), "{error}");
    }
    let fits = together(2, |owner| {
        let shares_products = owner.rank() == 0;
        let owner = Counted::new(owner, shares_products);
        learner().run(&data).group(&owner).finish().map(|_| ())
    });
    for fit in fits {
        let error = fit.expect("no panic").expect_err("another way to the Gram matrix").to_string();
        assert!(error.contains("owner 1") && error.contains("`shares_products false`"), "{error}");
    }
    let parts = together(2, |owner| owner.exchange(&[Vec::new()]));
    for part in parts {
        let error = part.expect("no panic").expect_err("a part is missing").to_string();
        assert!(error.contains("1 parts are given, expected one for each of 2 owners"), "{error}");
    }
    assert_eq!(
        (
            learner().shards_of(&data),
            DbKsvd::builder(40, 3).build().expect("legal").shards_of(&data)
        ),
        (8, 1)
    );
}

#[test]
fn other_held_out_samples_are_told_and_their_checkpoints_are_refused_at_every_owner() {
    let data = samples::<f32>(900, Sign::Signed, 1);
    let held_out = [2, 3].map(|seed| samples::<f32>(400, Sign::Signed, seed));
    let learner = DbKsvd::builder(20, 3).minibatch(300).epochs(1).shards(4);
    let learner = learner.build().expect("a legal setting");
    let fits = together(3, |owner| {
        let held_out = &held_out[usize::from(owner.rank() == 1)];
        learner.run(&data).held_out(held_out).group(&owner).finish().map(|_| ())
    });
    for fit in fits {
        let error = fit.expect("no panic").expect_err("other samples").to_string();
        assert!(error.contains("owner 1") && error.contains("held_out_data"), "{error}");
    }
    let directory = tempfile::tempdir().expect("a place for files");
    let learn = |held_out: &Mat<f32>| {
        together(2, |owner| {
            let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
            let run = learner.run(&data).held_out(held_out).checkpoints(checkpoints);
            run.group(&owner).finish().map(|_| ())
        })
    };
    for fit in learn(&held_out[0]) {
        fit.expect("no panic").expect("a new run");
    }
    for fit in learn(&held_out[1]) {
        let error = fit.expect("no panic").expect_err("another run's checkpoint").to_string();
        assert!(error.contains("held_out_data"), "{error}");
    }
}

#[test]
fn a_recipe_whose_first_stage_owners_share_gives_the_model_of_one_run() {
    let data = samples::<f32>(1200, Sign::NonNegative, 1);
    let recipe = FeatureRecipe::new(40, 3.0).total_epochs(3);
    let recipe = recipe.linear(recipe.linear.minibatch(200));
    let first = recipe.dictionary(16).expect("a legal recipe").minibatch(400).shards(4);
    let first = first.build().expect("a legal setting");
    let whole = recipe.run(&first, &data).finish().expect("sound samples").model;
    for fit in together(3, |owner| first.run(&data).group(&owner).finish()) {
        let dictionary = fit.expect("no panic").expect("sound samples").model;
        let (model, _) = recipe.linear.fit(&dictionary, &data).expect("sound samples");
        assert!(model == whole);
    }
}

/// A source that must not be read.
struct Sealed;

impl SampleSource<f32> for Sealed {
    fn dim(&self) -> usize {
        16
    }

    fn len(&self) -> usize {
        900
    }

    fn read(&self, _: Range<usize>, _: &mut [f32]) -> Result<(), SourceError> {
        panic!("a refused run has read samples");
    }
}

#[test]
fn what_wants_all_samples_in_one_place_is_refused_before_any_is_read() {
    fn refused<U: DictionaryUpdater<Faer<f32>> + Clone>(updater: &U, name: &str) {
        let learner = DbKsvd::builder(20, 3).updater(updater.clone()).build().expect("legal");
        let fits = together(2, |owner| learner.run(&Sealed).group(&owner).finish().map(|_| ()));
        for fit in fits {
            let error = fit.expect("no panic").expect_err("several owners");
            assert!(matches!(error, Error::Argument { .. }), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }
    refused(&Mod::new(), "Mod");
    refused(&Online::new(), "Online");
    refused(&KSvd::new().leading_pair(LeadingPair::Exact), "leading_pair");
    refused(&Incoherent::new(Mod::new(), 0.9), "Mod");
    let groups = Groups::new([5, 15]);
    refused(&MatryoshkaUpdates::new(groups).updater(Online::new()), "Online");
    let runs = together(2, |owner| {
        let runs = learner().run(&Sealed).group(&owner).best_of(2);
        runs.map(|_| ()).expect_err("several owners").to_string()
    });
    for error in runs {
        assert!(error.expect("no panic").contains("`best_of`"));
    }
}
