//! The preset on real samples, whose features nobody knows: error, sparsity, and whether two seeds
//! find the same atoms, beside plain DB-KSVD at the same sparsity.

use std::path::Path;

use dbksvd::learn::Fit;
use dbksvd::metrics::Recovery;
use dbksvd::source::{HeldOut, SampleSource, open};
use dbksvd::{DbKsvd, Dictionary, Sign};

use crate::arguments::Arguments;
use crate::program::Outcome;

/// Prints a line for each method.
pub fn run(path: &Path, arguments: &Arguments) -> Outcome<()> {
    let source = open(path, None)?;
    let samples = SampleSource::<f32>::len(&source);
    // Samples are read as they are needed: what is in memory at a time is not much.
    crate::machine::check::<f32>(
        SampleSource::<f32>::dim(&source),
        arguments.atoms,
        crate::SPARSITY,
        1,
    )?;
    // The last eighth: the same for all runs.
    let held_out = || HeldOut::Range(samples - samples / 8..samples);
    let (atoms, epochs) = (arguments.atoms, arguments.epochs);
    let seeds = [arguments.first_seed, arguments.first_seed + 1];
    println!("| method | L0 | FVU | stability | found again | seconds |");
    println!("|---|---|---|---|---|---|");

    let learn = |seed| {
        let learner = DbKsvd::true_features(atoms, crate::SPARSITY).epochs(epochs).seed(seed);
        learner.held_out(held_out()).center(arguments.center).build()?.run(&source).finish()
    };
    let fits = [learn(seeds[0])?, learn(seeds[1])?];
    let l0 = print("true features", &fits)?;

    let sparsity = (l0.round() as usize).max(1);
    for (sign, name) in [(Sign::Signed, "signed"), (Sign::NonNegative, "non-negative")] {
        let learn = |seed| {
            let learner = DbKsvd::builder(atoms, sparsity).sign(sign).epochs(epochs).seed(seed);
            learner.held_out(held_out()).center(arguments.center).build()?.run(&source).finish()
        };
        let fits = [learn(seeds[0])?, learn(seeds[1])?];
        print(&format!("least error, {name}, k = {sparsity}"), &fits)?;
    }
    Ok(())
}

/// The means over two runs; stability is the mean |cos| of matched atoms. Returns L0.
fn print(method: &str, fits: &[Fit<f32>; 2]) -> Outcome<f64> {
    let mut sums = [0.0; 3];
    for fit in fits {
        let evaluation = fit.report.evaluations.last().ok_or("no evaluation: 0 epochs")?;
        let numbers = [evaluation.l0, evaluation.fvu, fit.report.seconds.total];
        sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number / 2.0);
    }
    let dictionaries: [&Dictionary<f32>; 2] =
        [fits[0].model.dictionary(), fits[1].model.dictionary()];
    let recovery = Recovery::new(dictionaries[0], dictionaries[1])?;
    let [l0, fvu, seconds] = sums;
    let (mcc, again) = (recovery.mcc(), recovery.recovered(0.9));
    println!("| {method} | {l0:.2} | {fvu:.4} | {mcc:.3} | {again:.3} | {seconds:.1} |");
    Ok(l0)
}
