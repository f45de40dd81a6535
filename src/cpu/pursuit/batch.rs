//! Batch-OMP on the processor: the form of the Gram matrix, and pursuits by blocks of samples.
//!
//! After the product α⁰ = DᵀY for a block of samples, the textbook (Rubinstein, Zibulevsky & Elad
//! 2008) keeps α = α⁰ − G_S γ for all atoms: k/2 · m multiplications a step, each with its own
//! number from memory. That traffic, not arithmetic, is what coding costs. Here the pursuit works
//! with approximate correlations α̃ whose error is bounded, and looks at atoms exactly where it
//! matters:
//!
//! ```text
//! G₁₆ ← G in 16-bit numbers, each row with its own scale                once for a dictionary
//! repeat: (c, M: the sample's coordinates in the orthonormal basis, and L⁻¹ of G_SS = LLᵀ)
//!     C ← atoms that may have the best score, by α̃ and the bound on its error   mostly one atom
//!     for j in C: g ← D_Sᵀ d_j,  α_j ← α⁰_j − γᵀg                              exact; s: the best
//!     w ← M g,  h ← √(‖d_s‖² − ‖w‖²);  M gains the row (−wᵀM, 1)/h
//!     c ← α_s / h,  γ ← γ + c · row,  ‖r‖² ← ‖r‖² − c²
//!     α̃ ← α⁰ − G₁₆ γ, in 32-bit integers                one pass, two rows at a time
//! ```
//! Departures from the paper, and why:
//! 1. 16-bit rows halve the memory traffic and double the multiplications an instruction makes. The
//!    choice is as exact as before: a bound on the error is kept for every sample, and where it
//!    does not tell the best atom from others, all that it leaves are examined. Where it has become
//!    too wide (late in a pursuit that leaves next to nothing), the correlations are computed anew.
//! 2. What rounding γ to 16 bits leaves is carried to the next pass, so that only the rounding of
//!    G₁₆ itself adds up.
//! 3. Orthogonal least squares also needs ‖(I − P) d_j‖² = ‖d_j‖² − Σ_t W_t[j]², with W_t = Σ_u
//!    M_tu G_u: its passes make W_t instead, and α̃ ← α̃ − c_t W_t, with bounds on both errors.
//! 4. G in full precision is not kept: inner products of the atoms in question cost less than
//!    fetching them from so large a matrix.
//! 5. L⁻¹ instead of L: every small product is then a sum of vectors, not a chain of divisions.
//! 6. α⁰ itself is a product of 16-bit numbers where that is faster ([`product`](super::product)),
//!    with a bound to begin with: the exact value is computed for atoms that are looked at.
//! 7. Rounding never decides: see [`Doubt`](super::double::Doubt).
//! 8. Other products are computed for [`BLOCK`] samples at a time: the last block is padded. The
//!    bits of a product's column depend on the width of the block, and so do not depend on anything
//!    else. Few samples are multiplied by a product of their own, where that has the same bits
//!    ([`narrow`]).
//!
//! R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD algorithm using
//! batch orthogonal matching pursuit", Technion CS-2008-08.

use faer::{Mat, MatRef};
use rayon::prelude::*;

use super::correlations::{BLOCK, Correlations};
use super::double::DoublePursuits;
use super::full_gram::FullGram;
use super::gram::QuantisedGram;
use super::gram_free::GramFreeScratch;
use super::in_step::{Problem, PursuitsInStep};
use super::narrow::{self, Narrow};
use super::product::{self, RoundedAtoms, RoundedProduct};
use super::small::{self, SmallProblem, SmallScratch};
use crate::Scalar;
use crate::backend::PursuitRule;
use crate::codes::{CodesBlock, SparseCodes};
use crate::cpu::Faer;
use crate::cpu::scratch_pool::ScratchPool;
use crate::cpu::vector::dots16::{self, Dots16};
use crate::error::BackendError;
use crate::group::Group;
use crate::matrix::check_room;
use crate::problem::{ProblemShape, Sign};

/// Multiplications that are worth a task of their own, which takes some microseconds to hand over.
const WORTH_A_TASK: usize = 1 << 19;

/// Samples whose products are computed together, or a divisor of their number.
const EIGHT: usize = 8;

/// The Gram matrix and scratch memory of batch-OMP.
#[derive(Debug)]
pub struct Pursuits<T> {
    rule: PursuitRule,
    shape: ProblemShape,
    gram: Gram<T>,
    /// The dictionary for rounded products, where those pay.
    rounded: Option<RoundedAtoms<T>>,
    /// The dictionary for other products, of few samples.
    narrow: Narrow<T>,
    scratch: ScratchPool<Scratch<T>>,
}

/// The Gram matrix in the form that serves the problem best.
#[derive(Debug)]
enum Gram<T> {
    Full(FullGram<T>),
    Quantised(QuantisedGram<T>),
    /// It does not fit. Non-negative pursuits are then made in double precision.
    Absent(DoublePursuits),
}

impl<T: Scalar> Gram<T> {
    /// The one place where the kernel is chosen.
    fn new(shape: &ProblemShape, limit: usize) -> Result<Self, BackendError> {
        Ok(if small::suits(shape) && FullGram::<T>::bytes(shape.atoms) <= limit {
            Self::Full(FullGram::new(shape.atoms)?)
        } else if QuantisedGram::<T>::bytes(shape.atoms) <= limit {
            Self::Quantised(QuantisedGram::new(shape.atoms)?)
        } else {
            Self::Absent(DoublePursuits::default())
        })
    }
}

/// What one task works with.
#[derive(Debug)]
enum Scratch<T> {
    WithGram { correlations: CorrelationsScratch<T>, pursuits: PursuitsScratch<T> },
    GramFree(Box<GramFreeScratch<T>>),
}

#[derive(Debug)]
enum CorrelationsScratch<T> {
    Exact(Correlations<T>),
    Rounded(RoundedProduct<T>),
}

#[derive(Debug)]
enum PursuitsScratch<T> {
    Full(SmallScratch<T>),
    Quantised(Box<PursuitsInStep<T>>),
}

impl<T: Scalar> Pursuits<T> {
    /// Allocates what depends on the shape alone. The Gram matrix takes at most `gram_limit` bytes.
    pub(crate) fn new(
        rule: &PursuitRule,
        shape: &ProblemShape,
        gram_limit: usize,
    ) -> Result<Self, BackendError> {
        let gram = Gram::new(shape, gram_limit)?;
        if matches!(gram, Gram::Absent(_)) {
            // Without the Gram matrix, m may be of any size, and every thread that codes takes the
            // correlations of a block.
            let blocks = rayon::current_num_threads().saturating_mul(BLOCK);
            check_room::<T>(shape.atoms, blocks)?;
        }
        let rounds = matches!(gram, Gram::Quantised(_)) && product::pays(shape.dim);
        let rounded = if rounds { Some(RoundedAtoms::new(shape.dim, shape.atoms)?) } else { None };
        let (narrow, scratch) = (Narrow::default(), ScratchPool::default());
        Ok(Self { rule: *rule, shape: *shape, gram, rounded, narrow, scratch })
    }

    /// Takes notice of a new dictionary.
    pub(crate) fn set_dictionary(&mut self, dictionary: &Mat<T>) {
        let (backend, dictionary) = (Faer::<T>::default(), dictionary.as_ref());
        self.narrow.forget();
        match &mut self.gram {
            Gram::Full(gram) => gram.compute(&backend, dictionary),
            Gram::Quantised(gram) => gram.compute(&backend, dictionary),
            Gram::Absent(_) => {}
        }
        if let Some(rounded) = &mut self.rounded {
            rounded.set(dictionary);
        }
    }

    /// [`set_dictionary`](Self::set_dictionary) by several owners, who compute parts of a large
    /// Gram matrix. One that lies in the caches takes less time than to send it.
    pub(crate) fn set_dictionary_together(
        &mut self,
        dictionary: &Mat<T>,
        group: &dyn Group,
    ) -> Result<(), BackendError> {
        let Gram::Quantised(gram) = &mut self.gram else {
            self.set_dictionary(dictionary);
            return Ok(());
        };
        self.narrow.forget();
        gram.compute_together(&Faer::<T>::default(), dictionary.as_ref(), group)?;
        if let Some(rounded) = &mut self.rounded {
            rounded.set(dictionary.as_ref());
        }
        Ok(())
    }

    /// X ← codes of Y, in parallel by blocks of samples.
    pub(crate) fn run(&self, dictionary: &Mat<T>, y: &Mat<T>, codes: &mut SparseCodes<T>) {
        let Self { rule, shape, gram, rounded, narrow, scratch } = self;
        let (dictionary, y) = (dictionary.as_ref(), y.as_ref());
        if let (Gram::Absent(pursuits), Sign::NonNegative) = (gram, shape.sign) {
            return pursuits.run(rule, shape, dictionary, y, codes);
        }
        assert_eq!(dictionary.shape(), (shape.dim, shape.atoms), "the dictionary's shape");
        assert_eq!(y.nrows(), dictionary.nrows(), "the samples' dimension");
        codes.reset(y.ncols());
        let backend = Faer::<T>::default();
        let block = self.block_of(y.ncols());
        // Not for what is left over of many samples.
        let are_few = y.ncols() < BLOCK * rayon::current_num_threads();
        let narrow = (are_few && narrow.is_worth_it()).then_some(narrow);
        codes.par_blocks_mut(block).for_each(|mut block| {
            let samples = y.subcols(block.first(), block.len());
            scratch.with(
                || self.new_scratch(),
                |scratch| match scratch {
                    Scratch::GramFree(pursuits) => {
                        pursuits.encode(&backend, rule, shape, dictionary, samples, &mut block);
                    }
                    Scratch::WithGram { correlations, pursuits } => {
                        let initial = match (correlations, rounded) {
                            (CorrelationsScratch::Rounded(product), Some(atoms)) => {
                                Initial::Rounded(atoms, product)
                            }
                            (CorrelationsScratch::Exact(correlations), _) => {
                                let is_narrow = samples.ncols() <= narrow::MOST_SAMPLES;
                                let narrow = narrow.filter(|_| is_narrow);
                                let all = (&backend, dictionary, samples);
                                Initial::Exact(exact(correlations, narrow, all))
                            }
                            _ => unreachable!("scratch is made for the state at hand"),
                        };
                        dots16::with_fastest(BlockOfPursuits {
                            rule,
                            shape,
                            gram,
                            dictionary,
                            samples,
                            initial,
                            block,
                            pursuits,
                        });
                    }
                },
            );
        });
    }

    /// Samples that one task codes: fewer than a block if there are too few samples to keep all
    /// threads busy by blocks, but as many as are worth a task. The bits of codes do not depend on
    /// it.
    fn block_of(&self, samples: usize) -> usize {
        let threads = rayon::current_num_threads();
        if samples >= BLOCK * threads || matches!(self.gram, Gram::Absent(_)) {
            return BLOCK;
        }
        let ProblemShape { dim, atoms, sparsity, .. } = self.shape;
        let of_a_sample = atoms.saturating_mul(dim + sparsity * sparsity);
        let least = WORTH_A_TASK.div_ceil(of_a_sample.max(1));
        let share = samples.div_ceil(threads);
        let share = if share > EIGHT { share.next_multiple_of(EIGHT) } else { share };
        share.max(least).clamp(1, BLOCK)
    }

    fn new_scratch(&self) -> Scratch<T> {
        let Self { rule, shape, .. } = self;
        let pursuits = match &self.gram {
            Gram::Full(_) => PursuitsScratch::Full(SmallScratch::new(shape, rule.selection)),
            Gram::Quantised(_) => {
                PursuitsScratch::Quantised(Box::new(PursuitsInStep::new(shape, rule.selection)))
            }
            Gram::Absent(_) => {
                let scratch = GramFreeScratch::new(shape, rule.selection, BLOCK);
                return Scratch::GramFree(Box::new(scratch));
            }
        };
        let (dim, atoms) = (shape.dim, shape.atoms);
        let correlations = if self.rounded.is_some() {
            CorrelationsScratch::Rounded(RoundedProduct::new(dim, atoms))
        } else {
            CorrelationsScratch::Exact(Correlations::new(dim, atoms))
        };
        Scratch::WithGram { correlations, pursuits }
    }
}

/// α⁰ = DᵀY for a block of samples, by the atoms for few of them if these are given and of the same
/// bits.
fn exact<'a, T: Scalar>(
    correlations: &'a mut Correlations<T>,
    narrow: Option<&Narrow<T>>,
    (backend, dictionary, samples): (&Faer<T>, MatRef<'_, T>, MatRef<'_, T>),
) -> MatRef<'a, T> {
    match narrow.and_then(|narrow| narrow.get(dictionary, correlations)) {
        Some(atoms) => {
            atoms.multiply(samples, &mut correlations.products);
            correlations.products.as_ref()
        }
        None => correlations.compute(backend, dictionary, samples),
    }
}

/// Where α⁰ = DᵀY of a block comes from.
enum Initial<'a, T: Scalar> {
    Exact(MatRef<'a, T>),
    Rounded(&'a RoundedAtoms<T>, &'a mut RoundedProduct<T>),
}

/// The pursuits of a block of samples.
struct BlockOfPursuits<'a, T: Scalar> {
    rule: &'a PursuitRule,
    shape: &'a ProblemShape,
    gram: &'a Gram<T>,
    dictionary: MatRef<'a, T>,
    samples: MatRef<'a, T>,
    initial: Initial<'a, T>,
    block: CodesBlock<'a, T>,
    pursuits: &'a mut PursuitsScratch<T>,
}

impl<T: Scalar> dots16::WithDots16 for BlockOfPursuits<'_, T> {
    #[inline(always)]
    fn run<P: Dots16>(self, pairs: P) {
        let Self { rule, shape, gram, dictionary, samples, initial, mut block, pursuits } = self;
        let (correlations, bounds) = match initial {
            Initial::Exact(correlations) => (correlations, &[0.0; BLOCK][..]),
            Initial::Rounded(atoms, product) => product.compute(pairs, atoms, samples),
        };
        match (pursuits, gram) {
            (PursuitsScratch::Full(pursuits), Gram::Full(gram)) => {
                let problem = SmallProblem { gram, dictionary, samples, correlations };
                pursuits.encode(pairs, rule, &problem, &mut block);
            }
            (PursuitsScratch::Quantised(pursuits), Gram::Quantised(gram)) => {
                let problem = Problem { gram, dictionary, samples, correlations, bounds };
                pursuits.encode(pairs, rule, shape, &problem, &mut block);
            }
            _ => unreachable!("scratch is made for the Gram matrix at hand"),
        }
    }
}
