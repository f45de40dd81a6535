"""Dictionary learning that scales: samples X (n, d) as sparse codes of learned atoms.

>>> import numpy as np, dbksvd
>>> X = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)
>>> learner = dbksvd.DictionaryLearner(n_components=32, n_nonzero_coefs=4, random_state=0).fit(X)
>>> learner.transform(X).shape
(300, 32)

| name | what it is |
|---|---|
| :class:`DictionaryLearner` | the estimator, by scikit-learn's conventions |
| :class:`Model`, :class:`Encoder` | a dictionary that codes and decodes; loaded, saved, exported |
| :func:`omp`, :func:`omp_path`, :func:`omp_gram` | orthogonal matching pursuit with any matrix |
| :func:`learn_masked` | a dictionary from samples with missing entries |
| :mod:`coders`, :mod:`updaters` | how samples are coded, how a dictionary learns |
| :func:`open_files` | samples in files, larger than memory |
| :func:`load_saelens`, :func:`load_sparsify` | sparse autoencoders of other tools |
| :func:`devices` | graphics devices, for ``DictionaryLearner(device=...)`` |
| :func:`coherence`, :func:`recovery` | measures of dictionaries |
"""

from . import coders, updaters
from ._core import VERSION as __version__
from ._core import Files, devices, get_num_threads, set_num_threads
from ._estimator import DictionaryLearner
from ._masked import MaskedFit, learn_masked
from ._measures import Coherence, Measures, Recovery, coherence, recovery
from ._model import Encoder, Model
from ._progress import Progress, Report
from ._pursuit import OmpPath, omp, omp_gram, omp_path
from ._rows import open_files
from ._sae import SAE, load_saelens, load_sparsify

__all__ = [
    "SAE",
    "Coherence",
    "DictionaryLearner",
    "Encoder",
    "Files",
    "MaskedFit",
    "Measures",
    "Model",
    "OmpPath",
    "Progress",
    "Recovery",
    "Report",
    "__version__",
    "coders",
    "coherence",
    "devices",
    "get_num_threads",
    "learn_masked",
    "load_saelens",
    "load_sparsify",
    "omp",
    "omp_gram",
    "omp_path",
    "open_files",
    "recovery",
    "set_num_threads",
    "updaters",
]
