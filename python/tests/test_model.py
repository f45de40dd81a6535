"""Models, encoders, codes: numbers of any kind in, SciPy's compressed rows out."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import planted
from sklearn.base import clone
from sklearn.decomposition import sparse_encode

import dbksvd
from dbksvd import coders, updaters

ROOT = Path(__file__).parents[2]


def same(a: sp.csr_array, b: sp.csr_array) -> bool:
    """Whether codes are the same, bit by bit."""
    pairs = [(a.data, b.data), (a.indices, b.indices), (a.indptr, b.indptr)]
    return all(x.dtype == y.dtype and (x == y).all() for x, y in pairs)


def test_codes_are_those_that_rust_writes():
    """Of the outputs of `cargo run --release --example learn`, in the folder of this variable."""
    outputs = os.environ.get("DBKSVD_LEARNED")
    if outputs is None:
        pytest.skip("DBKSVD_LEARNED names no folder with the outputs of the example `learn`")
    (path,) = (p for p in Path(outputs).glob("*.safetensors"))
    model = dbksvd.Model.load(path)
    codes = model.encode(ROOT / "data/minilm_l3_8192_f16.safetensors")
    (written,) = Path(outputs).glob("*.npz")
    written = sp.load_npz(written)
    assert codes.shape == written.shape == (8192, model.shape[0])
    assert codes.data.dtype == written.data.dtype
    np.testing.assert_array_equal(codes.indptr, written.indptr)
    np.testing.assert_array_equal(codes.indices, written.indices)
    np.testing.assert_array_equal(codes.data.view(np.int32), written.data.view(np.int32))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_any_precision_is_read_as_it_is(model, X, dtype):
    rows = X.astype(dtype)
    codes = model.encode(rows)
    assert codes.dtype == np.float32
    assert same(codes, model.encode(rows.astype(np.float32)))


def test_any_layout_gives_the_same_codes(model, X):
    codes = model.encode(X)
    swapped = X.astype(X.dtype.newbyteorder())
    for rows in [np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], X.tolist(), swapped]:
        assert same(model.encode(rows), codes)
    whole = np.rint(10 * X).astype(np.int64)
    assert same(model.encode(whole), model.encode(whole.astype(np.float64)))
    frozen = X.copy()
    frozen.flags.writeable = False
    assert same(model.encode(frozen), codes)


class Tensor:
    """What a tensor of another library has."""

    def __init__(self, array):
        self.array, self.dtype, self.device, self.is_detached = array, array.dtype, "cpu", False

    def detach(self):
        self.is_detached = True
        return self

    def __dlpack__(self, **options):
        assert self.is_detached
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_tensors_are_read_where_they_lie(model, X):
    assert same(model.encode(Tensor(X)), model.encode(X))
    learner = dbksvd.DictionaryLearner(8, 2, max_iter=1, random_state=0)
    expected = learner.fit(X).components_
    np.testing.assert_array_equal(learner.fit(Tensor(X)).components_, expected)


def test_a_code_depends_on_its_sample_alone(model):
    X = planted(9000)
    codes = model.encode(X)
    assert same(model.encode(X[4000:4200]), codes[4000:4200])


@pytest.mark.parametrize(
    "coder",
    ["omp", "ols", "textbook_omp", "matching_pursuit", "swaps", "top_k", "exact",
     coders.OMP(relative_tol=0.3), coders.MatchingPursuit(refit=True), coders.TopK(refit=True),
     coders.Swaps("ols", max_swaps=2), coders.Matryoshka([8, 16], [1, 2]),
     coders.OMP(min_correlation=0.5), coders.OMP(gram_limit=0),
     coders.Lasso(0.1), coders.Lasso(0.3, refit=True, gram_limit=0)],
)  # fmt: skip
def test_every_coder_codes(model, X, coder):
    codes = model.encode(X, coder=coder)
    assert codes.shape == (600, 24)
    assert (np.diff(codes.indptr) <= 3).all()
    error = ((X - model.decode(codes)) ** 2).sum()
    assert 0 < error < (X**2).sum()
    measures = model.measure(X, coder=coder)
    assert measures.squared_error == pytest.approx(error, rel=1e-4)
    assert measures.usage.sum() == codes.nnz
    assert same(dbksvd.Encoder(model, coder).encode(X), codes)


def test_the_threshold_coder_codes(X):
    model = dbksvd.Model(planted(24), 8, positive=True, normalize=True)
    codes = model.encode(X, coder=coders.Threshold(0.3, prune=0.2))
    assert codes.data.min() > 0 and np.diff(codes.indptr).max() > 1
    fewer = model.encode(X, coder=coders.Threshold(0.6, prune=0.5))
    assert fewer.nnz < codes.nnz


@pytest.mark.parametrize("inner", [updaters.KSVD(), updaters.Online(), "ksvd"])
def test_fixed_atoms_stay_bit_by_bit(X, inner):
    known = np.random.default_rng(3).normal(size=(2, 16)).astype("float32")
    known /= np.linalg.norm(known, axis=1, keepdims=True)
    updater = updaters.Fixed(np.array([1, 0]), inner)
    assert updater == updaters.Fixed((1, 0), inner) and updater.atoms == (1, 0)
    learner = dbksvd.DictionaryLearner(
        24, 3, updater=updater, dict_init=known, max_iter=4, random_state=0
    ).fit(X)
    given = dbksvd.Model(known, 1, normalize=True).components_
    np.testing.assert_array_equal(learner.components_[:2], given)
    free = clone(learner).set_params(updater=inner).fit(X)
    assert (free.components_[:2] != given).any()
    assert learner.score(X) > 0.8 * free.score(X)


@pytest.mark.parametrize("kind", [updaters.KSVD, updaters.Online])
def test_atoms_without_negative_entries(X, kind):
    def least(**options) -> float:
        options |= {"max_iter": 3, "random_state": 0, "positive": True}
        return dbksvd.DictionaryLearner(24, 3, **options).fit(np.abs(X)).components_.min()

    assert least(updater=kind(positive_atoms=True)) >= 0 > least(updater=kind())


@pytest.mark.parametrize("positive", [False, True])
def test_the_lasso_is_scikit_learns(X, positive):
    X = X[:50].astype(np.float64)
    model = dbksvd.Model(planted(24).astype(np.float64), 16, positive=positive, normalize=True)
    codes = model.encode(X, coder=coders.Lasso(0.5)).toarray()
    expected = sparse_encode(
        X, model.components_, algorithm="lasso_cd", alpha=0.5, positive=positive, max_iter=100_000
    )
    np.testing.assert_allclose(codes, expected, atol=1e-3)
    assert 1 < (codes != 0).sum(axis=1).mean() < 16
    fewer = model.with_n_nonzero_coefs(2).encode(X, coder=coders.Lasso(0.5))
    assert np.diff(fewer.indptr).max() == 2


def test_missing_entries_are_found_again():
    atoms, rng = planted(24).astype(np.float64), np.random.default_rng(0)
    model = dbksvd.Model(atoms, 2, mean=np.full(16, 3.0), scale=2.0, normalize=True)
    codes = np.zeros((5000, 24))
    for row in codes:
        row[rng.choice(24, 2, replace=False)] = rng.normal(size=2)
    whole = model.decode(codes)
    X = whole.copy()
    X[rng.random(X.shape) < 0.2] = np.nan
    filled = model.complete(X)
    known = ~np.isnan(X)
    np.testing.assert_array_equal(filled[known], X[known])
    # A greedy pursuit does not find the atoms of every sample.
    assert (np.abs(filled - whole).max(axis=1) < 1e-9).mean() > 0.85

    # What is known may be said by weights, of any kind; the rest may be anything.
    by_nan = model.encode_masked(X)
    for weights in [known, known.astype(np.uint8), known.astype(np.float16).tolist()]:
        assert same(model.encode_masked(np.nan_to_num(X, nan=1e300), weights), by_nan)
    assert same(model.encode_masked(X[4000:], n_jobs=1), by_nan[4000:])
    assert same(model.encode_masked(whole, np.ones_like(X)), model.encode_masked(whole))
    # Where all is known, it is OMP.
    expected = model.decode(model.encode(whole))
    np.testing.assert_allclose(model.decode(model.encode_masked(whole)), expected, atol=1e-9)
    # Half a weight fills in half of what is decoded.
    half = model.complete(whole[:9] + 0.5, np.full((9, 16), 0.5))
    decoded = model.decode(model.encode_masked(whole[:9] + 0.5, np.full((9, 16), 0.5)))
    np.testing.assert_allclose(half, (whole[:9] + 0.5 + decoded) / 2, rtol=1e-12)


def test_missing_entries_in_single_and_half_precision(model, X):
    X = X.copy()
    X[::3, ::5] = np.nan
    codes = model.encode_masked(X)
    assert codes.dtype == np.float32 and (np.diff(codes.indptr) <= 3).all()
    rounded = X.astype(np.float16)
    filled = model.complete(rounded)
    assert filled.dtype == np.float32 and np.isfinite(filled).all()
    np.testing.assert_array_equal(filled[~np.isnan(X)], rounded[~np.isnan(X)].astype(np.float32))


def test_what_is_no_sample_with_weights(model, X):
    wrong = X.copy()
    wrong[500, 3] = np.inf
    weights = np.ones_like(X)
    weights[7, 2] = -0.5
    for samples, given, text in [
        (
            wrong,
            None,
            "`X` is inf at row 500, feature 3, expected a finite float32, or a weight",
        ),
        (X, weights, "`weights` is -0.5 at row 7, feature 2, expected 0 to 1"),
        (X, weights[:, 1:], r"`weights` has shape \(600, 15\), expected that of `X`"),
        (X[:, 1:], None, "`X` has 15 features, expected 16"),
        (X[0], None, "`X` has shape"),
        (X[:0], None, r"`X.shape\[0\]` is 0, expected at least 1 sample"),
    ]:
        with pytest.raises(ValueError, match=text):
            model.encode_masked(samples, given)
        with pytest.raises(ValueError, match=text):
            model.complete(samples, given)


def test_better_coders_have_smaller_errors(model, X):
    errors = [model.measure(X, coder=c).squared_error for c in ("top_k", "omp", "swaps", "exact")]
    assert errors == sorted(errors, reverse=True)


def test_measures_of_given_codes(model, X):
    codes = model.encode(X)
    given, own = model.measure(X, codes), model.measure(X)
    # Rows of a matrix hold their atoms in another order, and sums have the order of the atoms.
    assert given.fvu == pytest.approx(own.fvu, rel=1e-12)
    np.testing.assert_array_equal(given.usage, own.usage)
    assert given.dead_atoms.tolist() == np.flatnonzero(own.usage == 0).tolist()


def test_saved_and_loaded_and_pickled_a_model_is_the_same(tmp_path, X):
    for options in [
        {},
        {"goal": "features", "max_iter": 4},
        {"center": True, "outliers": ("drop", 2)},
    ]:
        for dtype in ["float32", "float64"]:
            learner = dbksvd.DictionaryLearner(24, 3, random_state=0, **{"max_iter": 2, **options})
            model = learner.fit(X.astype(dtype)).model_
            path = tmp_path / "model.safetensors"
            model.save(path)
            loaded = dbksvd.Model.load(path)
            assert loaded == model and loaded.dtype == dtype
            assert pickle.loads(pickle.dumps(model)) == model
            assert same(loaded.encode(X), model.encode(X))
            other = dbksvd.Model.load(path, dtype="float64" if dtype == "float32" else "float32")
            assert other != model and other.dtype != model.dtype


def test_coders_of_equal_groups_are_equal():
    groups, same_groups = coders.Matryoshka([4, 20]), coders.Matryoshka(np.array([4, 20]))
    assert groups == same_groups and hash(groups) == hash(same_groups)
    assert groups != coders.Matryoshka([20, 4])


def test_a_pickled_encoder_codes_the_same(model, X):
    encoder = dbksvd.Encoder(model, "ols")
    assert same(pickle.loads(pickle.dumps(encoder)).encode(X), encoder.encode(X))


def test_decoding_takes_sparse_and_dense_codes_of_any_form(model, X):
    codes = model.encode(X)
    expected = model.decode(codes)
    for form in [codes.toarray(), sp.coo_array(codes), sp.csc_array(codes), codes.tolil()]:
        np.testing.assert_array_equal(model.decode(form), expected)
    twice = sp.csr_array(
        (np.r_[1.0, 2.0], np.r_[3, 3], np.r_[0, 2]), shape=(1, 24)
    )  # an atom twice
    once = sp.csr_array((np.r_[3.0], np.r_[3], np.r_[0, 1]), shape=(1, 24))
    np.testing.assert_array_equal(model.decode(twice), model.decode(once))
    assert twice.nnz == 2


def test_saelens_files_go_out_and_come_back(tmp_path, model, X):
    model.save_saelens(tmp_path / "mp")
    sae = dbksvd.load_saelens(tmp_path / "mp")
    assert sae.architecture == "matching_pursuit" and sae.shape == (48, 16)
    model.save_saelens(tmp_path / "topk", encoder="top_k")
    assert dbksvd.load_saelens(tmp_path / "topk").architecture == "abstopk"
    features = dbksvd.DictionaryLearner(24, 3, goal="features", max_iter=4, random_state=0)
    learned = features.fit(X)
    learned.model_.save_saelens(tmp_path / "linear")
    sae = dbksvd.load_saelens(tmp_path / "linear")
    assert sae.architecture == "jumprelu"
    codes, own = sae.encode(X), learned.transform(X)
    # The autoencoder has no limit for the nonzeros of a sample.
    below = np.diff(own.indptr) < learned.model_.n_nonzero_coefs
    np.testing.assert_allclose(codes[below].toarray(), own[below].toarray(), atol=1e-5)
    np.testing.assert_allclose(sae.decoder, learned.components_, atol=1e-6)
    pursued = sae.model(3).encode(X)
    assert pursued.shape == (600, 24)
    with pytest.raises(ValueError, match="linear_coder"):
        model.save_saelens(tmp_path / "none", encoder="linear")


def test_measures_of_dictionaries(model):
    shuffled = -3 * model.components_[::-1]
    recovery = dbksvd.recovery(shuffled, model)
    assert recovery.mcc == pytest.approx(1) and recovery.uniqueness == 1
    assert recovery.recovered == 1
    np.testing.assert_array_equal(recovery.pairs[1], np.arange(24)[::-1])
    cosines = np.abs(model.components_ @ model.components_.T) - np.eye(24)
    assert dbksvd.coherence(model).coherence == pytest.approx(cosines.max(), rel=1e-5)


def test_what_a_model_says_of_itself(model):
    assert repr(model).startswith("Model(24 atoms of 16 features, at most 3 a sample, signed")
    assert "<td>24</td>" in model._repr_html_()
    assert model.with_n_nonzero_coefs(2).n_nonzero_coefs == 2
    with pytest.raises(ValueError, match="read-only"):
        model.components_[0] = 0
