//! An open device: buffers, kernels that are recorded and submitted, transfers, and faults.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use dbksvd::error::BackendError;

use crate::adapter::{AdapterInfo, wait_for};
use crate::error::GpuError;

/// Kernels recorded before they are handed to the device even if nobody waits for them.
const MOST_RECORDED: usize = 64;

/// The most workgroups along one axis of a dispatch.
const MOST_ALONG_AN_AXIS: usize = 65_535;

/// Lanes of a workgroup, of which all kernels but [`Kernel::with_lanes`] have as many.
pub(crate) const LANES: usize = 64;

/// A kernel: an entry point of a WGSL module. Bindings 0, 1, … of group 0 are its buffers, and
/// `var<immediate>` its few numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Kernel {
    pub(crate) source: &'static str,
    pub(crate) entry: &'static str,
    pub(crate) lanes: usize,
}

impl Kernel {
    pub(crate) const fn new(source: &'static str, entry: &'static str) -> Self {
        Self { source, entry, lanes: LANES }
    }

    /// The same in workgroups of so many lanes, a power of two.
    pub(crate) const fn with_lanes(self, lanes: usize) -> Self {
        Self { lanes, ..self }
    }
}

/// What went wrong since somebody asked.
#[derive(Debug, Default)]
struct Faults {
    last: Option<GpuError>,
    /// Why the device is lost, for good.
    lost: Option<String>,
}

/// Kernels that are recorded, and not yet submitted.
#[derive(Default)]
struct Recorded {
    encoder: Option<wgpu::CommandEncoder>,
    kernels: usize,
}

pub(crate) struct Device {
    device: wgpu::Device,
    queue: wgpu::Queue,
    pub(crate) info: AdapterInfo,
    /// Most bytes of a buffer.
    pub(crate) most_bytes: u64,
    pipelines: Mutex<HashMap<Kernel, wgpu::ComputePipeline>>,
    recorded: Mutex<Recorded>,
    faults: Arc<Mutex<Faults>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    pub(crate) fn open(adapter: &wgpu::Adapter) -> Result<Self, GpuError> {
        let info = AdapterInfo::from(adapter);
        let limits = adapter.limits();
        let lacks = Self::lacks(adapter, &limits);
        if !lacks.is_empty() {
            let lacks = lacks.join(", ");
            return Err(GpuError::Insufficient { adapter: info.to_string(), lacks });
        }
        let most_bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let opened = wait_for(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("dbksvd"),
            required_features: wgpu::Features::IMMEDIATES,
            required_limits: limits,
            ..Default::default()
        }));
        let (device, queue) = opened.map_err(|error| {
            let reason = error.to_string();
            GpuError::NotOpened { adapter: info.to_string(), reason }
        })?;
        let faults = Arc::new(Mutex::new(Faults::default()));
        let seen = Arc::clone(&faults);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            let error = of_driver(&error, "a kernel");
            lock(&seen).last.get_or_insert(error);
        }));
        let seen = Arc::clone(&faults);
        device.set_device_lost_callback(move |reason, message| {
            let reason = format!("{reason:?}: {message}");
            lock(&seen).lost.get_or_insert(reason);
        });
        Ok(Self {
            device,
            queue,
            info,
            most_bytes,
            pipelines: Mutex::default(),
            recorded: Mutex::default(),
            faults,
        })
    }

    /// What the kernels need and the adapter does not have.
    fn lacks(adapter: &wgpu::Adapter, limits: &wgpu::Limits) -> Vec<String> {
        let mut lacks = Vec::new();
        if !adapter.features().contains(wgpu::Features::IMMEDIATES) {
            lacks.push("numbers cannot be handed to kernels (immediates)".to_string());
        }
        for (found, needed, what) in [
            (limits.max_immediate_size, 64, "bytes handed to a kernel"),
            (limits.max_compute_invocations_per_workgroup, 256, "lanes of a workgroup"),
            (limits.max_compute_workgroup_size_x, 256, "lanes of a workgroup along x"),
            (limits.max_compute_workgroup_storage_size, 16_384, "bytes of workgroup memory"),
            (limits.max_storage_buffers_per_shader_stage, 16, "buffers of a kernel"),
            (
                limits.max_compute_workgroups_per_dimension,
                MOST_ALONG_AN_AXIS as u32,
                "workgroups along an axis",
            ),
        ] {
            if found < needed {
                lacks.push(format!("{found} {what}, of which {needed} are needed"));
            }
        }
        lacks
    }

    /// A buffer of so many numbers of 32 bits for `what`, all zero.
    pub(crate) fn buffer(&self, numbers: usize, what: &str) -> Result<wgpu::Buffer, BackendError> {
        let bytes = (numbers as u64).saturating_mul(4).max(16);
        if bytes > self.most_bytes {
            let error = GpuError::Insufficient {
                adapter: self.info.to_string(),
                lacks: format!(
                    "{what} of {bytes} bytes, where a buffer has at most {}",
                    self.most_bytes
                ),
            };
            return Err(error.into());
        }
        self.check()?;
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let rest = self.device.push_error_scope(wgpu::ErrorFilter::Validation);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size: bytes,
            usage: wgpu::BufferUsages::STORAGE
                | wgpu::BufferUsages::COPY_SRC
                | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let (rest, memory) = (wait_for(rest.pop()), wait_for(memory.pop()));
        match memory.or(rest) {
            None => Ok(buffer),
            Some(error) => Err(self.cause_of(of_driver(&error, what))),
        }
    }

    /// Makes `buffer` have room for so many numbers. Its content is then of no meaning.
    pub(crate) fn grow(
        &self,
        buffer: &mut wgpu::Buffer,
        numbers: usize,
        what: &str,
    ) -> Result<(), BackendError> {
        if buffer.size() < 4 * numbers as u64 {
            *buffer = self.buffer(numbers, what)?;
        }
        Ok(())
    }

    /// Records a kernel on these buffers, in at least so many workgroups, of which those beyond
    /// must do nothing. It runs after all that was recorded before.
    pub(crate) fn run(
        &self,
        kernel: &Kernel,
        buffers: &[&wgpu::Buffer],
        numbers: &[u32],
        workgroups: usize,
    ) {
        if workgroups == 0 {
            return;
        }
        let pipeline = self.pipeline(kernel);
        let entries: Vec<_> = (0..)
            .zip(buffers)
            .map(|(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = self.device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(kernel.entry),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        let mut recorded = lock(&self.recorded);
        let encoder = recorded.encoder.get_or_insert_with(|| {
            self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
        });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.set_immediates(0, bytemuck::cast_slice(numbers));
            let across = workgroups.min(MOST_ALONG_AN_AXIS);
            pass.dispatch_workgroups(across as u32, workgroups.div_ceil(across) as u32, 1);
        }
        recorded.kernels += 1;
        if recorded.kernels >= MOST_RECORDED {
            self.submit(&mut recorded);
        }
    }

    /// Records that a buffer becomes zero.
    pub(crate) fn clear(&self, buffer: &wgpu::Buffer) {
        let mut recorded = lock(&self.recorded);
        let encoder = recorded.encoder.get_or_insert_with(|| {
            self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
        });
        encoder.clear_buffer(buffer, 0, None);
    }

    fn pipeline(&self, kernel: &Kernel) -> wgpu::ComputePipeline {
        let mut pipelines = lock(&self.pipelines);
        let made = pipelines.entry(*kernel).or_insert_with(|| {
            let source = format!("const LANES: u32 = {}u;\n{}", kernel.lanes, kernel.source);
            let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(kernel.entry),
                source: wgpu::ShaderSource::Wgsl(source.into()),
            });
            self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(kernel.entry),
                layout: None,
                module: &module,
                entry_point: Some(kernel.entry),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        });
        made.clone()
    }

    fn submit(&self, recorded: &mut Recorded) {
        recorded.kernels = 0;
        if let Some(encoder) = recorded.encoder.take() {
            self.queue.submit([encoder.finish()]);
        }
    }

    /// Lets `fill` write so many bytes into `buffer` from `offset` on, after all that was recorded.
    pub(crate) fn write(
        &self,
        buffer: &wgpu::Buffer,
        offset: u64,
        bytes: usize,
        fill: impl FnOnce(&mut wgpu::QueueWriteBufferView),
    ) -> Result<(), BackendError> {
        let Some(size) = std::num::NonZeroU64::new(bytes as u64) else { return Ok(()) };
        self.check()?;
        self.submit(&mut lock(&self.recorded));
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let view = self.queue.write_buffer_with(buffer, offset, size);
        let out_of_memory = wait_for(memory.pop());
        let Some(mut view) = view else {
            let what = "an upload".to_string();
            let error = out_of_memory.map(|error| of_driver(&error, &what));
            return Err(self.cause_of(error.unwrap_or(GpuError::OutOfMemory { what })));
        };
        fill(&mut view);
        Ok(())
    }

    /// Writes numbers to the start of `buffer`.
    pub(crate) fn write_all<T: bytemuck::NoUninit>(
        &self,
        buffer: &wgpu::Buffer,
        numbers: &[T],
    ) -> Result<(), BackendError> {
        let bytes: &[u8] = bytemuck::cast_slice(numbers);
        self.write(buffer, 0, bytes.len(), |view| view.copy_from_slice(bytes))
    }

    /// Copies parts of buffers (the buffer, the first number, how many) to the host, one after the
    /// other, and waits for them and for all that was recorded before.
    pub(crate) fn read<T: bytemuck::Pod>(
        &self,
        parts: &[(&wgpu::Buffer, usize, usize)],
    ) -> Result<Vec<T>, BackendError> {
        let numbers: usize = parts.iter().map(|&(_, _, count)| count).sum();
        if numbers == 0 {
            self.synchronize()?;
            return Ok(Vec::new());
        }
        self.check()?;
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let staging = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("a download"),
            size: 4 * numbers as u64,
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        if let Some(error) = wait_for(memory.pop()) {
            return Err(self.cause_of(of_driver(&error, "a download")));
        }
        {
            let mut recorded = lock(&self.recorded);
            let encoder = recorded.encoder.get_or_insert_with(|| {
                self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
            });
            let mut to = 0;
            for &(buffer, first, count) in parts.iter().filter(|part| part.2 > 0) {
                let size = 4 * count as u64;
                encoder.copy_buffer_to_buffer(buffer, 4 * first as u64, &staging, to, size);
                to += size;
            }
            self.submit(&mut recorded);
        }
        let (sender, receiver) = mpsc::channel();
        staging.slice(..).map_async(wgpu::MapMode::Read, move |result| {
            // Nobody waits for it only where this function has returned with an error.
            let _ = sender.send(result);
        });
        self.wait()?;
        self.check()?;
        let mapped = receiver.recv().map_err(|_| driver("a download was dropped"))?;
        mapped.map_err(|error| self.cause_of(driver(error)))?;
        let view = staging.slice(..).get_mapped_range().map_err(driver)?;
        // A mapping is aligned to more than any number needs, but only by the driver's word.
        Ok(bytemuck::pod_collect_to_vec(&view[..]))
    }

    /// Waits for all that was recorded.
    pub(crate) fn synchronize(&self) -> Result<(), BackendError> {
        self.submit(&mut lock(&self.recorded));
        self.wait()?;
        self.check()
    }

    fn wait(&self) -> Result<(), BackendError> {
        match self.device.poll(wgpu::PollType::wait_indefinitely()) {
            Ok(_) => Ok(()),
            Err(error) => Err(self.cause_of(driver(error))),
        }
    }

    /// The fault since the last call; that the device is lost is told each time.
    pub(crate) fn check(&self) -> Result<(), BackendError> {
        match self.lost().or_else(|| lock(&self.faults).last.take()) {
            None => Ok(()),
            Some(error) => Err(error.into()),
        }
    }

    /// Keeps an error of a kernel that can return none.
    pub(crate) fn note(&self, error: &BackendError) {
        let error = GpuError::Driver { reason: error.to_string() };
        lock(&self.faults).last.get_or_insert(error);
    }

    /// An error as it is, unless it is because the device is lost.
    fn cause_of(&self, error: GpuError) -> BackendError {
        // Only now may the driver say that it is lost; what it says else is of no interest.
        let _ = self.device.poll(wgpu::PollType::Poll);
        self.lost().unwrap_or(error).into()
    }

    fn lost(&self) -> Option<GpuError> {
        lock(&self.faults).lost.clone().map(|reason| GpuError::Lost { reason })
    }

    pub(crate) fn allocated_bytes(&self) -> Option<u64> {
        self.device.generate_allocator_report().map(|report| report.total_allocated_bytes)
    }

    /// Gives the device up, as a driver that fails does.
    #[cfg(test)]
    pub(crate) fn destroy(&self) {
        self.device.destroy();
    }
}

fn driver(reason: impl ToString) -> GpuError {
    GpuError::Driver { reason: reason.to_string() }
}

fn of_driver(error: &wgpu::Error, what: &str) -> GpuError {
    match error {
        wgpu::Error::OutOfMemory { .. } => GpuError::OutOfMemory { what: what.into() },
        error => driver(error),
    }
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use dbksvd::DbKsvd;
    use dbksvd::backend::Backend;
    use dbksvd::error::BackendError;
    use dbksvd::faer::Mat;
    use dbksvd::learn::Progress;
    use dbksvd::synthetic::Planted;

    use crate::{Gpu, GpuError};

    #[track_caller]
    fn fault<R: std::fmt::Debug>(result: Result<R, BackendError>) -> GpuError {
        let Err(BackendError::Device(fault)) = result else { panic!("{result:?}") };
        fault.downcast_ref::<GpuError>().expect("an error of a device").clone()
    }

    #[test]
    fn a_device_that_is_lost_is_an_error_of_every_call_after_it() {
        let gpu = Gpu::new().expect("an adapter");
        let mut matrix = gpu.zeros(2, 3).expect("memory for a small matrix");
        gpu.device.destroy();
        let ones = Mat::from_fn(2, 3, |_, _| 1.0);
        assert!(matches!(fault(gpu.download(&matrix)), GpuError::Lost { .. }));
        assert!(matches!(fault(gpu.upload(ones.as_ref(), &mut matrix)), GpuError::Lost { .. }));
        gpu.normalize_columns(&mut matrix);
        assert!(matches!(fault(gpu.synchronize()), GpuError::Lost { .. }));
        assert!(matches!(fault(gpu.zeros(5, 5)), GpuError::Lost { .. }));
        let message = fault(gpu.zeros(5, 5)).to_string();
        assert!(message.starts_with("the graphics device was lost"), "{message}");
    }

    #[test]
    fn a_device_that_is_lost_ends_a_run_with_an_error() {
        let data = Planted::new(16, 32, 3, 400).generate::<f32>().expect("a legal problem");
        let gpu = Gpu::new().expect("an adapter");
        let builder = DbKsvd::builder_on(gpu.clone(), 32, 3).minibatch(200).epochs(50);
        let learner = builder.build().expect("a legal problem");
        let mut lose = |progress: &Progress| {
            if progress.total_steps == 3 {
                gpu.device.destroy();
            }
            ControlFlow::Continue(())
        };
        let run = learner.run(&data.samples).observer(&mut lose);
        let result = run.finish().and_then(dbksvd::learn::Fit::into_result);
        let message = result.expect_err("a device that was lost").to_string();
        assert!(message.starts_with("the graphics device was lost"), "{message}");
    }

    #[test]
    fn a_matrix_that_no_buffer_holds_names_its_shape_and_the_limit() {
        let gpu = Gpu::new().expect("an adapter");
        let cols = (gpu.device.most_bytes / 4) as usize;
        let Err(error) = gpu.zeros(2, cols) else { panic!("a matrix beyond the limit") };
        let message = error.to_string();
        assert!(message.contains(&format!("2 × {cols}")), "{message}");
        assert!(message.contains(&gpu.device.most_bytes.to_string()), "{message}");
        gpu.zeros(2, 3).expect("the device is as good as before");
    }
}
