"""Learning from samples with missing entries."""

from __future__ import annotations

import numpy as np
import pytest

import dbksvd


@pytest.fixture
def holey() -> tuple[np.ndarray, np.ndarray]:
    """Whole samples of two atoms each, and the same with a quarter of their entries missing."""
    rng = np.random.default_rng(1)
    codes = np.zeros((800, 20))
    for row in codes:
        row[rng.choice(20, 2, replace=False)] = rng.normal(size=2)
    whole = codes @ rng.normal(size=(20, 16))
    return whole, np.where(rng.random(whole.shape) < 0.25, np.nan, whole)


def test_what_is_missing_is_learned(holey):
    whole, X = holey
    fit = dbksvd.learn_masked(X, 20, 2, max_iter=30, random_state=0)
    errors = [fit_pass["relative_error"] for fit_pass in fit.passes]
    assert len(errors) == 31 and errors[-1] < 0.2 * errors[0]
    assert [fit_pass["pass"] for fit_pass in fit.passes] == list(range(31))
    missing = np.isnan(X)
    filled = fit.model.complete(X)
    left = ((filled - whole)[missing] ** 2).sum() / (whole[missing] ** 2).sum()
    assert left < 0.3, left
    np.testing.assert_array_equal(filled[~missing], X[~missing])
    assert fit.codes.shape == (800, 20) and fit.codes.dtype == np.float64
    known = ~missing
    residual = np.where(known, whole - fit.model.decode(fit.codes), 0)
    relative = (residual**2).sum() / (whole[known] ** 2).sum()
    np.testing.assert_allclose(relative, errors[-1], rtol=1e-9)
    assert repr(fit).startswith("MaskedFit(Model(20 atoms of 16 features")


def test_results_are_a_function_of_data_seed_and_precision(holey):
    _, X = holey
    fits = [
        dbksvd.learn_masked(X, 20, 2, max_iter=3, random_state=5, n_jobs=n_jobs)
        for n_jobs in (1, 3)
    ]
    assert fits[0].model == fits[1].model and fits[0].passes == fits[1].passes
    weights = ~np.isnan(X)
    given = dbksvd.learn_masked(
        np.where(weights, X, 7.0), 20, 2, weights=weights, max_iter=3, random_state=5
    )
    assert given.model == fits[0].model
    other = dbksvd.learn_masked(X, 20, 2, max_iter=3, random_state=6)
    assert other.model != fits[0].model
    single = dbksvd.learn_masked(X.astype(np.float32), 20, 2, max_iter=3, random_state=5)
    assert single.codes.dtype == np.float32


def test_a_dictionary_is_given_and_signs_are_kept(holey):
    _, X = holey
    start = dbksvd.learn_masked(X, 20, 2, max_iter=4, random_state=0).model
    on = dbksvd.learn_masked(X, 20, 2, max_iter=0, dict_init=start)
    np.testing.assert_allclose(on.model.components_, start.components_, atol=1e-15)
    array = dbksvd.learn_masked(X, 20, 2, max_iter=0, dict_init=3 * start.components_)
    np.testing.assert_allclose(array.model.components_, start.components_, atol=1e-15)
    positive = dbksvd.learn_masked(np.abs(X), 20, 2, positive=True, max_iter=2, random_state=0)
    assert positive.codes.min() >= 0


def test_a_callback_ends_learning_or_raises(holey):
    _, X = holey
    seen = []

    def watch(told):
        seen.append(told)
        return told["pass"] < 2

    numpy_says = lambda told: np.bool_(told["pass"] < 2)  # noqa: E731
    fit = dbksvd.learn_masked(X, 20, 2, random_state=0, callback=numpy_says)
    assert len(fit.passes) == 3
    fit = dbksvd.learn_masked(X, 20, 2, random_state=0, callback=watch)
    assert seen == fit.passes and [told["pass"] for told in seen] == [0, 1, 2]
    assert {told["passes"] for told in seen} == {10}

    def broken(told):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        dbksvd.learn_masked(X, 20, 2, callback=broken)


def test_masked_arrays_and_missing_values_of_tables(holey):
    _, X = holey
    expected = dbksvd.learn_masked(X, 20, 2, max_iter=2, random_state=5)
    masked = np.ma.masked_array(np.where(np.isnan(X), -999.0, X), np.isnan(X))
    fit = dbksvd.learn_masked(masked, 20, 2, max_iter=2, random_state=5)
    assert fit.model == expected.model
    filled = expected.model.complete(X)
    np.testing.assert_array_equal(expected.model.complete(masked), filled)
    # Both say what is missing.
    is_third = np.arange(X.shape[1]) == 3
    some = np.ma.masked_array(X, np.broadcast_to(is_third, X.shape))
    weights = ~np.isnan(X) & ~is_third
    np.testing.assert_array_equal(
        expected.model.complete(some), expected.model.complete(X, weights)
    )
    assert expected.model.complete(masked, np.full(X.shape, 0.5)).shape == X.shape

    class Table:
        """What pandas does with its own missing values."""

        def __array__(self, dtype=None, copy=None):
            return np.where(np.isnan(X), None, X)

        def to_numpy(self, dtype, na_value):
            return np.where(np.isnan(X), na_value, X).astype(dtype)

    np.testing.assert_array_equal(expected.model.complete(Table()), filled)
    with pytest.raises(ValueError, match="`X` has masked entries"):
        expected.model.encode(masked)
    for wrong in (np.ones(16), np.ones((800, 15))):
        with pytest.raises(ValueError, match="`weights` has shape .*, expected that of `X`"):
            expected.model.complete(masked, wrong)


def test_blends_and_checks_are_in_the_precision_of_the_model():
    model = dbksvd.Model(np.eye(2), 1)
    X, weights = np.array([[1000.0, 3.0]]), np.array([[0.25, 1.0]])
    half = model.complete(X.astype(np.float16), weights.astype(np.float16))
    np.testing.assert_array_equal(half, model.complete(X, weights))
    single = dbksvd.Model(np.eye(2, dtype=np.float32), 1)
    X = np.ones((5000, 2))
    X[4500, 0] = 1e300
    with pytest.raises(ValueError, match="`X` is 1e.300 at row 4500, feature 0.*finite float32"):
        single.encode_masked(X)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"n_components": 0}, "`n_components` is 0"),
        ({"n_components": 9}, "`n_components` is 9"),
        ({"n_nonzero_coefs": 5}, "`n_nonzero_coefs` is 5"),
        ({"max_iter": -1}, "`max_iter` is -1"),
        ({"weights": np.full((8, 4), 2.0)}, "`weights` is 2.0 at row 0, feature 0"),
        ({"weights": np.ones((8, 3))}, r"`weights` has shape \(8, 3\)"),
        ({"weights": np.zeros((8, 4))}, "weights"),
        ({"dict_init": np.ones((2, 4))}, r"`dict_init` has shape \(2, 4\), expected \(5, 4\)"),
        ({"dict_init": np.zeros((5, 4))}, "atom 0 is zero"),
        ({"dict_init": dbksvd.Model(np.eye(5)[:, :4][:4], 1)}, r"has shape \(4, 4\)"),
        (
            {"dict_init": dbksvd.Model(np.eye(4), 1, mean=np.ones(4)), "n_components": 4},
            "`dict_init` has a mean or a scale",
        ),
        ({"n_components": 2**64}, "`n_components` is 18446744073709551616, .*at most"),
        ({"positive": "no"}, "`positive` is 'no', expected True or False"),
        ({"max_iter": 2.5}, "`max_iter` is 2.5"),
        ({"n_components": "4"}, "`n_components` is '4'"),
        ({"random_state": -1}, "`random_state` is -1"),
        ({"X": np.full((8, 4), np.inf)}, "`X` is inf at row 0, feature 0"),
        ({"X": np.full((8, 4), np.nan)}, "weights"),
        ({"X": np.zeros((8, 4))}, "zero"),
        ({"X": np.zeros((0, 4))}, "at least 1 sample"),
        ({"X": np.ones(4)}, r"`X` has shape \(4,\)"),
    ],
)
def test_what_cannot_be_learned_from(change, words):
    X = np.random.default_rng(0).normal(size=(8, 4))
    given = {"X": X, "n_components": 5, "n_nonzero_coefs": 2, "random_state": 0, **change}
    with pytest.raises(ValueError, match=words):
        dbksvd.learn_masked(**given)
