"""What the coordinator tells its mirror arrives whole and in order, or not at all: a part of a record is no record."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optim.tracking import wire

TRIALS = st.tuples(st.just("finished"), st.integers(0, 12).map(lambda n: list(range(n))))  # numbers stand for trials
OTHERS = st.none() | st.tuples(st.sampled_from(["running", "found", "close"]), st.sampled_from(["a", None, []]))


@pytest.fixture(params=[1, 3, 100])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(wire, "AT_ONCE", request.param)
    return request.param


def written(messages: list[Any]) -> bytes:
    pipe = io.BytesIO()
    for message in messages:
        wire.write_message(pipe, message)
    return pipe.getvalue()


class Odd:
    """A user's own: it can be written, and not read."""

    def __reduce__(self) -> Any:
        return int, ("odd",)


@pytest.mark.usefixtures("at_once")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(TRIALS | OTHERS), st.data())
def test_whole_messages_arrive_wherever_the_writer_was_killed(messages: list[Any], data: st.DataObject) -> None:
    told = [message for message in messages if message is not None and message[1] != []]
    trials = [trial for kind, some in told if kind == "finished" for trial in some]
    sent = [("finished", trials)] * bool(trials) + [message for message in told if message[0] != "finished"]
    gathered = list(wire.gathered(messages))
    assert gathered == sent
    assert list(wire.read_messages(io.BytesIO(written(gathered)))) == sent
    size = len(written(sent))
    cut = data.draw(st.integers(0, size))
    whole = [n for n in range(len(sent) + 1) if len(written(sent[:n])) <= cut]
    read = [one for one in wire.read_messages(io.BytesIO(written(sent)[:cut])) if one[0] != "unreadable"]
    assert read == sent[: whole[-1]]


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("place", range(7))
def test_what_cannot_be_read_spoils_its_message_and_no_other(place: int) -> None:
    trials: list[Any] = [*range(7)]
    trials[place] = Odd()
    told = [("finished", [1, 2]), ("finished", trials), ("finished", [*range(8)]), ("close", None)]
    read = list(wire.read_messages(io.BytesIO(written(told))))
    assert [kind for kind, _ in read] == ["finished", "unreadable", "finished", "close"]
    assert isinstance(read[1][1], ValueError)
    assert [read[0], *read[2:]] == [told[0], *told[2:]]
