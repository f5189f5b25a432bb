"""Waiting for what other processes do: always with a deadline, and a sentence when it has passed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def until(probe: Callable[[], T | None], failure: str, seconds: float = 60, pause: float = 0.05) -> T:
    """What `probe` returns, as soon as it is something; AssertionError with `failure` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"{failure} ({seconds:g} seconds)"
        time.sleep(pause)
    return found


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def children(pid: int, command: str) -> set[int]:
    """The living children of a process whose command line has these words."""
    found = set()
    for listed in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in listed.read_text().split():
            words = Path(f"/proc/{child}/cmdline")
            if alive(int(child)) and words.exists() and command in words.read_text().replace("\0", " "):
                found.add(int(child))
    return found


def mirrors(pid: int) -> set[int]:
    """The mirror processes of a coordinator."""
    return children(pid, "optim.tracking.process")
