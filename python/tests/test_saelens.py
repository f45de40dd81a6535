"""SAELens' own loader reads what is saved here. It needs `pip install sae-lens` (with PyTorch)."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import planted

import dbksvd

sae_lens = pytest.importorskip("sae_lens")
torch = pytest.importorskip("torch")


def read_by_saelens(folder, X):
    """Latents, their reconstruction, and the atoms, as SAELens has them."""
    sae = sae_lens.SAE.load_from_disk(folder)
    with torch.no_grad():
        latents = sae.encode(torch.from_numpy(X))
        return sae, latents.numpy(), sae.decode(latents).numpy()


def agrees(folder, X):
    """SAELens' latents and reconstructions of samples are those of our own reader."""
    sae, latents, reconstruction = read_by_saelens(folder, X)
    own = dbksvd.load_saelens(folder)
    assert sae.cfg.architecture() == own.architecture
    expected = own.encode(X, latents=True).toarray()
    largest = np.abs(expected).max()
    assert largest > 0.5
    np.testing.assert_allclose(latents, expected, atol=1e-5 * largest)
    decoded = expected @ own.decoder + sae.b_dec.detach().numpy()
    np.testing.assert_allclose(reconstruction, decoded, atol=1e-5 * np.abs(decoded).max())
    return latents, reconstruction


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("encoder", ["matching_pursuit", "top_k"])
def test_dictionaries(tmp_path, encoder, positive):
    X = planted(600) + np.float32(0.3)
    learner = dbksvd.DictionaryLearner(
        24, 3, center=True, positive=positive, max_iter=4, random_state=0
    )
    learner.fit(X).model_.save_saelens(tmp_path, encoder=encoder)
    latents, _ = agrees(tmp_path, X)
    assert (np.count_nonzero(latents, axis=1) <= 3).all()


def test_features(tmp_path):
    X = planted(600)
    learner = dbksvd.DictionaryLearner(24, 3, goal="features", max_iter=4, random_state=0).fit(X)
    learner.model_.save_saelens(tmp_path)
    _, reconstruction = agrees(tmp_path, X)
    # The autoencoder has no limit for the nonzeros of a sample; elsewhere it is the model.
    codes = learner.transform(X)
    below = np.diff(codes.indptr) < learner.model_.n_nonzero_coefs
    assert below.sum() > 300
    decoded = learner.inverse_transform(codes)
    np.testing.assert_allclose(reconstruction[below], decoded[below], atol=1e-4)


def test_an_autoencoder_that_was_read_is_written_again(tmp_path):
    X = planted(200)
    learner = dbksvd.DictionaryLearner(24, 3, max_iter=2, random_state=0).fit(X)
    learner.model_.save_saelens(tmp_path / "first")
    dbksvd.load_saelens(tmp_path / "first").save_saelens(tmp_path / "second")
    first, second = (read_by_saelens(tmp_path / name, X) for name in ("first", "second"))
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(first[2], second[2])
