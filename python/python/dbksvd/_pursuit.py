"""Pursuit with any matrix: by itself, with its course, and given products."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from . import _core, coders
from ._checks import real, threads, whole
from ._model import Encoder, Model
from ._rows import as_array, as_rows, codes_from

__all__ = ["OmpPath", "omp", "omp_gram", "omp_path"]


def omp(
    D: Any,
    Y: Any,
    *,
    n_nonzero_coefs: int | None = None,
    tol: float | None = None,
    ols: bool = False,
    positive: bool = False,
    sparse: bool = False,
    n_jobs: int | None = None,
) -> Any:
    """Orthogonal matching pursuit, in the orientation of ``sklearn.linear_model.orthogonal_mp``.

    Parameters
    ----------
    D : array of shape (d, m)
        The dictionary: columns are atoms, of any nonzero norm.
    Y : array of shape (d,) or (d, n)
        One or many right-hand sides, as columns.
    n_nonzero_coefs : int, optional
        The most nonzeros of a column. Default: as in scikit-learn, 10% of m, at least 1 and at most
        d; min(d, m) if ``tol`` is given.
    tol : float, optional
        Stop once the squared norm of the residual is at most this.
    ols : bool, default=False
        Select by orthogonal least squares.
    positive : bool, default=False
        Coefficients of at least 0.
    sparse : bool, default=False
        Return ``scipy.sparse.csc_array`` of shape (m, 1) or (m, n) instead of a dense array.
    n_jobs : int, optional
        Threads; -1 for one for each processor.

    Returns
    -------
    array of shape (m,) or (m, n)
        Coefficients of the atoms as they were given: ``Y ≈ D @ omp(D, Y)``.

    Raises
    ------
    ValueError
        For shapes that do not fit, a zero atom, NaN and infinity, and parameters outside their
        range.

    Examples
    --------
    >>> import numpy as np, dbksvd
    >>> D = np.array([[2.0, 0.0], [0.0, 5.0]])
    >>> dbksvd.omp(D, np.array([4.0, 1.0]), n_nonzero_coefs=1)
    array([2., 0.])
    """
    atoms, targets, is_vector = _problem(D, Y)
    (m, d), dtype = atoms.shape, atoms.dtype
    n_nonzero_coefs, tol = _stop(n_nonzero_coefs, tol, m, min(d, m))
    if targets.shape[0] == 0:
        codes = sp.csr_array((0, m), dtype=dtype)
    elif _is_usual(atoms) and _is_usual(targets):
        model = Model(atoms, n_nonzero_coefs, positive=positive, normalize=True)
        coder = coders.OMP(ols=bool(ols), tol=tol)
        codes = Encoder(model, coder).encode(targets, n_jobs=n_jobs)
        norms = np.linalg.norm(atoms.astype(np.float64), axis=1)
        codes.data = (codes.data / norms[codes.indices]).astype(dtype)
    else:
        settings = _settings(n_nonzero_coefs, tol, ols, positive)
        codes = codes_from(_core.omp(atoms, targets, settings, threads(n_jobs)), m)
    return _oriented(codes, sparse, is_vector)


def omp_gram(
    gram: Any,
    correlations: Any,
    *,
    squared_norms: Any = None,
    n_nonzero_coefs: int | None = None,
    tol: float | None = None,
    ols: bool = False,
    positive: bool = False,
    sparse: bool = False,
    n_jobs: int | None = None,
) -> Any:
    """Orthogonal matching pursuit given products, as ``sklearn.linear_model.orthogonal_mp_gram``.

    Products are rounded, so a pursuit ends when no correlation is above about 1e-14 (float32: 1e-5)
    of the first, and errors are known to 1e-8 (float32: 3e-4) of the norm of a right-hand side.

    Parameters
    ----------
    gram : array of shape (m, m)
        ``D.T @ D``, for atoms of any nonzero norm.
    correlations : array of shape (m,) or (m, n)
        ``D.T @ Y``.
    squared_norms : float or array of shape (n,), optional
        The squared norms of the right-hand sides: ``norms_squared`` of scikit-learn. Needed for
        ``tol``.
    n_nonzero_coefs : int, optional
        The most nonzeros of a column. Default: 10% of m and at least 1; m if ``tol`` is given.
    tol, ols, positive, sparse, n_jobs :
        As in :func:`omp`.

    Returns
    -------
    array of shape (m,) or (m, n)
        As :func:`omp`.

    Raises
    ------
    ValueError
        For shapes that do not fit, a matrix that is no Gram matrix, NaN and infinity, ``tol``
        without ``squared_norms``, and parameters outside their range.

    Examples
    --------
    >>> import numpy as np, dbksvd
    >>> D, y = np.array([[2.0, 0.0], [0.0, 5.0]]), np.array([4.0, 1.0])
    >>> dbksvd.omp_gram(D.T @ D, D.T @ y, n_nonzero_coefs=1)
    array([2., 0.])
    """
    gram, rows, norms, is_vector = _products(gram, correlations, squared_norms)
    n_nonzero_coefs, tol = _stop(n_nonzero_coefs, tol, len(gram), len(gram))
    settings = _settings(n_nonzero_coefs, tol, ols, positive)
    if rows.shape[0] == 0:
        codes = sp.csr_array(rows.shape, dtype=gram.dtype)
    else:
        parts = _core.omp_gram(gram, rows, norms, settings, threads(n_jobs))
        codes = codes_from(parts, len(gram))
    return _oriented(codes, sparse, is_vector)


class OmpPath:
    """The codes of right-hand sides with 0, 1, 2, … atoms, which are nested: each has the atoms of
    the one before it and one more. Made by :func:`omp_path`.

    Attributes
    ----------
    n_nonzero_coefs : int
        How many atoms the longest path has.
    residual_norms : ndarray of shape (n, 1 + n_nonzero_coefs)
        The norm of ``Y - D @ codes`` of each right-hand side with 0, 1, 2, … atoms; NaN after the
        end of a path. Of a vector, the shape is (1 + n_nonzero_coefs,).
    """

    __slots__ = ("_core", "_given", "_is_vector", "_m", "n_nonzero_coefs", "residual_norms")

    def __init__(self, core: _core.Path, given: tuple[Any, ...], is_vector: bool):
        self._core, self._given, self._is_vector = core, given, is_vector
        self._m = len(given[0])
        self.n_nonzero_coefs = core.length
        norms = core.residual_norms()
        self.residual_norms = norms[0] if is_vector else norms

    def at(self, n_nonzero_coefs: int, *, sparse: bool = False) -> Any:
        """The codes with at most so many atoms, in the forms that :func:`omp` returns."""
        parts = self._core.at(whole("n_nonzero_coefs", n_nonzero_coefs))
        return _oriented(codes_from(parts, self._m), sparse, self._is_vector)

    def support(self, column: int = 0) -> np.ndarray:
        """The atoms of a right-hand side, in the order in which they were chosen."""
        column = whole("column", column, 0, self._core.n_samples - 1)
        return np.array(self._core.support(column), dtype=np.intp)

    def to_array(self) -> np.ndarray:
        """All codes, dense: (m, L) of a vector, else (m, n, L), for 1 to L atoms, as scikit-learn's
        ``return_path``. A path that ends early stays at its last codes."""
        steps = [self.at(k + 1) for k in range(self.n_nonzero_coefs)]
        return np.stack(steps, axis=-1) if steps else self.at(0)[..., None][..., :0]

    def __reduce__(self) -> tuple[Any, ...]:
        # It is found again where it is wanted: the same bits.
        return _path_of, (*self._given, self._is_vector)

    def __repr__(self) -> str:
        n = self._core.n_samples
        return f"OmpPath(m={self._m}, n={n}, n_nonzero_coefs={self.n_nonzero_coefs})"


def omp_path(
    D: Any,
    Y: Any,
    *,
    n_nonzero_coefs: int | None = None,
    tol: float | None = None,
    ols: bool = False,
    n_jobs: int | None = None,
) -> OmpPath:
    """The course of orthogonal matching pursuit: codes and errors after every atom.

    To choose how many atoms a signal takes, look where ``residual_norms`` levels off. Computed in
    float64, whatever the arrays are.

    Parameters
    ----------
    D, Y, n_nonzero_coefs, tol, ols, n_jobs :
        As in :func:`omp`.

    Returns
    -------
    OmpPath

    Raises
    ------
    ValueError
        As :func:`omp`.

    Examples
    --------
    >>> import numpy as np, dbksvd
    >>> D = np.array([[2.0, 0.0], [0.0, 5.0]])
    >>> path = dbksvd.omp_path(D, np.array([4.0, 3.0]), n_nonzero_coefs=2)
    >>> path.residual_norms
    array([5., 3., 0.])
    >>> path.support()
    array([0, 1])
    >>> path.at(1)
    array([2., 0.])
    """
    atoms, targets, is_vector = _problem(D, Y)
    m, d = atoms.shape
    n_nonzero_coefs, tol = _stop(n_nonzero_coefs, tol, m, min(d, m))
    settings = _settings(n_nonzero_coefs, tol, ols, False)
    found = _core.Path(atoms, targets, settings, threads(n_jobs))
    return OmpPath(found, (atoms, targets, settings), is_vector)


def _path_of(
    atoms: np.ndarray, targets: np.ndarray, settings: dict[str, Any], is_vector: bool
) -> OmpPath:
    found = _core.Path(atoms, targets, settings, None)
    return OmpPath(found, (atoms, targets, settings), is_vector)


def _problem(D: Any, Y: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """Atoms and right-hand sides as rows of one type, and whether there is one right-hand side."""
    D, Y = as_array(D, "D"), as_array(Y, "Y")
    if D.ndim != 2 or 0 in D.shape:
        raise ValueError(f"`D` has shape {D.shape}, expected (d, m) with at least one atom")
    if Y.ndim not in (1, 2) or Y.shape[0] != D.shape[0]:
        raise ValueError(f"`Y` has shape {Y.shape}, expected ({D.shape[0]},) or ({D.shape[0]}, n)")
    return (*_of_one_type(("D", D.T), ("Y", np.atleast_2d(Y.T))), Y.ndim == 1)


def _products(
    gram: Any, correlations: Any, squared_norms: Any
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, bool]:
    """A Gram matrix, correlations as rows and squared norms, and whether there is one right-hand
    side."""
    gram, correlations = as_array(gram, "gram"), as_array(correlations, "correlations")
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or 0 in gram.shape:
        raise ValueError(f"`gram` has shape {gram.shape}, expected (m, m) with at least one atom")
    m = gram.shape[0]
    if correlations.ndim not in (1, 2) or correlations.shape[0] != m:
        found = correlations.shape
        raise ValueError(f"`correlations` has shape {found}, expected ({m},) or ({m}, n)")
    rows = np.atleast_2d(correlations.T)
    gram, rows = _of_one_type(("gram", gram.T), ("correlations", rows))
    norms = None
    if squared_norms is not None:
        norms = np.atleast_1d(as_array(squared_norms, "squared_norms")).astype(np.float64)
        if norms.shape != (len(rows),):
            raise ValueError(f"`squared_norms` has shape {norms.shape}, expected ({len(rows)},)")
    return gram, rows, norms, correlations.ndim == 1


def _of_one_type(*named: tuple[str, np.ndarray]) -> list[np.ndarray]:
    """Arrays of rows, which are columns of what was given, in float32 if none is in double
    precision."""
    rows = [as_rows(given, name) for name, given in named]
    for (name, _), given in zip(named, rows):
        is_finite = np.isfinite(given)
        if not is_finite.all():
            column, row = np.argwhere(~is_finite)[0]
            found = f"{given[column, row]} in row {row} of column {column}"
            raise ValueError(f"`{name}` contains NaN or infinity: {found}")
    dtype = np.result_type(np.float32, *(given.dtype for given in rows))
    return [given.astype(dtype, copy=False) for given in rows]


def _stop(
    n_nonzero_coefs: int | None, tol: float | None, m: int, most: int
) -> tuple[int, float | None]:
    """The budget and the norm that a residual may have."""
    if n_nonzero_coefs is None:
        n_nonzero_coefs = most if tol is not None else min(max(1, int(0.1 * m)), most)
    if tol is not None:
        tol = real("tol", tol, "a number of at least 0", lambda x: x >= 0) ** 0.5
    return whole("n_nonzero_coefs", n_nonzero_coefs, 1, most), tol


def _is_usual(rows: np.ndarray) -> bool:
    """Whether squares of all rows that are not zero are in range, so that products of the whole may
    be taken."""
    sizes = np.abs(rows).max(axis=1, initial=0)
    least = 1e-15 if rows.dtype == np.float32 else 1e-140
    return bool(((sizes == 0) | ((sizes > least) & (sizes < 1 / least))).all())


def _settings(n_nonzero_coefs: int, tol: float | None, ols: bool, positive: bool) -> dict[str, Any]:
    """A pursuit as Rust takes it."""
    return {
        "n_nonzero_coefs": n_nonzero_coefs,
        "tol": tol,
        "ols": bool(ols),
        "positive": bool(positive),
    }


def _oriented(codes: sp.csr_array, sparse: bool, is_vector: bool) -> Any:
    """Codes as columns."""
    if sparse:
        return codes.T
    return codes.toarray()[0] if is_vector else codes.toarray().T
