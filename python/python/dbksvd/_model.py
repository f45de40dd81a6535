"""Models and encoders."""

from __future__ import annotations

import html
import json
import os
import struct
from typing import Any

import numpy as np
import scipy.sparse as sp

from . import _core, coders
from ._checks import real, threads, whole
from ._measures import Measures
from ._rows import PathLike, Samples, as_array, as_rows, codes_from, codes_parts
from ._weights import BLOCK, known_part, weighted

__all__ = ["Encoder", "Model"]


class Model:
    """A dictionary, with what is done to samples before they are coded.

    Parameters
    ----------
    components : array of shape (m, d)
        Atoms of norm 1, in float32 or float64 (anything else becomes float64).
    n_nonzero_coefs : int
        The most nonzeros of a sample; 1 to min(m, d).
    mean : array of shape (d,), optional
        Subtracted from samples.
    scale : float, default=1
        What centred samples are divided by.
    norm_limit : float, optional
        The norm of centred samples beyond which learning clipped or dropped them.
    positive : bool, default=False
        Whether coefficients are at least 0.
    normalize : bool, default=False
        Scale the atoms to norm 1, instead of refusing others.

    Raises
    ------
    ValueError
        For atoms that are not finite or not of norm 1, and parameters outside their range.

    Examples
    --------
    >>> import numpy as np, dbksvd
    >>> model = dbksvd.Model(np.eye(3), n_nonzero_coefs=1)
    >>> model.encode(np.array([[0.0, 2.0, 1.0]])).toarray()
    array([[0., 2., 0.]])
    """

    __slots__ = ("_components", "_core", "_encoders")

    def __init__(
        self,
        components: Any,
        n_nonzero_coefs: int,
        *,
        mean: Any = None,
        scale: float = 1.0,
        norm_limit: float | None = None,
        positive: bool = False,
        normalize: bool = False,
    ) -> None:
        atoms = as_rows(as_array(components, "components"), "components")
        if atoms.dtype == np.float16:
            atoms = atoms.astype(np.float32)
        if mean is not None:
            mean = np.require(as_array(mean, "mean"), dtype=atoms.dtype, requirements=("C", "A"))
            if mean.shape != (atoms.shape[1],):
                raise ValueError(f"`mean` has shape {mean.shape}, expected ({atoms.shape[1]},)")
        parts = {
            "n_nonzero_coefs": whole("n_nonzero_coefs", n_nonzero_coefs, 1),
            "positive": bool(positive),
            "mean": mean,
            "scale": real("scale", scale, "a positive number", lambda x: x > 0),
            "norm_limit": norm_limit,
            "linear": None,
        }
        self._set(_core.Model(atoms, parts, normalize))

    def _set(self, core: _core.Model) -> None:
        self._core = core
        self._components: np.ndarray | None = None
        self._encoders: dict[Any, Encoder] = {}

    @classmethod
    def _of(cls, core: _core.Model) -> Model:
        model = cls.__new__(cls)
        model._set(core)
        return model

    @classmethod
    def load(cls, path: PathLike, *, dtype: Any = None) -> Model:
        """Reads a model that :meth:`save`, or a program in Rust, wrote.

        Parameters
        ----------
        path : path
            A ``.safetensors`` file.
        dtype : float32 or float64, optional
            The precision to compute in. Default: the file's.

        Raises
        ------
        OSError
            If the file cannot be read (``FileNotFoundError`` if it is not there).
        ValueError
            If it is no model.
        """
        path = os.fspath(path)
        dtype = _dtype_of_file(path) if dtype is None else np.dtype(dtype).name
        return cls._of(_core.Model.load(path, dtype))

    def save(self, path: PathLike) -> None:
        """Writes the model to a ``.safetensors`` file, which appears whole or not at all.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        self._core.save(os.fspath(path))

    @property
    def components_(self) -> np.ndarray:
        """The atoms, (m, d), of norm 1; read-only."""
        if self._components is None:
            components = self._core.components()
            components.flags.writeable = False
            self._components = components
        return self._components

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_components, n_features)``."""
        return self._core.shape

    @property
    def dtype(self) -> np.dtype:
        """float32 or float64."""
        return np.dtype(self._core.dtype)

    @property
    def n_nonzero_coefs(self) -> int:
        """The most nonzeros of a sample."""
        return self._core.parts()["n_nonzero_coefs"]

    @property
    def positive(self) -> bool:
        """Whether coefficients are at least 0."""
        return self._core.parts()["positive"]

    @property
    def mean(self) -> np.ndarray | None:
        """What is subtracted from samples, (d,)."""
        return self._core.parts()["mean"]

    @property
    def scale(self) -> float:
        """What centred samples are divided by."""
        return self._core.parts()["scale"]

    @property
    def norm_limit(self) -> float | None:
        """The norm beyond which learning clipped or dropped centred samples."""
        return self._core.parts()["norm_limit"]

    @property
    def has_linear_coder(self) -> bool:
        """Whether a linear coder was learned with the dictionary (``goal="features"``)."""
        return self._core.parts()["linear"] is not None

    def with_n_nonzero_coefs(self, n_nonzero_coefs: int) -> Model:
        """The same dictionary with another limit for the nonzeros of a sample."""
        return self._of(
            self._core.with_n_nonzero_coefs(whole("n_nonzero_coefs", n_nonzero_coefs, 1))
        )

    def encoder(self, coder: coders.Coder | None = None) -> Encoder:
        """An :class:`Encoder` of this model, kept for the next call with the same coder."""
        if coder is None:
            coder = coders.Linear() if self.has_linear_coder else coders.OMP()
        described = repr(coders.describe(coder))
        if described not in self._encoders:
            # More than one is rare; a Gram matrix may be large.
            self._encoders = {described: Encoder(self, coder)}
        return self._encoders[described]

    def encode(
        self, X: Samples, *, coder: coders.Coder | None = None, n_jobs: int | None = None
    ) -> sp.csr_array:
        """The codes of samples.

        Parameters
        ----------
        X : array of shape (n, d), tensor, paths or open files
            Float16, float32 and float64 in C order are read in place, block by block, and computed
            in the precision of the model. Anything else is copied once.
        coder : coder or str, optional
            Default: the linear coder that was learned with the model if there is one, else OMP.
        n_jobs : int, optional
            Threads; -1 for one for each processor. Codes do not depend on it.

        Returns
        -------
        scipy.sparse.csr_array of shape (n, m)
            In the precision of the model, with int32 indices (int64 from 2³¹ nonzeros on).

        Raises
        ------
        ValueError
            For another dimension, NaN and infinity, and a coder that does not fit the model.
        OSError
            If a file cannot be read.
        MemoryError
            If memory cannot be allocated.
        """
        return self.encoder(coder).encode(X, n_jobs=n_jobs)

    def encode_masked(
        self, X: Any, weights: Any = None, *, n_jobs: int | None = None
    ) -> sp.csr_array:
        """The codes of samples of which entries are missing, or count for less than others.

        Codes minimise Σ weights · (X − decoded)² over at most k atoms, chosen by orthogonal
        matching pursuit; :meth:`decode` then gives the whole samples, :meth:`complete` the missing
        entries alone. A sample without any known entry has an empty code.

        Parameters
        ----------
        X : array of shape (n, d) or tensor
            Where a weight is 0, X may hold anything.
        weights : array of shape (n, d), optional
            From 0 to 1, or booleans (True: known). Default: 0 where X is NaN, else 1.
        n_jobs : int, optional
            Threads; -1 for one for each processor. Codes do not depend on it.

        Returns
        -------
        scipy.sparse.csr_array of shape (n, m)

        Raises
        ------
        ValueError
            For shapes that do not fit, weights outside 0 to 1, and NaN and infinity where a weight
            is above 0.

        Examples
        --------
        >>> import numpy as np, dbksvd
        >>> model = dbksvd.Model(np.array([[0.6, 0.8]]), n_nonzero_coefs=1)
        >>> model.encode_masked(np.array([[np.nan, 8.0]])).toarray()
        array([[10.]])
        """
        rows, known = weighted(X, weights)
        blocks = []
        for at in range(0, len(rows), BLOCK):
            part = known_part(rows, known, at, self.dtype)
            parts = _core.encode_masked(self._core, *part, threads(n_jobs))
            blocks.append(codes_from(parts, self.shape[0]))
        return blocks[0] if len(blocks) == 1 else sp.vstack(blocks, format="csr")

    def complete(self, X: Any, weights: Any = None, *, n_jobs: int | None = None) -> np.ndarray:
        """The samples, (n, d), with what their codes say of missing entries.

        An entry x of weight w becomes w · x + (1 − w) · decoded, in the precision of the model.
        Parameters and errors are those of :meth:`encode_masked`.

        Examples
        --------
        >>> import numpy as np, dbksvd
        >>> model = dbksvd.Model(np.array([[0.6, 0.8]]), n_nonzero_coefs=1)
        >>> model.complete(np.array([[np.nan, 8.0]]))
        array([[6., 8.]])
        """
        rows, known = weighted(X, weights)
        filled = self.decode(self.encode_masked(rows, known, n_jobs=n_jobs))
        for at in range(0, len(rows), BLOCK):
            samples, weight = known_part(rows, known, at, self.dtype)
            weight = weight.astype(filled.dtype, copy=False)
            filled[at : at + BLOCK] = weight * samples + (1 - weight) * filled[at : at + BLOCK]
        return filled

    def decode(self, codes: Any) -> np.ndarray:
        """The samples, (n, d), that codes stand for: codes @ components, times scale, plus mean.

        Parameters
        ----------
        codes : sparse or dense array of shape (n, m)

        Raises
        ------
        ValueError
            If the codes are of another number of atoms.
        """
        return self._core.decode(codes_parts(codes, self.shape[0], self._core.dtype))

    def measure(
        self, X: Samples, codes: Any = None, *, coder: coders.Coder | None = None
    ) -> Measures:
        """How well codes represent samples; without ``codes``, those of ``coder``, not kept.

        Raises
        ------
        ValueError
            If samples, codes and model do not fit together.
        """
        if codes is None:
            return self.encoder(coder).measure(X)
        parts = codes_parts(codes, self.shape[0], self._core.dtype)
        return Measures(**_core.measure(self._core, as_rows(X), parts))

    def save_saelens(self, directory: PathLike, *, encoder: str | None = None) -> None:
        """Writes the model as a sparse autoencoder that SAELens loads, in single precision.

        Parameters
        ----------
        directory : path
            Made if it is not there; ``cfg.json`` and ``sae_weights.safetensors`` are written.
        encoder : {"linear", "top_k", "matching_pursuit"}, optional
            The encoder: the linear coder that was learned, or tied weights with the k largest
            latents, or matching pursuit on the dictionary. Default: ``"linear"`` if there is one,
            else ``"matching_pursuit"``.

        Raises
        ------
        ValueError
            If the model cannot be such an autoencoder.
        OSError
            If the files cannot be written.
        """
        if encoder is None:
            encoder = "linear" if self.has_linear_coder else "matching_pursuit"
        _core.Sae.from_model(self._core, encoder).save(os.fspath(directory))

    def __reduce__(self) -> tuple[Any, ...]:
        return _model_of, (self._core.components(), self._core.parts())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model):
            return NotImplemented
        return _same(self._core.components(), other._core.components()) and _same(
            self._core.parts(), other._core.parts()
        )

    __hash__ = None  # type: ignore[assignment]

    def _facts(self) -> dict[str, Any]:
        parts = self._core.parts()
        atoms, dim = self.shape
        facts = {
            "atoms": atoms,
            "features": dim,
            "nonzeros": f"at most {parts['n_nonzero_coefs']} a sample",
            "sign": "non-negative" if parts["positive"] else "signed",
            "precision": self._core.dtype,
        }
        done = [
            name
            for name, is_done in [
                ("centred", parts["mean"] is not None),
                ("scaled", parts["scale"] != 1.0),
                ("norm-limited", parts["norm_limit"] is not None),
            ]
            if is_done
        ]
        facts["samples"] = ", ".join(done) or "as they are"
        facts["linear coder"] = "yes" if parts["linear"] is not None else "no"
        return facts

    def __repr__(self) -> str:
        facts = self._facts()
        return (
            f"Model({facts['atoms']} atoms of {facts['features']} features, {facts['nonzeros']}, "
            f"{facts['sign']}, {facts['precision']}, samples {facts['samples']})"
        )

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(value))}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table><caption>dbksvd.Model</caption>{rows}</table>"


def _model_of(components: np.ndarray, parts: dict[str, Any]) -> Model:
    return Model._of(_core.Model(components, parts))


def _same(a: Any, b: Any) -> bool:
    """Whether two nests of dictionaries and arrays are equal, precisions included."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    return type(a) is type(b) and a == b


def _dtype_of_file(path: str) -> str:
    """The precision of a model's file; what is wrong with the file is told by whoever reads it."""
    try:
        with open(path, "rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(length, 1 << 24)))
        return "float64" if header["dictionary"]["dtype"] == "F64" else "float32"
    except (OSError, ValueError, KeyError, TypeError, struct.error):
        return "float32"


class Encoder:
    """Codes many batches of samples with one model, keeping what the coder derives from it.

    Threads may share an encoder: calls take turns, and each uses all processors.

    Parameters
    ----------
    model : Model
    coder : coder or str, optional
        Default: the linear coder that was learned with the model if there is one, else OMP.

    Raises
    ------
    ValueError
        If the coder cannot code for the model.

    Examples
    --------
    >>> import numpy as np, dbksvd
    >>> encoder = dbksvd.Encoder(dbksvd.Model(np.eye(3), 2), "ols")
    >>> encoder.encode(np.array([[3.0, 0.0, 1.0]])).toarray()
    array([[3., 0., 1.]])
    """

    __slots__ = ("_core", "coder", "model")

    def __init__(self, model: Model, coder: coders.Coder | None = None) -> None:
        if not isinstance(model, Model):
            raise TypeError(f"`model` is {type(model).__name__}, expected a dbksvd.Model")
        if coder is None:
            coder = coders.Linear() if model.has_linear_coder else coders.OMP()
        self.model = model
        self.coder = coder
        self._core = _core.Encoder(model._core, coders.describe(coder))

    def encode(self, X: Samples, *, n_jobs: int | None = None) -> sp.csr_array:
        """The codes of samples: see :meth:`Model.encode`."""
        parts = self._core.encode(as_rows(X), threads(n_jobs))
        return codes_from(parts, self.model.shape[0])

    def measure(self, X: Samples, *, n_jobs: int | None = None) -> Measures:
        """How well samples are represented, without keeping their codes."""
        return Measures(**self._core.measure(as_rows(X), threads(n_jobs)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Encoder, (self.model, self.coder)

    def __repr__(self) -> str:
        return f"Encoder({self.model!r}, coder={self.coder!r})"
