"""What learns, in several settings each. A learner yields (seconds of learning, dictionary) for
longer and longer runs from the same start, until a run has taken `limit` seconds.

Runs of SPAMS, dictlearn's K-SVD and this crate are made anew for each length, since their schedules
depend on it; scikit-learn and dictlearn's online learner go on from where they were.
"""

import time

import dictlearn
import numpy as np
import spams
from sklearn.decomposition import MiniBatchDictionaryLearning
from threadpoolctl import threadpool_limits

import crate

THREADS = 2
# Passes over the samples: of the first run of SPAMS online, and of the runs of this crate.
SHORTEST = 0.125
EPOCHS = [1, 2, 4, 8, 20, 40, 80]


def all_learners():
    """(name, family, learner) of every setting."""
    learners = [("dbksvd", "dbksvd OMP", ours("omp")), ("dbksvd", "dbksvd OLS", ours("ols"))]
    for batch in [64, 256, 1024]:
        learners.append(("SPAMS", f"SPAMS online, batches of {batch}", spams_online(batch)))
    learners.append(("SPAMS", "SPAMS, full batches", spams_online(None)))
    learners.append(("dictlearn", "dictlearn AK-SVD", dictlearn_ksvd))
    learners.append(("dictlearn", "dictlearn online, batches of 1024", dictlearn_online))
    for alpha in [0.1, 0.2]:
        name = f"scikit-learn MiniBatch, alpha {alpha}"
        learners.append(("scikit-learn", name, sklearn_online(alpha)))
    return learners


def ours(selection):
    def learn(lesson, start, limit, folder):
        files = [folder / f"{name}.npy" for name in ("train", "held-out", "start")]
        for file, rows in zip(files, (lesson.train, lesson.held_out, start), strict=True):
            np.save(file, rows)
        for epochs in EPOCHS:
            options = {"epochs": epochs, "selection": selection, "threads": THREADS}
            seconds, dictionary = crate.learn(
                *files, lesson.sparsity, folder=folder / "learned", **options
            )
            yield seconds, dictionary
            if seconds > limit:
                break

    return learn


def spams_online(batch):
    """`trainDL` with at most k atoms a sample (mode 3); `batch=None` is its full-batch mode."""

    def learn(lesson, start, limit, folder):
        samples = np.asfortranarray(lesson.train.T)
        passes, seconds = SHORTEST if batch else 1, 0.0
        while seconds <= limit:
            iterations = max(1, round(passes * samples.shape[1] / batch)) if batch else passes
            how = {"batchsize": batch} if batch else {"batch": True}
            # It works in the memory of the dictionary that it is given.
            given = np.array(start.T, order="F")
            clock = time.perf_counter()
            dictionary = spams.trainDL(
                samples, D=given, mode=3, lambda1=lesson.sparsity, iter=iterations,
                numThreads=THREADS, verbose=False, **how,
            )  # fmt: skip
            seconds = time.perf_counter() - clock
            yield seconds, dictionary.T
            passes *= 2

    return learn


def dictlearn_ksvd(lesson, start, limit, folder):
    """Approximate K-SVD, its default. It codes once more than it updates: that is in its time."""
    iterations, seconds = 1, 0.0
    while seconds <= limit:
        learner = dictlearn.DictionaryLearning(
            lesson.atoms,
            n_nonzero_coefs=lesson.sparsity,
            max_iter=iterations,
            dict_init=start.astype(np.float64),
            random_state=0,
        )
        clock = time.perf_counter()
        with threadpool_limits(THREADS):
            learner.fit(lesson.train)
        seconds = time.perf_counter() - clock
        yield seconds, learner.components_
        iterations *= 2


def dictlearn_online(lesson, start, limit, folder):
    learner = dictlearn.MiniBatchDictionaryLearning(
        lesson.atoms,
        n_nonzero_coefs=lesson.sparsity,
        batch_size=1024,
        dict_init=start.astype(np.float64),
        random_state=0,
    )
    yield from step_by_step(learner, lesson.train, 1024, limit)


def sklearn_online(alpha):
    """Its learner minimises an l1 penalty by least angle regression. Batches of 512 were better
    than smaller ones, and this solver faster than coordinate descent."""

    def learn(lesson, start, limit, folder):
        learner = MiniBatchDictionaryLearning(
            lesson.atoms, alpha=alpha, batch_size=512, dict_init=start, random_state=0
        )
        yield from step_by_step(learner, lesson.train, 512, limit)

    return learn


def step_by_step(learner, samples, batch, limit):
    """Snapshots of a learner that is fed batch by batch, at times that double."""
    seconds, step, due = 0.0, 0, 0.25
    while seconds <= limit:
        # Samples stand in random order; passes repeat it.
        rows = samples[np.arange(step * batch, (step + 1) * batch) % len(samples)]
        clock = time.perf_counter()
        with threadpool_limits(THREADS):
            learner.partial_fit(rows)
        seconds += time.perf_counter() - clock
        step += 1
        if seconds >= due or seconds > limit:
            yield seconds, learner.components_.copy()
            while due <= seconds:
                due *= 2
