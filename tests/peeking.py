"""Strategies that look ahead, each in its own way, and honest ones that look as if they did."""

PEEKING = {
    "next_bar": "return (df.close.shift(-1) > df.close).astype(float)",
    "far_ahead": "return (df.close.shift(-750) > df.close).astype(float)",
    "centred": "return (df.close > df.close.rolling(11, center=True).mean()).astype(float)",
    "backfilled": "return (df.close > df.close.where(df.close > df.open).bfill()).astype(float)",
    "weekly": "return (df.close < df.close.resample('W').last().reindex(df.index, method='bfill')).astype(float)",
    "standardised": "return (df.close > df.close.mean() + .5 * df.close.std()).astype(float)",
    "of_the_highest": "return (df.close > .8 * df.close.max()).astype(float)",
    "detrended": "x = np.arange(len(df))\n"
    "    return (df.close > np.polyval(np.polyfit(x, df.close, 1), x)).astype(float)",
    "of_the_last": "return (df.close > df.close.iloc[-1]).astype(float)",
    "all_or_nothing": "return pd.Series(float(df.close.iloc[-1] > df.close.iloc[0]), df.index)",
    "ranked": "return (df.close.rank(pct=True) > .7).astype(float)",
    "sorted_levels": "return pd.Series((df.close > np.sort(df.close)[len(df) // 2]).astype(float), df.index)",
    "rarely": "seen = df.close > df.close.rolling(20).mean()\n    knows = df.close.shift(-1) > df.close\n"
    "    return seen.where(np.arange(len(df)) % 500 != 250, knows).astype(float)",
}
HONEST = {
    "ewm": "return (df.close > df.close.ewm(span=20).mean()).astype(float)",
    "expanding": "return (df.close > df.close.expanding(30).mean()).astype(float)",
    "of_the_highest_yet": "return (df.close > .9 * df.close.cummax()).astype(float)",
    "rolling": "return (df.close > df.close.rolling(20).mean()).astype(float)",
    "last_week": "weekly = df.close.resample('W').last().shift(1)\n"
    "    return (df.close > weekly.reindex(df.index, method='ffill')).astype(float)",
    "needs_fifty": "assert len(df) >= 50, 'too few bars'\n"
    "    return (df.close > df.close.rolling(20).mean()).astype(float)",
    "by_fourier": "size = 2 * len(df) + 20\n    kernel = np.fft.rfft(np.full(20, .05), size)\n"
    "    mean = np.fft.irfft(np.fft.rfft(df.close, size) * kernel)[:len(df)]\n"
    "    return pd.Series(np.tanh(df.close / np.maximum(mean, 1e-3) - 1), df.index)",
}
COMPILED = """
from typing import NamedTuple
from engine.compiled.arrays import Array
from engine.data.bars import Bars
from engine.strategies.indicators import sma
from engine.compiled.jit import kernel
from engine.strategies.signals import above
from engine.strategies.base import strategy

class Params(NamedTuple):
    window: int = 20

@kernel
def knowing(close, target):
    for t in range(250, len(close) - 1, 500):
        target[t] = 1.0 if close[t + 1] > close[t] else 0.0
    return target

@strategy
def rarely_compiled(bars: Bars, p: Params):
    return knowing(bars.close, above(bars.close, sma(bars.close, p.window)))

@strategy
def second_of_two(instruments: tuple[Bars, Bars], p: Params):
    weights = np.zeros((len(instruments[0].close), 2))
    weights[:, 0] = above(instruments[0].close, sma(instruments[0].close, p.window)) / 2
    weights[:-1, 1] = (instruments[1].close[1:] > instruments[1].close[:-1]) / 2
    return weights

@strategy
def honest_two(instruments: tuple[Bars, Bars], p: Params):
    return np.stack([above(bars.close, sma(bars.close, p.window)) / 2 for bars in instruments], axis=1)
"""
RANDOM = "return pd.Series(np.random.default_rng().integers(0, 2, len(df)), df.index).astype(float)"


def source() -> str:
    """A file with all of them, and one function `random`."""
    bodies = {**PEEKING, **HONEST, "random": RANDOM}
    functions = "".join(f"\ndef {name}(df, params):\n    {body}\n" for name, body in bodies.items())
    return "import numpy as np\nimport pandas as pd\n" + functions + COMPILED
