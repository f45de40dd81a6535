"""The tutorial runs from top to bottom."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"


@pytest.mark.filterwarnings("ignore")
def test_the_tutorial_runs_from_top_to_bottom():
    notebook = nbformat.read(TUTORIAL, as_version=4)
    folder = {"metadata": {"path": str(TUTORIAL.parent)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=folder).execute()
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 4
