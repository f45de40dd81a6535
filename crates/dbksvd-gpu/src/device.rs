//! An open device: buffers, kernels that are recorded and submitted, transfers, and faults.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use dbksvd::error::BackendError;

use crate::adapter::{AdapterInfo, wait_for};
use crate::buffer::{Buffer, FURTHER, in_parts};
use crate::error::GpuError;

/// Kernels recorded before they are handed to the device even if nobody waits for them.
const MOST_RECORDED: usize = 64;

/// The most workgroups along one axis of a dispatch.
const MOST_ALONG_AN_AXIS: usize = 65_535;

/// The most buffers of a kernel without further parts.
const MOST_BUFFERS: u32 = 16;

/// The most matrices of a kernel that may be in parts.
const MOST_MATRICES: u32 = 3;

/// The most numbers of a buffer, which kernels count in 32 bits.
const MOST_NUMBERS: usize = 1 << 32;

/// The fewest bytes of a binding that a device can be told to have.
const LEAST_BINDING: u64 = 1 << 10;

/// The most bytes of one read, which takes as much memory of the host and of the device.
const MOST_READ: u64 = 256 << 20;

/// Lanes of a workgroup, of which all kernels but [`Kernel::with_lanes`] have as many.
pub(crate) const LANES: usize = 64;

/// The most lanes of a workgroup.
pub(crate) const MOST_LANES: usize = 256;

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
    /// Most bytes of a buffer in one part.
    pub(crate) most_bytes: u64,
    /// Numbers of a part of a buffer in several, a power of two.
    part: usize,
    /// The most parts of a buffer.
    most_parts: usize,
    /// The most turns of all loops of a kernel, where the driver ends them without a word.
    pub(crate) most_turns: Option<usize>,
    /// Most bytes of a buffer that no kernel is given.
    most_read: u64,
    pipelines: Mutex<HashMap<(Kernel, Vec<usize>), wgpu::ComputePipeline>>,
    recorded: Mutex<Recorded>,
    faults: Arc<Mutex<Faults>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Device {
    /// Opens an adapter, of which a binding may have at most so many bytes, if any are given.
    pub(crate) fn open(adapter: &wgpu::Adapter, binding: Option<u64>) -> Result<Self, GpuError> {
        let info = AdapterInfo::from(adapter);
        let mut limits = adapter.limits();
        if let Some(bytes) = binding {
            let least = limits.max_storage_buffer_binding_size.min(LEAST_BINDING);
            let most = limits.max_storage_buffer_binding_size;
            limits.max_storage_buffer_binding_size = bytes.clamp(least, most);
        }
        let lacks = Self::lacks(adapter, &limits);
        if !lacks.is_empty() {
            let lacks = lacks.join(", ");
            return Err(GpuError::Insufficient { adapter: info.to_string(), lacks });
        }
        let most_bytes = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
        let part = 1 << (most_bytes / 4).ilog2();
        let further = limits.max_storage_buffers_per_shader_stage - MOST_BUFFERS;
        let of_bindings = limits.max_bindings_per_bind_group.saturating_sub(FURTHER);
        let most_parts = 1 + (further.min(of_bindings) / MOST_MATRICES) as usize;
        let most_read = limits.max_buffer_size.min(MOST_READ);
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
        // Mesa's driver for processors: LP_MAX_TGSI_LOOP_ITERATIONS.
        let most_turns = info.name.contains("llvmpipe").then_some(65_535);
        Ok(Self {
            device,
            queue,
            info,
            most_turns,
            most_bytes,
            part,
            most_parts,
            most_read,
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
            (limits.max_storage_buffers_per_shader_stage, MOST_BUFFERS, "buffers of a kernel"),
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

    /// A buffer of so many numbers of 32 bits for `what`, all zero, in one part.
    pub(crate) fn buffer(&self, numbers: usize, what: &str) -> Result<Buffer, BackendError> {
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
        Ok(Buffer { parts: vec![self.part_of(bytes, what)?], part: self.part })
    }

    /// The same, in parts if it has to be. Only what kernels access as such may be.
    pub(crate) fn in_parts(&self, numbers: usize, what: &str) -> Result<Buffer, BackendError> {
        if (numbers as u64).saturating_mul(4) <= self.most_bytes {
            return self.buffer(numbers, what);
        }
        if numbers > self.most_in_parts() {
            let error = GpuError::Insufficient {
                adapter: self.info.to_string(),
                lacks: format!("{what} of {} bytes: {}", 4 * numbers as u64, self.limit()),
            };
            return Err(error.into());
        }
        let sizes = (0..numbers).step_by(self.part).map(|first| self.part.min(numbers - first));
        let parts = sizes.map(|size| self.part_of((4 * size as u64).max(16), what));
        Ok(Buffer { parts: parts.collect::<Result<_, _>>()?, part: self.part })
    }

    /// The most numbers of a buffer in parts.
    pub(crate) fn most_in_parts(&self) -> usize {
        let in_one = (self.most_bytes / 4) as usize;
        self.part.saturating_mul(self.most_parts).max(in_one).min(MOST_NUMBERS)
    }

    /// Refuses work in which a lane would turn loops so many times, where the driver ends them.
    pub(crate) fn check_turns(&self, turns: usize, what: &str) -> Result<(), BackendError> {
        match self.most_turns {
            Some(most) if turns > most => {
                let what = format!(
                    "{what} on {}, whose driver ends the loops of a kernel after {most} turns: \
                     this takes about {turns}; it is for small problems",
                    self.info
                );
                Err(BackendError::Unsupported { what })
            }
            _ => Ok(()),
        }
    }

    /// What limits a buffer in parts, in words.
    pub(crate) fn limit(&self) -> String {
        format!(
            "{} binds buffers of at most {} bytes to a kernel, of which a matrix may take {}, so \
             it has at most {} bytes",
            self.info,
            self.most_bytes,
            self.most_parts,
            4 * self.most_in_parts() as u64
        )
    }

    fn part_of(&self, bytes: u64, what: &str) -> Result<wgpu::Buffer, BackendError> {
        self.check_presence()?;
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
        buffer: &mut Buffer,
        numbers: usize,
        what: &str,
    ) -> Result<(), BackendError> {
        if buffer.numbers() < numbers {
            *buffer = self.buffer(numbers, what)?;
        }
        Ok(())
    }

    /// The same, in parts if it has to be.
    pub(crate) fn grow_in_parts(
        &self,
        buffer: &mut Buffer,
        numbers: usize,
        what: &str,
    ) -> Result<(), BackendError> {
        if buffer.numbers() < numbers {
            *buffer = self.in_parts(numbers, what)?;
        }
        Ok(())
    }

    /// Records a kernel on these buffers, in at least so many workgroups, of which those beyond
    /// must do nothing. It runs after all that was recorded before.
    pub(crate) fn run(
        &self,
        kernel: &Kernel,
        buffers: &[&Buffer],
        numbers: &[u32],
        workgroups: usize,
    ) {
        if workgroups == 0 {
            return;
        }
        let counts = buffers.iter().map(|buffer| buffer.parts.len()).collect();
        let pipeline = self.pipeline(kernel, counts);
        let firsts = (0..).zip(buffers.iter().map(|buffer| &buffer.parts[0]));
        let further = buffers.iter().flat_map(|buffer| &buffer.parts[1..]);
        let entries: Vec<_> = firsts
            .chain((FURTHER..).zip(further))
            .map(|(binding, part)| wgpu::BindGroupEntry {
                binding,
                resource: part.as_entire_binding(),
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
    pub(crate) fn clear(&self, buffer: &Buffer) {
        let mut recorded = lock(&self.recorded);
        let encoder = recorded.encoder.get_or_insert_with(|| {
            self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default())
        });
        for part in &buffer.parts {
            encoder.clear_buffer(part, 0, None);
        }
    }

    /// The pipeline of a kernel whose buffers are in so many parts.
    fn pipeline(&self, kernel: &Kernel, counts: Vec<usize>) -> wgpu::ComputePipeline {
        let mut pipelines = lock(&self.pipelines);
        let source = |counts: &[usize]| in_parts(kernel.source, counts, self.part);
        let made = pipelines.entry((*kernel, counts)).or_insert_with_key(|(_, counts)| {
            let source = format!("const LANES: u32 = {}u;\n{}", kernel.lanes, source(counts));
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

    /// Lets `fill` write so many numbers into `buffer` from the number `first` on, after all that
    /// was recorded. It is called once for each part, with the range of those numbers.
    pub(crate) fn write(
        &self,
        buffer: &Buffer,
        first: usize,
        numbers: usize,
        mut fill: impl FnMut(Range<usize>, &mut wgpu::QueueWriteBufferView),
    ) -> Result<(), BackendError> {
        self.check_presence()?;
        self.submit(&mut lock(&self.recorded));
        let mut done = 0;
        for (part, at, count) in buffer.pieces(first..first + numbers) {
            let Some(size) = NonZeroU64::new(4 * count as u64) else { continue };
            let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
            let view = self.queue.write_buffer_with(part, 4 * at as u64, size);
            let out_of_memory = wait_for(memory.pop());
            let Some(mut view) = view else {
                let what = "an upload".to_string();
                let error = out_of_memory.map(|error| of_driver(&error, &what));
                return Err(self.cause_of(error.unwrap_or(GpuError::OutOfMemory { what })));
            };
            fill(done..done + count, &mut view);
            done += count;
        }
        Ok(())
    }

    /// Writes numbers to `buffer`, from the number `first` on.
    pub(crate) fn write_from<T: bytemuck::NoUninit>(
        &self,
        buffer: &Buffer,
        first: usize,
        numbers: &[T],
    ) -> Result<(), BackendError> {
        let bytes: &[u8] = bytemuck::cast_slice(numbers);
        self.write(buffer, first, bytes.len() / 4, |range, view| {
            view.copy_from_slice(&bytes[4 * range.start..4 * range.end]);
        })
    }

    /// Writes numbers to the start of `buffer`.
    pub(crate) fn write_all<T: bytemuck::NoUninit>(
        &self,
        buffer: &Buffer,
        numbers: &[T],
    ) -> Result<(), BackendError> {
        self.write_from(buffer, 0, numbers)
    }

    /// Copies parts of buffers (the buffer, the first number, how many) to the host, one after the
    /// other, and waits for them and for all that was recorded before.
    pub(crate) fn read<T: bytemuck::Pod>(
        &self,
        parts: &[(&Buffer, usize, usize)],
    ) -> Result<Vec<T>, BackendError> {
        let most = (self.most_read / 4) as usize;
        let (mut all, mut pending, mut room) = (Vec::new(), Vec::new(), most);
        for &(buffer, first, count) in parts {
            for (part, mut at, mut left) in buffer.pieces(first..first + count) {
                while left > 0 {
                    let now = left.min(room);
                    pending.push((part, at, now));
                    (at, left, room) = (at + now, left - now, room - now);
                    if room == 0 {
                        self.read_at_once(&pending, &mut all)?;
                        pending.clear();
                        room = most;
                    }
                }
            }
        }
        if pending.is_empty() {
            self.synchronize()?;
        } else {
            self.read_at_once(&pending, &mut all)?;
        }
        Ok(all)
    }

    fn read_at_once<T: bytemuck::Pod>(
        &self,
        parts: &[(&wgpu::Buffer, usize, usize)],
        all: &mut Vec<T>,
    ) -> Result<(), BackendError> {
        let numbers: usize = parts.iter().map(|&(_, _, count)| count).sum();
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
            for &(part, first, count) in parts {
                let size = 4 * count as u64;
                encoder.copy_buffer_to_buffer(part, 4 * first as u64, &staging, to, size);
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
        if all.is_empty() {
            // A mapping is aligned to more than any number needs, but only by the driver's word.
            *all = bytemuck::pod_collect_to_vec(&view[..]);
        } else {
            all.extend(bytemuck::pod_collect_to_vec::<u8, T>(&view[..]));
        }
        Ok(())
    }

    /// Hands what was written so far to the device, which then gives the memory of it back.
    pub(crate) fn flush(&self) {
        self.queue.submit(std::iter::empty());
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
        let of_device = match error {
            BackendError::Device(cause) => cause.downcast_ref::<GpuError>().cloned(),
            _ => None,
        };
        lock(&self.faults).last.get_or_insert(of_device.unwrap_or_else(|| driver(error)));
    }

    /// An error as it is, unless it is because the device is lost.
    fn cause_of(&self, error: GpuError) -> BackendError {
        // Only now may the driver say that it is lost; what it says else is of no interest.
        let _ = self.device.poll(wgpu::PollType::Poll);
        self.lost().unwrap_or(error).into()
    }

    /// Whether the device is still there. Unlike [`check`](Self::check), it leaves faults to the
    /// step that they belong to: the next minibatch goes up on another thread meanwhile.
    fn check_presence(&self) -> Result<(), BackendError> {
        self.lost().map_or(Ok(()), |lost| Err(lost.into()))
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

    use crate::{Adapter, Gpu, GpuError};

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
    fn a_matrix_that_no_parts_hold_names_its_shape_and_the_limit() {
        let gpu = Gpu::with_binding_limit(&Adapter::Best, 1 << 10).expect("an adapter");
        let most = gpu.device.most_in_parts();
        let cols = most / 2 + 1;
        let Err(error) = gpu.zeros(2, cols) else { panic!("a matrix beyond the limit") };
        let message = error.to_string();
        assert!(message.contains(&format!("2 × {cols}")), "{message}");
        assert!(message.contains("1024 bytes"), "{message}");
        assert!(message.contains(&(4 * most).to_string()), "{message}");
        let matrix = gpu.zeros(2, most / 2).expect("a matrix of as many parts as there may be");
        assert_eq!(matrix.buffer.parts.len(), gpu.device.most_parts);
        gpu.zeros(2, 3).expect("the device is as good as before");
    }
}
