//! What a renewal of atoms reads and changes of a minibatch, and decorrelation: called rarely.

use std::cmp::Reverse;

use dbksvd::ProblemShape;
use dbksvd::backend::{Candidate, LargeUse};
use dbksvd::error::BackendError;

use crate::device::{Kernel, LANES};
use crate::gpu::Gpu;
use crate::matrix::{GpuCodes, GpuMatrix};
use crate::product::{list, product};
use crate::sums;
use crate::sweep::{GpuSweep, Way, copy};

const VACATE: Kernel =
    Kernel::new(concat!(include_str!("wgsl/sum.wgsl"), include_str!("wgsl/vacate.wgsl")), "vacate");
const ONE: Kernel = Kernel::new(include_str!("wgsl/one.wgsl"), "code_by_one");
const LARGE: Kernel = Kernel::new(include_str!("wgsl/large.wgsl"), "large");
const LOST: Kernel =
    Kernel::new(concat!(include_str!("wgsl/sum.wgsl"), include_str!("wgsl/lost.wgsl")), "lost");
const DECORRELATE: Kernel = Kernel::new(include_str!("wgsl/decorrelate.wgsl"), "decorrelate");

/// Stands for no atom.
const NOBODY: u32 = u32::MAX;

/// Uses whose loss is computed at once, since each takes memory.
const USES: usize = 256;

/// Atoms that are decorrelated at once: their cosines with all take memory.
const BLOCK: usize = 128;

impl Gpu {
    /// Samples by falling error: see [`worst`](dbksvd::backend::SweepKernels::worst). Two numbers a
    /// sample come down.
    pub(crate) fn worst_samples(
        &self,
        sweep: &GpuSweep,
        y: &GpuMatrix,
        least: f64,
        relative: f64,
    ) -> Result<Vec<Candidate>, BackendError> {
        let of = |matrix: &GpuMatrix| {
            sums::of_columns(&self.device, &matrix.buffer, matrix.rows, matrix.cols)
        };
        let (errors, energies) = (of(&sweep.residual)?, of(y)?);
        let candidates = errors.into_iter().zip(energies).enumerate();
        let is_one = |&(_, (error, energy)): &(usize, (f64, f64))| {
            error >= least && energy >= least && energy > 0.0 && error > relative * energy
        };
        let mut candidates: Vec<Candidate> = candidates
            .filter(is_one)
            .map(|(sample, (error, _))| Candidate { sample, error })
            .collect();
        candidates.sort_by(|a, b| b.error.total_cmp(&a.error).then(a.sample.cmp(&b.sample)));
        Ok(candidates)
    }

    /// Takes an atom out of every code that uses it, maybe for an heir.
    pub(crate) fn take_out(
        &self,
        sweep: &GpuSweep,
        dictionary: &GpuMatrix,
        codes: &GpuCodes,
        atom: u32,
        heir: Option<u32>,
    ) {
        let ProblemShape { dim, sparsity, .. } = sweep.shape;
        let (first, count) =
            (sweep.index.start_of(atom as usize), sweep.index.totals[atom as usize]);
        let [dim, sparsity, first] = [dim, sparsity, first].map(|number| number as u32);
        let heir = heir.unwrap_or(NOBODY);
        let numbers = [dim, sparsity, atom, heir, first, count, sweep.is_non_negative()];
        let buffers = [
            &sweep.residual.buffer,
            &dictionary.buffer,
            &codes.support,
            &codes.values,
            &codes.lengths,
            &sweep.index.uses,
        ];
        self.device.run(&sweep.wide(VACATE), &buffers, &numbers, count as usize);
    }

    /// Codes a sample by one atom alone.
    pub(crate) fn give_one(
        &self,
        sweep: &GpuSweep,
        y: &GpuMatrix,
        dictionary: &GpuMatrix,
        codes: &GpuCodes,
        (sample, atom): (usize, u32),
    ) {
        let ProblemShape { dim, sparsity, .. } = sweep.shape;
        let [dim, sparsity, sample] = [dim, sparsity, sample].map(|number| number as u32);
        let numbers = [dim, sparsity, sample, atom, sweep.is_non_negative()];
        let buffers = [
            &sweep.residual.buffer,
            &y.buffer,
            &dictionary.buffer,
            &codes.support,
            &codes.values,
            &codes.lengths,
        ];
        self.device.run(&ONE, &buffers, &numbers, 1);
    }

    /// Uses of rare atoms with x² of at least `least`.
    pub(crate) fn large_uses_of(
        &self,
        sweep: &GpuSweep,
        codes: &GpuCodes,
        rare: &[u32],
        least: f64,
    ) -> Result<Vec<LargeUse>, BackendError> {
        if rare.is_empty() {
            return Ok(Vec::new());
        }
        let device = &*self.device;
        let atoms = device.buffer(rare.len(), "rare atoms")?;
        device.write_all(&atoms, rare)?;
        let [sparsity, count] = [sweep.shape.sparsity, rare.len()].map(|number| number as u32);
        let found = list(device, rare.len(), &mut |found, most| {
            let (starts, uses) = (&sweep.index.starts, &sweep.index.uses);
            let buffers = [&codes.values, starts, uses, &atoms, found];
            let numbers = [sparsity, count, (least as f32).to_bits(), most];
            device.run(&LARGE, &buffers, &numbers, rare.len());
        })?;
        let large = |[number, sample]: [u32; 2]| LargeUse {
            atom: rare[number as usize],
            sample: sample as usize,
        };
        Ok(found.into_iter().map(large).collect())
    }

    /// By how much more would be left of samples without an atom and those like it.
    pub(crate) fn lost(
        &self,
        sweep: &GpuSweep,
        y: &GpuMatrix,
        dictionary: &GpuMatrix,
        uses: &[LargeUse],
        (coherence, typical): (f64, f64),
    ) -> Result<Vec<f64>, BackendError> {
        let device = &*self.device;
        let ProblemShape { dim, atoms, sparsity, .. } = sweep.shape;
        let room = device.most_bytes as usize / (4 * dim.max(atoms));
        let most = USES.min(uses.len()).min(room).max(1);
        let pairs = device.buffer(2 * most, "large uses")?;
        let rest = device.buffer(most * dim, "large uses")?;
        let is_alike = device.buffer(most * atoms, "large uses")?;
        let results = device.buffer(most, "large uses")?;
        let mut all = Vec::new();
        for uses in uses.chunks(most) {
            let numbers: Vec<[u32; 2]> =
                uses.iter().map(|at| [at.atom, at.sample as u32]).collect();
            device.write_all(&pairs, &numbers)?;
            let [dim, atoms, sparsity, count] =
                [dim, atoms, sparsity, uses.len()].map(|number| number as u32);
            let [coherence, typical] = [coherence, typical].map(|x| (x as f32).to_bits());
            let is_non_negative = sweep.is_non_negative();
            let numbers = [dim, atoms, sparsity, count, is_non_negative, coherence, typical];
            let buffers = [
                &sweep.residual.buffer,
                &y.buffer,
                &dictionary.buffer,
                &pairs,
                &rest,
                &is_alike,
                &results,
            ];
            let turns = (sweep.shape.sparsity + 1)
                * sweep.shape.atoms.div_ceil(4 * LANES)
                * (sweep.shape.dim + 1);
            device.check_turns(turns, "large uses of atoms")?;
            device.run(&LOST.with_lanes(4 * LANES), &buffers, &numbers, uses.len());
            let found: Vec<f32> = device.read(&[(&results, 0, uses.len())])?;
            all.extend(found.into_iter().map(f64::from));
        }
        Ok(all)
    }

    /// Decorrelates the atoms of a dictionary by how often they are used.
    pub(crate) fn take_apart(
        &self,
        dictionary: &GpuMatrix,
        counts: &[u64],
        tolerance: f64,
    ) -> Result<(), BackendError> {
        let device = &*self.device;
        let (dim, atoms) = (dictionary.rows, dictionary.cols);
        if atoms == 0 {
            return Ok(());
        }
        device.check_turns(atoms * dim.div_ceil(LANES), "atoms that are decorrelated")?;
        let mut order: Vec<u32> = (0..atoms as u32).collect();
        order.sort_by_key(|&j| (Reverse(counts[j as usize]), j));
        let places = device.buffer(atoms, "an order of atoms")?;
        device.write_all(&places, &order)?;
        let sorted = GpuMatrix::new(device, dim, atoms)?;
        copy(device, dictionary, &sorted, (&places, atoms), Way::Gather);
        let room = (device.most_bytes as usize / (4 * atoms)).max(1);
        let width = BLOCK.min(atoms).min(room);
        let (own, cosines) =
            (GpuMatrix::new(device, dim, width)?, device.buffer(atoms * width, "cosines")?);
        for first in (0..atoms).step_by(width) {
            let count = width.min(atoms - first);
            let block = device.buffer(count, "an order of atoms")?;
            let of_sorted: Vec<u32> = (first..first + count).map(|place| place as u32).collect();
            device.write_all(&block, &of_sorted)?;
            copy(device, &sorted, &own, (&block, count), Way::Gather);
            product(device, &sorted, &own, &cosines, count);
            let buffers = [&sorted.buffer, &cosines, &places, &dictionary.buffer];
            let [d, m, first, count_there] = [dim, atoms, first, count].map(|number| number as u32);
            let numbers = [d, m, first, count_there, (tolerance as f32).to_bits()];
            device.run(&DECORRELATE, &buffers, &numbers, count);
        }
        Ok(())
    }
}
