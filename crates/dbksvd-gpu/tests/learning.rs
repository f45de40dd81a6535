//! Whole runs on the device, beside runs on the processor.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use dbksvd::backend::{Backend, LeadingPair, PursuitKernels, Selection, SweepKernels};
use dbksvd::coder::BatchOmp;
use dbksvd::faer::Mat;
use dbksvd::learn::{Checkpoints, Progress, Report, Resume};
use dbksvd::source::HeldOut;
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{Decorrelation, KSvd, Renewal};
use dbksvd::{DbKsvd, Encoder, Faer, Model, Sign};
use dbksvd_gpu::Gpu;

/// The device that tests share, since its kernels are compiled once.
fn gpu() -> Gpu {
    static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().expect("an adapter"));
    GPU.clone()
}

fn samples(kind: Kind, sign: Sign) -> Mat<f32> {
    let planted = Planted::new(24, 64, 4, 900).kind(kind).sign(sign).noise(0.1).seed(11);
    planted.generate::<f32>().expect("a legal problem").samples
}

/// A run whose minibatches have several shards.
fn learner<B>(
    backend: B,
    sign: Sign,
    selection: Selection,
    updater: KSvd,
) -> DbKsvd<B, BatchOmp, KSvd>
where
    B: PursuitKernels<Scalar = f32> + SweepKernels,
{
    let builder = DbKsvd::builder_on(backend, 64, 4).sign(sign).minibatch(360).epochs(4).seed(3);
    let coder = BatchOmp::new().selection(selection);
    builder.coder(coder).updater(updater).held_out(HeldOut::Share(0.2)).build().expect("legal")
}

/// The held-out FVU at the end.
fn fvu((_, report): &(Model<f32>, Report)) -> f64 {
    report.evaluations.last().expect("an evaluation").fvu
}

/// The start of a run has samples as atoms. What such a sample's own atom leaves of it is rounding,
/// which chooses its other atoms: they are the same only if the atoms are, bit by bit.
#[test]
fn the_start_of_a_run_is_that_of_the_processor_bit_by_bit() {
    let samples = samples(Kind::Planted, Sign::Signed);
    let scaled = |j: usize| [1.0, 1e-9, 1e9, 0.0][j % 4];
    let columns = Mat::from_fn(24, 64, |i, j| samples[(i, j)] * scaled(j));
    let (gpu, faer) = (gpu(), Faer::<f32>::default());
    let mut found = gpu.zeros(0, 0).expect("memory");
    gpu.upload(columns.as_ref(), &mut found).expect("memory");
    gpu.normalize_columns(&mut found);
    let mut expected = columns.clone();
    faer.normalize_columns(&mut expected);
    assert_eq!(gpu.download(&found).expect("a sound device"), expected);
}

#[test]
fn fits_are_as_good_as_on_the_processor() {
    let renewing = KSvd::new().renewal(Some(Renewal { window: 2.0, ..Renewal::default() }));
    let exact = KSvd::new().leading_pair(LeadingPair::Exact).atom_batch(7);
    let decorrelating = KSvd::new().decorrelation(Some(Decorrelation::default()));
    for (kind, sign, selection, updater) in [
        (Kind::Planted, Sign::Signed, Selection::Correlation, renewing),
        (Kind::Correlated, Sign::NonNegative, Selection::Correlation, renewing),
        (Kind::Anisotropic, Sign::Signed, Selection::LeastSquares, exact),
        (Kind::Correlated, Sign::Signed, Selection::Correlation, decorrelating),
    ] {
        let samples = samples(kind, sign);
        let found = learner(gpu(), sign, selection, updater).fit(&samples).expect("a fit");
        let faer = Faer::<f32>::default();
        let expected = learner(faer, sign, selection, updater).fit(&samples).expect("a fit");
        let (found, expected) = (fvu(&found), fvu(&expected));
        let near = (found - expected).abs() <= 0.01 * expected;
        assert!(near, "{kind:?}, {sign:?}: FVU {found}, on the processor {expected}");
    }
}

#[test]
fn two_fits_on_one_adapter_have_the_same_bits() {
    for sign in [Sign::Signed, Sign::NonNegative] {
        let samples = samples(Kind::Correlated, sign);
        let fit = || {
            let learner = learner(gpu(), sign, Selection::Correlation, KSvd::new());
            learner.fit(&samples).expect("a fit")
        };
        let ((model, report), (again, report_again)) = (fit(), fit());
        assert!(model == again, "{sign:?}");
        assert_eq!(fvu(&(model, report)).to_bits(), fvu(&(again, report_again)).to_bits());
    }
}

#[test]
fn a_run_that_ends_and_is_resumed_is_the_run_that_did_not_end() {
    let samples = samples(Kind::Planted, Sign::Signed);
    let learner = learner(gpu(), Sign::Signed, Selection::Correlation, KSvd::new());
    let whole = learner.run(&samples).finish().expect("a fit");
    let directory = tempfile::tempdir().expect("a directory");
    let checkpoints = Checkpoints::new(directory.path()).resume(Resume::IfPresent);
    let mut end = |progress: &Progress| match progress.total_steps {
        step if step >= 5 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let run = learner.run(&samples).observer(&mut end).checkpoints(checkpoints.clone());
    run.finish().expect("a part of a fit");
    let resumed = learner.run(&samples).checkpoints(checkpoints).finish().expect("a fit");
    assert_eq!(resumed.report.resumed_from, Some(5));
    assert!(resumed.model == whole.model);
}

#[test]
fn a_model_is_encoded_on_the_device_as_on_the_processor() {
    let samples = samples(Kind::Correlated, Sign::Signed);
    let learner = learner(gpu(), Sign::Signed, Selection::Correlation, KSvd::new());
    let (model, _) = learner.fit(&samples).expect("a fit");
    let encoder = Encoder::new(gpu(), BatchOmp::new(), &model).expect("memory");
    let found = encoder.encode(samples.as_ref()).expect("codes");
    let expected = model.encode(&BatchOmp::new(), samples.as_ref()).expect("codes");
    let error = |codes| {
        let rest = &samples - model.decode(codes).expect("codes of the model");
        rest.norm_l2() / samples.norm_l2()
    };
    let (found_error, expected_error) = (error(&found), error(&expected));
    let near = (found_error - expected_error).abs() <= 1e-5 * expected_error;
    assert!(near, "{found_error}, on the processor {expected_error}");
    let alike = (0..samples.ncols()).filter(|&i| found.support(i) == expected.support(i)).count();
    assert!(alike >= samples.ncols() - 6, "{alike} of {} codes alike", samples.ncols());
}
