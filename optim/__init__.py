"""Hyperparameter optimisation for trading strategies."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optim.api import Study as Study
    from optim.errors import OptimError as OptimError
    from optim.report.summary import Ended as Ended
    from optim.spec.study import load_spec as load_spec

__version__ = "0.2.0"
HOME = {
    "Ended": "optim.report.summary",
    "OptimError": "optim.errors",
    "Study": "optim.api",
    "load_spec": "optim.spec.study",
}
__all__ = sorted(HOME)


def __getattr__(name: str) -> Any:
    if name not in HOME:
        raise AttributeError(f"module 'optim' has no attribute {name!r}")
    return getattr(import_module(HOME[name]), name)
