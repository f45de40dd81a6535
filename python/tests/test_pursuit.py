"""Pursuit with any matrix: scikit-learn's values, its course, and products in place of samples."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from sklearn.linear_model import orthogonal_mp, orthogonal_mp_gram

import dbksvd


@pytest.fixture
def problem() -> tuple[np.ndarray, np.ndarray]:
    """Atoms of any norm, and right-hand sides."""
    rng = np.random.default_rng(4)
    return rng.normal(size=(20, 50)) * rng.uniform(0.1, 9, 50), rng.normal(size=(20, 30))


@pytest.mark.parametrize("options", [{"n_nonzero_coefs": 4}, {"tol": 0.5}, {}])
def test_omp_is_scikit_learns(problem, options):
    D, Y = problem
    ours = dbksvd.omp(D, Y, **options)
    # scikit-learn's selects by correlation with atoms as they are, so it is given atoms of norm 1.
    norms = np.linalg.norm(D, axis=0)
    theirs = orthogonal_mp(D / norms, Y, **options) / norms[:, None]
    np.testing.assert_allclose(ours, theirs, atol=1e-8)
    np.testing.assert_allclose(dbksvd.omp(D, Y[:, 0], **options), theirs[:, 0], atol=1e-8)
    np.testing.assert_array_equal(dbksvd.omp(D, Y, sparse=True, **options).toarray(), ours)


def test_omp_keeps_single_precision_and_signs():
    rng = np.random.default_rng(5)
    D, Y = rng.normal(size=(8, 20)).astype("float32"), rng.normal(size=(8, 5)).astype("float32")
    assert dbksvd.omp(D, Y).dtype == np.float32
    assert (dbksvd.omp(D, Y, n_nonzero_coefs=3, positive=True) >= 0).all()
    assert dbksvd.omp(D, Y[:, :0]).shape == (20, 0)


def test_a_path_is_scikit_learns(problem):
    D, Y = problem
    norms = np.linalg.norm(D, axis=0)
    path = dbksvd.omp_path(D, Y[:, 3], n_nonzero_coefs=6)
    theirs = orthogonal_mp(D / norms, Y[:, 3], n_nonzero_coefs=6, return_path=True)
    np.testing.assert_allclose(path.to_array(), theirs / norms[:, None], atol=1e-8)
    assert path.n_nonzero_coefs == 6 and repr(path) == "OmpPath(m=50, n=1, n_nonzero_coefs=6)"
    np.testing.assert_array_equal(np.flatnonzero(path.at(6)), np.sort(path.support()))
    assert path.at(0).shape == (50,) and not path.at(0).any()


@pytest.mark.parametrize("ols", [False, True])
def test_a_path_tells_the_codes_and_the_error_after_every_atom(problem, ols):
    D, Y = problem
    path = dbksvd.omp_path(D, Y, tol=0.5, ols=ols)
    assert path.residual_norms.shape == (30, 1 + path.n_nonzero_coefs)
    for k in range(path.n_nonzero_coefs + 1):
        codes = path.at(k)
        np.testing.assert_array_equal(path.at(k, sparse=True).toarray(), codes)
        known = path.residual_norms[:, k]
        errors = np.linalg.norm(Y - D @ codes, axis=0)
        np.testing.assert_allclose(errors[~np.isnan(known)], known[~np.isnan(known)], atol=1e-9)
        if k > 0:
            again = dbksvd.omp(D, Y, n_nonzero_coefs=k, tol=0.5, ols=ols)
            np.testing.assert_allclose(codes, again, atol=1e-9)
    assert np.nanmin(path.residual_norms, axis=1).max() <= 0.5**0.5
    assert np.isnan(path.residual_norms).any(), "no path ends before another"
    lengths = [len(path.support(i)) for i in range(30)]
    np.testing.assert_array_equal((~np.isnan(path.residual_norms)).sum(axis=1) - 1, lengths)
    assert path.to_array().shape == (50, 30, max(lengths))


@pytest.mark.parametrize("options", [{"n_nonzero_coefs": 4}, {"tol": 0.5}, {}])
def test_products_are_scikit_learns(problem, options):
    D, Y = problem
    norms = np.linalg.norm(D, axis=0)
    squared = (Y**2).sum(axis=0)
    unit = D / norms
    theirs = {k: v for k, v in options.items()}
    if "tol" in options:
        theirs["norms_squared"] = squared
    expected = orthogonal_mp_gram(unit.T @ unit, unit.T @ Y, **theirs) / norms[:, None]
    ours = dbksvd.omp_gram(D.T @ D, D.T @ Y, squared_norms=squared, **options)
    np.testing.assert_allclose(ours, expected, atol=1e-7)
    vector = dbksvd.omp_gram(D.T @ D, D.T @ Y[:, 0], squared_norms=squared[0], **options)
    np.testing.assert_allclose(vector, expected[:, 0], atol=1e-7)


def test_products_keep_single_precision_and_signs(problem):
    D, Y = (part.astype("float32") for part in problem)
    codes = dbksvd.omp_gram(D.T @ D, D.T @ Y, n_nonzero_coefs=3, positive=True)
    assert codes.dtype == np.float32 and (codes >= 0).all() and codes.any()
    assert dbksvd.omp_gram(D.T @ D, D.T @ Y[:, :0]).shape == (50, 0)
    # One of them in double precision makes both so.
    assert dbksvd.omp_gram((D.T @ D).astype(float), D.T @ Y).dtype == np.float64


@pytest.mark.parametrize("size", [1e-200, 1e-30, 1.0, 1e200])
def test_any_scale_of_atoms_and_samples(problem, size):
    D, Y = problem
    expected = dbksvd.omp(D, Y, n_nonzero_coefs=3)
    found = dbksvd.omp(D * size, Y * size, n_nonzero_coefs=3)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    path = dbksvd.omp_path(D * size, Y * size, n_nonzero_coefs=3)
    np.testing.assert_allclose(path.at(3), found, rtol=1e-9)
    short = np.eye(2, dtype=np.float32) * np.float32(1e-38)
    with pytest.raises(ValueError, match="`D`"):
        dbksvd.omp(short, np.array([1e5, 0], np.float32), n_nonzero_coefs=1)


def test_paths_can_be_copied(problem):
    D, Y = problem
    for given in (Y, Y[:, 0]):
        path = dbksvd.omp_path(D, given, n_nonzero_coefs=3)
        for again in (pickle.loads(pickle.dumps(path)), copy.deepcopy(path)):
            np.testing.assert_array_equal(again.to_array(), path.to_array())
            np.testing.assert_array_equal(again.residual_norms, path.residual_norms)


def test_a_buffer_may_begin_anywhere(problem):
    D, Y = problem
    codes = dbksvd.omp_path(D, Y, n_nonzero_coefs=3).at(3)
    rows = np.frombuffer(b"x" + Y.T.tobytes(), offset=1).reshape(Y.T.shape)
    assert not rows.flags.aligned
    np.testing.assert_array_equal(dbksvd.omp_path(D, rows.T, n_nonzero_coefs=3).at(3), codes)
    model = dbksvd.Model(D.T, 3, normalize=True)
    np.testing.assert_array_equal(
        model.encode(rows).toarray(), model.encode(np.ascontiguousarray(Y.T)).toarray()
    )


def test_what_is_not_finite_is_named_by_its_argument():
    Y = np.ones((3, 4))
    Y[1, 2] = np.nan
    for find in (dbksvd.omp, dbksvd.omp_path):
        with pytest.raises(ValueError, match="`Y` contains NaN or infinity: nan in row 1 of col"):
            find(np.eye(3), Y)
    with pytest.raises(ValueError, match="`correlations` contains NaN or infinity"):
        dbksvd.omp_gram(np.eye(3), Y)
    with pytest.raises(ValueError, match="`D` contains NaN or infinity"):
        dbksvd.omp(Y, np.ones(3))


def test_nothing_to_code_has_an_empty_path(problem):
    D, Y = problem
    path = dbksvd.omp_path(D, Y[:, :0])
    assert path.n_nonzero_coefs == 0 and path.residual_norms.shape == (0, 1)
    assert path.to_array().shape == (50, 0, 0)
    zero = dbksvd.omp_path(D, np.zeros(20))
    assert zero.to_array().shape == (50, 0) and zero.support().size == 0
    np.testing.assert_array_equal(zero.residual_norms, [0.0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"gram": np.ones((2, 3))}, r"`gram` has shape \(2, 3\), expected \(m, m\)"),
        ({"correlations": np.ones(4)}, r"`correlations` has shape \(4,\), expected \(3,\)"),
        ({"gram": np.triu(np.ones((3, 3)))}, "`gram`"),
        ({"gram": np.zeros((3, 3))}, "atom 0 is zero"),
        ({"tol": 0.1}, "`squared_norms`"),
        ({"tol": -1.0, "squared_norms": 3.0}, "`tol` is -1"),
        ({"squared_norms": np.ones(2)}, r"`squared_norms` has shape \(2,\), expected \(1,\)"),
        ({"tol": 0.1, "squared_norms": -3.0}, "`squared_norms"),
        ({"n_nonzero_coefs": 4}, "`n_nonzero_coefs` is 4"),
        ({"correlations": np.array([1.0, np.nan, 1.0])}, "`correlations` contains NaN"),
    ],
)
def test_products_that_cannot_be(change, words):
    given = {"gram": np.eye(3), "correlations": np.ones(3), **change}
    with pytest.raises(ValueError, match=words):
        dbksvd.omp_gram(given.pop("gram"), given.pop("correlations"), **given)


@pytest.mark.parametrize(
    ("D", "Y", "options", "words"),
    [
        (np.eye(3), np.ones(4), {}, r"`Y` has shape \(4,\), expected \(3,\)"),
        (np.eye(3), np.ones(3), {"n_nonzero_coefs": 4}, "`n_nonzero_coefs` is 4"),
        (np.zeros((3, 3)), np.ones(3), {}, "atom 0 is zero"),
        (np.eye(3), np.array([1.0, np.inf, 1.0]), {}, "inf"),
    ],
)
def test_paths_that_cannot_be(D, Y, options, words):
    with pytest.raises(ValueError, match=words):
        dbksvd.omp_path(D, Y, **options)
    path = dbksvd.omp_path(np.eye(3), np.ones(3), n_nonzero_coefs=2)
    with pytest.raises(ValueError, match="`column` is 1"):
        path.support(1)
    with pytest.raises(ValueError, match="`n_nonzero_coefs` is -1"):
        path.at(-1)
