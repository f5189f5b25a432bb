"""A strategy with kernels that come to a number in another file, each in its own way."""

from __future__ import annotations

from pathlib import Path

INPUTS = """from enum import IntEnum
from typing import NamedTuple
import numba
import numba.extending
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
KIND = np.dtype([("value", "{kind}")])
NUMBER = numba.types.{number}
PART = slice(0, 1 + {level})

@kernel
def near():
    return {level}

@kernel
def alone():
    return {level}

@kernel
def over():
    return far()

@kernel
def preset(level={level}):
    return level

@numba.njit("{result}(f8)")
def rounded(x):
    return x

@numba.njit(error_model="{model}")
def divided(x):
    return 1 / x

@numba.vectorize
def each(x):
    return x + {level}

@numba.stencil
def around(x):
    return x[0] + {level}

def other():
    return {level}

@numba.extending.overload(other)
def _other():
    return lambda: {level}

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
import numpy as np
import inputs_of_frozen
from engine import kernel
from inputs_of_frozen import (
    KIND, LEVEL, NUMBER, PAIR, PART, TABLE, Kind, State, around, bound, divided, each, near, other, over, preset,
    rounded,
)

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

@kernel
def default():
    return preset()

@kernel
def signature():
    return rounded(.1) != .1

@kernel
def options():
    try:
        return 0 * int(divided(0.) > 0)
    except Exception:
        return 1

@kernel
def record():
    values = np.zeros(1, KIND)
    values[0]["value"] = .1
    return values[0]["value"] != .1

@kernel
def kind_of_number():
    return NUMBER(300) != 300

@kernel
def part():
    return np.arange(2)[PART].sum()

@kernel
def ufunc():
    return each(0)

@kernel
def stencil():
    return around(np.zeros(1, np.int64))[0]

@kernel
def overload():
    return other()

@kernel
def below():
    return lower()

@kernel
def lower():
    return LEVEL

@kernel
def data_further():
    return data()

@numba.njit(cache=True)
def njit():
    return near()

def ways(df, params):
    left_out = COMPILED if numba.config.DISABLE_JIT else ()
    return {name: int(one()) for name, one in WAYS.items() if name not in left_out}

COMPILED = ("signature", "options", "record", "kind_of_number", "stencil", "overload")  # these need a compiler

WAYS = {one.__name__: one for one in (
    constant, attribute, array, pair, kind, fields, kernels, attributes_kernel, further, closure, data, data_further,
    njit, default, signature, options, record, kind_of_number, part, ufunc, stencil, overload, below,
)}
"""
LATE = """import numba
from inputs_of_frozen import LEVEL

@numba.njit(cache=True)
def late():
    return LEVEL
"""
MINE = """import numba
from engine import kernel
from inputs_of_frozen import LEVEL
from ways_of_frozen import ways

def made():
    @numba.njit(cache=True)
    def inside():
        return LEVEL
    return inside

@kernel
def same(level):
    return level

def mine(df, params):
    from late_of_frozen import late
    return {name: same(level) for name, level in {**ways(df, params), "late": late(), "made": made()()}.items()}
"""


def written(folder: Path, level: int) -> Path:
    """The folder with `mine.py:mine`, which answers with a number for each way, and that number is `level`: 0 or 1."""
    fields = "level: int\n    other: int" if level == 0 else "other: int\n    level: int"
    kinds = (("f8", "i8", "f8", "numpy"), ("f4", "i1", "f4", "python"))[level]
    named = dict(zip(("kind", "number", "result", "model"), kinds, strict=True))
    (folder / "inputs_of_frozen.py").write_text(INPUTS.format(level=level, fields=fields, **named))
    (folder / "far_of_frozen.py").write_text(FAR.format(level=level))
    (folder / "level.txt").write_text(f"{level}")
    (folder / "ways_of_frozen.py").write_text(WAYS)
    (folder / "late_of_frozen.py").write_text(LATE)
    (folder / "mine.py").write_text(MINE)
    return folder
