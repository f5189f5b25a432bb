"""Runs docs/example.ipynb anew and keeps what it shows: `python docs/execute_example.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).with_name("example.ipynb")


def executed(notebook: Any) -> Any:
    """The notebook with the outputs of a fresh kernel, without the times at which it ran."""
    from nbclient import NotebookClient

    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()
    for cell in notebook.cells:
        cell.metadata = {}
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


if __name__ == "__main__":
    import nbformat

    nbformat.write(executed(nbformat.read(NOTEBOOK, as_version=4)), NOTEBOOK)
