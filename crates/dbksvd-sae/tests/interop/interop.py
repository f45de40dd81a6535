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


# Configurations of SAELens before version 6, without d_in and d_sae, as its loaders still read them.
EARLY_MODEL = dict(model_name="gpt2-small", hook_layer=7, hook_head_index=None, prepend_bos=True, context_size=128,
                   dataset_path="Skylion007/openwebtext", dataset_trust_remote_code=True, neuronpedia_id=None,
                   model_from_pretrained_kwargs={"center_writing_weights": True}, device="cpu", dtype="float32",
                   finetuning_scaling_factor=False, apply_b_dec_to_input=True, normalize_activations="none")
EARLY = [
    # 0.1: the whole configuration of a training run, and a factor that is 1
    ("early_run", "standard", {
        "model_name": "gpt2-small", "hook_point": "blocks.0.hook_resid_pre", "hook_point_layer": 0,
        "hook_point_head_index": None, "dataset_path": "Skylion007/openwebtext", "is_dataset_tokenized": False,
        "context_size": 128, "use_cached_activations": False, "cached_activations_path": "activations",
        "n_batches_in_buffer": 128, "total_training_tokens": 300000000, "store_batch_size": 32, "device": "mps",
        "seed": 42, "dtype": "torch.float32", "b_dec_init_method": "geometric_median", "expansion_factor": 3,
        "from_pretrained_path": None, "l1_coefficient": 8e-05, "lr": 0.0004, "lr_scheduler_name": None,
        "lr_warm_up_steps": 5000, "train_batch_size": 4096, "use_ghost_grads": False, "feature_sampling_window": 1000,
        "feature_sampling_method": None, "resample_batches": 1028, "feature_reinit_scale": 0.2,
        "dead_feature_window": 5000, "dead_feature_estimation_method": "no_fire", "dead_feature_threshold": 1e-08,
        "log_to_wandb": True, "wandb_project": "sae", "wandb_entity": None, "wandb_log_frequency": 100,
        "n_checkpoints": 10, "checkpoint_path": "checkpoints", "tokens_per_buffer": 67108864, "run_name": "run"}),
    # 3
    ("early_standard", "standard", EARLY_MODEL | dict(
        architecture="standard", hook_name="blocks.7.attn.hook_z", activation_fn_str="relu", activation_fn_kwargs={},
        sae_lens_training_version="3.23.4", normalize_activations=False, dtype="torch.float32")),
    ("early_gated", "gated", EARLY_MODEL | dict(
        architecture="gated", hook_name="blocks.7.hook_resid_post", activation_fn="relu", apply_b_dec_to_input=False,
        sae_lens_training_version="3.23.4")),
    # 5
    ("early_topk", "topk", EARLY_MODEL | dict(
        architecture="standard", hook_name="blocks.7.hook_resid_post", activation_fn_str="topk", seqpos_slice=[None],
        activation_fn_kwargs={"k": 5}, sae_lens_training_version="5.11.0")),
    ("early_jumprelu", "jumprelu", EARLY_MODEL | dict(
        architecture="jumprelu", hook_name="blocks.7.hook_resid_post", activation_fn_str="relu", l1_coefficient=1.0,
        seqpos_slice=[None], activation_fn_kwargs={}, sae_lens_training_version="5.11.0", noise_scale=0.0)),
]
DEAD = [0, 3, 11, 12]  # decoder rows that are zero in the cases of that name
# Seeds go by the place of a case: new ones come last.
CASES = SAELENS + SPARSIFY + EARLY + [
    ("standard_dead", "standard", {}, (0.5, 2.0)),
    ("topk_dead", "topk", dict(k=5), (0.5, 2.0)),
    ("rounded", "standard", dict(dtype="bfloat16"), (0.5, 2.0)),
    ("sparsify_early", dict(k=5, num_latents=LATENTS)),
]


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
    name, architecture, options, norms = case
    sae_class, config_class = get_sae_class(architecture)
    sae = sae_class(config_class(d_in=DIM, d_sae=LATENTS, **options))
    randomise(dict(sae.named_parameters()), norms, generator)
    if name.endswith("_dead"):
        sae.W_dec.data[DEAD] = 0
    if name == "rounded":  # weights in a type that the configuration does not name
        sae.double()
        sae.W_enc.data += 1e-3 * torch.randn(sae.W_enc.shape, generator=generator)
    sae.save_model(directory)
    samples = 1.5 * torch.randn((SAMPLES, DIM), generator=generator) + sae.b_dec.detach().float()
    # Half precision is a way to store weights; both sides compute in single.
    return samples, *saelens_codes(load(directory), samples)


def early_case(directory, case, generator):
    """As saelens_case, of a configuration that today's sae-lens reads and does not write."""
    name, architecture, config = case
    sae_class, config_class = get_sae_class(architecture)
    sae = sae_class(config_class(d_in=DIM, d_sae=LATENTS, **({"k": 5} if architecture == "topk" else {})))
    randomise(dict(sae.named_parameters()), (0.5, 2.0), generator)
    tensors = {key: value.detach().numpy() for key, value in sae.state_dict().items()}
    if name == "early_run":
        tensors["scaling_factor"] = np.ones(LATENTS, np.float32)
    directory.mkdir(parents=True)
    save_file({key: np.ascontiguousarray(value) for key, value in tensors.items()}, directory / "sae_weights.safetensors")
    (directory / "cfg.json").write_text(json.dumps({"d_in": DIM, "d_sae": LATENTS, **config}))
    samples = 1.5 * torch.randn((SAMPLES, DIM), generator=generator) + sae.b_dec.detach()
    return samples, *saelens_codes(load(directory), samples)


def load(directory):
    """The SAE in single precision, its weights rounded as the configuration says."""
    return SAE.load_from_disk(directory).to(dtype=torch.float32)


def saelens_codes(sae, samples):
    heads = samples.reshape(len(samples), 2, -1) if sae.cfg.reshape_activations == "hook_z" else samples
    with torch.no_grad():
        latents = sae.encode(heads)
        return latents, sae.decode(latents).reshape(samples.shape)


def sparsify_case(directory, case, generator):
    coder = SparseCoder(DIM, SparseCoderConfig(**case[1]))
    randomise(dict(coder.named_parameters()), (0.5, 2.0), generator)
    coder.save_to_disk(directory)
    if case[0] == "sparsify_early":  # of the time when latents could be signed
        config = dict(expansion_factor=LATENTS // DIM, normalize_decoder=True, k=5, signed=False, d_in=DIM)
        (directory / "cfg.json").write_text(json.dumps(config))
        coder = SparseCoder.load_from_disk(directory)
    samples = 1.5 * torch.randn((SAMPLES, DIM), generator=generator) + coder.b_dec.detach()
    with torch.no_grad():
        values, indices, _ = coder.encode(samples)
        latents = torch.zeros((SAMPLES, LATENTS)).scatter(1, indices, values)
        # Its own decoder wants a GPU's kernels or an embedding bag, by platform; this is what both compute.
        return samples, latents, latents @ coder.W_dec + coder.b_dec


def cases(directory):
    """Makes every SAE below `directory`: yields its name, whether it is sparsify's, and what its package computes."""
    makers = {2: sparsify_case, 3: early_case, 4: saelens_case}
    for number, case in enumerate(CASES):
        generator = torch.Generator().manual_seed(100 + number)
        made = makers[len(case)](directory / case[0], case, generator)
        yield case[0], len(case) == 2, *(a.numpy() for a in made)


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
            original = load(directory).state_dict()
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
    weights = rng.normal(size=(40, 16)).astype(np.float32)
    bias = rng.normal(size=40).astype(np.float32)
    metadata |= {"sparsity": "16", "threshold": "4.5", "scale": "1.5"}
    model, out = scratch / "linear.safetensors", scratch / "linear"
    save_file({"dictionary": atoms, "mean": mean, "encoder": weights, "encoder_bias": bias}, model, metadata)
    program.call("export", model, out, "linear")
    sae = compare_with_saelens(program, "export of a linear coder", out, samples)
    assert type(sae.cfg).__name__.startswith("JumpReLU"), type(sae.cfg)
    assert (sae.W_enc.detach().numpy() == weights.T).all()
    found = [sae.b_enc.detach().numpy(), sae.threshold.detach().numpy()]
    for found, expected in zip(found, (1.5 * bias, np.full(40, 1.5 * 4.5, np.float32))):
        assert np.allclose(found, expected, rtol=1e-6), (found, expected)


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
