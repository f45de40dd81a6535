"""`python -m dbksvd`: what it writes, prints and refuses."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import planted

import dbksvd
from dbksvd.__main__ import main


@pytest.fixture
def data(tmp_path):
    np.save(tmp_path / "rows.npy", planted(600))
    return tmp_path / "rows.npy"


def learn(data, out, *more):
    options = ["--atoms", "24", "--sparsity", "3", "--epochs", "3", "--quiet", *map(str, more)]
    return main(["learn", "--data", str(data), "--out", str(out), *options])


def test_learn_writes_what_the_estimator_learns(data, tmp_path, capsys):
    out = tmp_path / "out"
    assert learn(data, out, "--seed", 5, "--mean", "--held-out", 0.1) == 0
    model = dbksvd.Model.load(out / "dictionary.safetensors")
    learner = dbksvd.DictionaryLearner(
        24, 3, max_iter=3, random_state=5, center=True, held_out=0.1
    ).fit(data)
    assert learner.model_ == model
    np.testing.assert_array_equal(np.load(out / "dictionary.npy"), model.components_)
    codes = sp.load_npz(out / "codes.npz")
    np.testing.assert_array_equal(codes.toarray(), learner.transform(data).toarray())
    assert dbksvd.Model.load(out / "best.safetensors") == learner.best_model_
    assert "explained variance 0." in capsys.readouterr().out


def test_learn_goes_on(data, tmp_path):
    assert learn(data, tmp_path / "a", "--minibatch", 100) == 0
    assert learn(data, tmp_path / "b", "--minibatch", 100, "--resume", "--no-codes") == 0
    assert not (tmp_path / "b/codes.npz").exists()
    assert learn(data, tmp_path / "b", "--minibatch", 100, "--resume") == 0
    models = [dbksvd.Model.load(tmp_path / name / "dictionary.safetensors") for name in "ab"]
    assert models[0] == models[1]


def test_learn_measures_on_rows_of_a_file(data, tmp_path, capsys):
    held_out, mask = tmp_path / "held_out.npy", tmp_path / "mask.npy"
    np.save(held_out, planted(100, seed=0))
    np.save(mask, np.arange(100) % 2)
    call = [data, tmp_path / "a", "--eval", held_out, "--eval-mask", mask]
    assert learn(*call, "--minibatch", 100, "--evaluate-every", 4) == 0
    learner = dbksvd.DictionaryLearner(24, 3, max_iter=3, batch_size=100, evaluate_every=4)
    learner.set_params(random_state=0).fit(data, X_val=np.load(held_out)[1::2])
    evaluations = learner.report_.evaluations
    assert [evaluation["step"] for evaluation in evaluations] == [4, 8, 12, 16, 18]
    assert all(e["held_out"] and e["n_samples"] == 50 for e in evaluations)
    out = capsys.readouterr().out
    left = 1 - evaluations[-1]["fvu"]
    assert f"{left:.4f} of the rows held out" in out
    assert left == pytest.approx(learner.score(np.load(held_out)[1::2]), rel=1e-5)
    assert dbksvd.Model.load(tmp_path / "a/best.safetensors") == learner.best_model_
    assert learn(data, tmp_path / "a", "--eval-mask", mask) == 1
    assert "--eval is not" in capsys.readouterr().err


def test_learn_tells_in_json(data, tmp_path, capsys):
    out = tmp_path / "out"
    call = ["learn", "--data", str(data), "--out", str(out), "--atoms", "24", "--sparsity", "3"]
    assert main([*call, "--epochs", "3", "--held-out", "0.1", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [line["event"] for line in lines]
    assert kinds.count("epoch") == 3 and kinds.count("evaluation") == 3 and kinds[-1] == "result"
    result = lines[-1]
    codes = dbksvd.Model.load(out / "dictionary.safetensors").encode(data)
    assert result["atoms"] == 24 and result["mean_nonzeros"] == codes.nnz / 600
    evaluations = [line for line in lines if line["event"] == "evaluation"]
    assert result["eval_fvu"] == evaluations[-1]["fvu"] and result["stop"] == "completed"
    assert main([*call, "--json", "--no-codes", "--epochs", "1"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["eval_fvu"] is None and not (tmp_path / "new/codes.npz").exists()


def test_learn_saves_as_often_as_it_is_told(data, tmp_path, capsys):
    often = ["--minibatch", 100, "--checkpoint-every"]
    assert learn(data, tmp_path / "a", *often, 4) == 0
    saved = sorted((tmp_path / "a/checkpoints").glob("checkpoint-*"))
    steps = [int(path.stem.split("-")[1]) for path in saved]
    assert steps[-2:] == [16, 18]
    # What went on from the step before ends with the same bits.
    before = dbksvd.Model.load(tmp_path / "a/dictionary.safetensors")
    saved[-1].unlink()
    assert learn(data, tmp_path / "a", *often, "30s", "--resume") == 0
    assert dbksvd.Model.load(tmp_path / "a/dictionary.safetensors") == before
    for wrong in ["often", "0.5"]:
        with pytest.raises(SystemExit):
            learn(data, tmp_path / "c", "--checkpoint-every", wrong)
        assert "expected steps (500) or seconds (30s)" in capsys.readouterr().err
    assert learn(data, tmp_path / "c", "--checkpoint-every", "0s") == 1
    assert "`checkpoint_seconds`" in capsys.readouterr().err


def test_features_are_learned_and_shown(data, tmp_path, capsys):
    assert learn(data, tmp_path / "out", "--goal", "features") == 0
    model = str(tmp_path / "out/dictionary.safetensors")
    assert dbksvd.Model.load(model).has_linear_coder
    texts = tmp_path / "texts.txt"
    texts.write_text("".join(f"token {i}\n" for i in range(600)))
    capsys.readouterr()
    call = ["features", "--data", str(data), "--dictionary", model, "--texts", str(texts)]
    assert main([*call, "--atoms", "3", "--top", "2"]) == 0
    codes = dbksvd.Model.load(model).encode(data).toarray()[:, 3]
    best = np.argsort(-codes, kind="stable")[0]
    out = capsys.readouterr().out
    assert out.startswith("atom 3 (") and f"'token {best}'" in out
    assert main([*call, "--top", "0"]) == 1
    assert main([*call, "--atoms", "24"]) == 1
    assert "--atoms has 24, expected 0 to 23" in capsys.readouterr().err
    texts.write_text("one\n")
    assert main(call) == 1
    assert "--texts has 1 lines, expected 600" in capsys.readouterr().err


def test_encode_writes_codes(data, tmp_path, model):
    model.save(tmp_path / "model.safetensors")
    call = ["encode", "--data", str(data), "--dictionary", str(tmp_path / "model.safetensors")]
    assert main([*call, "--out", str(tmp_path / "new/codes.npz"), "--coder", "ols"]) == 0
    found = sp.load_npz(tmp_path / "new/codes.npz")
    np.testing.assert_array_equal(found.toarray(), model.encode(data, coder="ols").toarray())
    assert main([*call, "--out", str(tmp_path / "two.npz"), "--sparsity", "2"]) == 0
    assert sp.load_npz(tmp_path / "two.npz").nnz == 1200


def test_info_tells_what_files_are(data, tmp_path, model, capsys):
    model.save(tmp_path / "model.safetensors")
    assert main(["info", str(tmp_path / "model.safetensors"), str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(repr(model))
    assert lines[1].endswith("rows.npy: 600 rows of 16 features in f32")
    assert main(["info", str(tmp_path / "none.npy")]) == 1
    assert "none.npy" in capsys.readouterr().err


def test_errors_are_one_line(data, tmp_path, capsys):
    assert learn(data, tmp_path / "out", "--coder", "nothing") == 1
    err = capsys.readouterr().err
    assert err.startswith("dbksvd: `coder` is 'nothing', expected one of") and err.count("\n") == 1
    assert learn(tmp_path / "none.npy", tmp_path / "out") == 1
    assert "none.npy" in capsys.readouterr().err


def test_it_runs_as_a_module():
    call = [sys.executable, "-m", "dbksvd", "--version"]
    result = subprocess.run(call, capture_output=True, text=True, timeout=60)
    assert result.stdout == f"dbksvd {dbksvd.__version__}\n"
