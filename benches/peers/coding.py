"""Part A, coding with a given dictionary: samples a second of every coder on the same files.

Every coder is called once to warm up and then once a round, in turn, so that what disturbs the
machine disturbs all of them; medians and ratios are over the rounds.
"""

import time
from dataclasses import dataclass, field
from statistics import median

import coders
import crate
import numpy as np
import problems
import product


@dataclass
class Row:
    """One coder on one problem. Seconds are of coding `samples` samples, a value a round."""

    coder: str
    threads: int
    samples: int
    selection: str
    error: float
    nonzeros: float
    # Of what depends on the dictionary alone, where a library does that in its own time.
    gram: float | None = None
    # This crate by the same rule on the same samples: its error, and the share of samples for
    # which it chose the same atoms.
    error_ours: float | None = None
    agreement: float | None = None
    seconds: list = field(default_factory=list)

    @property
    def rate(self):
        return self.samples / median(self.seconds)


def run(folder, settings, report):
    """The results of all workloads: a list of dictionaries, as JSON takes them."""
    results = []
    for workload in problems.WORKLOADS:
        if workload.name not in settings.workloads:
            continue
        for kind in ["planted", "correlated"]:
            report(f"coding {workload.name}, {kind}")
            dictionary, samples = problems.planted(workload, kind)
            samples = samples[: workload.samples // settings.divide]
            results.append(problem(workload, kind, dictionary, samples, folder, settings))
        if workload.name == "W2":
            report("coding W2, embeddings with a dictionary learned from them")
            dictionary, samples = trained(workload, folder)
            results.append(problem(workload, "trained", dictionary, samples, folder, settings))
    return results


def trained(workload, folder):
    """The shipped embeddings, and a dictionary that this crate learned from the first 7,168."""
    samples = problems.embeddings_rows()
    np.save(folder / "train.npy", samples[:7168])
    np.save(folder / "held-out.npy", samples[7168:])
    random = np.random.default_rng(0).permutation(7168)[: workload.atoms]
    np.save(folder / "start.npy", problems.unit(samples[random]))
    files = (folder / name for name in ("train.npy", "held-out.npy", "start.npy"))
    options = {"epochs": 10, "selection": "omp", "threads": coders.THREADS}
    _, dictionary = crate.learn(*files, workload.sparsity, folder=folder / "learned", **options)
    return dictionary, samples


def problem(workload, kind, dictionary, samples, folder, settings):
    files = folder / "atoms.npy", folder / "samples.npy"
    np.save(files[0], dictionary)
    np.save(files[1], samples)
    own = [Own(files, workload, *how) for how in [("omp", 2), ("ols", 2), ("omp", 1)]]
    for coder in own:
        coder.warm(dictionary, samples, folder)
    ours = {coder.row.selection: coder.codes for coder in own}
    peers = []
    for kind_of_coder, counts in coders.PEERS.items():
        if workload.name in counts:
            few = counts[workload.name] or len(samples)
            coder = kind_of_coder(dictionary, workload.sparsity, folder)
            peers.append(Peer(coder, samples[: min(few, len(samples))]))
            peers[-1].warm(dictionary, ours)

    products, ratios = [], []
    for _ in range(settings.rounds_w4 if workload.name == "W4" else settings.rounds):
        for coder in own + peers:
            coder.once()
        one_core = own[-1]
        products.append(product.seconds(*files) | one_core.product)
        coding = one_core.row.seconds[-1] / len(samples)
        ratios.append(coding / min(products[-1].values()))
    rows = [coder.finish() for coder in own + peers]
    fastest = max((row for row in rows if row.agreement is not None), key=lambda row: row.rate)
    return {
        "workload": workload.name,
        "data": kind,
        "shape": [workload.dim, workload.atoms, workload.sparsity],
        "samples": len(samples),
        "fastest_peer": fastest.coder,
        "coders": [told(row, fastest) for row in rows],
        "product_samples_per_second": {
            f"{kernels} by {block}": 1 / median(round[kernels, block] for round in products)
            for kernels, block in products[0]
        },
        "coding_over_product": median(ratios),
    }


def told(row, fastest):
    """What a row says, with the ratio of its speed to the fastest peer's, round by round."""
    pairs = zip(row.seconds, fastest.seconds, strict=True)
    ratio = median(row.samples * theirs / (fastest.samples * ours) for ours, theirs in pairs)
    return vars(row) | {"samples_per_second": row.rate, "ratio": ratio}


class Own:
    """This crate, in its own process."""

    def __init__(self, files, workload, selection, threads):
        self.files, self.sparsity = files, workload.sparsity
        self.selection, self.threads = selection, threads

    def encode(self, **options):
        options |= {"selection": self.selection, "threads": self.threads}
        return crate.encode(*self.files, self.sparsity, **options)

    def warm(self, dictionary, samples, folder):
        out = folder / "codes.npz"
        told = self.encode(out=out)
        self.codes = crate.codes(out)
        name = f"dbksvd {self.selection.upper()}"
        self.row = row(name, self.threads, self.selection, dictionary, samples, self.codes)
        self.row.gram = told["seconds"]["gram"]

    def once(self):
        # One core's product is measured beside one core's coding.
        told = self.encode(product=self.threads == 1)["seconds"]
        self.row.seconds.append(told["encode"]["all"][-1])
        self.product = {
            ("faer", int(block)): seconds["best"] / self.row.samples
            for block, seconds in told["product"].items()
        }

    def finish(self):
        return self.row


class Peer:
    """A coder of `coders`."""

    def __init__(self, coder, samples):
        self.coder, self.samples = coder, samples
        self.fixed = []

    def warm(self, dictionary, ours):
        codes = self.coder(self.samples)
        name, selection = self.coder.name, self.coder.selection
        self.row = row(name, coders.THREADS, selection, dictionary, self.samples, codes)
        ours = ours[selection][: len(self.samples)]
        self.row.error_ours = coders.relative_error(dictionary, self.samples, ours)
        self.row.agreement = agreement(codes, ours)

    def once(self):
        if self.coder.fixed:
            self.fixed.append(timed(self.coder, self.samples[: self.coder.fixed]))
        self.row.seconds.append(timed(self.coder, self.samples))

    def finish(self):
        """Takes off what a few samples cost, and these samples with it."""
        if self.fixed:
            self.row.gram = median(self.fixed)
            self.row.seconds = [s - self.row.gram for s in self.row.seconds]
            self.row.samples -= self.coder.fixed
        return self.row


def timed(coder, samples):
    start = time.perf_counter()
    coder(samples)
    return time.perf_counter() - start


def row(name, threads, selection, dictionary, samples, codes):
    error = coders.relative_error(dictionary, samples, codes)
    nonzeros = codes.getnnz() / len(samples)
    return Row(name, threads, len(samples), selection, error, nonzeros)


def agreement(codes, ours):
    """The share of samples with the same atoms."""
    patterns = [(matrix != 0).astype(np.int32).tocsr() for matrix in (codes, ours)]
    common = np.asarray(patterns[0].multiply(patterns[1]).sum(axis=1)).ravel()
    counts = [pattern.getnnz(axis=1) for pattern in patterns]
    return float(np.mean((common == counts[0]) & (common == counts[1])))
