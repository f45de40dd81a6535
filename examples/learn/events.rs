//! `--json`: an object a line. Numbers that are not finite are null.

use dbksvd::Scalar;
use dbksvd::learn::{EpochReport, Evaluation, Massive};
use dbksvd::metrics::Reconstruction;
use serde_json::json;

use crate::failure::{Failure, say};
use crate::memory::peak_rss_bytes;
use crate::run::Outcome;

/// An epoch is over.
pub fn epoch(report: &EpochReport) -> Result<(), Failure> {
    let EpochReport { epoch, fvu, fvu_within, elapsed, .. } = report;
    print(&json!({
        "event": "epoch",
        "epoch": epoch,
        "fvu": fvu,
        "fvu_within": fvu_within,
        "massive": massive(report),
        "seconds": elapsed,
    }))
}

/// The error was measured on held-out rows; that on the rows learned from comes with the epochs.
pub fn evaluation(evaluation: &Evaluation) -> Result<(), Failure> {
    let Evaluation { step, epoch, held_out, fvu, fvu_within, elapsed, .. } = evaluation;
    if !held_out {
        return Ok(());
    }
    print(&json!({
        "event": "evaluation",
        "step": step,
        "epoch": epoch,
        "eval_fvu": fvu,
        "eval_fvu_within": fvu_within,
        "seconds": elapsed,
    }))
}

/// The run is over.
pub fn result<T: Scalar>(outcome: &Outcome<T>) -> Result<(), Failure> {
    let Outcome { model, report, fitted, held_out, coherence, origins, .. } = outcome;
    let seconds = outcome.seconds();
    print(&json!({
        "event": "result",
        "samples": fitted.samples(),
        "masked": outcome.masked,
        "eval_masked": outcome.eval_masked,
        "dim": model.dim(),
        "atoms": model.atoms(),
        "sparsity": model.sparsity(),
        "fvu": fitted.fvu(),
        "explained_variance": fitted.explained_variance(),
        "relative_error": fitted.relative_error(),
        "eval_fvu": held_out.as_ref().map(Reconstruction::fvu),
        "within": fitted.samples_within(),
        "fvu_within": fitted.fvu_within(),
        "eval_fvu_within": held_out.as_ref().map(Reconstruction::fvu_within),
        "norm_limit": model.preprocessing().norm_limit(),
        "preprocessing": {
            "mean": origins.mean.name(),
            "scale": origins.scale.name(),
            "norm_limit": origins.norm_limit.name(),
        },
        "l0": fitted.l0(),
        "dead_atoms": fitted.dead_atoms().count(),
        "coherence": coherence,
        "seconds": {
            "encode": seconds.encode,
            "update": seconds.update,
            "other": seconds.other,
            "total": seconds.total,
        },
        "stop": report.stop.name(),
        "steps": report.steps,
        "resumed_from": report.resumed_from,
        "clipped": report.epochs.last().map_or(0, |epoch| epoch.clipped),
        "dropped": report.epochs.last().map_or(0, |epoch| epoch.dropped),
        "zeros": report.epochs.last().map_or(0, |epoch| epoch.zeros),
        "massive": outcome.massive().map(of_massive),
        "peak_rss_bytes": peak_rss_bytes(),
    }))
}

/// The few rows that hold most of the variance.
fn massive(epoch: &EpochReport) -> Option<serde_json::Value> {
    epoch.massive.map(of_massive)
}

fn of_massive(massive: Massive) -> serde_json::Value {
    json!({ "rows": massive.samples, "share": massive.share })
}

fn print(object: &serde_json::Value) -> Result<(), Failure> {
    say(&format!("{object}\n"))
}
