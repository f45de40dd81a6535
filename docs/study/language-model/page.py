"""A page that shows what atoms stand for: those of some runs, drawn by chance, with the held-out tokens
on which they are largest. Massive rows are left out.

    python page.py RUN... [--atoms 24] [--seed 0] > page.md

Atoms are drawn among those that fire on at least 20 held-out tokens. The five contexts of an atom are of
five different documents where there are as many.
"""
import argparse, json, os
import numpy as np
import scipy.sparse as sp
from settings import ACTS

LEAST, CONTEXTS = 20, 5


# GPT-2's letters for bytes: those that can be printed stand for themselves.
PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]
OTHERS = [byte for byte in range(256) if byte not in PRINTED]
BYTE_OF = {chr(byte): byte for byte in PRINTED} | {chr(256 + i): byte for i, byte in enumerate(OTHERS)}


def readable(tokens):
    """Tokens of the byte-level vocabulary as they read in a table of Markdown."""
    text = bytes(BYTE_OF.get(letter, 63) for letter in "".join(tokens)).decode(errors="replace")
    text = text.replace("\n", "⏎").replace("\t", "⇥")
    for mark in "\\`*_|<>[]#~":
        text = text.replace(mark, "\\" + mark)
    return text


def context(row, tokens, vocabulary):
    sequence, at = divmod(row, tokens.shape[1] - 1)
    at += 1  # the first token has no row
    text = lambda a, b: readable(vocabulary[t] for t in tokens[sequence, max(a, 1):b])
    return f"{text(at - 7, at)}**[{text(at, at + 1).strip() or '␣'}]**{text(at + 1, at + 4)}".strip()


def describe(column, tokens, documents, vocabulary):
    """Contexts of the largest codes, and the commonest token with its share of the uses."""
    rows, values = column.indices, column.data
    found, seen = [], set()
    for row in rows[np.argsort(-values, kind="stable")]:
        document = documents[row // (tokens.shape[1] - 1)]
        if document not in seen:
            seen.add(document)
            found.append(context(row, tokens, vocabulary))
        if len(found) == CONTEXTS:
            break
    kinds, counts = np.unique(tokens[:, 1:].ravel()[rows], return_counts=True)
    return found, vocabulary[kinds[counts.argmax()]], counts.max() / counts.sum()


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("runs", nargs="+")
    p.add_argument("--atoms", type=int, default=24)
    p.add_argument("--seed", type=int, default=0)
    a = p.parse_args()
    tokens, documents = np.load(f"{ACTS}/heldout_tokens.npy"), np.load(f"{ACTS}/heldout_docs.npy")
    vocabulary = json.load(open(f"{ACTS}/vocabulary.json"))
    norms = np.linalg.norm(np.load(f"{ACTS}/heldout.npy").astype(np.float32), axis=1)
    usual = (norms < np.load(f"{ACTS}/limit.npy")).astype(np.float32)[:, None]
    for run in a.runs:
        codes = sp.load_npz(f"{run}/codes.npz").tocsr()[:len(usual)]
        codes = codes.multiply(usual).tocsc()
        codes.eliminate_zeros()
        fires = np.diff(codes.indptr)
        drawn = np.sort(np.random.default_rng(a.seed).permutation(np.flatnonzero(fires >= LEAST))[:a.atoms])
        print(f"## {os.path.basename(run.rstrip('/'))}\n\n| atom | fires on | commonest token | where it is largest |\n|---|---|---|---|")
        for atom in drawn:
            found, token, share = describe(codes[:, atom], tokens, documents, vocabulary)
            shown = readable([token]).strip() or "␣"
            print(f"| {atom} | {fires[atom] / codes.shape[0]:.2%} | {shown} ({share:.0%}) | {'<br>'.join(found)} |")
        print()
