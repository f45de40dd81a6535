"""Part A, coding with a given dictionary: samples a second of every coder on the same files.

Every coder is called once to warm up and then once a round, in turn, so that what disturbs the
machine disturbs all of them; medians and ratios are over the rounds.
"""

import time
from dataclasses import dataclass
from statistics import median

import numpy as np

import coders
import crate
import problems
import product


@dataclass
class Row:
    """One coder on one problem. Seconds are of coding `samples` samples, a value a round."""

    coder: str
    threads: int
    samples: int
    error: float
    nonzeros: float
    seconds: list
    # Of what depends on the dictionary alone, where a library does that in its own time.
    gram: float | None
    # This crate by the same rule on the same samples: its error, and the share of samples for
    # which it chose the same atoms.
    error_ours: float | None = None
    agreement: float | None = None

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
    # The same crate, called as the peers are; it is none of them.
    package = Peer(coders.Package(dictionary, workload.sparsity, folder), samples)
    peers = []
    for kind_of_coder, counts in coders.PEERS.items():
        if workload.name in counts:
            coder = kind_of_coder(dictionary, workload.sparsity, folder)
            peers.append(Peer(coder, samples[: counts[workload.name]]))

    products, ratios = [], []
    for _ in range(settings.rounds_w4 if workload.name == "W4" else settings.rounds):
        for coder in [*own, package, *peers]:
            coder.once(folder)
        one_core = own[-1]
        products.append(product.seconds(*files) | one_core.product)
        coding = one_core.seconds[-1] / len(samples)
        ratios.append(coding / min(products[-1].values()))

    overheads = [of / mine for of, mine in zip(package.seconds, own[0].seconds, strict=True)]
    ours = {coder.selection: coder.codes for coder in own}
    rows = [coder.row(dictionary, samples) for coder in own]
    of_peers = [coder.row(dictionary, ours) for coder in peers]
    fastest = max(of_peers, key=lambda row: row.rate)
    rows += [package.row(dictionary, ours), *of_peers]
    return {
        "workload": workload.name,
        "data": kind,
        "shape": [workload.dim, workload.atoms, workload.sparsity],
        "samples": len(samples),
        "fastest_peer": fastest.coder,
        "package_over_crate": median(overheads),
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
    """This crate, in its own process, which codes once before it is timed."""

    def __init__(self, files, workload, selection, threads):
        self.files, self.sparsity = files, workload.sparsity
        self.selection, self.threads = selection, threads
        self.codes, self.gram, self.seconds = None, [], []

    def once(self, folder):
        options = {"selection": self.selection, "threads": self.threads}
        # One core's product is measured beside one core's coding.
        options["product"] = self.threads == 1
        if self.codes is None:
            options["out"] = folder / "codes.npz"
        told = crate.encode(*self.files, self.sparsity, **options)
        if self.codes is None:
            self.codes = crate.codes(options["out"])
        self.gram.append(told["seconds"]["gram"])
        self.seconds.append(told["seconds"]["encode"]["all"][-1])
        self.product = {
            ("faer", int(block)): seconds["best"] / told["samples"]
            for block, seconds in told["seconds"]["product"].items()
        }

    def row(self, dictionary, samples):
        return Row(
            coder=f"dbksvd {self.selection.upper()}",
            threads=self.threads,
            samples=len(samples),
            error=coders.relative_error(dictionary, samples, self.codes),
            nonzeros=self.codes.getnnz() / len(samples),
            gram=median(self.gram),
            seconds=self.seconds,
        )


class Peer:
    """A coder of `coders`."""

    def __init__(self, coder, samples):
        self.coder, self.samples = coder, samples
        self.codes, self.fixed, self.seconds = None, [], []

    def once(self, folder):
        if self.codes is None:
            self.codes = self.coder(self.samples)
        if self.coder.fixed:
            self.fixed.append(timed(self.coder, self.samples[: self.coder.fixed]))
        self.seconds.append(timed(self.coder, self.samples))

    def row(self, dictionary, ours):
        """Takes off the time what a few samples cost, and these samples with it."""
        fixed = median(self.fixed) if self.fixed else 0.0
        ours = ours[self.coder.selection][: len(self.samples)]
        return Row(
            coder=self.coder.name,
            threads=coders.THREADS,
            samples=len(self.samples) - self.coder.fixed,
            error=coders.relative_error(dictionary, self.samples, self.codes),
            nonzeros=self.codes.getnnz() / len(self.samples),
            gram=fixed or None,
            error_ours=coders.relative_error(dictionary, self.samples, ours),
            agreement=agreement(self.codes, ours),
            seconds=[seconds - fixed for seconds in self.seconds],
        )


def timed(coder, samples):
    start = time.perf_counter()
    coder(samples)
    return time.perf_counter() - start


def agreement(codes, ours):
    """The share of samples with the same atoms."""
    patterns = [(matrix != 0).astype(np.int32).tocsr() for matrix in (codes, ours)]
    common = np.asarray(patterns[0].multiply(patterns[1]).sum(axis=1)).ravel()
    counts = [pattern.getnnz(axis=1) for pattern in patterns]
    return float(np.mean((common == counts[0]) & (common == counts[1])))
