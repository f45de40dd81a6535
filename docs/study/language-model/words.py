"""First-letter words for the absorption test, after SAEBench: single-token alphabetic words in a
prompt of ten spelled examples, read at the word. The prompt's start is the same for all words (in
SAEBench examples are drawn anew for each word), so its keys and values are computed once.

ACTS/words.npy (W, 576) f16, ACTS/words.json: {"words": [...], "letter": [...], "train": [bool]}.
"""
import json, random
import numpy as np
import torch
import torch.nn.functional as F
from lm import Llama, tokenizer
from settings import ACTS as OUT, LAYER

MOST = 9000


@torch.no_grad()
def last_position(m, prefix, words, layer):
    """The residual stream at one more token after `prefix`, for each of `words`."""
    n = len(prefix)
    cos, sin = m._rope(n + 1)
    x = m.w["token_embd.weight"][torch.tensor([prefix])]
    y = m.w["token_embd.weight"][torch.tensor(words)][:, None]
    B = len(words)
    for i in range(layer + 1):
        p = f"blk.{i}."
        h = m._norm(x, p + "attn_norm.weight")
        k = m._rotate(m._mm(h, p + "attn_k.weight").view(1, n, m.kv_heads, m.head).transpose(1, 2), cos[:n], sin[:n])
        v = m._mm(h, p + "attn_v.weight").view(1, n, m.kv_heads, m.head).transpose(1, 2)
        x = m.block(x, i, cos[:n], sin[:n])
        h = m._norm(y, p + "attn_norm.weight")
        q = m._rotate(m._mm(h, p + "attn_q.weight").view(B, 1, m.heads, m.head).transpose(1, 2), cos[n:], sin[n:])
        k1 = m._rotate(m._mm(h, p + "attn_k.weight").view(B, 1, m.kv_heads, m.head).transpose(1, 2), cos[n:], sin[n:])
        v1 = m._mm(h, p + "attn_v.weight").view(B, 1, m.kv_heads, m.head).transpose(1, 2)
        o = F.scaled_dot_product_attention(q, torch.cat((k.expand(B, -1, -1, -1), k1), 2),
                                           torch.cat((v.expand(B, -1, -1, -1), v1), 2), enable_gqa=True)
        y = y + m._mm(o.transpose(1, 2).reshape(B, 1, m.width), p + "attn_output.weight")
        h = m._norm(y, p + "ffn_norm.weight")
        h = F.silu(m._mm(h, p + "ffn_gate.weight")) * m._mm(h, p + "ffn_up.weight")
        y = y + m._mm(h, p + "ffn_down.weight")
    return y[:, 0]


if __name__ == "__main__":
    torch.set_num_threads(1)
    rng, tok, m = random.Random(3), tokenizer(), Llama()
    vocab = tok.get_vocab()
    words = [(w[1:], i) for w, i in vocab.items() if w[0] == "Ġ" and len(w) > 2 and w[1:].isascii() and w[1:].isalpha()]
    words.sort()
    rng.shuffle(words)
    examples, words = words[:10], words[10:10 + MOST]
    prompt = "\n" + "".join(f" {w} has the first letter: {w[0].upper()}\n" for w, _ in examples)
    prefix = [0] + tok.encode(prompt).ids
    # one check against the plain pass, the word in place
    x = m.lower(torch.tensor([prefix + [words[0][1]]]), LAYER)[0, -1]
    y = last_position(m, prefix, [words[0][1]], LAYER)[0]
    print("prefix", len(prefix), "tokens; relative difference to the plain pass", ((x - y).norm() / x.norm()).item())
    logits = m.upper(m.lower(torch.tensor([prefix + [words[0][1]] + tok.encode(" has the first letter:").ids]), LAYER), LAYER)
    print(words[0][0], "->", [tok.decode([i]) for i in logits[0, -1].topk(3).indices.tolist()])
    acts = torch.cat([last_position(m, prefix, [i for _, i in words[a:a + 256]], LAYER) for a in range(0, len(words), 256)])
    np.save(f"{OUT}/words.npy", acts.numpy().astype(np.float16))
    train = [rng.random() < 0.8 for _ in words]
    json.dump({"words": [w for w, _ in words], "letter": [ord(w[0].lower()) - 97 for w, _ in words], "train": train,
               "prompt": prompt}, open(f"{OUT}/words.json", "w"))
    print(acts.shape, "norm", acts.norm(dim=1).median().item())
