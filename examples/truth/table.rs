//! Runs, and what they have in common.

use std::fmt;

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

/// The 97.5% quantiles of Student's t, for 1 to 9 degrees of freedom.
const STUDENT: [f64; 9] = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

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
        let n = self.rows.len();
        let cells = COLUMNS.iter().enumerate().map(|(column, &(_, digits))| {
            let values = || self.rows.iter().map(|row| row.values[column]);
            let mean = values().sum::<f64>() / n as f64;
            let Some(freedom) = n.checked_sub(1).filter(|&freedom| freedom > 0) else {
                return format!("{mean:.digits$}");
            };
            let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / freedom as f64;
            let quantile = STUDENT.get(freedom - 1).copied().unwrap_or(2.0);
            let half = quantile * (variance / n as f64).sqrt();
            format!("{mean:.digits$} ± {half:.digits$}")
        });
        write!(f, "| mean | {} |", cells.collect::<Vec<_>>().join(" | "))
    }
}
