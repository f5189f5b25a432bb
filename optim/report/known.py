"""What there is to choose from: the built-in strategies with their parameters, the metrics with their meanings."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from engine.metrics.catalogue import METRICS
from engine.strategies.base import Strategy, builtin_names, load_strategy
from optim.spec.space import Parameter
from optim.spec.space_table import parse_space
from optim.spec.study import space_folder
from optim.spec.toml_file import read_toml


def strategies() -> list[dict[str, Any]]:
    """Every built-in strategy: name, what it does, instruments, parameters with their ranges, constraints."""
    return [_strategy(name) for name in builtin_names()]


def _strategy(name: str) -> dict[str, Any]:
    strategy, file = load_strategy(name), space_folder() / f"{name}.toml"
    space = parse_space(read_toml(file), {}, str(file))
    searched = {parameter.name: parameter for parameter in space.parameters}
    return {
        "name": name,
        "text": " ".join((strategy.__doc__ or "").split()),
        "instruments": strategy.n_instruments,
        "parameters": [_parameter(strategy, one, searched.get(one)) for one in strategy.params._fields],
        "constraints": [constraint.text for constraint in space.constraints],
    }


def _parameter(strategy: Strategy, name: str, searched: Parameter | None) -> dict[str, Any]:
    declared = get_type_hints(strategy.params)[name]
    choices = list(get_args(declared))
    range_ = searched if searched and not choices else None
    return {
        "name": name,
        "type": "categorical" if choices else declared.__name__,
        "choices": choices or None,
        "low": range_ and range_.low,
        "high": range_ and range_.high,
        "step": range_ and (range_.step or None),
        "default": strategy.params._field_defaults.get(name),
    }


def metrics() -> list[dict[str, Any]]:
    """Every metric: name, direction, what it is over several cells, whether it is a year's, its definition."""
    return [metric._asdict() for metric in METRICS.values()]


def print_strategies(console: Console) -> None:
    """A paragraph each: what it does, its parameters, what must hold between them."""
    for told in strategies():
        several = f" ({told['instruments']} instruments)" if told["instruments"] > 1 else ""
        console.print(f"[bold]{told['name']}[/]{several}", highlight=False)
        console.print(Padding(escape(told["text"]), (0, 0, 0, 2)))
        for one in told["parameters"]:
            default = "" if one["default"] is None else f", {one['default']} by default"
            console.print(f"    {one['name']:<14} {_range(one)}{default}", highlight=False, markup=False)
        for text in told["constraints"]:
            console.print(f"    {text}", highlight=False, markup=False)
        console.print()
    console.print('One of these is \\[strategy] name in a study; your own is "file.py:function".', highlight=False)


def _range(told: dict[str, Any]) -> str:
    if told["choices"]:
        return " or ".join(map(str, told["choices"]))
    step = f", step {told['step']:g}" if told["step"] else ""
    return f"{told['type']}, {told['low']:g} to {told['high']:g}{step}"


def print_metrics_known(console: Console) -> None:
    """One row a metric."""
    table = Table(box=None, pad_edge=False)
    for heading in ("metric", "better", "definition"):
        table.add_column(heading, no_wrap=heading != "definition")
    for told in metrics():
        better = "higher" if told["direction"] == "maximize" else "lower"
        table.add_row(told["name"], better, escape(told["description"]))
    console.print(table)
