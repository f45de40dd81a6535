"""This crate, through its examples `encode` and `learn`."""

import json
import subprocess
from pathlib import Path

import numpy as np
import scipy.sparse

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "target" / "release" / "examples"


def build():
    """A plain release build, as a user makes it."""
    command = ["cargo", "build", "--release", "--locked", "--example", "encode"]
    subprocess.run([*command, "--example", "learn"], cwd=ROOT, check=True)


def encode(dictionary, samples, sparsity, *, selection, threads, product=False, out=None):
    """Codes the samples of a file twice; of the result, the first time is for warming up."""
    command = [EXAMPLES / "encode", "--json", "--dictionary", dictionary, "--samples", samples]
    command += ["--sparsity", str(sparsity), "--selection", selection]
    command += ["--threads", str(threads), "--repeat", "2"]
    command += ["--product"] if product else []
    command += ["--out", out] if out else []
    return last(command)


def codes(file):
    """The codes that `encode` wrote, a row a sample."""
    return scipy.sparse.load_npz(file)


def learn(train, held_out, start, sparsity, *, epochs, selection, threads, folder):
    """Learns from a file; the seconds of learning, and the dictionary."""
    command = [EXAMPLES / "learn", "--json", "--data", train, "--eval", held_out]
    command += ["--dictionary", start, "--sparsity", str(sparsity), "--epochs", str(epochs)]
    # The dictionary is of samples, not learned: the schedules are to begin at their beginning.
    command += ["--start-at", "0"]
    command += ["--selection", selection, "--threads", str(threads), "--out", folder]
    result = last(command)
    return result["seconds"]["total"], np.load(Path(folder) / "dictionary.npy")


def last(command):
    """The last JSON object that a program prints."""
    run = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if run.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {run.stderr.strip()}")
    return json.loads(run.stdout.splitlines()[-1])
