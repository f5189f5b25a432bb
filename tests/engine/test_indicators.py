"""Indicators against TA-Lib where the definition is the same, else against pandas; their warm-ups; causality."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core import config

from engine.check import random_bars
from engine.compiled.shared import Shared
from engine.simulator.sizing import scale_of
from engine.strategies import indicators as ind
from engine.strategies import signals

N = 300 if config.DISABLE_JIT else 2000
BARS = random_bars(np.random.default_rng(5), N)
CLOSE = np.array(BARS.close)
WINDOWS = (2, 5, 14, 60)


def windows(values: np.ndarray, window: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(values, window)


def rolling_std(values: np.ndarray, window: int) -> np.ndarray:
    """pandas' running sums leave 1e-6 where nothing moves; numpy on each window does not."""
    return np.r_[np.full(window - 1, np.nan), windows(values, window).std(axis=1)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("ours", "reference"),
    [
        (ind.sma, talib.SMA),
        (ind.sma, lambda v, w: pd.Series(v).rolling(w).mean().to_numpy()),
        (ind.ema, talib.EMA),
        (ind.wma, talib.WMA),
        (ind.std, rolling_std),
        (ind.roc, lambda v, w: talib.ROC(v, w) / 100),
        (ind.highest, talib.MAX),
        (ind.lowest, talib.MIN),
    ],
)
def test_equals_the_reference(ours, reference, window):
    np.testing.assert_allclose(ours(BARS.close, window), reference(CLOSE, window), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("period", WINDOWS)
def test_rsi_equals_talibs_where_anything_moved(period):
    """TA-Lib gives 0 after a stretch without any change; ours gives 50, which is neither oversold nor overbought."""
    np.testing.assert_allclose(ind.rsi(BARS.close, period), talib.RSI(CLOSE, period), rtol=1e-9)
    assert (ind.rsi(np.full(20, 7.0), period)[period:] == 50.0).all()


@pytest.mark.parametrize("period", WINDOWS)
def test_atr_equals_talibs(period):
    expected = talib.ATR(np.array(BARS.high), np.array(BARS.low), CLOSE, period)
    np.testing.assert_allclose(ind.atr(BARS.high, BARS.low, BARS.close, period), expected, rtol=1e-9)


@pytest.mark.parametrize("window", WINDOWS)
def test_zscore_equals_numpys(window):
    parts = windows(CLOSE, window)
    still = np.ptp(parts, axis=1) == 0
    deviation = np.where(still, 1.0, parts.std(axis=1))
    expected = np.where(still, 0.0, (CLOSE[window - 1 :] - parts.mean(axis=1)) / deviation)
    np.testing.assert_allclose(ind.zscore(BARS.close, window)[window - 1 :], expected, rtol=1e-7, atol=1e-7)
    assert still.any() or window > 20


@pytest.mark.parametrize(("fast", "slow", "smooth"), [(12, 26, 9), (3, 10, 5)])
def test_macd_is_the_difference_of_its_means(fast, slow, smooth):
    """TA-Lib starts its fast mean late, so that both begin at one bar; ours each start from their own first window."""
    line, signal = ind.macd(BARS.close, fast, slow, smooth)
    expected = talib.EMA(CLOSE, fast) - talib.EMA(CLOSE, slow)
    np.testing.assert_allclose(line, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(signal[slow - 1 :], talib.EMA(expected[slow - 1 :], smooth), rtol=1e-9, atol=1e-9)
    late = talib.MACD(CLOSE, fast, slow, smooth)[0]
    np.testing.assert_allclose(line[-50:], late[-50:], rtol=1e-6, atol=1e-6)


WARM_UPS = [
    (lambda b: ind.sma(b.close, 10), 9),
    (lambda b: ind.ema(b.close, 10), 9),
    (lambda b: ind.wma(b.close, 10), 9),
    (lambda b: ind.std(b.close, 10), 9),
    (lambda b: ind.zscore(b.close, 10), 9),
    (lambda b: ind.highest(b.close, 10), 9),
    (lambda b: ind.lowest(b.close, 10), 9),
    (lambda b: ind.rsi(b.close, 10), 10),
    (lambda b: ind.roc(b.close, 10), 10),
    (lambda b: ind.atr(b.high, b.low, b.close, 10), 10),
    (lambda b: ind.macd(b.close, 3, 10, 5)[0], 9),
    (lambda b: ind.macd(b.close, 3, 10, 5)[1], 13),
]


@pytest.mark.parametrize(("indicator", "warm_up"), WARM_UPS)
def test_warm_up_is_as_stated_and_nothing_looks_ahead(indicator, warm_up):
    whole = indicator(BARS)
    assert np.isnan(whole[:warm_up]).all()
    assert not np.isnan(whole[warm_up:]).any()
    for n in (1, warm_up, warm_up + 1, 100):
        part = indicator(type(BARS)(*(column[:n] for column in BARS)))
        np.testing.assert_array_equal(part, whole[:n])


@pytest.mark.parametrize("indicator", [ind.sma, ind.wma, ind.std, ind.zscore, ind.highest, ind.lowest])
@pytest.mark.parametrize("window", [1, 2, 20, 77])
def test_a_window_among_its_neighbours_is_what_it_is_alone(indicator, window):
    """Wherever in its block it ends, and however far from it the anchor is; NaN and infinity spoil no other window."""
    values = CLOSE[:290].copy()
    values[100:150] *= 1e6
    values[[60, 200, 201]] = np.nan
    values[30] = np.inf
    with np.errstate(invalid="ignore"):  # numpy's scalars say so of inf - inf, compiled code does not
        whole = indicator(values, window)
        alone = [indicator(part.copy(), window)[-1] for part in windows(values, window)]
    found, expected = (np.where(np.isfinite(one), one, np.nan) for one in (whole[window - 1 :], np.array(alone)))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-11)
    assert np.isnan(whole[: window - 1]).all()


RNG = np.random.default_rng(0)
HOSTILE = {
    "cents at a billion": 1e9 + RNG.normal(0, 1e-3, 600),
    "another unit": np.r_[1.0, 1e6].repeat(300) + RNG.normal(0, 1e-3, 600),
    "spikes": np.where(RNG.random(600) < 0.02, 1e8, 100 + RNG.normal(0, 0.01, 600)),
    "a steep line": 1e3 * np.arange(600.0) + RNG.normal(0, 1e-6, 600),
}


@pytest.mark.parametrize("values", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("window", [2, 20, 250])
def test_a_deviation_keeps_its_digits(values, window):
    """In one pass, and yet nothing cancels: against numpy in numbers of twice the digits."""
    expected = windows(values.astype(np.longdouble), window).std(axis=1).astype(float)
    np.testing.assert_allclose(ind.std(values, window)[window - 1 :], expected, rtol=1e-11)


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.float32, np.bool_])
@pytest.mark.parametrize("indicator", [ind.sma, ind.wma, ind.std, ind.zscore, ind.highest, ind.lowest])
def test_numbers_of_other_kinds_are_taken_as_floats(indicator, kind):
    """Differences of unsigned ones wrap round."""
    values = np.random.default_rng(1).integers(0, 2 if kind == np.bool_ else 200, 50).astype(kind)
    np.testing.assert_allclose(indicator(values, 5), indicator(values.astype(float), 5), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("window", [50, 51, 10**12])
def test_a_window_longer_than_the_bars_has_no_value(window):
    for name in ("sma", "wma", "std", "zscore", "highest", "lowest"):
        assert np.isnan(SINGLE[name](CLOSE[:49], window)).all()
    assert (scale_of(CLOSE[:50], window, 0.01) == 0.0).all()


def test_a_mean_does_not_drift_over_many_bars():
    rng = np.random.default_rng(0)
    n = 5_000 if config.DISABLE_JIT else 1_000_000
    values = 100 * np.exp(np.cumsum(rng.normal(0, 0.0005, n)))
    exact = [values[t - 49 : t + 1].sum() / 50 for t in (n // 2, n - 1)]
    np.testing.assert_allclose(ind.sma(values, 50)[[n // 2, n - 1]], exact, rtol=1e-10)


SINGLE = {
    "sma": ind.sma,
    "ema": ind.ema,
    "wma": ind.wma,
    "rsi": ind.rsi,
    "std": ind.std,
    "zscore": ind.zscore,
    "roc": ind.roc,
    "highest": ind.highest,
    "lowest": ind.lowest,
    "macd_line": lambda values, window: ind.macd(values, window, window + 3, 2)[0],
    "macd_signal": lambda values, window: ind.macd(values, window, window + 3, 2)[1],
    "atr": lambda values, window: ind.atr(values, values, values, window),
}
STILL = {"std": 0.0, "zscore": 0.0, "roc": 0.0, "macd_line": 0.0, "macd_signal": 0.0, "atr": 0.0, "rsi": 50.0}
WINDOWED = {
    "sma": lambda rolling: rolling.mean(),
    "std": lambda rolling: rolling.std(ddof=0),
    "highest": lambda rolling: rolling.max(),
    "lowest": lambda rolling: rolling.min(),
    "wma": lambda rolling: rolling.apply(lambda part: np.average(part, weights=np.arange(1, len(part) + 1))),
}
FORGETFUL = {*WINDOWED, "zscore", "roc"}
PRICES = st.floats(1e-8, 1e7)


def test_every_indicator_is_among_those_tested():
    public = {
        name
        for name, found in vars(ind).items()
        if callable(found) and not name.startswith("_") and getattr(found, "py_func", found).__module__ == ind.__name__
    }
    assert public == {name.partition("_")[0] for name in SINGLE}


@pytest.mark.parametrize("name", SINGLE)
@settings(deadline=None)
@given(PRICES, st.integers(1, 30), st.lists(PRICES, max_size=40))
def test_what_stands_still_has_no_rounding(name, price, window, before):
    """From the start, and once the window holds nothing else; an index keeps its ratio."""
    still = SINGLE[name](np.full(80, price), window)
    known = ~np.isnan(still)
    assert known.sum() >= 80 - window - 4
    assert (still[known] == STILL.get(name, price)).all()
    after = SINGLE[name](np.r_[before, np.full(80, price)], window)[len(before) + window + 1 :]
    if name in FORGETFUL:
        assert (after == STILL.get(name, price)).all()
    if name == "rsi" and len(before) > 1:
        assert (after[1:] == after[0]).all()


def test_an_index_outlives_a_quiet_year():
    """Gains and losses fade below the smallest float; their ratio does not."""
    quiet = np.r_[100.0, 99.0, 101.0, np.full(20_000 if not config.DISABLE_JIT else 3_000, 101.0), 100.5]
    index = ind.rsi(quiet, 2)
    assert (index[2:-1] == index[2]).all()
    assert index[2] == pytest.approx(200 / 3, rel=1e-15)
    assert index[-1] == 0.0


@pytest.mark.parametrize("outer", SINGLE)
@pytest.mark.parametrize("inner", SINGLE)
def test_indicators_take_indicators(outer, inner):
    values = SINGLE[inner](CLOSE[:200], 3)
    start = int((~np.isnan(values)).argmax())
    found = SINGLE[outer](values, 4)
    assert start > 0
    assert np.isnan(found[:start]).all()
    np.testing.assert_array_equal(found[start:], SINGLE[outer](values[start:], 4))
    assert not np.isnan(found[start + 12 :]).all()


@pytest.mark.parametrize("name", SINGLE)
@settings(deadline=None)
@given(st.sets(st.integers(0, 99), max_size=4), st.integers(1, 12))
def test_a_gap_is_a_warm_up(name, gaps, window):
    values = CLOSE[:100].copy()
    values[list(gaps)] = np.nan
    found = SINGLE[name](values, window)
    assert np.isnan(found[list(gaps)]).all()
    if name in WINDOWED:
        expected = WINDOWED[name](pd.Series(values).rolling(window))
        np.testing.assert_allclose(found, expected.to_numpy(), rtol=1e-9, atol=1e-6)
    elif name not in FORGETFUL:
        edges = [-1, *sorted(gaps), 100]
        parts = [SINGLE[name](values[a + 1 : b], window) for a, b in pairwise(edges)]
        expected = np.full(100, np.nan)
        for a, part in zip(edges, parts, strict=False):
            expected[a + 1 : a + 1 + len(part)] = part
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", SINGLE)
@pytest.mark.parametrize("window", [0, -1, -40])
def test_a_window_of_no_bar_is_refused(name, window):
    """Compiled code would write beside its arrays."""
    with pytest.raises(ValueError, match="at least 1 bar"):
        SINGLE[name](CLOSE[:30], window)
    assert len(SINGLE[name](CLOSE[:0], 3)) == 0


LONG, SHORT = CLOSE[:30], CLOSE[:10]


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (ind.atr, (LONG, SHORT, LONG, 3)),
        (ind.atr, (LONG, LONG, SHORT, 3)),
        (signals.above, (LONG, SHORT)),
        (signals.above, (LONG, LONG, SHORT)),
        (signals.latch_channels, (LONG, LONG, SHORT)),
        (signals.latch_channels, (LONG, SHORT, LONG)),
        (signals.fade_bands, (LONG, SHORT, LONG, 2.0, 1.0)),
        (signals.fade_bands, (LONG, LONG, SHORT, 2.0, 1.0)),
        (signals.fade_bands, (LONG, LONG, LONG, 2.0, 1.0, SHORT)),
        (signals.breakout, (LONG, SHORT, LONG, 1.0)),
        (signals.breakout, (LONG, LONG, SHORT, 1.0)),
    ],
)
def test_arrays_of_other_lengths_are_refused(function, arguments):
    with pytest.raises(ValueError, match="equally long"):
        function(*arguments)


@pytest.mark.parametrize("windows", [(9, 3), (0, 3), (-2, 3)])
def test_windows_that_mean_above_does_not_know_are_refused_shared_or_not(windows):
    for _ in range(3):
        with pytest.raises(ValueError, match="1 <= fast <= slow"):
            signals.mean_above(CLOSE, *windows)
        with Shared([CLOSE]), pytest.raises(ValueError, match="1 <= fast <= slow"):
            signals.mean_above(CLOSE, *windows)
    assert not signals.mean_above(CLOSE, 3, 3).any()
