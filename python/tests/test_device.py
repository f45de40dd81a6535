"""Learning on graphics devices, or why that cannot be."""

from __future__ import annotations

import numpy as np
import pytest

import dbksvd
from dbksvd import coders, updaters
from dbksvd.__main__ import main

FOUND = dbksvd.devices()
needs_a_device = pytest.mark.skipif(not FOUND, reason="no graphics device is here")


def learner(**options) -> dbksvd.DictionaryLearner:
    given = {"device": "gpu", "max_iter": 4, "random_state": 0, **options}
    return dbksvd.DictionaryLearner(24, 3, **given)


@needs_a_device
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"coder": "ols", "positive": True, "center": True, "outliers": ("clip", 3.0)},
        {"updater": updaters.KSVD(power_steps=None, memory=None), "held_out": 0.2},
    ],
)
def test_a_device_learns_what_the_processor_learns(X, options):
    assert dbksvd.devices() == FOUND
    device = learner(**options).fit(X)
    processor = learner(device="cpu", **options).fit(X)
    assert device.components_.shape == processor.components_.shape
    assert device.n_steps_ == processor.n_steps_
    assert abs(device.score(X) - processor.score(X)) < 0.02
    again = learner(**options).fit(X)
    np.testing.assert_array_equal(again.components_, device.components_)


@needs_a_device
def test_runs_on_a_device_are_watched_saved_and_resumed(X, tmp_path):
    seen = []
    whole = learner(callback=lambda progress: seen.append(progress.total_steps)).fit(X)
    assert seen == list(range(1, whole.n_steps_ + 1))
    checkpoints = {"checkpoint_dir": tmp_path / "run", "checkpoint_steps": 1}
    ended = learner(callback=lambda p: p.total_steps < 3, **checkpoints).fit(X)
    assert ended.n_steps_ == 3
    resumed = learner(resume=True, **checkpoints).fit(X)
    np.testing.assert_array_equal(resumed.components_, whole.components_)


@needs_a_device
def test_the_command_line_learns_on_a_device(X, tmp_path):
    np.save(tmp_path / "rows.npy", X)
    main(
        [
            "learn",
            "--data",
            str(tmp_path / "rows.npy"),
            "--atoms",
            "24",
            "--sparsity",
            "3",
            "--epochs",
            "2",
        ]
        + ["--device", "gpu:0", "--out", str(tmp_path / "out"), "--quiet"]
    )
    model = dbksvd.Model.load(tmp_path / "out" / "dictionary.safetensors")
    assert model.shape == (24, 16)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "gpu:no such card"}, "no such card|no graphics adapter"),
        ({"device": "gpu:999"}, "999|no graphics adapter"),
        ({"device": "gpu:"}, '`device` is "gpu:", expected'),
        ({"device": "cuda"}, '`device` is "cuda", expected'),
    ],
)
def test_devices_that_are_not_there(X, options, words):
    with pytest.raises((ValueError, RuntimeError), match=words):
        learner(**options).fit(X)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coder": "swaps"}, "`coder` is \"swaps\", expected 'omp', 'ols' or coders.OMP"),
        ({"coder": coders.Lasso(0.1)}, '`coder` is "lasso"'),
        ({"updater": "online"}, "`updater` is \"online\", expected 'ksvd'"),
        ({"goal": "features"}, "`goal` is \"features\", expected 'error' with device"),
        ({"groups": np.array([4, 20])}, "`groups` is given, expected None with device"),
        ({"device": 1}, "`device` is 1, expected 'cpu'"),
    ],
)
def test_what_devices_do_not_do(X, options, words):
    with pytest.raises(ValueError, match=words):
        learner(**options).fit(X)


@needs_a_device
def test_double_precision_is_the_processors(X):
    with pytest.raises(ValueError, match="`X` is float64, expected float32 or float16"):
        learner().fit(X.astype(np.float64))
    # What is wrong with the device is said first.
    with pytest.raises(ValueError, match='`device` is "cuda"'):
        learner(device="cuda").fit(X.astype(np.float64))


def test_steps_are_the_processors(X):
    with pytest.raises(ValueError, match="`device` is \"gpu\", expected 'cpu': .*`fit`"):
        learner().partial_fit(X)
