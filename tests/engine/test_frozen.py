"""A kernel of one's own is compiled anew when anything changes that compiling it took over."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from engine.compiled.frozen import frozen_in
from engine.compiled.jit import config
from engine.strategies.base import load_strategy

INPUTS = """from enum import IntEnum
from typing import NamedTuple
import numpy as np
from engine import kernel
from far_of_frozen import far

LEVEL = ALONE = {level}
TABLE = np.array([0, {level}])
PAIR = (0, ({level}, 1))
class Kind(IntEnum):
    A = {level}
class State(NamedTuple):
    {fields}

@kernel
def near():
    return {level}

@kernel
def alone():
    return {level}

@kernel
def over():
    return far()

def made(level):
    @kernel
    def inside():
        return level
    return inside

bound = made({level})
"""
FAR = "from engine import kernel\n\n@kernel\ndef far():\n    return {level}\n"
WAYS = """from pathlib import Path
import numba
import inputs_of_frozen
from engine import kernel
from inputs_of_frozen import LEVEL, PAIR, TABLE, Kind, State, bound, near, over

READ = int(Path(__file__).with_name("level.txt").read_text())

@kernel
def constant():
    return LEVEL

@kernel
def attribute():
    return inputs_of_frozen.ALONE

@kernel
def array():
    return TABLE[1]

@kernel
def pair():
    return PAIR[1][0]

@kernel
def kind():
    return Kind.A + 0

@kernel
def fields():
    return State(0, 1).level

@kernel
def kernels():
    return near()

@kernel
def attributes_kernel():
    return inputs_of_frozen.alone()

@kernel
def further():
    return over()

@kernel
def closure():
    return bound()

@kernel
def data():
    return READ

@numba.njit(cache=True)
def njit():
    return near()

def ways(df, params):
    return {name: int(one()) for name, one in WAYS.items()}

WAYS = {one.__name__: one for one in (
    constant, attribute, array, pair, kind, fields, kernels, attributes_kernel, further, closure, data, njit
)}
"""
MINE = """from engine import kernel
from ways_of_frozen import ways

@kernel
def same(level):
    return level

def mine(df, params):
    return {name: same(level) for name, level in ways(df, params).items()}
"""
NEW_PROCESS = """import json
from pathlib import Path
from engine.strategies.base import load_strategy
print(json.dumps(load_strategy("mine.py:mine", Path.cwd()).signal(None, {})))
"""


def written(folder: Path, level: int) -> Path:
    fields = "level: int\n    other: int" if level == 0 else "other: int\n    level: int"
    (folder / "inputs_of_frozen.py").write_text(INPUTS.format(level=level, fields=fields))
    (folder / "far_of_frozen.py").write_text(FAR.format(level=level))
    (folder / "level.txt").write_text(f"{level}")
    (folder / "ways_of_frozen.py").write_text(WAYS)
    (folder / "mine.py").write_text(MINE)
    return folder


def here(folder: Path) -> dict[str, int]:
    found: dict[str, int] = load_strategy("mine.py:mine", folder).signal(None, {})
    return found


def in_a_new_process(folder: Path) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", NEW_PROCESS], cwd=folder, capture_output=True, text=True, timeout=120, check=False
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


def test_what_has_not_changed_is_not_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("OPTIM_CACHE_DIR", str(tmp_path / "cache"))
    (tmp_path / "study").mkdir()
    in_a_new_process(written(tmp_path / "study", 1))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ci]")}
    assert (len(before) > 20) == (not config.DISABLE_JIT)
    in_a_new_process(tmp_path / "study")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb[ci]")} == before


def recursive(n: int) -> int:
    return recursive(n - 1) + len(np.numpy.__name__) if n else 0  # type: ignore[attr-defined]


def test_what_names_itself_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that calls itself, a module that holds itself."""
    monkeypatch.setattr(np, "numpy", np, raising=False)
    assert frozen_in(recursive, ends=lambda _: False) == frozen_in(recursive, ends=lambda _: False)
