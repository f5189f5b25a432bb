"""The backtest engine: bars in, metrics out. Knows nothing of Optuna, MLflow or joblib.

Its public face: everything a strategy file or a notebook needs is imported from here, and loaded when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.backtest import BacktestEngine as BacktestEngine
    from engine.backtest import BacktestResult as BacktestResult
    from engine.check import check_strategy as check_strategy
    from engine.compiled.jit import kernel as kernel
    from engine.compiled.shared import for_each as for_each
    from engine.compiled.shared import indicator as indicator
    from engine.compiled.tolerance import exceeds as exceeds
    from engine.compiled.tolerance import reaches as reaches
    from engine.data.bars import Bars as Bars
    from engine.data.clock import infer_periods_per_year as infer_periods_per_year
    from engine.data.detail import with_detail as with_detail
    from engine.data.frames import align as align
    from engine.data.frames import resample as resample
    from engine.data.income import with_income as with_income
    from engine.data.joined import join as join
    from engine.data.load import load_bars as load_bars
    from engine.data.load import to_frame as to_frame
    from engine.errors import UserError as UserError
    from engine.metrics.catalogue import METRICS as METRICS
    from engine.simulator.account import Account as Account
    from engine.strategies.base import load_strategy as load_strategy
    from engine.strategies.base import strategy as strategy
    from engine.strategies.indicators import atr as atr
    from engine.strategies.indicators import ema as ema
    from engine.strategies.indicators import highest as highest
    from engine.strategies.indicators import lowest as lowest
    from engine.strategies.indicators import macd as macd
    from engine.strategies.indicators import roc as roc
    from engine.strategies.indicators import rsi as rsi
    from engine.strategies.indicators import sma as sma
    from engine.strategies.indicators import std as std
    from engine.strategies.indicators import wma as wma
    from engine.strategies.indicators import zscore as zscore
    from engine.strategies.levels import Signal as Signal
    from engine.strategies.signals import above as above
    from engine.strategies.signals import above_each as above_each
    from engine.strategies.signals import breakout as breakout
    from engine.strategies.signals import fade as fade
    from engine.strategies.signals import fade_bands as fade_bands
    from engine.strategies.signals import latch_below as latch_below
    from engine.strategies.signals import latch_channels as latch_channels
    from engine.strategies.signals import mean_above as mean_above
    from engine.strategies.signals import side_of as side_of
    from engine.sweeps import sweep as sweep

HOME = {
    "BacktestEngine": "engine.backtest",
    "BacktestResult": "engine.backtest",
    "check_strategy": "engine.check",
    "kernel": "engine.compiled.jit",
    "for_each": "engine.compiled.shared",
    "indicator": "engine.compiled.shared",
    "exceeds": "engine.compiled.tolerance",
    "reaches": "engine.compiled.tolerance",
    "Bars": "engine.data.bars",
    "infer_periods_per_year": "engine.data.clock",
    "with_detail": "engine.data.detail",
    "align": "engine.data.frames",
    "resample": "engine.data.frames",
    "with_income": "engine.data.income",
    "join": "engine.data.joined",
    "load_bars": "engine.data.load",
    "to_frame": "engine.data.load",
    "UserError": "engine.errors",
    "METRICS": "engine.metrics.catalogue",
    "Account": "engine.simulator.account",
    "load_strategy": "engine.strategies.base",
    "strategy": "engine.strategies.base",
    "atr": "engine.strategies.indicators",
    "ema": "engine.strategies.indicators",
    "highest": "engine.strategies.indicators",
    "lowest": "engine.strategies.indicators",
    "macd": "engine.strategies.indicators",
    "roc": "engine.strategies.indicators",
    "rsi": "engine.strategies.indicators",
    "sma": "engine.strategies.indicators",
    "std": "engine.strategies.indicators",
    "wma": "engine.strategies.indicators",
    "zscore": "engine.strategies.indicators",
    "Signal": "engine.strategies.levels",
    "above": "engine.strategies.signals",
    "above_each": "engine.strategies.signals",
    "breakout": "engine.strategies.signals",
    "fade": "engine.strategies.signals",
    "fade_bands": "engine.strategies.signals",
    "latch_below": "engine.strategies.signals",
    "latch_channels": "engine.strategies.signals",
    "mean_above": "engine.strategies.signals",
    "side_of": "engine.strategies.signals",
    "sweep": "engine.sweeps",
}
__all__ = sorted(HOME)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module 'engine' has no attribute {name!r}")
    return getattr(import_module(HOME[name]), name)
