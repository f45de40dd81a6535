"""Samples in files, checkpoints, and runs that go on."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import planted

import dbksvd
from dbksvd import DictionaryLearner


@pytest.fixture
def shards(tmp_path, X):
    folder = tmp_path / "shards"
    folder.mkdir()
    for i, rows in enumerate(np.array_split(X, 12)):
        np.save(folder / f"part{i}.npy", rows)
    return folder


def test_shards_are_one_source(shards, X):
    files = dbksvd.open_files(shards / "*.npy")
    assert files.shape == (600, 16) and files.element_type == "f32"
    np.testing.assert_array_equal(files.read(0, 600), X)
    np.testing.assert_array_equal(files.read(45, 130), X[45:130])
    assert files.read(5, 5).shape == (0, 16)
    with pytest.raises(ValueError, match="`rows` is 3:601, expected a range within 0:600"):
        files.read(3, 601)


def test_a_fit_on_files_is_like_one_in_memory(shards, X):
    learner = DictionaryLearner(24, 3, max_iter=5, random_state=0)
    scores = [learner.fit(rows).score(X) for rows in (X, shards, str(shards / "part*.npy"))]
    # Rows of files are read in runs, so the order differs.
    assert min(scores) > 0.97 * max(scores)
    codes = learner.transform(shards)
    np.testing.assert_array_equal(codes.toarray(), learner.transform(X).toarray())
    assert learner.score(shards) == learner.score(X)
    names = [str(shards / f"part{i}.npy") for i in range(3)]
    assert learner.transform(names).shape == (150, 24)
    with pytest.raises(ValueError, match="features"):
        np.save(shards.parent / "other.npy", np.ones((3, 4)))
        learner.transform(shards.parent / "other.npy")


def test_files_in_double_and_half_precision(tmp_path, X):
    for dtype, expected in [("float16", "float32"), ("float64", "float64")]:
        path = tmp_path / f"{dtype}.npy"
        np.save(path, X.astype(dtype))
        learner = DictionaryLearner(24, 3, max_iter=2, random_state=0).fit(path)
        assert learner.components_.dtype == expected
        rows = dbksvd.open_files(path)
        assert rows.read(0, 3).dtype == expected
        np.testing.assert_array_equal(rows.read(0, 3), X[:3].astype(dtype).astype(expected))


def test_masked_rows_are_left_out(tmp_path, X):
    np.save(tmp_path / "rows.npy", X)
    keep = np.arange(600) % 3 > 0
    np.save(tmp_path / "mask.npy", keep)
    files = dbksvd.open_files(tmp_path / "rows.npy", mask=tmp_path / "mask.npy")
    np.testing.assert_array_equal(files.read(0, 400), X[keep])
    assert DictionaryLearner(24, 3, max_iter=1).fit(files).report_.epochs[0]["n_samples"] == 400


def test_a_run_goes_on_from_its_checkpoints(tmp_path, X):
    common = {"max_iter": 6, "batch_size": 100, "random_state": 3, "center": True, "held_out": 0.1}
    whole = DictionaryLearner(24, 3, **common).fit(X)
    saved = {"checkpoint_dir": tmp_path / "run", "checkpoint_steps": 4, **common}

    def end(progress):
        return progress.total_steps < 11

    ended = DictionaryLearner(24, 3, callback=end, **saved).fit(X)
    assert (ended.n_steps_, ended.report_.stop) == (11, "observer")
    with pytest.raises(ValueError, match="holds checkpoints of an earlier run"):
        DictionaryLearner(24, 3, **saved).fit(X)
    resumed = DictionaryLearner(24, 3, resume=True, **saved).fit(X)
    assert resumed.report_.resumed_from == 11
    np.testing.assert_array_equal(resumed.components_, whole.components_)
    assert resumed.best_model_ == whole.best_model_
    with pytest.raises(ValueError, match="`sparsity` was 3, now it is 2"):
        DictionaryLearner(24, 2, resume=True, **saved).fit(X)


def test_both_stages_of_a_run_for_features_go_on(tmp_path, X):
    common = {"goal": "features", "max_iter": 6, "batch_size": 100, "random_state": 3}
    whole = DictionaryLearner(24, 3, **common).fit(X)
    for share in (0.2, 0.8):
        saved = {"checkpoint_dir": tmp_path / f"run-{share}", "checkpoint_steps": 4, **common}
        seen = []

        def end(progress, share=share, seen=seen):
            seen.append((progress.epoch, progress.total_steps))
            return progress.done < share

        ended = DictionaryLearner(24, 3, callback=end, **saved).fit(X)
        assert ended.report_.stop == "observer" and seen == sorted(seen)
        resumed = DictionaryLearner(24, 3, resume=True, **saved).fit(X)
        assert resumed.report_.resumed_from == ended.n_steps_ == len(seen)
        assert resumed.model_ == whole.model_


def test_a_file_that_shrinks_ends_the_run_and_keeps_the_model(tmp_path):
    path = tmp_path / "rows.npy"
    np.save(path, planted(4000))

    def cut(progress):
        if progress.total_steps == 5:
            path.write_bytes(path.read_bytes()[:5000])

    learner = DictionaryLearner(24, 3, callback=cut, batch_size=100, random_state=0)
    with pytest.raises(OSError, match=r"rows.npy"):
        learner.fit(path)
    assert learner.n_steps_ >= 5 and learner.report_.stop == "failed"
    assert learner.transform(planted(3)).shape == (3, 24)
