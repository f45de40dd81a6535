"""Part B, learning: the error on held-out samples against the seconds of learning.

All dictionaries are measured by one coder, SPAMS' `omp` (orthogonal least squares), whatever they
were learned with; by this crate's OMP as well, which the results state beside it.
"""

import numpy as np

import coders
import crate
import learners
import problems


def run(folder, settings, report):
    results = []
    for lesson in [problems.patches(), problems.embeddings()]:
        start = lesson.start()
        curves = []
        for family, name, learn in learners.all_learners():
            report(f"learning {lesson.name}, {name}")
            points = [
                {"seconds": seconds} | errors(dictionary, lesson, folder)
                for seconds, dictionary in learn(lesson, start, settings.limit, folder)
            ]
            curves.append({"family": family, "name": name, "points": points})
        results.append(
            {
                "lesson": lesson.name,
                "about": lesson.about,
                "held_out": len(lesson.held_out),
                "start": errors(start, lesson, folder),
                "curves": curves,
            }
        )
    return results


def errors(dictionary, lesson, folder):
    """‖Y − DX‖² / ‖Y‖² of the held-out samples, with atoms scaled to norm 1."""
    norms = np.linalg.norm(dictionary, axis=1)
    # SPAMS sets atoms to zero that it does not use.
    dictionary = problems.unit(dictionary[norms > 1e-6]).astype(np.float32)
    samples = np.ascontiguousarray(lesson.held_out)
    codes = coders.Spams(dictionary, lesson.sparsity, folder)(samples)
    files = folder / "dictionary.npy", folder / "held-out.npy"
    np.save(files[0], dictionary)
    np.save(files[1], samples)
    threads = coders.THREADS
    told = crate.encode(*files, lesson.sparsity, selection="omp", threads=threads)
    return {
        "atoms": len(dictionary),
        "error": coders.relative_error(dictionary, samples, codes),
        "error_by_dbksvd_omp": told["relative_error"],
    }
