"""Judges a dictionary with its codes as SAEBench does, on SmolLM2-135M's residual stream.

    python evaluate.py DIR ... [--no-ce] [--baseline]

DIR holds `dictionary.npy` (m, d), `mean.npy` (d,) that is added to D'x, and `codes.npz` (SciPy CSR)
of the rows of ACTS/eval.npy: held-out tokens, probing tokens (train, test), words. Any encoder will
do that can write those. Of signed codes, probes get each atom's positive and negative part as two
features. Writes DIR/scores.json.

What is measured, and where it differs from SAEBench:
- massive rows (norm beyond 3 medians; delimiters at position 1: attention sinks, 0.1% of the rows
  and 97% of the variance) are kept as they are in everything but `fvu_all` and the `_all` losses.
- core: FVU against the held-out mean, cosine, L0; cross-entropy with held-out activations replaced,
  position 0 kept; recovered = (zero - recon) / (zero - clean), and against the mean; KL(clean||recon).
- probing: codes averaged over windows of 16 tokens (SAEBench: 128), sources one against the rest,
  balanced; features by difference of means; logistic regression; accuracy. The same for labels of
  single tokens. Documents of the parts are disjoint.
- absorption: after Chanin et al. as in SAEBench, at k = 1..10 split features by the F1 jump of 0.03.
- tpp: effect of zeroing atoms on probes of the 9 sources (means over windows), SAEBench's definition.
"""
import json, re, sys, time, keyword, warnings
import numpy as np
import scipy.sparse as sp
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from settings import ACTS as A, LAYER

warnings.filterwarnings("ignore")
WINDOW = 16
LIMIT = float(np.load(f"{A}/limit.npy"))  # the norm beyond which a row is massive


def parts():
    """Rows of eval.npy: {part: (start, end)}."""
    out, at = {}, 0
    for p in ("heldout", "probe_train", "probe_test", "words"):
        n = np.load(f"{A}/{p}.npy", mmap_mode="r").shape[0]
        out[p], at = (at, at + n), at + n
    return out


def token_strings():
    from lm import tokenizer
    vocab = tokenizer().get_vocab()
    out = [""] * (max(vocab.values()) + 1)
    for s, i in vocab.items():
        out[i] = s
    return out


RUST = "as break const continue crate else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while dyn async await".split()
WORDS = {
    "preposition": "of in to for with on at by from as into".split(),
    "determiner": "the a an this that these those".split(),
    "pronoun": "he she it they we you him her them his".split(),
    "auxiliary": "is are was were be been has have had will would can could should may must shall".split(),
    "code keyword": list(set(RUST) | set(keyword.kwlist)),
}


def token_labels(tokens, sources, names, strings):
    """(S, 127) booleans of each label for the tokens after position 0."""
    text = np.array(strings, dtype=object)[tokens[:, 1:]]
    before = np.array(strings, dtype=object)[tokens[:, :-1]]
    is_code = np.isin(sources, [i for i, n in enumerate(names) if n.endswith("code")])[:, None]
    f = lambda g: np.vectorize(g, otypes=[bool])
    bare = np.vectorize(lambda s: s.lstrip("Ġ"), otypes=[object])(text)
    out = {
        "digit": f(lambda s: s.lstrip("Ġ").isdigit())(text),
        "capital": f(lambda s: s[:1] == "Ġ" and s[1:2].isupper())(text),
        "inside a word": f(lambda s: s.isalpha() and s[0] != "Ġ")(text) & f(lambda s: s[-1:].isalpha())(before),
        "new line": f(lambda s: "Ċ" in s)(text),
        "comma": f(lambda s: s == ",")(text),
        "full stop": f(lambda s: s == ".")(text),
        "opening bracket": f(lambda s: s.endswith(("(", "[", "{")))(text),
        "plural or verb -s": f(lambda s: bool(re.fullmatch(r"Ġ[a-z]{3,}[^su]s", s)))(text),
        "-ing": f(lambda s: bool(re.fullmatch(r"Ġ[a-z]{2,}ing", s)))(text),
        "-ed": f(lambda s: bool(re.fullmatch(r"Ġ[a-z]{2,}ed", s)))(text),
    }
    for k, words in WORDS.items():
        hit = np.isin(bare, words)
        out[k] = hit & is_code if k == "code keyword" else hit & ~is_code
    for c in "stca":
        out[f"first letter {c}"] = f(lambda s: s[:1] == "Ġ" and s[1:2].lower() == c and len(s) > 3)(text)
    return out


def balanced(y, rng, most):
    pos, neg = np.flatnonzero(y), np.flatnonzero(~y)
    n = min(len(pos), len(neg), most)
    return np.concatenate((rng.permutation(pos)[:n], rng.permutation(neg)[:n]))


def sparse_probe(X, y, Xt, yt, ks, seed=0, most=2000):
    """Accuracy of logistic regressions on the k features whose class means differ most; the same
    subsets of rows for every method."""
    rng = np.random.default_rng(seed)
    a, b = balanced(y, rng, most), balanced(yt, rng, most // 2)
    X, y, Xt, yt = X[a], y[a], Xt[b], yt[b]
    d = np.abs(np.asarray(X[y].mean(0)).ravel() - np.asarray(X[~y].mean(0)).ravel())
    order, out = np.argsort(-d, kind="stable"), {}
    for k in ks:
        f = order[:k]
        dense = lambda M: np.asarray(M[:, f].todense()) if sp.issparse(M) else M[:, f]
        out[k] = LogisticRegression(max_iter=1000).fit(dense(X), y).score(dense(Xt), yt)
    return out


def windows(X, sequences, w):
    """Means over windows of w of the 127 tokens (the last 127 % w are left)."""
    n = 127 // w
    idx = (np.arange(sequences)[:, None, None] * 127 + np.arange(n)[None, :, None] * w + np.arange(w)).reshape(-1)
    M = sp.csr_matrix((np.full(len(idx), 1 / w, np.float32), idx, np.arange(0, len(idx) + 1, w)), (sequences * n, X.shape[0]))
    return M @ X


def probing(Xa, Xb, scores, prefix=""):
    """Xa, Xb: features of probe_train and probe_test tokens (CSR or dense)."""
    meta = json.load(open(f"{A}/meta.json"))
    ta, tb = np.load(f"{A}/probe_train_tokens.npy"), np.load(f"{A}/probe_test_tokens.npy")
    la, lb = np.load(f"{A}/probe_train_labels.npy"), np.load(f"{A}/probe_test_labels.npy")
    ks = (1, 2, 5)
    for w, key in ((WINDOW, "source_w16"),):
        Wa, Wb = (windows(Xa, len(la), w), windows(Xb, len(lb), w)) if w > 1 else (Xa, Xb)
        ya, yb = np.repeat(la, 127 // w), np.repeat(lb, 127 // w)
        r = [sparse_probe(Wa, ya == c, Wb, yb == c, ks, c) for c in range(len(meta["labels"]))]
        scores[prefix + key] = {k: float(np.mean([x[k] for x in r])) for k in ks}
    strings = token_strings()
    A_, B_ = token_labels(ta, la, meta["labels"], strings), token_labels(tb, lb, meta["labels"], strings)
    each = {}
    for i, k in enumerate(A_):
        if B_[k].sum() >= 50:
            each[k] = sparse_probe(Xa, A_[k].ravel(), Xb, B_[k].ravel(), ks, 100 + i)
    scores[prefix + "token"] = {k: float(np.mean([e[k] for e in each.values()])) for k in ks}
    scores[prefix + "token_each"] = {n: {k: round(float(v), 4) for k, v in e.items()} for n, e in each.items()}


def tpp(Xa, Xb, Ya, Yb, D, scores):
    """Xa, Xb: activations; Ya, Yb: codes, of the probing tokens. Probes on means over windows of 127 would
    saturate; windows of 16 are taken, as for probing."""
    meta = json.load(open(f"{A}/meta.json"))
    la, lb = np.load(f"{A}/probe_train_labels.npy"), np.load(f"{A}/probe_test_labels.npy")
    xa, xb = windows(Xa, len(la), WINDOW), windows(Xb, len(lb), WINDOW)
    ca, cb = windows(Ya, len(la), WINDOW), windows(Yb, len(lb), WINDOW)
    ya, yb = np.repeat(la, 127 // WINDOW), np.repeat(lb, 127 // WINDOW)
    mu, sd = xa.mean(0), xa.std()
    classes, rng, probes, tests = range(len(meta["labels"])), np.random.default_rng(5), [], []
    for c in classes:
        a = balanced(ya == c, rng, 4000)
        p = LogisticRegression(max_iter=300, C=0.1).fit((xa[a] - mu) / sd, ya[a] == c)
        probes.append((p.coef_[0], p.intercept_[0]))
        tests.append(balanced(yb == c, rng, 2000))
    accuracy = lambda x, c: np.mean((((x[tests[c]] - mu) / sd) @ probes[c][0] + probes[c][1] > 0) == (yb[tests[c]] == c))
    clean = [accuracy(xb, c) for c in classes]
    scores["tpp_clean"] = float(np.mean(clean))
    ns, total = (2, 5, 10, 20, 50, 100), {}
    for n in ns:
        gains = []
        for c in classes:
            a = balanced(ya == c, np.random.default_rng(50 + c), 4000)
            pos = ya[a] == c
            diff = np.asarray(ca[a][pos].mean(0)).ravel() - np.asarray(ca[a][~pos].mean(0)).ravel()
            # SAEBench keeps positive differences alone (codes are non-negative there); a signed code may
            # as well fall, so there the product with the probe decides.
            signed = Ya.data.min() < 0 if len(Ya.data) else False
            effect = (diff if signed else np.clip(diff, 0, None)) * (D @ probes[c][0])
            top = np.argsort(-effect)[:n]
            x = xb - np.asarray((cb[:, top] @ D[top]))
            drop = [clean[e] - accuracy(x, e) for e in classes]
            gains.append(drop[c] - np.mean([drop[e] for e in classes if e != c]))
        total[n] = float(np.mean(gains))
    scores["tpp"] = total


def absorption(X, Y, D, scores):
    """X (W, d) activations at the words, Y their codes."""
    info = json.load(open(f"{A}/words.json"))
    letters, train = np.array(info["letter"]), np.array(info["train"])
    scale = np.sqrt((X ** 2).sum(1).mean())
    absorbed, full, splits, f1s, sums = [], [], [], [], []
    Yc = Y.tocsc()
    for c in range(26):
        y = letters == c
        if y.sum() < 60:
            continue
        probe = LogisticRegression(max_iter=400, C=10.0, class_weight="balanced").fit(X[train] / scale, y[train])
        w = probe.coef_[0] / np.linalg.norm(probe.coef_[0])
        said = probe.decision_function(X / scale) > 0
        if f1_score(y[~train], said[~train]) < 0.6:
            continue
        f1s.append(f1_score(y[~train], said[~train]))
        # features that speak for the letter: an L1 probe on the codes, as SAEBench trains
        l1 = l1_weights(Y[train], y[train])
        best, order, split = None, np.argsort(-l1, kind="stable")[:10], 1
        for k in range(1, 11):
            f = np.asarray(Yc[:, order[:k]].todense())
            p = LogisticRegression(max_iter=500, class_weight="balanced").fit(f[train], y[train])
            s = f1_score(y[~train], p.predict(f[~train]))
            if k == 1:
                scores.setdefault("_first_letter_f1", []).append(s)
            if best is not None and s - best < 0.03:
                break
            best, split = s, k
        main = order[:split]
        splits.append(split)
        rows = np.flatnonzero(y & said & ~train)
        if not len(rows):
            continue
        cos = D @ w
        fr, fu = [], []
        for r in rows:
            a = np.asarray(Y[r].todense()).ravel()
            proj, pa = float(X[r] @ w), a * cos
            mine = pa[main].sum()
            ok = (cos >= 0.1) & (pa > 0)
            ok[main] = False
            top = np.sort(pa[ok])[::-1][:3].sum()
            if proj <= 0 or mine >= proj or top / proj < 0.4:
                fr.append(0.0)
            elif mine <= 0:
                fr.append(1.0)
            else:
                lost = min(top, proj - mine)
                fr.append(float(np.clip(lost / (lost + mine), 0, 1)))
            best_one = int(np.argmax(pa))
            fu.append(bool((np.abs(a[main]) < 1e-8).all() and cos[best_one] >= 0.025 and proj > 0 and pa[best_one] / proj >= 0.4))
        absorbed.append(np.mean(fr))
        full.append(np.mean(fu))
    scores["absorption"] = {"letters": len(f1s), "probe_f1": float(np.mean(f1s)) if f1s else None,
                            "first_letter_f1_k1": float(np.mean(scores.pop("_first_letter_f1", [0]))),
                            "fraction": float(np.mean(absorbed)) if absorbed else None,
                            "full": float(np.mean(full)) if full else None, "splits": float(np.mean(splits)) if splits else None}


def l1_weights(Y, y):
    """Weights of an L1-regularised logistic regression on codes scaled to a common size."""
    s = np.sqrt(Y.multiply(Y).mean()) * 10
    p = LogisticRegression(penalty="l1", solver="liblinear", C=1.0, max_iter=60, class_weight="balanced", tol=1e-3).fit(Y / s, y)
    return p.coef_[0]


class Downstream:
    """Cross-entropy and KL of the model from replaced held-out activations."""

    def __init__(self, sequences=None):
        from lm import Llama
        self.m = Llama()
        self.tokens = torch.from_numpy(np.load(f"{A}/heldout_tokens.npy")[:sequences]).long()
        self.sink = torch.from_numpy(np.load(f"{A}/sink.npy"))
        self.n = len(self.tokens)

    def run(self, rows, sink=True, against=True):
        """rows (n * 127, d) -> mean cross-entropy of tokens 2.., mean KL(clean || this)."""
        x = torch.from_numpy(np.ascontiguousarray(rows[:self.n * 127], dtype=np.float32)).view(self.n, 127, -1)
        first = (self.sink if sink else torch.zeros_like(self.sink)).expand(self.n, 1, -1)
        x, ce, kl = torch.cat((first, x), 1), 0.0, 0.0
        keep = []
        for i in range(0, self.n, 8):
            lp = torch.log_softmax(self.m.upper(x[i:i + 8], LAYER)[:, 1:-1], -1)
            t = self.tokens[i:i + 8, 2:]
            ce -= lp.gather(-1, t[..., None]).sum().item()
            if against is not True and against is not None:
                q = against[i // 8].float()
                kl += (q.exp() * (q - lp)).sum().item()
            if against is None:
                keep.append(lp.half())
        count = self.n * 126
        return (ce / count, keep) if against is None else (ce / count, kl / count)


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


def references(sequences, cache=f"{A}/references"):
    """Clean, zero- and mean-ablated losses of the first `sequences` held-out ones; kept on disk."""
    down = Downstream(sequences)
    try:
        ref = json.load(open(f"{cache}.json"))
        if ref["sequences"] == sequences:
            flat = np.load(f"{cache}.npy", mmap_mode="r")
            ref["logp"] = [torch.from_numpy(np.array(flat[i:i + 8])) for i in range(0, sequences, 8)]
            return down, ref
    except OSError:
        pass
    X = np.load(f"{A}/heldout.npy").astype(np.float32)
    ce, logp = down.run(X, against=None)
    zero, zkl = down.run(np.zeros_like(X), sink=False, against=logp)
    mean, mkl = down.run(np.broadcast_to(np.load(f"{A}/train_mean.npy"), X.shape), against=logp)
    ref = {"sequences": sequences, "clean": ce, "zero": zero, "mean": mean, "kl_zero": zkl, "kl_mean": mkl}
    np.save(f"{cache}.npy", torch.cat(logp).numpy())
    json.dump(ref, open(f"{cache}.json", "w"))
    return down, dict(ref, logp=logp)


if __name__ == "__main__":
    torch.set_num_threads(1)
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
