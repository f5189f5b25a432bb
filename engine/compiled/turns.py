"""Whether threads compute the signals of a sweep one after another or at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

_QUICK = 2.0  # signals that take at most so many times what simulating them takes, processor time


class Turns:
    """Shared by the threads of one sweep. Each computes signals in `signals()` and then simulates in `simulating()`.

    A signal of a few short kernels holds the interpreter lock most of the time. Two threads that compute such signals
    hand it to each other at every kernel and lose more than they gain; one after another, the others simulate
    meanwhile. Where signals take longer than `_QUICK` simulations it is their kernels that count, and they overlap.
    `python -m benchmarks engine_sweep` shows what it brings.
    """

    def __init__(self) -> None:
        self.one_at_a_time = True
        self._lock = threading.Lock()
        self._spent = threading.local()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Compute signals here."""
        with self._lock if self.one_at_a_time else nullcontext():
            began = time.thread_time()
            yield
            self._spent.seconds = time.thread_time() - began

    @contextmanager
    def simulating(self) -> Iterator[None]:
        """Simulate here what was computed before; it says how the next signals are computed."""
        began = time.thread_time()
        yield
        self.one_at_a_time = self._spent.seconds <= _QUICK * (time.thread_time() - began)
