//! What codes give: the same numbers in every format, and a panic for what is no code.

use dbksvd::codes::{AtomIndex, CsrParts, SparseCodes};

/// Three samples over four atoms. The atoms of the first are not in order, the second is empty.
fn codes() -> SparseCodes<f64> {
    let mut codes = SparseCodes::new(4, 3, 2);
    codes.set(0, &[3, 1], &[0.5, -2.0]);
    codes.set(2, &[1], &[7.0]);
    codes
}

#[test]
fn compressed_rows_and_columns_are_the_codes() {
    let parts = codes().to_csr_parts();
    let expected = CsrParts {
        indices: vec![1, 3, 1],
        values: vec![-2.0, 0.5, 7.0],
        offsets: vec![0, 2, 2, 3],
    };
    assert_eq!(parts, expected);
    let columns = codes().to_csc();
    assert_eq!((columns.nrows(), columns.ncols()), (4, 3));
    assert_eq!(columns.symbolic().row_idx(), [1, 3, 1]);
    assert_eq!(columns.symbolic().col_ptr(), [0, 2, 2, 3]);
    assert_eq!(columns.val(), [-2.0, 0.5, 7.0]);
    let dense = columns.to_dense();
    assert_eq!((dense[(3, 0)], dense[(1, 0)], dense[(1, 2)]), (0.5, -2.0, 7.0));
    assert_eq!(dense.norm_l1(), 9.5);
}

#[test]
fn an_index_has_the_uses_of_each_atom() {
    let index = AtomIndex::new(&codes());
    let uses = |atom| -> Vec<(u32, u32)> {
        index.uses(atom).iter().map(|at| (at.sample, at.slot)).collect()
    };
    assert_eq!(
        [uses(0), uses(1), uses(2), uses(3)],
        [vec![], vec![(0, 1), (2, 0)], vec![], vec![(0, 0)]]
    );
}

#[test]
#[should_panic(expected = "2 atoms and 1 values for a budget of 2")]
fn values_that_are_not_one_for_each_atom_are_no_code() {
    codes().set(1, &[0, 1], &[1.0]);
}

#[test]
#[should_panic(expected = "3 atoms and 3 values for a budget of 2")]
fn more_atoms_than_the_budget_are_no_code() {
    codes().set(1, &[0, 1, 2], &[1.0; 3]);
}
