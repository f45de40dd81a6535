//! Whether the classical guarantees of pursuit hold for given codes.

use std::fmt;

use faer::Mat;
use rayon::prelude::*;

use super::Coherence;
use crate::Scalar;
use crate::codes::SparseCodes;
use crate::cpu::product::multiply;
use crate::cpu::pursuit::dependence;
use crate::cpu::vector::loops;
use crate::dictionary::Dictionary;
use crate::error::Error;

/// Samples that one task measures.
const SAMPLES_A_TASK: usize = 16;

/// The least square of a pivot for which products in the scalar of the dictionary are precise
/// enough.
const NARROW_SUFFICES: f64 = 1e-2;

/// What theory guarantees for the code of one sample, if the sample were exactly D x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleGuarantee {
    /// Coefficients ≠ 0: the size of the support S.
    pub nonzeros: usize,
    /// Whether |S| < (1 + 1/μ)/2.
    pub by_coherence: bool,
    /// Whether μ₁(|S| − 1) + μ₁(|S|) < 1.
    pub by_babel: bool,
    /// max ‖D_S⁺ d_j‖₁ over the atoms j ∉ S. It is 0 if there is no such atom or the support is
    /// empty, and infinite if the atoms of S are linearly dependent to rounding.
    pub recovery_coefficient: f64,
}

impl SampleGuarantee {
    /// Whether Tropp's exact recovery condition holds for this support: the
    /// [coefficient](Self::recovery_coefficient) is below 1.
    #[must_use]
    pub fn by_support(&self) -> bool {
        self.recovery_coefficient < 1.0
    }
}

/// For each sample, which of the classical guarantees hold that a pursuit finds its code.
/// Displayed, it is a small table.
///
/// Each guarantee is about a sample y = D x without noise, where x is nonzero on S. It says that
/// orthogonal matching pursuit finds x in |S| steps, and that basis pursuit finds x, too.
///
/// | guarantee | condition | depends on |
/// |---|---|---|
/// | coherence | \|S\| < (1 + 1/μ)/2 | the size of S and the closest two atoms |
/// | Babel | μ₁(\|S\| − 1) + μ₁(\|S\|) < 1 | the size of S and the closest \|S\| + 1 atoms |
/// | exact recovery | max ‖D_S⁺ d_j‖₁ < 1 over j ∉ S | the atoms of S |
///
/// Each guarantee implies the next. The first two also imply that x is the sparsest code of y. The
/// third is sharp: if it fails, some samples with this support mislead the first step of the
/// pursuit. All three are about the worst case. Dictionaries of many atoms rarely satisfy them
/// beyond a few nonzeros, although pursuits nearly always succeed there: the guarantees say what is
/// certain, not what is likely. For codes that leave an error, they are about a sample D x without
/// that error.
///
/// References: J. A. Tropp, *Greed is good: algorithmic results for sparse approximation*, IEEE
/// Trans. Information Theory 50, 2004 (theorem 3.1: exact recovery; 3.5: both bounds); D. L. Donoho
/// & M. Elad, *Optimally sparse representation in general (nonorthogonal) dictionaries via ℓ¹
/// minimization*, PNAS 100, 2003.
///
/// ```
/// use dbksvd::faer::mat;
/// use dbksvd::metrics::Guarantees;
/// use dbksvd::{Dictionary, SparseCodes};
///
/// let dictionary = Dictionary::new(mat![[1.0, 0.0, 0.6], [0.0, 1.0, 0.8]])?;
/// let mut codes = SparseCodes::new(3, 2, 2);
/// codes.set(0, &[0], &[2.0]);
/// codes.set(1, &[0, 1], &[2.0, 1.0]);
/// let guarantees = Guarantees::new(&dictionary, &codes)?;
/// assert!(guarantees.samples()[0].by_coherence);
/// // d_2 = 0.6 d_0 + 0.8 d_1, and 1.4 is not below 1.
/// assert!(!guarantees.samples()[1].by_support());
/// assert_eq!(guarantees.share_by_support(), 0.5);
/// println!("{guarantees}");
/// # Ok::<(), dbksvd::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Guarantees {
    coherence: Coherence,
    samples: Vec<SampleGuarantee>,
}

impl Guarantees {
    /// Examines the codes (m × N) of N samples for a dictionary (d × m). Coefficients that are zero
    /// do not count.
    ///
    /// O(N m (d·k + k²)), in parallel, and O(m² (d + log m)) for the coherence. The codes of a few
    /// hundred samples tell as much as those of a million. Memory: m (k + d) scalars per thread.
    ///
    /// # Errors
    /// [`Error::Dimension`] if the codes are for another number of atoms, [`Error::NoSamples`] if
    /// there are no codes.
    pub fn new<T: Scalar>(
        dictionary: &Dictionary<T>,
        codes: &SparseCodes<T>,
    ) -> Result<Self, Error> {
        let (found, expected) = (codes.atoms(), dictionary.atoms());
        if found != expected {
            return Err(Error::Dimension { argument: "codes", found, expected });
        }
        if codes.samples() == 0 {
            return Err(Error::NoSamples { argument: "codes" });
        }
        let coherence = Coherence::new(dictionary);
        let (by_coherence, by_babel) =
            (coherence.sparsity_bound(), coherence.babel_sparsity_bound());
        let mut samples = Vec::with_capacity(codes.samples());
        (0..codes.samples())
            .into_par_iter()
            .with_min_len(SAMPLES_A_TASK)
            .map_init(Scratch::default, |scratch, i| {
                let used = codes.support(i).iter().zip(codes.values(i));
                let used = used.filter(|(_, value)| **value != T::zero()).map(|(&atom, _)| atom);
                let support: Vec<u32> = used.collect();
                SampleGuarantee {
                    nonzeros: support.len(),
                    by_coherence: support.len() <= by_coherence,
                    by_babel: support.len() <= by_babel,
                    recovery_coefficient: scratch.recovery_coefficient(dictionary, &support),
                }
            })
            .collect_into_vec(&mut samples);
        Ok(Self { coherence, samples })
    }

    /// The coherence of the dictionary, which also gives the sparsities it guarantees.
    #[must_use]
    pub fn coherence(&self) -> &Coherence {
        &self.coherence
    }

    /// The guarantees of each sample, in order.
    #[must_use]
    pub fn samples(&self) -> &[SampleGuarantee] {
        &self.samples
    }

    /// The share of samples for which coherence guarantees recovery, 0 to 1.
    #[must_use]
    pub fn share_by_coherence(&self) -> f64 {
        self.share(|sample| sample.by_coherence)
    }

    /// The share of samples for which the Babel function guarantees recovery, 0 to 1. It is never
    /// below the share by coherence.
    #[must_use]
    pub fn share_by_babel(&self) -> f64 {
        self.share(|sample| sample.by_babel)
    }

    /// The share of samples whose own support satisfies the exact recovery condition, 0 to 1.
    #[must_use]
    pub fn share_by_support(&self) -> f64 {
        self.share(SampleGuarantee::by_support)
    }

    /// The mean number of nonzeros per sample.
    #[must_use]
    pub fn mean_nonzeros(&self) -> f64 {
        self.samples.iter().map(|sample| sample.nonzeros as f64).sum::<f64>() / self.count()
    }

    /// The mean of the [recovery coefficients](SampleGuarantee::recovery_coefficient); infinite if
    /// one of them is.
    #[must_use]
    pub fn mean_recovery_coefficient(&self) -> f64 {
        self.samples.iter().map(|sample| sample.recovery_coefficient).sum::<f64>() / self.count()
    }

    fn share(&self, holds: impl Fn(&SampleGuarantee) -> bool) -> f64 {
        self.samples.iter().filter(|sample| holds(sample)).count() as f64 / self.count()
    }

    fn count(&self) -> f64 {
        self.samples.len() as f64
    }
}

impl fmt::Display for Guarantees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| format!("{:.1}%", 100.0 * share);
        let limit = |bound: usize| format!("up to {bound} nonzeros");
        let rows = [
            ("coherence", limit(self.coherence.sparsity_bound()), self.share_by_coherence()),
            ("Babel", limit(self.coherence.babel_sparsity_bound()), self.share_by_babel()),
            ("exact recovery", "own support".to_owned(), self.share_by_support()),
        ];
        writeln!(
            f,
            "{} atoms of coherence {:.4}; {} samples of {:.1} nonzeros on average",
            self.coherence.nearest().len(),
            self.coherence.coherence(),
            self.samples.len(),
            self.mean_nonzeros()
        )?;
        writeln!(f, "{:<16} {:<22} {:>8}", "guaranteed by", "holds for", "samples")?;
        for (name, holds, share) in rows {
            writeln!(f, "{name:<16} {holds:<22} {:>8}", percent(share))?;
        }
        write!(f, "mean recovery coefficient {:.3} (below 1 is", self.mean_recovery_coefficient())?;
        write!(f, " guaranteed)")
    }
}

/// Scratch memory for measuring one support.
struct Scratch<T: Scalar> {
    /// D_S, d × |S|.
    chosen: Mat<T>,
    /// D_SᵀD, |S| × m.
    products: Mat<T>,
    /// L, the triangular factor of D_SᵀD_S, row by row, in f64.
    factor: Vec<f64>,
    /// One column of D_S⁺D.
    column: Vec<f64>,
}

impl<T: Scalar> Default for Scratch<T> {
    fn default() -> Self {
        Self { chosen: Mat::new(), products: Mat::new(), factor: Vec::new(), column: Vec::new() }
    }
}

impl<T: Scalar> Scratch<T> {
    /// max ‖D_S⁺ d_j‖₁ over j ∉ S, with D_S⁺ = (D_SᵀD_S)⁻¹ D_Sᵀ = L⁻ᵀ L⁻¹ D_Sᵀ.
    fn recovery_coefficient(&mut self, dictionary: &Dictionary<T>, support: &[u32]) -> f64 {
        let (dim, atoms, size) = (dictionary.dim(), dictionary.atoms(), support.len());
        self.chosen.resize_with(dim, size, |_, _| T::zero());
        self.products.resize_with(size, atoms, |_, _| T::zero());
        for (place, &j) in support.iter().enumerate() {
            let atom = dictionary.atom(j as usize);
            self.chosen.col_as_slice_mut(place).copy_from_slice(atom);
        }
        let Some(least) = self.factorise(size) else { return f64::INFINITY };
        // A small pivot magnifies the rounding of products.
        let is_wide = least < NARROW_SUFFICES && T::EPSILON > f64::EPSILON;
        if !is_wide {
            multiply(self.products.as_mut(), self.chosen.transpose(), dictionary.as_mat());
        }
        let mut most = 0.0;
        for j in (0..atoms).filter(|&j| !support.contains(&(j as u32))) {
            self.column.clear();
            if is_wide {
                let (chosen, atom) = (&self.chosen, dictionary.atom(j));
                let product = |place| loops::wide_product(chosen.col_as_slice(place), atom);
                self.column.extend((0..size).map(product));
            } else {
                self.column.extend(self.products.col_as_slice(j).iter().map(|x| x.widen()));
            }
            solve(&self.factor, &mut self.column);
            most = f64::max(most, self.column.iter().map(|x| x.abs()).sum());
        }
        most
    }

    /// LLᵀ ← D_SᵀD_S. Returns the least square of a pivot, or `None` if, to rounding, an atom lies
    /// in the span of those before it.
    fn factorise(&mut self, size: usize) -> Option<f64> {
        let Self { chosen, factor, .. } = self;
        // Sums are in double precision, atoms are rounded to T.
        let of_sums = 8.0 * chosen.nrows() as f64 * f64::EPSILON;
        let dependent = dependence::of_wide_gram::<T>().max(of_sums);
        let mut least = f64::INFINITY;
        factor.clear();
        for i in 0..size {
            let start = i * (i + 1) / 2;
            for j in 0..i {
                let other = &factor[j * (j + 1) / 2..][..j + 1];
                let known: f64 = factor[start..].iter().zip(other).map(|(a, b)| a * b).sum();
                let product = loops::wide_product(chosen.col_as_slice(i), chosen.col_as_slice(j));
                let value = (product - known) / other[j];
                factor.push(value);
            }
            let pivot = loops::energy(chosen.col_as_slice(i)) - loops::energy(&factor[start..]);
            if pivot <= dependent {
                return None;
            }
            least = least.min(pivot);
            factor.push(pivot.sqrt());
        }
        Some(least)
    }
}

/// x ← L⁻ᵀ L⁻¹ x, for L row by row.
fn solve(factor: &[f64], x: &mut [f64]) {
    for i in 0..x.len() {
        let row = &factor[i * (i + 1) / 2..][..i + 1];
        let known: f64 = row[..i].iter().zip(&*x).map(|(l, x)| l * x).sum();
        x[i] = (x[i] - known) / row[i];
    }
    for i in (0..x.len()).rev() {
        let row = &factor[i * (i + 1) / 2..][..i + 1];
        x[i] /= row[i];
        let value = x[i];
        for (x, l) in x[..i].iter_mut().zip(row) {
            *x -= l * value;
        }
    }
}
