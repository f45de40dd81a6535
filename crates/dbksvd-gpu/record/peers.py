"""Peers on the same card: orthogonal matching pursuit in PyTorch (the package
orthogonal-matching-pursuit-gpu, if it is installed), and as a floor the encoder of a TopK sparse
autoencoder, which is one product and one selection. Prints a Markdown table."""

import sys
import time

import torch

SHAPES = [("W2", 384, 2048, 16, 65536), ("W3", 768, 4096, 32, 65536), ("W4", 2304, 16384, 32, 16384)]
SMALL = [("S1", 64, 256, 8, 1024), ("S2", 128, 512, 8, 512)]


def seconds(call, device):
    """The best of three calls, after one that is not counted."""
    best = float("inf")
    for number in range(4):
        start = time.perf_counter()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        if number > 0:
            best = min(best, time.perf_counter() - start)
    return best


def omp():
    """The peer's function; None without the package."""
    try:
        from orthogonal_matching_pursuit_gpu import run_omp
    except ImportError:
        return None
    return run_omp


def main():
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else "processor"
    print(f"PyTorch {torch.__version__} on {name}\n")
    print("| problem | what | samples/s |\n|---|---|---|")
    torch.manual_seed(0)
    pursue = omp()
    if pursue is None:
        print("| all | orthogonal-matching-pursuit-gpu | not installed |")
    for what, dim, atoms, sparsity, samples in SMALL if "--small" in sys.argv else SHAPES:
        dictionary = torch.nn.functional.normalize(torch.randn(atoms, dim, device=device), dim=1)
        rows = torch.randn(samples, dim, device=device)
        encode = lambda: torch.topk(torch.relu(rows @ dictionary.T), sparsity, dim=1)
        print(f"| {what} | TopK encoder | {samples / seconds(encode, device):.0f} |")
        if pursue is not None:
            few = rows[: max(1, samples // 16)]
            atoms_as_columns = dictionary.T.contiguous()
            code = lambda: pursue(
                atoms_as_columns, few, n_nonzero_coefs=sparsity, normalize=False, fit_intercept=False
            )
            print(f"| {what} | OMP | {len(few) / seconds(code, device):.0f} |")


if __name__ == "__main__":
    main()
