"""Checks of arguments: each error names the argument, what was found, and what was expected."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from sklearn.utils import check_random_state


def whole(name: str, given: Any, least: int = 0, most: int = 2**63 - 1) -> int:
    """A whole number."""
    is_whole = isinstance(given, numbers.Integral) and not isinstance(given, (bool, np.bool_))
    if not is_whole or not least <= given <= most:
        # Nobody who is far from it wants to know of the largest number that Rust takes.
        is_far = most >= 2**63 - 1 and not (is_whole and given > most)
        upper = "" if is_far else f" and at most {most}"
        raise ValueError(
            f"`{name}` is {given!r}, expected a whole number of at least {least}{upper}"
        )
    return int(given)


def real(name: str, given: Any, expected: str, is_legal: Any) -> float:
    """A finite number that is legal."""
    is_real = isinstance(given, numbers.Real) and not isinstance(given, (bool, np.bool_))
    if not is_real or not math.isfinite(given) or not is_legal(given):
        raise ValueError(f"`{name}` is {given!r}, expected {expected}")
    return float(given)


def seed_of(random_state: Any) -> int:
    """The seed that a ``random_state`` stands for; a generator is asked for its next number."""
    if isinstance(random_state, (int, np.integer)) and not isinstance(random_state, bool):
        return whole("random_state", random_state, 0, 2**64 - 1)
    return int(check_random_state(random_state).randint(2**31))


def flag(name: str, given: Any) -> bool:
    """True or False."""
    if not isinstance(given, (bool, np.bool_)):
        raise ValueError(f"`{name}` is {given!r}, expected True or False")
    return bool(given)


def goes_on(answer: Any) -> bool:
    """Whether a callback that gave this answer lets a run go on: one that gives none does."""
    return not (isinstance(answer, (bool, np.bool_)) and not answer)


def threads(n_jobs: Any) -> int | None:
    """How many threads ``n_jobs`` stands for; ``None`` for what was set, or all."""
    if n_jobs is None:
        return None
    if n_jobs == -1:
        return 0
    return whole("n_jobs", n_jobs, 1, 4096)


def described(name: str, given: Any, by_name: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A coder or an updater, or the name of one, as Rust takes it."""
    found = by_name.get(given) if isinstance(given, str) else given
    if not hasattr(found, "_describe") or isinstance(found, type):
        names = ", ".join(repr(known) for known in by_name)
        one = f"one of dbksvd.{name}s"
        raise ValueError(f"`{name}` is {given!r}, expected one of {names}, or {one}")
    return found._describe()
