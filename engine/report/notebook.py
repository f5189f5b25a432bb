"""A backtest as a notebook shows it: what it was, its main figures, its course. Small, and nothing is loaded for it."""

from __future__ import annotations

from html import escape

import numpy as np

from engine.metrics.catalogue import METRICS, metric_text
from engine.report.course import course
from engine.report.drawn import Floats, thinned
from engine.report.shown import Backtest
from engine.report.words import in_words, settings, subject

_WIDE, _HIGH = 560, 130  # pixels
_SHOWN = ("total_return", "buy_and_hold_return", "cagr", "sharpe_ratio", "max_drawdown", "n_trades", "exposure")


def backtest_html(result: Backtest) -> str:
    """The title, a table of the main metrics and the equity beside its market as an inline SVG."""
    names = [name for name in _SHOWN if name in METRICS and name in result.metrics]
    head = "".join(f"<th>{escape(in_words(name))}</th>" for name in names)
    row = "".join(f"<td>{metric_text(name, result.metrics[name], result.days)}</td>" for name in names)
    return (
        f"<div><b>{escape(subject(result))}</b><br>{escape(settings(result))}"
        f"<table><tr>{head}</tr><tr>{row}</tr></table>{_curve(result)}</div>"
    )


def _curve(result: Backtest) -> str:
    found = course(result)
    kept = thinned(found.account, found.held, most=240)
    scale = np.log if found.log else np.asarray
    account, held = scale(found.account[kept]), scale(found.held[kept])
    low, high = min(account.min(), held.min()), max(account.max(), held.max())
    across = _WIDE * (kept - kept[0]) / max(kept[-1] - kept[0], 1)
    lines = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.3" points="{_points(across, values, low, high)}"/>'
        for colour, values in (("#9aa7b2", held), ("#1f5fa8", account))
    )
    axis = "logarithmic, " if found.log else ""
    told = f"{axis}{found.account[0]:,.0f} to {found.account[-1]:,.0f}; grey: buying and holding"
    return f'<svg width="{_WIDE}" height="{_HIGH}" viewBox="0 -3 {_WIDE} {_HIGH + 6}">{lines}</svg><br>{told}'


def _points(across: Floats, values: Floats, low: float, high: float) -> str:
    up = _HIGH * (1.0 - (values - low) / ((high - low) or 1.0))
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in zip(across, up, strict=True))
