"""Updaters: how the dictionary learns from codes.

Pass one as ``updater`` to :class:`dbksvd.DictionaryLearner`, or its name: ``"ksvd"``, ``"mod"``,
``"online"``.

>>> from dbksvd import updaters
>>> updaters.KSVD(atom_batch=64).sweeps
2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence, Union

from ._checks import described, whole

__all__ = ["KSVD", "MOD", "Fixed", "Incoherent", "Online", "Updater"]

#: An updater as Rust takes it.
Described = tuple[str, dict[str, Any]]


@dataclass(frozen=True)
class KSVD:
    """K-SVD in batches of atoms: the default.

    Parameters
    ----------
    atom_batch : int, default=32
        Most atoms that are updated in parallel from one residual.
    power_steps : int or None, default=1
        Power steps towards the leading singular pair of an atom; ``None`` for the exact pair.
    shared_residual : bool, default=False
        Take coefficients from the shared residual, as KSVD.jl does, instead of refitting them.
    sweeps : int, default=2
        Passes over all atoms in a minibatch.
    memory : tuple of three floats or None, default=(0.4, 0.8, 0.9)
        Progress at which the memory of earlier minibatches begins to rise, progress from which it
        is full, and the share of their weight that it then keeps. ``None``: they have no weight.
    positive_atoms : bool, default=False
        Keep atoms without negative entries (NN-K-SVD); with ``positive=True`` of the learner, this
        is a sparse non-negative matrix factorisation. Samples are best non-negative, too.
    renewal : bool, default=True
        Replace dead and duplicate atoms by samples that are badly represented.

    Examples
    --------
    >>> from dbksvd.updaters import KSVD
    >>> KSVD(memory=None, renewal=False).power_steps
    1
    """

    atom_batch: int = 32
    power_steps: int | None = 1
    shared_residual: bool = False
    sweeps: int = 2
    memory: tuple[float, float, float] | None = (0.4, 0.8, 0.9)
    positive_atoms: bool = False
    renewal: bool = True

    def _describe(self) -> Described:
        return "ksvd", dict(vars(self))


@dataclass(frozen=True)
class MOD:
    """The method of optimal directions: for few atoms and all samples at once.

    Parameters
    ----------
    ridge : float, default=1e-8
        Weight of the old atoms, in units of the mean of an atom's squared coefficients.
    renewal : bool, default=True
        As in :class:`KSVD`.

    Examples
    --------
    >>> from dbksvd.updaters import MOD
    >>> MOD().renewal
    True
    """

    ridge: float = 1e-8
    renewal: bool = True

    def _describe(self) -> Described:
        return "mod", dict(vars(self))


@dataclass(frozen=True)
class Online:
    """Online dictionary learning by sufficient statistics: for small minibatches and streams.

    Parameters
    ----------
    exponent : float, default=24
        Earlier minibatches are forgotten so that about the last 1/exponent of the run counts.
    retention : float, optional
        Instead, the weight that earlier minibatches keep at every minibatch; 0 to 1.
    sweeps : int, default=1
        Passes over all atoms in a minibatch.
    positive_atoms : bool, default=False
        As in :class:`KSVD`.
    renewal : bool, default=True
        As in :class:`KSVD`.

    Examples
    --------
    >>> from dbksvd.updaters import Online
    >>> Online(retention=0.9).retention
    0.9
    """

    exponent: float = 24.0
    retention: float | None = None
    sweeps: int = 1
    positive_atoms: bool = False
    renewal: bool = True

    def _describe(self) -> Described:
        return "online", dict(vars(self))


@dataclass(frozen=True)
class Incoherent:
    """Moves atoms apart after another updater, until no two have a \\|cos\\| above a bound.

    Parameters
    ----------
    max_coherence : float
        The largest \\|cos\\| of two atoms.
    updater : updater or str, default="ksvd"
        The updater that runs first.
    iterations : int, default=20
        Most steps in a minibatch.

    Examples
    --------
    >>> from dbksvd.updaters import Incoherent
    >>> Incoherent(0.6).updater
    'ksvd'
    """

    max_coherence: float
    updater: Updater = "ksvd"
    iterations: int = 20

    def _describe(self) -> Described:
        return "incoherent", {
            "max_coherence": self.max_coherence,
            "updater": describe(self.updater),
            "iterations": self.iterations,
        }


@dataclass(frozen=True)
class Fixed:
    """Keeps some atoms bit by bit as they are, while another updater changes the others.

    For atoms that are known (directions of probes, a constant, the atoms of an earlier model), to
    be completed by others. ``dict_init`` of the learner says what they are; atoms that it does not
    give are drawn from the samples.

    Parameters
    ----------
    atoms : sequence of int
        The fixed atoms, each once.
    updater : updater or str, default="ksvd"
        What changes the others.
    max_coherence : float, default=0.98
        The \\|cos\\| with a fixed atom above which an atom counts as its copy and loses its uses to
        it, so that renewal replaces it. 1 for an updater without renewal.
    until : float, default=0.9
        Progress from which copies keep their uses, 0 to 1.

    Examples
    --------
    >>> import numpy as np, dbksvd
    >>> X = np.random.default_rng(0).normal(size=(200, 8))
    >>> updater = dbksvd.updaters.Fixed([0])
    >>> known = np.eye(8)[:1]
    >>> learner = dbksvd.DictionaryLearner(
    ...     12, 2, updater=updater, dict_init=known, random_state=0
    ... )
    >>> learner.fit(X).components_[0]
    array([1., 0., 0., 0., 0., 0., 0., 0.])
    """

    atoms: Sequence[int]
    updater: Updater = "ksvd"
    max_coherence: float = 0.98
    until: float = 0.9

    def __post_init__(self) -> None:
        # A tuple, so that updaters can be compared and cloned.
        try:
            atoms = tuple(self.atoms)
        except TypeError as error:
            found = f"`atoms` is {self.atoms!r}, expected a sequence of whole numbers"
            raise ValueError(found) from error
        object.__setattr__(self, "atoms", tuple(whole("atoms", atom) for atom in atoms))

    def _describe(self) -> Described:
        return "fixed", {
            "atoms": list(self.atoms),
            "updater": describe(self.updater),
            "max_coherence": self.max_coherence,
            "until": self.until,
        }


Updater = Union[str, KSVD, MOD, Online, Incoherent, Fixed]

_BY_NAME: dict[str, Any] = {"ksvd": KSVD(), "mod": MOD(), "online": Online()}


def describe(updater: Updater) -> Described:
    """An updater, or the name of one, as Rust takes it."""
    return described("updater", updater, _BY_NAME)
