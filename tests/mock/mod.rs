//! The mock device: its memory, kernels, coders and updater.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dbksvd::backend::{
    Backend, Candidate, Change, LargeUse, PursuitKernels, PursuitRule, SampleShards, SweepKernels,
    SweepRule, SweepStart,
};
use dbksvd::coder::SparseCoder;
use dbksvd::error::BackendError;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::updater::{DictionaryUpdater, Step, UpdateReport};
use dbksvd::{Error, Parameters, ProblemShape, Sign, SparseCodes};
use dbksvd::{HostSweep, Reference, ReferencePursuits};

/// A device with memory of its own. Clones are the same device.
#[derive(Clone, Debug)]
pub struct MockDevice {
    inside: Arc<Mutex<Inside>>,
    /// Notified of every upload.
    uploaded: Arc<Condvar>,
    overlaps: bool,
}

#[derive(Debug)]
struct Inside {
    matrices: HashMap<u64, Mat<f32>>,
    codes: HashMap<u64, SparseCodes<f32>>,
    last_id: u64,
    /// The most values that a matrix may have.
    memory: usize,
    uploads: usize,
    downloads: usize,
    /// Calls of `pursue`, `directions` and `exchange`.
    calls: [usize; 3],
    /// Calls of `synchronize` until the device is lost.
    faultless: Option<usize>,
    /// Uploads until one fails.
    faultless_uploads: Option<usize>,
    /// What pursuits wait for.
    hold: Option<Hold>,
}

/// A run of so many minibatches, whose pursuits wait for the minibatch after, but not for ever.
#[derive(Clone, Copy, Debug)]
struct Hold {
    minibatches: usize,
    limit: Duration,
}

/// A matrix on the device: an id, and nothing to borrow.
#[derive(Debug)]
pub struct DeviceMatrix {
    id: u64,
    device: MockDevice,
}

/// Codes on the device.
#[derive(Debug)]
pub struct DeviceCodes {
    id: u64,
    device: MockDevice,
}

impl Drop for DeviceMatrix {
    fn drop(&mut self) {
        self.device.lock().matrices.remove(&self.id);
    }
}

impl Drop for DeviceCodes {
    fn drop(&mut self) {
        self.device.lock().codes.remove(&self.id);
    }
}

impl Default for MockDevice {
    fn default() -> Self {
        Self::with_memory(1 << 30)
    }
}

impl MockDevice {
    /// A device whose matrices have at most `memory` values.
    pub fn with_memory(memory: usize) -> Self {
        let inside = Inside {
            matrices: HashMap::new(),
            codes: HashMap::new(),
            last_id: 0,
            memory,
            uploads: 0,
            downloads: 0,
            calls: [0; 3],
            faultless: None,
            faultless_uploads: None,
            hold: None,
        };
        Self { inside: Arc::new(Mutex::new(inside)), uploaded: Arc::default(), overlaps: false }
    }

    /// The same device, taking in data while it computes.
    pub fn overlapping(self) -> Self {
        Self { overlaps: true, ..self }
    }

    /// On a new device, each pursuit of a run of so many minibatches waits until the upload of the
    /// minibatch after it has begun, and fails if it has not within the limit. The run is one whose
    /// first upload is its dictionary, and that measures and clips nothing.
    pub fn hold_pursuits(&self, minibatches: usize, limit: Duration) {
        self.lock().hold = Some(Hold { minibatches, limit });
    }

    fn wait_for_next_minibatch(&self) -> Result<(), BackendError> {
        let inside = self.lock();
        let Some(Hold { minibatches, limit }) = inside.hold else { return Ok(()) };
        let next = (inside.calls[0] + 1).min(minibatches);
        let is_missing = |inside: &mut Inside| inside.uploads < 1 + next;
        let waited = self.uploaded.wait_timeout_while(inside, limit, is_missing);
        if waited.unwrap_or_else(PoisonError::into_inner).1.timed_out() {
            let fault = format!("minibatch {next} did not come while a pursuit waited");
            return Err(BackendError::Device(fault.into()));
        }
        Ok(())
    }

    /// Dense matrices uploaded so far.
    pub fn uploads(&self) -> usize {
        self.lock().uploads
    }

    /// Dense matrices downloaded so far.
    pub fn downloads(&self) -> usize {
        self.lock().downloads
    }

    /// Calls of `pursue`, `directions` and `exchange` so far.
    pub fn calls(&self) -> [usize; 3] {
        self.lock().calls
    }

    /// Matrices and codes alive.
    pub fn allocations(&self) -> usize {
        let inside = self.lock();
        inside.matrices.len() + inside.codes.len()
    }

    /// Every `synchronize` fails, once `calls` more have succeeded.
    pub fn fail_synchronize_after(&self, calls: usize) {
        self.lock().faultless = Some(calls);
    }

    /// Uploads fail, once `uploads` more have succeeded.
    pub fn fail_uploads_after(&self, uploads: usize) {
        self.lock().faultless_uploads = Some(uploads);
    }

    /// The device is well again.
    pub fn recover(&self) {
        let mut inside = self.lock();
        (inside.faultless, inside.faultless_uploads) = (None, None);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, matrix: &DeviceMatrix) -> Mat<f32> {
        self.lock().matrices[&matrix.id].clone()
    }

    fn set(&self, matrix: &DeviceMatrix, content: Mat<f32>) {
        self.lock().matrices.insert(matrix.id, content);
    }

    fn get_codes(&self, codes: &DeviceCodes) -> SparseCodes<f32> {
        self.lock().codes[&codes.id].clone()
    }

    fn set_codes(&self, codes: &DeviceCodes, content: SparseCodes<f32>) {
        self.lock().codes.insert(codes.id, content);
    }
}

impl MockDevice {
    /// Runs a kernel that changes codes.
    fn change_codes<R>(
        &self,
        codes: &mut DeviceCodes,
        kernel: impl FnOnce(&mut SparseCodes<f32>) -> R,
    ) -> R {
        let mut content = self.get_codes(codes);
        let result = kernel(&mut content);
        self.set_codes(codes, content);
        result
    }

    /// Runs a kernel that changes a matrix.
    fn change<R>(&self, matrix: &mut DeviceMatrix, kernel: impl FnOnce(&mut Mat<f32>) -> R) -> R {
        let mut content = self.get(matrix);
        let result = kernel(&mut content);
        self.set(matrix, content);
        result
    }
}

impl Inside {
    fn fresh_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }
}

impl Backend for MockDevice {
    type Scalar = f32;
    type Matrix = DeviceMatrix;
    type Codes = DeviceCodes;

    fn zeros(&self, rows: usize, cols: usize) -> Result<DeviceMatrix, BackendError> {
        let mut inside = self.lock();
        let memory = inside.memory;
        if rows.checked_mul(cols).is_none_or(|values| values > memory) {
            let reason = format!("the device holds {memory} values");
            return Err(BackendError::Allocation { rows, cols, reason });
        }
        let id = inside.fresh_id();
        inside.matrices.insert(id, Mat::zeros(rows, cols));
        Ok(DeviceMatrix { id, device: self.clone() })
    }

    fn upload(&self, host: MatRef<'_, f32>, dst: &mut DeviceMatrix) -> Result<(), BackendError> {
        let mut inside = self.lock();
        match &mut inside.faultless_uploads {
            None => {}
            Some(0) => return Err(BackendError::Device("the bus is broken".into())),
            Some(uploads) => *uploads -= 1,
        }
        inside.uploads += 1;
        drop(inside);
        self.uploaded.notify_all();
        self.set(dst, host.to_owned());
        Ok(())
    }

    fn download_columns(
        &self,
        matrix: &DeviceMatrix,
        columns: &[usize],
    ) -> Result<Mat<f32>, BackendError> {
        let content = self.get(matrix);
        Ok(Mat::from_fn(content.nrows(), columns.len(), |i, j| content[(i, columns[j])]))
    }

    fn upload_column(
        &self,
        values: &[f32],
        matrix: &mut DeviceMatrix,
        column: usize,
    ) -> Result<(), BackendError> {
        let mut content = self.get(matrix);
        content.col_as_slice_mut(column).copy_from_slice(values);
        self.set(matrix, content);
        Ok(())
    }

    fn download(&self, matrix: &DeviceMatrix) -> Result<Mat<f32>, BackendError> {
        self.lock().downloads += 1;
        Ok(self.get(matrix))
    }

    fn codes(&self, m: usize, n: usize, k: usize) -> Result<DeviceCodes, BackendError> {
        let mut inside = self.lock();
        let id = inside.fresh_id();
        inside.codes.insert(id, SparseCodes::new(m, n, k));
        Ok(DeviceCodes { id, device: self.clone() })
    }

    fn upload_codes(
        &self,
        host: &SparseCodes<f32>,
        dst: &mut DeviceCodes,
    ) -> Result<(), BackendError> {
        self.set_codes(dst, host.clone());
        Ok(())
    }

    fn nonzeros(&self, codes: &DeviceCodes) -> Result<usize, BackendError> {
        Ok(self.get_codes(codes).nnz())
    }

    fn download_codes(&self, codes: &DeviceCodes) -> Result<SparseCodes<f32>, BackendError> {
        Ok(self.get_codes(codes))
    }

    fn residual(&self, r: &mut DeviceMatrix, y: &DeviceMatrix, d: &DeviceMatrix, x: &DeviceCodes) {
        let (mut y, d, x) = (self.get(y), self.get(d), self.get_codes(x));
        let shapes = (y.shape(), d.shape(), (x.atoms(), x.samples()));
        let fit = y.nrows() == d.nrows() && d.ncols() == x.atoms() && y.ncols() == x.samples();
        assert!(fit, "Y − DX of Y, D, X {shapes:?}");
        for (i, (support, values)) in x.iter().enumerate() {
            for (&atom, &value) in support.iter().zip(values) {
                axpy(y.col_as_slice_mut(i), -value, d.col_as_slice(atom as usize));
            }
        }
        self.set(r, y);
    }

    fn squared_norms(
        &self,
        a: &DeviceMatrix,
        shards: &SampleShards,
        norms: &mut [f64],
    ) -> Result<(), BackendError> {
        let a = self.get(a);
        for (norm, columns) in norms.iter_mut().zip(shards.ranges()) {
            *norm = columns.map(|j| dot(a.col_as_slice(j), a.col_as_slice(j))).sum();
        }
        Ok(())
    }

    fn overlaps_uploads(&self) -> bool {
        self.overlaps
    }

    fn columns(&self, a: &DeviceMatrix) -> usize {
        self.get(a).ncols()
    }

    fn normalize_columns(&self, d: &mut DeviceMatrix) {
        let mut content = self.get(d);
        for j in 0..content.ncols() {
            normalize(content.col_as_slice_mut(j));
        }
        self.set(d, content);
    }

    fn synchronize(&self) -> Result<(), BackendError> {
        match &mut self.lock().faultless {
            None => Ok(()),
            Some(0) => Err(BackendError::Device("the device was lost".into())),
            Some(calls) => {
                *calls -= 1;
                Ok(())
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

fn axpy(y: &mut [f32], c: f32, x: &[f32]) {
    y.iter_mut().zip(x).for_each(|(y, x)| *y += c * x);
}

fn normalize(a: &mut [f32]) -> bool {
    let norm = dot(a, a).sqrt();
    let has_direction = norm > 0.0;
    a.iter_mut().filter(|_| has_direction).for_each(|a| *a = (f64::from(*a) / norm) as f32);
    has_direction
}

/// Matching pursuit: k times, the atom of the largest correlation takes all of it.
#[derive(Clone, Copy, Debug)]
pub struct MatchingPursuit;

impl MatchingPursuit {
    fn code(
        shape: &ProblemShape,
        d: &Mat<f32>,
        r: &mut [f32],
        codes: &mut SparseCodes<f32>,
        i: usize,
    ) {
        for _ in 0..shape.sparsity {
            let correlations = (0..d.ncols()).map(|j| dot(d.col_as_slice(j), r) as f32);
            let rated = correlations.enumerate().filter(|(_, c)| match shape.sign {
                Sign::Signed => *c != 0.0,
                Sign::NonNegative => *c > 0.0,
            });
            let Some((atom, c)) = rated.max_by(|a, b| a.1.abs().total_cmp(&b.1.abs())) else {
                break;
            };
            codes.add(i, atom as u32, c);
            axpy(r, -c, d.col_as_slice(atom));
        }
    }
}

impl SparseCoder<MockDevice> for MatchingPursuit {
    type State = ProblemShape;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()
    }

    fn prepare(&self, _: &MockDevice, shape: &ProblemShape) -> Result<ProblemShape, BackendError> {
        Ok(*shape)
    }

    fn set_dictionary(
        &self,
        _: &MockDevice,
        _: &mut ProblemShape,
        _: &DeviceMatrix,
    ) -> Result<(), BackendError> {
        Ok(())
    }

    fn encode(
        &self,
        device: &MockDevice,
        shape: &ProblemShape,
        dictionary: &DeviceMatrix,
        y: &DeviceMatrix,
        codes: &mut DeviceCodes,
    ) -> Result<(), BackendError> {
        let (d, mut r) = (device.get(dictionary), device.get(y));
        let mut content = SparseCodes::new(shape.atoms, r.ncols(), shape.sparsity);
        for i in 0..r.ncols() {
            Self::code(shape, &d, r.col_as_slice_mut(i), &mut content, i);
        }
        device.set_codes(codes, content);
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        Parameters::of("MatchingPursuit")
    }
}

/// What the device computes by.
fn reference() -> Reference<f32> {
    Reference::default()
}

/// What `BatchOmp` runs on, by the reference: the device's own memory is behind its lock.
impl PursuitKernels for MockDevice {
    type Pursuits = ReferencePursuits;

    fn prepare_pursuits(
        &self,
        rule: &PursuitRule,
        shape: &ProblemShape,
        memory: usize,
    ) -> Result<ReferencePursuits, BackendError> {
        reference().prepare_pursuits(rule, shape, memory)
    }

    fn set_pursuit_dictionary(
        &self,
        _: &mut ReferencePursuits,
        _: &DeviceMatrix,
    ) -> Result<(), BackendError> {
        Ok(())
    }

    fn pursue(
        &self,
        pursuits: &ReferencePursuits,
        dictionary: &DeviceMatrix,
        y: &DeviceMatrix,
        codes: &mut DeviceCodes,
    ) -> Result<(), BackendError> {
        self.lock().calls[0] += 1;
        self.wait_for_next_minibatch()?;
        let (d, y, mut content) = (self.get(dictionary), self.get(y), self.get_codes(codes));
        reference().pursue(pursuits, &d, &y, &mut content)?;
        self.set_codes(codes, content);
        Ok(())
    }
}

/// What `KSvd` runs on, likewise: R and all else that a sweep keeps belong to the device.
impl SweepKernels for MockDevice {
    type Sweep = HostSweep<f32>;

    fn prepare_sweep(
        &self,
        rule: &SweepRule,
        shape: &ProblemShape,
    ) -> Result<HostSweep<f32>, BackendError> {
        reference().prepare_sweep(rule, shape)
    }

    fn begin(
        &self,
        sweep: &mut HostSweep<f32>,
        y: &DeviceMatrix,
        d: &DeviceMatrix,
        x: &DeviceCodes,
        shards: &SampleShards,
    ) -> Result<SweepStart, BackendError> {
        reference().begin(sweep, &self.get(y), &self.get(d), &self.get_codes(x), shards)
    }

    fn uses(&self, sweep: &HostSweep<f32>, counts: &mut [u64]) -> Result<(), BackendError> {
        reference().uses(sweep, counts)
    }

    fn energies(
        &self,
        sweep: &HostSweep<f32>,
        x: &DeviceCodes,
        shards: Range<usize>,
        energies: &mut [f64],
    ) -> Result<(), BackendError> {
        reference().energies(sweep, &self.get_codes(x), shards, energies)
    }

    fn directions(
        &self,
        sweep: &mut HostSweep<f32>,
        d: &DeviceMatrix,
        x: &DeviceCodes,
        weights: &[f64],
        batch: &[u32],
        place: usize,
    ) -> Result<(), BackendError> {
        self.lock().calls[1] += 1;
        reference().directions(sweep, &self.get(d), &self.get_codes(x), weights, batch, place)
    }

    fn exchange(
        &self,
        sweep: &mut HostSweep<f32>,
        d: &DeviceMatrix,
        x: &mut DeviceCodes,
        batch: &[u32],
        place: usize,
        changes: &mut [Change],
    ) -> Result<(), BackendError> {
        self.lock().calls[2] += 1;
        self.change_codes(x, |x| {
            reference().exchange(sweep, &self.get(d), x, batch, place, changes)
        })
    }

    fn undo(
        &self,
        sweep: &mut HostSweep<f32>,
        d: &DeviceMatrix,
        x: &mut DeviceCodes,
        batch: &[u32],
        place: usize,
    ) -> Result<(), BackendError> {
        self.change_codes(x, |x| reference().undo(sweep, &self.get(d), x, batch, place))
    }

    fn take_atoms(
        &self,
        sweep: &mut HostSweep<f32>,
        d: &mut DeviceMatrix,
        order: &[u32],
    ) -> Result<(), BackendError> {
        self.change(d, |d| reference().take_atoms(sweep, d, order))
    }

    fn errors(&self, sweep: &HostSweep<f32>, errors: &mut [f64]) -> Result<(), BackendError> {
        reference().errors(sweep, errors)
    }

    fn refresh(
        &self,
        sweep: &mut HostSweep<f32>,
        y: &DeviceMatrix,
        d: &DeviceMatrix,
        x: &DeviceCodes,
    ) -> Result<(), BackendError> {
        reference().refresh(sweep, &self.get(y), &self.get(d), &self.get_codes(x))
    }

    fn recount(&self, sweep: &mut HostSweep<f32>, x: &DeviceCodes) -> Result<(), BackendError> {
        reference().recount(sweep, &self.get_codes(x))
    }

    fn worst(
        &self,
        sweep: &HostSweep<f32>,
        y: &DeviceMatrix,
        least: f64,
        relative: f64,
    ) -> Result<Vec<Candidate>, BackendError> {
        reference().worst(sweep, &self.get(y), least, relative)
    }

    fn vacate(
        &self,
        sweep: &mut HostSweep<f32>,
        d: &DeviceMatrix,
        x: &mut DeviceCodes,
        atom: u32,
        heir: Option<u32>,
    ) -> Result<(), BackendError> {
        self.change_codes(x, |x| reference().vacate(sweep, &self.get(d), x, atom, heir))
    }

    fn code_by_one(
        &self,
        sweep: &mut HostSweep<f32>,
        y: &DeviceMatrix,
        d: &DeviceMatrix,
        x: &mut DeviceCodes,
        sample: usize,
        atom: u32,
    ) -> Result<(), BackendError> {
        let (y, d) = (self.get(y), self.get(d));
        self.change_codes(x, |x| reference().code_by_one(sweep, &y, &d, x, sample, atom))
    }

    fn coherent_pairs(
        &self,
        d: &DeviceMatrix,
        threshold: f64,
        sign: Sign,
    ) -> Result<Vec<(u32, u32)>, BackendError> {
        reference().coherent_pairs(&self.get(d), threshold, sign)
    }

    fn large_uses(
        &self,
        sweep: &HostSweep<f32>,
        x: &DeviceCodes,
        rare: &[u32],
        least: f64,
    ) -> Result<Vec<LargeUse>, BackendError> {
        reference().large_uses(sweep, &self.get_codes(x), rare, least)
    }

    fn lost_without(
        &self,
        sweep: &HostSweep<f32>,
        y: &DeviceMatrix,
        d: &DeviceMatrix,
        uses: &[LargeUse],
        coherence: f64,
        typical: f64,
    ) -> Result<Vec<f64>, BackendError> {
        reference().lost_without(sweep, &self.get(y), &self.get(d), uses, coherence, typical)
    }

    fn decorrelate(
        &self,
        d: &mut DeviceMatrix,
        counts: &[u64],
        tolerance: f64,
    ) -> Result<(), BackendError> {
        self.change(d, |d| reference().decorrelate(d, counts, tolerance))
    }
}

/// K-SVD with one power step, atom by atom.
#[derive(Clone, Copy, Debug)]
pub struct PowerStep;

impl PowerStep {
    /// d ← E x / ‖E x‖, x ← Eᵀ d, R ← E − d xᵀ for the samples that use atom `j`.
    fn update_atom(
        sign: Sign,
        j: u32,
        r: &mut Mat<f32>,
        codes: &mut SparseCodes<f32>,
        d: &mut Mat<f32>,
    ) {
        let coefficient = |codes: &SparseCodes<f32>, i: usize| {
            let slot = codes.support(i).iter().position(|&atom| atom == j);
            slot.map(|slot| codes.values(i)[slot])
        };
        let old = d.col_as_slice(j as usize).to_vec();
        let mut new = vec![0.0; old.len()];
        for i in 0..codes.samples() {
            let x = coefficient(codes, i).unwrap_or(0.0);
            axpy(&mut new, x, r.col_as_slice(i));
            axpy(&mut new, x * x, &old);
        }
        if !normalize(&mut new) {
            return;
        }
        for i in 0..codes.samples() {
            let Some(x) = coefficient(codes, i) else { continue };
            let r = r.col_as_slice_mut(i);
            axpy(r, x, &old);
            let c = dot(r, &new) as f32;
            let c = if sign == Sign::Signed { c } else { c.max(0.0) };
            axpy(r, -c, &new);
            codes.add(i, j, c - x);
        }
        d.col_as_slice_mut(j as usize).copy_from_slice(&new);
    }
}

impl DictionaryUpdater<MockDevice> for PowerStep {
    type State = (ProblemShape, DeviceMatrix);

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()
    }

    fn prepare(
        &self,
        device: &MockDevice,
        shape: &ProblemShape,
    ) -> Result<Self::State, BackendError> {
        Ok((*shape, device.zeros(shape.dim, 0)?))
    }

    fn update(
        &self,
        device: &MockDevice,
        (shape, residual): &mut Self::State,
        y: &DeviceMatrix,
        codes: &mut DeviceCodes,
        dictionary: &mut DeviceMatrix,
        step: &Step<'_>,
    ) -> Result<UpdateReport, BackendError> {
        device.residual(residual, y, dictionary, codes);
        let error_before = device.squared_norm(residual)?;
        let (mut r, mut d) = (device.get(residual), device.get(dictionary));
        let mut x = device.get_codes(codes);
        let nonzeros = x.nnz();
        let used = |j: &&u32| x.iter().any(|(support, _)| support.contains(*j));
        let unused = shape.atoms - step.order.iter().filter(used).count();
        for &j in step.order {
            Self::update_atom(shape.sign, j, &mut r, &mut x, &mut d);
        }
        device.set(residual, r);
        device.set(dictionary, d);
        device.set_codes(codes, x);
        let error_after = device.squared_norm(residual)?;
        let mut report = UpdateReport::default();
        (report.error_before, report.error_after) = (error_before, error_after);
        (report.nonzeros, report.unused) = (nonzeros, unused);
        Ok(report)
    }

    fn parameters(&self) -> Parameters {
        Parameters::of("PowerStep")
    }
}
