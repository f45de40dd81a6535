//! `--json`: an object a line. Numbers that are not finite are null.

use dbksvd::learn::EpochReport;
use dbksvd::metrics::Reconstruction;
use serde_json::json;

use crate::failure::{Failure, say};
use crate::memory::peak_rss_bytes;
use crate::run::Outcome;

/// An epoch is over.
pub fn epoch(report: &EpochReport) -> Result<(), Failure> {
    let EpochReport { epoch, fvu, elapsed, .. } = report;
    print(&json!({ "event": "epoch", "epoch": epoch, "fvu": fvu, "seconds": elapsed }))
}

/// The run is over.
pub fn result(outcome: &Outcome) -> Result<(), Failure> {
    let Outcome { model, report, fitted, held_out, coherence, .. } = outcome;
    let seconds = outcome.seconds();
    print(&json!({
        "event": "result",
        "samples": fitted.samples(),
        "dim": model.dim(),
        "atoms": model.atoms(),
        "sparsity": model.sparsity(),
        "fvu": fitted.fvu(),
        "explained_variance": fitted.explained_variance(),
        "relative_error": fitted.relative_error(),
        "eval_fvu": held_out.as_ref().map(Reconstruction::fvu),
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
        "peak_rss_bytes": peak_rss_bytes(),
    }))
}

fn print(object: &serde_json::Value) -> Result<(), Failure> {
    say(&format!("{object}\n"))
}
