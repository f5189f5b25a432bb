"""What the coordinator tells its mirror arrives whole and in order, many trials in messages of some thousands."""

from __future__ import annotations

import io
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from optim.tracking import wire

TRIALS = st.tuples(st.just("finished"), st.integers(0, 12).map(lambda n: list(range(n))))  # numbers stand for trials
OTHERS = st.none() | st.tuples(st.sampled_from(["running", "found", "close"]), st.sampled_from(["a", None, []]))


@given(st.lists(TRIALS | OTHERS), st.integers(1, 5))
def test_all_trials_arrive_in_order_so_many_at_a_time_and_then_the_rest(messages: list[Any], at_once: int) -> None:
    before, wire.AT_ONCE = wire.AT_ONCE, at_once
    try:
        pipe = io.BytesIO()
        for message in wire.gathered(messages):
            wire.write_message(pipe, message)
    finally:
        wire.AT_ONCE = before
    pipe.seek(0)
    read = list(wire.read_messages(pipe))
    told = [message for message in messages if message is not None and message[1] != []]
    n_first = sum(kind == "finished" for kind, _ in read)
    assert all(kind == "finished" and len(trials) <= at_once for kind, trials in read[:n_first])
    sent = [number for kind, trials in told if kind == "finished" for number in trials]
    assert [number for _, trials in read[:n_first] for number in trials] == sent
    assert read[n_first:] == [message for message in told if message[0] != "finished"]
