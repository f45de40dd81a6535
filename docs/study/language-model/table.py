"""The scores of all runs of a folder as a table in Markdown: means over seeds, with 95% intervals where there are
several.   python table.py RUNS"""
import glob, json, os, re, sys
import numpy as np

T = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's t at 97.5%, by the number of seeds
MEASURES = [
    ("L0", lambda s: [s["l0"]]), ("FVU", lambda s: [s["fvu"]]), ("CE", lambda s: [s["ce"]]), ("KL", lambda s: [s["kl"]]),
    ("source probes 1/2/5", lambda s: [s["source_w16"][k] for k in "125"]),
    ("token probes 1/2/5", lambda s: [s["token"][k] for k in "125"]),
    ("absorption / full", lambda s: [s["absorption"]["fraction"], s["absorption"]["full"]]),
    ("TPP 2/20/100", lambda s: [s["tpp"][k] for k in ("2", "20", "100")]),
]


def cell(scores, measure):
    values = np.array([measure(s) for s in scores], float)
    mean, n = values.mean(0), len(values)
    text = "/".join(f"{v:.3f}" if v < 10 else f"{v:.1f}" for v in mean)
    if n > 1:
        half = T.get(n, 2.0) * values.std(0, ddof=1) / n**0.5
        text += " ± " + "/".join(f"{h:.3f}" for h in half)
    return text


if __name__ == "__main__":
    runs = {}
    for path in sorted(glob.glob(f"{sys.argv[1]}/*/scores.json")):
        name, seed = re.match(r"(.*)-(\d+)$", os.path.basename(os.path.dirname(path))).groups()
        runs.setdefault(name, []).append(json.load(open(path)))
    print("| | seeds | " + " | ".join(name for name, _ in MEASURES) + " |")
    print("|---|---|" + "---|" * len(MEASURES))
    for name, scores in runs.items():
        print(f"| {name} | {len(scores)} | " + " | ".join(cell(scores, m) for _, m in MEASURES) + " |")
