//! A coder of one's own: iterative hard thresholding, in 70 lines.
//!
//! ```text
//! cargo run --release --example custom_coder
//! ```
//! implements [`SparseCoder`], lets the public suite check it, codes planted samples with it, and
//! learns a dictionary with it.

#[path = "common/program.rs"]
mod program;

use std::process::ExitCode;

use dbksvd::HostBackend;
use dbksvd::coder::{BatchOmp, SparseCoder, Swaps};
use dbksvd::error::BackendError;
use dbksvd::faer::{Mat, MatRef, Scale};
use dbksvd::metrics::reconstruction;
use dbksvd::synthetic::Planted;
use dbksvd::{
    DbKsvd, Error, Faer, Model, Parameters, ProblemShape, Sign, SparseCodes, conformance,
};

/// x ← H_k(x + Dᵀ(y − Dx)/L), over and over, where H_k keeps the k largest (T. Blumensath, M. E.
/// Davies, "Iterative hard thresholding for compressed sensing", 2009). With L ≥ ‖D‖² the error
/// never rises.
#[derive(Clone, Debug)]
struct HardThresholding {
    iterations: usize,
}

/// What `prepare` allocates and `set_dictionary` derives: here the sign of codes, and 1/L.
struct State {
    shape: ProblemShape,
    step: f32,
}

impl<B: HostBackend<Scalar = f32>> SparseCoder<B> for HardThresholding {
    type State = State;

    fn check(&self, shape: &ProblemShape) -> Result<(), Error> {
        shape.check()
    }

    fn prepare(&self, _: &B, shape: &ProblemShape) -> Result<State, BackendError> {
        Ok(State { shape: *shape, step: 0.0 })
    }

    fn set_dictionary(
        &self,
        backend: &B,
        state: &mut State,
        dictionary: &B::Matrix,
    ) -> Result<(), BackendError> {
        let d = backend.view(dictionary);
        let gram = d.transpose() * d;
        // ‖D‖² is at most the largest sum of a row of |G|.
        let largest = gram.col_iter().map(|g| g.norm_l1()).fold(0.0, f32::max);
        state.step = 1.0 / largest;
        Ok(())
    }

    fn encode(
        &self,
        b: &B,
        state: &State,
        d: &B::Matrix,
        y: &B::Matrix,
        codes: &mut B::Codes,
    ) -> Result<(), BackendError> {
        let (d, y) = (b.view(d), b.view(y));
        codes.reset(y.ncols());
        for i in 0..y.ncols() {
            // One product a sample: its code may not depend on its neighbours, not even by
            // rounding.
            let mut x = Mat::<f32>::zeros(d.ncols(), 1);
            for _ in 0..self.iterations {
                x += Scale(state.step) * (d.transpose() * (y.subcols(i, 1) - d * &x));
                keep_largest(x.col_as_slice_mut(0), &state.shape);
            }
            let x = x.col_as_slice(0);
            let support: Vec<u32> = (0..x.len() as u32).filter(|&j| x[j as usize] != 0.0).collect();
            let values: Vec<f32> = support.iter().map(|&j| x[j as usize]).collect();
            codes.set(i, &support, &values);
        }
        Ok(())
    }

    fn parameters(&self) -> Parameters {
        Parameters::of("HardThresholding").with("iterations", self.iterations)
    }
}

/// All but the k largest become zero, and negative ones where the sign says so.
fn keep_largest(x: &mut [f32], shape: &ProblemShape) {
    if shape.sign == Sign::NonNegative {
        x.iter_mut().for_each(|x| *x = x.max(0.0));
    }
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&i, &j| x[j].abs().total_cmp(&x[i].abs()));
    order[shape.sparsity..].iter().for_each(|&j| x[j] = 0.0);
}

const HELP: &str = "\
Codes planted samples by iterative hard thresholding, a coder of one's own, beside OMP.

Usage: cargo run --release --example custom_coder
";

fn main() -> ExitCode {
    program::run_without_options(HELP, compare)
}

fn compare() -> Result<(), Error> {
    let ours = HardThresholding { iterations: 100 };
    conformance::coder(&Faer::<f32>::default(), &ours);
    println!("the contract of coders is kept\n");

    let planted = Planted::new(32, 64, 4, 1000).noise(0.1);
    let data = planted.generate::<f32>()?;
    let (samples, truth) = (data.samples.as_ref(), &data.codes);
    let model = Model::new(data.dictionary.clone(), None, 4, Sign::Signed)?;
    println!("planted dictionary, 4 of 64 atoms a sample     error  supports found");
    report("iterative hard thresholding", &model, model.encode(&ours, samples)?, samples, truth)?;
    report("OMP", &model, model.encode(&BatchOmp::new(), samples)?, samples, truth)?;
    report("OMP and swaps", &model, model.encode(&Swaps::new(), samples)?, samples, truth)?;

    let learner = DbKsvd::builder(64, 4).coder(ours).epochs(8).build()?;
    let (_, report) = learner.fit(&samples)?;
    let errors: Vec<String> = report.epochs.iter().map(|e| format!("{:.3}", e.fvu)).collect();
    println!("\na dictionary learned with it, FVU by epoch: {}", errors.join(" "));
    Ok(())
}

fn report(
    name: &str,
    model: &Model<f32>,
    codes: SparseCodes<f32>,
    samples: MatRef<'_, f32>,
    truth: &SparseCodes<f32>,
) -> Result<(), Error> {
    let sorted = |codes: &SparseCodes<f32>, i| {
        let mut support = codes.support(i).to_vec();
        support.sort_unstable();
        support
    };
    let found = (0..codes.samples()).filter(|&i| sorted(&codes, i) == sorted(truth, i)).count();
    let share = 100.0 * found as f64 / codes.samples() as f64;
    let error = reconstruction(model, samples, &codes)?.fvu();
    println!("{name:<45}  {error:.4}  {share:13.1}%");
    Ok(())
}
