//! Pursuits without a Gram matrix: products of the dictionary with the residuals of a block of
//! samples, and a step of each sample after every product. `wgsl/residuals.wgsl` says how.

use dbksvd::backend::{PursuitRule, Selection};
use dbksvd::error::BackendError;
use dbksvd::{ProblemShape, Sign};

use crate::block::Block;
use crate::buffer::Buffer;
use crate::device::{Device, Kernel, LANES};
use crate::matrix::{GpuCodes, GpuMatrix};
use crate::product::product;

const ADVANCE: Kernel = Kernel::new(
    concat!(
        include_str!("wgsl/sum.wgsl"),
        include_str!("wgsl/pursuit_common.wgsl"),
        include_str!("wgsl/from_atoms.wgsl"),
        include_str!("wgsl/residuals.wgsl")
    ),
    "advance",
);
pub(crate) const SQUARES: Kernel =
    Kernel::new(include_str!("wgsl/atom_squares.wgsl"), "atom_squares");
const LOWER: Kernel = Kernel::new(include_str!("wgsl/lower.wgsl"), "lower");

/// Steps after which the device is asked whether all pursuits of a block have ended.
const STEPS: usize = 4;

/// Steps of a non-negative pursuit for each atom that a code may have, since atoms may leave it.
const STEPS_PER_ATOM: usize = 4;

/// About how often a lane turns loops in a step.
pub(crate) fn turns(shape: &ProblemShape) -> usize {
    let ProblemShape { dim, atoms, sparsity, .. } = *shape;
    let of_chosen = sparsity.div_ceil(LANES);
    let of_a_use = of_chosen * (dim + 4 * sparsity) + 3 * dim.div_ceil(LANES);
    4 * atoms.div_ceil(LANES) + 2 * dim + 4 * of_a_use + sparsity * (8 + dim.div_ceil(LANES))
}

/// What these pursuits need besides the scratch memory of all.
#[derive(Debug)]
pub(crate) struct GramFree {
    /// ‖d‖² of every atom.
    squares: Buffer,
    /// Which samples of a block go on.
    states: Buffer,
    /// The newest q of each sample, and its products with all atoms: empty unless atoms are scored
    /// by ‖(I − P) d‖.
    directions: GpuMatrix,
    overlaps: Buffer,
}

impl GramFree {
    pub(crate) fn new(device: &Device, shape: &ProblemShape) -> Result<Self, BackendError> {
        let empty = || device.buffer(0, "pursuits");
        Ok(Self {
            squares: device.buffer(shape.atoms, "pursuits")?,
            states: empty()?,
            directions: GpuMatrix::new(device, shape.dim, 0)?,
            overlaps: empty()?,
        })
    }

    /// Makes room for a block of so many samples.
    pub(crate) fn make_room(
        &mut self,
        device: &Device,
        rule: &PursuitRule,
        shape: &ProblemShape,
        count: usize,
    ) -> Result<(), BackendError> {
        let of_norms = if rule.selection == Selection::LeastSquares { count } else { 0 };
        device.grow(&mut self.states, count, "pursuits")?;
        self.directions.reshape(device, shape.dim, of_norms)?;
        device.grow(&mut self.overlaps, shape.atoms * of_norms, "pursuits")
    }

    pub(crate) fn set_dictionary(&self, device: &Device, dictionary: &GpuMatrix) {
        let numbers = [dictionary.rows, dictionary.cols].map(|number| number as u32);
        let workgroups = dictionary.cols.div_ceil(LANES);
        device.run(&SQUARES, &[&dictionary.buffer, &self.squares], &numbers, workgroups);
    }

    /// Codes a block of scaled samples.
    pub(crate) fn pursue(
        &self,
        device: &Device,
        (rule, shape): (&PursuitRule, &ProblemShape),
        dictionary: &GpuMatrix,
        block: &Block<'_>,
        codes: &GpuCodes,
    ) -> Result<(), BackendError> {
        let ProblemShape { atoms, sparsity, sign, .. } = *shape;
        let is_least_squares = rule.selection == Selection::LeastSquares;
        let may_end_early = rule.tolerance.is_some() || rule.min_correlation.is_some();
        let most_steps = match sign {
            Sign::Signed => sparsity,
            Sign::NonNegative => STEPS_PER_ATOM * sparsity,
        };
        let advance = block.wide(ADVANCE);
        for step in 0..most_steps {
            let residuals = if step == 0 { block.scaled } else { block.residual };
            product(device, dictionary, residuals, block.correlations, block.count);
            if is_least_squares && step > 0 {
                product(device, dictionary, &self.directions, &self.overlaps, block.count);
                let total = atoms * block.count;
                let buffers = [&self.overlaps, block.norms];
                device.run(&LOWER, &buffers, &[total as u32], total.div_ceil(LANES));
            }
            let buffers = [
                &block.buffers(&self.squares, dictionary, codes)[..],
                &[&self.states, &self.directions.buffer],
            ]
            .concat();
            device.run(&advance, &buffers, &block.numbers(step), block.count);
            let taken = step + 1;
            let is_asked = taken % STEPS == 0 && (may_end_early || taken >= sparsity);
            if is_asked && taken < most_steps {
                let states: Vec<u32> = device.read(&[(&self.states, 0, block.count)])?;
                if states.iter().all(|&state| state == 0) {
                    break;
                }
            }
        }
        Ok(())
    }
}
