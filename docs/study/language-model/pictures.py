"""Two pictures of the scored runs of a folder: every measure against the FVU, and how often atoms fire.

    python pictures.py RUNS OUT

OUT/measures.png has a point for each run; OUT/usage.png the share of held-out rows on which an atom
fires, from the busiest atom to the rarest, for the first seed of each kind of run.
"""
import os, re, sys
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import scipy.sparse as sp
from settings import ACTS
from table import runs_of

PANELS = [
    ("cross-entropy (less is better)", lambda s: s.get("ce")), ("KL to the clean model (less is better)", lambda s: s.get("kl")),
    ("source probe, 1 atom", lambda s: s["source_w16"]["1"]), ("token probe, 1 atom", lambda s: s["token"]["1"]),
    ("token probe, 5 atoms", lambda s: s["token"]["5"]), ("absorption (less is better)", lambda s: s["absorption"]["fraction"]),
    ("TPP, 2 atoms", lambda s: s["tpp"]["2"]), ("TPP, 20 atoms", lambda s: s["tpp"]["20"]), ("TPP, 100 atoms", lambda s: s["tpp"]["100"]),
]
COLOURS = {"features": "#c23b22", "batchtopk": "#1f77b4", "topk": "#2ca02c", "matryoshka": "#9467bd"}


def look(name):
    """Colour by method; four times the budget is filled, and larger dictionaries are squares."""
    method, atoms = name.split("-")[:2]
    filled = method == "features" or name.endswith("x4")
    return dict(color=COLOURS.get(method, "grey"), marker="o" if atoms == "2304" else "s", fillstyle="full" if filled else "none")


def label(name):
    method, atoms, *rest = name.split("-")
    times = re.sub(r"x(\d+)", r", \1 × the time", rest[0]) if rest and rest[0] != "x1" else ""
    return f"{method}, {atoms} atoms{times}"


def measures(runs, path):
    figure, axes = plt.subplots(3, 3, figsize=(11, 9.5), constrained_layout=True)
    for axis, (title, measure) in zip(axes.flat, PANELS):
        for name, seeds in runs.items():
            points = [(s["fvu"], measure(s)) for _, _, s in seeds if measure(s) is not None]
            if points:
                axis.plot(*zip(*points), linestyle="", label=label(name), **look(name))
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("FVU of usual rows, held out")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncol=3, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def usage(runs, path):
    rows = np.load(f"{ACTS}/heldout.npy", mmap_mode="r").shape[0]
    figure, axis = plt.subplots(figsize=(7.5, 4.5), constrained_layout=True)
    for name, seeds in runs.items():
        codes = sp.load_npz(f"{seeds[0][1]}/codes.npz").tocsr()[:rows]
        codes.eliminate_zeros()
        fires = np.sort(np.bincount(codes.indices, minlength=codes.shape[1]) / rows)[::-1]
        style = look(name)
        line = "-" if style["fillstyle"] == "full" else "--"
        axis.plot(np.arange(1, len(fires) + 1), np.maximum(fires, 0.5 / rows), line, color=style["color"], label=label(name))
    axis.set(xscale="log", yscale="log", xlabel="atom, by rank", ylabel="share of held-out rows on which it fires")
    axis.legend(frameon=False, fontsize=8)
    axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    runs, out = runs_of(sys.argv[1]), sys.argv[2]
    os.makedirs(out, exist_ok=True)
    measures(runs, f"{out}/measures.png")
    usage(runs, f"{out}/usage.png")
