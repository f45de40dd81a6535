//! The backend: a device, its memory, and what every algorithm needs of it.

use std::fmt;
use std::sync::Arc;

use dbksvd::backend::{Backend, SampleShards};
use dbksvd::error::BackendError;
use dbksvd::faer::{ColRef, Mat, MatRef};
use dbksvd::{Faer, SparseCodes};

use crate::adapter::{Adapter, AdapterInfo, choose};
use crate::device::{Device, Kernel, LANES};
use crate::error::GpuError;
use crate::matrix::{GpuCodes, GpuMatrix};
use crate::sums;

const RESIDUAL: Kernel = Kernel::new(include_str!("wgsl/residual.wgsl"), "residual");
const COUNT: Kernel = Kernel::new(include_str!("wgsl/count.wgsl"), "count").with_lanes(256);
/// Bytes that one write of an upload has at most, since they are staged in host memory.
const STAGED: usize = 64 << 20;

/// A graphics processor as a backend of `dbksvd`, in `f32`: matrices and codes stay in its memory.
///
/// Clones are the same device. The results of two runs on one adapter and one driver are the same,
/// bit by bit; those of two adapters may differ by rounding.
#[derive(Clone)]
pub struct Gpu {
    pub(crate) device: Arc<Device>,
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gpu").field(&self.device.info).finish()
    }
}

impl Gpu {
    /// The best adapter there is: see [`Adapter::Best`].
    ///
    /// # Errors
    /// [`GpuError`] if there is none, or if it lacks something or cannot be opened.
    pub fn new() -> Result<Self, GpuError> {
        Self::on(&Adapter::Best)
    }

    /// The adapter of this choice.
    ///
    /// # Errors
    /// As [`new`](Self::new), and [`GpuError::NoSuchAdapter`], which lists those that are there.
    pub fn on(adapter: &Adapter) -> Result<Self, GpuError> {
        let device = Device::open(&choose(adapter)?, None)?;
        Ok(Self { device: Arc::new(device) })
    }

    /// The adapter of this choice, as if it could hand a kernel no more than so many bytes at once:
    /// matrices beyond that are split, as on adapters that have such a limit. This is how a
    /// program can be tried for a device that is not there. Below 1,024 bytes the limit is 1,024,
    /// and the adapter's own is never exceeded.
    ///
    /// # Errors
    /// As [`on`](Self::on).
    pub fn with_binding_limit(adapter: &Adapter, bytes: u64) -> Result<Self, GpuError> {
        let device = Device::open(&choose(adapter)?, Some(bytes))?;
        Ok(Self { device: Arc::new(device) })
    }

    /// What is known of the adapter.
    #[must_use]
    pub fn adapter(&self) -> &AdapterInfo {
        &self.device.info
    }

    /// Bytes of device memory that are allocated now, scratch memory and spare room included.
    /// `None` where the driver's interface does not say.
    #[must_use]
    pub fn allocated_bytes(&self) -> Option<u64> {
        self.device.allocated_bytes()
    }

    /// Writes all of `host` to `matrix`, which has its shape.
    fn write(&self, host: MatRef<'_, f32>, matrix: &GpuMatrix) -> Result<(), BackendError> {
        let rows = host.nrows();
        if rows == 0 {
            return Ok(());
        }
        let at_once = (STAGED / (4 * rows)).max(1);
        for start in (0..host.ncols()).step_by(at_once) {
            let columns = at_once.min(host.ncols() - start);
            self.device.write(&matrix.buffer, start * rows, columns * rows, |range, view| {
                let mut next = range.start;
                while next < range.end {
                    // The rest of a column, or what of it lies in this part.
                    let (column, row) = (next / rows, next % rows);
                    let count = (rows - row).min(range.end - next);
                    let to = 4 * (next - range.start);
                    with_slice(host.col(start + column), |values| {
                        let values = bytemuck::cast_slice(&values[row..row + count]);
                        view.slice(to..to + 4 * count).copy_from_slice(values);
                    });
                    next += count;
                }
            })?;
            // Or what is staged would stay until the next kernel, all of it.
            self.device.flush();
        }
        Ok(())
    }
}

/// Calls `take` with the numbers of a column, which are copied unless they lie side by side.
fn with_slice<R>(column: ColRef<'_, f32>, take: impl FnOnce(&[f32]) -> R) -> R {
    match column.try_as_col_major() {
        Some(column) => take(column.as_slice()),
        None => take(&column.iter().copied().collect::<Vec<f32>>()),
    }
}

impl Backend for Gpu {
    type Scalar = f32;
    type Matrix = GpuMatrix;
    type Codes = GpuCodes;

    fn zeros(&self, rows: usize, cols: usize) -> Result<GpuMatrix, BackendError> {
        GpuMatrix::new(&self.device, rows, cols)
    }

    fn upload(&self, host: MatRef<'_, f32>, dst: &mut GpuMatrix) -> Result<(), BackendError> {
        dst.reshape(&self.device, host.nrows(), host.ncols())?;
        self.write(host, dst)
    }

    fn download_columns(
        &self,
        matrix: &GpuMatrix,
        columns: &[usize],
    ) -> Result<Mat<f32>, BackendError> {
        let GpuMatrix { rows, cols, .. } = *matrix;
        assert!(
            columns.iter().all(|&j| j < cols),
            "columns {columns:?} of a {rows} × {cols} matrix"
        );
        let part = |&column: &usize| (&matrix.buffer, column * rows, rows);
        let values: Vec<f32> = self.device.read(&columns.iter().map(part).collect::<Vec<_>>())?;
        Ok(Mat::from_fn(rows, columns.len(), |i, j| values[j * rows + i]))
    }

    fn upload_column(
        &self,
        values: &[f32],
        matrix: &mut GpuMatrix,
        column: usize,
    ) -> Result<(), BackendError> {
        assert!(
            values.len() == matrix.rows && column < matrix.cols,
            "column {column} of {} numbers for a {} × {} matrix",
            values.len(),
            matrix.rows,
            matrix.cols
        );
        self.device.write_from(&matrix.buffer, column * matrix.rows, values)
    }

    fn download(&self, matrix: &GpuMatrix) -> Result<Mat<f32>, BackendError> {
        let (rows, cols) = (matrix.rows, matrix.cols);
        let values: Vec<f32> = self.device.read(&[(&matrix.buffer, 0, rows * cols)])?;
        Ok(MatRef::from_column_major_slice(&values, rows, cols).to_owned())
    }

    fn codes(
        &self,
        atoms: usize,
        samples: usize,
        sparsity: usize,
    ) -> Result<GpuCodes, BackendError> {
        GpuCodes::new(&self.device, atoms, samples, sparsity)
    }

    fn upload_codes(
        &self,
        host: &SparseCodes<f32>,
        dst: &mut GpuCodes,
    ) -> Result<(), BackendError> {
        let (samples, sparsity) = (host.samples(), host.sparsity());
        dst.reset(&self.device, samples, sparsity)?;
        dst.atoms = host.atoms();
        let mut support = vec![0_u32; samples * sparsity];
        let mut values = vec![0.0_f32; samples * sparsity];
        let mut lengths = vec![0_u32; samples];
        for (i, (atoms, coefficients)) in host.iter().enumerate() {
            let slots = i * sparsity..i * sparsity + atoms.len();
            support[slots.clone()].copy_from_slice(atoms);
            values[slots].copy_from_slice(coefficients);
            lengths[i] = atoms.len() as u32;
        }
        self.device.write_all(&dst.support, &support)?;
        self.device.write_all(&dst.values, &values)?;
        self.device.write_all(&dst.lengths, &lengths)
    }

    fn nonzeros(&self, codes: &GpuCodes) -> Result<usize, BackendError> {
        let total = self.device.buffer(1, "a count")?;
        self.device.run(&COUNT, &[&codes.lengths, &total], &[codes.samples as u32], 1);
        Ok(self.device.read::<u32>(&[(&total, 0, 1)])?[0] as usize)
    }

    fn download_codes(&self, codes: &GpuCodes) -> Result<SparseCodes<f32>, BackendError> {
        let (samples, sparsity) = (codes.samples, codes.sparsity);
        let slots = samples * sparsity;
        let parts =
            [(&codes.support, 0, slots), (&codes.values, 0, slots), (&codes.lengths, 0, samples)];
        let numbers: Vec<u32> = self.device.read(&parts)?;
        let (support, rest) = numbers.split_at(slots);
        let (values, lengths) = rest.split_at(slots);
        let mut host = SparseCodes::new(codes.atoms, samples, sparsity);
        let mut block = host.as_block_mut();
        for (i, &used) in lengths.iter().enumerate() {
            let (from, used) = (i * sparsity, used as usize);
            block.write(i, |atoms, coefficients| {
                atoms[..used].copy_from_slice(&support[from..from + used]);
                for (to, &bits) in coefficients.iter_mut().zip(&values[from..from + used]) {
                    *to = f32::from_bits(bits);
                }
                used
            });
        }
        Ok(host)
    }

    fn residual(&self, r: &mut GpuMatrix, y: &GpuMatrix, d: &GpuMatrix, x: &GpuCodes) {
        assert!(
            y.rows == d.rows && y.cols == x.samples && d.cols == x.atoms,
            "Y − DX of Y ({}, {}), D ({}, {}), X ({}, {})",
            y.rows,
            y.cols,
            d.rows,
            d.cols,
            x.atoms,
            x.samples
        );
        if let Err(error) = r.reshape(&self.device, y.rows, y.cols) {
            return self.device.note(&error);
        }
        let buffers = [&r.buffer, &y.buffer, &d.buffer, &x.support, &x.values, &x.lengths];
        let numbers = [y.rows, x.sparsity, y.len()].map(|number| number as u32);
        self.device.run(&RESIDUAL, &buffers, &numbers, y.len().div_ceil(LANES));
    }

    fn squared_norms(
        &self,
        a: &GpuMatrix,
        shards: &SampleShards,
        norms: &mut [f64],
    ) -> Result<(), BackendError> {
        assert!(
            shards.samples() == a.cols && norms.len() == shards.len(),
            "{} norms for {} shards of {} columns, of which there are {}",
            norms.len(),
            shards.len(),
            shards.samples(),
            a.cols
        );
        let ranges = shards.ranges().map(|range| range.start * a.rows..range.end * a.rows);
        sums::squares(&self.device, &a.buffer, ranges, norms)
    }

    fn overlaps_uploads(&self) -> bool {
        true
    }

    fn columns(&self, a: &GpuMatrix) -> usize {
        a.cols
    }

    /// The processor does this, in double precision: a run asks for it once, for its start. Where
    /// samples are atoms, what such a sample's own atom leaves of it is rounding alone, which
    /// chooses its other atoms. An atom that is off by a unit in the last place would change them.
    fn normalize_columns(&self, d: &mut GpuMatrix) {
        let normalized = self.download(d).and_then(|mut host| {
            Faer::<f32>::default().normalize_columns(&mut host);
            self.write(host.as_ref(), d)
        });
        if let Err(error) = normalized {
            self.device.note(&error);
        }
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        self.device.synchronize()
    }
}
