//! Means and their intervals.

#[path = "../common/statistics.rs"]
mod student;

pub use student::mean;

/// A mean, and half the width of its 95% interval (Student's t) if there is more than one value.
#[derive(Clone, Copy)]
pub struct Estimate {
    pub mean: f64,
    pub half_width: Option<f64>,
}

impl Estimate {
    pub fn of(values: &[f64]) -> Self {
        let half_width = (values.len() > 1).then(|| student::half_width(values));
        Self { mean: mean(values), half_width }
    }

    /// With so many decimals; a dash where there is nothing.
    pub fn text(self, decimals: usize) -> String {
        match (self.mean, self.half_width) {
            (mean, _) if mean.is_nan() => "–".to_owned(),
            (mean, Some(half)) => format!("{mean:.decimals$} ± {half:.decimals$}"),
            (mean, None) => format!("{mean:.decimals$}"),
        }
    }
}
