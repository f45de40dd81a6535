//! Which text a row is from, told by a few atoms.
//!
//! Neighbouring rows come from one passage and are alike, so that whole passages are held out for
//! testing, never single rows: a passage is a run of rows of one text. In split s, passage s of
//! each text is tested (the passages counted round, where a text has fewer), and probes are trained
//! on the others. Texts of a single passage are left out.

use std::collections::HashMap;
use std::path::Path;

use dbksvd::SparseCodes;
use dbksvd::faer::MatRef;
use dbksvd_sae::metrics::{Features, Probing, Split};

use crate::program::Outcome;
use crate::statistics::mean;

/// Numbers of atoms that a probe may use.
pub const ATOMS: [usize; 4] = [1, 2, 5, 16];

const SPLITS: usize = 5;

/// The labels of all rows, and how they are split.
pub struct Probe {
    labels: Vec<u32>,
    splits: Vec<Split>,
    pub texts: usize,
}

impl Probe {
    /// `groups` has the name of a text in each of `rows` lines.
    pub fn read(groups: &Path, rows: usize) -> Outcome<Self> {
        let text = std::fs::read_to_string(groups)
            .map_err(|error| format!("{}: {error}", groups.display()))?;
        let names: Vec<&str> = text.lines().collect();
        let path = groups.display();
        if names.len() != rows {
            return Err(format!("{path}: {} lines, expected {rows}, one a row", names.len()).into());
        }
        Self::new(&names).ok_or_else(|| {
            format!("{path}: fewer than two texts of two passages, nothing to probe").into()
        })
    }

    fn new(names: &[&str]) -> Option<Self> {
        let mut order: Vec<&str> = Vec::new();
        let mut passages: HashMap<&str, Vec<Vec<usize>>> = HashMap::new();
        for (row, name) in names.iter().enumerate() {
            let of_text = passages.entry(name).or_insert_with(|| {
                order.push(name);
                Vec::new()
            });
            match of_text.last_mut() {
                Some(last) if last.last() == Some(&(row.wrapping_sub(1))) => last.push(row),
                _ => of_text.push(vec![row]),
            }
        }
        order.retain(|name| passages[name].len() >= 2);
        if order.len() < 2 {
            return None;
        }
        // Rows of texts that are left out are in no split: their label does not matter.
        let mut labels = vec![0; names.len()];
        let mut splits = vec![Split { train: Vec::new(), test: Vec::new() }; SPLITS];
        for (label, name) in order.iter().enumerate() {
            let of_text = &passages[name];
            for (nth, passage) in of_text.iter().enumerate() {
                passage.iter().for_each(|&row| labels[row] = label as u32);
                for (number, split) in splits.iter_mut().enumerate() {
                    let tested = number % of_text.len() == nth;
                    let part = if tested { &mut split.test } else { &mut split.train };
                    part.extend(passage);
                }
            }
        }
        Some(Self { labels, splits, texts: order.len() })
    }

    /// Mean accuracy of a text against the others, equally many rows of both, over texts and
    /// splits, for each of [`ATOMS`]; NaN where there are fewer atoms.
    pub fn accuracies(&self, codes: &SparseCodes<f32>) -> Outcome<[f64; ATOMS.len()]> {
        self.run(Features::Codes(codes), codes.atoms())
    }

    /// The same by coordinates of the samples.
    pub fn of_coordinates(&self, samples: MatRef<'_, f32>) -> Outcome<[f64; ATOMS.len()]> {
        self.run(Features::Samples(samples), samples.nrows())
    }

    fn run(&self, features: Features<'_, f32>, count: usize) -> Outcome<[f64; ATOMS.len()]> {
        let mut accuracies = [f64::NAN; ATOMS.len()];
        for (accuracy, atoms) in accuracies.iter_mut().zip(ATOMS) {
            if atoms > count {
                continue;
            }
            let probing = Probing { features: atoms, ..Probing::default() };
            let mut over_splits = Vec::new();
            for split in &self.splits {
                let probes = probing.run_split(features, &self.labels, split)?;
                over_splits.push(probes.mean_test_accuracy());
            }
            *accuracy = mean(&over_splits);
        }
        Ok(accuracies)
    }
}
