"""QuantStats' page of a backtest: written once, and of one mind with our own metrics where both have one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine import BacktestEngine, load_bars
from engine.errors import EngineError
from tests.studies import IBM


def test_the_page_has_the_metrics_of_the_result(tmp_path: Path) -> None:
    bars = load_bars(IBM, start="2005", end="2005")
    params = {"fast_window": 20, "slow_window": 50, "ma_type": "sma"}
    result = BacktestEngine(fee_bps=5).run_realistic(bars, "ma_crossover", params)
    path = result.tearsheet(tmp_path / "sheet.html")
    text = re.sub(r"<[^>]+>", " ", path.read_text(encoding="utf-8"))
    theirs = {name: re.search(rf"{name}\s+(-?[\d.]+)%?\s+(-?[\d.]+)%?", text) for name in ("Sharpe", "Max Drawdown")}
    sharpe, drawdown = (float(found[2]) for found in theirs.values() if found)  # holding comes first
    assert sharpe == pytest.approx(result.metrics["sharpe_ratio"], abs=0.006)
    assert drawdown == pytest.approx(100 * result.metrics["max_drawdown"], abs=0.006)
    with pytest.raises(EngineError, match="there already"):
        result.tearsheet(path)
