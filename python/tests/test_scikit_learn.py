"""The conventions of scikit-learn, by its own checks and in its own tools."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import planted
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dbksvd import DictionaryLearner, coders, updaters

CONFIGURATIONS = [
    DictionaryLearner(),
    DictionaryLearner(random_state=3, positive=True, center=True, scale=True),
    DictionaryLearner(coder="ols", updater="online", outliers=("clip", 3.0)),
    DictionaryLearner(coder=coders.Swaps(), updater=updaters.Incoherent(0.9), held_out=0.2),
    DictionaryLearner(groups=2, dict_init="gaussian"),
    DictionaryLearner(goal="true_features", sparse_output=False),
    DictionaryLearner(coder=coders.TopK(), updater="mod", sparse_output=False, center=True),
]


@parametrize_with_checks(CONFIGURATIONS)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def test_a_pipeline_and_a_grid_search(X):
    pipeline = make_pipeline(StandardScaler(), DictionaryLearner(24, random_state=0, max_iter=2))
    grid = GridSearchCV(pipeline, {"dictionarylearner__n_nonzero_coefs": [1, 3]}, cv=2).fit(X)
    assert grid.best_params_ == {"dictionarylearner__n_nonzero_coefs": 3}
    assert grid.best_estimator_.transform(X).shape == (600, 24)


def test_clone_keeps_every_parameter():
    learner = DictionaryLearner(5, 2, coder=coders.OMP(tol=0.1), groups=[2, 3], plateau=(3, 0.1))
    assert clone(learner).get_params() == learner.get_params()


def test_the_attributes_of_a_fit(X):
    learner = DictionaryLearner(24, 3, center=True, scale=True, max_iter=3, random_state=0).fit(X)
    assert learner.components_.shape == (24, 16)
    np.testing.assert_allclose(np.linalg.norm(learner.components_, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(learner.mean_, X.mean(axis=0), rtol=1e-4)
    assert learner.scale_ == pytest.approx(
        np.linalg.norm(X - learner.mean_, axis=1).mean(), rel=1e-5
    )
    assert (learner.n_iter_, learner.n_features_in_) == (3, 16)
    assert learner.n_steps_ == learner.report_.steps > 3
    assert learner.report_.stop == "completed"
    assert list(learner.get_feature_names_out()[:2]) == ["dictionarylearner0", "dictionarylearner1"]


def test_transform_and_back(X):
    learner = DictionaryLearner(24, 3, center=True, max_iter=10, random_state=0)
    codes = learner.fit_transform(X)
    assert isinstance(codes, sp.csr_array)
    assert (codes.dtype, codes.indices.dtype, codes.indptr.dtype) == (
        np.float32,
        np.int32,
        np.int32,
    )
    assert (codes.toarray() == learner.transform(X).toarray()).all()
    back = learner.inverse_transform(codes)
    np.testing.assert_allclose(back, codes @ learner.components_ + learner.mean_, atol=1e-5)
    np.testing.assert_array_equal(back, learner.inverse_transform(codes.toarray()))
    fvu = ((X - back) ** 2).sum() / ((X - X.mean(axis=0)) ** 2).sum()
    assert learner.score(X) == pytest.approx(1 - fvu, abs=1e-5)


@pytest.mark.parametrize(
    ("dtype", "expected"), [("float16", "float32"), ("float32", "float32"), ("float64", "float64")]
)
def test_the_precision_of_the_data_is_kept(X, dtype, expected):
    rows = X.astype(dtype)
    learner = DictionaryLearner(24, 3, max_iter=2, random_state=0).fit(rows)
    of_widened = DictionaryLearner(24, 3, max_iter=2, random_state=0).fit(rows.astype(expected))
    assert learner.components_.dtype == learner.transform(rows).dtype == expected
    np.testing.assert_array_equal(learner.components_, of_widened.components_)


def test_the_same_seed_gives_the_same_bits_on_any_number_of_threads(X):
    fits = [
        DictionaryLearner(24, 3, random_state=5, n_jobs=n, max_iter=3).fit(X) for n in (1, 2, -1)
    ]
    for fit in fits[1:]:
        np.testing.assert_array_equal(fit.components_, fits[0].components_)
    other = DictionaryLearner(24, 3, random_state=6, max_iter=3).fit(X)
    assert (other.components_ != fits[0].components_).any()


@pytest.mark.parametrize(
    "learner",
    [
        DictionaryLearner(24, 3, planned_steps=6, center=True, random_state=0),
        DictionaryLearner(24, 3, planned_steps=6, updater="online", random_state=0),
        DictionaryLearner(24, 6, planned_steps=6, goal="true_features", random_state=0),
        DictionaryLearner(24, 4, planned_steps=6, groups=[8, 16], random_state=0),
        DictionaryLearner(24, 3, planned_steps=6, dict_init=np.eye(16), random_state=0),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pickled_between_two_steps_it_takes_the_same_steps(learner, dtype):
    X = planted(600, dtype=dtype)
    whole, stored = clone(learner), clone(learner)
    for rows in np.split(X, 6):
        whole.partial_fit(rows)
        stored.partial_fit(rows)
        stored = pickle.loads(pickle.dumps(stored))
        np.testing.assert_array_equal(stored.components_, whole.components_)
    assert stored.n_steps_ == 6
    assert (stored.transform(X) != whole.transform(X)).nnz == 0


def test_a_fitted_learner_is_pickled_and_goes_on(X):
    learner = DictionaryLearner(24, 3, max_iter=3, random_state=0).fit(X)
    other = pickle.loads(pickle.dumps(learner))
    assert (other.transform(X) != learner.transform(X)).nnz == 0
    for fitted in (learner, other):
        fitted.partial_fit(X[:300])
    np.testing.assert_array_equal(other.components_, learner.components_)


def test_a_fit_of_true_features_goes_on_without_growth(X):
    learner = DictionaryLearner(24, 8, goal="true_features", random_state=0).fit(X)
    before = learner.components_.copy()
    learner.partial_fit(X)
    assert learner.components_.shape == (24, 16)
    assert 0 < np.abs(learner.components_ - before).max() < 1


def test_all_goals_learn(X):
    rows = planted(3000)
    features = DictionaryLearner(24, 3, goal="features", max_iter=6, random_state=0).fit(rows)
    assert features.model_.has_linear_coder
    assert features.coder_ == coders.Linear()
    assert features.model_.norm_limit is not None
    assert len(features.report_.epochs) == 6
    assert 1.0 < features.transform(rows).nnz / 3000 < 6.0
    rows = planted(4000, d=32, m=48)
    true = DictionaryLearner(48, 16, goal="true_features", random_state=0).fit(rows)
    codes = true.transform(rows)
    assert codes.data.min() > 0
    assert true.score(rows) > 0.9
    assert codes.nnz / 4000 == pytest.approx(3, abs=0.2)


def test_groups_are_coded_in_turn(X):
    learner = DictionaryLearner(24, 4, groups=[8, 16], random_state=0, max_iter=3).fit(X)
    codes = learner.transform(X).toarray()
    assert ((codes[:, :8] != 0).sum(axis=1) <= 2).all()
    assert ((codes != 0).sum(axis=1) <= 4).all()


def test_stop_rules(X):
    def stop(**rule):
        return DictionaryLearner(24, 3, random_state=0, batch_size=100, **rule).fit(X).report_

    assert stop(max_steps=7).steps == 7
    assert stop(max_steps=7).stop == "steps"
    assert stop(target_fvu=0.9, evaluate_every=1).stop == "target-fvu"
    assert stop(plateau=(1, 0.9)).stop == "plateau"
    assert stop(time_budget=0.01, max_iter=100_000).stop == "time"
    assert stop(callback=lambda progress: progress.total_steps < 5).stop == "observer"
    assert stop(callback=lambda progress: progress.total_steps < 5).steps == 5
    held_out = DictionaryLearner(24, 3, random_state=0, held_out=0.2, max_iter=3).fit(X)
    assert all(evaluation["held_out"] for evaluation in held_out.report_.evaluations)
    assert held_out.best_model_ is not None


def test_held_out_samples_of_ones_own(X):
    learner = DictionaryLearner(24, 3, random_state=0, max_iter=3).fit(X[:500], X_val=X[500:])
    evaluations = learner.report_.evaluations
    assert [e["n_samples"] for e in evaluations] == [100] * 3 and evaluations[0]["held_out"]
    left = 1 - learner.best_model_.encoder().measure(X[500:]).explained_variance
    assert min(e["fvu"] for e in evaluations) == pytest.approx(left, rel=1e-5)
    codes = DictionaryLearner(24, 3, random_state=0, max_iter=3).fit_transform(
        X[:500], X_val=X[500:]
    )
    np.testing.assert_array_equal(codes.toarray(), learner.transform(X[:500]).toarray())
    features = DictionaryLearner(24, 3, goal="features", random_state=0, max_iter=4)
    evaluations = features.fit(X[:500], X_val=X[500:]).report_.evaluations
    # Those of the first stage.
    assert len(evaluations) == 2 and all(e["n_samples"] == 100 for e in evaluations)
    with pytest.raises(ValueError, match="`X_val` is given, and `held_out` is 0.1"):
        learner.set_params(held_out=0.1).fit(X, X_val=X)
    with pytest.raises(ValueError, match="X has 8 features, but DictionaryLearner is expecting 16"):
        learner.set_params(held_out=None).fit(X, X_val=X[:, :8])


@pytest.mark.parametrize("goal", ["error", "features"])
def test_epochs_are_told_with_the_model_as_it_is_then(X, goal):
    told = []

    def note(epoch, model):
        told.append((epoch, model))
        return len(told) < 3

    learner = DictionaryLearner(24, 3, goal=goal, max_iter=6, random_state=0, epoch_callback=note)
    learner.fit(X)
    assert [epoch for epoch, _ in told] == learner.report_.epochs
    assert [epoch["epoch"] for epoch, _ in told] == [1, 2, 3]
    assert learner.report_.stop == "observer"
    models = [model for _, model in told]
    assert models[0] != models[1] and models[1] != models[2]
    np.testing.assert_array_equal(models[2].components_, learner.components_)


def test_a_learned_dictionary_is_begun_with(X, model):
    kept = DictionaryLearner(24, 3, dict_init=model, max_iter=0, random_state=0).fit(X)
    np.testing.assert_array_equal(kept.components_, model.components_)
    scaled = DictionaryLearner(24, 3, dict_init=5 * model.components_, max_iter=0).fit(X)
    np.testing.assert_allclose(scaled.components_, model.components_, atol=1e-6)


def test_pandas_like_names():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(planted(100), columns=[f"f{i}" for i in range(16)])
    learner = DictionaryLearner(4, 2, max_iter=1).fit(frame)
    assert list(learner.feature_names_in_) == list(frame.columns)
