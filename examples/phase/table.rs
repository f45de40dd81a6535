//! The results as text: a Markdown table with intervals.

use dbksvd::synthetic::Kind;

use crate::arguments::Arguments;
use crate::experiment::{Cell, Certainty, METHODS};
use crate::statistics::{half_width, mean};

/// The whole text.
pub fn text(
    arguments: &Arguments,
    cells: &[Cell],
    certainties: &[Certainty],
    threads: usize,
) -> String {
    let Arguments { dim, atoms, noise, seeds, .. } = arguments;
    let kind = match arguments.kind {
        Kind::Correlated => "Coherent planted",
        _ => "Planted",
    };
    let noise = 100.0 * noise;
    let mut text = format!(
        "{kind} dictionaries, d {dim}, m {atoms}, {noise:.0}% noise. Share of atoms recovered \
         (|cos| > 0.99), in per cent:\nmean of {seeds} seeds ± half of the 95% interval (Student's \
         t). {threads} threads.\n\n"
    );
    text += "| k | N |";
    METHODS.iter().for_each(|method| text += &format!(" {} |", method.name));
    text += "\n|---|---|";
    METHODS.iter().for_each(|_| text += "---|");
    text += "\n";
    for cell in cells {
        text += &format!("| {} | {} |", cell.sparsity, cell.samples);
        cell.shares.iter().for_each(|shares| text += &format!(" {} |", share(shares)));
        text += "\n";
    }
    text += "\n";
    text += &summary(arguments, cells);
    text += "\n";
    text + &guaranteed(certainties)
}

/// A row a sparsity.
fn guaranteed(certainties: &[Certainty]) -> String {
    let mut text = String::from(
        "Share of planted codes that a pursuit is guaranteed to find with the planted dictionary, were \
         there no\nnoise, in per cent, by `metrics::Guarantees`:\n\n\
         | k | by coherence | by Babel | by exact recovery |\n|---|---|---|---|\n",
    );
    for Certainty { sparsity, by_coherence, by_babel, by_support } in certainties {
        let [a, b, c] = [by_coherence, by_babel, by_support].map(|share| 100.0 * share);
        text += &format!("| {sparsity} | {a:.1} | {b:.1} | {c:.1} |\n");
    }
    text
}

/// A row a method, over the whole grid.
fn summary(arguments: &Arguments, cells: &[Cell]) -> String {
    let mut text = String::from(
        "Over the grid (the mean of all cells, for each seed) and less than DB-KSVD by, seed by \
         seed:\n\n| method | which is | recovered | less than DB-KSVD by | seconds | epochs |\n\
         |---|---|---|---|---|---|\n",
    );
    let by_seed = |nth: usize| -> Vec<f64> {
        let of_seed =
            |seed: usize| -> Vec<f64> { cells.iter().map(|cell| cell.shares[nth][seed]).collect() };
        (0..arguments.seeds as usize).map(|seed| mean(&of_seed(seed))).collect()
    };
    let first = by_seed(0);
    for (nth, method) in METHODS.iter().enumerate() {
        let shares = by_seed(nth);
        let less: Vec<f64> = first.iter().zip(&shares).map(|(first, own)| first - own).collect();
        let less = if nth == 0 { String::new() } else { share(&less) };
        let seconds: f64 = cells.iter().flat_map(|cell| &cell.seconds[nth]).sum();
        let epochs: Vec<f64> = cells.iter().map(|cell| mean(&cell.epochs[nth])).collect();
        text += &format!(
            "| {} | {} | {} | {less} | {seconds:.1} | {:.0} |\n",
            method.name,
            method.meaning,
            share(&shares),
            mean(&epochs)
        );
    }
    text + "\nSeconds are of learning, in all; epochs are the mean of the cells.\n"
}

fn share(shares: &[f64]) -> String {
    format!("{:.1} ± {:.1}", 100.0 * mean(shares), 100.0 * half_width(shares))
}
