"""Samples with weights: what is missing, or counts for less, in the form that Rust reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._rows import as_array, as_rows

#: Samples of which copies are made at a time.
BLOCK = 4096


def weighted(X: Any, weights: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """Samples and weights of one shape; no weights where NaN says what is missing."""
    is_masked = None
    if isinstance(X, np.ma.MaskedArray):
        is_masked, X = np.ma.getmaskarray(X), X.data
        if weights is None:
            # NaN is missing, too, where it is not masked.
            weights = X == X
    elif hasattr(X, "to_numpy") and np.asarray(X).dtype == object:
        # pandas' own missing values, which are no numbers.
        X = X.to_numpy(dtype=np.float64, na_value=np.nan)
    rows = as_rows(as_array(X))
    if not len(rows):
        raise ValueError("`X.shape[0]` is 0, expected at least 1 sample")
    if weights is None:
        return rows, None
    given = as_array(weights, "weights")
    if given.dtype == np.bool_:
        given = given.astype(np.float32)
    if given.shape != rows.shape:
        raise ValueError(f"`weights` has shape {given.shape}, expected that of `X`, {rows.shape}")
    if is_masked is not None:
        given = np.where(is_masked, given.dtype.type(0), given)
    return rows, as_rows(given, "weights")


def known_part(
    rows: np.ndarray, weights: np.ndarray | None, at: int, dtype: Any
) -> tuple[np.ndarray, np.ndarray]:
    """A block of samples that are finite in this precision, with zeros for what is missing, and its
    weights."""
    block = rows[at : at + BLOCK]
    weight = (~np.isnan(block)).astype(np.float32) if weights is None else weights[at : at + BLOCK]
    _refuse(~((weight >= 0) & (weight <= 1)), "weights", weight, at, "0 to 1")
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(block.astype(dtype, copy=False))
    expected = f"a finite {np.dtype(dtype)}, or a weight of 0 there"
    _refuse((weight > 0) & ~is_finite, "X", block, at, expected)
    return np.where(weight == 0, block.dtype.type(0), block), weight


def _refuse(wrong: np.ndarray, name: str, given: np.ndarray, at: int, expected: str) -> None:
    if wrong.any():
        row, feature = np.argwhere(wrong)[0]
        found = f"{given[row, feature]} at row {at + row}, feature {feature}"
        raise ValueError(f"`{name}` is {found}, expected {expected}")
