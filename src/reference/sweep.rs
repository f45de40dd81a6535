//! The steps of K-SVD as their formulas are, in f64; what is called rarely is that of
//! [`HostSweep`], whose loops are as plain.

use std::ops::Range;

use faer::Mat;

use super::Reference;
use crate::Scalar;
use crate::backend::{
    AtomRule, Backend, Candidate, Change, LargeUse, LeadingPair, SampleShards, SweepKernels,
    SweepRule, SweepStart,
};
use crate::codes::{SparseCodes, Use};
use crate::cpu::HostSweep;
use crate::error::BackendError;
use crate::problem::{ProblemShape, Sign};

/// Power steps after which a pair counts as exact.
const MOST_STEPS: usize = 5000;

/// Power steps after which an exact non-negative pair is taken as it is.
const MOST_NON_NEGATIVE_STEPS: usize = 200;

impl<T: Scalar> SweepKernels for Reference<T> {
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
        sweep.set_shards(shards);
        self.refresh(sweep, y, dictionary, codes)?;
        self.recount(sweep, codes)?;
        Ok(SweepStart { samples: y.ncols(), nonzeros: codes.nnz() })
    }

    fn uses(&self, sweep: &HostSweep<T>, counts: &mut [u64]) -> Result<(), BackendError> {
        for (j, count) in counts.iter_mut().enumerate() {
            *count = sweep.index.uses(j).len() as u64;
        }
        Ok(())
    }

    fn energies(
        &self,
        sweep: &HostSweep<T>,
        codes: &SparseCodes<T>,
        shards: Range<usize>,
        energies: &mut [f64],
    ) -> Result<(), BackendError> {
        energies.fill(0.0);
        for i in shards.flat_map(|shard| sweep.shards.range(shard)) {
            let (support, values) = (codes.support(i), codes.values(i));
            for (&j, x) in support.iter().zip(values) {
                energies[j as usize] += x.widen() * x.widen();
            }
        }
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
        for (member, &j) in batch.iter().enumerate() {
            let d: Vec<f64> = column(dictionary, j as usize);
            let uses = sweep.index.uses(j as usize);
            // E = [R_Ω + d xᵀ, √w d], and v = (x, √w).
            let root = weights[j as usize].sqrt();
            let mut e: Vec<Vec<f64>> = Vec::new();
            let mut v: Vec<f64> = Vec::new();
            for &at in uses {
                let x = value(codes, at);
                let r: Vec<f64> = column(&sweep.residual, at.sample as usize);
                e.push(r.iter().zip(&d).map(|(r, d)| r + d * x).collect());
                v.push(x);
            }
            e.push(d.iter().map(|d| root * d).collect());
            v.push(root);
            let fresh = if uses.is_empty() { None } else { leading(&e, v, sweep) };
            let into = sweep.fresh.col_as_slice_mut(place + member);
            for (into, d) in into.iter_mut().zip(fresh.unwrap_or(d)) {
                *into = T::narrow(d);
            }
        }
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
        let before = sweep.residual.clone();
        changes.fill(Change::default());
        let shard_of = |i: usize| (0..).find(|&shard| i < sweep.shards.range(shard).end);
        let shard_of: Vec<usize> = (0..before.ncols()).filter_map(shard_of).collect();
        sweep.previous.clear();
        for (member, &j) in batch.iter().enumerate() {
            let old = column(dictionary, j as usize);
            let new = column(&sweep.fresh, place + member);
            for &at in sweep.index.uses(j as usize) {
                let (i, x) = (at.sample as usize, value(codes, at));
                let r = match sweep.rule.atom_rule {
                    AtomRule::Refitted => column(&sweep.residual, i),
                    AtomRule::Shared => column(&before, i),
                };
                let c = sweep.shape.sign.project(dot(&r, &new) + x * dot(&old, &new));
                for (row, r) in sweep.residual.col_as_slice_mut(i).iter_mut().enumerate() {
                    *r = T::narrow(r.widen() + x * old[row] - c * new[row]);
                }
                sweep.previous.push(codes.values(i)[at.slot as usize]);
                codes.as_block_mut().values_mut(i)[at.slot as usize] = T::narrow(c);
                changes[shard_of[i]].energy += x * x;
                changes[shard_of[i]].uses += 1;
            }
        }
        let (mut old, mut new) = (vec![0.0; changes.len()], vec![0.0; changes.len()]);
        self.squared_norms(&before, &sweep.shards, &mut old)?;
        self.squared_norms(&sweep.residual, &sweep.shards, &mut new)?;
        for (change, (old, new)) in changes.iter_mut().zip(old.iter().zip(&new)) {
            change.error = new - old;
        }
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
        let mut previous = sweep.previous.iter();
        for (member, &j) in batch.iter().enumerate() {
            let old = column(dictionary, j as usize);
            let new = column(&sweep.fresh, place + member);
            for &at in sweep.index.uses(j as usize) {
                let (i, c) = (at.sample as usize, value(codes, at));
                let x = *previous.next().expect("one coefficient a use");
                for (row, r) in sweep.residual.col_as_slice_mut(i).iter_mut().enumerate() {
                    *r = T::narrow(r.widen() - x.widen() * old[row] + c * new[row]);
                }
                codes.as_block_mut().values_mut(i)[at.slot as usize] = x;
            }
        }
        Ok(())
    }

    fn take_atoms(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &mut Mat<T>,
        order: &[u32],
    ) -> Result<(), BackendError> {
        for (place, &j) in order.iter().enumerate() {
            dictionary.col_mut(j as usize).copy_from(sweep.fresh.col(place));
        }
        Ok(())
    }

    fn errors(&self, sweep: &HostSweep<T>, errors: &mut [f64]) -> Result<(), BackendError> {
        self.squared_norms(&sweep.residual, &sweep.shards, errors)
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
        sweep.index.rebuild(codes);
        Ok(())
    }

    fn worst(
        &self,
        sweep: &HostSweep<T>,
        y: &Mat<T>,
        least: f64,
        relative: f64,
    ) -> Result<Vec<Candidate>, BackendError> {
        Ok(sweep.worst(y.as_ref(), least, relative))
    }

    fn vacate(
        &self,
        sweep: &mut HostSweep<T>,
        dictionary: &Mat<T>,
        codes: &mut SparseCodes<T>,
        atom: u32,
        heir: Option<u32>,
    ) -> Result<(), BackendError> {
        sweep.vacate(dictionary, codes, atom, heir);
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
        sweep.code_by_one(y, dictionary, codes, sample, atom);
        Ok(())
    }

    fn coherent_pairs(
        &self,
        dictionary: &Mat<T>,
        threshold: f64,
        sign: Sign,
    ) -> Result<Vec<(u32, u32)>, BackendError> {
        let mut pairs = Vec::new();
        for i in 0..dictionary.ncols() {
            for j in i + 1..dictionary.ncols() {
                let cosine = dot(&column(dictionary, i), &column(dictionary, j));
                if sign.likeness(cosine) > threshold {
                    pairs.push((i as u32, j as u32));
                }
            }
        }
        Ok(pairs)
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
        Ok(sweep.lost_without(y, dictionary, uses, coherence, typical))
    }

    fn decorrelate(
        &self,
        dictionary: &mut Mat<T>,
        counts: &[u64],
        tolerance: f64,
    ) -> Result<(), BackendError> {
        let atoms: Vec<Vec<f64>> = (0..dictionary.ncols()).map(|j| column(dictionary, j)).collect();
        let mut order: Vec<usize> = (0..atoms.len()).collect();
        order.sort_by_key(|&j| (std::cmp::Reverse(counts[j]), j));
        for (place, &j) in order.iter().enumerate() {
            let mut own = atoms[j].clone();
            for &i in &order[..place] {
                let cosine = dot(&atoms[i], &atoms[j]);
                let excess = cosine.signum() * (cosine.abs() - tolerance).max(0.0);
                own.iter_mut().zip(&atoms[i]).for_each(|(own, other)| *own -= excess * other);
            }
            let norm = dot(&own, &own).sqrt();
            if norm > 1e-6 {
                let own = own.iter().map(|x| T::narrow(x / norm));
                dictionary.col_as_slice_mut(j).iter_mut().zip(own).for_each(|(d, own)| *d = own);
            }
        }
        Ok(())
    }
}

/// The leading left singular vector of E by power steps from v; `None` if E v is zero.
fn leading<T: Scalar>(e: &[Vec<f64>], mut v: Vec<f64>, sweep: &HostSweep<T>) -> Option<Vec<f64>> {
    let (sign, atom_sign) = (sweep.shape.sign, sweep.rule.atom_sign);
    let steps = match (sweep.rule.leading_pair, sign) {
        (LeadingPair::Power { iterations }, _) => iterations,
        (LeadingPair::Exact, Sign::Signed) if atom_sign == Sign::Signed => MOST_STEPS,
        (LeadingPair::Exact, _) => MOST_NON_NEGATIVE_STEPS,
    };
    let mut best: Option<Vec<f64>> = None;
    for _ in 0..steps {
        let mut u = vec![0.0; e[0].len()];
        for (e, v) in e.iter().zip(&v) {
            u.iter_mut().zip(e).for_each(|(u, e)| *u += e * v);
        }
        u.iter_mut().for_each(|u| *u = atom_sign.project(*u));
        let norm = dot(&u, &u).sqrt();
        if !(norm.is_finite() && norm > 0.0) {
            break;
        }
        u.iter_mut().for_each(|u| *u /= norm);
        for (v, e) in v.iter_mut().zip(e) {
            *v = dot(e, &u);
        }
        // The last column stands for earlier minibatches, and has no sign to keep.
        let samples = v.len() - 1;
        v[..samples].iter_mut().for_each(|v| *v = sign.project(*v));
        best = Some(u);
    }
    best
}

fn value<T: Scalar>(codes: &SparseCodes<T>, at: Use) -> f64 {
    codes.values(at.sample as usize)[at.slot as usize].widen()
}

fn column<T: Scalar>(matrix: &Mat<T>, j: usize) -> Vec<f64> {
    matrix.col_as_slice(j).iter().map(|x| x.widen()).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
