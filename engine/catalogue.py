"""Every metric by name: what it means, which direction is better. Imports nothing heavy."""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """One metric of a backtest."""

    name: str
    direction: Literal["maximize", "minimize"]
    total: bool  # a count or an amount: summed over cells, not averaged
    description: str


METRICS: dict[str, Metric] = {}
