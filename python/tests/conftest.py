"""Data that tests have in common, made from seeds."""

from __future__ import annotations

import numpy as np
import pytest

import dbksvd


def planted(n: int, d: int = 16, m: int = 24, k: int = 3, dtype="float32", seed: int = 0):
    """Samples that are sums of ``k`` of ``m`` random unit vectors, with some noise."""
    rng = np.random.default_rng(seed)
    atoms = rng.normal(size=(m, d))
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    codes = np.zeros((n, m))
    for row in codes:
        row[rng.choice(m, k, replace=False)] = rng.uniform(0.5, 2.0, k)
    return (codes @ atoms + 0.02 * rng.normal(size=(n, d))).astype(dtype)


@pytest.fixture
def X():
    return planted(600)


@pytest.fixture
def model(X):
    return dbksvd.DictionaryLearner(24, 3, max_iter=4, random_state=1).fit(X).model_
