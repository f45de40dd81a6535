//! SAEs of parts that do not fit, and samples that do not fit them.

use super::*;

fn affine(latents: usize) -> Affine<f64> {
    Affine { weights: Mat::from_fn(3, latents, |i, j| (i + j) as f64), bias: vec![0.0; latents] }
}

fn standard() -> Architecture<f64> {
    Architecture::Standard { encoder: affine(4) }
}

fn decoder() -> Mat<f64> {
    Mat::from_fn(3, 4, |i, j| ((3 * i + j) as f64 + 0.2).cos())
}

fn good() -> Sae<f64> {
    Sae::new(decoder(), vec![0.0; 3], true, standard()).unwrap()
}

#[track_caller]
fn refuses(architecture: Architecture<f64>, expected: &str) {
    match Sae::new(decoder(), vec![0.0; 3], true, architecture).unwrap_err() {
        Error::Argument { argument, .. } | Error::Dimension { argument, .. } => {
            assert_eq!(argument, expected);
        }
        error => panic!("{error}"),
    }
}

#[test]
fn parts_that_do_not_fit() {
    refuses(Architecture::Standard { encoder: affine(5) }, "W_enc");
    let short = Affine { bias: vec![0.0; 3], ..affine(4) };
    refuses(Architecture::Standard { encoder: short }, "b_enc");
    let wide = Affine { weights: Mat::zeros(2, 4), ..affine(4) };
    refuses(Architecture::Standard { encoder: wide }, "W_enc");
    let nan = Affine { bias: vec![0.0, f64::NAN, 0.0, 0.0], ..affine(4) };
    refuses(Architecture::Gated { gate: nan, log_scale: vec![], bias: vec![] }, "b_gate");
    let gate = || affine(4);
    let zeros = || vec![0.0; 4];
    refuses(Architecture::Gated { gate: gate(), log_scale: vec![], bias: zeros() }, "r_mag");
    refuses(Architecture::Gated { gate: gate(), log_scale: zeros(), bias: vec![] }, "b_mag");
    refuses(Architecture::JumpRelu { encoder: gate(), threshold: vec![] }, "threshold");
    for sparsity in [0, 5] {
        let (encoder, rescaled) = (gate(), true);
        refuses(Architecture::TopK { encoder, sparsity, rescaled }, "k");
        refuses(Architecture::AbsTopK { encoder: gate(), sparsity, rescaled }, "k");
    }
    for groups in [0, 3] {
        refuses(Architecture::GroupMax { encoder: gate(), groups }, "k");
    }
    for (residual_threshold, max_iterations, expected) in [
        (-1.0, 1, "residual_threshold"),
        (f64::NAN, 1, "residual_threshold"),
        (0.0, 0, "max_iterations"),
    ] {
        let stop_on_duplicate_support = false;
        refuses(
            Architecture::MatchingPursuit {
                residual_threshold,
                max_iterations,
                stop_on_duplicate_support,
            },
            expected,
        );
    }
    let sae = |decoder, bias| Sae::new(decoder, bias, true, standard()).unwrap_err();
    let dimension = |error: Error| matches!(error, Error::Dimension { argument: "b_dec", .. });
    assert!(dimension(sae(decoder(), vec![0.0; 2])));
    let argument = |error: Error| matches!(error, Error::Argument { argument: "W_dec", .. });
    assert!(argument(sae(Mat::zeros(0, 0), vec![])));
    assert!(argument(sae(Mat::from_fn(3, 4, |_, _| f64::INFINITY), vec![0.0; 3])));
}

#[test]
fn samples_that_do_not_fit() {
    let dimension = good().encode(Mat::zeros(2, 1).as_ref()).unwrap_err();
    assert!(matches!(dimension, Error::Dimension { argument: "samples", .. }));
    let broken = Mat::from_fn(3, 2, |i, j| if (i, j) == (2, 1) { f64::NAN } else { 0.0 });
    let finite = good().encode(broken.as_ref()).unwrap_err();
    assert!(matches!(finite, Error::NotFinite { sample: 1, coordinate: 2, .. }));
    let codes = SparseCodes::<f64>::new(5, 1, 1);
    let atoms = good().latents(&codes).unwrap_err();
    assert!(matches!(atoms, Error::Dimension { argument: "codes", .. }));
}

#[test]
fn shapes_that_the_coder_cannot_serve() {
    let coder = SaeCoder::new(good());
    let shape = good().model(2).unwrap().shape();
    let check = |coder: &SaeCoder<f64>, shape| {
        SparseCoder::<Faer<f64>>::check(coder, &shape).map_err(|error| error.to_string())
    };
    assert_eq!(check(&coder, shape), Ok(()));
    for bad in [
        ProblemShape { dim: 5, ..shape },
        ProblemShape { atoms: 5, ..shape },
        ProblemShape { sparsity: 0, ..shape },
    ] {
        assert!(check(&coder, bad).is_err(), "{bad:?}");
    }
    let (encoder, sparsity, rescaled) = (affine(4), 2, false);
    let signed = Architecture::AbsTopK { encoder, sparsity, rescaled };
    let signed = SaeCoder::new(Sae::new(decoder(), vec![0.0; 3], true, signed).unwrap());
    assert!(check(&signed, shape).is_err());
    assert_eq!(check(&signed, ProblemShape { sign: Sign::Signed, ..shape }), Ok(()));
}

/// Rows 0, 2 and 3 of five are zero.
fn dying(architecture: Architecture<f64>) -> Sae<f64> {
    let decoder = mat![[0.0, 3.0, 0.0, 0.0, 0.0], [0.0, 4.0, 0.0, 0.0, 2.0]];
    Sae::new(decoder, vec![0.0; 2], true, architecture).unwrap()
}

fn eye(latents: usize) -> Affine<f64> {
    let weights = Mat::from_fn(2, latents, |i, j| ((i + j) % 2) as f64);
    Affine { weights, bias: vec![0.0; latents] }
}

#[test]
fn a_zero_row_is_dead_in_decoding_and_alive_in_encoding() {
    // Latents are y₁, y₀, y₁, y₀, y₁ of (y₀, y₁).
    let samples = mat![[1.0, -1.0, 3.0], [2.0, 5.0, -1.0]];
    let sae = dying(Architecture::Standard { encoder: eye(5) });
    let codes = sae.encode(samples.as_ref()).unwrap();
    let latents = sae.encode_latents(samples.as_ref()).unwrap();
    let rows = |codes: &SparseCodes<f64>| -> Vec<Vec<(u32, f64)>> {
        let pairs = |(support, values): (&[u32], &[f64])| {
            support.iter().copied().zip(values.iter().copied()).collect()
        };
        codes.iter().map(pairs).collect()
    };
    assert_eq!(rows(&codes), [vec![(1, 5.0), (4, 4.0)], vec![(4, 10.0)], vec![(1, 15.0)]]);
    let all = [
        vec![(0, 2.0), (2, 2.0), (4, 2.0), (1, 1.0), (3, 1.0)],
        vec![(0, 5.0), (2, 5.0), (4, 5.0)],
        vec![(1, 3.0), (3, 3.0)],
    ];
    assert_eq!(rows(&latents), all);
    let decoded = sae.model(1).unwrap().decode(&codes).unwrap();
    assert_close(decoded.as_ref(), mat![[3.0, 0.0, 9.0], [8.0, 10.0, 12.0]].as_ref(), 1e-15);

    // Among the k largest it takes its place.
    let (encoder, sparsity, rescaled) = (eye(5), 2, false);
    let sae = dying(Architecture::TopK { encoder, sparsity, rescaled });
    let codes = sae.encode(samples.as_ref()).unwrap();
    assert_eq!(rows(&codes), [vec![], vec![], vec![(1, 15.0)]]);
    let coder = sae.model(2).unwrap().encoder(SaeCoder::new(sae)).unwrap();
    assert_eq!(rows(&coder.encode(samples.as_ref()).unwrap()), rows(&codes));
    assert_eq!(coder.state().cut(), 0);
    // After rescaling it is the smallest.
    let sae = dying(Architecture::TopK { encoder: eye(5), sparsity, rescaled: true });
    let codes = sae.encode(samples.as_ref()).unwrap();
    assert_eq!(rows(&codes)[0], [(1, 5.0), (4, 4.0)]);
}

#[test]
fn another_row_stands_in_for_one_that_is_zero() {
    let sae = dying(standard_of(5));
    let (first, last) = ([0.6, 0.8], [0.0, 1.0]);
    let dictionary = sae.dictionary().unwrap();
    for (j, expected) in [first, first, first, first, last].iter().enumerate() {
        let error = dictionary.atom(j).iter().zip(expected).map(|(a, b)| (a - b).abs());
        assert!(error.sum::<f64>() < 1e-15, "atom {j}");
    }
    // A pursuit finds nothing that the other rows do not span, and its codes are latents again.
    let model = sae.model(2).unwrap();
    let samples = mat![[3.0], [9.0]];
    let codes = model.encode(&BatchOmp::new(), samples.as_ref()).unwrap();
    let latents = sae.latents(&codes).unwrap();
    assert_close(dense(&latents).as_ref(), mat![[0.0], [1.0], [0.0], [0.0], [2.5]].as_ref(), 1e-12);
    let parts = dbksvd::codes::CsrParts {
        indices: vec![1, 3, 4],
        values: vec![10.0, 5.0, 1.0],
        offsets: vec![0, 3],
    };
    let both = SparseCodes::from_csr_parts(5, 3, &parts).unwrap();
    let latents = sae.latents(&both).unwrap();
    assert_eq!((latents.support(0), latents.values(0)), (&[1, 4][..], &[3.0, 0.5][..]));

    let dead = Sae::new(Mat::zeros(2, 5), vec![1.0; 2], true, standard_of(5)).unwrap();
    assert!(matches!(dead.model(1), Err(Error::ZeroAtom { atom: 0 })));
    let codes = dead.encode(samples.as_ref()).unwrap();
    assert!(codes.support(0).is_empty());
    assert_eq!(dead.latents(&codes).unwrap(), codes);
    assert_eq!(dead.encode_latents(samples.as_ref()).unwrap().support(0).len(), 5);
}

fn standard_of(latents: usize) -> Architecture<f64> {
    Architecture::Standard { encoder: eye(latents) }
}
