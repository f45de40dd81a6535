"""The estimator, by scikit-learn's conventions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Callable

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from . import _core, coders, updaters
from ._checks import flag, real, seed_of, threads, whole
from ._model import Model
from ._progress import Progress, Report, Teller
from ._rows import PathLike, as_array, as_rows, is_double, is_paths, open_files

__all__ = ["DictionaryLearner"]

_GOALS = ("error", "true_features", "features")

#: Where in its schedules a session begins that goes on from a fitted dictionary.
_NEARLY_DONE = 0.8


class _Session:
    """A session of Rust that can be pickled: its settings, and what it has learned."""

    def __init__(self, settings: dict[str, Any], dim: int, planned: int, double: bool) -> None:
        self.made_with = (settings, dim, planned, double)
        self.core = _core.Session(settings, dim, planned, double)

    def __getstate__(self) -> dict[str, Any]:
        settings, *others = self.made_with
        start = settings["start"]
        if start is not None:
            settings = {**settings, "start": Model._of(start)}
        return {"made_with": (settings, *others), "saved": self.core.save()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        settings, *others = state["made_with"]
        if settings["start"] is not None:
            settings = {**settings, "start": settings["start"]._core}
        self.__init__(settings, *others)  # type: ignore[misc]
        if state["saved"] is not None:
            self.core.restore(state["saved"])


class DictionaryLearner(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Learns a dictionary of unit-norm atoms and sparse codes: X ≈ codes @ components.

    Double-batch K-SVD: minibatches of samples outside, batches of atoms inside, both parallel.
    Results are a function of the data, the parameters and ``random_state``, bit by bit, on any
    number of threads.

    Parameters
    ----------
    n_components : int, optional
        Atoms m. Default: twice the number of features.
    n_nonzero_coefs : int, optional
        The most nonzeros of a sample, 1 to min(m, d). With ``goal="features"`` their mean (at most
        m/2, and may be a fraction); with ``goal="true_features"`` a limit well above the number of
        features that a sample may have. Default: a tenth of the number of features, at least 1 (one
        for each of ``groups``).
    goal : {"error", "true_features", "features"}, default="error"
        ``"error"``: the least error. ``"true_features"``: atoms that stand for what data are made
        of (non-negative codes by thresholds, growth, decorrelation). ``"features"``: interpretable
        features of embeddings, each detected by one product, in two stages; samples are centred,
        and clipped at 3 times the median norm.
    coder : coder or str, default="omp"
        How samples are coded, in learning and in :meth:`transform`: see :mod:`dbksvd.coders`. Only
        with ``goal="error"``; the other goals have coders of their own.
    updater : updater or str, default="ksvd"
        How the dictionary learns: see :mod:`dbksvd.updaters`. Only with ``goal="error"``.
    groups : int or sequence of int, optional
        Nested groups of atoms (Matryoshka), whose prefixes are dictionaries of their own: their
        sizes, which add up to ``n_components``; or the size of the first, after which each has as
        many atoms as all before it. Only with ``goal="error"``.
    positive : bool, default=False
        Whether coefficients are at least 0. Always so with the other two goals.
    center : bool, optional
        Subtract the mean of the data. Default: with ``goal="features"``.
    scale : bool, default=False
        Divide samples by their mean norm, after the mean is subtracted.
    outliers : "keep" or tuple ("clip" or "drop", float), optional
        What learning does with samples beyond so many times the median norm. Default: nothing, or
        ``("clip", 3.0)`` with ``goal="features"``.
    max_iter : int, optional
        Passes over the data (epochs). Default: 20, or 16 with ``goal="features"``.
    batch_size : int, optional
        The most samples a step. Default: chosen by the numbers of atoms, nonzeros and samples. With
        ``goal="features"`` it is that of the second stage, 2,048 by default.
    dict_init : array of shape (m', d), Model or "gaussian", optional
        The dictionary to begin with, of at most m atoms. Default: samples. A Model brings what it
        does to samples. With ``goal="true_features"``, a dictionary that is given does not grow.
    start_at : float, optional
        Where in the schedules to begin, 0 to below 1: 0.8 goes on from a learned ``dict_init``.
    max_steps : int, optional
        Ends the run after so many steps.
    time_budget : float, optional
        Ends the run after so many seconds.
    target_fvu : float, optional
        Ends the run when an evaluation reaches this fraction of variance unexplained.
    plateau : tuple (int, float), optional
        Ends the run when the best of so many evaluations is not better by this share.
    held_out : float, optional
        The share of samples that errors are measured on and that are never learned from. Samples of
        your own choice go to :meth:`fit` as ``X_val``. With ``goal="features"`` the first stage is
        evaluated.
    evaluate_every : int, optional
        Steps between evaluations. Default: at the end of each epoch.
    planned_steps : int, default=1000
        How many calls of :meth:`partial_fit` the schedules are laid out for; not a limit.
    checkpoint_dir : path, optional
        Where the state of a run is saved, every ten minutes and at its end.
    checkpoint_steps : int, optional
        Save after each so many steps, instead of every ten minutes.
    checkpoint_seconds : float, optional
        Save when so many seconds have passed.
    resume : bool, default=False
        Go on from the newest checkpoint in ``checkpoint_dir``, if there is one, to the same bits.
    callback : callable, optional
        Called with a :class:`dbksvd.Progress` after every step; ``False`` ends the run.
    epoch_callback : callable, optional
        Called after every epoch with its entry in ``report_.epochs`` and a copy of the model as it
        is then; ``False`` ends the run.
    n_jobs : int, optional
        Threads; -1 for one for each processor. Default: :func:`dbksvd.get_num_threads`. Results do
        not depend on it.
    device : str, default="cpu"
        ``"gpu"``, ``"gpu:NAME"`` or ``"gpu:NUMBER"`` learns on a graphics device of
        :func:`dbksvd.devices`, in single precision (float64 is refused), with ``goal="error"``, OMP
        or OLS, ``updaters.KSVD`` and no ``groups``. :meth:`partial_fit` and what follows
        :meth:`fit` are the processor's. Results on one device have the same bits; those of another
        differ by rounding.
    random_state : int, RandomState or None, default=None
        The seed of all randomness.
    verbose : int, default=0
        1 shows a progress bar (by tqdm where it is installed, else a line for each epoch).
    sparse_output : bool, default=True
        Whether :meth:`transform` returns ``scipy.sparse.csr_array``, else a dense array.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_features)
        The atoms, of norm 1, in the precision of the data.
    mean_ : ndarray of shape (n_features,)
        What is subtracted from samples; zero if they are not centred.
    scale_ : float
        What centred samples are divided by.
    model_ : Model
        The dictionary with all that coding needs.
    best_model_ : Model or None
        The model that did best on held-out samples.
    coder_ : coder
        What :meth:`transform` codes with.
    n_iter_ : int
        Epochs, the last perhaps incomplete.
    n_steps_ : int
        Steps taken.
    report_ : Report
        The course of the run; not after :meth:`partial_fit`.
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Only if X has such names.

    Notes
    -----
    Float32 and float64 arrays in C order are read in place, float16 is widened by blocks; other
    arrays are copied once. Learning takes memory for a minibatch, nothing that grows with n.

    On Ctrl-C, and on an exception of ``callback``, the current step is finished and the exception
    raised; the attributes are then those of the model so far.

    Examples
    --------
    >>> import numpy as np
    >>> from dbksvd import DictionaryLearner
    >>> X = np.random.default_rng(0).normal(size=(500, 16)).astype(np.float32)
    >>> learner = DictionaryLearner(n_components=32, n_nonzero_coefs=4, random_state=0)
    >>> codes = learner.fit_transform(X)
    >>> codes.shape, codes.nnz, codes.indices.dtype
    ((500, 32), 2000, dtype('int32'))
    >>> learner.inverse_transform(codes).shape
    (500, 16)
    >>> 0.5 < learner.score(X) < 1.0
    True
    """

    def __init__(
        self,
        n_components: int | None = None,
        n_nonzero_coefs: float | None = None,
        *,
        goal: str = "error",
        coder: coders.Coder = "omp",
        updater: updaters.Updater = "ksvd",
        groups: int | Sequence[int] | None = None,
        positive: bool = False,
        center: bool | None = None,
        scale: bool = False,
        outliers: Any = None,
        max_iter: int | None = None,
        batch_size: int | None = None,
        dict_init: Any = None,
        start_at: float | None = None,
        max_steps: int | None = None,
        time_budget: float | None = None,
        target_fvu: float | None = None,
        plateau: tuple[int, float] | None = None,
        held_out: float | None = None,
        evaluate_every: int | None = None,
        planned_steps: int = 1000,
        checkpoint_dir: PathLike | None = None,
        checkpoint_steps: int | None = None,
        checkpoint_seconds: float | None = None,
        resume: bool = False,
        callback: Callable[[Progress], Any] | None = None,
        epoch_callback: Callable[[dict[str, Any], Model], Any] | None = None,
        n_jobs: int | None = None,
        device: str = "cpu",
        random_state: Any = None,
        verbose: int = 0,
        sparse_output: bool = True,
    ) -> None:
        self.n_components = n_components
        self.n_nonzero_coefs = n_nonzero_coefs
        self.goal = goal
        self.coder = coder
        self.updater = updater
        self.groups = groups
        self.positive = positive
        self.center = center
        self.scale = scale
        self.outliers = outliers
        self.max_iter = max_iter
        self.batch_size = batch_size
        self.dict_init = dict_init
        self.start_at = start_at
        self.max_steps = max_steps
        self.time_budget = time_budget
        self.target_fvu = target_fvu
        self.plateau = plateau
        self.held_out = held_out
        self.evaluate_every = evaluate_every
        self.planned_steps = planned_steps
        self.checkpoint_dir = checkpoint_dir
        self.checkpoint_steps = checkpoint_steps
        self.checkpoint_seconds = checkpoint_seconds
        self.resume = resume
        self.callback = callback
        self.epoch_callback = epoch_callback
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state
        self.verbose = verbose
        self.sparse_output = sparse_output

    # Learning.

    def fit(self, X: Any, y: Any = None, *, X_val: Any = None) -> DictionaryLearner:
        """Learns a dictionary of samples.

        Parameters
        ----------
        X : array of shape (n, d), tensor, paths or :func:`dbksvd.open_files`
            Samples. Paths and patterns of ``.npy`` and ``.safetensors`` files may stand for more
            than fits into memory.
        y : None
            Ignored.
        X_val : array of shape (n', d), tensor, paths or :func:`dbksvd.open_files`, optional
            Held-out samples that errors are measured on; not with the parameter ``held_out``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            For parameters outside their range, NaN and infinity, and samples that nothing can be
            learned from. The message names what was found and what was expected.
        OSError
            If files cannot be read, or checkpoints cannot be written.
        MemoryError
            If memory cannot be allocated.
        RuntimeError
            If there is no such ``device``, or it fails.
        KeyboardInterrupt
            After Ctrl-C, when the current step is done; the model so far is kept.
        """
        self._fit(X, X_val)
        return self

    def _teller(self) -> Teller:
        return Teller(self.callback, self.epoch_callback, self.verbose)

    def _fit(self, X: Any, X_val: Any) -> Any:
        """Learns, and gives the samples as they were read."""
        rows = self._rows(X, reset=True)
        held_out = None
        if X_val is not None:
            if self.held_out is not None:
                raise ValueError(
                    f"`X_val` is given, and `held_out` is {self.held_out!r}: expected one of them"
                )
            held_out = self._rows(X_val, reset=False)
        settings = self._settings(rows.shape[1], rows)
        teller = self._teller()
        try:
            fit = _core.fit(
                settings,
                rows,
                is_double(rows),
                teller if teller.listens else None,
                threads(self.n_jobs),
                held_out,
            )
        finally:
            teller.close()
        self._session = None
        self.report_ = Report(**fit.report)
        self.n_iter_ = max(len(self.report_.epochs), 1)
        self.n_steps_ = self.report_.steps
        self.best_model_ = None if fit.best is None else Model._of(fit.best[0])
        self._take(Model._of(fit.model), self.report_.noise)
        if fit.error is not None:
            raise fit.error
        return rows

    def fit_transform(self, X: Any, y: Any = None, *, X_val: Any = None) -> Any:
        """Learns a dictionary of samples, and codes them: :meth:`fit`, then :meth:`transform`."""
        return self._encode(self._fit(X, X_val))

    def partial_fit(self, X: Any, y: Any = None) -> DictionaryLearner:
        """Learns from one minibatch.

        The first call takes the initial dictionary, mean and scale from its samples, so it should
        have more of them than there are atoms. After :meth:`fit`, it goes on from that dictionary.
        ``planned_steps`` is the number of calls that schedules are laid out for.

        Parameters
        ----------
        X : array of shape (n, d)
        y : None
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError, MemoryError
            As :meth:`fit`. The session is then as it was.
        """
        session = getattr(self, "_session", None)
        is_fitted = hasattr(self, "model_")
        rows = self._rows(X, reset=not is_fitted)
        if session is None:
            settings = self._settings(rows.shape[1], rows)
            if is_fitted:
                settings["start"] = self.model_._core
                settings["start_at"] = _NEARLY_DONE
            planned = whole("planned_steps", self.planned_steps, 1)
            session = _Session(settings, rows.shape[1], planned, is_double(rows))
        report = session.core.step(rows, threads(self.n_jobs))
        self._session = session
        self.n_steps_ = report["step"]
        self.n_iter_ = getattr(self, "n_iter_", 1)
        self.best_model_ = None
        self._take(Model._of(session.core.model()), session.core.noise)
        return self

    def _take(self, model: Model, noise: float) -> None:
        self.model_ = model
        self.components_ = model.components_
        mean = model.mean
        self.mean_ = np.zeros(model.shape[1], model.dtype) if mean is None else mean
        self.scale_ = model.scale
        if self.goal == "features" and model.has_linear_coder:
            self.coder_: coders.Coder = coders.Linear()
        elif self.goal == "error":
            self.coder_ = self.coder
            if self.groups is not None:
                sizes = self._group_sizes(model.shape[0])
                self.coder_ = coders.Matryoshka(sizes, coder=self.coder)
        else:
            # Before the first step there is no noise; samples are then taken to be in units of it.
            noise = noise if noise > 0 and np.isfinite(noise) else 1.0
            self.coder_ = coders._OfNoise(float(noise))

    # Coding.

    def transform(self, X: Any) -> Any:
        """The codes of samples.

        Parameters
        ----------
        X : array of shape (n, d), tensor, paths or :func:`dbksvd.open_files`

        Returns
        -------
        scipy.sparse.csr_array of shape (n, n_components)
            With int32 indices, in the precision of the model; dense if not ``sparse_output``.
        """
        check_is_fitted(self)
        return self._encode(self._rows(X, reset=False))

    def _encode(self, rows: Any) -> Any:
        codes = self.model_.encode(rows, coder=self.coder_, n_jobs=self.n_jobs)
        return codes if self.sparse_output else codes.toarray()

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The samples that codes stand for: codes @ components, times scale, plus mean.

        Parameters
        ----------
        X : sparse or dense array of shape (n, n_components)

        Returns
        -------
        ndarray of shape (n, n_features)
        """
        check_is_fitted(self)
        return self.model_.decode(X)

    def score(self, X: Any, y: Any = None) -> float:
        """The share of the variance of samples that their codes explain (R²): 1 - FVU.

        Parameters
        ----------
        X : array of shape (n, d), tensor, paths or :func:`dbksvd.open_files`
        y : None
            Ignored.
        """
        check_is_fitted(self)
        rows = self._rows(X, reset=False)
        return self.model_.encoder(self.coder_).measure(rows, n_jobs=self.n_jobs).explained_variance

    # What is given.

    def _rows(self, X: Any, *, reset: bool) -> Any:
        """Samples as Rust reads them."""
        if is_paths(X):
            X = open_files(X)
        if isinstance(X, _core.Files):
            if reset:
                self.n_features_in_ = X.shape[1]
                self.__dict__.pop("feature_names_in_", None)
            elif X.shape[1] != self.n_features_in_:
                raise ValueError(
                    f"X has {X.shape[1]} features, but {type(self).__name__} is expecting "
                    f"{self.n_features_in_} features as input"
                )
            return X
        if hasattr(X, "__dlpack__") and not isinstance(X, np.ndarray):
            X = as_array(X)
        read_in_place = [np.float64, np.float32, np.float16]
        X = validate_data(self, X, reset=reset, dtype=read_in_place, order="C")
        return as_rows(X)

    def _settings(self, dim: int, rows: Any) -> dict[str, Any]:
        """The parameters as Rust takes them, each checked."""
        if self.goal not in _GOALS:
            raise ValueError(f"`goal` is {self.goal!r}, expected one of {_GOALS}")
        is_error = self.goal == "error"
        for name, default in [("coder", "omp"), ("updater", "ksvd"), ("groups", None)]:
            given = getattr(self, name)
            is_default = given is default or (isinstance(given, str) and given == default)
            if not is_error and not is_default:
                raise ValueError(
                    f"`{name}` is {given!r}, expected {default!r} with goal={self.goal!r}, which "
                    "has its own"
                )
        if self.goal == "features":
            for name in (
                "start_at",
                "max_steps",
                "time_budget",
                "target_fvu",
                "plateau",
                "dict_init",
            ):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"`{name}` is {getattr(self, name)!r}, expected None with goal='features', "
                        "which learns in two stages from the start"
                    )
        atoms = (
            2 * dim if self.n_components is None else whole("n_components", self.n_components, 1)
        )

        def optional(name: str, least: int) -> int | None:
            given = getattr(self, name)
            return None if given is None else whole(name, given, least)

        def optional_real(name: str, expected: str, is_legal: Any) -> float | None:
            given = getattr(self, name)
            return None if given is None else real(name, given, expected, is_legal)

        held_out = optional_real("held_out", "above 0 and below 1", lambda x: 0 < x < 1)
        if held_out is not None and rows.shape[0] < 2:
            raise ValueError("`X` has 1 sample, expected at least 2 with `held_out`")
        groups = None
        if self.groups is not None:
            groups = coders.groups(self._group_sizes(atoms), None)
        start, is_gaussian = self._start(is_double(rows))
        return {
            "goal": self.goal,
            "device": self._device(),
            "atoms": atoms,
            "nonzeros": self._nonzeros(atoms, dim),
            "positive": self._flag("positive"),
            "epochs": optional("max_iter", 0),
            "minibatch": optional("batch_size", 1),
            "seed": seed_of(self.random_state),
            "center": None if self.center is None else self._flag("center"),
            "scale": self._flag("scale"),
            "outliers": self._outliers(),
            "start_at": optional_real("start_at", "0 to below 1", lambda x: 0 <= x < 1),
            "evaluate_every": optional("evaluate_every", 1),
            "max_steps": optional("max_steps", 1),
            "time_budget": optional_real("time_budget", "a positive time", lambda x: x > 0),
            "target_fvu": optional_real("target_fvu", "at least 0", lambda x: x >= 0),
            "plateau": self._plateau(),
            "held_out": held_out,
            "coder": coders.describe(self.coder) if is_error else None,
            "updater": updaters.describe(self.updater) if is_error else None,
            "groups": groups,
            "is_gaussian": is_gaussian,
            "start": start,
            "checkpoints": self._checkpoints(),
            "tells_models": self.epoch_callback is not None,
        }

    def _group_sizes(self, atoms: int) -> list[int]:
        if isinstance(self.groups, (int, np.integer)) and not isinstance(self.groups, bool):
            return _core.doubling_groups(atoms, whole("groups", self.groups, 1))
        return coders.groups(self.groups, None)["sizes"]

    def _device(self) -> str:
        if not isinstance(self.device, str):
            raise ValueError(f"`device` is {self.device!r}, expected 'cpu', 'gpu' or 'gpu:NAME'")
        return self.device

    def _flag(self, name: str) -> bool:
        return flag(name, getattr(self, name))

    def _nonzeros(self, atoms: int, dim: int) -> float:
        given = self.n_nonzero_coefs
        if given is None:
            # Every group is to have a nonzero.
            groups = 1 if self.groups is None else len(self._group_sizes(atoms))
            default = min(max(groups, dim // 10), atoms, dim)
            return min(default, atoms / 2) if self.goal == "features" else default
        if self.goal == "features":
            return real("n_nonzero_coefs", given, "a positive mean", lambda x: x > 0)
        return whole("n_nonzero_coefs", given, 1)

    def _outliers(self) -> tuple[str, float] | None:
        given = self.outliers
        if given is None:
            return None
        if isinstance(given, str) and given == "keep":
            return "keep", 1.0
        is_pair = isinstance(given, (tuple, list)) and len(given) == 2
        if not is_pair or given[0] not in ("clip", "drop"):
            raise ValueError(
                f"`outliers` is {given!r}, expected 'keep', ('clip', factor) or ('drop', factor)"
            )
        factor = real("outliers[1]", given[1], "a positive multiple of the median", lambda x: x > 0)
        return given[0], factor

    def _plateau(self) -> tuple[int, float] | None:
        given = self.plateau
        if given is None:
            return None
        if not isinstance(given, (tuple, list)) or len(given) != 2:
            raise ValueError(f"`plateau` is {given!r}, expected (evaluations, share)")
        share = real("plateau[1]", given[1], "0 to below 1", lambda x: 0 <= x < 1)
        return whole("plateau[0]", given[0], 1), share

    def _start(self, double: bool) -> tuple[_core.Model | None, bool]:
        """The dictionary to begin with, and whether random directions are wanted."""
        given = self.dict_init
        if given is None:
            return None, False
        if isinstance(given, str):
            if given != "gaussian":
                expected = "an array (m, d), a Model or 'gaussian'"
                raise ValueError(f"`dict_init` is {given!r}, expected {expected}")
            return None, True
        if isinstance(given, Model):
            return given._core, False
        atoms = as_rows(as_array(given, "dict_init"), "dict_init")
        atoms = atoms.astype(np.float64 if double else np.float32)
        return Model(atoms, 1, normalize=True)._core, False

    def _checkpoints(self) -> dict[str, Any] | None:
        if self.checkpoint_dir is None:
            for name in ("checkpoint_steps", "checkpoint_seconds"):
                if getattr(self, name) is not None:
                    raise ValueError(f"`{name}` is given, and `checkpoint_dir` is None")
            if self._flag("resume"):
                raise ValueError("`resume` is True, and `checkpoint_dir` is None")
            return None
        steps, seconds = self.checkpoint_steps, self.checkpoint_seconds
        if seconds is not None:
            seconds = real("checkpoint_seconds", seconds, "a positive time", lambda x: x > 0)
        return {
            "directory": os.fspath(self.checkpoint_dir),
            "every_steps": None if steps is None else whole("checkpoint_steps", steps, 1),
            "every_seconds": seconds,
            "resume": self._flag("resume"),
        }

    # What scikit-learn asks.

    @property
    def _n_features_out(self) -> int:
        return self.components_.shape[0]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
