"""What files mean is remembered from process to process, and never told wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = """
import sys
from pathlib import Path
from engine.strategies.source import code_hashes
print(sorted(code_hashes([Path(sys.argv[1])]).items()))
"""


def hashes(file: Path, cache: Path) -> str:
    environment = {**os.environ, "OPTIM_CACHE_DIR": str(cache), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(file)], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "helper.py").write_text("SCALE = 2\n")
    file = tmp_path / "mine.py"
    file.write_text(
        "from helper import SCALE\nfrom engine import sma\n\n\ndef f(bars, p):\n    return bars.close * SCALE\n"
    )
    return file


def test_what_is_remembered_is_what_would_be_read(mine: Path, tmp_path: Path) -> None:
    fresh = hashes(mine, tmp_path / "cache")
    (kept,) = (tmp_path / "cache").glob("meanings-*.json")
    assert hashes(mine, tmp_path / "cache") == fresh
    mine.write_text("# a comment\n" + mine.read_text())
    assert hashes(mine, tmp_path / "cache") == fresh
    mine.write_text(mine.read_text().replace("* SCALE", "/ SCALE"))
    changed = hashes(mine, tmp_path / "cache")
    assert changed != fresh
    table = json.loads(kept.read_text())
    for spoiled in (
        "",
        "[]",
        "{}",
        '{"a": 1}',
        kept.read_text()[:-20],
        json.dumps({key: ["x", [[1]]] for key in table}),
    ):
        kept.write_text(spoiled)
        assert hashes(mine, tmp_path / "cache") == changed


def test_a_folder_that_cannot_be_written_is_none(mine: Path, tmp_path: Path) -> None:
    fresh = hashes(mine, tmp_path / "cache")
    (tmp_path / "file").write_text("no folder")
    assert hashes(mine, tmp_path / "file" / "cache") == fresh
