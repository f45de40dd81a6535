"""Everything that can be given wrong: the error is of the type that Python people expect, and names
the argument, what was found and what was expected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import planted
from sklearn.exceptions import NotFittedError

import dbksvd
from dbksvd import DictionaryLearner, coders, updaters

CASES = [
    ("n_components", 0, "`n_components` is 0, expected a whole number of at least 1"),
    ("n_components", 2.5, "`n_components` is 2.5"),
    ("n_components", True, "`n_components` is True"),
    ("n_components", "4", "`n_components` is '4'"),
    ("n_nonzero_coefs", 0, "`n_nonzero_coefs` is 0"),
    ("n_nonzero_coefs", 17, "`n_nonzero_coefs` is 17, expected"),
    ("goal", "errors", "`goal` is 'errors', expected one of"),
    ("coder", "ompp", "`coder` is 'ompp', expected one of 'omp'"),
    ("coder", 3, "`coder` is 3"),
    ("coder", coders.OMP, "`coder` is <class"),
    ("coder", coders.OMP(tol=1.0, relative_tol=0.1), "`relative_tol` is 0.1, expected None"),
    ("coder", coders.OMP(tol=-1.0), "`tol` is -1"),
    ("coder", coders.Exact(), None),
    ("coder", coders.Threshold(0.5), "`positive` is signed"),
    ("coder", "linear", '`coder` is "linear"'),
    ("coder", coders.Lasso(-1.0), "`penalty` is -1"),
    ("coder", coders.Swaps("nothing"), "`coder` is 'nothing'"),
    ("updater", "kvsd", "`updater` is 'kvsd', expected one of 'ksvd'"),
    ("updater", updaters.KSVD(atom_batch=0), "`atom_batch` is 0"),
    ("updater", updaters.KSVD(power_steps=0), "`power_steps` is 0"),
    ("updater", updaters.KSVD(memory=(0.9, 0.1, 0.5)), "`memory`"),
    ("updater", updaters.Incoherent(2.0), "`max_coherence`"),
    ("updater", updaters.Online(retention=2.0), "`retention` is 2"),
    ("updater", updaters.KSVD(sweeps=-1), "`sweeps` is -1: can't convert negative int"),
    ("updater", updaters.KSVD(sweeps=2.5), "`sweeps` is 2.5"),
    ("updater", updaters.Incoherent(0.5, iterations=0), "`iterations` is 0"),
    ("updater", updaters.Fixed([2**40]), "`atoms` is"),
    ("coder", coders.OMP(relative_tol=-1.0), "`relative_tol` is -1"),
    ("dict_init", Path("none.npy"), "`dict_init`"),
    ("n_components", 2**64, "`n_components` is 18446744073709551616, .*at most"),
    ("random_state", 2**64, "`random_state` is 18446744073709551616, .*at most"),
    ("updater", updaters.Fixed([24]), "fixed"),
    ("updater", updaters.Fixed([0, 0]), "fixed"),
    ("updater", updaters.Fixed([0], max_coherence=2.0), "`max_coherence`"),
    ("updater", updaters.Fixed([0], "kvsd"), "`updater` is 'kvsd'"),
    ("groups", [10, 10], "`groups"),
    ("groups", [12, -1, 13], r"`groups` is \[12, -1, 13\]"),
    ("groups", "ab", "`groups` is 'ab'"),
    ("groups", 0, "`groups` is 0"),
    ("positive", 1, "`positive` is 1, expected True or False"),
    ("center", "yes", "`center` is 'yes'"),
    ("scale", None, "`scale` is None"),
    ("outliers", "clip", "`outliers` is 'clip', expected 'keep', "),
    ("outliers", ("clip", -1), r"`outliers\[1\]` is -1"),
    ("max_iter", -1, "`max_iter` is -1"),
    ("batch_size", 0, "`batch_size` is 0"),
    ("dict_init", "random", "`dict_init` is 'random', expected an array"),
    ("dict_init", np.ones((3, 5)), "`dict_init` has 5 features, expected 16"),
    ("dict_init", np.ones((30, 16)), "`dict_init` is a dictionary of 30 atoms"),
    ("dict_init", np.zeros((2, 16)), "atom 0 is zero"),
    ("dict_init", np.full((2, 16), np.nan), "atom 0 is not finite"),
    ("start_at", 1.0, "`start_at` is 1.0"),
    ("max_steps", 0, "`max_steps` is 0"),
    ("time_budget", 0, "`time_budget` is 0"),
    ("time_budget", 1e300, "`time_budget` is 10{300}, expected a positive number of seconds"),
    ("target_fvu", float("nan"), "`target_fvu` is nan"),
    ("plateau", 3, "`plateau` is 3, expected"),
    ("plateau", (0, 0.1), r"`plateau\[0\]` is 0"),
    ("held_out", 1.5, "`held_out` is 1.5"),
    ("evaluate_every", 0, "`evaluate_every` is 0"),
    ("checkpoint_steps", 3, "`checkpoint_steps` is given, and `checkpoint_dir` is None"),
    ("resume", True, "`resume` is True, and `checkpoint_dir` is None"),
    ("n_jobs", 0, "`n_jobs` is 0"),
    ("n_jobs", -2, "`n_jobs` is -2"),
    ("random_state", -1, "`random_state` is -1"),
]


@pytest.mark.parametrize(("name", "value", "words"), CASES)
def test_parameters_outside_their_range(name, value, words):
    learner = DictionaryLearner(**{"n_components": 24, "n_nonzero_coefs": 3, name: value})
    if words is None:
        learner.set_params(max_iter=1).fit(planted(50))
        return
    with pytest.raises(ValueError, match=words):
        learner.fit(planted(50))
    assert not hasattr(learner, "model_")


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        (
            {"goal": "features", "coder": "ols"},
            "`coder` is 'ols', expected 'omp' with goal='features'",
        ),
        ({"goal": "true_features", "updater": "mod"}, "`updater` is 'mod'"),
        ({"goal": "features", "max_steps": 3}, "`max_steps` is 3, expected None"),
        ({"goal": "features", "max_iter": 1}, "`max_iter` is 1, expected at least 2"),
        ({"goal": "features", "n_nonzero_coefs": 13}, "`n_nonzero_coefs` is 13"),
        ({"goal": "features", "n_nonzero_coefs": -1}, "`n_nonzero_coefs` is -1"),
    ],
)
def test_parameters_that_do_not_go_together(parameters, words):
    with pytest.raises(ValueError, match=words):
        DictionaryLearner(**{"n_components": 24, "n_nonzero_coefs": 3, **parameters}).fit(
            planted(50)
        )


@pytest.mark.parametrize(
    ("rows", "error", "words"),
    [
        (np.ones(5), ValueError, "shape"),
        (np.ones((2, 3, 4)), ValueError, "shape"),
        (np.ones((3, 15)), ValueError, "`X` has 15 features, expected 16"),
        (np.ones((0, 16)), ValueError, r"`X.shape\[0\]` is 0"),
        (np.ones((3, 0)), ValueError, r"`X.shape\[1\]` is 0"),
        (np.ones((3, 16), complex), ValueError, "complex128, expected real numbers"),
        (np.full((3, 16), np.nan), ValueError, "row 0 of X contains NaN or infinity"),
        (np.full((3, 16), "a"), ValueError, "expected real numbers"),
        (sp.csr_array(np.ones((3, 16))), TypeError, "`X` is sparse, expected a dense array"),
        ("nothing-is-here.npy", FileNotFoundError, "nothing-is-here.npy"),
        ("nothing-*.npy", FileNotFoundError, "nothing-"),
    ],
)
def test_samples_that_cannot_be_coded(model, rows, error, words):
    with pytest.raises(error, match=words):
        model.encode(rows)


def test_tensors_that_are_not_in_memory(model):
    class Tensor:
        dtype, device = "bfloat16", "cuda:0"

        def __dlpack__(self, **options):
            raise BufferError("not on the processor")

        def __dlpack_device__(self):
            return (2, 0)

    with pytest.raises(ValueError, match="a tensor of bfloat16 on cuda:0, expected float16"):
        model.encode(Tensor())


@pytest.mark.parametrize(
    ("codes", "words"),
    [
        (np.ones((2, 23)), r"`codes` has shape \(2, 23\), expected \(n, 24\)"),
        (sp.csr_array((2, 25)), r"`codes` has shape \(2, 25\)"),
    ],
)
def test_codes_that_cannot_be_decoded(model, codes, words):
    with pytest.raises(ValueError, match=words):
        model.decode(codes)


def test_codes_that_are_not_those_of_the_samples(model, X):
    with pytest.raises(ValueError, match="`codes` is 3 rows, expected 600"):
        model.measure(X, np.ones((3, 24)))


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((np.ones((2, 3)), 1), {}, "atom 0 has norm"),
        ((np.eye(3), 4), {}, "`n_nonzero_coefs` is 4"),
        ((np.eye(3), 0), {}, "`n_nonzero_coefs` is 0"),
        ((np.eye(3), 1), {"mean": np.ones(2)}, r"`mean` has shape \(2,\), expected \(3,\)"),
        ((np.eye(3), 1), {"mean": np.full(3, np.inf)}, "`mean` is inf"),
        ((np.eye(3), 1), {"scale": 0.0}, "`scale` is 0"),
        ((np.eye(3), 1), {"norm_limit": -1.0}, "`norm_limit` is -1"),
        ((np.zeros((2, 3)), 1), {"normalize": True}, "atom 0 is zero"),
        ((np.eye(3)[0], 1), {}, r"`components` has shape \(3,\)"),
        (("x.npy", 1), {}, "`components` has shape"),
    ],
)
def test_models_that_cannot_be(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        dbksvd.Model(*arguments, **options)


@pytest.mark.parametrize(
    ("D", "Y", "options", "words"),
    [
        (np.ones(3), np.ones(3), {}, "`D` has shape"),
        (np.eye(3), np.ones(4), {}, r"`Y` has shape \(4,\), expected \(3,\)"),
        (np.eye(3), np.ones(3), {"tol": -1}, "`tol` is -1"),
        (np.eye(3), np.ones(3), {"n_nonzero_coefs": 4}, "`n_nonzero_coefs` is 4"),
        (np.zeros((3, 3)), np.ones(3), {}, "atom 0 is zero"),
    ],
)
def test_pursuits_that_cannot_be(D, Y, options, words):
    with pytest.raises(ValueError, match=words):
        dbksvd.omp(D, Y, **options)


def test_files_that_are_no_models(tmp_path, model):
    with pytest.raises(FileNotFoundError, match="none.safetensors"):
        dbksvd.Model.load(tmp_path / "none.safetensors")
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises((ValueError, OSError), match="broken.safetensors"):
        dbksvd.Model.load(path)
    with pytest.raises(OSError, match="no such folder|No such file"):
        model.save(tmp_path / "no such folder" / "model.safetensors")
    with pytest.raises(ValueError, match="`dtype` is float16"):
        model.save(path)
        dbksvd.Model.load(path, dtype="float16")
    with pytest.raises(OSError, match=r"cfg.json|none"):
        dbksvd.load_saelens(tmp_path / "none")


def test_what_is_not_fitted(X):
    learner = DictionaryLearner()
    for call in (learner.transform, learner.inverse_transform, learner.score):
        with pytest.raises(NotFittedError):
            call(X)


def test_what_cannot_be_learned_step_by_step(X):
    with pytest.raises(
        ValueError, match="`goal` is 'features', expected 'error' or 'true_features'"
    ):
        DictionaryLearner(24, 3, goal="features").partial_fit(X)
    with pytest.raises(ValueError, match="`planned_steps` is 0"):
        DictionaryLearner(24, 3, planned_steps=0).partial_fit(X)


def test_a_step_that_is_refused_changes_nothing(X):
    learner = DictionaryLearner(24, 3, random_state=0).partial_fit(X)
    before = learner.components_.copy()
    with pytest.raises(ValueError, match="NaN"):
        learner.partial_fit(np.full((5, 16), np.nan))
    with pytest.raises(ValueError, match="features"):
        learner.partial_fit(np.ones((5, 15)))
    np.testing.assert_array_equal(learner.components_, before)


def test_nothing_to_learn_from():
    with pytest.raises(ValueError, match="nothing to learn from"):
        DictionaryLearner(4, 2, outliers=("drop", 3.0)).fit(np.zeros((20, 8)))
    with pytest.raises(ValueError, match="norm limit"):
        DictionaryLearner(4, 2, outliers=("drop", 0.01)).fit(planted(50, d=8))
