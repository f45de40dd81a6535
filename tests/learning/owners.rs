//! Samples that several owners hold: any number of them has the bits of one.

use std::ops::Range;
use std::thread;

use dbksvd::backend::{Backend, SampleShards};
use dbksvd::coder::{BatchOmp, SparseCoder};
use dbksvd::error::BackendError;
use dbksvd::faer::Mat;
use dbksvd::group::{Group, Share, Threads};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{
    Decorrelation, DictionaryUpdater, Incoherent, KSvd, LeadingPair, MatryoshkaUpdates, Mod,
    Online, Renewal, SavedState, Step, UpdateReport,
};
use dbksvd::{DbKsvd, Faer, Groups, Outliers, ProblemShape, Sign, SparseCodes};

type Single = Faer<f32>;

const STEPS: usize = 3;

/// A few minibatches, and a dictionary of which two atoms are nearly alike.
struct Problem {
    shape: ProblemShape,
    minibatches: Vec<Mat<f32>>,
    dictionary: Mat<f32>,
}

impl Problem {
    fn new(sign: Sign) -> Self {
        let shape = ProblemShape { dim: 24, atoms: 60, sparsity: 4, sign };
        let planted = Planted::new(24, 60, 4, STEPS * 1997).kind(Kind::Correlated).noise(0.1);
        let data = planted.sign(sign).seed(1).generate::<f32>().expect("a legal problem");
        let mut dictionary = data.dictionary.as_mat().to_owned();
        for j in 0..60 {
            let atom = dictionary.col_as_slice_mut(j);
            atom[j % 24] += 0.3;
            normalize(atom);
        }
        // Two that are nearly alike.
        for i in 0..24 {
            dictionary[(i, 30)] += 5.0 * dictionary[(i, 0)];
        }
        normalize(dictionary.col_as_slice_mut(30));
        let mut minibatches: Vec<_> =
            (0..STEPS).map(|step| data.samples.subcols(step * 1997, 1997).to_owned()).collect();
        // A sample that outweighs all others, some that are alike, and some that are zero.
        minibatches[1].col_mut(700).iter_mut().for_each(|x| *x *= 3e3);
        let alike = minibatches[1].col(100).to_owned();
        minibatches[1].col_mut(1900).copy_from(&alike);
        minibatches[2].col_mut(3).fill(0.0);
        Self { shape, minibatches, dictionary }
    }

    /// Those of every minibatch.
    fn shards(&self) -> SampleShards {
        SampleShards::try_equal(8, 1997).expect("a power of two")
    }
}

fn normalize(atom: &mut [f32]) {
    let norm = atom.iter().map(|x| x * x).sum::<f32>().sqrt();
    atom.iter_mut().for_each(|x| *x /= norm);
}

/// What learning gives one owner.
#[derive(Debug, PartialEq)]
struct Learned {
    dictionary: Vec<u32>,
    reports: Vec<UpdateReport>,
    saved: SavedState<f32>,
    codes: Vec<SparseCodes<f32>>,
}

fn learn<U: DictionaryUpdater<Single>>(
    problem: &Problem,
    updater: &U,
    group: Option<&dyn Group>,
    own: Range<usize>,
) -> Result<Learned, BackendError> {
    let backend = Single::default();
    let (coder, shape) = (BatchOmp::new(), &problem.shape);
    let mut coding = SparseCoder::<Single>::prepare(&coder, &backend, shape)?;
    let mut state = updater.prepare(&backend, shape)?;
    let mut dictionary = problem.dictionary.clone();
    let (mut reports, mut all_codes) = (Vec::new(), Vec::new());
    let mut order: Vec<u32> = (0..shape.atoms as u32).collect();
    let all = problem.shards();
    let shards = all.part(own.clone());
    let first = all.part(0..own.start).samples();
    let share = match group {
        None => Share::alone(shards),
        Some(group) => Share::new(group, shards),
    };
    for (number, samples) in problem.minibatches.iter().enumerate() {
        let own = samples.subcols(first, share.shards().samples()).to_owned();
        let mut codes = backend.codes(shape.atoms, 0, shape.sparsity)?;
        coder.set_dictionary(&backend, &mut coding, &dictionary)?;
        coder.encode(&backend, &coding, &dictionary, &own, &mut codes)?;
        order.rotate_left(7);
        let step = Step::new(&order, number as f64 / STEPS as f64).with_share(&share);
        let (y, x, d) = (&own, &mut codes, &mut dictionary);
        reports.push(updater.update(&backend, &mut state, y, x, d, &step)?);
        all_codes.push(codes);
    }
    let bits = |atom: usize| dictionary.col_as_slice(atom).iter().map(|x| x.to_bits());
    Ok(Learned {
        dictionary: (0..shape.atoms).flat_map(bits).collect(),
        reports,
        saved: updater.save(&backend, &state)?,
        codes: all_codes,
    })
}

/// Shards as evenly dealt out as can be.
fn part(rank: usize, ranks: usize) -> Range<usize> {
    rank * 8 / ranks..(rank + 1) * 8 / ranks
}

fn learn_together<U: DictionaryUpdater<Single>>(
    problem: &Problem,
    updater: &U,
    ranks: usize,
) -> Vec<Result<Learned, BackendError>> {
    thread::scope(|scope| {
        let owners: Vec<_> = Threads::group_of(ranks)
            .into_iter()
            .map(|owner| {
                scope
                    .spawn(move || learn(problem, updater, Some(&owner), part(owner.rank(), ranks)))
            })
            .collect();
        owners.into_iter().map(|owner| owner.join().expect("no panic")).collect()
    })
}

fn check<U: DictionaryUpdater<Single>>(sign: Sign, updater: &U) -> Learned {
    check_on(&Problem::new(sign), updater)
}

fn check_on<U: DictionaryUpdater<Single>>(problem: &Problem, updater: &U) -> Learned {
    let sign = problem.shape.sign;
    let alone = learn(problem, updater, None, 0..8).expect("memory");
    for ranks in [1, 2, 3, 4, 5, 8, 11] {
        let together: Vec<Learned> = learn_together(problem, updater, ranks)
            .into_iter()
            .map(|learned| learned.expect("all owners are here"))
            .collect();
        for (rank, owner) in together.iter().enumerate() {
            let what = format!("owner {rank} of {ranks}, {sign:?}");
            assert!(owner.dictionary == alone.dictionary, "dictionary: {what}");
            assert_eq!(owner.reports, alone.reports, "{what}");
            assert_eq!(owner.saved, alone.saved, "{what}");
        }
        for (step, alone) in alone.codes.iter().enumerate() {
            let together: Vec<_> = together
                .iter()
                .flat_map(|owner| owner.codes[step].iter())
                .map(|(support, values)| (support.to_vec(), values.to_vec()))
                .collect();
            let alone = alone.iter().map(|(support, values)| (support.to_vec(), values.to_vec()));
            assert!(alone.eq(together), "codes of step {step}: {ranks} owners, {sign:?}");
        }
    }
    alone
}

/// Renewal that is due in every minibatch.
fn renewal() -> Renewal {
    Renewal { window: 50.0, max_coherence: 0.9, ..Renewal::default() }
}

#[test]
fn owners_have_the_bits_of_one() {
    for sign in [Sign::Signed, Sign::NonNegative] {
        let learned = check(sign, &KSvd::new().renewal(Some(renewal())));
        let replaced: usize = learned.reports.iter().map(|report| report.replaced).sum();
        let merged: usize = learned.reports.iter().map(|report| report.merged).sum();
        assert!(replaced > 0 && merged > 0, "nothing was renewed: {:?}", learned.reports);
    }
}

#[test]
fn so_they_do_with_batches_that_are_undone_and_atoms_that_are_decorrelated() {
    let updater = KSvd::new().atom_batch(60).decorrelation(Some(Decorrelation::default()));
    let mut problem = Problem::new(Sign::Signed);
    // All atoms of a sample explain much the same, so that together they overshoot.
    for j in 0..problem.shape.atoms {
        let atom = problem.dictionary.col_as_slice_mut(j);
        atom.iter_mut().for_each(|x| *x += 0.6);
        normalize(atom);
    }
    let learned = check_on(&problem, &updater);
    let undone: usize = learned.reports.iter().map(|report| report.undone).sum();
    assert!(undone > 0, "no batch was undone: {:?}", learned.reports);
}

#[test]
fn so_they_do_with_several_power_steps() {
    check(Sign::Signed, &KSvd::new().leading_pair(LeadingPair::Power { iterations: 4 }));
    check(Sign::NonNegative, &KSvd::new().leading_pair(LeadingPair::Exact).atom_batch(7));
}

#[test]
fn so_they_do_where_an_updater_is_part_of_another() {
    check(Sign::Signed, &Incoherent::new(KSvd::new(), 0.8));
    let groups = Groups::new([15, 45]);
    check(Sign::Signed, &MatryoshkaUpdates::new(groups));
}

#[test]
fn one_owner_has_the_same_bits_on_any_number_of_threads() {
    let problem = Problem::new(Sign::Signed);
    let updater = KSvd::new().renewal(Some(renewal()));
    let on_threads = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| learn(&problem, &updater, None, 0..8).expect("memory"))
    };
    assert_eq!(on_threads(3), on_threads(1));
}

/// Minibatches of sixteen shards, of which samples that are dropped shorten some.
#[test]
fn a_run_that_drops_samples_has_the_same_bits_on_any_number_of_threads() {
    let planted = Planted::new(128, 16, 4, 9000).noise(0.1).seed(3);
    let mut samples = planted.generate::<f32>().expect("a legal problem").samples;
    for i in (0..1000).step_by(7) {
        samples.col_mut(i).iter_mut().for_each(|x| *x *= 50.0);
    }
    let shape = ProblemShape { dim: 128, atoms: 16, sparsity: 4, sign: Sign::Signed };
    assert_eq!(SampleShards::of(&shape, 8192).total(), 16);
    let fit = |threads| {
        let builder = DbKsvd::builder(16, 4).minibatch(8192).epochs(2).seed(1);
        let learner = builder.outliers(Outliers::Drop(3.0)).build().expect("a legal setting");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        pool.install(|| learner.fit(&samples).expect("sound samples"))
    };
    let ((one, report), (three, again)) = (fit(1), fit(3));
    assert!(report.epochs.iter().all(|epoch| epoch.dropped == 143), "{:?}", report.epochs);
    assert!(report.epochs[1].fvu < report.epochs[0].fvu, "{:?}", report.epochs);
    for atom in 0..16 {
        assert_eq!(one.dictionary().atom(atom), three.dictionary().atom(atom), "atom {atom}");
    }
    for (one, three) in report.epochs.iter().zip(&again.epochs) {
        assert_eq!(one.fvu.to_bits(), three.fvu.to_bits());
    }
}

#[test]
fn what_wants_all_samples_in_one_place_says_so() {
    fn refused<U: DictionaryUpdater<Single>>(updater: &U) {
        for learned in learn_together(&Problem::new(Sign::Signed), updater, 2) {
            let error = learned.expect_err("samples that another owner holds");
            assert!(matches!(error, BackendError::Unsupported { .. }), "{error}");
            assert!(error.to_string().contains("several owners"), "{error}");
        }
    }
    refused(&KSvd::textbook());
    refused(&Mod::new());
    refused(&Online::new());
}

#[test]
fn owners_whose_shards_are_not_those_of_the_minibatch_are_told() {
    let problem = Problem::new(Sign::Signed);
    let errors: Vec<_> = thread::scope(|scope| {
        let owners: Vec<_> = Threads::group_of(2)
            .into_iter()
            .map(|owner| {
                let problem = &problem;
                scope.spawn(move || learn(problem, &KSvd::new(), Some(&owner), 0..3))
            })
            .collect();
        owners.into_iter().map(|owner| owner.join().expect("no panic")).collect()
    });
    for learned in errors {
        let error = learned.expect_err("six shards of eight").to_string();
        assert!(error.contains("6 shards, expected 8"), "{error}");
    }
}
