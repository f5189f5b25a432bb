"""The built-in strategies in decimal arithmetic of 50 digits, written from docs/engine.md; nothing of engine/ is used.

A price is a Decimal, so a tie is a tie. `tolerance` is what docs/engine.md grants: two numbers are equal when they are
within tolerance * scale of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from itertools import pairwise
from typing import Any

Series = list[Decimal]
Maybe = list[Decimal | None]
Columns = dict[str, Series]
MAGNIFIED = Decimal(10) ** 5


def sma(values: Series, window: int) -> Maybe:
    return windowed(values, window, lambda part: sum(part, Decimal(0)) / window)


def std(values: Series, window: int) -> Maybe:
    def deviation(part: Series) -> Decimal:
        mean = sum(part, Decimal(0)) / window
        return (sum(((value - mean) ** 2 for value in part), Decimal(0)) / window).sqrt()

    return windowed(values, window, deviation)


def windowed(values: Series, window: int, function: Callable[[Series], Decimal]) -> Maybe:
    return [function(values[t - window + 1 : t + 1]) if t >= window - 1 else None for t in range(len(values))]


def ema(values: Series, window: int) -> Maybe:
    return smoothed(values, window, Decimal(2) / (window + 1))


def smoothed(values: Series, window: int, alpha: Decimal) -> Maybe:
    """The mean of the first window, then exponential."""
    out: Maybe = []
    for t, value in enumerate(values):
        if t < window - 1:
            out.append(None)
        elif t == window - 1:
            out.append(sum(values[:window], Decimal(0)) / window)
        else:
            before = out[-1]
            assert before is not None
            out.append(before + alpha * (value - before))
    return out


def wilder(values: Series, period: int) -> Maybe:
    """Of the bars from 1 on."""
    return [None, *smoothed(values[1:], period, 1 / Decimal(period))]


def rsi(values: Series, period: int) -> Maybe:
    changes = [Decimal(0), *(later - earlier for earlier, later in pairwise(values))]
    gains = wilder([max(change, Decimal(0)) for change in changes], period)
    losses = wilder([max(-change, Decimal(0)) for change in changes], period)
    out: Maybe = []
    for gain, loss in zip(gains, losses, strict=True):
        if gain is None or loss is None:
            out.append(None)
        else:
            out.append(100 * gain / (gain + loss) if gain + loss > 0 else Decimal(50))
    return out


def atr(bars: Columns, period: int) -> Maybe:
    high, low, close = bars["high"], bars["low"], bars["close"]
    ranges = [max(high[t], close[t - 1]) - min(low[t], close[t - 1]) for t in range(1, len(close))]
    return wilder([Decimal(0), *ranges], period)


def larger(*compared: Decimal | None) -> Decimal:
    return max(abs(value or Decimal(0)) for value in compared)


class Judge:
    """Comparisons with a tolerance; None is 'no'."""

    def __init__(self, tolerance: Decimal) -> None:
        self.tolerance = tolerance

    def over(self, left: Decimal | None, right: Decimal | None, scale: Decimal) -> bool:
        return left is not None and right is not None and left - right > self.tolerance * scale

    def fade(self, values: Series, window: int, enter: Decimal, leave: Decimal, scale: Maybe) -> list[float]:
        held, out = 0.0, []
        for value, mean, deviation, size in zip(values, sma(values, window), std(values, window), scale, strict=True):
            if mean is not None and deviation is not None:
                size = larger(value, mean) if size is None else size
                if held and not self.over(-leave * deviation, int(held) * (value - mean), size):
                    held = 0.0
                if self.over(mean - enter * deviation, value, size):
                    held = 1.0
                elif self.over(value, mean + enter * deviation, size):
                    held = -1.0
            out.append(held)
        return out


def latched(enters: list[bool], leaves: list[bool]) -> list[float]:
    held, out = 0.0, []
    for enter, leave in zip(enters, leaves, strict=True):
        held = 1.0 if enter else 0.0 if leave else held
        out.append(held)
    return out


def ma_crossover(judge: Judge, bars: Columns, p: Any) -> list[float]:
    mean = sma if p["ma_type"] == "sma" else ema
    fast, slow = mean(bars["close"], p["fast_window"]), mean(bars["close"], p["slow_window"])
    return [float(judge.over(a, b, larger(a, b))) for a, b in zip(fast, slow, strict=True)]


def macd_trend(judge: Judge, bars: Columns, p: Any) -> list[float]:
    close = bars["close"]
    pairs = zip(ema(close, p["fast_span"]), ema(close, p["slow_span"]), strict=True)
    line = [fast - slow for fast, slow in pairs if fast is not None and slow is not None]
    start = len(close) - len(line)
    signal = ema(line, p["signal_span"])
    return [0.0] * start + [float(judge.over(*three)) for three in zip(line, signal, close[start:], strict=True)]


def momentum(judge: Judge, bars: Columns, p: Any) -> list[float]:
    close, threshold, lookback = bars["close"], Decimal(str(p["threshold"])), p["lookback"]
    out = []
    for t in range(len(close)):
        change = close[t] / close[t - lookback] - 1 if t >= lookback else None
        up = judge.over(change, threshold, 1 + threshold)
        down = judge.over(None if change is None else -change, threshold, 1 + threshold)
        out.append(1.0 if up else -1.0 if down else 0.0)
    return out


def donchian_breakout(judge: Judge, bars: Columns, p: Any) -> list[float]:
    close = bars["close"]
    top: Maybe = [None, *windowed(bars["high"], p["entry_window"], max)][:-1]
    bottom: Maybe = [None, *windowed(bars["low"], p["exit_window"], min)][:-1]
    enters = [judge.over(value, level, larger(value, level)) for value, level in zip(close, top, strict=True)]
    return latched(
        enters, [judge.over(level, value, larger(level, value)) for value, level in zip(close, bottom, strict=True)]
    )


def volatility_breakout(judge: Judge, bars: Columns, p: Any) -> list[float]:
    close = bars["close"]
    centre = [None, *sma(close, p["mean_window"])][:-1]
    width = [None, *atr(bars, p["atr_period"])][:-1]
    top = [
        None if c is None or w is None else c + Decimal(str(p["multiple"])) * w
        for c, w in zip(centre, width, strict=True)
    ]
    enters = [judge.over(value, level, larger(value, level)) for value, level in zip(close, top, strict=True)]
    return latched(
        enters, [judge.over(level, value, larger(level, value)) for value, level in zip(close, centre, strict=True)]
    )


def rsi_reversion(judge: Judge, bars: Columns, p: Any) -> list[float]:
    index = rsi(bars["close"], p["period"])
    low, high = Decimal(str(p["oversold"])), Decimal(str(p["overbought"]))
    enters = [judge.over(low, value, MAGNIFIED * (1 + low)) for value in index]
    return latched(enters, [judge.over(value, high, MAGNIFIED * (1 + high)) for value in index])


def bollinger_reversion(judge: Judge, bars: Columns, p: Any) -> list[float]:
    close = bars["close"]
    return judge.fade(
        close, p["window"], Decimal(str(p["entry_width"])), Decimal(str(p["exit_width"])), [None] * len(close)
    )


def zscore_pairs(judge: Judge, first: Columns, second: Columns, p: Any) -> list[float]:
    """The side of the first instrument."""
    ratio = [(a / b).ln() for a, b in zip(first["close"], second["close"], strict=True)]
    return judge.fade(ratio, p["window"], Decimal(str(p["entry"])), Decimal(str(p["exit"])), [Decimal(1)] * len(ratio))


def buy_and_hold(judge: Judge, bars: Columns, p: Any) -> list[float]:
    return [p["exposure"]] * len(bars["close"])


STRATEGIES: dict[str, Callable[..., list[float]]] = {
    function.__name__: function
    for function in (
        bollinger_reversion,
        buy_and_hold,
        donchian_breakout,
        ma_crossover,
        macd_trend,
        momentum,
        rsi_reversion,
        volatility_breakout,
        zscore_pairs,
    )
}


def signal(name: str, tolerance: str, instruments: list[Columns], params: Any) -> list[float]:
    """The target of a built-in strategy, shape (n_bars,); of a pair the first one's side."""
    with localcontext() as context:
        context.prec = 50
        return STRATEGIES[name](Judge(Decimal(tolerance)), *instruments, params)
