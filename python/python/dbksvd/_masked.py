"""Learning from samples of which entries are missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

import numpy as np
import scipy.sparse as sp

from . import _core
from ._checks import flag, goes_on, seed_of, threads, whole
from ._model import Model
from ._rows import as_array, as_rows, codes_from, is_double
from ._weights import BLOCK, known_part, weighted

__all__ = ["MaskedFit", "learn_masked"]


@dataclass(frozen=True, eq=False)
class MaskedFit:
    """What :func:`learn_masked` has learned.

    Attributes
    ----------
    model : Model
        The dictionary, without preprocessing; ``model.complete(X)`` fills in what is missing.
    codes : scipy.sparse.csr_array of shape (n, n_components)
        The codes of the samples.
    passes : list of dict
        The course, of the initial dictionary and after each update: ``pass``, ``passes``,
        ``relative_error`` (the weighted squared error over the weighted square of the samples),
        ``mean_nonzeros``, ``replaced``.
    """

    model: Model
    codes: sp.csr_array
    passes: list[dict[str, Any]]

    def __repr__(self) -> str:
        last = self.passes[-1]
        return (
            f"MaskedFit({self.model!r}, {last['pass']} passes, "
            f"relative error {last['relative_error']:.4g})"
        )


def learn_masked(
    X: Any,
    n_components: int,
    n_nonzero_coefs: int,
    *,
    weights: Any = None,
    positive: bool = False,
    max_iter: int = 10,
    dict_init: Any = None,
    random_state: Any = None,
    callback: Callable[[dict[str, Any]], Any] | None = None,
    n_jobs: int | None = None,
) -> MaskedFit:
    """Learns a dictionary from samples of which entries are missing, or count for less than others.

    K-SVD of the weighted error (Mairal, Elad and Sapiro 2008): all samples in memory, and in every
    pass. Samples are learned from as they are: subtract a mean of your own.

    Parameters
    ----------
    X : array of shape (n, d) or tensor
        Where a weight is 0, X may hold anything. float16 and float32 are learned from in single
        precision, all else in double. Entries of a masked array that are masked are missing.
    n_components : int
        Atoms.
    n_nonzero_coefs : int
        The most nonzeros of a sample.
    weights : array of shape (n, d), optional
        From 0 to 1, or booleans (True: known). Default: 0 where X is NaN, else 1.
    positive : bool, default=False
        Coefficients of at least 0.
    max_iter : int, default=10
        Passes.
    dict_init : array of shape (n_components, d) or Model, optional
        The atoms to begin with; a Model must have no mean and no scale. Default: samples, filled in
        with the means of entries.
    random_state : int, RandomState or None, default=None
        Draws the samples to begin with.
    callback : callable, optional
        Is told of every pass, as ``passes`` of the result has it; ``False`` ends learning.
    n_jobs : int, optional
        Threads; -1 for one for each processor. Results do not depend on it.

    Returns
    -------
    MaskedFit

    Raises
    ------
    ValueError
        For shapes that do not fit, parameters and weights outside their range, NaN and infinity
        where a weight is above 0, and samples of which all is missing or zero.

    Notes
    -----
    On Ctrl-C, and on an exception of ``callback``, the current pass is finished and the exception
    raised.

    Examples
    --------
    >>> import numpy as np, dbksvd
    >>> rng = np.random.default_rng(0)
    >>> codes = (rng.random((500, 12)) < 0.2) * rng.normal(size=(500, 12))
    >>> whole = codes @ rng.normal(size=(12, 8))
    >>> X = np.where(rng.random(whole.shape) < 0.2, np.nan, whole)
    >>> fit = dbksvd.learn_masked(X, 12, 3, random_state=0)
    >>> fit.passes[-1]["relative_error"] < fit.passes[0]["relative_error"]
    True
    >>> np.isnan(fit.model.complete(X)).any()
    np.False_
    """
    n_components = whole("n_components", n_components, 1)
    rows, given = weighted(X, weights)
    double = is_double(rows)
    dtype = np.float64 if double else np.float32
    samples = np.empty_like(rows)
    known = np.empty(rows.shape, np.float32 if given is None else given.dtype)
    for at in range(0, len(rows), BLOCK):
        part = slice(at, at + BLOCK)
        samples[part], known[part] = known_part(rows, given, at, dtype)
    start = None
    if dict_init is not None:
        atoms = dict_init
        if isinstance(dict_init, Model):
            if dict_init.mean is not None or dict_init.scale != 1:
                raise ValueError("`dict_init` has a mean or a scale, expected a model without")
            atoms = dict_init.components_
        atoms = as_rows(as_array(atoms, "dict_init"), "dict_init")
        expected = (n_components, rows.shape[1])
        if atoms.shape != expected:
            raise ValueError(f"`dict_init` has shape {atoms.shape}, expected {expected}")
        start = Model(atoms.astype(dtype), 1, normalize=True)
    settings = {
        "n_components": n_components,
        "n_nonzero_coefs": whole("n_nonzero_coefs", n_nonzero_coefs, 1),
        "positive": flag("positive", positive),
        "passes": whole("max_iter", max_iter),
        "seed": seed_of(random_state),
    }
    tell = None if callback is None else lambda _, values: goes_on(callback(values))
    model, parts, passes = _core.learn_masked(
        settings,
        samples,
        known,
        double,
        None if start is None else start._core,
        tell,
        threads(n_jobs),
    )
    return MaskedFit(Model._of(model), codes_from(parts, n_components), passes)
