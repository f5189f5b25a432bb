"""The backtest engine: bars in, metrics out. Knows nothing of Optuna, MLflow or joblib."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.account import Account as Account
    from engine.backtest import BacktestEngine as BacktestEngine
    from engine.backtest import BacktestResult as BacktestResult
    from engine.bars import Bars as Bars
    from engine.catalogue import METRICS as METRICS
    from engine.data import load_bars as load_bars
    from engine.jit import kernel as kernel
    from engine.strategy import load_strategy as load_strategy
    from engine.sweeps import sweep as sweep

HOME = {
    "Account": "engine.account",
    "BacktestEngine": "engine.backtest",
    "BacktestResult": "engine.backtest",
    "Bars": "engine.bars",
    "METRICS": "engine.catalogue",
    "kernel": "engine.jit",
    "load_bars": "engine.data",
    "load_strategy": "engine.strategy",
    "sweep": "engine.sweeps",
}
__all__ = sorted(HOME)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(HOME[name]), name)
