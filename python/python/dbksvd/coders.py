"""Coders: how the nonzeros of a sample are found.

A coder is a small immutable value. Pass one as ``coder`` to :class:`dbksvd.DictionaryLearner`,
:class:`dbksvd.Encoder` or :meth:`dbksvd.Model.encode`, or its name: ``"omp"``, ``"ols"``,
``"textbook_omp"``, ``"matching_pursuit"``, ``"swaps"``, ``"top_k"``, ``"exact"``, ``"linear"``.

>>> from dbksvd import coders
>>> coders.OMP(ols=True, relative_tol=0.1)
OMP(ols=True, tol=None, relative_tol=0.1, min_correlation=None, gram_limit=None)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Union

import numpy as np

from ._checks import described

__all__ = [
    "OMP",
    "Coder",
    "Exact",
    "Lasso",
    "Linear",
    "MatchingPursuit",
    "Matryoshka",
    "Swaps",
    "TextbookOMP",
    "Threshold",
    "TopK",
]

#: A coder as Rust takes it.
Described = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class OMP:
    """Orthogonal matching pursuit through the Gram matrix: the default.

    Parameters
    ----------
    ols : bool, default=False
        Choose the atom that lowers the error most (orthogonal least squares), instead of the one
        that correlates most with the residual. 9 to 50% slower, with smaller errors.
    tol : float, optional
        Stop a sample once the norm of its residual is at most this.
    relative_tol : float, optional
        Stop a sample once the norm of its residual is at most this share of the sample's.
    min_correlation : float, optional
        Stop a sample once the next atom's correlation with the residual is below this.
    gram_limit : int, optional
        The most bytes that a Gram matrix may take; beyond, the coder does without. Default: 4 GiB.

    Examples
    --------
    >>> from dbksvd.coders import OMP
    >>> OMP(tol=0.5).tol
    0.5
    """

    ols: bool = False
    tol: float | None = None
    relative_tol: float | None = None
    min_correlation: float | None = None
    gram_limit: int | None = None

    def _describe(self) -> Described:
        return "batch_omp", {
            "ols": self.ols,
            "tol": self.tol,
            "relative_tol": self.relative_tol,
            "min_correlation": self.min_correlation,
            "gram_limit": self.gram_limit,
        }


@dataclass(frozen=True)
class TextbookOMP:
    """OMP in double precision, without a Gram matrix: for a handful of samples.

    Parameters
    ----------
    ols, tol, relative_tol, min_correlation
        As in :class:`OMP`.

    Examples
    --------
    >>> from dbksvd.coders import TextbookOMP
    >>> TextbookOMP().ols
    False
    """

    ols: bool = False
    tol: float | None = None
    relative_tol: float | None = None
    min_correlation: float | None = None

    def _describe(self) -> Described:
        return "textbook_omp", {
            "ols": self.ols,
            "tol": self.tol,
            "relative_tol": self.relative_tol,
            "min_correlation": self.min_correlation,
        }


@dataclass(frozen=True)
class MatchingPursuit:
    """Matching pursuit: changes one coefficient a step, without least squares.

    Parameters
    ----------
    refit : bool, default=False
        Give the atoms that were chosen their coefficients of least squares at the end.
    tol, relative_tol, min_correlation
        As in :class:`OMP`.

    Examples
    --------
    >>> from dbksvd.coders import MatchingPursuit
    >>> MatchingPursuit(refit=True).refit
    True
    """

    refit: bool = False
    tol: float | None = None
    relative_tol: float | None = None
    min_correlation: float | None = None

    def _describe(self) -> Described:
        return "matching_pursuit", {
            "refit": self.refit,
            "tol": self.tol,
            "relative_tol": self.relative_tol,
            "min_correlation": self.min_correlation,
        }


@dataclass(frozen=True)
class Threshold:
    """Non-negative codes with a threshold for each coefficient: for true features.

    Parameters
    ----------
    threshold : float
        Least correlation with the residual for which an atom is added, in the units of the
        preprocessed samples; above 0.
    share : float, default=0.7
        Atoms of at least this share of the largest correlation are added together; 0 to 1.
    prune : float, default=0
        Least coefficient that stays in the final code.

    Examples
    --------
    >>> from dbksvd.coders import Threshold
    >>> Threshold(0.5)
    Threshold(threshold=0.5, share=0.7, prune=0.0)
    """

    threshold: float
    share: float = 0.7
    prune: float = 0.0

    def _describe(self) -> Described:
        return "threshold", {
            "threshold": self.threshold,
            "share": self.share,
            "prune": self.prune,
        }


@dataclass(frozen=True)
class _OfNoise:
    """The threshold coder that reads features beyond this noise."""

    noise: float

    def _describe(self) -> Described:
        return "threshold_of_noise", {"noise": self.noise}


@dataclass(frozen=True)
class Swaps:
    """Improves another coder's supports until no exchange of one atom helps: for final codes.

    Parameters
    ----------
    start : coder or str, default="omp"
        The coder whose codes are improved.
    max_swaps : int, optional
        The most exchanges of a sample. Default: no limit.

    Examples
    --------
    >>> from dbksvd.coders import Swaps
    >>> Swaps(max_swaps=3).start
    'omp'
    """

    start: Coder = "omp"
    max_swaps: int | None = None

    def _describe(self) -> Described:
        return "swaps", {"start": describe(self.start), "max_swaps": self.max_swaps}


@dataclass(frozen=True)
class TopK:
    """The k largest correlations of a sample with the atoms, as an autoencoder codes.

    Parameters
    ----------
    threshold : float, default=0
        Least correlation; at least 0.
    refit : bool, default=False
        Give the atoms that were chosen their coefficients of least squares.

    Examples
    --------
    >>> from dbksvd.coders import TopK
    >>> TopK(threshold=0.1).threshold
    0.1
    """

    threshold: float = 0.0
    refit: bool = False

    def _describe(self) -> Described:
        return "top_k", {"threshold": self.threshold, "refit": self.refit}


@dataclass(frozen=True)
class Linear:
    """The linear coder that was learned with the model (``goal="features"``).

    Examples
    --------
    >>> from dbksvd.coders import Linear
    >>> Linear()
    Linear()
    """

    def _describe(self) -> Described:
        return "linear", {}


@dataclass(frozen=True)
class Exact:
    """The codes of least error, by search: for up to 64 atoms and 5 nonzeros.

    Examples
    --------
    >>> from dbksvd.coders import Exact
    >>> Exact()
    Exact()
    """

    def _describe(self) -> Described:
        return "exact", {}


@dataclass(frozen=True)
class Lasso:
    """The code x of least ½‖y − x D‖² + penalty ‖x‖₁, by its path, of at most k nonzeros.

    A sample that would have more gets that of the larger penalty at which a (k + 1)-th comes in.
    With ``n_nonzero_coefs = min(m, d)``, codes are those of scikit-learn's ``lasso_lars`` and
    ``lasso_cd`` with ``alpha = penalty``. ``positive`` of the model holds.

    Parameters
    ----------
    penalty : float
        The weight of ‖x‖₁, in the units of the preprocessed samples; at least 0. With 0, the number
        of nonzeros alone ends the path.
    refit : bool, default=False
        Give the atoms that were chosen their coefficients of least squares.
    gram_limit : int, optional
        The most bytes of a Gram matrix, of m² doubles. Default: 4 GiB.

    Examples
    --------
    On an orthonormal dictionary, the lasso is a soft threshold.

    >>> import numpy as np, dbksvd
    >>> from dbksvd.coders import Lasso
    >>> model = dbksvd.Model(np.eye(2), n_nonzero_coefs=2)
    >>> model.encode(np.array([[3.0, -1.0]]), coder=Lasso(0.5)).toarray()
    array([[ 2.5, -0.5]])
    """

    penalty: float
    refit: bool = False
    gram_limit: int | None = None

    def _describe(self) -> Described:
        return "lasso", dict(vars(self))


@dataclass(frozen=True)
class Matryoshka:
    """Codes groups of atoms in turn, each on what the groups before it left.

    Parameters
    ----------
    sizes : sequence of int
        Atoms of each group; they add up to the number of atoms.
    budgets : sequence of int, optional
        Nonzeros of each group; they add up to k. Default: dealt to the groups one by one.
    coder : coder or str, default="omp"
        Codes each group.

    Examples
    --------
    >>> from dbksvd.coders import Matryoshka
    >>> Matryoshka([16, 48]).sizes
    (16, 48)
    """

    sizes: Any
    budgets: Any = None
    coder: Coder = field(default="omp")

    def __post_init__(self) -> None:
        # Tuples, so that coders can be compared and hashed. What is no sequence is refused in use.
        for name in ("sizes", "budgets"):
            given = getattr(self, name)
            if isinstance(given, (list, np.ndarray)):
                object.__setattr__(self, name, tuple(given))

    def _describe(self) -> Described:
        return "matryoshka", {**groups(self.sizes, self.budgets), "coder": describe(self.coder)}


Coder = Union[
    str,
    OMP,
    TextbookOMP,
    MatchingPursuit,
    Threshold,
    _OfNoise,
    Swaps,
    TopK,
    Linear,
    Exact,
    Lasso,
    Matryoshka,
]

_BY_NAME: dict[str, Any] = {
    "omp": OMP(),
    "ols": OMP(ols=True),
    "textbook_omp": TextbookOMP(),
    "matching_pursuit": MatchingPursuit(),
    "swaps": Swaps(),
    "top_k": TopK(),
    "linear": Linear(),
    "exact": Exact(),
}


def groups(sizes: Any, budgets: Any) -> dict[str, Any]:
    """Groups of atoms as Rust takes them."""

    def whole(name: str, given: Any) -> list[int]:
        try:
            numbers = [int(number) for number in given]
        except (TypeError, ValueError):
            numbers = [-1]
        if not numbers or min(numbers) < 0 or list(given) != numbers:
            raise ValueError(f"`{name}` is {given!r}, expected a sequence of whole numbers")
        return numbers

    return {
        "sizes": whole("groups", sizes),
        "budgets": None if budgets is None else whole("budgets", budgets),
    }


def describe(coder: Coder) -> Described:
    """A coder, or the name of one, as Rust takes it."""
    return described("coder", coder, _BY_NAME)
