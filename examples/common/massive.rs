//! A few rows that hold most of the variance: what programs say of them.

use dbksvd::learn::Massive;

/// The warning for models without a norm limit, of which `rows` rows were measured.
pub fn warning(massive: Massive, rows: usize) -> String {
    let (share, percent) = (100.0 * massive.samples as f64 / rows as f64, 100.0 * massive.share);
    format!(
        "warning: {share:.2}% of the rows ({}) hold {percent:.0}% of the variance, and decide the \
         figures: leave them out by --mask if they are padding, BOS or other special tokens, or learn \
         a model with a norm limit (`learn --clip-norm 3`)",
        massive.samples
    )
}
