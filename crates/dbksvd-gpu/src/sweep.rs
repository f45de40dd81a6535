//! What [`KSvd`](dbksvd::updater::KSvd) runs on: the steps of K-SVD on batches of atoms.

use std::ops::Range;

use dbksvd::backend::{
    AtomRule, Backend, Candidate, Change, LargeUse, LeadingPair, SampleShards, SweepKernels,
    SweepRule, SweepStart,
};
use dbksvd::error::BackendError;
use dbksvd::{ProblemShape, Sign};

use crate::buffer::Buffer;
use crate::device::{Device, Kernel, LANES};
use crate::gpu::Gpu;
use crate::index::Index;
use crate::matrix::{GpuCodes, GpuMatrix};
use crate::product::pairs_above;
use crate::sums;

const ENERGIES: Kernel = Kernel::new(
    concat!(include_str!("wgsl/exact.wgsl"), include_str!("wgsl/energies.wgsl")),
    "energies",
);
const DIRECTIONS: Kernel = Kernel::new(
    concat!(include_str!("wgsl/sum.wgsl"), include_str!("wgsl/directions.wgsl")),
    "directions",
);
const MARK: Kernel = Kernel::new(include_str!("wgsl/mark.wgsl"), "mark");
const EXCHANGE: Kernel = Kernel::new(
    concat!(include_str!("wgsl/sum.wgsl"), include_str!("wgsl/exchange.wgsl")),
    "exchange",
);
const CHANGES: Kernel = Kernel::new(
    concat!(include_str!("wgsl/exact.wgsl"), include_str!("wgsl/changes.wgsl")),
    "changes",
);
const UNDO: Kernel = Kernel::new(include_str!("wgsl/undo.wgsl"), "undo");
const COPY: Kernel = Kernel::new(include_str!("wgsl/copy.wgsl"), "copy");

/// The most squares that a sum of `wgsl/exact.wgsl` has room for.
const MOST_TERMS: u32 = 1 << 20;

/// Power steps after which a pair counts as exact.
const MOST_STEPS: usize = 1000;

/// Power steps after which an exact non-negative pair is taken as it is.
const MOST_NON_NEGATIVE_STEPS: usize = 200;

/// Power steps that an exact pair takes at most, as a rule.
const LIKELY_STEPS: usize = 32;

/// The dimension from which on workgroups have 256 lanes.
const LONG: usize = 512;

/// The residual of a minibatch, which samples use each atom, new atoms, and scratch memory.
#[derive(Debug)]
pub struct GpuSweep {
    rule: SweepRule,
    pub(crate) shape: ProblemShape,
    /// R.
    pub(crate) residual: GpuMatrix,
    pub(crate) index: Index,
    pub(crate) shards: SampleShards,
    /// The samples where shards start, and where the last ends.
    shard_bounds: Buffer,
    /// New atoms, in the order of the sweep.
    fresh: GpuMatrix,
    /// The batch at hand and its weights; d·d' and sums of its members.
    batch: Buffer,
    overlaps: Buffer,
    spare: Buffer,
    /// A number an atom, from `base` on for those of the batch at hand.
    marks: Buffer,
    base: u32,
    /// The number that the next batch starts from.
    next_base: u32,
    /// c of each use in a power step, and coefficients before the last exchange.
    coefficients: Buffer,
    previous: Buffer,
    /// What an exchange changed of each sample and, in sum, of each shard.
    errors: Buffer,
    energies: Buffer,
    exchanged: Buffer,
    changes: Buffer,
}

impl GpuSweep {
    fn new(device: &Device, rule: &SweepRule, shape: &ProblemShape) -> Result<Self, BackendError> {
        let ProblemShape { dim, atoms, .. } = *shape;
        let batch = rule.atom_batch.min(atoms);
        let empty = || device.buffer(0, "a sweep");
        Ok(Self {
            rule: *rule,
            shape: *shape,
            residual: GpuMatrix::new(device, dim, 0)?,
            index: Index::new(device, atoms)?,
            shards: SampleShards::single(0),
            shard_bounds: empty()?,
            fresh: GpuMatrix::new(device, dim, atoms)?,
            batch: device.buffer(2 * batch, "a batch of atoms")?,
            overlaps: device.buffer(batch, "a batch of atoms")?,
            spare: device.buffer(batch * dim, "a batch of atoms")?,
            marks: device.buffer(atoms, "marks of atoms")?,
            base: 1,
            next_base: 1,
            coefficients: empty()?,
            previous: empty()?,
            errors: empty()?,
            energies: empty()?,
            exchanged: empty()?,
            changes: empty()?,
        })
    }

    /// Takes notice of shards and makes room for codes of this shape.
    fn make_room(
        &mut self,
        device: &Device,
        shards: &SampleShards,
        codes: &GpuCodes,
    ) -> Result<(), BackendError> {
        self.shards.clone_from(shards);
        self.index.set_shards(device, shards, codes.sparsity)?;
        let starts = shards.ranges().map(|shard| shard.start);
        let bounds: Vec<u32> = starts.chain([shards.samples()]).map(|start| start as u32).collect();
        device.grow(&mut self.shard_bounds, bounds.len(), "shards")?;
        device.write_all(&self.shard_bounds, &bounds)?;
        let slots = codes.samples * codes.sparsity;
        let needs_coefficients = self.rule.leading_pair != LeadingPair::Power { iterations: 1 };
        for (buffer, numbers) in [
            (&mut self.coefficients, if needs_coefficients { slots } else { 0 }),
            (&mut self.previous, slots),
            (&mut self.errors, codes.samples),
            (&mut self.energies, codes.samples),
            (&mut self.exchanged, codes.samples),
            (&mut self.changes, 8 * shards.len()),
        ] {
            device.grow(buffer, numbers, "a sweep")?;
        }
        Ok(())
    }

    /// Marks the atoms of the batch at hand.
    fn mark(&mut self, device: &Device, members: u32) {
        if self.next_base.checked_add(members).is_none() {
            device.clear(&self.marks);
            self.next_base = 1;
        }
        self.base = self.next_base;
        self.next_base += members;
        let buffers = [&self.batch, &self.marks];
        device.run(&MARK, &buffers, &[members, self.base], (members as usize).div_ceil(LANES));
    }

    fn steps(&self) -> usize {
        match (self.rule.leading_pair, self.shape.sign) {
            (LeadingPair::Power { iterations }, _) => iterations,
            (LeadingPair::Exact, Sign::Signed) => MOST_STEPS,
            (LeadingPair::Exact, Sign::NonNegative) => MOST_NON_NEGATIVE_STEPS,
        }
    }

    pub(crate) fn is_non_negative(&self) -> u32 {
        u32::from(self.shape.sign == Sign::NonNegative)
    }

    /// A kernel in workgroups as wide as vectors of this problem are long.
    pub(crate) fn wide(&self, kernel: Kernel) -> Kernel {
        kernel.with_lanes(if self.shape.dim < LONG { LANES } else { 4 * LANES })
    }
}

impl SweepKernels for Gpu {
    type Sweep = GpuSweep;

    fn prepare_sweep(
        &self,
        rule: &SweepRule,
        shape: &ProblemShape,
    ) -> Result<GpuSweep, BackendError> {
        if rule.atom_sign != Sign::Signed {
            let what = "atoms without negative entries, on a graphics device".into();
            return Err(BackendError::Unsupported { what });
        }
        GpuSweep::new(&self.device, rule, shape)
    }

    fn begin(
        &self,
        sweep: &mut GpuSweep,
        y: &GpuMatrix,
        dictionary: &GpuMatrix,
        codes: &GpuCodes,
        shards: &SampleShards,
    ) -> Result<SweepStart, BackendError> {
        sweep.make_room(&self.device, shards, codes)?;
        self.refresh(sweep, y, dictionary, codes)?;
        self.recount(sweep, codes)?;
        let nonzeros = sweep.index.totals.iter().map(|&count| count as usize).sum();
        Ok(SweepStart { samples: y.cols, nonzeros })
    }

    fn uses(&self, sweep: &GpuSweep, counts: &mut [u64]) -> Result<(), BackendError> {
        for (count, &total) in counts.iter_mut().zip(&sweep.index.totals) {
            *count = u64::from(total);
        }
        Ok(())
    }

    fn energies(
        &self,
        sweep: &GpuSweep,
        codes: &GpuCodes,
        shards: Range<usize>,
        energies: &mut [f64],
    ) -> Result<(), BackendError> {
        let (device, index, atoms) = (&*self.device, &sweep.index, sweep.shape.atoms);
        if index.totals.iter().any(|&uses| uses > MOST_TERMS) {
            let what = format!("an atom that more than {MOST_TERMS} samples of a minibatch use");
            return Err(BackendError::Unsupported { what });
        }
        let results = device.buffer(4 * atoms, "energies")?;
        let buffers = [&codes.values, &index.counts, &index.starts, &index.uses, &results];
        let numbers = [atoms as u32, index.firsts[shards.start], index.firsts[shards.end]];
        device.run(&ENERGIES, &buffers, &numbers, atoms.div_ceil(LANES));
        let found: Vec<u32> = device.read(&[(&results, 0, 4 * atoms)])?;
        for (energy, limbs) in energies.iter_mut().zip(found.chunks_exact(4)) {
            *energy = sums::value(limbs);
        }
        Ok(())
    }

    fn directions(
        &self,
        sweep: &mut GpuSweep,
        dictionary: &GpuMatrix,
        codes: &GpuCodes,
        weights: &[f64],
        batch: &[u32],
        place: usize,
    ) -> Result<(), BackendError> {
        let device = &*self.device;
        let most =
            batch.iter().map(|&j| sweep.index.totals[j as usize]).max().unwrap_or(0) as usize;
        let of_a_use = sweep.shape.dim.div_ceil(LANES) + 1;
        device.check_turns(
            most * of_a_use * sweep.steps().min(LIKELY_STEPS),
            "sums over the uses of an atom",
        )?;
        let weights = batch.iter().map(|&j| (weights[j as usize] as f32).to_bits());
        let numbers: Vec<u32> = batch.iter().copied().chain(weights).collect();
        device.write_all(&sweep.batch, &numbers)?;
        sweep.mark(device, batch.len() as u32);
        let index = &sweep.index;
        let buffers = [
            &sweep.residual.buffer,
            &dictionary.buffer,
            &codes.values,
            &sweep.batch,
            &index.counts,
            &index.starts,
            &index.uses,
            &index.firsts_there,
            &sweep.fresh.buffer,
            &sweep.overlaps,
            &sweep.spare,
            &sweep.coefficients,
        ];
        let ProblemShape { dim, atoms, sparsity, .. } = sweep.shape;
        let numbers = [dim, atoms, sparsity, batch.len(), place, sweep.steps(), sweep.shards.len()]
            .map(|number| number as u32);
        let [dim, atoms, sparsity, members, place, steps, shards] = numbers;
        let is_non_negative = sweep.is_non_negative();
        let numbers = [dim, atoms, sparsity, members, place, steps, shards, is_non_negative];
        device.run(&sweep.wide(DIRECTIONS), &buffers, &numbers, batch.len());
        Ok(())
    }

    fn exchange(
        &self,
        sweep: &mut GpuSweep,
        dictionary: &GpuMatrix,
        codes: &mut GpuCodes,
        batch: &[u32],
        place: usize,
        changes: &mut [Change],
    ) -> Result<(), BackendError> {
        let device = &*self.device;
        let buffers = [
            &sweep.residual.buffer,
            &dictionary.buffer,
            &sweep.fresh.buffer,
            &codes.support,
            &codes.values,
            &codes.lengths,
            &sweep.marks,
            &sweep.overlaps,
            &sweep.previous,
            &sweep.errors,
            &sweep.energies,
            &sweep.exchanged,
        ];
        let ProblemShape { dim, sparsity, .. } = sweep.shape;
        let [dim, sparsity, samples, members, place] =
            [dim, sparsity, codes.samples, batch.len(), place].map(|number| number as u32);
        let is_shared = u32::from(sweep.rule.atom_rule == AtomRule::Shared);
        let is_non_negative = sweep.is_non_negative();
        let numbers =
            [dim, sparsity, samples, members, place, sweep.base, is_non_negative, is_shared];
        device.run(&sweep.wide(EXCHANGE), &buffers, &numbers, codes.samples);
        let shards = sweep.shards.len();
        let buffers =
            [&sweep.errors, &sweep.energies, &sweep.exchanged, &sweep.shard_bounds, &sweep.changes];
        device.run(&CHANGES, &buffers, &[shards as u32], shards);
        let found: Vec<u32> = device.read(&[(&sweep.changes, 0, 8 * shards)])?;
        for (change, numbers) in changes.iter_mut().zip(found.chunks_exact(8)) {
            *change = Change {
                error: sums::signed_value(numbers[0], numbers[1], numbers[2]),
                energy: sums::signed_value(numbers[3], numbers[4], numbers[5]),
                uses: numbers[6] as usize,
            };
        }
        Ok(())
    }

    fn undo(
        &self,
        sweep: &mut GpuSweep,
        dictionary: &GpuMatrix,
        codes: &mut GpuCodes,
        batch: &[u32],
        place: usize,
    ) -> Result<(), BackendError> {
        let buffers = [
            &sweep.residual.buffer,
            &dictionary.buffer,
            &sweep.fresh.buffer,
            &codes.support,
            &codes.values,
            &codes.lengths,
            &sweep.marks,
            &sweep.previous,
        ];
        let ProblemShape { dim, sparsity, .. } = sweep.shape;
        let [dim, sparsity, samples, members, place] =
            [dim, sparsity, codes.samples, batch.len(), place].map(|number| number as u32);
        let numbers = [dim, sparsity, samples, members, place, sweep.base];
        self.device.run(&sweep.wide(UNDO), &buffers, &numbers, codes.samples);
        Ok(())
    }

    fn take_atoms(
        &self,
        sweep: &mut GpuSweep,
        dictionary: &mut GpuMatrix,
        order: &[u32],
    ) -> Result<(), BackendError> {
        let places = self.device.buffer(order.len(), "an order of atoms")?;
        self.device.write_all(&places, order)?;
        copy(&self.device, &sweep.fresh, dictionary, (&places, order.len()), Way::Scatter);
        Ok(())
    }

    fn errors(&self, sweep: &GpuSweep, errors: &mut [f64]) -> Result<(), BackendError> {
        self.squared_norms(&sweep.residual, &sweep.shards, errors)
    }

    fn refresh(
        &self,
        sweep: &mut GpuSweep,
        y: &GpuMatrix,
        dictionary: &GpuMatrix,
        codes: &GpuCodes,
    ) -> Result<(), BackendError> {
        self.residual(&mut sweep.residual, y, dictionary, codes);
        self.device.check()
    }

    fn recount(&self, sweep: &mut GpuSweep, codes: &GpuCodes) -> Result<(), BackendError> {
        sweep.index.rebuild(&self.device, codes)
    }

    fn worst(
        &self,
        sweep: &GpuSweep,
        y: &GpuMatrix,
        least: f64,
        relative: f64,
    ) -> Result<Vec<Candidate>, BackendError> {
        self.worst_samples(sweep, y, least, relative)
    }

    fn vacate(
        &self,
        sweep: &mut GpuSweep,
        dictionary: &GpuMatrix,
        codes: &mut GpuCodes,
        atom: u32,
        heir: Option<u32>,
    ) -> Result<(), BackendError> {
        self.take_out(sweep, dictionary, codes, atom, heir);
        Ok(())
    }

    fn code_by_one(
        &self,
        sweep: &mut GpuSweep,
        y: &GpuMatrix,
        dictionary: &GpuMatrix,
        codes: &mut GpuCodes,
        sample: usize,
        atom: u32,
    ) -> Result<(), BackendError> {
        self.give_one(sweep, y, dictionary, codes, (sample, atom));
        Ok(())
    }

    fn coherent_pairs(
        &self,
        dictionary: &GpuMatrix,
        threshold: f64,
        sign: Sign,
    ) -> Result<Vec<(u32, u32)>, BackendError> {
        pairs_above(&self.device, dictionary, threshold, sign)
    }

    fn large_uses(
        &self,
        sweep: &GpuSweep,
        codes: &GpuCodes,
        rare: &[u32],
        least: f64,
    ) -> Result<Vec<LargeUse>, BackendError> {
        self.large_uses_of(sweep, codes, rare, least)
    }

    fn lost_without(
        &self,
        sweep: &GpuSweep,
        y: &GpuMatrix,
        dictionary: &GpuMatrix,
        uses: &[LargeUse],
        coherence: f64,
        typical: f64,
    ) -> Result<Vec<f64>, BackendError> {
        self.lost(sweep, y, dictionary, uses, (coherence, typical))
    }

    fn decorrelate(
        &self,
        dictionary: &mut GpuMatrix,
        counts: &[u64],
        tolerance: f64,
    ) -> Result<(), BackendError> {
        self.take_apart(dictionary, counts, tolerance)
    }
}

/// Whether columns are taken or written in the order given.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Way {
    Gather,
    Scatter,
}

/// Copies so many columns, in an order that a buffer holds.
pub(crate) fn copy(
    device: &Device,
    from: &GpuMatrix,
    into: &GpuMatrix,
    (order, columns): (&Buffer, usize),
    way: Way,
) {
    let [dim, count] = [from.rows, columns].map(|number| number as u32);
    let numbers = [dim, count, u32::from(way == Way::Gather)];
    let workgroups = (from.rows * columns).div_ceil(LANES);
    device.run(&COPY, &[&from.buffer, &into.buffer, order], &numbers, workgroups);
}

#[cfg(test)]
mod tests {
    use dbksvd::synthetic::Planted;

    use super::*;

    fn upload(gpu: &Gpu, host: dbksvd::faer::MatRef<'_, f32>) -> GpuMatrix {
        let mut matrix = gpu.zeros(0, 0).expect("no memory");
        gpu.upload(host, &mut matrix).expect("memory for a small matrix");
        matrix
    }

    /// More samples than a block has, in shards that no block divides.
    #[test]
    fn uses_of_atoms_are_those_of_the_codes_in_the_order_of_samples() {
        uses_are_those_of_the_codes(8, 40, 4);
    }

    /// More uses in a block than loops of some drivers can count.
    #[test]
    fn so_they_are_with_many_atoms_a_code() {
        uses_are_those_of_the_codes(64, 128, 64);
    }

    fn uses_are_those_of_the_codes(dim: usize, atoms: usize, sparsity: usize) {
        let gpu = Gpu::new().expect("an adapter");
        let planted = Planted::new(dim, atoms, sparsity, 1111);
        let data = planted.generate::<f32>().expect("a legal problem");
        let mut codes = gpu.codes(atoms, 0, sparsity).expect("memory");
        gpu.upload_codes(&data.codes, &mut codes).expect("memory");
        let mut index = Index::new(&gpu.device, atoms).expect("memory");
        let shards = SampleShards::try_equal(8, 1111).expect("a power of two");
        index.set_shards(&gpu.device, &shards, sparsity).expect("memory");
        index.rebuild(&gpu.device, &codes).expect("memory");
        let total: usize = index.totals.iter().map(|&count| count as usize).sum();
        assert_eq!(total, data.codes.nnz());
        let uses: Vec<u32> = gpu.device.read(&[(&index.uses, 0, total)]).expect("a sound device");
        for atom in 0..atoms {
            let start = index.start_of(atom);
            let found = &uses[start..start + index.totals[atom] as usize];
            let slots = data.codes.iter().enumerate().filter_map(|(i, (support, _))| {
                let slot = support.iter().position(|&j| j as usize == atom)?;
                Some((sparsity * i + slot) as u32)
            });
            assert_eq!(found, slots.collect::<Vec<_>>(), "atom {atom}");
        }
    }

    /// Marks of batches are numbers that run out after some billions.
    #[test]
    fn marks_begin_anew_when_they_run_out() {
        let gpu = Gpu::new().expect("an adapter");
        let shape = ProblemShape { dim: 6, atoms: 12, sparsity: 2, sign: Sign::Signed };
        let data = Planted::new(6, 12, 2, 90).noise(0.1).generate::<f32>().expect("legal");
        let run = |next_base| {
            let rule = SweepRule::new(5);
            let mut sweep = gpu.prepare_sweep(&rule, &shape).expect("memory");
            sweep.next_base = next_base;
            let (y, mut d) =
                (upload(&gpu, data.samples.as_ref()), upload(&gpu, data.dictionary.as_mat()));
            let mut codes = gpu.codes(12, 0, 2).expect("memory");
            gpu.upload_codes(&data.codes, &mut codes).expect("memory");
            let shards = SampleShards::single(90);
            gpu.begin(&mut sweep, &y, &d, &codes, &shards).expect("a sound device");
            let order: Vec<u32> = (0..12).collect();
            let (weights, mut changes) = ([0.0; 12], [Change::default()]);
            for (number, batch) in order.chunks(5).enumerate() {
                let place = 5 * number;
                gpu.directions(&mut sweep, &d, &codes, &weights, batch, place).expect("sound");
                gpu.exchange(&mut sweep, &d, &mut codes, batch, place, &mut changes)
                    .expect("sound");
            }
            gpu.take_atoms(&mut sweep, &mut d, &order).expect("sound");
            (gpu.download(&d).expect("sound"), gpu.download_codes(&codes).expect("sound"))
        };
        assert_eq!(run(u32::MAX - 7), run(1));
    }
}
