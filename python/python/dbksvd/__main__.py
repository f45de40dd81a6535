"""The command line: ``python -m dbksvd learn | encode | features | info``."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any, Sequence

import numpy as np
import scipy.sparse as sp

import dbksvd

from ._progress import Teller
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
    held_out = learn.add_mutually_exclusive_group()
    held_out.add_argument(
        "--held-out", type=float, metavar="SHARE", help="measure on this share, learn from the rest"
    )
    held_out.add_argument("--eval", nargs="+", metavar="FILE", help="measure on these rows")
    learn.add_argument("--eval-mask", nargs="+", metavar="FILE", help=".npy, as --mask")
    learn.add_argument("--evaluate-every", type=int, metavar="N", help="steps [at end of epochs]")
    learn.add_argument("--dictionary", type=Path, metavar="FILE", help="a model to begin with")
    learn.add_argument(
        "--checkpoint-every", type=_often, metavar="N|Ns",
        help="save to DIR/checkpoints after so many steps, or seconds (30s)",
    )  # fmt: skip
    learn.add_argument(
        "--resume", action="store_true",
        help="go on from DIR/checkpoints; save there [every ten minutes]",
    )  # fmt: skip
    learn.add_argument("--seed", type=int, default=0, metavar="S", help="of all randomness [0]")
    learn.add_argument("--no-codes", action="store_true", help="write no codes.npz")
    learn.add_argument("--device", default="cpu", help="cpu, gpu, gpu:NAME or gpu:NUMBER [cpu]")
    learn.add_argument("--threads", type=int, metavar="T", help="[one for each processor]")
    shows = learn.add_mutually_exclusive_group()
    shows.add_argument("--quiet", action="store_true", help="no progress bar")
    shows.add_argument(
        "--json", action="store_true",
        help="print a JSON object a line: `epoch` and `evaluation` each, `result` at the end",
    )  # fmt: skip

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


def _often(given: str) -> tuple[str, float]:
    """Steps, or seconds with an s, as parameter and value."""
    try:
        if given.endswith("s"):
            return "checkpoint_seconds", float(given[:-1])
        return "checkpoint_steps", int(given)
    except ValueError:
        expected = "expected steps (500) or seconds (30s)"
        raise argparse.ArgumentTypeError(f"{given!r}: {expected}") from None


def _line(event: str, values: dict[str, Any]) -> None:
    """An object of ``--json``. Numbers that are not finite are null."""
    finite = {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
    print(json.dumps({"event": event, **finite}), flush=True)


class _JsonTeller(Teller):
    """Prints what a run tells as lines of JSON."""

    listens = True

    def __call__(self, kind: str, values: dict[str, Any]) -> bool:
        if kind in ("epoch", "evaluation"):
            _line(kind, values)
        return super().__call__(kind, values)


class _JsonLearner(dbksvd.DictionaryLearner):
    def _teller(self) -> Teller:
        return _JsonTeller(self.callback, self.epoch_callback, 0)


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
    if options.eval_mask is not None and options.eval is None:
        raise ValueError("--eval-mask is given, and --eval is not")
    rows = open_files(options.data, tensor=options.tensor, mask=options.mask)
    held_out = None
    if options.eval is not None:
        held_out = open_files(options.eval, tensor=options.tensor, mask=options.eval_mask)
    outliers = None
    if options.clip_norm is not None:
        outliers = ("clip", options.clip_norm)
    elif options.drop_norm is not None:
        outliers = ("drop", options.drop_norm)
    whole = options.goal != "features" and options.sparsity.is_integer()
    saves = options.resume or options.checkpoint_every is not None
    often = {} if options.checkpoint_every is None else dict([options.checkpoint_every])
    kind = _JsonLearner if options.json else dbksvd.DictionaryLearner
    learner = kind(
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
        evaluate_every=options.evaluate_every,
        dict_init=None if options.dictionary is None else dbksvd.Model.load(options.dictionary),
        checkpoint_dir=options.out / "checkpoints" if saves else None,
        resume=options.resume,
        device=options.device,
        n_jobs=options.threads,
        random_state=options.seed,
        verbose=0 if options.quiet else 1,
        **often,
    )
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        learner.fit(rows, X_val=held_out)
    except BaseException:
        # What was learned until then is worth keeping.
        if hasattr(learner, "model_"):
            _write_model(learner, options.out)
        raise
    _write_model(learner, options.out)
    if learner.best_model_ is not None:
        learner.best_model_.save(options.out / "best.safetensors")
    report = learner.report_
    if not options.json:
        print(learner.model_)
        print(report)
    if options.no_codes:
        rows = rows.read(0, min(rows.shape[0], _MEASURED))
        measures = learner.model_.encoder(learner.coder_).measure(rows)
    else:
        codes = learner.transform(rows)
        sp.save_npz(options.out / "codes.npz", codes, compressed=False)
        measures = learner.model_.measure(rows, codes)
    eval_fvu = _held_out_fvu(learner, held_out)
    if options.json:
        atoms, features = learner.model_.shape
        result = {
            "samples": rows.shape[0],
            "features": features,
            "atoms": atoms,
            "fvu": measures.fvu,
            "explained_variance": measures.explained_variance,
            "mean_nonzeros": measures.mean_nonzeros,
            "dead_atoms": len(measures.dead_atoms),
            "eval_fvu": eval_fvu,
            "seconds": report.seconds,
            "steps": report.steps,
            "resumed_from": report.resumed_from,
            "stop": report.stop,
        }
        _line("result", result)
        return
    print(
        f"explained variance {measures.explained_variance:.4f} of {rows.shape[0]} rows, "
        f"{measures.mean_nonzeros:.1f} nonzeros a row, {len(measures.dead_atoms)} atoms unused"
    )
    if eval_fvu is not None:
        print(f"explained variance {1 - eval_fvu:.4f} of the rows held out")


def _held_out_fvu(learner: Any, held_out: Any) -> float | None:
    """The error of the model at the end on rows held out, if there are any."""
    if held_out is not None:
        return learner.model_.encoder(learner.coder_).measure(held_out).fvu
    # Of the two stages to features, the second is not evaluated.
    evaluations = learner.report_.evaluations if learner.goal != "features" else []
    return evaluations[-1]["fvu"] if evaluations and evaluations[-1]["held_out"] else None


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
    if options.top < 1:
        raise ValueError(f"--top is {options.top}, expected at least 1")
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
    except (OSError, ValueError, TypeError, MemoryError, RuntimeError, OverflowError) as error:
        print(f"dbksvd: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
