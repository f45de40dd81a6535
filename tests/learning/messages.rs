//! What owners tell each other: how much it is, the Gram matrix in parts, and what is damaged.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dbksvd::coder::AnyCoder;
use dbksvd::error::BackendError;
use dbksvd::group::{Group, Solo, Threads, check_parts};
use dbksvd::synthetic::Planted;
use dbksvd::updater::{KSvd, Renewal};
use dbksvd::{DbKsvd, Groups, Sign};

use crate::together::{samples, together, told};

/// A group that counts the bytes that its owner sends, and may have each owner compute all of the
/// Gram matrix.
#[derive(Debug)]
pub struct Counted {
    group: Threads,
    shares_products: bool,
    sent: AtomicU64,
}

impl Counted {
    pub fn new(group: Threads, shares_products: bool) -> Self {
        Self { group, shares_products, sent: AtomicU64::new(0) }
    }

    fn count(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Group for Counted {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn ranks(&self) -> usize {
        self.group.ranks()
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, BackendError> {
        self.count(own.len() * (self.ranks() - 1));
        self.group.gather(own)
    }

    fn exchange(&self, own: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, BackendError> {
        let others = own.iter().enumerate().filter(|&(rank, _)| rank != self.rank());
        self.count(others.map(|(_, part)| part.len()).sum());
        self.group.exchange(own)
    }

    fn shares_products(&self) -> bool {
        self.shares_products
    }

    fn leave(&self, reason: &str) {
        self.group.leave(reason);
    }
}

/// Directions are nearly all that is sent, in two sweeps that each reduce and gather d × m numbers,
/// and the Gram matrix in 16 bits, if each owner computes a part of it.
#[test]
fn owners_send_what_the_model_of_time_says() {
    let (dim, atoms) = (512, 1024);
    let planted = Planted::new(dim, atoms, 12, 2048).noise(0.1).generate::<f32>();
    let data = planted.expect("a legal problem").samples;
    let learner = |steps: usize| {
        let learner = DbKsvd::builder(atoms, 12).minibatch(2048).epochs(steps).shards(4);
        learner.build().expect("a legal setting")
    };
    let alone = told(&learner(2).run(&data).finish().expect("sound samples"));
    for (ranks, shares_products) in [(2, false), (2, true), (4, true)] {
        let sent = |steps: usize| -> Vec<u64> {
            let learner = learner(steps);
            let sent = together(ranks, |owner| {
                let owner = Counted::new(owner, shares_products);
                let fit = learner.run(&data).group(&owner).finish().expect("sound samples");
                let undone: usize = fit.report.epochs.iter().map(|epoch| epoch.undone).sum();
                assert_eq!(undone, 0, "batches that are undone are sent again");
                if steps == 2 {
                    assert!(told(&fit) == alone, "{:?}", fit.report);
                }
                owner.sent.load(Ordering::Relaxed)
            });
            sent.into_iter().map(|sent| sent.expect("no panic")).collect()
        };
        // What a run sends before its first step, and at its end, falls out of the difference.
        let (one, two) = (sent(1), sent(2));
        let directions = 2 * 2 * dim * atoms * size_of::<f32>();
        let gram = if shares_products { atoms * atoms * size_of::<i16>() } else { 0 };
        let expected = ((directions + gram) * (ranks - 1) / ranks) as f64;
        for (one, two) in one.into_iter().zip(two) {
            let a_step = (two - one) as f64;
            assert!((1.0..1.05).contains(&(a_step / expected)), "{a_step} bytes, not {expected}");
        }
    }
}

/// Each owner computes a part of the Gram matrix of each group of atoms. A coder that is chosen at
/// run time passes this on.
#[test]
fn owners_compute_parts_of_the_gram_matrices_of_groups_of_atoms() {
    let data = samples::<f32>(3001, Sign::NonNegative, 1);
    let learner = DbKsvd::builder(40, 3).sign(Sign::NonNegative).minibatch(700).epochs(2).shards(8);
    let learner = learner.matryoshka(Groups::new([10, 30]));
    let learner = learner.map_parts(|coder, updater| (AnyCoder::from(coder), updater));
    let learner = learner.build().expect("a legal setting");
    let alone = told(&learner.run(&data).finish().expect("sound samples"));
    let sent = [false, true].map(|shares_products| {
        let sent = together(3, |owner| {
            let owner = Counted::new(owner, shares_products);
            let fit = learner.run(&data).group(&owner).finish().expect("sound samples");
            assert!(told(&fit) == alone, "{:?}", fit.report);
            owner.sent.load(Ordering::Relaxed)
        });
        sent.into_iter().map(|sent| sent.expect("no panic")).sum::<u64>()
    });
    assert!(sent[0] < sent[1], "the parts are not sent: {sent:?} bytes");
}

/// What becomes of a message on its way.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// This many bytes of its end are missing.
    Cut(usize),
    /// This many bytes come after its end.
    More(usize),
}

impl Damage {
    fn of(self, message: &mut Vec<u8>) {
        let length = message.len();
        match self {
            Self::Cut(bytes) => message.truncate(length.saturating_sub(bytes)),
            Self::More(bytes) => message.resize(length + bytes, 0x3f),
        }
    }
}

/// A group in which one of the messages of this owner is damaged.
#[derive(Debug)]
struct Garbled {
    group: Threads,
    damage: Option<Damage>,
    /// How many messages go before the damaged one.
    left: AtomicUsize,
}

impl Garbled {
    /// The damage, if it is to happen to this message.
    fn next(&self) -> Option<Damage> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        self.damage.filter(|_| left == 0)
    }
}

impl Group for Garbled {
    fn rank(&self) -> usize {
        self.group.rank()
    }

    fn ranks(&self) -> usize {
        self.group.ranks()
    }

    fn gather(&self, own: &[u8]) -> Result<Vec<Vec<u8>>, BackendError> {
        let mut own = own.to_vec();
        if let Some(damage) = self.next() {
            damage.of(&mut own);
        }
        self.group.gather(&own)
    }

    fn exchange(&self, own: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, BackendError> {
        let mut own = own.to_vec();
        if let Some(damage) = self.next() {
            own.iter_mut().for_each(|part| damage.of(part));
        }
        self.group.exchange(&own)
    }

    fn shares_products(&self) -> bool {
        true
    }

    fn leave(&self, reason: &str) {
        self.group.leave(reason);
    }
}

/// Every message of a run, damaged in turn: the run ends with an error at every owner, or what has
/// been damaged is no part of what is read, and the run is that of sound messages. No owner panics,
/// and none waits for ever.
#[test]
fn a_damaged_message_is_an_error_or_makes_no_difference() {
    let data = samples::<f32>(300, Sign::NonNegative, 1);
    let renewal = Renewal { window: 5.0, max_coherence: 0.8, ..Renewal::default() };
    let learner = DbKsvd::builder(20, 3).sign(Sign::NonNegative).minibatch(150).epochs(1).shards(4);
    let learner = learner.center(true).updater(KSvd::new().renewal(Some(renewal)));
    let learner = learner.build().expect("a legal setting");
    let run = |damage: Option<Damage>, number: usize| {
        let fits = together(2, |owner| {
            let damage = damage.filter(|_| owner.rank() == 1);
            let owner = Garbled { group: owner, damage, left: AtomicUsize::new(number) };
            let fit = learner.run(&data).group(&owner).finish();
            (fit, number.wrapping_sub(owner.left.into_inner()))
        });
        fits.into_iter().map(|fit| fit.expect("no panic")).collect::<Vec<_>>()
    };
    let sound = run(None, usize::MAX);
    let messages = sound[1].1;
    let expected = told(sound[1].0.as_ref().expect("sound samples"));
    assert!(messages > 20, "{messages} messages");
    let mut errors = 0;
    for damage in [Damage::Cut(1), Damage::Cut(8), Damage::More(1), Damage::More(8)] {
        for number in 0..messages {
            let fits = run(Some(damage), number);
            let failed = fits.iter().filter(|(fit, _)| match fit {
                Ok(fit) => fit.failure.is_some(),
                Err(_) => true,
            });
            let failed = failed.count();
            errors += failed;
            if failed == 0 {
                let same =
                    fits.iter().all(|(fit, _)| fit.as_ref().is_ok_and(|f| told(f) == expected));
                assert!(same, "{damage:?} of message {number} of {messages} went unnoticed");
            }
            let what = format!("{damage:?} of message {number} of {messages}");
            assert!(failed == 0 || failed == 2, "one owner alone failed: {what}");
        }
    }
    // Most messages are read to their ends.
    assert!(errors > 4 * messages, "{errors} errors of {messages} messages");
}

#[test]
fn parts_are_one_for_each_owner() {
    assert_eq!((Solo.rank(), Solo.ranks()), (0, 1));
    assert_eq!(Solo.gather(&[1, 2]).unwrap(), [[1, 2]]);
    assert_eq!(Solo.exchange(&[vec![3]]).unwrap(), [[3]]);
    check_parts(&[vec![]], &Solo).unwrap();
    let owners = Threads::group_of(3);
    for (parts, owner) in [(2, &owners[2]), (4, &owners[0])] {
        let error = check_parts(&vec![vec![]; parts], owner).unwrap_err().to_string();
        let expected = format!("{parts} parts are given, expected one for each of 3 owners");
        assert!(error.contains(&expected), "{error}");
        let exchanged = owner.exchange(&vec![vec![]; parts]).unwrap_err();
        assert_eq!(exchanged.to_string(), error);
    }
}
