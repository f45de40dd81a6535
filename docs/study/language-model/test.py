"""Tests the study's scripts where the truth is known, without the language model.

    python test.py [LEARN]

A folder like one of activations is made of planted atoms: one for each source, each token and each
first letter, and for some words an atom of their own, half of which is their letter's. By the true dictionary every measure has a known value, and by spoilt ones a known
loss. LEARN is the `learn` program: what it learns there is coded and judged by the same scripts as
in `run.sh`, and so is an autoencoder where PyTorch is installed. Takes half a minute.
"""
import importlib.util, json, os, subprocess, sys, tempfile
import numpy as np
import scipy.sparse as sp

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES, LETTERS, DIM = 4, 26, 96
WORDS = 90 * LETTERS
VOCABULARY = ["<end>", "Ġ1", "Ġ2", ",", ".", "Ġthe", "Ġhe", "Ġof", "Ġwas", "Ġwalking", "Ġjumped", "Ġtables", "Ġ("] + [f"Ġx{i}q" for i in range(7)]
FIRST = SOURCES + len(VOCABULARY)  # the atom of the first letter
ABSORBED = 0.3  # the share of words that have an atom of their own
OWN = round(ABSORBED * WORDS)
ATOMS = FIRST + LETTERS + OWN


def atoms(rng, own_letters):
    """(m, d): sources, tokens and letters are orthogonal; the words' own atoms are half their letter's."""
    base = np.linalg.qr(rng.standard_normal((DIM, DIM)))[0].T
    rest = rng.standard_normal((OWN, DIM - FIRST - LETTERS)) @ base[FIRST + LETTERS:]
    rest /= np.linalg.norm(rest, axis=1, keepdims=True)
    return np.vstack((base[:FIRST + LETTERS], (base[FIRST + own_letters] + rest) / np.sqrt(2)))


def tokens_of(rng, sequences):
    """Codes of sequences of 127 tokens, with their tokens and sources."""
    labels = rng.integers(0, SOURCES, sequences).astype(np.uint8)
    tokens = rng.integers(1, len(VOCABULARY), (sequences, 128)).astype(np.int32)
    tokens[:, 0] = 0
    rows = sequences * 127
    codes = np.zeros((rows, ATOMS))
    source = np.repeat(labels, 127)
    speaks = rng.random(rows) < 0.5
    codes[np.flatnonzero(speaks), source[speaks]] = rng.uniform(1, 2, speaks.sum())
    codes[np.arange(rows), SOURCES + tokens[:, 1:].ravel()] = rng.uniform(1, 2, rows)
    return codes, tokens, labels


def words_of(rng, letters, own):
    """Codes of words: of the letter, or of the word's own atom."""
    codes = np.zeros((WORDS, ATOMS))
    atom = FIRST + letters
    atom[own] = FIRST + LETTERS + np.arange(OWN)
    codes[np.arange(WORDS), atom] = rng.uniform(1, 2, WORDS)
    return codes


def make(acts):
    """The folder of activations; gives the dictionary and the codes of eval.npy."""
    rng = np.random.default_rng(0)
    letters, own = np.arange(WORDS) % LETTERS, np.sort(rng.permutation(WORDS)[:OWN])
    dictionary, mean = atoms(rng, letters[own]), rng.standard_normal(DIM)
    noisy = lambda codes: (codes @ dictionary + mean + 0.02 * rng.standard_normal((len(codes), DIM))).astype(np.float16)
    os.makedirs(acts)
    codes = []
    for part, sequences in (("train", 160), ("heldout", 20), ("probe_train", 60), ("probe_test", 40)):
        part_codes, tokens, labels = tokens_of(rng, sequences)
        np.save(f"{acts}/{part}.npy", noisy(part_codes))
        np.save(f"{acts}/{part}_tokens.npy", tokens)
        np.save(f"{acts}/{part}_labels.npy", labels)
        codes += [part_codes] if part != "train" else []
    word_codes = words_of(rng, letters, own)
    np.save(f"{acts}/words.npy", noisy(word_codes))
    train = (np.arange(WORDS) // LETTERS % 3 > 0).tolist()
    json.dump({"letter": letters.tolist(), "train": train}, open(f"{acts}/words.json", "w"))
    json.dump({"labels": [f"source {i}" for i in range(SOURCES)]}, open(f"{acts}/meta.json", "w"))
    json.dump(VOCABULARY, open(f"{acts}/vocabulary.json", "w"))
    return dictionary, mean, np.concatenate(codes + [word_codes]), letters[own]


def python(script, *arguments):
    run = subprocess.run([sys.executable, f"{HERE}/{script}", *arguments], capture_output=True, text=True)
    assert run.returncode == 0, f"{script}: {run.stdout}{run.stderr}"
    return run.stdout


def save(folder, dictionary, mean, codes):
    os.makedirs(folder)
    np.save(f"{folder}/dictionary.npy", dictionary.astype(np.float32))
    np.save(f"{folder}/mean.npy", mean.astype(np.float32))
    sp.save_npz(f"{folder}/codes.npz", sp.csr_matrix(codes.astype(np.float32)))


def scores(folder):
    python("evaluate.py", folder, "--no-ce")
    return json.load(open(f"{folder}/scores.json"))


def near(found, expected, by, what):
    assert abs(found - expected) <= by, f"{what}: {found}, expected {expected} to {by}"


def main():
    learn = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else None
    os.environ.update(LAYER="0", PYTHONPATH=HERE, PYTHONDONTWRITEBYTECODE="1")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        dictionary, mean, codes, own_letters = make("acts0")
        python("sets.py")
        acts = np.load("acts0/eval.npy")
        assert acts.shape == (len(codes), DIM)

        # The truth.
        save("runs/true-0", dictionary, mean, codes)
        true = scores("runs/true-0")
        near(true["l0"], (codes[:20 * 127] > 0).sum(1).mean(), 1e-6, "L0")
        assert true["fvu"] < 0.02 and true["cosine"] > 0.999, true
        for k in "125":
            assert true["source_w16"][k] > 0.99, true["source_w16"]
        each = true["token_each"]
        assert each["comma"]["1"] == 1 and each["full stop"]["1"] == 1, each
        # Of two digits, one atom stands for one: half of the positives are missed, a quarter of all.
        near(each["digit"]["1"], 0.75, 0.04, "one atom of two digits")
        assert each["digit"]["2"] > 0.99, each["digit"]
        # The probe of a source has lost its atom; the others have not.
        assert true["tpp_clean"] > 0.98 and true["tpp"]["2"] > 0.35, true
        # The words whose own atom fires in place of the letter's.
        assert true["absorption"]["letters"] == LETTERS, true["absorption"]
        near(true["absorption"]["full"], ABSORBED, 0.06, "full absorption")

        # Letters that fire beside the words' own atoms are not absorbed.
        beside, own = codes.copy(), dictionary.copy()
        halves = beside[:, FIRST + LETTERS:] / np.sqrt(2)
        np.add.at(beside.T, FIRST + own_letters, halves.T)
        beside[:, FIRST + LETTERS:] = halves
        own[FIRST + LETTERS:] = dictionary[FIRST + LETTERS:] * np.sqrt(2) - dictionary[FIRST + own_letters]
        save("runs/beside-0", own, mean, beside)
        found = scores("runs/beside-0")
        near(found["fvu"], true["fvu"], 1e-3, "the same reconstruction")
        assert found["absorption"]["full"] == 0 and found["absorption"]["fraction"] < 0.02, found["absorption"]

        # Where all four sources share four atoms, in different signs, two atoms tell one source from
        # the others; one atom does not tell it from a third of them.
        turn = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
        mixed, rotated = dictionary.copy(), codes.copy()
        mixed[:SOURCES], rotated[:, :SOURCES] = turn @ dictionary[:SOURCES], codes[:, :SOURCES] @ turn
        save("runs/mixed-0", mixed, mean, rotated)
        found = scores("runs/mixed-0")
        near(found["fvu"], true["fvu"], 1e-3, "the same reconstruction")
        near(found["source_w16"]["1"], 5 / 6, 0.05, "one of four atoms")
        assert found["source_w16"]["2"] > 0.95, found["source_w16"]

        if learn:
            common = ["--epochs", "0", "--quiet"]
            subprocess.run([learn, "--data", "acts0/train.npy", "--goal", "features", "--atoms", "96", "--sparsity", "3",
                            "--out", "learned", "--no-codes", "--quiet"], check=True, stdout=subprocess.DEVNULL)
            subprocess.run([learn, "--data", "acts0/eval.npy", "--dictionary", "learned/dictionary.safetensors",
                            "--out", "runs/features-0", *common], check=True, stdout=subprocess.DEVNULL)
            found = scores("runs/features-0")
            print("learned:", {k: v for k, v in found.items() if not k.endswith("_each")})
            assert found["fvu"] < 0.1 and found["token_each"]["comma"]["1"] > 0.95, found
        if importlib.util.find_spec("torch"):
            python("train_sae.py", "batchtopk", "runs/sae-0", "--epochs", "8", "--atoms", "96", "--k", "3", "--batch", "256")
            found = scores("runs/sae-0")
            print("autoencoder:", {k: v for k, v in found.items() if not k.endswith("_each")})
            assert found["fvu"] < 0.6 and 1.5 < found["l0"] < 6, found
        table = python("table.py", "runs")
        assert "| true | 1 |" in table and "| mixed | 1 |" in table, table
        if importlib.util.find_spec("matplotlib"):
            for name in os.listdir("runs"):
                os.rename(f"runs/{name}", f"runs/{name.replace('-', f'-{ATOMS}-')}")
            python("pictures.py", "runs", "pictures")
            assert os.path.getsize("pictures/measures.png") > 10_000 and os.path.getsize("pictures/usage.png") > 10_000


if __name__ == "__main__":
    main()
    print("passed")
