//! A warm update and a warm encode allocate nothing, and threads that share an encoder share what
//! it derived of the dictionary.
//!
//! An allocator that counts is the one place of this repository where code is `unsafe`: the trait
//! demands it. It hands every call on to the system's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dbksvd::backend::Backend;
use dbksvd::coder::{
    BatchOmp, Coefficients, Exact, MatchingPursuit, Omp, Selection, SparseCoder, Swaps, TopK,
};
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{AtomRule, DictionaryUpdater, KSvd, LeadingPair, Renewal, Step};
use dbksvd::{Encoder, Faer, Model, ProblemShape, Sign};

thread_local! {
    /// Allocations of this thread: tests run beside each other.
    static COUNT: Cell<usize> = const { Cell::new(0) };
    /// The bytes of a Gram matrix, and allocations of as many or up to a quarter more.
    static GRAM: Cell<usize> = const { Cell::new(usize::MAX) };
    static GRAMS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.set(COUNT.get() + 1);
        let (size, gram) = (layout.size(), GRAM.get());
        if size >= gram && size - gram <= gram / 4 {
            GRAMS.set(GRAMS.get() + 1);
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of the second of two updates on samples of the same size.
fn of_second_update(updater: KSvd) -> usize {
    // More samples than a block of any kernel, and more uses of an atom than a task sums.
    let shape = ProblemShape { dim: 24, atoms: 48, sparsity: 6, sign: Sign::Signed };
    let planted = Planted::new(24, 48, 6, 1500).kind(Kind::Correlated).noise(0.1);
    let data = planted.generate::<f32>().expect("a legal problem");
    let (mut dictionary, y) = (data.dictionary.into_mat(), data.samples);
    let (backend, coder) = (Faer::<f32>::default(), BatchOmp::new());
    let mut coder_state = coder.prepare(&backend, &shape).expect("memory");
    let mut state = updater.prepare(&backend, &shape).expect("memory");
    let mut codes = backend.codes(shape.atoms, 0, shape.sparsity).expect("memory");
    coder.set_dictionary(&backend, &mut coder_state, &dictionary).unwrap();
    coder.encode(&backend, &coder_state, &dictionary, &y, &mut codes).unwrap();
    let order: Vec<u32> = (0..shape.atoms as u32).rev().collect();
    let step = Step::new(&order, 0.5);
    // On a pool of one thread, everything happens on the thread that counts.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(|| {
        let mut counts = [0; 2];
        for count in &mut counts {
            let before = COUNT.get();
            updater
                .update(&backend, &mut state, &y, &mut codes, &mut dictionary, &step)
                .expect("memory");
            *count = COUNT.get() - before;
        }
        assert!(counts[0] > 0, "the first update must allocate: nothing is counted");
        counts[1]
    })
}

/// Allocations of the second of two calls that code the same samples.
fn of_second_encode(coder: impl SparseCoder<Faer<f32>>, atoms: usize) -> usize {
    of_second_encode_with(coder, 24, atoms, 6)
}

fn of_second_encode_with(
    coder: impl SparseCoder<Faer<f32>>,
    dim: usize,
    atoms: usize,
    sparsity: usize,
) -> usize {
    let shape = ProblemShape { dim, atoms, sparsity, sign: Sign::Signed };
    let data = Planted::new(dim, atoms, sparsity, 300).noise(0.1).generate::<f32>().expect("legal");
    let (dictionary, y) = (data.dictionary.into_mat(), data.samples);
    let backend = Faer::<f32>::default();
    let mut state = coder.prepare(&backend, &shape).expect("memory");
    let mut codes = backend.codes(shape.atoms, 0, shape.sparsity).expect("memory");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    pool.install(|| {
        let mut counts = [0; 2];
        for count in &mut counts {
            let before = COUNT.get();
            coder.set_dictionary(&backend, &mut state, &dictionary).unwrap();
            coder.encode(&backend, &state, &dictionary, &y, &mut codes).unwrap();
            *count = COUNT.get() - before;
        }
        assert!(counts[0] > 0, "the first call must allocate: nothing is counted");
        counts[1]
    })
}

#[test]
fn a_warm_encode_allocates_nothing_whatever_the_kernel() {
    for selection in [Selection::Correlation, Selection::LeastSquares] {
        let coder = BatchOmp::new().selection(selection);
        assert_eq!(of_second_encode(coder, 48), 0, "a small dictionary, {selection:?}");
        // Too little memory for exact numbers, enough for those of 16 bits.
        let quantised = coder.gram_limit(2 * 600 * (640 + 32));
        assert_eq!(of_second_encode(quantised, 600), 0, "a large one, {selection:?}");
        let wide = of_second_encode_with(coder, 201, 1500, 6);
        assert_eq!(wide, 0, "a large one of wide atoms, {selection:?}");
        assert_eq!(of_second_encode(coder.gram_limit(0), 48), 0, "no Gram matrix, {selection:?}");
        assert_eq!(of_second_encode(Omp::new().selection(selection), 48), 0, "{selection:?}");
    }
}

#[test]
fn nor_does_that_of_another_coder() {
    let refitted = Coefficients::Refitted;
    for coder in [MatchingPursuit::new(), MatchingPursuit::new().coefficients(refitted)] {
        assert_eq!(of_second_encode(coder, 48), 0, "{coder:?}");
        assert_eq!(of_second_encode(coder.gram_limit(0), 48), 0, "{coder:?}");
    }
    assert_eq!(of_second_encode(Swaps::new(), 48), 0);
    assert_eq!(of_second_encode(Swaps::new().gram_limit(0), 48), 0);
    assert_eq!(of_second_encode(TopK::new(), 48), 0);
    assert_eq!(of_second_encode(TopK::new().coefficients(refitted), 48), 0);
    assert_eq!(of_second_encode_with(Exact, 24, 24, 3), 0);
}

/// The Gram matrix is made once, when the encoder is. None of eight workers makes another.
#[test]
fn eight_workers_have_one_gram_matrix() {
    let (dim, atoms, sparsity) = (200, 2048, 8);
    let data = Planted::new(dim, atoms, sparsity, 64).noise(0.1).generate::<f32>().expect("legal");
    let model = Model::new(data.dictionary, None, sparsity, Sign::Signed).expect("a legal shape");
    let samples = &data.samples;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("a thread");
    let (encoder, of_encoder) = pool.install(|| {
        // In 16-bit numbers, with some padding of rows.
        GRAM.set(2 * atoms * atoms);
        let encoder: Encoder = model.encoder(BatchOmp::new()).expect("memory");
        (encoder, GRAMS.get())
    });
    assert_eq!(of_encoder, 1);
    let (encoder, together) = (&encoder, &std::sync::Barrier::new(8));
    let made: Vec<usize> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..8)
            .map(|worker| {
                scope.spawn(move || {
                    GRAM.set(2 * atoms * atoms);
                    for _ in 0..2 {
                        together.wait();
                        let codes = encoder.encode(samples.subcols(8 * worker, 1)).expect("finite");
                        assert_eq!(codes.samples(), 1);
                    }
                    GRAMS.get()
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("no panic")).collect()
    });
    assert_eq!(made, [0; 8]);
}

/// The defaults; renewal is watched, but never due.
fn watching() -> KSvd {
    KSvd::new().renewal(Some(Renewal { window: 1e9, ..Renewal::default() }))
}

#[test]
fn a_warm_update_with_the_defaults_allocates_nothing() {
    assert_eq!(of_second_update(watching()), 0);
}

#[test]
fn so_do_updates_of_one_atom_after_the_other() {
    assert_eq!(of_second_update(watching().atom_batch(1)), 0);
}

#[test]
fn so_do_several_power_steps() {
    let pair = LeadingPair::Power { iterations: 3 };
    assert_eq!(of_second_update(watching().leading_pair(pair)), 0);
}

#[test]
fn so_does_the_shared_rule() {
    assert_eq!(of_second_update(watching().atom_rule(AtomRule::Shared)), 0);
}
