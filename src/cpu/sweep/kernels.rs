//! [`SweepKernels`] of [`Faer`]: each by a function that is compiled in this crate.

use std::ops::Range;

use faer::Mat;

use super::host::HostSweep;
use super::{decorrelation, duplicates};
use crate::Scalar;
use crate::backend::{
    Backend, Candidate, Change, DirectionSums, LargeUse, PowerStep, SampleShards, SweepKernels,
    SweepRule, SweepStart,
};
use crate::codes::SparseCodes;
use crate::cpu::Faer;
use crate::error::BackendError;
use crate::problem::{ProblemShape, Sign};
use crate::scalar::compiled;

compiled! {
    fn begin<T>(
        sweep: &mut HostSweep<T>,
        y: &Mat<T>,
        d: &Mat<T>,
        x: &SparseCodes<T>,
        shards: &SampleShards,
    ) {
        sweep.begin(y, d, x, shards);
    }
}

compiled! {
    fn sum_energies<T>(
        sweep: &HostSweep<T>,
        x: &SparseCodes<T>,
        shards: Range<usize>,
        into: &mut [f64],
    ) {
        sweep.energies(x, shards, into);
    }
}

compiled! {
    fn directions<T>(
        sweep: &mut HostSweep<T>,
        d: &Mat<T>,
        x: &SparseCodes<T>,
        weights: &[f64],
        batch: &[u32],
        place: usize,
    ) {
        sweep.directions(d.as_ref(), x, weights, batch, place);
    }
}

compiled! {
    fn exchange<T>(
        sweep: &mut HostSweep<T>,
        d: &Mat<T>,
        x: &mut SparseCodes<T>,
        batch: &[u32],
        place: usize,
        changes: &mut [Change],
    ) {
        sweep.exchange(d.as_ref(), x, batch, place, changes);
    }
}

compiled! {
    fn direction_sums<T>(
        sweep: &HostSweep<T>,
        d: &Mat<T>,
        x: &SparseCodes<T>,
        step: PowerStep<'_>,
        shards: Range<usize>,
        sums: &mut DirectionSums<T>,
    ) {
        sweep.direction_sums(d.as_ref(), x, step, shards, sums);
    }
}

compiled! {
    fn directions_of<T>(
        sweep: &mut HostSweep<T>,
        d: &Mat<T>,
        weights: &[f64],
        step: PowerStep<'_>,
        sums: &DirectionSums<T>,
    ) -> bool {
        sweep.directions_of(d.as_ref(), weights, step, sums)
    }
}

compiled! {
    fn sum_errors<T>(sweep: &HostSweep<T>, into: &mut [f64]) {
        sweep.errors(into);
    }
}

compiled! {
    fn undo<T>(
        sweep: &mut HostSweep<T>,
        d: &Mat<T>,
        x: &mut SparseCodes<T>,
        batch: &[u32],
        place: usize,
    ) {
        sweep.undo(d.as_ref(), x, batch, place);
    }
}

compiled! {
    fn take_atoms<T>(sweep: &mut HostSweep<T>, d: &mut Mat<T>, order: &[u32]) {
        sweep.take_atoms(d, order);
    }
}

compiled! {
    fn worst<T>(sweep: &HostSweep<T>, y: &Mat<T>, least: f64, relative: f64) -> Vec<Candidate> {
        sweep.worst(y.as_ref(), least, relative)
    }
}

compiled! {
    fn vacate<T>(
        sweep: &mut HostSweep<T>,
        d: &Mat<T>,
        x: &mut SparseCodes<T>,
        atom: u32,
        heir: Option<u32>,
    ) {
        sweep.vacate(d, x, atom, heir);
    }
}

compiled! {
    fn code_by_one<T>(
        sweep: &mut HostSweep<T>,
        y: &Mat<T>,
        d: &Mat<T>,
        x: &mut SparseCodes<T>,
        i: usize,
        atom: u32,
    ) {
        sweep.code_by_one(y, d, x, i, atom);
    }
}

compiled! {
    fn lost_without<T>(
        sweep: &HostSweep<T>,
        y: &Mat<T>,
        d: &Mat<T>,
        uses: &[LargeUse],
        coherence: f64,
        typical: f64,
    ) -> Vec<f64> {
        sweep.lost_without(y, d, uses, coherence, typical)
    }
}

compiled! {
    fn coherent_pairs<T>(d: &Mat<T>, threshold: f64, sign: Sign) -> Vec<(u32, u32)> {
        duplicates::coherent_pairs(d.as_ref(), threshold, sign)
    }
}

compiled! {
    fn decorrelate<T>(d: &mut Mat<T>, counts: &[u64], tolerance: f64) {
        decorrelation::decorrelate(d.as_mut(), counts, tolerance);
    }
}

impl<T: Scalar> SweepKernels for Faer<T> {
    type Sweep = HostSweep<T>;

    fn prepare_sweep(
        &self,
        rule: &SweepRule,
        shape: &ProblemShape,
    ) -> Result<HostSweep<T>, BackendError> {
        HostSweep::new(rule, shape)
    }

    fn begin(
        &self,
        sweep: &mut HostSweep<T>,
        y: &Mat<T>,
        dictionary: &Mat<T>,
        codes: &SparseCodes<T>,
        shards: &SampleShards,
    ) -> Result<SweepStart, BackendError> {
        begin(sweep, y, dictionary, codes, shards);
        Ok(SweepStart { samples: y.ncols(), nonzeros: sweep.index.len() })
    }

    fn uses(&self, sweep: &HostSweep<T>, counts: &mut [u64]) -> Result<(), BackendError> {
        sweep.uses(counts);
        Ok(())
    }

    fn energies(
        &self,
        sweep: &HostSweep<T>,
        codes: &SparseCodes<T>,
        shards: Range<usize>,
        energies: &mut [f64],
    ) -> Result<(), BackendError> {
        sum_energies(sweep, codes, shards, energies);
        Ok(())
    }

    fn directions(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &Mat<T>,
        codes: &SparseCodes<T>,
        weights: &[f64],
        batch: &[u32],
        place: usize,
    ) -> Result<(), BackendError> {
        directions(sweep, dictionary, codes, weights, batch, place);
        Ok(())
    }

    fn exchange(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &Mat<T>,
        codes: &mut SparseCodes<T>,
        batch: &[u32],
        place: usize,
        changes: &mut [Change],
    ) -> Result<(), BackendError> {
        exchange(sweep, dictionary, codes, batch, place, changes);
        Ok(())
    }

    fn undo(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &Mat<T>,
        codes: &mut SparseCodes<T>,
        batch: &[u32],
        place: usize,
    ) -> Result<(), BackendError> {
        undo(sweep, dictionary, codes, batch, place);
        Ok(())
    }

    fn take_atoms(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &mut Mat<T>,
        order: &[u32],
    ) -> Result<(), BackendError> {
        take_atoms(sweep, dictionary, order);
        Ok(())
    }

    fn errors(&self, sweep: &HostSweep<T>, errors: &mut [f64]) -> Result<(), BackendError> {
        sum_errors(sweep, errors);
        Ok(())
    }

    fn refresh(
        &self,
        sweep: &mut HostSweep<T>,
        y: &Mat<T>,
        dictionary: &Mat<T>,
        codes: &SparseCodes<T>,
    ) -> Result<(), BackendError> {
        self.residual(&mut sweep.residual, y, dictionary, codes);
        Ok(())
    }

    fn recount(
        &self,
        sweep: &mut HostSweep<T>,
        codes: &SparseCodes<T>,
    ) -> Result<(), BackendError> {
        sweep.recount(codes);
        Ok(())
    }

    fn worst(
        &self,
        sweep: &HostSweep<T>,
        y: &Mat<T>,
        least: f64,
        relative: f64,
    ) -> Result<Vec<Candidate>, BackendError> {
        Ok(worst(sweep, y, least, relative))
    }

    fn vacate(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &Mat<T>,
        codes: &mut SparseCodes<T>,
        atom: u32,
        heir: Option<u32>,
    ) -> Result<(), BackendError> {
        vacate(sweep, dictionary, codes, atom, heir);
        Ok(())
    }

    fn code_by_one(
        &self,
        sweep: &mut HostSweep<T>,
        y: &Mat<T>,
        dictionary: &Mat<T>,
        codes: &mut SparseCodes<T>,
        sample: usize,
        atom: u32,
    ) -> Result<(), BackendError> {
        code_by_one(sweep, y, dictionary, codes, sample, atom);
        Ok(())
    }

    fn coherent_pairs(
        &self,
        dictionary: &Mat<T>,
        threshold: f64,
        sign: Sign,
    ) -> Result<Vec<(u32, u32)>, BackendError> {
        Ok(coherent_pairs(dictionary, threshold, sign))
    }

    fn large_uses(
        &self,
        sweep: &HostSweep<T>,
        codes: &SparseCodes<T>,
        rare: &[u32],
        least: f64,
    ) -> Result<Vec<LargeUse>, BackendError> {
        Ok(sweep.large_uses(codes, rare, least))
    }

    fn lost_without(
        &self,
        sweep: &HostSweep<T>,
        y: &Mat<T>,
        dictionary: &Mat<T>,
        uses: &[LargeUse],
        coherence: f64,
        typical: f64,
    ) -> Result<Vec<f64>, BackendError> {
        Ok(lost_without(sweep, y, dictionary, uses, coherence, typical))
    }

    fn decorrelate(
        &self,
        dictionary: &mut Mat<T>,
        counts: &[u64],
        tolerance: f64,
    ) -> Result<(), BackendError> {
        decorrelate(dictionary, counts, tolerance);
        Ok(())
    }

    fn direction_sums(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &Mat<T>,
        codes: &SparseCodes<T>,
        step: PowerStep<'_>,
        shards: Range<usize>,
        sums: &mut DirectionSums<T>,
    ) -> Result<(), BackendError> {
        direction_sums(sweep, dictionary, codes, step, shards, sums);
        Ok(())
    }

    fn directions_of(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &Mat<T>,
        weights: &[f64],
        step: PowerStep<'_>,
        sums: &DirectionSums<T>,
    ) -> Result<bool, BackendError> {
        Ok(directions_of(sweep, dictionary, weights, step, sums))
    }
}
