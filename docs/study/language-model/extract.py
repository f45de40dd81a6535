"""Tokenises the corpus, splits it by document, and writes the residual stream after one block.

A sequence is <|endoftext|> and 127 tokens of one document. Position 0, whose activation is an
attention sink two orders of magnitude longer than the others, is not written (it is the same vector
in every sequence, and kept in meta.json's sink.npy). Every source has the same number of sequences
in each part; parts share no document.

ACTS/vocabulary.json, PART_tokens.npy (S, 128) i32, PART_labels.npy (S,) u8, PART_docs.npy (S,) i32,
PART.npy (S * 127, 576) f16, in the order of the tokens. Stops and resumes in blocks.
"""
import json, os, random, sys, time
import numpy as np
import torch
from lm import Llama, tokenizer
from settings import ACTS as OUT, LAYER

LENGTH, PER_DOC = 128, 24
PARTS = {"heldout": 26, "probe_train": 36, "probe_test": 18, "train": 350}  # sequences of a source


def sequences():
    rng = random.Random(7)
    tok, by = tokenizer(), {}
    for line in open("./corpus/documents.jsonl"):
        d = json.loads(line)
        by.setdefault(d["source"], []).append(d)
    labels, names, out = list(by), [], {p: [] for p in PARTS}
    for l, label in enumerate(labels):
        docs = by[label]
        rng.shuffle(docs)
        docs = iter(docs)
        for part, want in PARTS.items():
            got = 0
            # few pieces of a document where there are many documents, more where there are few
            cap = 4 if part != "train" else PER_DOC
            while got < want:
                d = next(docs, None)
                if d is None:
                    print("short of documents:", label, part, got)
                    break
                ids = tok.encode(d["text"]).ids
                pieces = [ids[i:i + LENGTH - 1] for i in range(0, len(ids) - LENGTH + 2, LENGTH - 1)]
                if len(pieces) > cap:
                    start = rng.randrange(len(pieces) - cap + 1)
                    pieces = pieces[start:start + cap]
                pieces = pieces[:want - got]
                if pieces:
                    names.append(f"{label}/{d['name']}")
                    out[part] += [([0] + p, l, len(names) - 1) for p in pieces]
                    got += len(pieces)
    for part in out:
        rng.shuffle(out[part])
    return labels, names, out


def strings(tokenizer):
    """The text of every token, by its number."""
    vocab = tokenizer.get_vocab()
    out = [""] * (max(vocab.values()) + 1)
    for text, token in vocab.items():
        out[token] = text
    return out


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ.get("THREADS", "1")))
    os.makedirs(OUT, exist_ok=True)
    if not os.path.exists(f"{OUT}/meta.json"):
        labels, names, parts = sequences()
        for part, seqs in parts.items():
            np.save(f"{OUT}/{part}_tokens.npy", np.array([s[0] for s in seqs], np.int32))
            np.save(f"{OUT}/{part}_labels.npy", np.array([s[1] for s in seqs], np.uint8))
            np.save(f"{OUT}/{part}_docs.npy", np.array([s[2] for s in seqs], np.int32))
        json.dump({"labels": labels, "documents": names, "layer": LAYER}, open(f"{OUT}/meta.json", "w"), indent=0)
        json.dump(strings(tokenizer()), open(f"{OUT}/vocabulary.json", "w"))
    m = Llama()
    for part in PARTS:
        tokens = np.load(f"{OUT}/{part}_tokens.npy")
        path, n = f"{OUT}/{part}.npy", len(tokens) * (LENGTH - 1)
        if os.path.exists(path + ".done"):
            continue
        progress = path + ".at"
        start = int(open(progress).read()) if os.path.exists(progress) else 0
        acts = np.lib.format.open_memmap(path, "r+" if start else "w+", np.float16, (n, m.width))
        t = time.time()
        for i in range(start, len(tokens), 16):
            x = m.lower(torch.from_numpy(tokens[i:i + 16]).long(), LAYER)
            if part == "heldout" and i == 0:
                np.save(f"{OUT}/sink.npy", x[0, 0].numpy())
            rows = x[:, 1:].reshape(-1, m.width).numpy()
            acts[i * (LENGTH - 1):i * (LENGTH - 1) + len(rows)] = rows
            open(progress, "w").write(str(i + 16))
            if i // 16 % 8 == 0:
                acts.flush()
                print(part, i, len(tokens), f"{time.time() - t:.0f} s", flush=True)
        acts.flush()
        open(path + ".done", "w").write("")
