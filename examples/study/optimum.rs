//! How far from the optimal code coders are, on dictionaries small enough to find it.
//!
//! Each dictionary is used by several coders; the optimum is that of the same dictionary, number of
//! atoms and sign of codes, found by branch and bound with a proof ([`Exact`]).

use dbksvd::coder::{BatchOmp, Coefficients, Exact, LinearEncoder, SparseCoder, Swaps, TopK};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::metrics::reconstruction;
use dbksvd::{DbKsvd, Faer, Model, Sign};
use dbksvd_sae::{Sae, SaeCoder};

use crate::arguments::Arguments;
use crate::data::Data;
use crate::methods::check;
use crate::program::Outcome;
use crate::saes::{Kind, Saes};

/// Held-out samples whose optimum is looked for, at most: equally spaced, since neighbours are
/// alike.
const PROVEN: usize = 256;

/// In single precision, errors are this exact.
const ROUNDING: f64 = 1e-4;

/// Whose dictionary it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    DbKsvd,
    Sae,
}

/// A coder on the dictionaries of an owner: a value for each seed.
pub struct Gap {
    pub owner: Owner,
    pub sparsity: usize,
    pub coder: &'static str,
    pub fvu: Vec<f64>,
    /// Sum of squared errors over that of the optimal codes, less 1, in per cent.
    pub excess: Vec<f64>,
    /// Samples whose code is as good as the optimal one, in per cent.
    pub optimal: Vec<f64>,
}

/// Every coder on every dictionary; without SAEs, on those of DB-KSVD alone.
pub fn gaps(arguments: &Arguments, data: &Data, saes: Option<&Saes>) -> Outcome<Vec<Gap>> {
    let small = data.reduced(arguments.small.directions)?;
    let mut gaps = Vec::new();
    for &sparsity in &arguments.small.sparsities {
        for seed in 0..arguments.seeds {
            let learner = DbKsvd::builder(arguments.small.atoms, sparsity).seed(seed);
            let learner = learner.epochs(arguments.epochs).build()?;
            let (model, _) = learner.fit(&small.learned())?;
            let mut judge = Judge::new(Owner::DbKsvd, model, &small, &mut gaps)?;
            judge.add("OMP", BatchOmp::new())?;
            judge.add("OMP with swaps", Swaps::new())?;
            judge.add("top k", TopK::new())?;
            judge.add("top k, refitted", TopK::new().coefficients(Coefficients::Refitted))?;
        }
        let Some(saes) = saes else { continue };
        for seed in 0..arguments.seeds {
            let Some(trained) = saes.read(Kind::Small, sparsity, seed)? else { break };
            let sae = trained.sae;
            check(&sae, arguments.small.atoms, small.dim())?;
            let mut judge = Judge::new(Owner::Sae, sae.model(sparsity)?, &small, &mut gaps)?;
            judge.add("OMP", BatchOmp::new())?;
            judge.add("OMP with swaps", Swaps::new())?;
            let refitted = by_encoder(&sae)?.coefficients(Coefficients::Refitted);
            judge.add("SAE encoder", SaeCoder::new(sae))?;
            judge.add("SAE encoder, refitted", refitted)?;
        }
    }
    Ok(gaps)
}

/// The encoder of a TopK SAE as a coder that can refit.
fn by_encoder(sae: &Sae<f32>) -> Outcome<TopK<f32>> {
    let affine = sae.architecture().encoder().ok_or("an SAE without an encoder")?;
    let encoder = LinearEncoder::new(affine.weights.clone(), Some(affine.bias.clone()))?;
    Ok(TopK::by_encoder(encoder))
}

/// A dictionary, samples, and the least errors of these on that.
struct Judge<'a> {
    owner: Owner,
    model: Model<f32>,
    samples: Mat<f32>,
    least: Vec<f64>,
    gaps: &'a mut Vec<Gap>,
}

impl<'a> Judge<'a> {
    fn new(owner: Owner, model: Model<f32>, data: &Data, gaps: &'a mut Vec<Gap>) -> Outcome<Self> {
        let held_out = data.held_out();
        let count = PROVEN.min(held_out.ncols());
        let samples =
            Mat::from_fn(data.dim(), count, |i, n| held_out[(i, n * held_out.ncols() / count)]);
        let least = least_errors(&model, samples.as_ref())?;
        Ok(Self { owner, model, samples, least, gaps })
    }

    /// Adds a coder's row.
    fn add<C>(&mut self, name: &'static str, coder: C) -> Outcome<()>
    where
        C: SparseCoder<Faer<f32>> + Clone,
    {
        let codes = self.model.encode(&coder, self.samples.as_ref())?;
        let fvu = reconstruction(&self.model, self.samples.as_ref(), &codes)?.fvu();
        let decoded = self.model.decode(&codes)?;
        let (mut errors, mut optimal) = (0.0, 0);
        for (n, &least) in self.least.iter().enumerate() {
            let difference = decoded.col(n).iter().zip(self.samples.col(n).iter());
            let error: f64 = difference.map(|(a, b)| f64::from(a - b).powi(2)).sum();
            errors += error;
            optimal += usize::from(error <= least * (1.0 + ROUNDING));
        }
        // Codes are rounded, so that those of the optimum may be said to be just above or below it.
        let excess = 100.0 * (errors / self.least.iter().sum::<f64>() - 1.0).max(0.0);
        let optimal = 100.0 * optimal as f64 / self.least.len() as f64;
        let gap = self.gap(name);
        gap.fvu.push(fvu);
        gap.excess.push(excess);
        gap.optimal.push(optimal);
        Ok(())
    }

    fn gap(&mut self, coder: &'static str) -> &mut Gap {
        let (owner, sparsity) = (self.owner, self.model.sparsity());
        let same = |gap: &Gap| (gap.owner, gap.sparsity, gap.coder) == (owner, sparsity, coder);
        let place = self.gaps.iter().position(same).unwrap_or_else(|| {
            let (fvu, excess, optimal) = (Vec::new(), Vec::new(), Vec::new());
            self.gaps.push(Gap { owner, sparsity, coder, fvu, excess, optimal });
            self.gaps.len() - 1
        });
        &mut self.gaps[place]
    }
}

/// ‖y − Dx‖² of the optimal code of each sample.
fn least_errors(model: &Model<f32>, samples: MatRef<'_, f32>) -> Outcome<Vec<f64>> {
    let zero = vec![0.0; samples.nrows()];
    let mean = model.mean().unwrap_or(&zero);
    let errors = samples.col_iter().map(|sample| {
        let centred: Vec<f32> = sample.iter().zip(mean).map(|(y, mean)| y - mean).collect();
        let (sparsity, sign): (usize, Sign) = (model.sparsity(), model.sign());
        Ok(Exact.solve(model.dictionary(), &centred, sparsity, sign)?.error)
    });
    errors.collect()
}
