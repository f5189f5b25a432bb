"""The backtest engine: bars in, metrics out. Knows nothing of Optuna, MLflow or joblib."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.backtest import BacktestEngine as BacktestEngine
    from engine.backtest import BacktestResult as BacktestResult
    from engine.compiled.jit import kernel as kernel
    from engine.data.bars import Bars as Bars
    from engine.data.load import load_bars as load_bars
    from engine.metrics.catalogue import METRICS as METRICS
    from engine.simulator.account import Account as Account
    from engine.strategies.base import load_strategy as load_strategy
    from engine.strategies.base import strategy as strategy
    from engine.sweeps import sweep as sweep

HOME = {
    "Account": "engine.simulator.account",
    "BacktestEngine": "engine.backtest",
    "BacktestResult": "engine.backtest",
    "Bars": "engine.data.bars",
    "METRICS": "engine.metrics.catalogue",
    "kernel": "engine.compiled.jit",
    "load_bars": "engine.data.load",
    "load_strategy": "engine.strategies.base",
    "strategy": "engine.strategies.base",
    "sweep": "engine.sweeps",
}
__all__ = sorted(HOME)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(HOME[name]), name)
