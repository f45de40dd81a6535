//! What is measured of each dictionary and its codes, and of all seeds of a method together.

use dbksvd::Dictionary;
use dbksvd::metrics::{Coherence, reconstruction};
use dbksvd_sae::metrics::{Stability, Usage};

use crate::data::Data;
use crate::methods::{Method, Subject};
use crate::probe::{ATOMS, Probe};
use crate::program::Outcome;
use crate::statistics::Estimate;

/// A measure: its heading and decimals.
pub const MEASURES: [(&str, usize); 8] = [
    ("FVU, held out", 4),
    ("FVU, learned from", 4),
    ("L0", 2),
    ("dead, %", 1),
    ("max cos", 3),
    ("mean max cos", 3),
    ("stability", 3),
    ("seconds", 1),
];

/// Places of measures that others look at.
pub const HELD_OUT: usize = 0;
pub const L0: usize = 2;
const STABILITY: usize = 6;

/// A method at a sparsity: a value for each seed.
pub struct Row {
    pub method: Method,
    pub sparsity: usize,
    /// By measure, then seed.
    values: [Vec<f64>; MEASURES.len()],
    /// By number of atoms, then seed; empty without labels.
    probes: [Vec<f64>; ATOMS.len()],
    dictionaries: Vec<Dictionary<f32>>,
}

impl Row {
    pub fn new(method: Method, sparsity: usize) -> Self {
        Self {
            method,
            sparsity,
            values: Default::default(),
            probes: Default::default(),
            dictionaries: Vec::new(),
        }
    }

    /// Measures one more seed.
    pub fn add(&mut self, subject: &Subject, data: &Data, probe: Option<&Probe>) -> Outcome<()> {
        let Subject { model, seconds, .. } = subject;
        let held_out = data.held_out();
        let of_held_out = reconstruction(model, held_out, &subject.encode(held_out)?)?;
        let of_learned = reconstruction(model, data.learned(), &subject.encode(data.learned())?)?;
        let coherence = Coherence::new(model.dictionary());
        let values = [
            of_held_out.fvu(),
            of_learned.fvu(),
            of_held_out.l0(),
            100.0 * Usage::of(&of_learned)?.dead_share(),
            coherence.coherence(),
            coherence.mean_nearest(),
        ];
        self.values.iter_mut().zip(values).for_each(|(all, value)| all.push(value));
        self.values[MEASURES.len() - 1].push(*seconds);
        if let Some(probe) = probe {
            let accuracies = probe.accuracies(&subject.encode(data.all())?)?;
            self.probes.iter_mut().zip(accuracies).for_each(|(all, value)| all.push(value));
        }
        self.dictionaries.push(model.dictionary().clone());
        Ok(())
    }

    /// Compares the dictionaries of each seed and the next, the last with the first.
    pub fn compare_seeds(&mut self) -> Outcome<()> {
        let count = self.dictionaries.len();
        // Two seeds are one pair.
        let pairs = if count == 2 { 1 } else { count };
        for seed in (0..pairs).filter(|_| count > 1) {
            let (one, other) = (&self.dictionaries[seed], &self.dictionaries[(seed + 1) % count]);
            self.values[STABILITY].push(Stability::new(one, other)?.hungarian_mean());
        }
        Ok(())
    }

    pub fn seeds(&self) -> usize {
        self.dictionaries.len()
    }

    pub fn estimate(&self, measure: usize) -> Estimate {
        Estimate::of(&self.values[measure])
    }

    /// For each number of atoms.
    pub fn probes(&self) -> impl Iterator<Item = Estimate> {
        self.probes.iter().map(|values| Estimate::of(values))
    }
}
