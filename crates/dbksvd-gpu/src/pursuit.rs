//! What [`BatchOmp`](dbksvd::coder::BatchOmp) runs on: pursuits by rows of the Gram matrix, a
//! workgroup a sample. `wgsl/pursuit.wgsl` says how.

use dbksvd::backend::{Backend, PursuitKernels, PursuitRule, Selection, Tolerance};
use dbksvd::error::BackendError;
use dbksvd::faer::Mat;
use dbksvd::{Faer, ProblemShape, Sign};

use crate::buffer::Buffer;
use crate::device::{Device, Kernel, LANES};
use crate::gpu::Gpu;
use crate::matrix::{GpuCodes, GpuMatrix};
use crate::product::product;

const SCALE: Kernel = Kernel::new(include_str!("wgsl/scale.wgsl"), "scale");
const PURSUE: Kernel = Kernel::new(include_str!("wgsl/pursuit.wgsl"), "pursue");
const SCATTER: Kernel = Kernel::new(include_str!("wgsl/scatter.wgsl"), "scatter");

/// The most atoms of a code: as many fit into the memory of a workgroup.
const MOST_SPARSITY: usize = 128;

/// The most atoms of a dictionary.
const MOST_ATOMS: usize = 65_536;

/// Atoms from which on a workgroup has 256 lanes.
const MANY_ATOMS: usize = 1024;

/// Bytes of device memory that the samples of a block take while they are coded.
const BLOCK_BYTES: usize = 512 << 20;

/// Samples of a block, at most.
const MOST_SAMPLES: usize = 4096;

/// The Gram matrix, and scratch memory for a block of samples.
#[derive(Debug)]
pub struct GpuPursuits {
    rule: PursuitRule,
    shape: ProblemShape,
    /// Samples of a block.
    block: usize,
    gram: Buffer,
    /// The samples of a block, scaled; and the powers of two that they were scaled by.
    scaled: GpuMatrix,
    exponents: Buffer,
    /// Dᵀy, bounds of scores, norms and inverse factors of a block, and r.
    correlations: Buffer,
    upper: Buffer,
    norms: Buffer,
    inverse: Buffer,
    residual: Buffer,
    mask: Buffer,
    /// How many samples are in doubt, then which.
    doubts: Buffer,
    host: HostPursuits,
}

/// Pursuits in double precision on the host, of samples that rounding leaves in doubt.
#[derive(Debug)]
struct HostPursuits {
    backend: Faer<f32>,
    pursuits: <Faer<f32> as PursuitKernels>::Pursuits,
    /// The dictionary, once a sample has been in doubt.
    dictionary: Option<Mat<f32>>,
}

impl GpuPursuits {
    fn new(
        device: &Device,
        rule: &PursuitRule,
        shape: &ProblemShape,
        memory: usize,
    ) -> Result<Self, BackendError> {
        let ProblemShape { dim, atoms, sparsity, .. } = *shape;
        for (found, most, what) in
            [(sparsity, MOST_SPARSITY, "atoms of a code"), (atoms, MOST_ATOMS, "atoms")]
        {
            if found > most {
                let what = format!("{found} {what} on a graphics device, which has at most {most}");
                return Err(BackendError::Unsupported { what });
            }
        }
        let (bytes, most) = (4 * atoms * atoms, memory.min(4 * device.most_in_parts()));
        if bytes > most {
            let what = format!(
                "pursuits without a Gram matrix on a graphics device: that of {atoms} atoms takes \
                 {bytes} bytes, of {most} that it may have"
            );
            return Err(BackendError::Unsupported { what });
        }
        let a_sample = 4 * (3 * atoms + 2 * dim + sparsity * sparsity + atoms.div_ceil(32));
        let buffer = (device.most_bytes as usize / 4)
            .checked_div(atoms.max(dim).max(sparsity * sparsity))
            .unwrap_or(1);
        let block = (BLOCK_BYTES / a_sample).min(buffer).clamp(1, MOST_SAMPLES);
        let backend = Faer::default();
        // Few samples are in doubt, so the host does without a Gram matrix.
        let pursuits = backend.prepare_pursuits(rule, shape, 0)?;
        let empty = || device.buffer(0, "pursuits");
        Ok(Self {
            rule: *rule,
            shape: *shape,
            block,
            gram: device.in_parts(atoms * atoms, "the Gram matrix")?,
            scaled: GpuMatrix::new(device, dim, 0)?,
            exponents: empty()?,
            correlations: empty()?,
            upper: empty()?,
            norms: empty()?,
            inverse: empty()?,
            residual: empty()?,
            mask: empty()?,
            doubts: empty()?,
            host: HostPursuits { backend, pursuits, dictionary: None },
        })
    }

    /// Makes room for blocks of as many of `samples` samples as are coded at once.
    fn make_room(&mut self, device: &Device, samples: usize) -> Result<(), BackendError> {
        let ProblemShape { dim, atoms, sparsity, .. } = self.shape;
        let count = self.block.min(samples);
        let is_least_squares = self.rule.selection == Selection::LeastSquares;
        self.scaled.reshape(device, dim, count)?;
        for (buffer, numbers) in [
            (&mut self.exponents, count),
            (&mut self.correlations, atoms * count),
            (&mut self.upper, atoms * count),
            (&mut self.norms, if is_least_squares { atoms * count } else { 0 }),
            (&mut self.inverse, sparsity * sparsity * count),
            (&mut self.residual, dim * count),
            (&mut self.mask, atoms.div_ceil(32) * count),
            (&mut self.doubts, 1 + samples),
        ] {
            device.grow(buffer, numbers, "pursuits")?;
        }
        Ok(())
    }

    /// The numbers that the kernel is given for a block.
    fn numbers(&self, first: usize, count: usize) -> [u32; 11] {
        let ProblemShape { dim, atoms, sparsity, sign } = self.shape;
        let mut flags = 0;
        if self.rule.selection == Selection::LeastSquares {
            flags |= 1;
        }
        if sign == Sign::NonNegative {
            flags |= 2;
        }
        let tolerance = match self.rule.tolerance {
            None => 0.0,
            Some(Tolerance::Absolute(norm)) => {
                flags |= 4;
                norm
            }
            Some(Tolerance::Relative(ratio)) => {
                flags |= 8;
                ratio
            }
        };
        let (root, unit) = ((dim as f32).sqrt(), f32::EPSILON);
        let of_floats = [
            tolerance as f32,
            self.rule.min_correlation.unwrap_or(0.0) as f32,
            // Sums of d terms, one after the other: errors grow as the root of their number. The
            // tests compare supports with those of double precision.
            unit * (4.0 + root / 2.0),
            unit * (4.0 / root).max(0.1),
            unit * (2.0 + root / 4.0),
        ]
        .map(f32::to_bits);
        let [t, l, g, s, r] = of_floats;
        let [dim, atoms, sparsity] = [dim, atoms, sparsity].map(|number| number as u32);
        [dim, atoms, sparsity, first as u32, count as u32, flags, t, l, g, s, r]
    }

    /// The samples that the device left to the host, in order.
    fn doubtful(&self, device: &Device) -> Result<Vec<u32>, BackendError> {
        let count: Vec<u32> = device.read(&[(&self.doubts, 0, 1)])?;
        if count[0] == 0 {
            return Ok(Vec::new());
        }
        let mut samples: Vec<u32> = device.read(&[(&self.doubts, 1, count[0] as usize)])?;
        samples.sort_unstable();
        Ok(samples)
    }
}

impl Gpu {
    /// Codes the samples in doubt in double precision on the host.
    fn settle(
        &self,
        host: &mut HostPursuits,
        samples: &[u32],
        dictionary: &GpuMatrix,
        y: &GpuMatrix,
        codes: &GpuCodes,
    ) -> Result<(), BackendError> {
        let HostPursuits { backend, pursuits, dictionary: copy } = host;
        let dictionary = match copy {
            Some(dictionary) => dictionary,
            None => {
                let dictionary = copy.insert(self.download(dictionary)?);
                backend.set_pursuit_dictionary(pursuits, dictionary)?;
                dictionary
            }
        };
        let columns: Vec<usize> = samples.iter().map(|&sample| sample as usize).collect();
        let y = self.download_columns(y, &columns)?;
        let mut coded = backend.codes(codes.atoms, 0, codes.sparsity)?;
        backend.pursue(pursuits, dictionary, &y, &mut coded)?;
        let mut settled = GpuCodes::new(&self.device, codes.atoms, 0, codes.sparsity)?;
        self.upload_codes(&coded, &mut settled)?;
        let places = self.device.buffer(samples.len(), "samples in doubt")?;
        self.device.write_all(&places, samples)?;
        let slots = samples.len() * codes.sparsity;
        let buffers = [
            &places,
            &settled.support,
            &settled.values,
            &settled.lengths,
            &codes.support,
            &codes.values,
            &codes.lengths,
        ];
        let numbers = [codes.sparsity as u32, slots as u32];
        self.device.run(&SCATTER, &buffers, &numbers, slots.div_ceil(LANES));
        Ok(())
    }
}

impl PursuitKernels for Gpu {
    type Pursuits = GpuPursuits;

    fn prepare_pursuits(
        &self,
        rule: &PursuitRule,
        shape: &ProblemShape,
        memory: usize,
    ) -> Result<GpuPursuits, BackendError> {
        GpuPursuits::new(&self.device, rule, shape, memory)
    }

    fn set_pursuit_dictionary(
        &self,
        pursuits: &mut GpuPursuits,
        dictionary: &GpuMatrix,
    ) -> Result<(), BackendError> {
        product(&self.device, dictionary, dictionary, &pursuits.gram, dictionary.cols);
        pursuits.host.dictionary = None;
        self.device.check()
    }

    fn pursue(
        &self,
        pursuits: &mut GpuPursuits,
        dictionary: &GpuMatrix,
        y: &GpuMatrix,
        codes: &mut GpuCodes,
    ) -> Result<(), BackendError> {
        let device = &*self.device;
        let ProblemShape { dim, atoms, sparsity, .. } = pursuits.shape;
        assert!(
            y.rows == dim && dictionary.rows == dim && dictionary.cols == atoms,
            "samples of {} numbers and atoms of {} for a problem of {dim} × {atoms}",
            y.rows,
            dictionary.rows
        );
        codes.reset(device, y.cols, sparsity)?;
        codes.atoms = atoms;
        if y.cols == 0 {
            return Ok(());
        }
        pursuits.make_room(device, y.cols)?;
        device.write_all(&pursuits.doubts, &[0_u32])?;
        let pursue = PURSUE.with_lanes(if atoms < MANY_ATOMS { LANES } else { 4 * LANES });
        for first in (0..y.cols).step_by(pursuits.block) {
            let count = pursuits.block.min(y.cols - first);
            let numbers = [dim, first, count].map(|number| number as u32);
            let buffers = [&y.buffer, &pursuits.scaled.buffer, &pursuits.exponents];
            device.run(&SCALE, &buffers, &numbers, count);
            let scaled = &pursuits.scaled;
            product(device, dictionary, scaled, &pursuits.correlations, count);
            let buffers = [
                &pursuits.correlations,
                &pursuits.gram,
                &dictionary.buffer,
                &pursuits.scaled.buffer,
                &pursuits.exponents,
                &pursuits.upper,
                &pursuits.norms,
                &pursuits.inverse,
                &pursuits.residual,
                &pursuits.mask,
                &codes.support,
                &codes.values,
                &codes.lengths,
                &pursuits.doubts,
            ];
            device.run(&pursue, &buffers, &pursuits.numbers(first, count), count);
        }
        let doubtful = pursuits.doubtful(device)?;
        if doubtful.is_empty() {
            return Ok(());
        }
        self.settle(&mut pursuits.host, &doubtful, dictionary, y, codes)
    }
}

#[cfg(test)]
mod tests {
    use dbksvd::faer::MatRef;
    use dbksvd::synthetic::{Kind, Planted};

    use super::*;

    #[test]
    fn few_samples_with_noise_are_left_to_the_host() {
        let gpu = Gpu::new().expect("an adapter");
        let upload = |host: MatRef<'_, f32>| {
            let mut matrix = gpu.zeros(0, 0).expect("no memory");
            gpu.upload(host, &mut matrix).expect("memory for a small matrix");
            matrix
        };
        for (kind, most) in [(Kind::Planted, 5), (Kind::Anisotropic, 25)] {
            let planted = Planted::new(64, 256, 8, 500).kind(kind).noise(0.1);
            let data = planted.generate::<f32>().expect("a legal problem");
            let (d, y) = (upload(data.dictionary.as_mat()), upload(data.samples.as_ref()));
            for sign in [Sign::Signed, Sign::NonNegative] {
                for selection in [Selection::Correlation, Selection::LeastSquares] {
                    let rule = PursuitRule { selection, ..PursuitRule::default() };
                    let shape = ProblemShape { dim: 64, atoms: 256, sparsity: 8, sign };
                    let mut pursuits =
                        gpu.prepare_pursuits(&rule, &shape, 1 << 20).expect("memory");
                    let mut codes = gpu.codes(256, 0, 8).expect("memory");
                    gpu.set_pursuit_dictionary(&mut pursuits, &d).expect("a sound device");
                    gpu.pursue(&mut pursuits, &d, &y, &mut codes).expect("a sound device");
                    let count = pursuits.doubtful(&gpu.device).expect("a sound device").len();
                    assert!(count <= most, "{count} of 500: {kind:?}, {shape:?}, {selection:?}");
                }
            }
        }
    }
}
