//! What [`BatchOmp`](dbksvd::coder::BatchOmp) runs on: pursuits, a workgroup a sample, by rows of
//! the Gram matrix in 32 bits (`wgsl/pursuit.wgsl` says how) or 16 (`half_gram.rs`), or without it
//! (`gram_free.rs`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use dbksvd::backend::{Backend, PursuitKernels, PursuitRule, Selection, Tolerance};
use dbksvd::error::BackendError;
use dbksvd::faer::Mat;
use dbksvd::{Faer, ProblemShape, Sign};

use crate::block::Block;
use crate::buffer::Buffer;
use crate::device::{Device, Kernel, LANES};
use crate::gpu::Gpu;
use crate::gram_free::{self, GramFree};
use crate::half_gram::{self, HalfGram};
use crate::matrix::{GpuCodes, GpuMatrix};
use crate::product::product;

const SCALE: Kernel = Kernel::new(include_str!("wgsl/scale.wgsl"), "scale");
const PURSUE: Kernel = Kernel::new(
    concat!(
        include_str!("wgsl/sum.wgsl"),
        include_str!("wgsl/pursuit_common.wgsl"),
        include_str!("wgsl/pursuit.wgsl")
    ),
    "pursue",
);
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

/// The Gram matrix or what stands for it, and scratch memory for a block of samples.
///
/// Threads that encode at once take turns: a device has one queue, and one block fills it.
#[derive(Debug)]
pub struct GpuPursuits(Mutex<Pursuits>);

impl GpuPursuits {
    /// For this thread alone. A panic elsewhere leaves scratch in no state that matters.
    fn lock(&self) -> MutexGuard<'_, Pursuits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get_mut(&mut self) -> &mut Pursuits {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Pursuits {
    rule: PursuitRule,
    shape: ProblemShape,
    /// Samples of a block.
    block: usize,
    form: Form,
    /// The samples of a block, scaled; and the powers of two that they were scaled by.
    scaled: GpuMatrix,
    exponents: Buffer,
    /// Dᵀy, bounds of scores, norms and inverse factors of a block, and r.
    correlations: Buffer,
    upper: Buffer,
    norms: Buffer,
    inverse: Buffer,
    residual: GpuMatrix,
    mask: Buffer,
    /// How many samples are in doubt, then which.
    doubts: Buffer,
    host: HostPursuits,
}

/// What scores of atoms are computed from.
#[derive(Debug)]
enum Form {
    /// Rows of the Gram matrix.
    Gram(Buffer),
    /// Its rows in 16 bits, where those of 32 take more than they may.
    Halves(HalfGram),
    /// Products with the residuals, where the Gram matrix takes more than it may have or than the
    /// adapter hands to a kernel.
    Residuals(GramFree),
}

/// About how often a lane turns loops in a pursuit by rows of the Gram matrix. A sample that leaves
/// much to be settled takes some more.
fn turns_by_rows(shape: &ProblemShape) -> usize {
    let ProblemShape { dim, atoms, sparsity, sign } = *shape;
    let (of_atoms, of_dim) = (atoms.div_ceil(LANES), dim.div_ceil(LANES));
    let of_signs = if sign == Sign::NonNegative { 2 } else { 1 };
    let of_a_step = 2 * of_atoms + 4 * of_dim + 32 + dim;
    of_signs * (sparsity * sparsity / 2 * (of_atoms + 10) + sparsity * of_a_step)
}

/// Pursuits in double precision on the host, of samples that rounding leaves in doubt.
#[derive(Debug)]
struct HostPursuits {
    backend: Faer<f32>,
    pursuits: <Faer<f32> as PursuitKernels>::Pursuits,
    /// The dictionary, once a sample has been in doubt.
    dictionary: Option<Mat<f32>>,
}

impl Pursuits {
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
        let numbers = atoms * atoms;
        let fits = |words: usize, more: usize| {
            let turns = turns_by_rows(shape) + more;
            let is_small = 4 * words <= memory && words <= device.most_in_parts();
            is_small && device.check_turns(turns, "pursuits").is_ok()
        };
        let is_least_squares = rule.selection == Selection::LeastSquares;
        let form = if fits(numbers, 0) {
            Form::Gram(device.in_parts(numbers, "the Gram matrix")?)
        } else if !is_least_squares && fits(half_gram::words(atoms), 2 * sparsity * dim) {
            Form::Halves(HalfGram::new(device, shape)?)
        } else {
            device.check_turns(gram_free::turns(shape), "pursuits")?;
            Form::Residuals(GramFree::new(device, shape)?)
        };
        if dim > (device.most_bytes / 4) as usize {
            let what = format!("samples of {dim} numbers, which no binding of the adapter holds");
            return Err(BackendError::Unsupported { what });
        }
        let a_sample = 4 * (4 * atoms + 3 * dim + sparsity * sparsity + atoms.div_ceil(32));
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
            form,
            scaled: GpuMatrix::new(device, dim, 0)?,
            exponents: empty()?,
            correlations: empty()?,
            upper: empty()?,
            norms: empty()?,
            inverse: empty()?,
            residual: GpuMatrix::new(device, dim, 0)?,
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
        self.residual.reshape(device, dim, count)?;
        if let Form::Residuals(form) = &mut self.form {
            form.make_room(device, &self.rule, &self.shape, count)?;
        }
        for (buffer, numbers) in [
            (&mut self.exponents, count),
            (&mut self.correlations, atoms * count),
            (&mut self.upper, atoms * count),
            (&mut self.norms, if is_least_squares { atoms * count } else { 0 }),
            (&mut self.inverse, sparsity * sparsity * count),
            (&mut self.mask, atoms.div_ceil(32) * count),
            (&mut self.doubts, 1 + samples),
        ] {
            device.grow(buffer, numbers, "pursuits")?;
        }
        Ok(())
    }

    /// The numbers that kernels are given for a block.
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

    fn block(&self, first: usize, count: usize) -> Block<'_> {
        Block {
            scaled: &self.scaled,
            exponents: &self.exponents,
            correlations: &self.correlations,
            upper: &self.upper,
            norms: &self.norms,
            inverse: &self.inverse,
            residual: &self.residual,
            mask: &self.mask,
            doubts: &self.doubts,
            count,
            numbers: self.numbers(first, count),
            lanes: if self.shape.atoms < MANY_ATOMS { LANES } else { 4 * LANES },
        }
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

/// Codes a block of scaled samples by rows of the Gram matrix.
fn by_rows(
    device: &Device,
    dictionary: &GpuMatrix,
    gram: &Buffer,
    block: &Block<'_>,
    codes: &GpuCodes,
) {
    product(device, dictionary, block.scaled, block.correlations, block.count);
    let buffers = block.buffers(gram, dictionary, codes);
    device.run(&block.wide(PURSUE), &buffers, &block.numbers(0), block.count);
}

impl PursuitKernels for Gpu {
    type Pursuits = GpuPursuits;

    fn prepare_pursuits(
        &self,
        rule: &PursuitRule,
        shape: &ProblemShape,
        memory: usize,
    ) -> Result<GpuPursuits, BackendError> {
        Ok(GpuPursuits(Mutex::new(Pursuits::new(&self.device, rule, shape, memory)?)))
    }

    fn set_pursuit_dictionary(
        &self,
        pursuits: &mut GpuPursuits,
        dictionary: &GpuMatrix,
    ) -> Result<(), BackendError> {
        let pursuits = pursuits.get_mut();
        match &pursuits.form {
            Form::Gram(gram) => {
                product(&self.device, dictionary, dictionary, gram, dictionary.cols);
            }
            Form::Halves(form) => form.set_dictionary(&self.device, dictionary)?,
            Form::Residuals(form) => form.set_dictionary(&self.device, dictionary),
        }
        pursuits.host.dictionary = None;
        self.device.check()
    }

    fn pursue(
        &self,
        pursuits: &GpuPursuits,
        dictionary: &GpuMatrix,
        y: &GpuMatrix,
        codes: &mut GpuCodes,
    ) -> Result<(), BackendError> {
        let device = &*self.device;
        let pursuits = &mut *pursuits.lock();
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
        for first in (0..y.cols).step_by(pursuits.block) {
            let count = pursuits.block.min(y.cols - first);
            let numbers = [dim, first, count].map(|number| number as u32);
            let buffers = [&y.buffer, &pursuits.scaled.buffer, &pursuits.exponents];
            device.run(&SCALE, &buffers, &numbers, count);
            let block = pursuits.block(first, count);
            match &pursuits.form {
                Form::Gram(gram) => by_rows(device, dictionary, gram, &block, codes),
                Form::Halves(form) => form.pursue(device, dictionary, &block, codes),
                Form::Residuals(form) => {
                    let problem = (&pursuits.rule, &pursuits.shape);
                    form.pursue(device, problem, dictionary, &block, codes)?;
                }
            }
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
    fn the_gram_matrix_has_the_bits_that_it_has_room_for() {
        let gpu = Gpu::new().expect("an adapter");
        let shape = ProblemShape { dim: 64, atoms: 256, sparsity: 8, sign: Sign::Signed };
        let of = |selection, bytes| {
            let rule = PursuitRule { selection, ..PursuitRule::default() };
            match gpu.prepare_pursuits(&rule, &shape, bytes).expect("memory").get_mut().form {
                Form::Gram(_) => 32,
                Form::Halves(_) => 16,
                Form::Residuals(_) => 0,
            }
        };
        let (whole, half) = (4 * 256 * 256, 2 * 256 * 256);
        for (bytes, bits) in
            [(whole, [32, 32]), (whole - 1, [16, 0]), (half, [16, 0]), (half - 1, [0, 0])]
        {
            let found = [Selection::Correlation, Selection::LeastSquares].map(|by| of(by, bytes));
            assert_eq!(found, bits, "{bytes} bytes");
        }
    }

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
                    for memory in [1 << 20, 200_000, 0] {
                        let mut pursuits =
                            gpu.prepare_pursuits(&rule, &shape, memory).expect("memory");
                        let mut codes = gpu.codes(256, 0, 8).expect("memory");
                        gpu.set_pursuit_dictionary(&mut pursuits, &d).expect("a sound device");
                        gpu.pursue(&pursuits, &d, &y, &mut codes).expect("a sound device");
                        let doubtful = pursuits.lock().doubtful(&gpu.device);
                        let count = doubtful.expect("a sound device").len();
                        let what = format!("{kind:?}, {shape:?}, {selection:?}, {memory} bytes");
                        assert!(count <= most, "{count} of 500: {what}");
                    }
                }
            }
        }
    }
}
