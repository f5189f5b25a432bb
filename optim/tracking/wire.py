"""What the coordinator and the mirror process say to each other: pickled messages in frames."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

Message = tuple[str, Any]


AT_ONCE = 5_000  # trials of a frame: while it is read the next one is written


def gathered(messages: Sequence[Message | None]) -> Iterator[Message]:
    """The same news in fewer messages: all finished trials in one."""
    told = [message for message in messages if message is not None and message[1] != []]
    trials = [trial for kind, content in told if kind == "finished" for trial in content]
    if trials:
        yield "finished", trials
    yield from (message for message in told if message[0] != "finished")


def write_message(pipe: Any, message: Message) -> None:
    """One message, in frames: what cannot be read at the other end does not spoil the next one.

    A frame is its length, 8 bytes, below zero where more of the message follows, and the pickled rest.
    """
    kind, content = message
    starts = range(0, len(content), AT_ONCE) if kind == "finished" else range(1)
    for start in starts:
        part = content[start : start + AT_ONCE] if kind == "finished" else content
        payload = pickle.dumps((kind, part), protocol=pickle.HIGHEST_PROTOCOL)
        length = len(payload) if start == starts[-1] else -len(payload)
        pipe.write(length.to_bytes(8, "little", signed=True) + payload)


def read_messages(pipe: Any) -> Iterator[Message]:
    """What `write_message` wrote, until the pipe is closed or the writer is gone; half a message is none."""
    parts: list[Message] = []
    failure: Exception | None = None
    while len(size := pipe.read(8)) == 8:
        length = int.from_bytes(size, "little", signed=True)
        payload = pipe.read(abs(length))
        try:
            parts.append(pickle.loads(payload))
        except Exception as error:  # noqa: BLE001 - whatever a user's class raises while it is unpickled
            failure = error
        if length < 0:
            continue
        if failure is not None:
            yield "unreadable", failure
        else:
            yield parts[0] if len(parts) == 1 else ("finished", [trial for _, some in parts for trial in some])
        parts, failure = [], None
