"""Compares this crate with other libraries on the same data: speed of coding, and what is learned
in which time. One call makes the data, runs everything, and writes tables, a picture and JSON.

    python benches/peers/compare.py [--quick] [--only coding|learning] [--workloads W1 ...]
        [--out DIR] [--scratch DIR]
"""

import os

# Before anything loads OpenBLAS. The libraries' own threads are the two that are compared; those
# of BLAS would come on top. Learners that have no threads but those of BLAS are given two.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import argparse
import json
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import coding
import crate
import figure
import learning
import machine
import tables


@dataclass(frozen=True)
class Settings:
    """How much of everything there is."""

    workloads: tuple = ("W1", "W2", "W3", "W4")
    rounds: int = 5
    rounds_w4: int = 2
    # Samples of the workloads are divided by this.
    divide: int = 1
    # Seconds of learning after which a learner makes no longer run.
    limit: float = 8.0


QUICK = Settings(workloads=("W1", "W2"), rounds=2, divide=4, limit=0.5)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="less of everything: two minutes")
    parser.add_argument("--only", choices=["coding", "learning"], help="one part alone")
    parser.add_argument("--workloads", nargs="+", choices=Settings.workloads, help="of coding")
    parser.add_argument("--out", type=Path, default=crate.ROOT / "benches" / "record" / "peers")
    parser.add_argument("--scratch", type=Path, help="for generated data [a temporary folder]")
    return parser.parse_args()


def main():
    asked = arguments()
    settings = QUICK if asked.quick else Settings()
    if asked.workloads:
        settings = replace(settings, workloads=tuple(asked.workloads))
    start = time.monotonic()

    def report(what):
        print(f"{time.monotonic() - start:6.0f} s  {what}", flush=True)

    described = machine.describe(crate.ROOT)
    report("building the crate")
    crate.build()
    results = {"machine": described, "settings": asdict(settings), "coding": [], "learning": []}
    with tempfile.TemporaryDirectory(dir=asked.scratch) as folder:
        if asked.only != "learning":
            results["coding"] = coding.run(Path(folder), settings, report)
        if asked.only != "coding":
            results["learning"] = learning.run(Path(folder), settings, report)
    described["minutes"] = round((time.monotonic() - start) / 60, 1)

    text = tables.markdown(results)
    print(text)
    asked.out.mkdir(parents=True, exist_ok=True)
    (asked.out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (asked.out / "results.md").write_text(text)
    figure.draw(results, asked.out / "peers.png")
    report(f"wrote results.json, results.md and peers.png to {asked.out}")


if __name__ == "__main__":
    main()
