"""What a run tells while it learns: a progress bar, log records, callbacks."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Callable

from ._checks import goes_on
from ._model import Model

__all__ = ["Progress", "Report"]

LOGGER = logging.getLogger("dbksvd")


@dataclass(frozen=True)
class Progress:
    """Where a run is, as callbacks are told after every step.

    Attributes
    ----------
    epoch, epochs : int
        The current epoch, from 1, and epochs in all.
    step, steps : int
        The step just done, from 1, within the epoch, and steps in an epoch.
    total_steps : int
        Steps since the run began (with ``goal="features"``, since its stage began).
    done : float
        The share of the run that lies behind, 0 to 1.
    n_samples : int
        Samples learned from in this step.
    fvu, fvu_within : float
        Fraction of variance unexplained over this epoch so far: of all samples, and of those within
        the norm limit.
    elapsed : float
        Seconds since the run began.
    """

    epoch: int
    epochs: int
    step: int
    steps: int
    total_steps: int
    done: float
    n_samples: int
    fvu: float
    fvu_within: float
    elapsed: float


@dataclass(frozen=True)
class Report:
    """The course of a run.

    Attributes
    ----------
    epochs : list of dict
        One entry for each epoch: ``epoch``, ``n_samples``, ``fvu``, ``fvu_within``,
        ``relative_error``, ``mean_nonzeros``, ``replaced``, ``merged``, ``undone``, ``clipped``,
        ``dropped``, ``zeros``, ``elapsed``. Errors are those of each minibatch before its update.
    evaluations : list of dict
        One entry for each evaluation: on held-out samples if there are any.
    steps : int
        Steps taken.
    noise : float
        Root mean square of what the codes of the last minibatch left, before its update.
    resumed_from : int or None
        The step of the checkpoint that the run resumed from.
    seconds : dict
        Where the time went: ``encode``, ``update``, ``other``, ``total``.
    stop : str
        Why it ended: ``completed``, ``steps``, ``time``, ``target-fvu``, ``plateau``, ``observer``
        (a callback), ``token`` (Ctrl-C) or ``failed``.
    """

    epochs: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    steps: int
    noise: float
    resumed_from: int | None
    seconds: dict[str, float]
    stop: str

    def __repr__(self) -> str:
        fvu = f"{self.epochs[-1]['fvu']:.4f}" if self.epochs else "-"
        return (
            f"Report({len(self.epochs)} epochs, {self.steps} steps, "
            f"{self.seconds['total']:.1f} s, FVU {fvu}, {self.stop})"
        )


class Teller:
    """Answers what Rust tells of a run: shows it, logs it, and asks the user's callbacks."""

    def __init__(
        self,
        callback: Callable[[Progress], Any] | None,
        epoch_callback: Callable[[dict[str, Any], Any], Any] | None,
        verbose: int,
    ) -> None:
        self.callback = callback
        self.epoch_callback = epoch_callback
        self.bar: Any = None
        self.prints = False
        if verbose > 0:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                self.prints = True
            else:
                form = "{l_bar}{bar}| {elapsed}<{remaining}{postfix}"
                self.bar = tqdm(total=1.0, desc="dbksvd", bar_format=form)

    @property
    def listens(self) -> bool:
        """Whether anybody wants to know."""
        asks = self.callback is not None or self.epoch_callback is not None
        shows = self.bar is not None or self.prints
        return asks or shows or LOGGER.isEnabledFor(logging.INFO)

    def __call__(self, kind: str, values: dict[str, Any]) -> bool:
        if kind == "step":
            return self._step(Progress(**values))
        if kind == "epoch":
            text = "epoch {epoch}: FVU {fvu:.4f}, {mean_nonzeros:.1f} nonzeros, {elapsed:.1f} s"
            text = text.format(**values)
            if self.prints:
                print(text)
            LOGGER.info(text)
            # No model comes of weights that have overflowed; the run ends with that error.
            if self.epoch_callback is not None and "model" in values:
                model = Model._of(values.pop("model"))
                return goes_on(self.epoch_callback(values, model))
        elif kind == "evaluation":
            LOGGER.info("evaluation after step %(step)d: FVU %(fvu).4f", values)
        elif kind == "checkpoint":
            LOGGER.info("checkpoint after step %(step)d: %(path)s", values)
        elif kind == "checkpoint_failure":
            LOGGER.warning("checkpoint failed: %(error)s", values)
        elif kind == "renewal":
            LOGGER.debug("step %(step)d: %(replaced)d replaced, %(merged)d merged", values)
        return True

    def _step(self, progress: Progress) -> bool:
        if self.bar is not None:
            self.bar.set_postfix_str(
                f"epoch {progress.epoch}/{progress.epochs}, FVU {progress.fvu:.4f}", refresh=False
            )
            self.bar.update(max(0.0, progress.done - self.bar.n))
        if LOGGER.isEnabledFor(logging.DEBUG):
            LOGGER.debug("step %d: FVU %.4f", progress.total_steps, progress.fvu)
        return self.callback is None or goes_on(self.callback(progress))

    def close(self) -> None:
        """Ends the bar."""
        if self.bar is not None:
            self.bar.close()
