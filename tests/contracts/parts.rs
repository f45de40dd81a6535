//! Small parts: pools of scratch, samples in any form, what states say, and the group of one.

use std::cell::Cell;

use dbksvd::coder::{
    AnyCoder, BatchOmp, Coefficients, Exact, Lasso, LinearEncoder, MatchingPursuit, Matryoshka,
    Omp, ScratchPool, Swaps, ThresholdPursuit, TopK,
};
use dbksvd::faer::{Mat, MatRef};
use dbksvd::group::{Group, Solo, Threads, check_parts};
use dbksvd::source::SliceSource;
use dbksvd::synthetic::Planted;
use dbksvd::{Encoder, Faer, Groups, Model, Sign, omp};

#[test]
fn a_pool_makes_scratch_once_until_it_is_cleared() {
    let made = Cell::new(0);
    let new = || {
        made.set(made.get() + 1);
        Vec::<u8>::new()
    };
    let mut pool = ScratchPool::default();
    pool.with(new, |scratch| scratch.push(7));
    assert_eq!(pool.with(new, |scratch| scratch.clone()), [7], "what was left in it");
    assert_eq!(made.get(), 1);
    pool.clear();
    assert!(pool.with(new, |scratch| scratch.is_empty()));
    assert_eq!(made.get(), 2);
}

#[test]
fn samples_in_any_form_have_the_same_codes() {
    let dictionary = Mat::from_fn(2, 3, |i, j| [[2.0, 0.0, 1.0], [0.0, 3.0, 1.0]][i][j]);
    let values = [4.0_f64, 0.0, 5.0, 5.0];
    let matrix = MatRef::from_column_major_slice(&values, 2, 2);
    let expected = omp(&dictionary, matrix, 1).unwrap();
    assert_eq!((expected.support(0), expected.values(0)), (&[0][..], &[2.0][..]));
    assert_eq!(expected.support(1), [2]);
    assert!((expected.values(1)[0] - 5.0).abs() < 1e-14);
    let source = SliceSource::new(&values, 2).unwrap();
    let all = [
        omp(&dictionary, matrix.to_owned(), 1),
        omp(&dictionary, source, 1),
        omp(&dictionary, values, 1),
        omp(&dictionary, &values[..], 1),
        omp(&dictionary, values.to_vec(), 1),
    ];
    for codes in all {
        assert_eq!(codes.unwrap(), expected);
    }
}

#[test]
fn encoders_and_states_say_which_coder_is_theirs() {
    let dictionary = Planted::new(3, 5, 2, 1).generate::<f32>().unwrap().dictionary;
    let linear = LinearEncoder::new(dictionary.as_mat().to_owned(), None).unwrap();
    let model = |sign| Model::new(dictionary.clone(), None, 2, sign).unwrap();
    let models = [model(Sign::Signed), model(Sign::NonNegative)];
    let coders: [(AnyCoder, &str, usize); 9] = [
        (BatchOmp::new().into(), "BatchOmp", 0),
        (Omp::new().into(), "Omp", 0),
        (MatchingPursuit::new().coefficients(Coefficients::Refitted).into(), "MatchingPursuit", 0),
        (ThresholdPursuit::new(0.2).into(), "ThresholdPursuit", 1),
        (Swaps::after(BatchOmp::new()).into(), "Swaps", 0),
        (TopK::by_encoder(linear).into(), "TopK", 0),
        (Exact.into(), "Exact", 0),
        (Lasso::new(0.2).into(), "Lasso", 0),
        (Matryoshka::new(Groups::new([2, 3])).coder(BatchOmp::new()).into(), "Matryoshka", 0),
    ];
    for (coder, name, sign) in coders {
        let encoder = Encoder::new(Faer::<f32>::default(), coder, &models[sign]).unwrap();
        assert_eq!(format!("{:?}", encoder.state()), format!("AnyState({name})"));
        let said = format!("{encoder:?}");
        assert!(said.starts_with("Encoder { shape: ProblemShape { dim: 3, atoms: 5"), "{said}");
        assert!(
            said.contains(&format!("coder: {name}(")) || said.contains("coder: Exact"),
            "{said}"
        );
    }
}

#[test]
fn parts_are_one_for_each_owner() {
    assert_eq!((Solo.rank(), Solo.ranks()), (0, 1));
    assert_eq!(Solo.gather(&[1, 2]).unwrap(), [[1, 2]]);
    assert_eq!(Solo.exchange(&[vec![3]]).unwrap(), [[3]]);
    check_parts(&[vec![]], &Solo).unwrap();
    let owners = Threads::group_of(3);
    for (parts, owner) in [(2, &owners[2]), (4, &owners[0])] {
        let error = check_parts(&vec![vec![]; parts], owner).unwrap_err().to_string();
        let expected = format!("{parts} parts are given, expected one for each of 3 owners");
        assert!(error.contains(&expected), "{error}");
        let exchanged = owner.exchange(&vec![vec![]; parts]).unwrap_err();
        assert_eq!(exchanged.to_string(), error);
    }
}
