"""The scores of all runs of a folder as a table in Markdown: means over seeds, with 95% intervals where there are
several.   python table.py RUNS

Stability is of the dictionaries of every pair of seeds, matched one to one for the largest sum of cosines: the mean
cosine, and the share of atoms whose partner has a cosine above 0.7."""
import glob, itertools, json, os, re, sys
import numpy as np
from scipy.optimize import linear_sum_assignment

T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's t at 97.5%, by the number of seeds
MEASURES = [
    ("L0", lambda s: [s["l0"]]), ("FVU", lambda s: [s["fvu"]]),
    ("CE", lambda s: [s.get("ce", np.nan)]), ("KL", lambda s: [s.get("kl", np.nan)]),
    ("source probes 1/2/5", lambda s: [s["source_w16"][k] for k in "125"]),
    ("token probes 1/2/5", lambda s: [s["token"][k] for k in "125"]),
    ("absorption / full", lambda s: [s["absorption"]["fraction"], s["absorption"]["full"]]),
    ("TPP 2/20/100", lambda s: [s["tpp"][k] for k in ("2", "20", "100")]),
]


def runs_of(folder):
    """{name: [(seed, folder, scores)]} of the runs that have been scored."""
    runs = {}
    for path in sorted(glob.glob(f"{folder}/*/scores.json")):
        run = os.path.dirname(path)
        name, seed = re.match(r"(.*)-(\d+)$", os.path.basename(run)).groups()
        runs.setdefault(name, []).append((int(seed), run, json.load(open(path))))
    return runs


def cell(scores, measure):
    values = np.array([measure(s) for s in scores], float)
    mean, n = values.mean(0), len(values)
    text = "/".join(f"{v:.3f}" if v < 10 else f"{v:.1f}" for v in mean)
    if n > 1:
        half = T.get(n, 2.0) * values.std(0, ddof=1) / n**0.5
        text += " ± " + "/".join(f"{h:.3f}" for h in half)
    return text


def stability(folders):
    """Mean cosine of matched atoms and the share above 0.7, over pairs of seeds; an empty text for one seed."""
    def units(folder):
        D = np.load(f"{folder}/dictionary.npy").astype(np.float32)
        return D / np.maximum(np.linalg.norm(D, axis=1, keepdims=True), 1e-9)

    found = []
    for a, b in itertools.combinations(map(units, folders), 2):
        cosines = np.abs(a @ b.T)
        matched = cosines[linear_sum_assignment(-cosines)]
        found.append((matched.mean(), (matched > 0.7).mean()))
    return "/".join(f"{v:.3f}" for v in np.mean(found, 0)) if found else ""


if __name__ == "__main__":
    print("| | seeds | " + " | ".join(name for name, _ in MEASURES) + " | stability |")
    print("|---|---|" + "---|" * (len(MEASURES) + 1))
    for name, runs in runs_of(sys.argv[1]).items():
        scores = [scores for _, _, scores in runs]
        cells = [cell(scores, measure) for _, measure in MEASURES] + [stability([folder for _, folder, _ in runs])]
        print(f"| {name} | {len(runs)} | " + " | ".join(cells) + " |")
