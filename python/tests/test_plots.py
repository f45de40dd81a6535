"""Pictures: what is drawn, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import planted

from dbksvd import DictionaryLearner, plots

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")


@pytest.fixture(scope="module")
def learner():
    return DictionaryLearner(24, 3, max_iter=3, held_out=0.2, random_state=0).fit(planted(600))


def test_atoms_are_pictures_side_by_side(learner):
    (image,) = plots.plot_atoms(learner).axes[0].images
    page = np.asarray(image.get_array().filled(np.nan))
    # 24 atoms of 4 × 4 with lines between them: 5 rows of 5.
    assert page.shape == (24, 24)
    first = learner.components_[0].reshape(4, 4)
    np.testing.assert_allclose(page[:4, :4], first / np.abs(first).max(), rtol=1e-6)
    assert plots.plot_atoms(learner, image_shape=(2, 8), most=1).axes[0].images[
        0
    ].get_array().shape == (2, 8)
    with pytest.raises(ValueError, match=r"`image_shape` is \(3, 5\), expected .* product is 16"):
        plots.plot_atoms(learner, image_shape=(3, 5))


def test_usage_and_errors(learner):
    codes = learner.transform(planted(600))
    expected = np.sort(np.diff(codes.tocsc().indptr))[::-1] / 600
    for given in (codes, codes.toarray(), learner.model_.measure(planted(600))):
        (line,) = plots.plot_usage(given).axes[0].lines
        np.testing.assert_allclose(line.get_ydata(), expected)
    epochs, held_out = plots.plot_errors(learner).axes[0].lines
    assert list(epochs.get_ydata()) == [e["fvu_within"] for e in learner.report_.epochs]
    assert list(held_out.get_ydata()) == [e["fvu_within"] for e in learner.report_.evaluations]
