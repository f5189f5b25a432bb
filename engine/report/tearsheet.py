"""A tear sheet of QuantStats for one backtest: more figures than ours, by another hand."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import EngineError

if TYPE_CHECKING:
    import pandas as pd

    from engine.report.shown import Backtest

DAYS_A_YEAR = (252.0, 365.0)  # of a market with weekends, and of one without


def tearsheet(result: Backtest, path: Path) -> Path:
    """Write an HTML page of the returns by day, beside buying and holding; nothing is written over.

    Raises EngineError when QuantStats is missing, or the file is there already.
    """
    try:
        import quantstats
    except ImportError:
        raise EngineError("a tear sheet needs QuantStats: pip install 'optim[tearsheet]'") from None
    if path.exists():
        raise EngineError(f"{path} is there already; name another file")
    returns, market = (_by_day(series) for series in (result.equity / result.account.initial_cash, result.market))
    title = f"{result.strategy}, {', '.join(f'{name} {value}' for name, value in result.params.items())}"
    fonts = logging.getLogger("matplotlib.font_manager")  # it asks for Arial on every label
    level = fonts.level
    fonts.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quantstats.reports.html(
                returns,
                benchmark=market,
                output=str(path),
                title=title,
                benchmark_title="buying and holding",
                strategy_title=result.strategy,
                match_dates=False,  # else both begin with the first day on which something was earned
                periods_per_year=_days_a_year(returns.index),
            )
    finally:
        fonts.setLevel(level)
    return path


def _by_day(value: pd.Series[float]) -> pd.Series[float]:
    """Simple returns by day of something worth 1 at first; the index without a zone, as QuantStats wants it."""
    last = value.groupby(value.index.tz_convert(None).normalize()).last()  # type: ignore[attr-defined]
    return last / last.shift(fill_value=1.0) - 1.0


def _days_a_year(days: pd.Index[pd.Timestamp]) -> int:
    """The usual number that is nearer to what is there."""
    rate = 365.25 * (len(days) - 1) / max((days[-1] - days[0]).days, 1)
    return int(min(DAYS_A_YEAR, key=lambda usual: abs(usual - rate)))
