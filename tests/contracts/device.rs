//! A backend whose matrices cannot be borrowed, driven through the public API.
//!
//! The "device" keeps its memory behind a lock; a matrix is an id, whose content only kernels and
//! transfers touch. It stands for a GPU: what compiles and works here needs no views of memory.

use crate::mock::{MatchingPursuit, MockDevice, PowerStep};
use dbksvd::backend::{PursuitKernels, SweepKernels};
use dbksvd::error::BackendError;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::learn::Report;
use dbksvd::source::HeldOut;
use dbksvd::synthetic::Planted;
use dbksvd::updater::{DictionaryUpdater, KSvd, Renewal, Step};
use dbksvd::{
    DbKsvd, Encoder, Error, Initialisation, Model, ProblemShape, Reference, Sign, conformance,
};
use dbksvd::{backend::Backend, coder::BatchOmp, coder::SparseCoder};

fn samples() -> Mat<f32> {
    Planted::new(8, 16, 2, 200).seed(1).generate().unwrap().samples
}

#[test]
fn the_device_conforms() {
    conformance::backend(&MockDevice::default());
    conformance::pursuit_kernels(&MockDevice::default());
    conformance::sweep_kernels(&MockDevice::default());
}

#[test]
fn its_coders_conform() {
    conformance::coder(&MockDevice::default(), &MatchingPursuit);
    conformance::coder(&MockDevice::default(), &BatchOmp::new());
}

#[test]
fn its_updaters_conform() {
    conformance::updater(&MockDevice::default(), &MatchingPursuit, &PowerStep);
    conformance::updater(&MockDevice::default(), &BatchOmp::new(), &KSvd::new());
    conformance::updater(&MockDevice::default(), &BatchOmp::new(), &KSvd::textbook());
}

#[test]
fn learning_runs_on_the_device() {
    let device = MockDevice::default();
    let builder = DbKsvd::builder_on(device.clone(), 16, 2).coder(MatchingPursuit);
    let learner = builder.updater(PowerStep).epochs(8).minibatch(100).build().unwrap();
    let (model, report) = learner.fit(&samples()).unwrap();
    assert_eq!((model.dim(), model.atoms(), report.steps), (8, 16, 16));
    assert!(report.epochs[7].fvu < 0.5 * report.epochs[0].fvu, "{report:?}");

    // One upload a step and one of the first dictionary; one download, of the last.
    assert_eq!((device.uploads(), device.downloads()), (17, 1));
}

/// The default coder and updater, with held-out samples and renewal, give the dictionary of the
/// reference, whose kernels the device has, bit by bit.
#[test]
fn the_algorithms_of_this_crate_run_on_the_device() {
    fn fit<B: PursuitKernels<Scalar = f32> + SweepKernels>(backend: B) -> (Model<f32>, Report) {
        let builder = DbKsvd::builder_on(backend, 32, 2).minibatch(100).epochs(6).seed(3);
        let renewal = Renewal { window: 2.0, ..Renewal::default() };
        let updater = KSvd::new().atom_batch(5).renewal(Some(renewal));
        let learner = builder.updater(updater).held_out(HeldOut::Share(0.2)).build().unwrap();
        learner
            .fit(&Planted::new(8, 16, 2, 400).noise(0.1).seed(1).generate().unwrap().samples)
            .unwrap()
    }
    let device = MockDevice::default();
    let (model, report) = fit(device.clone());
    let (expected, expected_report) = fit(Reference::<f32>::default());
    assert_eq!(model, expected);
    assert_eq!(report.evaluations.len(), expected_report.evaluations.len());
    assert!(report.epochs[5].fvu < 0.5 * report.epochs[0].fvu, "{report:?}");
    assert!(report.epochs.iter().any(|epoch| epoch.replaced > 0), "{report:?}");
    // Whole matrices come down for the last dictionary and for each that was the best so far.
    assert!(device.downloads() <= 1 + report.evaluations.len(), "{}", device.downloads());
}

/// A pursuit a minibatch and one a block of held-out samples; two sweeps, each of as many batches
/// as it takes. Small and large problems alike: no product is made elsewhere.
#[test]
fn every_pursuit_and_every_sweep_of_a_run_is_the_devices() {
    for (dim, atoms, samples) in [(4, 6, 60), (24, 700, 300)] {
        let device = MockDevice::default();
        let data = Planted::new(dim, atoms, 2, samples).seed(1).generate().unwrap();
        let builder = DbKsvd::builder_on(device.clone(), atoms, 2).minibatch(samples).epochs(2);
        let atom_batch = atoms.div_ceil(4);
        let updater = KSvd::new().atom_batch(atom_batch);
        let learner = builder.updater(updater).build().unwrap();
        let mut report =
            learner.run(&data.samples).held_out(&data.samples).finish().unwrap().report;
        let undone: usize = report.epochs.drain(..).map(|epoch| epoch.undone).sum();
        let [pursuits, directions, exchanges] = device.calls();
        assert_eq!(pursuits, 2 + report.evaluations.len());
        assert_eq!(directions, exchanges);
        assert!(directions >= 2 * 2 * atoms.div_ceil(atom_batch) + undone, "{directions}");
    }
}

#[test]
fn encoding_runs_on_the_device_and_uploads_the_dictionary_once() {
    let device = MockDevice::default();
    let data = Planted::new(8, 16, 2, 50).seed(1).generate::<f32>().unwrap();
    let model = dbksvd::Model::new(data.dictionary, None, 2, Sign::Signed).unwrap();
    let encoder = Encoder::new(device.clone(), MatchingPursuit, &model).unwrap();
    let codes = encoder.encode(data.samples.as_ref()).unwrap();
    assert_eq!((codes.atoms(), codes.samples()), (16, 50));
    assert!(codes.nnz() > 50);
    assert_eq!(encoder.encode(data.samples.as_ref()).unwrap(), codes);
    assert_eq!(device.uploads(), 3);
}

/// The message of the fault that `result` must be.
#[track_caller]
fn fault<R: std::fmt::Debug>(result: Result<R, Error>) -> String {
    let Err(Error::Backend(BackendError::Device(fault))) = result else { panic!("{result:?}") };
    fault.to_string()
}

#[test]
fn a_fault_while_learning_is_an_error_of_fit() {
    let device = MockDevice::default();
    let builder = DbKsvd::builder_on(device.clone(), 16, 2).coder(MatchingPursuit);
    let learner = builder.updater(PowerStep).build().unwrap();
    device.fail_synchronize_after(3);
    assert_eq!(fault(learner.fit(&samples())), "the device was lost");
    device.recover();
    assert!(learner.fit(&samples()).is_ok());
}

#[test]
fn a_fault_while_learning_is_an_error_of_a_session() {
    let device = MockDevice::default();
    let builder = DbKsvd::builder_on(device.clone(), 16, 2).coder(MatchingPursuit);
    let learner = builder.updater(PowerStep).build().unwrap();
    let mut session = learner.session(8, 10).unwrap();
    session.step(samples().as_ref()).unwrap();
    device.fail_synchronize_after(0);
    assert_eq!(fault(session.step(samples().as_ref())), "the device was lost");
}

#[test]
fn a_fault_while_encoding_is_an_error_of_encode() {
    let device = MockDevice::default();
    let data = Planted::new(8, 16, 2, 50).generate::<f32>().unwrap();
    let model = dbksvd::Model::new(data.dictionary, None, 2, Sign::Signed).unwrap();
    let encoder = Encoder::new(device.clone(), BatchOmp::new(), &model).unwrap();
    device.fail_synchronize_after(0);
    assert_eq!(fault(encoder.encode(data.samples.as_ref())), "the device was lost");
}

#[test]
fn memory_that_runs_out_is_an_error_of_build_or_fit() {
    let device = MockDevice::with_memory(100);
    let given = Planted::new(8, 16, 2, 1).generate::<f32>().unwrap().dictionary;
    let builder = DbKsvd::builder_on(device, 16, 2).coder(MatchingPursuit).updater(PowerStep);
    let learner = builder.initialisation(Initialisation::Given(given)).build().unwrap();
    let result = learner.fit(&samples());
    assert!(
        matches!(result, Err(Error::Backend(BackendError::Allocation { rows: 8, cols: 16, .. }))),
        "{result:?}"
    );
}

#[test]
fn nothing_is_left_on_the_device() {
    let device = MockDevice::default();
    let builder = DbKsvd::builder_on(device.clone(), 16, 2).coder(MatchingPursuit);
    let learner = builder.updater(PowerStep).epochs(1).build().unwrap();
    learner.fit(&samples()).unwrap();
    assert_eq!(device.allocations(), 0);
}

/// Traits that a driver of its own calls: everything goes by handle.
#[test]
fn a_step_by_hand_lowers_the_error() {
    let device = MockDevice::default();
    let data = Planted::new(8, 16, 2, 60).seed(4).generate::<f32>().unwrap();
    let start = Planted::new(8, 16, 2, 1).seed(5).generate::<f32>().unwrap().dictionary;
    let shape = ProblemShape { dim: 8, atoms: 16, sparsity: 2, sign: Sign::NonNegative };
    let upload = |host: MatRef<'_, f32>| {
        let mut matrix = device.zeros(0, 0).unwrap();
        device.upload(host, &mut matrix).unwrap();
        matrix
    };
    let (y, mut d) = (upload(data.samples.as_ref()), upload(start.as_mat()));
    let mut codes = device.codes(16, 0, 2).unwrap();
    let mut state = MatchingPursuit.prepare(&device, &shape).unwrap();
    MatchingPursuit.set_dictionary(&device, &mut state, &d).unwrap();
    MatchingPursuit.encode(&device, &state, &d, &y, &mut codes).unwrap();
    let order: Vec<u32> = (0..16).collect();
    let step = Step::new(&order, 0.0);
    let mut state = PowerStep.prepare(&device, &shape).unwrap();
    let report = PowerStep.update(&device, &mut state, &y, &mut codes, &mut d, &step).unwrap();
    assert!(report.error_after < report.error_before, "{report:?}");
}
