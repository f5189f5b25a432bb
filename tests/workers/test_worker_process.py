"""One worker process, ended at the worst moment."""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from optim.workers.joblib_private import WorkerProcess
from tests.waiting import until


def test_a_process_ended_before_its_next_call_is_taken_up_leaves_no_traceback(tmp_path: Path) -> None:
    """loky ends its calls from a thread: it is held at the end of a first call until the process is being ended."""
    os.mkfifo(tmp_path / "pipe")
    process = WorkerProcess(int, (), {})
    held = threading.Event()

    def hold(_: Future[Any]) -> None:
        held.set()
        until(lambda: process._executor._flags.shutdown, "the process is not being ended", pause=0.001)

    first = process.submit(Path.read_text, tmp_path / "pipe")
    first.add_done_callback(hold)
    (tmp_path / "pipe").write_text("go on")
    assert held.wait(60)
    second = process.submit(abs, -2)
    process.end()  # what its thread raises fails this test: pytest looks for it
    assert first.result() == "go on"
    with pytest.raises(RuntimeError, match="before this job could complete"):
        second.result(0)
