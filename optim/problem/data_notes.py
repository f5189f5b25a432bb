"""What a user should hear about the bars of a study before it is searched; the hold-out's bars stay unseen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from engine.data.bars import Bars, features_of
from engine.data.formats import Reading
from engine.data.inspect import Findings, inspect, spoken
from engine.simulator.account import Account

_SHOWN = 3


def data_notes(
    name: str, bars: Bars, reading: Reading, account: Account, searched: Sequence[str], splits: str | None = None
) -> Iterator[str]:
    """One sentence for each thing that is strange about the searched bars of a file.

    searched: the parameters of the search space, of which account rules may be some. splits: as splits_column has it.
    """
    found = inspect(bars)
    for text in (*reading.notes, *findings_as_notes(found, splits)):
        yield f"{name}: {text}"
    for feature, values in features_of(bars).items():
        if np.isnan(values).all():
            yield (
                f"{name}: feature {feature} has no value on any searched bar, {found.first} to {found.last}; "
                "give values known by then, or remove it"
            )
    if found.idle == found.n_bars and (account.max_volume_share > 0 or "max_volume_share" in searched):
        yield f"{name}: no bar has a volume, but max_volume_share is on: nothing can be traded; set it to 0"


def splits_column(reading: Reading) -> str | None:
    """What a file calls a column of splits that could be told; None where it has none."""
    return next((theirs for name, theirs in reading.features.items() if "split" in name), None)


def findings_as_notes(found: Findings, splits: str | None = None) -> Iterator[str]:
    """What may be wrong with the bars, in words. splits: a column that could say so, and is not told."""
    for jump in found.jumps[:_SHOWN]:
        told = f', or give [data] splits = "{splits}"' if splits and jump.split else ""
        why = f" (a {jump.split} split?)" if jump.split else " (a split?)"
        yield f"{jump.time}: the price changes by {jump.change:+.0%} in one bar{why}; use adjusted prices{told}"
    yield from _more(found.jumps, "jump")
    for spike in found.spikes[:_SHOWN]:
        yield f"{spike.time}: the price changes by {spike.change:+.1%} and comes back in the next bar (a wrong price?)"
    yield from _more(found.spikes, "spike")
    for gap in found.long_gaps[:_SHOWN]:
        yield (
            f"no bars for {spoken(gap.seconds)}, from {gap.start} to {gap.end}; "
            f"the longest usual step is {spoken(found.usual_seconds)}"
        )
    yield from _more(found.long_gaps, "long gap")
    if found.many_idle:
        yield f"{found.idle:,} of {found.n_bars:,} bars have no volume: what is traded there could not be"


def _more(items: Sequence[Any], what: str) -> Iterator[str]:
    if len(items) > _SHOWN:
        yield f"and {len(items) - _SHOWN} more {what}{'s' * (len(items) - _SHOWN > 1)}"
