//! The results as text: Markdown tables with intervals.

use std::fmt::Write;

use crate::arguments::Arguments;
use crate::data::Data;
use crate::measure::{MEASURES, Row};
use crate::methods::METHODS;
use crate::optimum::{Gap, Owner};
use crate::probe::{ATOMS, Probe};
use crate::statistics::Estimate;

/// The whole text, but for the features.
pub fn text(
    arguments: &Arguments,
    data: &Data,
    rows: &[Row],
    probe: Option<&Probe>,
    gaps: &[Gap],
) -> String {
    let (learned, held_out) = (data.learned().ncols(), data.held_out().ncols());
    let (dim, atoms) = (data.dim(), arguments.atoms);
    let mut text = format!(
        "d = {dim}, m = {atoms}, {learned} rows learned from, {held_out} held out. Means of the \
         seeds ± half of the 95% interval (Student's t).\n"
    );
    text += &measures(arguments, rows);
    if let Some(probe) = probe {
        text += &probing(arguments, data, rows, probe);
    }
    text + &optimum(arguments, gaps)
}

fn measures(arguments: &Arguments, rows: &[Row]) -> String {
    let mut text = String::from(
        "\n## Errors, dictionaries, seeds\n\nL0 is that of held-out rows; dead atoms are those that no \
         row learned from uses; cosines are absolute;\nstability is the mean |cos| of matched atoms of a \
         seed and the next (pairs share seeds, so that its\nintervals are rough); seconds are processor \
         time of learning, on one thread.\n",
    );
    for &sparsity in &arguments.sparsities {
        let _ = write!(text, "\n### k = {sparsity}\n\n| method | seeds |");
        MEASURES.iter().for_each(|(name, _)| text += &format!(" {name} |"));
        text += "\n|---|---|";
        text += &"---|".repeat(MEASURES.len());
        text += "\n";
        for row in rows.iter().filter(|row| row.sparsity == sparsity) {
            let _ = write!(text, "| {} | {} |", METHODS[row.method.0].name, row.seeds());
            for (measure, (_, decimals)) in MEASURES.iter().enumerate() {
                let _ = write!(text, " {} |", row.estimate(measure).text(*decimals));
            }
            text += "\n";
        }
    }
    text += "\n| method | which is |\n|---|---|\n";
    for (place, method) in METHODS.iter().enumerate() {
        if rows.iter().any(|row| row.method.0 == place) {
            let _ = writeln!(text, "| {} | {} |", method.name, method.meaning);
        }
    }
    text
}

fn probing(arguments: &Arguments, data: &Data, rows: &[Row], probe: &Probe) -> String {
    let mut text = format!(
        "\n## Probing\n\nWhich of {} texts a row is from: accuracy in per cent of telling a text from the \
         others, half of the rows\nbeing its own, by so many atoms. Whole passages are held out for testing; \
         rows that dictionaries were\nlearned from are among them.\n",
        probe.texts
    );
    let heading = || {
        let mut text = String::from("| method |");
        ATOMS.iter().for_each(|atoms| text += &format!(" {atoms} |"));
        text + "\n|---|" + &"---|".repeat(ATOMS.len()) + "\n"
    };
    let percent = |estimate: Estimate| {
        let half_width = estimate.half_width.map(|half| 100.0 * half);
        Estimate { mean: 100.0 * estimate.mean, half_width }.text(1)
    };
    for &sparsity in &arguments.sparsities {
        let _ = write!(text, "\n### k = {sparsity}\n\n{}", heading());
        for row in rows.iter().filter(|row| row.sparsity == sparsity) {
            let _ = write!(text, "| {} |", METHODS[row.method.0].name);
            row.probes().for_each(|accuracy| text += &format!(" {} |", percent(accuracy)));
            text += "\n";
        }
    }
    if let Ok(accuracies) = probe.of_coordinates(data.all()) {
        let _ = write!(text, "\n### Without a dictionary\n\n{}| coordinates |", heading());
        accuracies.iter().for_each(|&one| text += &format!(" {:.1} |", 100.0 * one));
        text += "\n";
    }
    text
}

pub fn owner(owner: Owner) -> &'static str {
    match owner {
        Owner::DbKsvd => "DB-KSVD, signed",
        Owner::Sae => "TopK SAE, non-negative",
    }
}

fn optimum(arguments: &Arguments, gaps: &[Gap]) -> String {
    let small = &arguments.small;
    let mut text = format!(
        "\n## Against the optimal codes\n\nThe first {} principal directions, {} atoms. FVU of held-out \
         rows; the sum of squared errors above that of\nthe optimal codes on the same dictionary; rows \
         whose code is optimal.\n\n| dictionary | k | coder | seeds | FVU | excess, % | optimal, % |\n\
         |---|---|---|---|---|---|---|\n",
        small.directions, small.atoms
    );
    for gap in gaps {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            owner(gap.owner),
            gap.sparsity,
            gap.coder,
            gap.fvu.len(),
            Estimate::of(&gap.fvu).text(4),
            Estimate::of(&gap.excess).text(2),
            Estimate::of(&gap.optimal).text(1)
        );
    }
    text
}
