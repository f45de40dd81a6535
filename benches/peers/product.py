"""The product of samples and atoms alone by NumPy's OpenBLAS, on one core, in its own process.

OpenBLAS chooses its kernels when it is loaded, by OPENBLAS_CORETYPE if that is set; its own choice
on some processors is not the fastest, so callers try both.
"""

import json
import os
import subprocess
import sys
import time

BLOCKS = [128, 256, 512, 1024]
CORETYPES = ["", "SKYLAKEX"]
# Multiplications to time.
ENOUGH = 5_000_000_000


def seconds(dictionary, samples):
    """The fewest seconds a sample: {(kernels, samples a block): seconds}."""
    best = {}
    for coretype in CORETYPES:
        environment = dict(os.environ, OPENBLAS_NUM_THREADS="1", OPENBLAS_CORETYPE=coretype)
        if not coretype:
            del environment["OPENBLAS_CORETYPE"]
        command = [sys.executable, __file__, str(dictionary), str(samples)]
        run = subprocess.run(command, env=environment, capture_output=True, text=True)
        if run.returncode != 0:
            # Kernels that the processor cannot run, for instance.
            continue
        for block, took in json.loads(run.stdout).items():
            best[f"OpenBLAS {coretype or 'as is'}", int(block)] = took
    return best


def measure(dictionary, samples):
    import numpy as np

    dictionary, samples = np.load(dictionary), np.load(samples)
    # Some tenths of a second at most, and no fewer than the largest block.
    samples = samples[: max(max(BLOCKS), ENOUGH // dictionary.size)]
    best = {}
    for block in BLOCKS:
        correlations = np.empty((min(block, len(samples)), len(dictionary)), np.float32)
        for _ in range(2):
            start = time.perf_counter()
            for first in range(0, len(samples), block):
                rows = samples[first : first + block]
                np.matmul(rows, dictionary.T, out=correlations[: len(rows)])
            took = time.perf_counter() - start
            best[block] = min(took / len(samples), best.get(block, np.inf))
    return best


if __name__ == "__main__":
    print(json.dumps(measure(*sys.argv[1:])))
