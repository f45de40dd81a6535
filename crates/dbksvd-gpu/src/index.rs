//! Which samples use each atom. `wgsl/index.wgsl` says how it is found.

use dbksvd::backend::SampleShards;
use dbksvd::error::BackendError;

use crate::buffer::Buffer;
use crate::device::{Device, Kernel, LANES};
use crate::matrix::GpuCodes;

const COUNT: Kernel = Kernel::new(include_str!("wgsl/index.wgsl"), "count");
const OFFSETS: Kernel = Kernel::new(include_str!("wgsl/offsets.wgsl"), "offsets");
const STARTS: Kernel = Kernel::new(include_str!("wgsl/starts.wgsl"), "starts_of").with_lanes(256);
const FILL: Kernel = Kernel::new(include_str!("wgsl/fill.wgsl"), "fill");

/// Samples of a block, unless counts of so many blocks would take too much memory. Each use is
/// compared with those of the samples before it in its block.
const BLOCK: usize = 64;

/// The most counts.
const MOST_COUNTS: usize = 1 << 24;

/// The uses of each atom, in the order of samples.
#[derive(Debug)]
pub(crate) struct Index {
    atoms: usize,
    /// Blocks + 1 rows of offsets; the last is how often all use each atom.
    pub(crate) counts: Buffer,
    /// Where the uses of each atom start, and where those of the last end.
    pub(crate) starts: Buffer,
    /// The numbers of slots.
    pub(crate) uses: Buffer,
    /// The first block of each shard, and the one after the last; here and on the device.
    pub(crate) firsts: Vec<u32>,
    pub(crate) firsts_there: Buffer,
    /// The samples where blocks start, and where the last ends.
    bounds: Buffer,
    /// How many samples use each atom.
    pub(crate) totals: Vec<u32>,
}

impl Index {
    pub(crate) fn new(device: &Device, atoms: usize) -> Result<Self, BackendError> {
        let empty = || device.buffer(0, "uses of atoms");
        Ok(Self {
            atoms,
            counts: empty()?,
            starts: device.buffer(atoms + 1, "uses of atoms")?,
            uses: empty()?,
            firsts: vec![0],
            firsts_there: empty()?,
            bounds: empty()?,
            totals: vec![0; atoms],
        })
    }

    /// Cuts the samples of each shard, with so many atoms a code, into blocks, on whose size
    /// nothing depends but time.
    pub(crate) fn set_shards(
        &mut self,
        device: &Device,
        shards: &SampleShards,
        sparsity: usize,
    ) -> Result<(), BackendError> {
        let most = MOST_COUNTS.min(device.most_bytes as usize / 8).max(1);
        // A lane of `fill` looks at all uses before each of its own in the block.
        let uses = sparsity * (sparsity + 1);
        let turns_of = |block: usize| block.saturating_mul(block) * uses / (2 * LANES);
        let few_turns = device.most_turns.map(|most| (2 * LANES * most / uses.max(1)).isqrt());
        let block = few_turns.map_or(BLOCK, |few| few.clamp(1, BLOCK));
        let block = block.max(shards.samples().saturating_mul(self.atoms).div_ceil(most));
        device.check_turns(turns_of(block), "uses of atoms")?;
        let mut bounds = Vec::new();
        self.firsts.clear();
        for shard in shards.ranges() {
            self.firsts.push(bounds.len() as u32);
            bounds.extend(shard.step_by(block).map(|start| start as u32));
        }
        self.firsts.push(bounds.len() as u32);
        bounds.push(shards.samples() as u32);
        device.grow(&mut self.bounds, bounds.len(), "blocks of samples")?;
        device.grow(&mut self.firsts_there, self.firsts.len(), "blocks of samples")?;
        device.write_all(&self.bounds, &bounds)?;
        device.write_all(&self.firsts_there, &self.firsts)
    }

    /// Finds the uses anew.
    pub(crate) fn rebuild(
        &mut self,
        device: &Device,
        codes: &GpuCodes,
    ) -> Result<(), BackendError> {
        let (atoms, blocks) = (self.atoms, *self.firsts.last().unwrap_or(&0) as usize);
        device.grow(&mut self.counts, (blocks + 1) * atoms, "uses of atoms")?;
        device.grow(&mut self.uses, codes.samples * codes.sparsity, "uses of atoms")?;
        device.clear(&self.counts);
        let [m, k, b] = [atoms, codes.sparsity, blocks].map(|number| number as u32);
        let (support, lengths) = (&codes.support, &codes.lengths);
        device.run(&COUNT, &[support, lengths, &self.bounds, &self.counts], &[m, k, b], blocks);
        device.run(&OFFSETS, &[&self.counts], &[m, b], atoms.div_ceil(LANES));
        device.run(&STARTS, &[&self.counts, &self.starts], &[m, b], 1);
        let buffers = [support, lengths, &self.bounds, &self.counts, &self.starts, &self.uses];
        device.run(&FILL, &buffers, &[m, k, b], blocks);
        self.totals = device.read(&[(&self.counts, blocks * atoms, atoms)])?;
        Ok(())
    }

    /// Where the uses of an atom start.
    pub(crate) fn start_of(&self, atom: usize) -> usize {
        self.totals[..atom].iter().map(|&count| count as usize).sum()
    }
}
