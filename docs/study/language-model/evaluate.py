"""Judges a dictionary with its codes as SAEBench does, on SmolLM2-135M's residual stream.

    python evaluate.py DIR ... [--no-ce] [--baseline]

DIR holds `dictionary.npy` (m, d), `mean.npy` (d,) that is added to D'x, and `codes.npz` (SciPy CSR)
of the rows of ACTS/eval.npy: held-out tokens, probing tokens (train, test), words. Any encoder will
do that can write those. Of signed codes, probes get each atom's positive and negative part as two
features. Writes DIR/scores.json.

Massive rows (norm beyond 3 medians; delimiters at position 1: attention sinks, 0.1% of the rows and
97% of the variance) are kept as they are in everything but `fvu_all` and the `_all` losses. Measured
are: FVU against the held-out mean, cosine, L0; cross-entropy with held-out activations replaced,
position 0 kept; recovered = (zero - recon) / (zero - clean), and against the mean; KL(clean||recon);
and what measures.py has.
"""
import json, sys, time, warnings
import numpy as np
import scipy.sparse as sp
from measures import absorption, probing, tpp
from settings import ACTS as A

warnings.filterwarnings("ignore")
LIMIT = float(np.load(f"{A}/limit.npy"))  # the norm beyond which a row is massive


def parts():
    """Rows of eval.npy: {part: (start, end)}."""
    out, at = {}, 0
    for p in ("heldout", "probe_train", "probe_test", "words"):
        n = np.load(f"{A}/{p}.npy", mmap_mode="r").shape[0]
        out[p], at = (at, at + n), at + n
    return out


def core(X, R, scores, down, ref):
    """X held-out activations, R their reconstructions."""
    e, norm = ((X - R) ** 2).sum(1), np.linalg.norm(X, axis=1)
    usual = norm < LIMIT
    scores["fvu_all"] = float(e.sum() / ((X - X.mean(0)) ** 2).sum())
    scores["fvu"] = float(e[usual].sum() / ((X[usual] - X[usual].mean(0)) ** 2).sum())
    scores["massive_error"] = float(e[~usual].sum() / (norm[~usual] ** 2).sum())
    length = np.linalg.norm(R, axis=1)
    scores["cosine"] = float(np.mean(((X * R).sum(1) / norm / np.maximum(length, 1e-9))[usual]))
    scores["l2_ratio"] = float(np.mean((length / norm)[usual]))
    if down is not None:
        for key, rows in (("", np.where(usual[:, None], R, X)), ("_all", R)):
            ce, kl = down.run(rows, against=ref["logp"])
            scores.update({f"ce{key}": ce, f"kl{key}": kl, f"recovered_zero{key}": (ref["zero"] - ce) / (ref["zero"] - ref["clean"]),
                           f"recovered_mean{key}": (ref["mean"] - ce) / (ref["mean"] - ref["clean"])})


if __name__ == "__main__":
    SEQ = 48
    names = [a for a in sys.argv[1:] if not a.startswith("--")]
    where, X = parts(), {}
    for p in where:
        X[p] = np.load(f"{A}/{p}.npy").astype(np.float32)
    usual = {p: (np.linalg.norm(x, axis=1) < LIMIT).astype(np.float32) for p, x in X.items()}
    Xu = {p: x * usual[p][:, None] for p, x in X.items()}
    if "--baseline" in sys.argv:  # the coordinates of the residual stream themselves, less their mean
        scores, mu = {}, np.load(f"{A}/train_mean.npy")
        probing((Xu["probe_train"] - mu) * usual["probe_train"][:, None], (Xu["probe_test"] - mu) * usual["probe_test"][:, None], scores)
        json.dump(scores, open("./baseline.json", "w"), indent=1)
        print({k: v for k, v in scores.items() if not k.endswith("_each")})
        sys.exit()
    down = ref = None
    if "--no-ce" not in sys.argv:
        import torch
        from downstream import references
        torch.set_num_threads(1)
        down, ref = references(SEQ)
        print({k: v for k, v in ref.items() if k != "logp"}, flush=True)
    for d in names:
        t, scores = time.time(), {}
        try:
            old = json.load(open(f"{d}/scores.json"))
        except (OSError, ValueError):
            old = {}
        D, mean = np.load(f"{d}/dictionary.npy").astype(np.float32), np.load(f"{d}/mean.npy").astype(np.float32)
        Y = sp.load_npz(f"{d}/codes.npz").astype(np.float32).tocsr()
        Y.eliminate_zeros()
        assert Y.shape[0] == where["words"][1], (Y.shape, where)
        code = {p: Y[a:b] for p, (a, b) in where.items()}
        H = code["heldout"]
        H = sp.diags(usual["heldout"]).tocsr() @ H
        scores["l0"], scores["never_used"] = float(H.nnz / usual["heldout"].sum()), int((np.bincount(H.indices, minlength=D.shape[0]) == 0).sum())
        H = code["heldout"]
        scores["atoms"] = int(D.shape[0])
        core(X["heldout"], np.asarray(H @ D) + mean, scores, down, ref)
        print(d, json.dumps(scores, default=float), flush=True)
        # absorption and tpp speak of unit atoms: coefficients carry the norm
        norm = np.maximum(np.linalg.norm(D, axis=1), 1e-9)
        unit = D / norm[:, None]
        Yu = {p: (sp.diags(usual[p]) @ c @ sp.diags(norm)).astype(np.float32).tocsr() for p, c in code.items()}
        probing(Yu["probe_train"], Yu["probe_test"], scores)
        if Y.data.min() < 0:
            both = {p: sp.hstack((c.maximum(0), (-c).maximum(0))).tocsr() for p, c in Yu.items()}
            probing(both["probe_train"], both["probe_test"], scores, "split_")
            split_D = np.vstack((unit, -unit))
            tpp(Xu["probe_train"], Xu["probe_test"], both["probe_train"], both["probe_test"], split_D, scores)
            absorption(X["words"], both["words"], split_D, scores)
        else:
            tpp(Xu["probe_train"], Xu["probe_test"], Yu["probe_train"], Yu["probe_test"], unit, scores)
            absorption(X["words"], Yu["words"], unit, scores)
        old.update(scores)
        json.dump(old, open(f"{d}/scores.json", "w"), indent=1, default=float)
        print(d, json.dumps({k: v for k, v in scores.items() if not k.endswith("_each")}, default=float), f"{time.time() - t:.0f} s", flush=True)
