//! A block of samples whose pursuits are made at once.

use crate::buffer::Buffer;
use crate::device::Kernel;
use crate::matrix::{GpuCodes, GpuMatrix};

/// A block of samples: the scratch memory of their pursuits.
pub(crate) struct Block<'a> {
    pub(crate) scaled: &'a GpuMatrix,
    pub(crate) exponents: &'a Buffer,
    pub(crate) correlations: &'a Buffer,
    pub(crate) upper: &'a Buffer,
    pub(crate) norms: &'a Buffer,
    pub(crate) inverse: &'a Buffer,
    pub(crate) residual: &'a GpuMatrix,
    pub(crate) mask: &'a Buffer,
    pub(crate) doubts: &'a Buffer,
    /// How many samples it has.
    pub(crate) count: usize,
    /// The numbers that kernels are given, without that of the step.
    pub(crate) numbers: [u32; 11],
    /// How many lanes such kernels have as are the wider the more atoms there are.
    pub(crate) lanes: usize,
}

impl Block<'_> {
    /// The numbers that a kernel is given in this step.
    pub(crate) fn numbers(&self, step: usize) -> [u32; 12] {
        let mut numbers = [step as u32; 12];
        numbers[..11].copy_from_slice(&self.numbers);
        numbers
    }

    /// The buffers of kernels on `wgsl/pursuit_common.wgsl`; `scores` is what these come from.
    pub(crate) fn buffers<'b>(
        &'b self,
        scores: &'b Buffer,
        dictionary: &'b GpuMatrix,
        codes: &'b GpuCodes,
    ) -> [&'b Buffer; 14] {
        [
            self.correlations,
            scores,
            &dictionary.buffer,
            &self.scaled.buffer,
            self.exponents,
            self.upper,
            self.norms,
            self.inverse,
            &self.residual.buffer,
            self.mask,
            &codes.support,
            &codes.values,
            &codes.lengths,
            self.doubts,
        ]
    }

    /// A kernel in workgroups as wide as there are many atoms.
    pub(crate) fn wide(&self, kernel: Kernel) -> Kernel {
        kernel.with_lanes(self.lanes)
    }
}
