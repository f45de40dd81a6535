"""Sparse autoencoders of other tools, as dictionaries and coders."""

from __future__ import annotations

import os

import numpy as np
import scipy.sparse as sp

from . import _core
from ._checks import whole
from ._model import Model
from ._rows import PathLike, Samples, as_rows, codes_from

__all__ = ["SAE", "load_saelens", "load_sparsify"]


class SAE:
    """A sparse autoencoder, in single precision: :func:`load_saelens` reads one.

    Its *codes* are coefficients of unit atoms, so that those of any encoder on one dictionary can
    be compared; its *latents* are the activations that other tools show.
    """

    __slots__ = ("_core",)

    def __init__(self, core: _core.Sae) -> None:
        self._core = core

    @property
    def architecture(self) -> str:
        """The kind of the encoder, as SAELens names it."""
        return self._core.architecture

    @property
    def shape(self) -> tuple[int, int]:
        """``(n_latents, n_features)``."""
        return self._core.shape

    @property
    def decoder(self) -> np.ndarray:
        """W_dec, (m, d)."""
        return self._core.decoder()

    def model(self, n_nonzero_coefs: int) -> Model:
        """The decoder as a dictionary for any coder, b_dec as its mean."""
        return Model._of(self._core.model(whole("n_nonzero_coefs", n_nonzero_coefs, 1)))

    def encode(self, X: Samples, *, latents: bool = False) -> sp.csr_array:
        """The codes of samples (n, d) by its own encoder; its latents if ``latents``."""
        return codes_from(self._core.encode(as_rows(X), bool(latents)), self.shape[0])

    def save_saelens(self, directory: PathLike) -> None:
        """Writes ``cfg.json`` and ``sae_weights.safetensors``, which SAELens loads."""
        self._core.save(os.fspath(directory))

    def __repr__(self) -> str:
        m, d = self.shape
        return f"SAE({self.architecture}, {m} latents of {d} features)"


def load_saelens(directory: PathLike) -> SAE:
    """Reads an autoencoder that SAELens saved (``cfg.json``, ``sae_weights.safetensors``).

    Raises
    ------
    OSError
        If a file cannot be read.
    ValueError
        If a setting is not supported or not known; the message names it.

    Examples
    --------
    >>> import numpy as np, tempfile, dbksvd
    >>> folder = tempfile.mkdtemp()
    >>> dbksvd.Model(np.eye(4, dtype=np.float32), 2).save_saelens(folder)
    >>> dbksvd.load_saelens(folder)
    SAE(matching_pursuit, 8 latents of 4 features)
    """
    return SAE(_core.Sae.load(os.fspath(directory), "saelens"))


def load_sparsify(directory: PathLike) -> SAE:
    """Reads an autoencoder of EleutherAI's sparsify (``cfg.json``, ``sae.safetensors``).

    Raises
    ------
    OSError, ValueError
        As :func:`load_saelens`.
    """
    return SAE(_core.Sae.load(os.fspath(directory), "sparsify"))
