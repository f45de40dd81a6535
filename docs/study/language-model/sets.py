"""ACTS/eval.npy: rows of held-out, probing and word activations, one after the other: what every
method codes. ACTS/train_mean.npy: the mean of the rows to learn from, massive ones clipped.
ACTS/limit.npy: the norm beyond which a row is massive."""
import numpy as np
from settings import ACTS, CLIP

parts = [np.load(f"{ACTS}/{p}.npy") for p in ("heldout", "probe_train", "probe_test", "words")]
np.save(f"{ACTS}/eval.npy", np.concatenate(parts))
X = np.load(f"{ACTS}/train.npy", mmap_mode="r")
blocks = [slice(i, i + 20000) for i in range(0, len(X), 20000)]
norm = np.concatenate([np.linalg.norm(X[b].astype(np.float32), axis=1) for b in blocks])
limit = CLIP * np.median(norm)
factor = np.minimum(1, limit / norm)
total = sum((X[b].astype(np.float64) * factor[b, None]).sum(0) for b in blocks)
np.save(f"{ACTS}/train_mean.npy", (total / len(X)).astype(np.float32))
np.save(f"{ACTS}/limit.npy", np.float32(limit))
print([p.shape for p in parts], "norms: median", np.median(norm), "beyond the limit", int((norm > limit).sum()))
