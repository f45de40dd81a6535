"""The command line: ``python -m dbksvd learn | encode | features | info``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import scipy.sparse as sp

import dbksvd

from ._rows import open_files

#: Rows whose measures are taken after learning.
_MEASURED = 65_536


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dbksvd",
        description="Dictionary learning that scales: learn a dictionary, code samples with it.",
    )
    parser.add_argument("--version", action="version", version=f"dbksvd {dbksvd.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    learn = commands.add_parser(
        "learn",
        help="learn a dictionary of samples",
        description="Learns a dictionary; writes DIR/dictionary.safetensors (dbksvd.Model.load),"
        " DIR/dictionary.npy (m, d) and, unless --no-codes, DIR/codes.npz (n, m; SciPy's CSR).",
    )
    _add_data(learn)
    learn.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write")
    learn.add_argument(
        "--atoms", type=int, default=1024, metavar="M", help="size of the dictionary [1024]"
    )
    learn.add_argument(
        "--sparsity", type=float, default=16, metavar="K",
        help="most nonzeros a row; with --goal features on average [16]",
    )  # fmt: skip
    learn.add_argument(
        "--goal", choices=["error", "true_features", "features"], default="error",
        help="least error, true features, or interpretable ones that one product detects [error]",
    )  # fmt: skip
    learn.add_argument(
        "--coder", default="omp", help="omp, ols, swaps, ...: see dbksvd.coders [omp]"
    )
    learn.add_argument("--updater", default="ksvd", help="ksvd, mod or online [ksvd]")
    learn.add_argument("--non-negative", action="store_true", help="coefficients of at least 0")
    learn.add_argument("--mean", action="store_true", help="subtract the mean of the rows")
    learn.add_argument("--scale", action="store_true", help="divide by the mean norm")
    outliers = learn.add_mutually_exclusive_group()
    outliers.add_argument(
        "--clip-norm", type=float, metavar="F", help="scale rows down to F times the median norm"
    )
    outliers.add_argument("--drop-norm", type=float, metavar="F", help="leave out rows beyond it")
    learn.add_argument("--epochs", type=int, metavar="E", help="passes over the rows [20; 16]")
    learn.add_argument("--minibatch", type=int, metavar="B", help="rows a step")
    learn.add_argument("--steps", type=int, metavar="N", help="end after N steps")
    learn.add_argument("--time", type=float, metavar="S", help="end after S seconds")
    learn.add_argument(
        "--held-out", type=float, metavar="SHARE", help="measure on this share alone"
    )
    learn.add_argument("--dictionary", type=Path, metavar="FILE", help="a model to begin with")
    learn.add_argument(
        "--resume", action="store_true", help="save to DIR/checkpoints, go on from there"
    )
    learn.add_argument("--seed", type=int, default=0, metavar="S", help="of all randomness [0]")
    learn.add_argument("--no-codes", action="store_true", help="write no codes.npz")
    learn.add_argument("--threads", type=int, metavar="T", help="[one for each processor]")
    learn.add_argument("--quiet", action="store_true", help="no progress bar")

    encode = commands.add_parser(
        "encode",
        help="code samples with a dictionary",
        description="Codes samples with a model, and writes SciPy's CSR (n, m) to FILE.npz.",
    )
    _add_data(encode)
    encode.add_argument("--dictionary", type=Path, required=True, metavar="FILE", help="a model")
    encode.add_argument(
        "--out", type=Path, required=True, metavar="FILE.npz", help="where to write"
    )
    encode.add_argument("--coder", help="omp, ols, ... [the model's own, or omp]")
    encode.add_argument(
        "--sparsity", type=int, metavar="K", help="most nonzeros a row [the model's]"
    )
    encode.add_argument("--threads", type=int, metavar="T", help="[one for each processor]")

    features = commands.add_parser(
        "features",
        help="show which rows use an atom most",
        description="Prints, for some atoms, the rows (or lines of --texts) that use them most.",
    )
    _add_data(features)
    features.add_argument("--dictionary", type=Path, required=True, metavar="FILE", help="a model")
    features.add_argument("--texts", type=Path, metavar="FILE", help="a line for each row")
    features.add_argument("--atoms", type=int, nargs="+", metavar="J", help="[a dozen, often used]")
    features.add_argument("--top", type=int, default=8, metavar="N", help="rows of an atom [8]")

    info = commands.add_parser(
        "info",
        help="tell what a model or a file of samples is",
        description="Tells what models (.safetensors) and files of samples are.",
    )
    info.add_argument("files", nargs="+", metavar="FILE")
    info.add_argument("--tensor", metavar="NAME", help="the tensor of .safetensors files")
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", nargs="+", required=True, metavar="FILE",
        help=".npy or .safetensors, directories, patterns ('acts/*.npy')",
    )  # fmt: skip
    parser.add_argument("--tensor", metavar="NAME", help="the tensor of .safetensors files")
    parser.add_argument(
        "--mask", nargs="+", metavar="FILE", help=".npy: rows whose value is 0 are left out"
    )


def _learn(options: argparse.Namespace) -> None:
    rows = open_files(options.data, tensor=options.tensor, mask=options.mask)
    outliers = None
    if options.clip_norm is not None:
        outliers = ("clip", options.clip_norm)
    elif options.drop_norm is not None:
        outliers = ("drop", options.drop_norm)
    whole = options.goal != "features" and options.sparsity == int(options.sparsity)
    learner = dbksvd.DictionaryLearner(
        options.atoms,
        int(options.sparsity) if whole else options.sparsity,
        goal=options.goal,
        coder=options.coder,
        updater=options.updater,
        positive=options.non_negative,
        center=True if options.mean else None,
        scale=options.scale,
        outliers=outliers,
        max_iter=options.epochs,
        batch_size=options.minibatch,
        max_steps=options.steps,
        time_budget=options.time,
        held_out=options.held_out,
        dict_init=None if options.dictionary is None else dbksvd.Model.load(options.dictionary),
        checkpoint_dir=options.out / "checkpoints" if options.resume else None,
        resume=options.resume,
        n_jobs=options.threads,
        random_state=options.seed,
        verbose=0 if options.quiet else 1,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        learner.fit(rows)
    except BaseException:
        # What was learned until then is worth keeping.
        if hasattr(learner, "model_"):
            _write_model(learner, options.out)
        raise
    _write_model(learner, options.out)
    print(learner.model_)
    print(learner.report_)
    if learner.best_model_ is not None:
        learner.best_model_.save(options.out / "best.safetensors")
    if options.no_codes:
        part = rows.read(0, min(rows.shape[0], _MEASURED))
        print(f"explained variance {learner.score(part):.4f} of the first {len(part)} rows")
        return
    codes = learner.transform(rows)
    sp.save_npz(options.out / "codes.npz", codes, compressed=False)
    measures = learner.model_.measure(rows, codes)
    print(
        f"explained variance {measures.explained_variance:.4f}, {measures.mean_nonzeros:.1f} "
        f"nonzeros a row, {len(measures.dead_atoms)} atoms unused"
    )


def _write_model(learner: Any, out: Path) -> None:
    learner.model_.save(out / "dictionary.safetensors")
    np.save(out / "dictionary.npy", learner.components_)


def _encode(options: argparse.Namespace) -> None:
    model = dbksvd.Model.load(options.dictionary)
    if options.sparsity is not None:
        model = model.with_n_nonzero_coefs(options.sparsity)
    rows = open_files(options.data, tensor=options.tensor, mask=options.mask)
    codes = model.encode(rows, coder=options.coder, n_jobs=options.threads)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    sp.save_npz(options.out, codes, compressed=False)
    print(f"{codes.shape[0]} rows, {codes.nnz / max(codes.shape[0], 1):.1f} nonzeros a row")


def _features(options: argparse.Namespace) -> None:
    model = dbksvd.Model.load(options.dictionary)
    rows = open_files(options.data, tensor=options.tensor, mask=options.mask)
    texts = None
    if options.texts is not None:
        texts = options.texts.read_text(encoding="utf-8").split("\n")
        texts = texts[:-1] if texts and texts[-1] == "" else texts
        if len(texts) != rows.shape[0]:
            raise ValueError(f"--texts has {len(texts)} lines, expected {rows.shape[0]}, one a row")
    by_atom = model.encode(rows).tocsc()
    usage = np.diff(by_atom.indptr)
    atoms = options.atoms
    if atoms is None:
        # Atoms that nearly every row uses, or none, say little.
        order = np.argsort(-usage, kind="stable")
        atoms = order[(usage[order] > 0) & (usage[order] < rows.shape[0] / 10)][:12]
    for atom in atoms:
        if not 0 <= atom < model.shape[0]:
            raise ValueError(f"--atoms has {atom}, expected 0 to {model.shape[0] - 1}")
        place = slice(by_atom.indptr[atom], by_atom.indptr[atom + 1])
        best = np.argsort(-np.abs(by_atom.data[place]), kind="stable")[: options.top]
        found = by_atom.indices[place][best]
        names = [repr(texts[row]) if texts else f"row {row}" for row in found]
        share = usage[atom] / rows.shape[0]
        print(f"atom {atom} ({share:.2%} of rows): {', '.join(names)}")


def _info(options: argparse.Namespace) -> None:
    for file in options.files:
        try:
            print(f"{file}: {dbksvd.Model.load(file)}")
            continue
        except FileNotFoundError:
            if not any(letter in file for letter in "*?["):
                raise
        except (OSError, ValueError):
            pass
        rows = open_files(file, tensor=options.tensor)
        print(f"{file}: {rows.shape[0]} rows of {rows.shape[1]} features in {rows.element_type}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line, and returns its exit status: 0, 1 for an error, 130 for Ctrl-C."""
    options = _parser().parse_args(arguments)
    commands = {"learn": _learn, "encode": _encode, "features": _features, "info": _info}
    try:
        commands[options.command](options)
    except KeyboardInterrupt:
        print("dbksvd: interrupted", file=sys.stderr)
        return 130
    except (OSError, ValueError, TypeError, MemoryError) as error:
        print(f"dbksvd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
