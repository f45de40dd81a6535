//! The measures of a run, for people.

use std::fmt::{Display, Write as _};
use std::ops::Range;

use dbksvd::learn::{EpochReport, StopReason};
use dbksvd::metrics::Reconstruction;
use dbksvd::{Outliers, Scalar, Sign};

use crate::dataset::{Dataset, names};
use crate::failure::Failure;
use crate::memory::peak_rss_bytes;
use crate::run::Outcome;
use crate::start::Origin;

/// What was learned from what, how well it does, and what it took.
pub fn table<T: Scalar>(dataset: &Dataset, outcome: &Outcome<T>) -> Result<String, Failure> {
    let mut text = heading(dataset, outcome)?;
    let Outcome { fitted, held_out, coherence, coding, .. } = outcome;
    let mut row = |name: &str, value: &dyn Fn(&Reconstruction) -> String| {
        let held_out = held_out.as_ref().map(value).unwrap_or_default();
        let line = format!("  {name:<22}{:>14}{held_out:>14}", value(fitted));
        let _ = writeln!(text, "{}", line.trim_end());
    };
    row("rows", &|measured| thousands(measured.samples()));
    if outcome.model.preprocessing().norm_limit().is_some() {
        row("within the norm limit", &|measured| thousands(measured.samples_within()));
        row("FVU within it", &|measured| share(measured.fvu_within()));
        row("  explained variance", &|measured| share(1.0 - measured.fvu_within()));
        row("FVU of all rows", &|measured| share(measured.fvu()));
        row("  explained variance", &|measured| share(measured.explained_variance()));
    } else {
        row("FVU", &|measured| share(measured.fvu()));
        row("explained variance", &|measured| share(measured.explained_variance()));
    }
    row("relative error", &|measured| format!("{:.4}", measured.relative_error()));
    row("L0", &|measured| format!("{:.2}", measured.l0()));
    row("dead atoms", &|measured| thousands(measured.dead_atoms().count()));

    text.push('\n');
    let mut line = |name: &str, value: &dyn Display| {
        let _ = writeln!(text, "  {name:<22}{value}");
    };
    line("coherence", &format!("{coherence:.4}, the largest |cos| of two atoms"));
    if !outcome.report.epochs.is_empty() {
        let seconds = outcome.seconds();
        let (encode, update) = (seconds.encode, seconds.update);
        let (other, total) = (seconds.other, seconds.total);
        line(
            "seconds of learning",
            &format!("{total:.2}: encode {encode:.2}, update {update:.2}, the rest {other:.2}"),
        );
    }
    let measured = fitted.samples() + held_out.as_ref().map_or(0, Reconstruction::samples);
    let (encode, other, rows) = (coding.encode, coding.other, thousands(measured));
    line(
        "seconds of measuring",
        &format!("{:.2}: encode {encode:.2}, the rest {other:.2}, {rows} rows", coding.total),
    );
    if let Some(bytes) = peak_rss_bytes() {
        line("peak memory", &format!("{:.0} MiB", bytes as f64 / (1 << 20) as f64));
    }
    Ok(text)
}

/// A share of the variance. Rows that are all equal have none.
fn share(share: f64) -> String {
    if share.is_finite() { format!("{share:.4}") } else { "no variance".to_owned() }
}

fn heading<T: Scalar>(dataset: &Dataset, outcome: &Outcome<T>) -> Result<String, Failure> {
    let learned = spans(dataset.learned(usize::MAX)?.ranges());
    let held_out = dataset.held_out(usize::MAX)?.map(|rows| spans(rows.ranges()));
    let Outcome { model, report, .. } = outcome;
    let sign = match model.sign() {
        Sign::Signed => "",
        Sign::NonNegative => ", non-negative",
    };
    let centred = if model.mean().is_some() { ", centred" } else { "" };
    let did = match report.epochs.len() {
        0 => "Coded by a given or drawn dictionary:".to_owned(),
        1 => "Learned in 1 epoch:".to_owned(),
        epochs => format!("Learned in {epochs} epochs:"),
    };
    let (atoms, dim, k) = (thousands(model.atoms()), model.dim(), model.sparsity());
    let mut text = format!(
        "{did} {atoms} atoms of dimension {dim}, at most {k} a row{sign}{centred}\n  {} {learned} of \
         {}\n",
        if report.epochs.is_empty() { "rows" } else { "from rows" },
        names(&dataset.source),
    );
    if outcome.masked > 0 {
        let (masked, rows) = (thousands(outcome.masked), thousands(dataset.mask.rows()));
        let _ = writeln!(text, "  left out by --mask: {masked} of its {rows} rows");
    }
    if let Some(reshaped) = dataset.reshaped() {
        let _ = writeln!(text, "  {reshaped}");
    }
    if let Some((eval, mask)) = &dataset.eval {
        let _ = writeln!(text, "  measured on rows {} of {}", spans(mask.ranges()), names(eval));
        if outcome.eval_masked > 0 {
            let (masked, rows) = (thousands(outcome.eval_masked), thousands(mask.rows()));
            let _ = writeln!(text, "  left out by --eval-mask: {masked} of its {rows} rows");
        }
    } else if let Some(held_out) = held_out {
        let _ = writeln!(text, "  held out: rows {held_out} of the same");
    }
    if !report.epochs.is_empty() && report.stop != StopReason::Completed {
        let _ = writeln!(text, "  ended after {} steps: {}", report.steps, report.stop.name());
    }
    if let Some(step) = report.resumed_from {
        let _ = writeln!(text, "  resumed after step {step}");
    }
    for line in notes(outcome) {
        let _ = writeln!(text, "  {line}");
    }
    let (first, second) = match (report.epochs.is_empty(), &outcome.held_out) {
        (true, Some(_)) => ("--data", "held out"),
        (false, Some(_)) => ("learned from", "held out"),
        (true, None) => ("--data", ""),
        (false, None) => ("learned from", ""),
    };
    let line = format!("  {:<22}{first:>14}{second:>14}", "");
    let _ = writeln!(text, "\n{}", line.trim_end());
    Ok(text)
}

/// What is to be known of how rows were taken, a line each.
fn notes<T: Scalar>(outcome: &Outcome<T>) -> Vec<String> {
    let Outcome { model, report, fitted, origins, outliers, .. } = outcome;
    let mut notes = Vec::new();
    let kept = origins.parts(Origin::Model);
    if !kept.is_empty() {
        let anew = origins.parts(Origin::Data);
        let anew = if anew.is_empty() {
            String::new()
        } else {
            format!("; of these rows: {}", anew.join(", "))
        };
        notes.push(format!("of the given model: {}{anew}", kept.join(", ")));
    }
    let limit = model.preprocessing().norm_limit();
    if *outliers != Outliers::Keep && limit.is_none() {
        notes.push("no norm limit: at least half of the rows equal their mean".to_owned());
    }
    notes.extend(report.epochs.last().into_iter().flat_map(|epoch| of_epoch(epoch, outcome)));
    if let Some(massive) = outcome.massive() {
        let (rows, percent) = (thousands(massive.samples), 100.0 * massive.share);
        let all = report.epochs.last().map_or(fitted.samples(), |epoch| epoch.samples);
        let share = 100.0 * massive.samples as f64 / all as f64;
        notes.push(format!(
            "warning: {share:.2}% of the rows ({rows}) hold {percent:.0}% of the variance, and decide \
             dictionary and figures: see --clip-norm 3 or --drop-norm 3, or leave them out by --mask \
             if they are padding, BOS or other special tokens"
        ));
    }
    notes
}

/// What an epoch did with rows of extreme norm and of zeros, a line each.
fn of_epoch<T: Scalar>(epoch: &EpochReport, outcome: &Outcome<T>) -> Vec<String> {
    let (outliers, limit) = (&outcome.outliers, outcome.model.preprocessing().norm_limit());
    let mut notes = Vec::new();
    let (clipped, dropped) = (thousands(epoch.clipped), thousands(epoch.dropped));
    if epoch.clipped + epoch.dropped > 0 {
        notes.push(format!("rows of extreme norm: {clipped} clipped, {dropped} dropped an epoch"));
    }
    if *outliers != Outliers::Keep && epoch.zeros > 0 {
        let zeros = thousands(epoch.zeros);
        notes.push(format!("rows of zeros: {zeros} left out an epoch, as padding"));
    }
    let beyond = epoch.samples.saturating_sub(epoch.within);
    if let (Outliers::Keep, Some(limit)) = (outliers, limit)
        && beyond > 0
    {
        notes.push(format!(
            "rows beyond the model's norm limit of {limit:.4}, or of zeros: {}, learned from as they \
             are (--clip-norm or --drop-norm)",
            thousands(beyond)
        ));
    }
    notes
}

/// Ranges in a few words.
fn spans(ranges: &[Range<usize>]) -> String {
    match ranges {
        [only] => format!("{}..{}", only.start, only.end),
        ranges => {
            let rows = ranges.iter().map(Range::len).sum();
            format!("{} in {} ranges", thousands(rows), ranges.len())
        }
    }
}

/// A number with its digits in groups of three.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
