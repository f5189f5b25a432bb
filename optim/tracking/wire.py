"""What the coordinator and the mirror process say to each other: pickled messages in frames."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

Message = tuple[str, Any]


AT_ONCE = 5_000  # trials of a message: while it is read the next one is written


def gathered(messages: Sequence[Message | None]) -> Iterator[Message]:
    """The same news in fewer messages: all finished trials first, so many together."""
    told = [message for message in messages if message is not None and message[1] != []]
    trials = [trial for kind, content in told if kind == "finished" for trial in content]
    yield from (("finished", trials[i : i + AT_ONCE]) for i in range(0, len(trials), AT_ONCE))
    yield from (message for message in told if message[0] != "finished")


def write_message(pipe: Any, message: Message) -> None:
    """One message, framed: what cannot be read at the other end does not spoil the next one."""
    payload = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.write(len(payload).to_bytes(8, "little") + payload)


def read_messages(pipe: Any) -> Iterator[Message]:
    """What `write_message` wrote, until the pipe is closed or the writer is gone."""
    while len(size := pipe.read(8)) == 8:
        payload = pipe.read(int.from_bytes(size, "little"))
        try:
            yield pickle.loads(payload)
        except Exception as error:  # noqa: BLE001 - whatever a user's class raises while it is unpickled
            yield "unreadable", error
