//! Matrices that are larger than what the adapter hands to a kernel at once.
//!
//! The device is opened with bindings of a few kilobytes, so that small matrices are in parts.

use dbksvd::backend::{Backend, LeadingPair, PursuitKernels, SampleShards, SweepKernels};
use dbksvd::coder::BatchOmp;
use dbksvd::faer::Mat;
use dbksvd::source::HeldOut;
use dbksvd::synthetic::{Kind, Planted};
use dbksvd::updater::{Decorrelation, KSvd, Renewal};
use dbksvd::{DbKsvd, Model, Sign, conformance};
use dbksvd_gpu::{Adapter, Gpu};

/// A device with bindings of so many bytes.
fn limited(bytes: u64) -> Gpu {
    Gpu::with_binding_limit(&Adapter::Best, bytes).expect("an adapter")
}

#[test]
fn matrices_in_parts_come_back_as_they_went_up() {
    // 1,500 numbers in parts of 256, of which no column but the last ends where a part does.
    let gpu = limited(1 << 10);
    let host = Mat::from_fn(30, 50, |i, j| (i * 50 + j) as f32);
    let mut matrix = gpu.zeros(0, 0).expect("memory");
    gpu.upload(host.as_ref(), &mut matrix).expect("a sound device");
    assert_eq!(gpu.download(&matrix).expect("a sound device"), host);
    let columns = [49, 3, 4, 25];
    let found = gpu.download_columns(&matrix, &columns).expect("a sound device");
    assert_eq!(found, Mat::from_fn(30, 4, |i, j| host[(i, columns[j])]));
    let column: Vec<f32> = (0..30).map(|i| -(i as f32)).collect();
    gpu.upload_column(&column, &mut matrix, 18).expect("a sound device");
    let expected = Mat::from_fn(30, 50, |i, j| if j == 18 { column[i] } else { host[(i, j)] });
    assert_eq!(gpu.download(&matrix).expect("a sound device"), expected);
    let shards = SampleShards::try_equal(4, 50).expect("a power of two");
    let mut norms = [0.0; 4];
    gpu.squared_norms(&matrix, &shards, &mut norms).expect("a sound device");
    let square = |range: std::ops::Range<usize>| {
        range.map(|j| expected.col(j).iter().map(|&x| f64::from(x * x)).sum::<f64>()).sum::<f64>()
    };
    for (norm, shard) in norms.iter().zip(shards.ranges()) {
        let expected = square(shard);
        assert!((norm - expected).abs() <= 1e-7 * expected, "{norm}, expected {expected}");
    }
}

#[test]
fn a_device_of_small_bindings_conforms() {
    let gpu = limited(1 << 13);
    conformance::backend(&gpu);
    conformance::pursuit_kernels(&gpu);
    conformance::sweep_kernels(&gpu);
    conformance::updater(&gpu, &BatchOmp::new(), &KSvd::new());
}

fn fit<B>(
    backend: B,
    samples: &Mat<f32>,
    sign: Sign,
    (coder, updater): (BatchOmp, KSvd),
) -> (Model<f32>, f64)
where
    B: PursuitKernels<Scalar = f32> + SweepKernels,
{
    let builder = DbKsvd::builder_on(backend, 96, 4).sign(sign).minibatch(360).epochs(3).seed(3);
    let learner =
        builder.coder(coder).updater(updater).held_out(HeldOut::Share(0.2)).build().expect("legal");
    let (model, report) = learner.fit(samples).expect("a fit");
    (model, report.evaluations.last().expect("an evaluation").fvu)
}

/// No sum depends on where the numbers lie, so a device whose matrices are in parts learns what it
/// would learn without.
#[test]
fn a_fit_on_matrices_in_parts_has_the_bits_of_one_on_whole_ones() {
    // Samples take 34,560 bytes a minibatch, the Gram matrix 36,864 and the dictionary 9,216.
    let renewing = KSvd::new().renewal(Some(Renewal { window: 2.0, ..Renewal::default() }));
    let others = KSvd::new()
        .leading_pair(LeadingPair::Power { iterations: 3 })
        .decorrelation(Some(Decorrelation::default()));
    let (by_rows, without) = (BatchOmp::new(), BatchOmp::new().gram_limit(0));
    for (sign, parts) in
        [(Sign::Signed, (by_rows, renewing)), (Sign::NonNegative, (without, others))]
    {
        let planted = Planted::new(24, 64, 4, 900).kind(Kind::Correlated).sign(sign).noise(0.1);
        let samples = planted.generate::<f32>().expect("a legal problem").samples;
        let (whole, fvu) = fit(Gpu::new().expect("an adapter"), &samples, sign, parts);
        let (in_parts, fvu_in_parts) = fit(limited(1 << 13), &samples, sign, parts);
        assert!(in_parts == whole, "{sign:?}");
        assert_eq!(fvu_in_parts.to_bits(), fvu.to_bits(), "{sign:?}");
    }
}

/// Mesa's driver for processors leaves loops after some turns, and says nothing.
#[test]
fn what_a_driver_would_leave_undone_is_refused_in_words() {
    let gpu = Gpu::new().expect("an adapter");
    if !gpu.adapter().name.contains("llvmpipe") {
        return;
    }
    let samples =
        Planted::new(8, 2, 1, 80_000).noise(0.1).generate::<f32>().expect("legal").samples;
    let learner = DbKsvd::builder_on(gpu, 2, 1).minibatch(80_000).epochs(1).build().expect("legal");
    let result = learner.fit(&samples);
    let message = result.expect_err("sums of 40,000 uses").to_string();
    assert!(message.contains("65535 turns") && message.contains("llvmpipe"), "{message}");
}
