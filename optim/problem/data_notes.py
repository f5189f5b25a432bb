"""What a user should hear about the bars of a study before it is searched; the hold-out's bars stay unseen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from engine.data.bars import Bars
from engine.data.formats import Reading
from engine.data.inspect import Findings, inspect, spoken
from engine.simulator.account import Account

_SHOWN = 3


def data_notes(name: str, bars: Bars, reading: Reading, account: Account, searched: Sequence[str]) -> Iterator[str]:
    """One sentence for each thing that is strange about the searched bars of a file.

    searched: the parameters of the search space, of which account rules may be some.
    """
    found = inspect(bars)
    for text in (*reading.notes, *findings_as_notes(found)):
        yield f"{name}: {text}"
    if found.idle == found.n_bars and (account.max_volume_share > 0 or "max_volume_share" in searched):
        yield f"{name}: no bar has a volume, but max_volume_share is on: nothing can be traded; set it to 0"


def findings_as_notes(found: Findings) -> Iterator[str]:
    """What may be wrong with the bars, in words."""
    for jump in found.jumps[:_SHOWN]:
        why = f" (a {jump.split} split?)" if jump.split else " (a split?)"
        yield f"{jump.time}: the price changes by {jump.change:+.0%} in one bar{why}; use adjusted prices"
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
