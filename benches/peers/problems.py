"""The data: planted problems for coding, and samples to learn from. All float32, rows are samples.

Everything comes from fixed seeds, the data shipped in `data/`, or scikit-learn's sample pictures.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from sklearn.datasets import load_sample_images

ROOT = Path(__file__).resolve().parents[2]
NOISE = 0.05


@dataclass(frozen=True)
class Workload:
    """A shape to code, and how many samples of it."""

    name: str
    dim: int
    atoms: int
    sparsity: int
    samples: int


# Image patches; sentence embeddings; a transformer's width; Gemma-2-2B's width.
WORKLOADS = [
    Workload("W1", 64, 256, 8, 200_000),
    Workload("W2", 384, 2048, 16, 8_192),
    Workload("W3", 768, 4096, 32, 2_048),
    Workload("W4", 2304, 16384, 32, 512),
]


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def planted(workload, kind, seed=0):
    """Atoms (m, d) and samples (N, d): sums of k distinct atoms with coefficients of size
    0.5 + |g|, g ~ N(0, 1), and 5% noise.

    `planted`: independent Gaussian atoms, signs that are fair coins.
    `correlated`: atoms share a mean and seven directions (the largest |cos| with another atom is
    about 0.7 in the median), and coefficients are positive, so that the samples have a strong mean.
    """
    random = np.random.default_rng(seed)
    dim, atoms, k = workload.dim, workload.atoms, workload.sparsity

    def gaussian(rows):
        return random.standard_normal((rows, dim), dtype=np.float32) / np.float32(np.sqrt(dim))

    dictionary = gaussian(atoms)
    if kind == "correlated":
        mean, shared = unit(gaussian(1)), unit(gaussian(7))
        weights = random.standard_normal((atoms, 7), dtype=np.float32)
        dictionary += mean + np.float32(np.sqrt(3 / 14)) * (weights @ shared)
    dictionary = unit(dictionary)

    samples = np.zeros((workload.samples, dim), np.float32)
    for first in range(0, workload.samples, 4096):
        rows = samples[first : first + 4096]
        order = random.random((len(rows), atoms), dtype=np.float32)
        support = np.argpartition(order, k, axis=1)[:, :k]
        size = 0.5 + np.abs(random.standard_normal((len(rows), k), dtype=np.float32))
        if kind == "planted":
            size *= random.choice(np.float32([-1, 1]), size.shape)
        for t in range(k):
            rows += size[:, t, None] * dictionary[support[:, t]]
    signal = np.sqrt(np.mean(np.einsum("ij,ij->i", samples, samples)))
    for first in range(0, workload.samples, 4096):
        rows = samples[first : first + 4096]
        rows += np.float32(NOISE * signal) * gaussian(len(rows))
    return dictionary, samples


@dataclass(frozen=True)
class Lesson:
    """Samples to learn from and samples to be measured on, of mean squared norm 1."""

    name: str
    about: str
    atoms: int
    sparsity: int
    train: np.ndarray
    held_out: np.ndarray

    def start(self, seed=0):
        """The dictionary that every learner starts from: distinct training samples."""
        random = np.random.default_rng(seed)
        rows = random.choice(len(self.train), self.atoms, replace=False)
        return unit(self.train[rows])


def embeddings_rows():
    """The shipped MiniLM embeddings (8,192 × 384)."""
    (rows,) = load_file(ROOT / "data" / "minilm_l3_8192_f16.safetensors").values()
    return rows.astype(np.float32)


def embeddings():
    """The last 1,024 rows of the embeddings are held out, as in the example `learn`."""
    rows = embeddings_rows()
    rows /= np.sqrt(np.mean(np.einsum("ij,ij->i", rows, rows)))
    about = "MiniLM embeddings, d = 384, m = 1,024, k = 16, 7,168 rows"
    return Lesson("embeddings", about, 1024, 16, rows[:7168], rows[7168:])


def sample(patches, count, random):
    """Some of the patches, each less its mean; flat ones have no direction to learn."""
    patches = patches - patches.mean(axis=1, keepdims=True)
    patches = patches[np.linalg.norm(patches, axis=1) > 0.08]
    return random.permutation(patches)[:count]


def patches(seed=0):
    """Patches of 8 × 8 pixels of scikit-learn's two sample pictures, less their means.

    Pictures are cut into tiles of 40 × 40 pixels; every fifth tile is held out, and no patch lies
    in two tiles: no pixel of a held-out patch is in a training patch.
    """
    parts = ([], [])
    for colour in load_sample_images().images:
        grey = colour.astype(np.float32) @ np.float32([0.299, 0.587, 0.114]) / 255
        height, width = (size // 40 for size in grey.shape)
        for tile in range(height * width):
            row, column = 40 * (tile // width), 40 * (tile % width)
            pixels = grey[row : row + 40, column : column + 40]
            windows = np.lib.stride_tricks.sliding_window_view(pixels, (8, 8))
            parts[tile % 5 == 4].append(windows.reshape(-1, 64))
    random = np.random.default_rng(seed)
    train, held_out = (
        sample(np.concatenate(part), count, random)
        for part, count in zip(parts, (100_000, 10_000), strict=True)
    )
    scale = np.sqrt(np.mean(np.einsum("ij,ij->i", train, train)))
    train, held_out = train / scale, held_out / scale
    about = f"8 × 8 image patches, d = 64, m = 256, k = 8, {len(train):,} patches"
    return Lesson("patches", about, 256, 8, train, held_out)
