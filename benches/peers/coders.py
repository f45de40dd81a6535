"""The peers' coders: each codes rows with at most k atoms, on two threads, in its best setting.

A coder is called with samples (n, d) and returns codes (n, m) that are sparse; `few` is the number
of samples it is given where it is slow. What depends on the dictionary alone is not in its time:
`fixed` samples are coded for that, where a library offers nothing better.
"""

import warnings

import dbksvd
import numpy as np
import scipy.sparse
import spams
from dictlearn import sparse_encode
from joblib import Parallel, delayed
from sklearn.linear_model import orthogonal_mp, orthogonal_mp_gram

try:
    import torch
    from orthogonal_matching_pursuit_gpu import omp_v0, omp_v0_blas
except ImportError:
    # PyTorch takes gigabytes: its coder is measured where it is installed.
    torch = None

THREADS = 2


class Package:
    """This crate's Python package: from a NumPy array to SciPy's compressed rows."""

    # Not "dbksvd OMP ...": pictures take the fastest of what begins with a name.
    name, selection = "dbksvd from Python, OMP", "omp"
    fixed = 0

    def __init__(self, dictionary, sparsity, folder):
        self.encoder = dbksvd.Model(dictionary, sparsity, normalize=True).encoder()

    def __call__(self, samples):
        return scipy.sparse.csr_matrix(self.encoder.encode(samples, n_jobs=THREADS))


class Spams:
    """`spams.omp`, which selects by orthogonal least squares."""

    name, selection = "SPAMS omp", "ols"
    # It builds its Gram matrix in every call of more than ten samples.
    fixed = 12

    def __init__(self, dictionary, sparsity, folder):
        self.dictionary, self.sparsity = np.asfortranarray(dictionary.T), sparsity

    def __call__(self, samples):
        # The rows of a C-order array are the columns of a Fortran-order one: no copy.
        # eps and lambda1 are always stated: without them it reads memory that is not its own.
        x = spams.omp(samples.T, self.dictionary, L=self.sparsity, eps=0.0, lambda1=0.0,
                      numThreads=THREADS)  # fmt: skip
        return x.T


class InProcesses:
    """A coder that runs Python a sample: two processes, each with half of the samples."""

    fixed = 0

    def __init__(self, dictionary, sparsity, folder):
        self.sparsity = sparsity
        self.dictionary = on_disk(dictionary, folder / f"{type(self).__name__}-atoms.npy")
        self.gram = self.prepare(dictionary, folder / f"{type(self).__name__}-gram.npy")
        self.processes = Parallel(n_jobs=THREADS)

    def __call__(self, samples):
        calls = (
            delayed(type(self).code)(part, self.dictionary, self.gram, self.sparsity)
            for part in np.array_split(samples, THREADS)
        )
        return scipy.sparse.vstack(self.processes(calls))


class SklearnGram(InProcesses):
    """`orthogonal_mp_gram`; it copies the Gram matrix for every sample."""

    name, selection = "scikit-learn orthogonal_mp_gram", "omp"

    def prepare(self, dictionary, file):
        return on_disk(dictionary @ dictionary.T, file)

    @staticmethod
    def code(samples, dictionary, gram, sparsity):
        with quiet():
            codes = orthogonal_mp_gram(gram, dictionary @ samples.T, n_nonzero_coefs=sparsity)
        return scipy.sparse.csr_matrix(codes.reshape(len(dictionary), -1).T)


class SklearnPlain(InProcesses):
    """`orthogonal_mp` without a Gram matrix: faster where that matrix is large."""

    name, selection = "scikit-learn orthogonal_mp", "omp"

    def prepare(self, dictionary, file):
        return None

    @staticmethod
    def code(samples, dictionary, gram, sparsity):
        with quiet():
            codes = orthogonal_mp(dictionary.T, samples.T, n_nonzero_coefs=sparsity)
        return scipy.sparse.csr_matrix(codes.reshape(len(dictionary), -1).T)


class Dictlearn(InProcesses):
    """`dictlearn.sparse_encode`: batch-OMP compiled by numba, in float64."""

    name, selection = "dictlearn omp", "omp"

    def prepare(self, dictionary, file):
        wide = dictionary.astype(np.float64)
        return on_disk(wide @ wide.T, file)

    @staticmethod
    def code(samples, dictionary, gram, sparsity):
        codes = sparse_encode(samples, dictionary, n_nonzero_coefs=sparsity, gram=gram)
        return scipy.sparse.csr_matrix(codes)


class Torch:
    """`omp_v0` of orthogonal-matching-pursuit-gpu, on the processor: all samples of a batch choose
    their next atom at the same time. It keeps k·m numbers a sample. Its wrapper `run_omp` builds
    the Gram matrix in every call and returns dense codes."""

    name, selection = "batched torch OMP, v0", "omp"
    fixed = 0
    BATCH = 2_048

    def __init__(self, dictionary, sparsity, folder):
        torch.set_num_threads(THREADS)
        self.atoms = torch.from_numpy(np.ascontiguousarray(dictionary.T))
        self.gram = self.atoms.T @ self.atoms
        self.sparsity = sparsity

    def __call__(self, samples):
        codes = []
        for part in torch.from_numpy(samples).split(self.BATCH):
            supports, values, _ = omp_v0(
                self.atoms, part, XTX=self.gram, n_nonzero_coefs=self.sparsity
            )
            codes.append(compressed(supports.numpy(), values.numpy(), len(self.gram)))
        return scipy.sparse.vstack(codes)


class TorchBlas(InProcesses):
    """Its `omp_v0_blas`, in float64 alone, which calls BLAS a sample and has no threads."""

    name, selection = "batched torch OMP, v0_blas", "omp"
    # It builds its Gram matrix in every call.
    fixed = 12
    BATCH = 512

    def prepare(self, dictionary, file):
        return on_disk(np.ascontiguousarray(dictionary.T, dtype=np.float64), file)

    @staticmethod
    def code(samples, dictionary, atoms, sparsity):
        atoms = np.asarray(atoms)
        wide = samples.astype(np.float64)
        codes = []
        for first in range(0, len(wide), TorchBlas.BATCH):
            supports, values = omp_v0_blas(atoms, wide[first : first + TorchBlas.BATCH], sparsity)
            codes.append(compressed(supports, values, len(dictionary)))
        return scipy.sparse.vstack(codes)


def compressed(supports, values, atoms):
    """SciPy's compressed rows of (n, k) atoms and their coefficients."""
    count, sparsity = supports.shape
    rows = np.arange(0, count * sparsity + 1, sparsity)
    entries = values.reshape(-1), supports.reshape(-1), rows
    return scipy.sparse.csr_matrix(entries, shape=(count, atoms))


def quiet():
    """scikit-learn warns of every sample that it stops at before k atoms, which happens in float32;
    the results state the number of nonzeros."""
    return warnings.catch_warnings(action="ignore", category=RuntimeWarning)


def relative_error(dictionary, samples, codes):
    """‖Y − DX‖² / ‖Y‖², summed in float64."""
    residual, energy = 0.0, 0.0
    for first in range(0, len(samples), 8192):
        rows = samples[first : first + 8192]
        left = rows - codes[first : first + 8192] @ dictionary
        residual += np.einsum("ij,ij->", left, left, dtype=np.float64)
        energy += np.einsum("ij,ij->", rows, rows, dtype=np.float64)
    return residual / energy


def on_disk(array, file):
    """The array as a mapped file, which processes share."""
    np.save(file, array)
    return np.load(file, mmap_mode="r")


# Samples that a coder is given on each workload; None: all of them. Where it is missing, one call
# would take minutes or more memory than there is.
PEERS = {
    Spams: {"W1": None, "W2": None, "W3": None, "W4": None},
    Dictlearn: {"W1": 20_000, "W2": 2_048, "W3": 512},
    SklearnGram: {"W1": 4_000, "W2": 128, "W3": 16},
    SklearnPlain: {"W1": 4_000, "W2": 256, "W3": 128, "W4": 8},
}
if torch:
    PEERS[Torch] = {"W1": 20_000, "W2": 512, "W3": 64}
    PEERS[TorchBlas] = {"W1": 20_000, "W2": 1_024, "W3": 512}
