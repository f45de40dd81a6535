//! The results as text: every combination, then what each factor does.

use crate::arguments::Arguments;
use crate::experiment::{Setting, Study};
use crate::statistics::{half_width, mean};

/// The whole text.
pub fn text(arguments: &Arguments, studies: &[Study]) -> String {
    let Arguments { epochs, seeds, .. } = arguments;
    let mut text = format!(
        "Everything but what is varied is a default; {epochs} epochs. Means of {seeds} seeds ± half of the \
         95% interval (Student's t).\n"
    );
    for study in studies {
        text += &format!("\n## {}\n\n", study.problem.title());
        text += &combinations(study);
        text += "\n";
        text += &effects(study);
    }
    text
}

/// A row for each minibatch and atom batch, a column for each number of power steps and care.
fn combinations(study: &Study) -> String {
    let mut text = String::from("| minibatch | atom batch |");
    let columns = || study.power_steps.iter().flat_map(|&steps| [(steps, true), (steps, false)]);
    for (steps, care) in columns() {
        let plural = if steps == 1 { "" } else { "s" };
        let care = if care { "care" } else { "no care" };
        text += &format!(" {steps} step{plural}, {care} |");
    }
    text += " seconds |\n|---|---|---|";
    columns().for_each(|_| text += "---|");
    text += "\n";
    for &minibatch in &study.minibatches {
        for &atom_batch in &study.atom_batches {
            text += &format!("| {minibatch} | {atom_batch} |");
            let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
            for (power_steps, care) in columns() {
                let setting = Setting { minibatch, atom_batch, power_steps, care };
                if let Some(cell) = study.cell(setting) {
                    text +=
                        &format!(" {} |", interval(&cell.values, study.problem.digits(), false));
                    (least, most) = (least.min(cell.seconds), most.max(cell.seconds));
                }
            }
            text += &format!(" {least:.1} to {most:.1} |\n");
        }
    }
    text
}

/// How a factor's level differs from the default, seed by seed: with all else at the default, and
/// in the mean over all combinations of the others.
fn effects(study: &Study) -> String {
    let reference = study.reference();
    let mut text = format!(
        "Difference from the default ({reference}), with all else at the default, and in the mean over \
         all combinations of the rest:\n\n| instead | at the default | in the mean |\n|---|---|---|\n"
    );
    let mut row =
        |name: String, change: &dyn Fn(Setting) -> Setting, back: &dyn Fn(Setting) -> Setting| {
            if change(reference) == reference {
                return;
            }
            let digits = study.problem.digits();
            let alone = difference(study, &[reference], change);
            let rest: Vec<Setting> = study
                .cells
                .iter()
                .map(|cell| cell.setting)
                .filter(|&setting| back(setting) == setting)
                .collect();
            let all = difference(study, &rest, change);
            text += &format!(
                "| {name} | {} | {} |\n",
                interval(&alone, digits, true),
                interval(&all, digits, true)
            );
        };
    for &minibatch in &study.minibatches {
        row(
            format!("minibatch {minibatch}"),
            &|setting| Setting { minibatch, ..setting },
            &|setting| Setting { minibatch: reference.minibatch, ..setting },
        );
    }
    for &atom_batch in &study.atom_batches {
        row(
            format!("atom batch {atom_batch}"),
            &|setting| Setting { atom_batch, ..setting },
            &|setting| Setting { atom_batch: reference.atom_batch, ..setting },
        );
    }
    for &power_steps in &study.power_steps {
        row(
            format!("{power_steps} power steps"),
            &|setting| Setting { power_steps, ..setting },
            &|setting| Setting { power_steps: reference.power_steps, ..setting },
        );
    }
    row("no care".into(), &|setting| Setting { care: false, ..setting }, &|setting| Setting {
        care: true,
        ..setting
    });
    text
}

/// For each seed, the mean over `settings` of how much the measure changes by `change`.
fn difference(
    study: &Study,
    settings: &[Setting],
    change: &dyn Fn(Setting) -> Setting,
) -> Vec<f64> {
    let pairs: Vec<_> = settings
        .iter()
        .filter_map(|&setting| Some((study.cell(setting)?, study.cell(change(setting))?)))
        .collect();
    let seeds = pairs.first().map_or(0, |(cell, _)| cell.values.len());
    (0..seeds)
        .map(|seed| {
            let changes: Vec<f64> =
                pairs.iter().map(|(cell, other)| other.values[seed] - cell.values[seed]).collect();
            mean(&changes)
        })
        .collect()
}

fn interval(values: &[f64], digits: usize, signed: bool) -> String {
    let (mean, half) = (mean(values), half_width(values));
    if signed {
        format!("{mean:+.digits$} ± {half:.digits$}")
    } else {
        format!("{mean:.digits$} ± {half:.digits$}")
    }
}
