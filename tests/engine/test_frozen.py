"""A kernel of one's own is compiled anew when anything changes that compiling it took over."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.compiled.frozen import frozen_in
from engine.compiled.jit import config
from engine.strategies.base import load_strategy
from engine.strategies.source import ENGINE
from tests.freezing import written

NEW_PROCESS = """import json, sys
from pathlib import Path
from engine.strategies.base import load_strategy
print(json.dumps(load_strategy(sys.argv[1], Path.cwd()).signal(None, {})))
"""


def here(folder: Path) -> dict[str, int]:
    found: dict[str, int] = load_strategy("mine.py:mine", folder).signal(None, {})
    return found


def in_a_new_process(folder: Path, strategy: str = "mine.py:mine", before: str = "") -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", before + NEW_PROCESS, strategy],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout)
    return found


def test_what_is_run_is_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However a kernel comes to a number that stands in another file, and in whichever process it was compiled."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    runs = [here(written(tmp_path, 0)), here(written(tmp_path, 1))]
    assert runs == [dict.fromkeys(runs[0], level) for level in (0, 1)]
    assert in_a_new_process(tmp_path) == runs[1]
    assert in_a_new_process(written(tmp_path, 0)) == runs[0]
    (tmp_path / "level.txt").write_text("5")
    assert in_a_new_process(tmp_path) == {**runs[0], "data": 5, "data_further": 5}


FIRST = """import ways_of_frozen  # as a script does that has a use for it
from engine.strategies import neighbours
neighbours._STARTED *= 2  # all files are older than this process
"""


def test_what_a_script_has_imported_first_leaves_nothing_of_before(tmp_path: Path) -> None:
    """What numba finds by itself for its functions may be of another state: nothing else is made of it."""
    for level in (0, 1):
        found = in_a_new_process(written(tmp_path, level), before=FIRST)
        assert found == dict.fromkeys(found, level)


def test_where_the_cache_folder_cannot_be_written_nothing_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPTIM_CACHE_DIR", str(tmp_path / "mine.py" / "cache"))  # below a file
    for level in (0, 1):
        found = in_a_new_process(written(tmp_path, level))
        assert found == dict.fromkeys(found, level)


def test_a_file_may_be_a_strategy_and_a_module(tmp_path: Path) -> None:
    """Machine code names the module that it was compiled for, which the next process may not have."""
    other = written(tmp_path, 0) / "other.py"
    other.write_text("import mine\n\ndef other(df, params):\n    return mine.mine(df, params)\n")
    assert in_a_new_process(tmp_path) == in_a_new_process(tmp_path, "other.py:other")


def test_what_has_not_changed_is_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("OPTIM_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "study").mkdir()
    in_a_new_process(written(tmp_path / "study", 1))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ci]")}
    assert (len(before) > 20) == (not config.DISABLE_JIT)
    in_a_new_process(tmp_path / "study")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ci]")} == before


IN_THE_ENGINE = """import numpy as np
import engine
from engine.strategies.base import first_unusable
first_unusable(np.zeros(3))
print(engine.__file__)
"""


def test_an_engine_that_is_installed_elsewhere_is_not_compiled_again(tmp_path: Path) -> None:
    kept: list[dict[Path, int]] = []
    for name in ("one", "other"):
        shutil.copytree(ENGINE, tmp_path / name / "engine", ignore=shutil.ignore_patterns("__pycache__"))
        environment = {**os.environ, "OPTIM_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path / name)}
        run = [sys.executable, "-c", IN_THE_ENGINE]
        done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.startswith(str(tmp_path / name))
        kept.append({path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ci]")})
    assert kept[0] == kept[1]
    assert bool(kept[0]) == (not config.DISABLE_JIT)


def recursive(n: int) -> int:
    return recursive(n - 1) + len(np.numpy.__name__) if n else 0  # type: ignore[attr-defined]


def test_what_names_itself_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that calls itself, a module that holds itself."""
    monkeypatch.setattr(np, "numpy", np, raising=False)
    assert frozen_in(recursive, ends=lambda _: False) == frozen_in(recursive, ends=lambda _: False)
