"""What SAEBench measures of a dictionary and its codes, without the language model: probes, targeted
perturbation and absorption. Arrays come in as they are; files are `evaluate.py`'s business but for the
tokens and labels of the probing parts in ACTS.

Where it differs from SAEBench:
- probing: codes averaged over windows of 16 tokens (SAEBench: 128), sources one against the rest,
  balanced; features by difference of means; logistic regression; accuracy. The same for labels of
  single tokens. Documents of the parts are disjoint.
- absorption: after Chanin et al. as in SAEBench, at k = 1..10 split features by the F1 jump of 0.03.
- tpp: effect of zeroing atoms on probes of the 9 sources (means over windows), SAEBench's definition.
"""
import json, keyword, re
import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from settings import ACTS as A

WINDOW = 16


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
    strings = json.load(open(f"{A}/vocabulary.json"))
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
