//! [`SweepKernels`] of [`Faer`]: each by a function that is compiled in this crate.

use faer::Mat;

use super::duplicates::coherent_pairs;
use super::host::HostSweep;
use crate::Scalar;
use crate::backend::{Backend, Candidate, Change, LargeUse, SweepKernels, SweepRule, SweepStart};
use crate::codes::SparseCodes;
use crate::cpu::Faer;
use crate::error::BackendError;
use crate::problem::{ProblemShape, Sign};
use crate::scalar::pick;

/// The heavy loops of sweeps for one scalar.
#[expect(clippy::type_complexity, reason = "the arguments of the kernels")]
struct Compiled<T: Scalar> {
    directions: fn(&mut HostSweep<T>, &Mat<T>, &SparseCodes<T>, &[f64], &[u32], usize),
    exchange: fn(&mut HostSweep<T>, &Mat<T>, &mut SparseCodes<T>, &[u32], usize) -> Change,
    undo: fn(&mut HostSweep<T>, &Mat<T>, &mut SparseCodes<T>, &[u32], usize),
    begin: fn(&mut HostSweep<T>, &Mat<T>, &Mat<T>, &SparseCodes<T>),
    energies: fn(&HostSweep<T>, &SparseCodes<T>, &mut [f64]),
    worst: fn(&HostSweep<T>, &Mat<T>, f64, f64) -> Vec<Candidate>,
    vacate: fn(&mut HostSweep<T>, &Mat<T>, &mut SparseCodes<T>, u32, Option<u32>),
    code_by_one: fn(&mut HostSweep<T>, &Mat<T>, &Mat<T>, &mut SparseCodes<T>, usize, u32),
    take_atoms: fn(&mut HostSweep<T>, &mut Mat<T>, &[u32]),
    lost_without: fn(&HostSweep<T>, &Mat<T>, &Mat<T>, &[LargeUse], f64, f64) -> Vec<f64>,
    coherent_pairs: fn(&Mat<T>, f64, Sign) -> Vec<(u32, u32)>,
    decorrelate: fn(&HostSweep<T>, &mut Mat<T>, f64),
}

macro_rules! compiled {
    ($name:ident, $scalar:ty) => {
        static $name: Compiled<$scalar> = Compiled {
            directions: |sweep, d, x, weights, batch, place| {
                sweep.directions(d.as_ref(), x, weights, batch, place);
            },
            exchange: |sweep, d, x, batch, place| sweep.exchange(d.as_ref(), x, batch, place),
            undo: |sweep, d, x, batch, place| sweep.undo(d.as_ref(), x, batch, place),
            begin: HostSweep::begin,
            energies: HostSweep::energies,
            worst: |sweep, y, least, relative| sweep.worst(y.as_ref(), least, relative),
            vacate: HostSweep::vacate,
            code_by_one: HostSweep::code_by_one,
            take_atoms: HostSweep::take_atoms,
            lost_without: HostSweep::lost_without,
            coherent_pairs: |d, threshold, sign| coherent_pairs(d.as_ref(), threshold, sign),
            decorrelate: |sweep, d, tolerance| sweep.decorrelate(d.as_mut(), tolerance),
        };
    };
}

compiled!(SINGLE, f32);
compiled!(DOUBLE, f64);

impl<T: Scalar> Compiled<T> {
    fn get() -> &'static Self {
        pick(&SINGLE, &DOUBLE)
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
        (Compiled::get().begin)(sweep, y, dictionary, codes);
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
        (Compiled::get().energies)(sweep, codes, energies);
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
        (Compiled::get().directions)(sweep, dictionary, codes, weights, batch, place);
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
        Ok((Compiled::get().exchange)(sweep, dictionary, codes, batch, place))
    }

    fn undo(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &Mat<T>,
        codes: &mut SparseCodes<T>,
        batch: &[u32],
        place: usize,
    ) -> Result<(), BackendError> {
        (Compiled::get().undo)(sweep, dictionary, codes, batch, place);
        Ok(())
    }

    fn take_atoms(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &mut Mat<T>,
        order: &[u32],
    ) -> Result<(), BackendError> {
        (Compiled::get().take_atoms)(sweep, dictionary, order);
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
        Ok((Compiled::get().worst)(sweep, y, least, relative))
    }

    fn vacate(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &Mat<T>,
        codes: &mut SparseCodes<T>,
        atom: u32,
        heir: Option<u32>,
    ) -> Result<(), BackendError> {
        (Compiled::get().vacate)(sweep, dictionary, codes, atom, heir);
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
        (Compiled::get().code_by_one)(sweep, y, dictionary, codes, sample, atom);
        Ok(())
    }

    fn coherent_pairs(
        &self,
        dictionary: &Mat<T>,
        threshold: f64,
        sign: Sign,
    ) -> Result<Vec<(u32, u32)>, BackendError> {
        Ok((Compiled::get().coherent_pairs)(dictionary, threshold, sign))
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
        Ok((Compiled::get().lost_without)(sweep, y, dictionary, uses, coherence, typical))
    }

    fn decorrelate(
        &self,
        sweep: &HostSweep<T>,
        dictionary: &mut Mat<T>,
        tolerance: f64,
    ) -> Result<(), BackendError> {
        (Compiled::get().decorrelate)(sweep, dictionary, tolerance);
        Ok(())
    }
}
