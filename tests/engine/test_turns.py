"""Threads of a sweep compute quick signals one after another, long ones at the same time."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
import pytest

from engine import Signal, groups, strategy, sweep
from engine.check import random_bars
from engine.compiled import turns
from engine.compiled.turns import Turns
from engine.data.bars import Bars


def measured(taken: Turns, clock: pytest.MonkeyPatch, signals: float, simulating: float) -> bool:
    """Whether signals are computed one at a time after a group that took so many seconds of processor time."""
    readings = iter([10.0, 10.0 + signals, 20.0, 20.0 + simulating])
    with clock.context() as patched:
        patched.setattr(turns.time, "thread_time", lambda: next(readings))
        with taken.signals():
            pass
        with taken.simulating():
            pass
    return taken.one_at_a_time


def test_what_counts_is_the_last_group(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = Turns()
    assert taken.one_at_a_time
    assert not measured(taken, monkeypatch, 2.5, 1.0)
    assert measured(taken, monkeypatch, 1.5, 1.0)


def test_long_signals_are_computed_at_the_same_time() -> None:
    taken, both = Turns(), threading.Barrier(2, timeout=60)
    taken.one_at_a_time = False

    def compute() -> None:
        with taken.signals():
            both.wait()  # passes only if the other is here too

    other = threading.Thread(target=compute)
    other.start()
    compute()
    other.join()
    assert not both.broken


def test_quick_signals_are_computed_by_one_thread_at_a_time() -> None:
    taken, inside, most = Turns(), 0, 0

    def compute() -> None:
        nonlocal inside, most
        for _ in range(200):
            with taken.signals():
                inside += 1
                most = max(most, inside)
                sum(range(500))
                inside -= 1

    others = [threading.Thread(target=compute) for _ in range(3)]
    for one in others:
        one.start()
    for one in others:
        one.join()
    assert most == 1


def test_who_fails_leaves_the_turn_to_the_next() -> None:
    taken = Turns()
    with pytest.raises(KeyboardInterrupt), taken.signals():
        raise KeyboardInterrupt
    with taken.signals():
        assert taken.one_at_a_time


class Params(NamedTuple):
    days: int


_BUFFER = np.empty(300)


@strategy
def stopped(bars: Bars, p: Params) -> Signal:
    """Writes into one and the same array whenever it is asked."""
    _BUFFER[:] = np.arange(len(bars.close)) % p.days > p.days // 2
    return Signal(_BUFFER, stop=bars.close * 0.9)


def test_levels_are_simulated_outside_of_the_turn_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take as long as any simulation: within the turn no two threads would ever do them at the same time."""
    bars, days = random_bars(np.random.default_rng(0), 300), [{"days": n} for n in range(3, 40)]
    alone, held = groups._alone, []

    def watched(work: Any, *given: Any) -> Any:
        held.append(work.turns._lock.locked())
        return alone(work, *given)

    monkeypatch.setattr(groups, "_alone", watched)
    together = sweep(bars, stopped, days, n_jobs=1)
    assert held == [False] * len(days)
    for i, row in enumerate(days):  # one row at a time: nothing is asked for again before it is simulated
        one = sweep(bars, stopped, [row], n_jobs=1)
        assert together.iloc[i : i + 1].reset_index(drop=True).equals(one)
    assert together["n_trades"].nunique() > 3
