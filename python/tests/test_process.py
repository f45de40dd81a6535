"""Threads, signals, forks and memory: what a process of Python meets."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest
from conftest import planted

import dbksvd
from dbksvd import DictionaryLearner

LONG = {"max_iter": 1_000_000, "random_state": 0, "batch_size": 500}


def run(code: str, **options) -> subprocess.CompletedProcess:
    """A program of Python, in a process of its own."""
    command = [sys.executable, "-c", textwrap.dedent(code)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, **options
    )


def in_child(queue, X):
    learner = DictionaryLearner(24, 3, max_iter=2, random_state=0).fit(X)
    queue.put((learner.components_, learner.transform(X).data))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_learns(X):
    learner = DictionaryLearner(24, 3, max_iter=2, random_state=0).fit(X)
    expected = learner.components_, learner.transform(X).data
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    children = [context.Process(target=in_child, args=(queue, X)) for _ in range(2)]
    for child in children:
        child.start()
    try:
        for _ in children:
            for found, wanted in zip(queue.get(timeout=30), expected):
                np.testing.assert_array_equal(found, wanted)
    finally:
        for child in children:
            child.kill()
    # And the parent still does.
    np.testing.assert_array_equal(learner.fit(X).components_, expected[0])


def test_ctrl_c_ends_a_fit_and_keeps_the_model():
    timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
    learner = DictionaryLearner(64, 4, **LONG)
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        learner.fit(planted(4000))
    assert time.monotonic() - start < 5
    assert learner.report_.stop == "token" and learner.n_steps_ > 0
    assert learner.transform(planted(10)).shape == (10, 64)


def test_ctrl_c_ends_a_watched_fit_and_a_fit_of_features():
    rows = planted(4000)
    for options in [{"callback": lambda progress: True}, {"goal": "features", "batch_size": None}]:
        learner = DictionaryLearner(64, 4, **{**LONG, **options})
        timer = threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            learner.fit(rows)
        assert learner.n_steps_ > 0


def test_ctrl_c_ends_an_encoding():
    model = dbksvd.Model(planted(512, d=64), 32, normalize=True)
    rows = np.tile(planted(1000, d=64), (400, 1))
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    encoder = model.encoder()
    timer.start()
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(rows)
    assert time.monotonic() - start < 5
    # The encoder is as good as before.
    assert encoder.encode(rows[:10]).shape == (10, 512)


def test_an_error_of_a_callback_comes_out_of_fit():
    def fail(progress):
        if progress.total_steps == 3:
            raise ZeroDivisionError("of the callback")

    learner = DictionaryLearner(24, 3, callback=fail, **LONG)
    with pytest.raises(ZeroDivisionError, match="of the callback"):
        learner.fit(planted(2000))
    assert learner.n_steps_ == 3
    assert learner.transform(planted(5)).shape == (5, 24)


def test_false_of_any_kind_ends_a_fit():
    for false in (False, np.False_, np.float64(1) > 2):
        learner = DictionaryLearner(24, 3, callback=lambda _, answer=false: answer, **LONG)
        assert learner.fit(planted(600)).n_steps_ == 1
        learner.set_params(callback=None, epoch_callback=lambda *_, answer=false: answer)
        assert learner.fit(planted(600)).n_iter_ == 1


def test_callbacks_run_on_the_thread_that_called():
    seen = []

    def note(progress):
        seen.append((threading.get_ident(), progress.done, progress.epoch))

    DictionaryLearner(24, 3, callback=note, max_iter=3, random_state=0).fit(planted(600))
    assert {thread for thread, _, _ in seen} == {threading.get_ident()}
    done = [done for _, done, _ in seen]
    assert done == sorted(done) and done[-1] == 1.0
    assert [epoch for _, _, epoch in seen][-1] == 3
    seen.clear()
    DictionaryLearner(24, 3, goal="features", callback=note, max_iter=4).fit(planted(600))
    done = [done for _, done, _ in seen]
    assert done == sorted(done) and done[-1] == pytest.approx(1.0)
    assert [epoch for _, _, epoch in seen][-1] == 4


def test_a_callback_may_use_the_package_on_the_only_thread(model):
    rows, found = planted(300), []
    before = dbksvd.get_num_threads()
    dbksvd.set_num_threads(1)
    try:
        learner = DictionaryLearner(
            24, 3, max_iter=2, callback=lambda _: found.append(model.encode(rows).nnz)
        )
        learner.fit(rows)
    finally:
        dbksvd.set_num_threads(0)
    assert dbksvd.get_num_threads() == before
    assert len(found) == learner.n_steps_ and set(found) == {900}


def test_other_threads_of_python_run_while_rust_works():
    ticks, is_done = [], threading.Event()

    def tick():
        while not is_done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    start = time.monotonic()
    DictionaryLearner(64, 4, time_budget=0.5, **LONG).fit(planted(4000))
    seconds = time.monotonic() - start
    is_done.set()
    thread.join()
    assert len(ticks) > 50 * seconds


def test_threads_share_an_encoder(model):
    rows = planted(20_000)
    expected = model.encode(rows).toarray()
    results: list = [None] * 4

    def encode(i):
        results[i] = model.encode(rows).toarray()

    threads = [threading.Thread(target=encode, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_the_number_of_threads_is_set():
    before = dbksvd.get_num_threads()
    try:
        dbksvd.set_num_threads(1)
        assert dbksvd.get_num_threads() == 1
    finally:
        dbksvd.set_num_threads(0)
    assert dbksvd.get_num_threads() == before


def test_log_records_and_bars(caplog, capsys):
    with caplog.at_level("INFO", logger="dbksvd"):
        DictionaryLearner(24, 3, max_iter=2, verbose=1).fit(planted(300))
    messages = [record.getMessage() for record in caplog.records]
    assert sum(message.startswith("epoch ") for message in messages) == 2
    captured = capsys.readouterr()
    assert "epoch 2" in captured.out + captured.err


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_an_encoding_takes_memory_for_its_codes_alone(dtype):
    """Beyond the samples, which are read in place: 160 MB of them in float16, 320 in float32."""
    megabytes = int(os.environ.get("DBKSVD_TEST_MEGABYTES", "320"))
    result = run(f"""
        import resource, numpy as np, dbksvd
        dim, rows = 256, {megabytes} * 1000 // (256 * 4) * 1000
        model = dbksvd.Model(np.random.default_rng(0).normal(size=(64, dim)).astype("float32"), 1,
                             normalize=True)
        encoder = model.encoder()
        X = np.ones((rows, dim), {dtype!r})
        X[:, :7] = np.arange(7)
        encoder.encode(X[:5000])
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        before = peak()
        codes = encoder.encode(X)
        more = peak() - before
        own = codes.data.nbytes + codes.indices.nbytes + codes.indptr.nbytes
        assert codes.nnz == rows
        print(X.nbytes, own, more)
    """)
    assert result.returncode == 0, result.stderr
    samples, own, more = map(int, result.stdout.split())
    assert more < own + 0.05 * samples, (samples, own, more)


def test_a_fit_takes_memory_for_a_minibatch_alone():
    result = run("""
        import resource, numpy as np, dbksvd
        X = np.random.default_rng(0).normal(size=(400_000, 64)).astype("float32")
        learner = dbksvd.DictionaryLearner(128, 4, max_steps=20, batch_size=2000, random_state=0)
        peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        before = peak()
        learner.fit(X)
        print(X.nbytes, peak() - before)
    """)
    assert result.returncode == 0, result.stderr
    samples, more = map(int, result.stdout.split())
    assert more < 0.3 * samples, (samples, more)


def test_memory_that_cannot_be_had_is_a_memory_error():
    with pytest.raises(MemoryError):
        DictionaryLearner(2**31, 1).fit(planted(10, d=64))
