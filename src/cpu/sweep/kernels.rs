//! [`SweepKernels`] of [`Faer`]: each by a function that is compiled in this crate.

use faer::Mat;

use super::duplicates;
use super::host::HostSweep;
use crate::Scalar;
use crate::backend::{Backend, Candidate, Change, LargeUse, SweepKernels, SweepRule, SweepStart};
use crate::codes::SparseCodes;
use crate::cpu::Faer;
use crate::error::BackendError;
use crate::problem::{ProblemShape, Sign};
use crate::scalar::compiled;

compiled! {
    fn begin<T>(sweep: &mut HostSweep<T>, y: &Mat<T>, d: &Mat<T>, x: &SparseCodes<T>) {
        sweep.begin(y, d, x);
    }
}

compiled! {
    fn sum_energies<T>(sweep: &HostSweep<T>, x: &SparseCodes<T>, into: &mut [f64]) {
        sweep.energies(x, into);
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
    ) -> Change {
        sweep.exchange(d.as_ref(), x, batch, place)
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
    fn decorrelate<T>(sweep: &HostSweep<T>, d: &mut Mat<T>, tolerance: f64) {
        sweep.decorrelate(d.as_mut(), tolerance);
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
    ) -> Result<SweepStart, BackendError> {
        begin(sweep, y, dictionary, codes);
        let error = self.error(sweep)?;
        Ok(SweepStart { samples: y.ncols(), error, nonzeros: sweep.index.len() })
    }

    fn uses(&self, sweep: &HostSweep<T>, counts: &mut [u64]) -> Result<(), BackendError> {
        sweep.uses(counts);
        Ok(())
    }

    fn energies(
        &self,
        sweep: &HostSweep<T>,
        codes: &SparseCodes<T>,
        energies: &mut [f64],
    ) -> Result<(), BackendError> {
        sum_energies(sweep, codes, energies);
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
    ) -> Result<Change, BackendError> {
        Ok(exchange(sweep, dictionary, codes, batch, place))
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

    fn error(&self, sweep: &HostSweep<T>) -> Result<f64, BackendError> {
        Ok(self.squared_norm(&sweep.residual))
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
        sweep: &HostSweep<T>,
        dictionary: &mut Mat<T>,
        tolerance: f64,
    ) -> Result<(), BackendError> {
        decorrelate(sweep, dictionary, tolerance);
        Ok(())
    }
}
