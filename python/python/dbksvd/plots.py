"""Pictures of a dictionary, with matplotlib (``pip install dbksvd[plots]``).

Each function draws into the axes that are given, or makes a figure, and returns the figure.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._checks import whole

__all__ = ["plot_atoms", "plot_errors", "plot_usage"]


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as pyplot
    except ImportError as error:
        raise ImportError(
            "pictures are drawn with matplotlib, which is not installed: pip install dbksvd[plots]"
        ) from error
    return pyplot


def plot_atoms(
    components: Any, *, image_shape: tuple[int, int] | None = None, most: int = 64, ax: Any = None
) -> Any:
    """Draws atoms as small pictures, side by side, each on its own scale from -max to max.

    Parameters
    ----------
    components : array of shape (m, d), or anything with ``components_``
    image_shape : tuple of int, optional
        Height and width of an atom's picture; their product is d. Default: a square, if d is one.
    most : int, default=64
        The most atoms that are drawn.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If atoms are no pictures of this shape.
    """
    atoms = np.asarray(getattr(components, "components_", components), dtype=float)
    if atoms.ndim != 2 or atoms.size == 0:
        raise ValueError(f"`components` has shape {atoms.shape}, expected (m, d)")
    side = int(np.sqrt(atoms.shape[1]))
    height, width = image_shape or (side, side)
    if height * width != atoms.shape[1]:
        raise ValueError(
            f"`image_shape` is {(height, width)}, expected two numbers whose product is "
            f"{atoms.shape[1]}"
        )
    atoms = atoms[: whole("most", most, 1)]
    columns = int(np.ceil(np.sqrt(len(atoms))))
    rows = int(np.ceil(len(atoms) / columns))
    page = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    for i, atom in enumerate(atoms):
        top, left = i // columns * (height + 1), i % columns * (width + 1)
        largest = np.abs(atom).max() or 1.0
        page[top : top + height, left : left + width] = atom.reshape(height, width) / largest
    ax = ax or _pyplot().figure(figsize=(6, 6 * rows / columns)).subplots()
    ax.imshow(page, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
    ax.set_axis_off()
    return ax.figure


def plot_usage(codes: Any, *, ax: Any = None) -> Any:
    """Draws how many samples use each atom, most used first.

    Parameters
    ----------
    codes : sparse or dense array of shape (n, m), or Measures
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib figure
    """
    usage = getattr(codes, "usage", None)
    if usage is None:
        usage = np.asarray((codes != 0).sum(axis=0)).ravel()
        samples = codes.shape[0]
    else:
        samples = codes.n_samples
    ax = ax or _pyplot().figure().subplots()
    usage = np.sort(usage)[::-1]
    ax.plot(np.arange(1, len(usage) + 1), usage / samples)
    if usage.min() > 0:
        ax.set_yscale("log")
    ax.set_xlabel("atom, most used first")
    ax.set_ylabel("share of samples that use it")
    return ax.figure


def plot_errors(report: Any, *, ax: Any = None) -> Any:
    """Draws the course of a run: the fraction of variance unexplained, by epoch and by evaluation.

    Parameters
    ----------
    report : Report, or a fitted DictionaryLearner
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib figure
    """
    report = getattr(report, "report_", report)
    ax = ax or _pyplot().figure().subplots()
    epochs = report.epochs
    ax.plot(
        [epoch["elapsed"] for epoch in epochs],
        [epoch["fvu_within"] for epoch in epochs],
        marker="o",
        label="minibatches, before their updates",
    )
    held_out = [evaluation for evaluation in report.evaluations if evaluation["held_out"]]
    if held_out:
        ax.plot(
            [evaluation["elapsed"] for evaluation in held_out],
            [evaluation["fvu_within"] for evaluation in held_out],
            marker="s",
            label="held-out samples",
        )
    ax.set_xlabel("seconds")
    ax.set_ylabel("fraction of variance unexplained")
    ax.legend()
    return ax.figure
