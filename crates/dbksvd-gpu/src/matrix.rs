//! Matrices and codes in the memory of a device.

use dbksvd::error::BackendError;

use crate::buffer::Buffer;
use crate::device::{Device, MOST_LANES};

/// A dense matrix of `f32` in device memory, column after column.
#[derive(Debug)]
pub struct GpuMatrix {
    pub(crate) buffer: Buffer,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
}

impl GpuMatrix {
    pub(crate) fn new(device: &Device, rows: usize, cols: usize) -> Result<Self, BackendError> {
        let numbers = Self::numbers(device, rows, cols)?;
        Ok(Self { buffer: device.in_parts(numbers, "a matrix")?, rows, cols })
    }

    /// Takes a shape. The content is then of no meaning.
    pub(crate) fn reshape(
        &mut self,
        device: &Device,
        rows: usize,
        cols: usize,
    ) -> Result<(), BackendError> {
        let numbers = Self::numbers(device, rows, cols)?;
        device.grow_in_parts(&mut self.buffer, numbers, "a matrix")?;
        (self.rows, self.cols) = (rows, cols);
        Ok(())
    }

    fn numbers(device: &Device, rows: usize, cols: usize) -> Result<usize, BackendError> {
        // Kernels count numbers in 32 bits, and lanes go beyond the last by less than a workgroup.
        let most = device.most_in_parts().min(u32::MAX as usize - MOST_LANES);
        rows.checked_mul(cols)
            .filter(|&numbers| numbers <= most)
            .ok_or_else(|| BackendError::Allocation { rows, cols, reason: device.limit() })
    }

    pub(crate) fn len(&self) -> usize {
        self.rows * self.cols
    }
}

/// Sparse codes in device memory: k slots a sample, of which the first few are in use.
#[derive(Debug)]
pub struct GpuCodes {
    pub(crate) atoms: usize,
    pub(crate) sparsity: usize,
    pub(crate) samples: usize,
    /// The atoms, k to a sample.
    pub(crate) support: Buffer,
    /// The coefficients, likewise.
    pub(crate) values: Buffer,
    /// How many slots of a sample are in use.
    pub(crate) lengths: Buffer,
}

impl GpuCodes {
    pub(crate) fn new(
        device: &Device,
        atoms: usize,
        samples: usize,
        sparsity: usize,
    ) -> Result<Self, BackendError> {
        let slots = Self::slots(device, samples, sparsity)?;
        Ok(Self {
            atoms,
            sparsity,
            samples,
            support: device.buffer(slots, "codes")?,
            values: device.buffer(slots, "codes")?,
            lengths: device.buffer(samples, "codes")?,
        })
    }

    /// Takes a number of samples and a number of slots. The content is then of no meaning.
    pub(crate) fn reset(
        &mut self,
        device: &Device,
        samples: usize,
        sparsity: usize,
    ) -> Result<(), BackendError> {
        let slots = Self::slots(device, samples, sparsity)?;
        device.grow(&mut self.support, slots, "codes")?;
        device.grow(&mut self.values, slots, "codes")?;
        device.grow(&mut self.lengths, samples, "codes")?;
        (self.samples, self.sparsity) = (samples, sparsity);
        Ok(())
    }

    fn slots(device: &Device, samples: usize, sparsity: usize) -> Result<usize, BackendError> {
        let most = (device.most_bytes / 4) as usize;
        samples.checked_mul(sparsity).filter(|&slots| slots <= most).ok_or_else(|| {
            let reason =
                format!("a buffer of {} has at most {} bytes", device.info, device.most_bytes);
            BackendError::Allocation { rows: sparsity, cols: samples, reason }
        })
    }
}
