"""Measures of codes and of dictionaries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _core
from ._rows import as_array

__all__ = ["Coherence", "Measures", "Recovery", "coherence", "recovery"]


@dataclass(frozen=True, eq=False)
class Measures:
    """How well codes represent samples.

    Attributes
    ----------
    n_samples : int
        Samples measured.
    fvu : float
        Fraction of variance unexplained, sum \\|\\|y - y'\\|\\|² over sum \\|\\|y - mean\\|\\|².
    explained_variance : float
        1 - ``fvu``.
    relative_error : float
        Sum \\|\\|y - y'\\|\\|² over sum \\|\\|y\\|\\|², of centred samples if the model has a mean.
    squared_error : float
        Sum \\|\\|y - y'\\|\\|².
    n_samples_within, fvu_within
        Of the samples within the model's norm limit; all, if it has none.
    mean_nonzeros : float
        Mean number of nonzeros of a sample (L0).
    usage : ndarray of shape (n_components,)
        How many samples use each atom.

    Examples
    --------
    >>> import numpy as np, dbksvd
    >>> X = np.random.default_rng(0).normal(size=(200, 8))
    >>> model = dbksvd.DictionaryLearner(16, 3, max_iter=3, random_state=0).fit(X).model_
    >>> measures = model.measure(X)
    >>> measures.mean_nonzeros, int(measures.usage.sum())
    (3.0, 600)
    """

    n_samples: int
    fvu: float
    explained_variance: float
    relative_error: float
    squared_error: float
    n_samples_within: int
    fvu_within: float
    mean_nonzeros: float
    usage: np.ndarray

    @property
    def dead_atoms(self) -> np.ndarray:
        """Indices of the atoms that no sample uses."""
        return np.flatnonzero(self.usage == 0)


@dataclass(frozen=True, eq=False)
class Coherence:
    """How alike the atoms of a dictionary are.

    Attributes
    ----------
    coherence : float
        The largest \\|cos\\| of two atoms.
    mean_nearest : float
        The mean of ``nearest``.
    nearest : ndarray of shape (n_components,)
        The \\|cos\\| of each atom with the one most like it.
    sparsity_bound : int
        OMP finds every code of at most so many nonzeros.
    """

    coherence: float
    mean_nearest: float
    nearest: np.ndarray
    sparsity_bound: int


@dataclass(frozen=True, eq=False)
class Recovery:
    """How well learned atoms stand for true ones.

    Attributes
    ----------
    mcc : float
        Mean \\|cos\\| over the best matching of learned and true atoms.
    mmcs : float
        Mean, over true atoms, of the largest \\|cos\\| with a learned one.
    recovered : float
        Share of the true atoms whose partner has a \\|cos\\| above 0.99.
    uniqueness : float
        Distinct true atoms that are nearest to a learned one, over the learned atoms.
    pairs : tuple of three ndarrays
        Learned atoms, their true partners, and their \\|cos\\|.
    """

    mcc: float
    mmcs: float
    recovered: float
    uniqueness: float
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray]


def _atoms(name: str, given: Any) -> np.ndarray:
    given = getattr(given, "components_", given)
    atoms = np.ascontiguousarray(as_array(given, name), dtype=np.float64)
    if atoms.ndim != 2:
        raise ValueError(f"`{name}` has shape {atoms.shape}, expected (m, d)")
    return atoms


def coherence(components: Any) -> Coherence:
    """How alike atoms are.

    Parameters
    ----------
    components : array of shape (m, d), or anything with ``components_``
        Atoms of any nonzero norm.

    Returns
    -------
    Coherence

    Raises
    ------
    ValueError
        If an atom is zero or not finite.

    Examples
    --------
    >>> import numpy as np, dbksvd
    >>> dbksvd.coherence(np.array([[1.0, 0.0], [3.0, 4.0]])).coherence
    0.6
    """
    return Coherence(**_core.coherence(_atoms("components", components)))


def recovery(learned: Any, truth: Any) -> Recovery:
    """How well learned atoms stand for true ones, whatever their order and signs.

    Parameters
    ----------
    learned, truth : arrays of shape (m, d) and (M, d), or anything with ``components_``
        Atoms of any nonzero norm.

    Returns
    -------
    Recovery

    Raises
    ------
    ValueError
        If dimensions differ, or an atom is zero or not finite.

    Examples
    --------
    >>> import numpy as np, dbksvd
    >>> dbksvd.recovery(np.array([[0.0, -2.0], [1.0, 0.0]]), np.eye(2)).mcc
    1.0
    """
    return Recovery(**_core.recovery(_atoms("learned", learned), _atoms("truth", truth)))
