"""What the language model loses when held-out activations are replaced: cross-entropy and KL."""
import json
import numpy as np
import torch
from lm import Llama
from settings import ACTS as A, LAYER


class Downstream:
    """Cross-entropy and KL of the model from replaced held-out activations."""

    def __init__(self, sequences=None):
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
