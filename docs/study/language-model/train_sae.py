"""Trains a sparse autoencoder on ACTS/train.npy: TopK, BatchTopK, or Matryoshka BatchTopK.

    python train_sae.py KIND DIR (--seconds CPU | --epochs N) [--atoms 4096] [--k 32] [--lr 1e-3] [--seed 0]

The usual recipe (Gao et al. 2024; Bussmann et al. 2024, 2025): activations minus their mean, over
their mean norm; W_enc begins as W_dec's transpose; unit decoder rows, gradients along them removed;
Adam (0.9, 0.999), warm-up, linear decay in the last fifth; gradient clipping at 1; AuxK (k_aux 256,
1/32) on latents silent for 50,000 rows. Products with the
whole dictionary are dense; the decoder is read by gathered rows, which is what makes a CPU do.

`--seconds` counts processor time of training (one thread), `--epochs` rows: the same on any machine. Writes DIR/dictionary.npy, mean.npy, codes.npz of ACTS/eval.npy, and log.json.
"""
import argparse, json, os, sys, time
import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from settings import ACTS as A, CLIP



def main():
    p = argparse.ArgumentParser()
    p.add_argument("kind", choices=("topk", "batchtopk", "matryoshka"))
    p.add_argument("dir")
    p.add_argument("--seconds", type=float, default=300)
    p.add_argument("--epochs", type=float, default=None, help="in place of a time")
    p.add_argument("--atoms", type=int, default=4096)
    p.add_argument("--k", type=int, default=32)
    p.add_argument("--lr", type=float, default=1e-3)
    p.add_argument("--batch", type=int, default=2048)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--rows", type=int, default=None)
    p.add_argument("--no-codes", action="store_true")
    p.add_argument("--tune", action="store_true", help="leave the last tenth of the rows out, and print the FVU on them")
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(a.seed)
    os.makedirs(a.dir, exist_ok=True)
    raw = np.load(f"{A}/train.npy", mmap_mode="r")
    n = a.rows or (len(raw) * 9 // 10 if a.tune else len(raw))
    mean = torch.from_numpy(np.load(f"{A}/train_mean.npy"))
    X = torch.from_numpy(np.array(raw[:n], dtype=np.float32)) - mean
    norm = X.norm(dim=1)
    # the loss is capped for the few massive rows, else they rule it
    cap = CLIP * norm.median()
    X *= torch.clamp(cap / norm, max=1.0)[:, None]
    scale = X.norm(dim=1).mean()
    X /= scale
    d, m, k, B = X.shape[1], a.atoms, a.k, a.batch

    dec = F.normalize(torch.randn(m, d), dim=1)
    enc = dec.clone()
    b_enc, b_dec = torch.zeros(m), torch.zeros(d)
    params = [t.requires_grad_() for t in (enc, dec, b_enc, b_dec)]
    opt = torch.optim.Adam(params, lr=a.lr, betas=(0.9, 0.999))
    silent = torch.zeros(m, dtype=torch.long)
    groups = [m // 16, m // 8, m // 4, m // 2, m] if a.kind == "matryoshka" else [m]
    threshold = torch.tensor(0.0)
    start, steps, log, rows = time.process_time(), 0, [], 0
    order, at = torch.randperm(n), 0
    while True:
        used = time.process_time() - start
        done = used / a.seconds if a.epochs is None else rows / (a.epochs * n)
        if done >= 1:
            break
        for g in opt.param_groups:
            g["lr"] = a.lr * min(1, (steps + 1) / 100) * (1 if done < 0.8 else max(0.0, (1 - done) / 0.2))
        if at + B > n:
            order, at = torch.randperm(n), 0
        x = X[order[at:at + B]]
        at += B
        pre = (x - b_dec) @ enc.T + b_enc
        act = F.relu(pre)
        with torch.no_grad():
            if a.kind == "topk":
                idx = act.topk(k, dim=1).indices
                mask = torch.zeros_like(act).scatter_(1, idx, 1.0) * (act > 0)
            else:
                flat = act.flatten()
                cut = flat.topk(k * B, sorted=False).values.min()
                mask = ((act >= cut) & (act > 0)).float()
                threshold = cut if steps == 0 else 0.99 * threshold + 0.01 * cut
            silent += B
            silent[mask.sum(0) > 0] = 0
        z = act * mask
        var = ((x - x.mean(0)) ** 2).sum(1).mean()
        if len(groups) == 1:
            e = x - (z @ dec + b_dec)
            loss = (e ** 2).sum(1).mean() / var
        else:
            loss, r, g0 = 0, b_dec.expand_as(x), 0
            for g in groups:
                r = r + z[:, g0:g] @ dec[g0:g]
                e, g0 = x - r, g
                loss = loss + (e ** 2).sum(1).mean() / var / len(groups)
        total = loss
        dead = silent > 50_000
        if dead.any():
            # the error by the strongest of the silent latents
            di = dead.nonzero()[:, 0]
            ka = min(256, len(di))
            top = F.relu(pre[:, di]).topk(ka, dim=1)
            za = torch.zeros(B, len(di)).scatter(1, top.indices, top.values)
            target = e.detach()
            aux = ((target - za @ dec[di]) ** 2).sum(1).mean() / (target ** 2).sum(1).mean()
            total = loss + aux / 32
        opt.zero_grad()
        total.backward()
        with torch.no_grad():
            dec.grad -= (dec.grad * dec).sum(1, keepdim=True) * dec
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            opt.step()
            dec /= dec.norm(dim=1, keepdim=True)
        steps, rows = steps + 1, rows + B
        if steps % 50 == 0:
            log.append((used, rows, loss.item(), int(dead.sum())))
            print(f"{used:6.0f} s  {rows / n:6.2f} epochs  loss {loss.item():.4f}  silent {int(dead.sum())}  L0 {float(mask.sum(1).mean()):.1f}", flush=True)
    seconds = time.process_time() - start
    json.dump({"args": vars(a), "seconds": seconds, "rows": rows, "epochs": rows / n, "log": log}, open(f"{a.dir}/log.json", "w"))
    with torch.no_grad():
        np.save(f"{a.dir}/dictionary.npy", dec.numpy())
        np.save(f"{a.dir}/mean.npy", (b_dec * scale + mean).numpy())
        np.savez(f"{a.dir}/encoder.npz", enc=enc.numpy(), b_enc=b_enc.numpy(), b_dec=b_dec.numpy(), mean=mean.numpy(), scale=scale.numpy(), threshold=threshold.numpy())
        def encode(x):
            act = F.relu((x - b_dec) @ enc.T + b_enc)
            if a.kind != "topk":
                return act * (act > threshold)
            t = act.topk(k, dim=1)
            return torch.zeros_like(act).scatter_(1, t.indices, t.values)

        if a.tune:
            x = torch.from_numpy(np.array(raw[len(raw) * 9 // 10:], dtype=np.float32)) - mean
            x = x[x.norm(dim=1) < cap] / scale
            z = encode(x)
            fvu = float(((x - (z @ dec + b_dec)) ** 2).sum() / ((x - x.mean(0)) ** 2).sum())
            print(f"lr {a.lr}: FVU on rows left out {fvu:.4f}, L0 {float((z > 0).float().sum(1).mean()):.1f}")
            return
        if a.no_codes:
            return
        E, parts = np.load(f"{A}/eval.npy", mmap_mode="r"), []
        for i in range(0, len(E), 4096):
            x = (torch.from_numpy(np.array(E[i:i + 4096], dtype=np.float32)) - mean) / scale
            parts.append(sp.csr_matrix((encode(x) * scale).numpy()))
        sp.save_npz(f"{a.dir}/codes.npz", sp.vstack(parts).tocsr())
    print(f"trained {rows / n:.2f} epochs in {seconds:.0f} processor seconds")


if __name__ == "__main__":
    main()
