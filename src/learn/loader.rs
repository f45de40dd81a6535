//! The way of a minibatch from host memory to the backend, and what is found out about it there.

use super::apart::Apart;
use super::cut::Cut;
use super::team::{Team, of_owner};
use crate::backend::{Backend, SampleShards};
use crate::error::{BackendError, Error};
use crate::group::{Message, Reading};
use crate::samples::moments::Figures;
use crate::samples::preprocessing::Preprocessing;
use crate::samples::spectrum::Spectrum;
use crate::samples::{Gate, HostSamples, OutlierCounts, Upload, check_size};
use crate::{Outliers, Scalar};

/// The memory of one minibatch on the backend, used again for the next.
pub(super) struct Buffers<B: Backend> {
    pub(super) upload: Upload<B>,
    pub(super) apart: Apart<B>,
}

impl<B: Backend> Buffers<B> {
    pub(super) fn new(backend: &B, dim: usize) -> Result<Self, BackendError> {
        Ok(Self { upload: Upload::new(backend, dim)?, apart: Apart::new(backend, dim)? })
    }
}

/// What is known of a minibatch on the backend that was not yet learned from.
pub(super) struct Loaded {
    pub(super) figures: Figures,
    pub(super) spectrum: Spectrum,
    pub(super) outliers: OutlierCounts,
    pub(super) shards: SampleShards,
}

/// What one owner knows of its part of a minibatch.
pub(super) struct LoadedPart {
    outliers: OutlierCounts,
    shards: SampleShards,
    /// Of each node that the shards make up.
    figures: Vec<Figures>,
    are_zero: bool,
}

/// Takes minibatches to the backend. It is the same for all of a run, so a thread may have a clone.
#[derive(Clone)]
pub(super) struct Loader<T: Scalar> {
    gate: Gate<T>,
    cut: Cut,
}

impl<T: Scalar> Loader<T> {
    pub(super) fn new(preprocessing: Preprocessing<T>, outliers: Outliers, cut: Cut) -> Self {
        Self { gate: Gate::new(preprocessing, outliers), cut }
    }

    /// What is done to samples.
    pub(super) fn preprocessing(&self) -> &Preprocessing<T> {
        self.gate.preprocessing()
    }

    /// Preprocesses a minibatch and takes it to the backend: `host` is then free. Of the backend,
    /// it calls [`upload`](Backend::upload) alone, to matrices of `buffers`.
    pub(super) fn load<B: Backend<Scalar = T>>(
        &self,
        backend: &B,
        host: &mut HostSamples<T>,
        buffers: &mut Buffers<B>,
    ) -> Result<Loaded, Error> {
        let Buffers { upload, apart } = buffers;
        let shards = self.cut.all(host.len());
        let outliers = upload.take(backend, &self.gate, host)?;
        apart.take(backend, host, upload.is_outside())?;
        let shards = upload.shards(&shards);
        let figures = host.figures(&shards, upload.is_outside());
        let spectrum = host.spectrum(&figures.all.mean);
        Ok(Loaded { figures, spectrum, outliers, shards })
    }

    /// As [`load`](Self::load) for the part of a minibatch that an owner of these shards has read.
    pub(super) fn load_part<B: Backend<Scalar = T>>(
        &self,
        backend: &B,
        shards: &SampleShards,
        host: &mut HostSamples<T>,
        buffers: &mut Buffers<B>,
    ) -> Result<LoadedPart, Error> {
        let Buffers { upload, apart } = buffers;
        let outliers = upload.take_part(backend, &self.gate, host)?;
        apart.take(backend, host, upload.is_outside())?;
        let shards = upload.shards(shards);
        let figures = host.figures_of_nodes(&shards, upload.is_outside());
        Ok(LoadedPart { outliers, shards, figures, are_zero: host.are_zero() })
    }
}

/// What is known of a minibatch from what each owner knows of its part, whose samples `host` holds.
/// Any number of owners finds the same.
pub(super) fn join<T: Scalar>(
    team: Team<'_>,
    dim: usize,
    own: Result<(HostSamples<T>, LoadedPart), Error>,
) -> Result<(HostSamples<T>, Loaded), Error> {
    let (part, told) = match own {
        Ok((host, part)) => {
            let told = part.message();
            (Some((host, part)), Ok(told))
        }
        Err(error) => (None, Err(error)),
    };
    let all = team.gather(told)?;
    let Some((host, part)) = part else {
        return Err(of_owner(team.rank(), "a failure was not told".to_owned()));
    };
    let share = team.share(part.shards);
    let mut outliers = OutlierCounts::default();
    let (mut are_zero, mut figures) = (true, Vec::new());
    for (rank, bytes) in all.iter().enumerate() {
        let mut reading = Reading::new(bytes);
        let told = take_part(&mut reading).map_err(|reason| of_owner(rank, reason))?;
        outliers.add(&told.outliers);
        are_zero &= told.are_zero;
        let nodes = told.nodes.as_chunks::<2>().0.iter();
        let nodes = nodes.map(|&[first, end]| first as usize..end as usize);
        let of_nodes = told.figures.chunks_exact(Figures::numbers(dim)).map(Figures::from_numbers);
        figures.extend(nodes.zip(of_nodes));
    }
    let figures = share.fold(figures, &|mut left, right| {
        left.merge(&right);
        left
    })?;
    check_size::<T>(figures.all.energy, figures.all.samples, &|| are_zero)?;
    // One number a sample: sums over the samples of a class have the bits of one owner's.
    let energies = share.concat(host.energies(&figures.all.mean))?;
    share.expect(energies.len(), figures.all.samples, "energies of samples")?;
    let spectrum = Spectrum::of_energies(&energies);
    let shards = share.shards().clone();
    Ok((host, Loaded { figures, spectrum, outliers, shards }))
}

impl LoadedPart {
    fn message(&self) -> Message {
        let OutlierCounts { read, zeros, clipped, dropped } = self.outliers;
        let mut message = Message::new();
        message.put_all(&[read, zeros, clipped, dropped].map(|count| count as u64));
        message.put(u8::from(self.are_zero));
        let first = self.shards.first();
        let nodes = self.shards.nodes().into_iter();
        let nodes = nodes.flat_map(|node| [first + node.start, first + node.end]);
        message.put_all(&nodes.map(|end| end as u64).collect::<Vec<_>>());
        let mut numbers = Vec::new();
        self.figures.iter().for_each(|figures| figures.put_into(&mut numbers));
        message.put_all(&numbers);
        message
    }
}

/// What an owner told of its part.
struct ToldPart {
    outliers: OutlierCounts,
    are_zero: bool,
    nodes: Vec<u64>,
    figures: Vec<f64>,
}

fn take_part(message: &mut Reading<'_>) -> Result<ToldPart, String> {
    let counts: Vec<u64> = message.take_all()?;
    let &[read, zeros, clipped, dropped] = counts.as_slice() else {
        return Err(format!("{} counts, expected 4", counts.len()));
    };
    let [read, zeros, clipped, dropped] = [read, zeros, clipped, dropped].map(|n| n as usize);
    let outliers = OutlierCounts { read, zeros, clipped, dropped };
    let are_zero = message.take::<u8>()? != 0;
    Ok(ToldPart { outliers, are_zero, nodes: message.take_all()?, figures: message.take_all()? })
}
