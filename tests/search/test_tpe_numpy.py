"""What the compiled TPE takes from numpy's loops and the C library is what numpy and Optuna get, to the last digit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers._tpe import _truncnorm

from engine.compiled.arrays import Array, Integers
from engine.compiled.jit import kernel
from optim.search.tpe import loops, normal


@kernel
def _by_numpys_loops(of: Integers, x: Array, y: Array, out: Array) -> None:
    for row, which in enumerate((loops.EXP, loops.LOG, loops.LOG1P, loops.EXPM1)):
        loops.apply(of, which, x, out[row])
    for k in range(len(x)):
        out[4, k] = x[k]
    loops.logaddexp(of, out[4], y)
    out[5, 0], out[5, 1] = 0.0, -np.inf
    loops.reduce(of, loops.ADD, x, out[5, :1])
    loops.reduce(of, loops.MAXIMUM, x, out[5, 1:2])


@settings(deadline=None, max_examples=150)
@given(
    size=st.one_of(st.integers(2, 300), st.sampled_from([8191, 8192, 8193, 20_001])),
    seed=st.integers(0, 2**20),
    odd=st.lists(st.sampled_from([0.0, -0.0, 5e-324, 709.0, -745.2, np.inf, -np.inf, np.nan, 1e308]), max_size=4),
)
def test_numpys_loops_called_from_kernels(size: int, seed: int, odd: list[float]) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, size)) * 10.0 ** rng.integers(-8, 3, size)
    x[: min(len(odd), size)] = odd[:size]
    out = np.empty((6, size))
    with np.errstate(all="ignore"):
        _by_numpys_loops(loops.loops(), x, y, out)
        expected = [np.exp(x), np.log(x), np.log1p(x), np.expm1(x), np.logaddexp(x, y)]
        np.testing.assert_array_equal(out[:5], expected)
        np.testing.assert_array_equal(out[5, :2], [x.sum(), x.max()])


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**20), spread=st.floats(-3.0, 5.0), size=st.integers(1, 190))
def test_truncated_normals_are_optunas_to_the_last_digit(seed: int, spread: float, size: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.normal(size=size) * np.exp(spread)
    b = np.append(a[: size // 2] + np.exp(rng.uniform(-4, 4, size // 2)), a[size // 2 :] + 0.5)
    where = np.r_[np.arange(size), np.arange(size // 3)]  # some come twice
    with np.errstate(all="ignore"):
        masses = _truncnorm._log_gauss_mass(a, b)
        np.testing.assert_array_equal(normal.log_mass(loops.loops(), a[where], b[where], 2.0), masses[where])
        q = rng.random(size)
        np.testing.assert_array_equal(normal.quantiles(loops.loops(), q, a, b, 2.0), _truncnorm.ppf(q, a, b))
