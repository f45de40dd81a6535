//! Runs, and what they have in common.

use std::fmt;

use crate::statistics::{half_width, mean};

/// The measures of a run.
#[derive(Clone, Copy)]
pub struct Row {
    pub values: [f64; COLUMNS.len()],
}

/// Heading and decimals of each measure.
const COLUMNS: [(&str, usize); 12] = [
    ("F1", 4),
    ("precision", 4),
    ("recall", 4),
    ("MCC", 4),
    ("uniqueness", 4),
    ("EV", 4),
    ("L0", 2),
    ("true L0", 2),
    ("dead", 0),
    ("noise", 4),
    ("seconds", 1),
    ("CPU s", 1),
];

/// All runs so far.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

impl Table {
    pub fn heading() -> String {
        let names = COLUMNS.map(|(name, _)| name).join(" | ");
        format!("| seed | {names} |\n|---{}|", "|---".repeat(COLUMNS.len()))
    }

    /// Adds a run, and gives its line.
    pub fn add(&mut self, seed: u64, row: Row) -> String {
        self.rows.push(row);
        let cells = COLUMNS.iter().zip(row.values).map(|(&(_, digits), v)| format!("{v:.digits$}"));
        format!("| {seed} | {} |", cells.collect::<Vec<_>>().join(" | "))
    }
}

impl fmt::Display for Table {
    /// Means, with half the width of their 95% intervals where there are runs enough.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cells = COLUMNS.iter().enumerate().map(|(column, &(_, digits))| {
            let values: Vec<f64> = self.rows.iter().map(|row| row.values[column]).collect();
            let mean = mean(&values);
            match values.len() {
                0 | 1 => format!("{mean:.digits$}"),
                _ => format!("{mean:.digits$} ± {:.digits$}", half_width(&values)),
            }
        });
        write!(f, "| mean | {} |", cells.collect::<Vec<_>>().join(" | "))
    }
}
