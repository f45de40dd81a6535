//! Figures of several rounds as a table: the median, and the range in brackets.

use std::fmt::{self, Display};

#[derive(Clone, Copy)]
pub struct Column {
    pub title: &'static str,
    /// After the decimal point.
    pub digits: usize,
}

/// Rows by name, each with the values of all rounds.
pub struct Table {
    columns: &'static [Column],
    rows: Vec<(String, Vec<Vec<f64>>)>,
}

impl Table {
    pub fn of(columns: &'static [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// The values of a round, a column each; NaN where there is none.
    pub fn add<const N: usize>(&mut self, name: &str, values: [f64; N]) {
        let place = self.rows.iter().position(|(row, _)| row == name).unwrap_or_else(|| {
            self.rows.push((name.to_owned(), vec![Vec::new(); self.columns.len()]));
            self.rows.len() - 1
        });
        for (cell, value) in self.rows[place].1.iter_mut().zip(values) {
            cell.push(value);
        }
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles: Vec<&str> = self.columns.iter().map(|column| column.title).collect();
        writeln!(f, "| | {} |", titles.join(" | "))?;
        writeln!(f, "|---|{}", "---|".repeat(titles.len()))?;
        for (name, cells) in &self.rows {
            write!(f, "| {name} |")?;
            for (column, cell) in self.columns.iter().zip(cells) {
                write!(f, " {} |", shown(cell, column.digits))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

fn shown(values: &[f64], digits: usize) -> String {
    if values.iter().any(|value| value.is_nan()) {
        return String::new();
    }
    let [least, most] =
        [values.iter().copied().reduce(f64::min), values.iter().copied().reduce(f64::max)]
            .map(|value| number(value.unwrap_or(f64::NAN), digits));
    let middle = number(median(values), digits);
    if least == most { middle } else { format!("{middle} ({least} to {most})") }
}

/// With commas between thousands.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let whole = text.find('.').unwrap_or(text.len());
    let mut out = String::new();
    for (place, digit) in text.char_indices() {
        if place > 0 && place < whole && (whole - place) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    (sorted[low] + sorted[high]) / 2.0
}
