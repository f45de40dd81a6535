//! OMP and OLS through the Gram matrix: the coder for many samples on one dictionary.
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
//! 6. α⁰ itself is a product of 16-bit numbers where that is faster ([`product`]), with a bound to
//!    begin with: the exact value is computed for atoms that are looked at.
//! 7. Rounding never decides: see [`Doubt`](super::double::Doubt).
//! 8. Other products are computed for [`BLOCK`] samples at a time, always: the last block is
//!    padded. The bits of a product's column depend on the width of the block, and so do not depend
//!    on anything else.
//!
//! R. Rubinstein, M. Zibulevsky, M. Elad, "Efficient implementation of the K-SVD algorithm using
//! batch orthogonal matching pursuit", Technion CS-2008-08.

mod basis;
mod best;
mod gram;
mod gram_free;
mod in_step;
mod inverse;
mod padded;
mod pairs;
mod pass;
mod product;
mod sample;
mod scratch;
mod small;
mod weights;

use faer::MatRef;
use rayon::prelude::*;

use super::correlations::{BLOCK, Correlations};
use super::full_gram::FullGram;
use super::idle::Idle;
use super::pursuit::{PursuitRule, Selection, Tolerance};
use super::{GRAM_LIMIT, Omp, OmpState, SparseCoder};
use crate::Scalar;
use crate::backend::{HostBackend, check_room};
use crate::codes::CodesBlock;
use crate::compiled::Compiled;
use crate::error::{BackendError, Error};
use crate::parameters::Parameters;
use crate::problem::{ProblemShape, Sign};
use gram::QuantisedGram;
use gram_free::GramFreeScratch;
use in_step::{Problem, PursuitsInStep};
use pairs::Pairs;
use product::{RoundedAtoms, RoundedProduct};
use small::{SmallProblem, SmallScratch};

/// OMP or OLS through the Gram matrix of the dictionary (batch-OMP): the default coder.
///
/// The codes are those of [`Omp`](super::Omp) up to rounding and ties. Where rounding might decide,
/// a sample's pursuit goes on in double precision, as [`Omp`](super::Omp) does it: once the best
/// correlation is below 2·10⁴ ε‖y‖ (0.0024 ‖y‖ in `f32`), or ‖(I − P) d‖² of a chosen atom (of any
/// atom, with selection by least squares) is below 10⁵ ε. Such steps cost O(dm) each; non-negative
/// codes are begun anew.
///
/// It needs the Gram matrix, in 16-bit numbers, which costs about as much as the correlations of m
/// samples, so it pays from a few m/k samples on; for fewer, use [`Omp`](super::Omp). A Gram matrix
/// beyond [`gram_limit`](Self::gram_limit) is not built: each step then computes the correlations
/// of a block of samples anew, by a matrix product.
///
/// Correlations begin with a product of the backend's, or, on x86-64 with AVX2 and for 192
/// dimensions or more of large problems, of 16-bit numbers, which is faster: codes are as exact,
/// since what that leaves in question is looked at in full precision.
///
/// A residual tolerance is met to about 10⁻⁶ ‖y‖² in `f32`, since ‖r‖² is found by subtracting from
/// ‖y‖², and exactly where ‖r‖² is below 10³ ε‖y‖².
///
/// Complexity per sample: O(dm + k²m); without the Gram matrix, O(kdm). Memory: 2m² bytes for the
/// Gram matrix, 2dm for the dictionary in 16-bit numbers and, for each thread, at most 136·m +
/// 129·d + 4·(k + 16)² scalars. For signed codes of small problems (m ≤ 512 or m·k ≤ 8,192) m²
/// scalars for the Gram matrix and, for each thread, 132·m + 128·d + 2·k·m. Without the Gram
/// matrix, for each thread 128·(m + (k + 1)·d) scalars, and with selection by least squares
/// 128·(3m + (k + 2)·d).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct BatchOmp {
    /// How atoms are chosen, and when a pursuit ends.
    pub rule: PursuitRule,
    /// Bytes that the Gram matrix may take.
    pub gram_limit: usize,
}

impl Default for BatchOmp {
    fn default() -> Self {
        Self { rule: PursuitRule::default(), gram_limit: GRAM_LIMIT }
    }
}

pursuit_setters!(BatchOmp);

impl BatchOmp {
    /// Bytes that the Gram matrix may take, about 2m² for m atoms; where that is more, the coder
    /// does without. Default: 4 GiB, which is up to 46,313 atoms.
    #[must_use]
    pub fn gram_limit(mut self, bytes: usize) -> Self {
        self.gram_limit = bytes;
        self
    }
}

/// The Gram matrix and scratch memory of [`BatchOmp`].
#[derive(Debug)]
pub struct BatchOmpState<T> {
    shape: ProblemShape,
    gram: Gram<T>,
    /// The dictionary for rounded products, where those pay.
    rounded: Option<RoundedAtoms<T>>,
    idle: Idle<Scratch<T>>,
}

/// The Gram matrix in the form that serves the problem best.
#[derive(Debug)]
enum Gram<T> {
    Full(FullGram<T>),
    Quantised(QuantisedGram<T>),
    /// It does not fit. Non-negative pursuits are then left to [`Omp`].
    Absent(OmpState),
}

impl<T: Scalar> Gram<T> {
    /// The one place where the kernel is chosen.
    fn new(shape: &ProblemShape, limit: usize) -> Result<Self, BackendError> {
        Ok(if small::suits(shape) && FullGram::<T>::bytes(shape.atoms) <= limit {
            Self::Full(FullGram::new(shape.atoms)?)
        } else if QuantisedGram::<T>::bytes(shape.atoms) <= limit {
            Self::Quantised(QuantisedGram::new(shape.atoms)?)
        } else {
            Self::Absent(OmpState::new(shape))
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

impl<B: HostBackend> SparseCoder<B> for BatchOmp {
    type State = BatchOmpState<B::Scalar>;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()?;
        self.rule.check()
    }

    fn prepare(&self, _: &B, shape: &ProblemShape) -> Result<Self::State, BackendError> {
        let gram = Gram::new(shape, self.gram_limit)?;
        if matches!(gram, Gram::Absent(_)) {
            // Without the Gram matrix, m may be of any size, and every thread that codes takes the
            // correlations of a block.
            let blocks = rayon::current_num_threads().saturating_mul(BLOCK);
            check_room::<B::Scalar>(shape.atoms, blocks)?;
        }
        let rounds = matches!(gram, Gram::Quantised(_)) && product::pays(shape.dim);
        let rounded = if rounds { Some(RoundedAtoms::new(shape.dim, shape.atoms)?) } else { None };
        Ok(BatchOmpState { shape: *shape, gram, rounded, idle: Idle::default() })
    }

    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError> {
        let dictionary = backend.view(dictionary);
        match &mut state.gram {
            Gram::Full(gram) => gram.compute(backend, dictionary),
            Gram::Quantised(gram) => gram.compute(backend, dictionary),
            Gram::Absent(_) => {}
        }
        if let Some(rounded) = &mut state.rounded {
            rounded.set(dictionary);
        }
        Ok(())
    }

    fn encode(
        &self,
        backend: &B,
        state: &mut Self::State,
        dictionary: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        if let (Gram::Absent(textbook), Sign::NonNegative) = (&mut state.gram, state.shape.sign) {
            return Omp::from(self.rule).encode(backend, textbook, dictionary, y, codes);
        }
        let (dictionary, y) = (backend.view(dictionary), backend.view(y));
        let BatchOmpState { shape, gram, rounded, idle } = &*state;
        assert_eq!(dictionary.shape(), (shape.dim, shape.atoms), "the dictionary's shape");
        assert_eq!(y.nrows(), dictionary.nrows(), "the samples' dimension");
        codes.reset(y.ncols());
        codes.par_blocks_mut(BLOCK).for_each(|mut block| {
            let samples = y.subcols(block.first(), block.len());
            idle.with(
                || self.scratch(shape, gram, rounded.is_some()),
                |scratch| match scratch {
                    Scratch::GramFree(pursuits) => {
                        pursuits
                            .encode(backend, &self.rule, shape, dictionary, samples, &mut block);
                    }
                    Scratch::WithGram { correlations, pursuits } => {
                        let initial = match (correlations, rounded) {
                            (CorrelationsScratch::Rounded(product), Some(atoms)) => {
                                Initial::Rounded(atoms, product)
                            }
                            (CorrelationsScratch::Exact(correlations), _) => {
                                Initial::Exact(correlations.compute(backend, dictionary, samples))
                            }
                            _ => unreachable!("scratch is made for the state at hand"),
                        };
                        B::Scalar::pursue(Pursuits {
                            rule: &self.rule,
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
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        let Self { rule, gram_limit } = *self;
        rule.parameters("BatchOmp").with("gram_limit", gram_limit)
    }
}

impl BatchOmp {
    fn scratch<T: Scalar>(
        &self,
        shape: &ProblemShape,
        gram: &Gram<T>,
        rounded: bool,
    ) -> Scratch<T> {
        let selection = self.rule.selection;
        let pursuits = match gram {
            Gram::Full(_) => PursuitsScratch::Full(SmallScratch::new(shape, selection)),
            Gram::Quantised(_) => {
                PursuitsScratch::Quantised(Box::new(PursuitsInStep::new(shape, selection)))
            }
            Gram::Absent(_) => {
                return Scratch::GramFree(Box::new(GramFreeScratch::new(shape, selection, BLOCK)));
            }
        };
        let (dim, atoms) = (shape.dim, shape.atoms);
        let correlations = if rounded {
            CorrelationsScratch::Rounded(RoundedProduct::new(dim, atoms))
        } else {
            CorrelationsScratch::Exact(Correlations::new(dim, atoms))
        };
        Scratch::WithGram { correlations, pursuits }
    }
}

/// Where α⁰ = DᵀY of a block comes from.
enum Initial<'a, T: Scalar> {
    Exact(MatRef<'a, T>),
    Rounded(&'a RoundedAtoms<T>, &'a mut RoundedProduct<T>),
}

/// The pursuits of a block of samples.
pub struct Pursuits<'a, T: Scalar> {
    rule: &'a PursuitRule,
    shape: &'a ProblemShape,
    gram: &'a Gram<T>,
    dictionary: MatRef<'a, T>,
    samples: MatRef<'a, T>,
    initial: Initial<'a, T>,
    block: CodesBlock<'a, T>,
    pursuits: &'a mut PursuitsScratch<T>,
}

impl<T: Scalar> Pursuits<'_, T> {
    /// Writes the codes of the block, with the best instructions of this processor.
    pub(crate) fn run_fastest(self) {
        pairs::with_fastest(self);
    }
}

impl<T: Scalar> pairs::WithPairs for Pursuits<'_, T> {
    #[inline(always)]
    fn run<P: Pairs>(self, pairs: P) {
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
