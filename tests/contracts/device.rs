//! A backend whose matrices cannot be borrowed, driven through the public API.
//!
//! The "device" keeps its memory behind a lock; a matrix is an id, whose content only kernels and
//! transfers touch. It stands for a GPU: what compiles and works here needs no views of memory.

use crate::mock::{MatchingPursuit, MockDevice, PowerStep};
use dbksvd::error::BackendError;
use dbksvd::faer::{Mat, MatRef};
use dbksvd::synthetic::Planted;
use dbksvd::updater::{DictionaryUpdater, Step};
use dbksvd::{DbKsvd, Encoder, Error, Initialisation, ProblemShape, Sign, conformance};
use dbksvd::{backend::Backend, coder::BatchOmp, coder::SparseCoder};

fn samples() -> Mat<f32> {
    Planted::new(8, 16, 2, 200).seed(1).generate().unwrap().samples
}

#[test]
fn the_device_conforms() {
    conformance::backend(&MockDevice::default());
    conformance::pursuit_kernels(&MockDevice::default());
}

#[test]
fn its_coders_conform() {
    conformance::coder(&MockDevice::default(), &MatchingPursuit);
    conformance::coder(&MockDevice::default(), &BatchOmp::new());
}

#[test]
fn its_updater_conforms() {
    conformance::updater(&MockDevice::default(), &MatchingPursuit, &PowerStep);
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

#[test]
fn the_coder_of_this_crate_runs_on_the_device() {
    let device = MockDevice::default();
    let builder = DbKsvd::builder_on(device, 16, 2).updater(PowerStep);
    let learner = builder.coder(BatchOmp::new()).epochs(3).build().unwrap();
    let (_, report) = learner.fit(&samples()).unwrap();
    assert!(report.epochs[2].fvu < report.epochs[0].fvu, "{report:?}");
}

#[test]
fn encoding_runs_on_the_device_and_uploads_the_dictionary_once() {
    let device = MockDevice::default();
    let data = Planted::new(8, 16, 2, 50).seed(1).generate::<f32>().unwrap();
    let model = dbksvd::Model::new(data.dictionary, None, 2, Sign::Signed).unwrap();
    let mut encoder = Encoder::new(device.clone(), MatchingPursuit, &model).unwrap();
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
    let mut encoder = Encoder::new(device.clone(), BatchOmp::new(), &model).unwrap();
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
    MatchingPursuit.encode(&device, &mut state, &d, &y, &mut codes).unwrap();
    let order: Vec<u32> = (0..16).collect();
    let step = Step::new(&order, 0.0);
    let mut state = PowerStep.prepare(&device, &shape).unwrap();
    let report = PowerStep.update(&device, &mut state, &y, &mut codes, &mut d, &step).unwrap();
    assert!(report.error_after < report.error_before, "{report:?}");
}
