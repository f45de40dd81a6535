"""What users may give as samples and as codes, brought into the form that Rust reads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Union

import numpy as np
import scipy.sparse as sp

from . import _core

#: Samples: an array (n, d), anything NumPy or DLPack makes one of, paths, or open files.
Samples = Any
PathLike = Union[str, "os.PathLike[str]"]

_READ_IN_PLACE = (np.float16, np.float32, np.float64)


def is_paths(given: Any) -> bool:
    """Whether samples are named by paths."""
    if isinstance(given, (str, os.PathLike)):
        return True
    return (
        isinstance(given, (list, tuple))
        and len(given) > 0
        and all(isinstance(path, (str, os.PathLike)) for path in given)
    )


def paths_of(given: PathLike | Sequence[PathLike]) -> list[str]:
    """One path or several as a list."""
    paths = [given] if isinstance(given, (str, os.PathLike)) else list(given)
    return [os.fspath(path) for path in paths]


def open_files(
    paths: PathLike | Sequence[PathLike],
    *,
    tensor: str | None = None,
    mask: PathLike | Sequence[PathLike] | None = None,
) -> _core.Files:
    """Opens sample files, which may be larger than memory, as one source of rows.

    Parameters
    ----------
    paths : path or sequence of paths
        ``.npy`` or ``.safetensors`` files of shape (..., d), directories of such files, or
        patterns with ``*``, ``**``, ``?`` and ``[...]``. Files of a directory or pattern are taken
        in natural order (``part2`` before ``part10``).
    tensor : str, optional
        The name of the tensor in ``.safetensors`` files that have several.
    mask : path or sequence of paths, optional
        ``.npy`` files with one value for each row: rows whose value is 0 (padding, special tokens)
        are left out.

    Returns
    -------
    Files
        With ``shape`` (n, d), ``element_type`` and ``read(start, stop)``. Nothing but the headers
        is read until rows are asked for.

    Raises
    ------
    FileNotFoundError
        If a path or pattern leads to no file.
    OSError
        If a file cannot be read, or is shorter than its header says.
    ValueError
        If a file is of another format, or files differ in dimension.

    Examples
    --------
    >>> import numpy as np, tempfile, os, dbksvd
    >>> folder = tempfile.mkdtemp()
    >>> for i in range(3):
    ...     np.save(os.path.join(folder, f"part{i}.npy"), np.ones((10, 4), dtype=np.float16))
    >>> files = dbksvd.open_files(os.path.join(folder, "part*.npy"))
    >>> files.shape, files.element_type
    ((30, 4), 'f16')
    """
    return _core.Files(paths_of(paths), tensor, None if mask is None else paths_of(mask))


def as_array(given: Any, name: str = "X") -> np.ndarray:
    """An array of what may be one already, a tensor of another library, or a list; not copied where
    that can be."""
    if sp.issparse(given):
        raise TypeError(f"`{name}` is sparse, expected a dense array: `{name}.toarray()`")
    if isinstance(given, np.ma.MaskedArray) and np.ma.is_masked(given):
        raise ValueError(
            f"`{name}` has masked entries, expected none: see Model.complete and learn_masked"
        )
    if isinstance(given, np.ndarray) or not hasattr(given, "__dlpack__"):
        return np.asarray(given)
    # A tensor that is part of a graph of gradients has its numbers all the same.
    given = given.detach() if hasattr(given, "detach") else given
    try:
        return np.from_dlpack(given)
    except (BufferError, RuntimeError, TypeError, ValueError) as error:
        dtype, device = getattr(given, "dtype", "?"), getattr(given, "device", "?")
        raise ValueError(
            f"`{name}` is a tensor of {dtype} on {device}, expected float16, float32 or float64 in "
            f"the memory of the processor (`tensor.cpu().float()`): {error}"
        ) from error


def as_rows(given: Samples, name: str = "X") -> Any:
    """Samples as Rust reads them: open files, or a C-contiguous array of two axes."""
    if isinstance(given, _core.Files):
        return given
    if is_paths(given):
        return open_files(given)
    rows = as_array(given, name)
    if rows.ndim != 2:
        hint = ""
        if rows.ndim == 1:
            hint = f": Reshape your data, `{name}.reshape(1, -1)` for a single sample"
        raise ValueError(f"`{name}` has shape {rows.shape}, expected (n, d){hint}")
    if rows.dtype not in _READ_IN_PLACE or not rows.dtype.isnative:
        if rows.dtype.kind not in "biufO":
            raise ValueError(f"`{name}` is of {rows.dtype}, expected real numbers")
        single = rows.dtype.kind == "f" and rows.dtype.itemsize <= 4
        rows = rows.astype(np.float32 if single else np.float64)
    # An array on a buffer may begin between two numbers.
    return np.require(rows, requirements=("C", "A"))


def is_double(rows: Any) -> bool:
    """Whether samples are in double precision."""
    if isinstance(rows, _core.Files):
        return rows.element_type == "f64"
    return rows.dtype == np.float64


def codes_from(parts: Any, n_components: int) -> sp.csr_array:
    """Compressed rows of Rust as SciPy's, without a copy."""
    data, indices, indptr = parts
    codes = sp.csr_array((data, indices, indptr), shape=(len(indptr) - 1, n_components))
    codes.has_sorted_indices = True
    codes.has_canonical_format = True
    return codes


def codes_parts(codes: Any, n_components: int, dtype: str) -> tuple[Any, Any, Any]:
    """Codes, sparse or dense, as compressed rows for Rust."""
    rows = sp.csr_array(codes) if sp.issparse(codes) else sp.csr_array(as_array(codes, "codes"))
    if rows.ndim != 2 or rows.shape[1] != n_components:
        raise ValueError(
            f"`codes` has shape {rows.shape}, expected (n, {n_components}): a column for each atom"
        )
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return (
        np.ascontiguousarray(rows.data, dtype=dtype),
        np.ascontiguousarray(rows.indices, dtype=np.int64),
        np.ascontiguousarray(rows.indptr, dtype=np.int64),
    )
