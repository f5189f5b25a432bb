"""A backtest in words: what was traded, when, with which parameters, at which costs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.report.shown import Backtest


def subject(result: Backtest) -> str:
    """`ibm_1d: ma crossover, 1999-11-01 to 2013-08-30, in-sample`: what a title has to say."""
    index = result.equity.index
    what = ": ".join(filter(None, (result.instrument, in_words(result.strategy))))
    return ", ".join(filter(None, (what, f"{index[0]:%Y-%m-%d} to {index[-1]:%Y-%m-%d}", result.sample)))


def settings(result: Backtest) -> str:
    """`fast window 12, slow window 80; fee 10 bps, stop 5 %`: parameters, then the account's rules that are not off."""
    account, plain = result.account, type(result.account)()
    rules = {
        name: value
        for name, value in account._asdict().items()
        if name != "initial_cash" and value != getattr(plain, name)
    }
    said = [", ".join(_rule(name, value) for name, value in rules.items()) or "no costs"]
    return "; ".join(filter(None, (parameters(result.params), *said)))


def parameters(params: Mapping[str, Any]) -> str:
    """`fast window 12, slow window 80`."""
    return ", ".join(f"{in_words(name)} {_value(value)}" for name, value in params.items())


def in_words(name: str) -> str:
    """A name of code as one says it."""
    return name.replace("_", " ").strip()


def _rule(name: str, value: Any) -> str:
    """An account's rule with its unit, which its name tells."""
    for ending, unit, factor in (("_bps", "bps", 1.0), ("_pct", "%", 100.0)):
        if name.endswith(ending):
            return f"{in_words(name.removesuffix(ending))} {value * factor:.4g} {unit}"
    return f"{in_words(name)} {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else in_words(str(value))
