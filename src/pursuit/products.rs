//! Pursuits on DᵀD and DᵀY alone.
//!
//! ```text
//! l ← L⁻¹ D_Sᵀd_s,  h ← √(1 − ‖l‖²),  c ← d_sᵀr / h                        for unit atoms
//! w ← (Dᵀd_s − Σ_t l_t w_t) / h,  α ← α − c w,  ‖(I − P) d_j‖² ← … − w_j²
//! ```
//! w_t = Dᵀq_t for the orthonormal basis q of the chosen atoms. All of it is in double precision,
//! and as exact as the products are.

use faer::MatRef;
use rayon::prelude::*;

use super::atoms::{check_dimension, check_finite};
use super::path::{Path, SamplePath};
use super::{Contiguous, Pursuit, contiguous, room};
use crate::Scalar;
use crate::backend::{Selection, Tolerance};
use crate::codes::{CodesBlock, SparseCodes};
use crate::cpu::pursuit::argmax::select;
use crate::cpu::pursuit::dependence;
use crate::cpu::pursuit::double::power_of_two;
use crate::cpu::pursuit::factor::Factor;
use crate::cpu::pursuit::greedy::{Basis, Workspace, pursue};
use crate::cpu::vector::loops;
use crate::error::Error;
use crate::problem::{ProblemShape, Sign};

/// Samples coded by one task.
const BLOCK: usize = 16;

/// Correlations of this many ε of the largest are rounding.
const ROUNDING: f64 = 64.0;

/// The codes.
pub(super) fn codes<T: Scalar>(
    pursuit: &Pursuit,
    gram: MatRef<'_, T>,
    correlations: MatRef<'_, T>,
    squared_norms: Option<&[f64]>,
) -> Result<SparseCodes<T>, Error> {
    let products = Products::new(pursuit, gram, correlations, squared_norms)?;
    products.pursue(pursuit, |_, _| Ok(())).map(|(codes, _)| codes)
}

/// The codes, and the paths to them.
pub(super) fn path<T: Scalar>(
    pursuit: &Pursuit,
    gram: MatRef<'_, T>,
    correlations: MatRef<'_, T>,
    squared_norms: Option<&[f64]>,
) -> Result<Path<T>, Error> {
    let products = Products::new(pursuit, gram, correlations, squared_norms)?;
    let of_sample = |basis: &ProductsBasis<'_, T>, sample: usize| {
        let coordinates = basis.factor.coordinates();
        let mut path = SamplePath { length: coordinates.len(), ..SamplePath::default() };
        for length in 1..=coordinates.len() {
            let mut gamma = coordinates[..length].to_vec();
            basis.factor.solve_for(&mut gamma);
            for (&unit, &atom) in gamma.iter().zip(basis.factor.support()) {
                path.coefficients.push(products.coefficient(atom, unit * basis.scale, sample)?);
            }
        }
        if basis.energy.is_finite() {
            let squares = coordinates.iter().scan(basis.energy, |left, c| {
                *left = (*left - c * c).max(0.0);
                Some(*left)
            });
            let norms = std::iter::once(basis.energy).chain(squares).map(f64::sqrt);
            path.residuals = norms.map(|norm| norm * basis.scale).collect();
        }
        Ok(path)
    };
    let (codes, paths) = products.pursue(pursuit, of_sample)?;
    Ok(Path::new(codes, paths))
}

/// What is given of the problem, checked.
struct Products<'a, T> {
    gram: Contiguous<'a, T>,
    /// 1 / ‖d_j‖.
    scales: Vec<f64>,
    correlations: MatRef<'a, T>,
    squared_norms: Option<&'a [f64]>,
    sparsity: usize,
}

impl<'a, T: Scalar> Products<'a, T> {
    fn new(
        pursuit: &Pursuit,
        gram: MatRef<'a, T>,
        correlations: MatRef<'a, T>,
        squared_norms: Option<&'a [f64]>,
    ) -> Result<Self, Error> {
        let scales = scales(gram)?;
        let (atoms, samples) = (gram.nrows(), correlations.ncols());
        check_dimension("correlations", correlations, atoms)?;
        check_finite(correlations)?;
        // The samples' dimension is not known; it does not limit the budget.
        let sparsity = pursuit.stop.budget(atoms);
        ProblemShape { dim: atoms, atoms, sparsity, sign: pursuit.sign }.check()?;
        pursuit.rule().check()?;
        check_squared_norms(squared_norms, samples, pursuit.stop.tolerance.is_some())?;
        Ok(Self { gram: contiguous(gram)?, scales, correlations, squared_norms, sparsity })
    }

    /// Codes all samples, and asks `tell` about each.
    fn pursue<R: Send>(
        &self,
        pursuit: &Pursuit,
        tell: impl Fn(&ProductsBasis<'_, T>, usize) -> Result<R, Error> + Sync,
    ) -> Result<(SparseCodes<T>, Vec<R>), Error> {
        let (atoms, samples) = (self.scales.len(), self.correlations.ncols());
        let mut codes = room(atoms, samples, self.sparsity)?;
        let blocks: Vec<Result<Vec<R>, Error>> = codes
            .par_blocks_mut(BLOCK)
            .map(|mut block| {
                let mut basis = ProductsBasis::new(self, pursuit);
                let mut work = Workspace::new(self.sparsity);
                let mut told = Vec::with_capacity(block.len());
                for i in 0..block.len() {
                    self.code(pursuit, &mut basis, &mut work, (&mut block, i))?;
                    told.push(tell(&basis, block.first() + i)?);
                }
                Ok(told)
            })
            .collect();
        // In order, so that an error does not depend on the number of threads.
        let told: Result<Vec<Vec<R>>, Error> = blocks.into_iter().collect();
        Ok((codes, told?.into_iter().flatten().collect()))
    }

    /// Codes sample `i` of a block.
    fn code(
        &self,
        pursuit: &Pursuit,
        basis: &mut ProductsBasis<'_, T>,
        work: &mut Workspace<f64>,
        (block, i): (&mut CodesBlock<'_, T>, usize),
    ) -> Result<(), Error> {
        let sample = block.first() + i;
        basis.load(self.correlations, sample, self.squared_norms.map(|norms| norms[sample]))?;
        let mut rule = pursuit.rule();
        if let Some(Tolerance::Absolute(norm)) = &mut rule.tolerance {
            *norm /= basis.scale;
        }
        let energy = if basis.energy.is_finite() { basis.energy } else { 0.0 };
        let stop = rule.stop(self.sparsity, energy);
        let gamma = pursue(basis, pursuit.selection, pursuit.sign, stop, work);
        let mut outcome = Ok(());
        block.write(i, |support, values| {
            for (n, (&atom, &unit)) in basis.support().iter().zip(gamma).enumerate() {
                match self.coefficient(atom, unit * basis.scale, sample) {
                    Ok(value) => (support[n], values[n]) = (atom, value),
                    Err(error) => {
                        outcome = Err(error);
                        return n;
                    }
                }
            }
            gamma.len()
        });
        outcome
    }

    /// The coefficient of an atom as it was given, from that of the unit atom.
    fn coefficient(&self, atom: u32, unit: f64, sample: usize) -> Result<T, Error> {
        let value = T::narrow(unit * self.scales[atom as usize]);
        if value.widen().is_finite() {
            return Ok(value);
        }
        Err(not_finite(value.widen(), sample))
    }
}

fn not_finite(value: f64, sample: usize) -> Error {
    let expected = "those whose coefficients are finite";
    Error::argument(
        "correlations",
        format!("with a coefficient of {value} of sample {sample}"),
        expected,
    )
}

/// The inverse norms of the atoms, if this can be their Gram matrix.
fn scales<T: Scalar>(gram: MatRef<'_, T>) -> Result<Vec<f64>, Error> {
    let (rows, columns) = gram.shape();
    if rows == 0 || rows != columns {
        let found = format!("{rows} × {columns}");
        return Err(Error::argument("gram", found, "square, with at least one atom"));
    }
    let wrong = |i: usize, j: usize, expected: &str| {
        let found = format!("{} at ({i}, {j})", gram[(i, j)]);
        Err(Error::argument("gram", found, expected))
    };
    let mut norms = Vec::with_capacity(rows);
    for atom in 0..rows {
        let square = gram[(atom, atom)].widen();
        if square == 0.0 {
            return Err(Error::ZeroAtom { atom });
        }
        if !(square.is_finite() && square > 0.0) {
            return wrong(atom, atom, "finite and positive on the diagonal");
        }
        norms.push(square.sqrt());
    }
    // Sums of any length have been rounded, in any order: only gross mistakes are refused.
    let rounding = T::EPSILON.sqrt();
    for j in 0..rows {
        for i in 0..j {
            let (above, below) = (gram[(i, j)].widen(), gram[(j, i)].widen());
            let most = norms[i] * norms[j];
            if !above.is_finite() || above.abs() > most * (1.0 + rounding) {
                return wrong(i, j, "at most the product of the norms of the two atoms");
            }
            if !below.is_finite() || (above - below).abs() > most * rounding {
                return wrong(j, i, "symmetric");
            }
        }
    }
    Ok(norms.into_iter().map(f64::recip).collect())
}

fn check_squared_norms(
    squared_norms: Option<&[f64]>,
    samples: usize,
    are_needed: bool,
) -> Result<(), Error> {
    match squared_norms {
        None if are_needed => {
            let expected = "one a sample, since there is a tolerance";
            Err(Error::argument("squared_norms", "missing", expected))
        }
        None => Ok(()),
        Some(norms) if norms.len() != samples => {
            let expected = format!("{samples} values, one a sample");
            Err(Error::argument("squared_norms", norms.len(), expected))
        }
        Some(norms) => match norms.iter().position(|norm| !(norm.is_finite() && *norm >= 0.0)) {
            None => Ok(()),
            Some(sample) => {
                let found = format!("{} of sample {sample}", norms[sample]);
                Err(Error::argument("squared_norms", found, "finite and at least 0"))
            }
        },
    }
}

/// The chosen atoms of a sample, in products with all atoms.
struct ProductsBasis<'a, T> {
    gram: &'a Contiguous<'a, T>,
    scales: &'a [f64],
    sign: Sign,
    /// Dᵀy for unit atoms.
    initial: Vec<f64>,
    alpha: Vec<f64>,
    /// ‖(I − P) d_j‖² where atoms are scored by it; empty otherwise.
    heights: Vec<f64>,
    /// w_t, one after the other.
    rows: Vec<f64>,
    row: Vec<f64>,
    row_of_l: Vec<f64>,
    factor: Factor<f64>,
    /// The sample is divided by a power of two, so that no square over- or underflows.
    scale: f64,
    /// ‖y‖² and ‖r‖², divided by `scale`²; infinite if they are not known.
    energy: f64,
    residual: f64,
    /// Correlations up to this are rounding.
    least: f64,
}

impl<'a, T: Scalar> ProductsBasis<'a, T> {
    fn new(products: &'a Products<'_, T>, pursuit: &Pursuit) -> Self {
        let atoms = products.scales.len();
        let has_heights = pursuit.selection == Selection::LeastSquares;
        Self {
            gram: &products.gram,
            scales: &products.scales,
            sign: pursuit.sign,
            initial: vec![0.0; atoms],
            alpha: vec![0.0; atoms],
            heights: vec![1.0; if has_heights { atoms } else { 0 }],
            rows: Vec::new(),
            row: vec![0.0; atoms],
            row_of_l: Vec::new(),
            factor: Factor::new(products.sparsity.min(atoms)),
            scale: 1.0,
            energy: 0.0,
            residual: 0.0,
            least: 0.0,
        }
    }

    /// Begins with a sample; without its squared norm, its error is never small enough.
    fn load(
        &mut self,
        correlations: MatRef<'_, T>,
        sample: usize,
        energy: Option<f64>,
    ) -> Result<(), Error> {
        let values = correlations.col(sample).iter();
        for ((initial, value), scale) in self.initial.iter_mut().zip(values).zip(self.scales) {
            *initial = value.widen() * scale;
        }
        self.scale = power_of_two(loops::largest_magnitude(&self.initial));
        let inverse = self.scale.recip();
        self.initial.iter_mut().for_each(|a| *a *= inverse);
        let largest = loops::largest_magnitude(&self.initial);
        if !largest.is_finite() {
            return Err(not_finite(largest, sample));
        }
        self.least = ROUNDING * T::EPSILON * largest;
        self.energy = energy.map_or(f64::INFINITY, |energy| energy * inverse * inverse);
        // |dᵀy| ≤ ‖y‖ for unit atoms, but for rounding.
        if self.energy < largest * largest * (1.0 - T::EPSILON.sqrt()) {
            let found = format!("{} of sample {sample}", energy.unwrap_or_default());
            let expected = "at least the squares of its correlations with unit atoms";
            return Err(Error::argument("squared_norms", found, expected));
        }
        self.restart();
        Ok(())
    }
}

impl<T: Scalar> Basis<f64> for ProductsBasis<'_, T> {
    fn restart(&mut self) {
        self.factor.clear();
        self.rows.clear();
        self.alpha.copy_from_slice(&self.initial);
        self.heights.fill(1.0);
        self.residual = self.energy;
    }

    fn select(&mut self, selection: Selection) -> Option<(u32, f64)> {
        self.factor.mask(&mut self.alpha);
        let least = dependence::of_gram::<T>().widen();
        let best = select(&self.alpha, &self.heights, least, selection, self.sign)?;
        let alpha = self.alpha[best];
        (alpha.abs() > self.least).then_some((best as u32, alpha))
    }

    fn residual(&self) -> f64 {
        self.residual
    }

    fn support(&self) -> &[u32] {
        self.factor.support()
    }

    fn coefficients(&self, into: &mut Vec<f64>) {
        self.factor.solve(into);
    }

    fn push(&mut self, atom: u32) -> bool {
        let at = atom as usize;
        let (column, scale) = (self.gram.column(at), self.scales[at]);
        let product = |u: u32| column[u as usize].widen() * self.scales[u as usize] * scale;
        let (height, alpha) = self.factor.lower(1.0, self.initial[at], product, &mut self.row_of_l);
        if height <= dependence::of_gram::<T>().widen() {
            self.factor.exclude(atom);
            return false;
        }
        let height = height.sqrt();
        for ((w, g), s) in self.row.iter_mut().zip(column).zip(self.scales) {
            *w = g.widen() * s * scale;
        }
        for (&l, earlier) in self.row_of_l.iter().zip(self.rows.chunks_exact(self.row.len())) {
            loops::add(&mut self.row, -l, earlier);
        }
        self.row.iter_mut().for_each(|w| *w /= height);
        let coordinate = alpha / height;
        loops::add(&mut self.alpha, -coordinate, &self.row);
        for (h, w) in self.heights.iter_mut().zip(&self.row) {
            *h -= w * w;
        }
        self.rows.extend_from_slice(&self.row);
        self.factor.push(atom, &self.row_of_l, height, coordinate);
        self.residual = (self.residual - coordinate * coordinate).max(0.0);
        true
    }
}
