#!/usr/bin/env python3
"""Trains the TopK sparse autoencoders of the study, on one thread, and writes them as SAELens directories.

    cargo run --release --example study -- --prepare out/study
    python docs/study/embeddings/train_topk.py out/study out/saes

The first command writes the rows to learn from and says how long DB-KSVD took; no held-out row comes here.

Each autoencoder is that of L. Gao et al., "Scaling and evaluating sparse autoencoders", 2024, arXiv 2406.04093:
z = relu(top k of W_enc (x - b_dec) + b_enc), reconstruction W_dec z + b_dec; W_enc begins as the transpose of W_dec,
whose atoms are random and kept at norm 1, b_dec at the geometric median; Adam; latents that have fired for no row
during an epoch get an auxiliary loss (AuxK, k_aux = d/2, weight 1/32). The learning rate is constant, then falls to
zero over the last fifth.

What is written below OUT:
    converged/k16/seed0    a fixed number of epochs, twice of which do not lower the error on other rows
    equal-time/k16/seed0   as much processor time as DB-KSVD took for this k, its fall of the rate included
    small/k3/seed0         of the small problem, a fixed number of epochs
    trials.json            how the learning rates were chosen: by the error on the last seventh of the rows, which the
                           trials do not learn from; and whether twice the epochs would lower that error
An autoencoder that is there already is not trained again.
"""

import argparse
import json
import pathlib
import time

import numpy as np
import torch
from safetensors.torch import save_file

BATCH = 512
RATES = (1e-3, 3e-3, 1e-2, 3e-2)
AUX_WEIGHT = 1 / 32
DECAY = 0.2  # of the run
CONVERGED = 0.01  # an error lower by less is no gain


def geometric_median(rows, steps=30):
    """Weiszfeld's iteration."""
    median = rows.mean(0)
    for _ in range(steps):
        weights = 1 / (rows - median).norm(dim=1).clamp_min(1e-8)
        median = (weights[:, None] * rows).sum(0) / weights.sum()
    return median


def decoded(values, indices, atoms):
    """Sum of values[b, s] atoms[indices[b, s]] over s."""
    return torch.nn.functional.embedding_bag(indices, atoms, per_sample_weights=values, mode="sum")


def products(rows, indices, atoms):
    """rows[b] . atoms[indices[b, s]]"""
    if indices.shape[1] <= 8:
        return (atoms[indices] * rows[:, None, :]).sum(-1)
    return (rows @ atoms.T).gather(1, indices)


def outer(values, indices, rows, count):
    """Sum of values[b, s] rows[b] into row indices[b, s] of a matrix."""
    if indices.shape[1] <= 16:
        parts = values[:, :, None] * rows[:, None, :]
        return torch.zeros(count, rows.shape[1]).index_add_(0, indices.flatten(), parts.flatten(0, 1))
    dense = torch.zeros(len(rows), count).scatter_(1, indices, values)
    return dense.T @ rows


class Autoencoder:
    """The parameters, and a step of training with gradients by hand: most of what autograd does would be zeros."""

    def __init__(self, rows, atoms, sparsity, seed):
        """`rows` are centred near zero with a mean squared norm of one."""
        self.random = torch.Generator().manual_seed(seed)
        decoder = torch.nn.functional.normalize(torch.randn(atoms, rows.shape[1], generator=self.random), dim=1)
        self.sparsity, self.rows = sparsity, rows
        self.decoder, self.encoder = decoder, decoder.clone()
        self.encoder_bias, self.bias = torch.zeros(atoms), geometric_median(rows)
        self.parameters = [self.decoder, self.encoder, self.encoder_bias, self.bias]
        self.adam = torch.optim.Adam(self.parameters, betas=(0.9, 0.999), eps=6.25e-10, fused=True)
        self.steps_of_epoch = -(-len(rows) // BATCH)
        self.step, self.last_fired = 0, torch.zeros(atoms, dtype=torch.long)

    def codes(self, centred):
        """All activations, and the k largest of each row: before the relu, after it, and which they are."""
        activations = torch.addmm(self.encoder_bias, centred, self.encoder.T)
        chosen, indices = activations.topk(self.sparsity, dim=1, sorted=False)
        return activations, chosen, chosen.relu(), indices

    def unexplained(self, rows):
        """Sum of squared errors over that of the differences from the mean."""
        error = 0.0
        for part in rows.split(1024):
            _, _, values, indices = self.codes(part - self.bias)
            error += (part - self.bias - decoded(values, indices, self.decoder)).square().sum().item()
        return error / (rows - rows.mean(0)).square().sum().item()

    def learn(self, batch, rate):
        atoms = len(self.decoder)
        centred = batch - self.bias
        activations, chosen, values, indices = self.codes(centred)
        left = centred - decoded(values, indices, self.decoder)
        self.last_fired[indices[values > 0]] = self.step

        gradient = left.mul(-2 / len(batch))  # of the reconstruction
        back = products(gradient, indices, self.decoder) * (chosen > 0)  # of the activations
        of_decoder = outer(values, indices, gradient, atoms)
        of_encoder = outer(back, indices, centred, atoms)
        of_encoder_bias = torch.zeros(atoms).index_add_(0, indices.flatten(), back.flatten())
        of_bias = gradient.sum(0)

        dead = (self.step - self.last_fired > self.steps_of_epoch).nonzero().flatten()
        if len(dead) > 0:
            # The dead latents are to reconstruct what is left.
            count = min(batch.shape[1] // 2, len(dead))
            chosen, places = activations[:, dead].topk(count, dim=1, sorted=False)
            values, atoms_of_dead = chosen.relu(), self.decoder[dead]
            beyond = left - decoded(values, places, atoms_of_dead)
            gradient = beyond.mul(-2 * AUX_WEIGHT / left.square().sum().clamp_min(1e-12))
            back = products(gradient, places, atoms_of_dead) * (chosen > 0)
            of_decoder.index_add_(0, dead, outer(values, places, gradient, len(dead)))
            of_encoder.index_add_(0, dead, outer(back, places, centred, len(dead)))
            of_encoder_bias.index_add_(0, dead[places.flatten()], back.flatten())

        of_bias -= of_encoder_bias @ self.encoder
        # Along an atom, its norm alone would change.
        of_decoder -= (of_decoder * self.decoder).sum(1, keepdim=True) * self.decoder
        gradients = of_decoder, of_encoder, of_encoder_bias, of_bias
        for parameter, gradient in zip(self.parameters, gradients):
            parameter.grad = gradient
        self.adam.param_groups[0]["lr"] = rate
        self.adam.step()
        self.decoder /= self.decoder.norm(dim=1, keepdim=True)
        self.step += 1

    def train(self, rate, epochs=None, seconds=None):
        """Trains for so many epochs, or for so many seconds of processor time."""
        start, planned = time.process_time(), epochs and epochs * self.steps_of_epoch
        progress = 0.0
        while progress < 1:
            for batch in torch.randperm(len(self.rows), generator=self.random).split(BATCH):
                progress = self.step / planned if planned else (time.process_time() - start) / seconds
                if progress >= 1:
                    break
                self.learn(self.rows[batch], rate * min(1.0, (1 - progress) / DECAY))
        return time.process_time() - start


def scaled(rows):
    """The rows divided by the root mean square distance from their mean, and that."""
    scale = (rows - rows.mean(0)).square().sum(1).mean().sqrt()
    return rows / scale, scale


def save(autoencoder, scale, directory, about):
    """Writes a SAELens directory, in the units of the rows as they came."""
    directory.mkdir(parents=True)
    atoms, dim = autoencoder.decoder.shape
    tensors = dict(W_dec=autoencoder.decoder, W_enc=autoencoder.encoder.T, b_enc=autoencoder.encoder_bias * scale,
                   b_dec=autoencoder.bias * scale)
    config = dict(architecture="topk", d_in=dim, d_sae=atoms, dtype="float32", device="cpu", k=autoencoder.sparsity,
                  rescale_acts_by_decoder_norm=False, apply_b_dec_to_input=True, normalize_activations="none",
                  reshape_activations="none", metadata=dict(sae_lens_version="6.54.12"))
    (directory / "cfg.json").write_text(json.dumps(config, indent=1) + "\n")
    (directory / "training.json").write_text(json.dumps(about, indent=1) + "\n")
    # The weights come last: a directory that has them is complete.
    weights = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(weights, directory / "sae_weights.safetensors")


def trial(rows, atoms, sparsity, rate, **budget):
    """The errors on rows learned from and on others, of a seed that is used for nothing else."""
    learned, others = rows[:-len(rows) // 7], rows[-len(rows) // 7:]
    autoencoder = Autoencoder(learned, atoms, sparsity, seed=1000)
    seconds = autoencoder.train(rate, **budget)
    told = dict(rate=rate, sparsity=sparsity, **budget, seconds_taken=seconds,
                learned=autoencoder.unexplained(learned), others=autoencoder.unexplained(others))
    print("trial", {name: float(f"{value:.4g}") for name, value in told.items() if value is not None}, flush=True)
    return told


def trials(problem, rows, small, epochs):
    """Chooses a learning rate for each budget, at one sparsity, and sees whether the epochs are enough."""
    atoms, sparsities = problem["atoms"], problem["sparsities"]
    middle = sparsities[len(sparsities) // 2]
    seconds = problem["seconds"][str(middle)] * 6 / 7
    small_sparsity = problem["small"]["sparsities"][-1]
    tried = {
        "converged": [trial(rows, atoms, middle, rate, epochs=epochs) for rate in RATES],
        "equal-time": [trial(rows, atoms, middle, rate, seconds=seconds) for rate in RATES],
        "small": [trial(small, problem["small"]["atoms"], small_sparsity, rate, epochs=epochs) for rate in RATES],
    }
    rates = {name: min(all, key=lambda one: one["others"])["rate"] for name, all in tried.items()}
    others = {}
    for factor in (0.5, 2):
        others[factor] = trial(rows, atoms, middle, rates["converged"], epochs=max(1, int(factor * epochs)))
    chosen = min(tried["converged"], key=lambda one: one["others"])
    gain = 1 - others[2]["others"] / chosen["others"]
    print(f"twice {epochs} epochs lower the error on other rows by {gain:.1%}", flush=True)
    if gain > CONVERGED:
        print(f"not converged by the rule of {CONVERGED:.0%}: give more --epochs", flush=True)
    return dict(epochs=epochs, rates=rates, tried=tried, half=others[0.5], twice=others[2], gain_of_twice=gain)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=pathlib.Path, help="what `study --prepare` has written")
    parser.add_argument("out", type=pathlib.Path, help="where the autoencoders go")
    parser.add_argument("--epochs", type=int, default=100, help="of those trained to convergence [100]")
    parser.add_argument("--trials", action="store_true", help="the trials alone")
    parser.add_argument("--quick", action="store_true", help="3 epochs, to see that it runs")
    arguments = parser.parse_args()
    epochs = 3 if arguments.quick else arguments.epochs
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)

    problem = json.loads((arguments.prepared / "prepared.json").read_text())
    rows, scale = scaled(torch.from_numpy(np.load(arguments.prepared / "rows.npy")))
    small, small_scale = scaled(torch.from_numpy(np.load(arguments.prepared / "small.npy")))
    arguments.out.mkdir(parents=True, exist_ok=True)
    told = arguments.out / "trials.json"
    if not told.exists():
        told.write_text(json.dumps(trials(problem, rows, small, epochs), indent=1) + "\n")
    chosen = json.loads(told.read_text())
    if arguments.trials:
        return
    if chosen["epochs"] != epochs:
        raise SystemExit(f"{told} is of {chosen['epochs']} epochs, not {epochs}: remove it, or the folder")

    runs = [("equal-time", sparsity) for sparsity in problem["sparsities"]]
    runs += [("small", sparsity) for sparsity in problem["small"]["sparsities"]]
    runs += [("converged", sparsity) for sparsity in problem["sparsities"]]
    # Seed by seed, so that a run that is ended early has some seeds of everything.
    for seed in range(problem["seeds"]):
        for kind, sparsity in runs:
            directory = arguments.out / kind / f"k{sparsity}" / f"seed{seed}"
            if (directory / "sae_weights.safetensors").exists():
                continue
            data, unit, atoms = rows, scale, problem["atoms"]
            if kind == "small":
                data, unit, atoms = small, small_scale, problem["small"]["atoms"]
            budget = dict(epochs=epochs)
            if kind == "equal-time":
                budget = dict(seconds=problem["seconds"][str(sparsity)])
            autoencoder = Autoencoder(data, atoms, sparsity, seed)
            seconds = autoencoder.train(chosen["rates"][kind], **budget)
            about = dict(seconds=seconds, epochs=autoencoder.step / autoencoder.steps_of_epoch,
                         rate=chosen["rates"][kind], learned=autoencoder.unexplained(data))
            save(autoencoder, unit, directory, about)
            print(directory, about, flush=True)


if __name__ == "__main__":
    main()
