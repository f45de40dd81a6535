"""The results as a picture: bars of samples a second, and learning curves."""

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

COLOURS = {
    "dbksvd OMP": "#1b4f9c",
    "dbksvd OLS": "#6ba3e8",
    "dbksvd": "#1b4f9c",
    "SPAMS omp": "#d9822b",
    "SPAMS": "#d9822b",
    "dictlearn omp": "#3d8f4f",
    "dictlearn": "#3d8f4f",
    "scikit-learn": "#8a5aa8",
    "batched torch OMP": "#b0413e",
}
LINES = ["-", "--", ":", "-."]
MARKERS = ["o", "s", "^", "D"]


def draw(results, path):
    rows = bool(results["coding"]) + bool(results["learning"])
    figure = plt.figure(figsize=(13, 5.2 * rows), layout="constrained")
    parts = iter(figure.subfigures(rows, 1, squeeze=False)[:, 0])
    if results["coding"]:
        bars(next(parts), results["coding"])
    if results["learning"]:
        part = next(parts)
        axes = part.subplots(1, len(results["learning"]), squeeze=False)[0]
        for axis, lesson in zip(axes, results["learning"], strict=True):
            curves(axis, lesson)
    machine = results["machine"]
    where = f"{machine['cpu']}, 2 threads, {machine['date']}"
    figure.suptitle(f"dbksvd and its peers — {where}", fontsize=10)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def bars(part, problems):
    """Ratios to the fastest peer on a logarithmic axis; each bar says its samples a second."""
    axis = part.subplots()
    names = ["dbksvd OMP", "dbksvd OLS", "SPAMS omp", "dictlearn omp", "scikit-learn"]
    # Of what is optional, there may be none.
    if any(fastest(problem, "batched torch OMP") for problem in problems):
        names.append("batched torch OMP")
    width = 0.8 / len(names)
    for at, problem in enumerate(problems):
        for place, name in enumerate(names):
            row = fastest(problem, name)
            if row is None:
                continue
            x = at + (place - (len(names) - 1) / 2) * width
            label = name if at == 0 else None
            axis.bar(x, row["ratio"], width, color=COLOURS[name], label=label)
            rate = short(row["samples_per_second"])
            axis.text(x, row["ratio"] * 1.08, rate, rotation=90, ha="center", va="bottom", size=7)
    ratios = [row["ratio"] for problem in problems for row in problem["coders"]]
    axis.set_yscale("log")
    axis.set_ylim(min(ratios) / 1.5, max(ratios) * 4)
    axis.axhline(1, color="#666666", linewidth=0.8, linestyle=":")
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    labels = [f"{problem['workload']}\n{problem['data']}" for problem in problems]
    axis.set_xticks(range(len(problems)), labels)
    axis.set_xlim(-0.5, len(problems) - 0.5)
    axis.set_ylabel("samples/s over those of the fastest peer")
    axis.set_title("Coding with a given dictionary (numbers: samples a second)")
    axis.legend(ncols=len(names), loc="upper center", frameon=False, fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)


def fastest(problem, name):
    """A library's fastest coder on two threads; scikit-learn has two."""
    rows = [
        row for row in problem["coders"] if row["coder"].startswith(name) and row["threads"] == 2
    ]
    return max(rows, key=lambda row: row["samples_per_second"], default=None)


def short(number):
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:.3g}"


def curves(axis, lesson):
    seen = {}
    for curve in lesson["curves"]:
        family = curve["family"]
        place = seen[family] = seen.get(family, -1) + 1
        points = sorted((point["seconds"], point["error"]) for point in curve["points"])
        axis.plot(
            *zip(*points, strict=True),
            color=COLOURS[family],
            linestyle=LINES[place],
            marker=MARKERS[place],
            markersize=4,
            linewidth=1.6 if family == "dbksvd" else 1.1,
            label=curve["name"],
        )
    start = lesson["start"]["error"]
    # Learners that are still near the start, or worse, are cut off: the others are of interest.
    least = min(point["error"] for curve in lesson["curves"] for point in curve["points"])
    axis.set_ylim(least - 0.05 * (start - least), start + 0.05 * (start - least))
    axis.axhline(start, color="#666666", linewidth=0.8, linestyle=":")
    axis.text(0.99, start, "start", ha="right", va="bottom", size=8, color="#666666",
              transform=axis.get_yaxis_transform())  # fmt: skip
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("seconds of learning")
    axis.set_ylabel("held-out ‖Y − DX‖² / ‖Y‖², coded by SPAMS' omp")
    axis.set_title(lesson["about"], fontsize=10)
    axis.legend(fontsize=7.5, frameon=False)
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
