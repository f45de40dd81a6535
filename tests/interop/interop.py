#!/usr/bin/env python3
"""Checks the crate against sae-lens and eai-sparsify; see README.md. With --fixtures, writes tests/fixtures/sae."""

import argparse
import contextlib
import io
import json
import pathlib
import shutil
import subprocess
import tempfile
import warnings

import numpy as np
import scipy.sparse
import torch
from safetensors.numpy import save_file

with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from sae_lens import SAE
    from sae_lens.registry import get_sae_class
    from sparsify import SparseCoder, SparseCoderConfig

ROOT = pathlib.Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "fixtures" / "sae"
TOLERANCE = 1e-5
DIM, LATENTS, SAMPLES = 8, 24, 20

# name, architecture, options of the configuration, norms of the decoder's rows
SAELENS = [
    ("standard", "standard", {}, (0.5, 2.0)),
    ("uncentred", "standard", dict(apply_b_dec_to_input=False), (0.5, 2.0)),
    ("hook_z", "standard", dict(reshape_activations="hook_z"), (0.5, 2.0)),
    ("bfloat16", "standard", dict(dtype="bfloat16"), (0.5, 2.0)),
    ("topk", "topk", dict(k=5), (0.5, 2.0)),
    ("topk_rescaled", "topk", dict(k=5, rescale_acts_by_decoder_norm=True), (0.5, 2.0)),
    ("abstopk", "abstopk", dict(k=5), (0.5, 2.0)),
    ("abstopk_rescaled", "abstopk", dict(k=5, rescale_acts_by_decoder_norm=True), (0.5, 2.0)),
    ("jumprelu", "jumprelu", {}, (0.5, 2.0)),
    ("jumprelu_uncentred", "jumprelu", dict(apply_b_dec_to_input=False), (0.5, 2.0)),
    ("gated", "gated", {}, (0.5, 2.0)),
    ("gated_uncentred", "gated", dict(apply_b_dec_to_input=False), (0.5, 2.0)),
    ("pursuit", "matching_pursuit", dict(residual_threshold=0.0, max_iterations=6,
                                         stop_on_duplicate_support=False), (1.0, 1.0)),
    ("pursuit_stopping", "matching_pursuit", dict(residual_threshold=1.5), (0.8, 1.1)),
    ("pursuit_uncentred", "matching_pursuit", dict(apply_b_dec_to_input=False, max_iterations=4), (1.0, 1.0)),
]
SPARSIFY = [("sparsify", dict(k=5, num_latents=LATENTS)), ("sparsify_groupmax", dict(k=6, activation="groupmax",
                                                                                    expansion_factor=LATENTS // DIM))]


def randomise(parameters, norms, generator):
    """Weights, biases and thresholds of a size at which some latents fire and some do not."""
    for name, parameter in parameters.items():
        values = torch.randn(parameter.shape, generator=generator)
        if name == "W_dec":
            low, high = norms
            lengths = low + (high - low) * torch.rand((len(values), 1), generator=generator)
            values *= lengths / values.norm(dim=1, keepdim=True)
        elif name in ("W_enc", "encoder.weight"):
            values /= DIM**0.5
        elif name == "threshold":
            values = 0.8 * values.abs() - 0.1  # some below zero, where the ReLU decides
        elif name in ("b_enc", "b_gate", "b_mag", "r_mag", "encoder.bias"):
            values *= 0.3
        parameter.data = values.to(parameter.dtype)


def saelens_case(directory, case, generator):
    """Saves a random SAE; returns its samples, latents and reconstructions as sae-lens loads it."""
    _, architecture, options, norms = case
    sae_class, config_class = get_sae_class(architecture)
    sae = sae_class(config_class(d_in=DIM, d_sae=LATENTS, **options))
    randomise(dict(sae.named_parameters()), norms, generator)
    sae.save_model(directory)
    samples = 1.5 * torch.randn((SAMPLES, DIM), generator=generator) + sae.b_dec.detach().float()
    # Half precision is a way to store weights; both sides compute in single.
    return samples, *saelens_codes(SAE.load_from_disk(directory, dtype="float32"), samples)


def saelens_codes(sae, samples):
    heads = samples.reshape(len(samples), 2, -1) if sae.cfg.reshape_activations == "hook_z" else samples
    with torch.no_grad():
        latents = sae.encode(heads)
        return latents, sae.decode(latents).reshape(samples.shape)


def sparsify_case(directory, case, generator):
    coder = SparseCoder(DIM, SparseCoderConfig(**case[1]))
    randomise(dict(coder.named_parameters()), (0.5, 2.0), generator)
    coder.save_to_disk(directory)
    samples = 1.5 * torch.randn((SAMPLES, DIM), generator=generator) + coder.b_dec.detach()
    with torch.no_grad():
        values, indices, _ = coder.encode(samples)
        latents = torch.zeros((SAMPLES, LATENTS)).scatter(1, indices, values)
        # Its own decoder wants a GPU's kernels or an embedding bag, by platform; this is what both compute.
        return samples, latents, latents @ coder.W_dec + coder.b_dec


def cases(directory):
    """Makes every SAE below `directory`: yields its name, whether it is sparsify's, and what its package computes."""
    for number, case in enumerate(SAELENS + SPARSIFY):
        generator = torch.Generator().manual_seed(100 + number)
        make = saelens_case if len(case) == 4 else sparsify_case
        yield case[0], len(case) == 2, *(a.numpy() for a in make(directory / case[0], case, generator))


def fixtures():
    shutil.rmtree(FIXTURES, ignore_errors=True)
    for name, _, samples, latents, reconstruction in cases(FIXTURES):
        tensors = dict(samples=samples, latents=latents, reconstruction=reconstruction)
        save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()},
                  FIXTURES / name / "expected.safetensors")


class Program:
    """examples/sae.rs"""

    def __init__(self, path, scratch):
        self.path, self.scratch = path, scratch

    def call(self, *words):
        subprocess.run([self.path, *map(str, words)], check=True)

    def encode(self, directory, samples, *options):
        np.save(self.scratch / "samples.npy", samples)
        out = self.scratch / "codes"
        self.call("encode", directory, self.scratch / "samples.npy", out, *options)
        return scipy.sparse.load_npz(out / "latents.npz").toarray(), np.load(out / "reconstruction.npy")


def compare(what, found, expected):
    """Latents and reconstructions, to TOLERANCE of the largest number; the same latents must fire."""
    worst = 0.0
    for part, ours, theirs in zip(("latents", "reconstruction"), found, expected):
        error = np.abs(ours - theirs).max() / np.abs(theirs).max()
        assert error <= TOLERANCE, f"{what}: {part} differ by {error:.2e}"
        worst = max(worst, error)
    assert ((found[0] != 0) == (expected[0] != 0)).all(), f"{what}: other latents fire"
    fire = (expected[0] != 0).sum(1)
    print(f"{what:<46} {worst:.1e}   {fire.min()} to {fire.max()} latents fire", flush=True)


def compare_with_saelens(program, what, directory, samples):
    sae = SAE.load_from_disk(directory)
    theirs = [a.numpy() for a in saelens_codes(sae, torch.from_numpy(samples))]
    compare(what, program.encode(directory, samples), theirs)
    return sae


def imports(program, scratch):
    for name, sparsify, *expected in cases(scratch / "theirs"):
        samples, directory = expected[0], scratch / "theirs" / name
        options = ["--sparsify"] if sparsify else []
        compare(f"import of {name}", program.encode(directory, samples, *options), expected[1:])
        if name == "sparsify_groupmax":
            continue  # sae-lens has no such architecture
        copy = scratch / "ours" / name
        program.call("convert", directory, copy, *options)
        sae = compare_with_saelens(program, f"export of {name}", copy, samples)
        if not sparsify:
            original = SAE.load_from_disk(directory, dtype="float32").state_dict()
            assert original.keys() == sae.state_dict().keys(), name
            assert all(torch.equal(original[key], value) for key, value in sae.state_dict().items()), name


def exports(program, scratch):
    """Dictionaries, in the format of Model::save, as SAEs with tied weights."""
    rng = np.random.default_rng(7)
    atoms = rng.normal(size=(40, 16)).astype(np.float32)
    atoms /= np.linalg.norm(atoms, axis=1, keepdims=True)
    mean = rng.normal(size=16).astype(np.float32)
    samples = (mean + 2 * rng.normal(size=(60, 16))).astype(np.float32)
    for sign in ("signed", "non-negative"):
        metadata = {"format": "dbksvd-model", "version": "1", "sparsity": "5", "sign": sign}
        model = scratch / f"{sign}.safetensors"
        save_file({"dictionary": atoms, "mean": mean}, model, metadata)
        for encoder in ("matching-pursuit", "topk"):
            out = scratch / f"{sign}-{encoder}"
            program.call("export", model, out, encoder)
            sae = compare_with_saelens(program, f"export of a {sign} model, {encoder}", out, samples)
            rows = sae.W_dec.detach().numpy()
            tied = np.vstack([atoms, -atoms]) if len(rows) == 80 else atoms
            assert (rows == tied).all() and (sae.b_dec.detach().numpy() == mean).all()
            assert json.loads((out / "cfg.json").read_text())["metadata"]["sae_lens_version"]


def build():
    command = ["cargo", "build", "--release", "--example", "sae", "--message-format", "json"]
    lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    built = [m["executable"] for m in map(json.loads, lines) if m.get("target", {}).get("name") == "sae"]
    return built[-1]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fixtures", action="store_true", help="write tests/fixtures/sae instead of checking")
    parser.add_argument("--program", help="the example `sae`, built already")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    if arguments.fixtures:
        return fixtures()
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        program = Program(arguments.program or build(), scratch)
        imports(program, scratch)
        exports(program, scratch)
    print("all agree")


if __name__ == "__main__":
    main()
