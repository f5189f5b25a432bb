"""The coordinator's handle on the mirror process: never blocks the study, never fails it, imports no MLflow.

The process is started with a plain pipe to its standard input and answers in JSON lines; unlike `multiprocessing` this
needs nothing of the caller's `__main__`. A thread does the pickling and writing: a slow or stuck process is never
waited for.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from optim.tracking.info import LONG_TRIAL, LiveTrial, MirrorReport, StudyInfo, StudyResult
from optim.tracking.mlflow_private import without_mlflow
from optim.tracking.settings import MLflowSettings, environment
from optim.tracking.wire import Message, gathered, write_message
from optim.workers.interrupts import interrupts_held_back

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from engine.report.result import BacktestResult

LAST_SECONDS = 2.0  # how long an ended process is waited for before it is killed, and a killed one
HURRY = 3.0  # how long it may write after Ctrl-C
GATHER = 0.2  # seconds between two messages: each one wakes a thread that competes with the search
_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from optim.tracking.process import main; main()"
)


def start_process(settings: MLflowSettings) -> subprocess.Popen[bytes]:
    """A mirror process, which imports MLflow until it is told of a study, and ends when the pipe to it is closed."""
    with interrupts_held_back():  # inherited: Ctrl-C reaches the whole group, and the mirror must finish its work
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, "" if without_mlflow(settings) else settings.kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **environment(settings)},
        )
    with suppress(OSError):  # it may be gone: `Mirror.problem` says so
        assert process.stdin is not None
        pickle.dump(sys.path, process.stdin)
        process.stdin.flush()
    return process


@contextmanager
def early_process(settings: MLflowSettings) -> Iterator[subprocess.Popen[bytes]]:
    """A process for a Mirror that is made later: MLflow is imported while the study is read. Ended at the end."""
    process = start_process(settings)
    try:
        yield process
    finally:
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(LAST_SECONDS)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None and not pipe.closed:
                with suppress(OSError):
                    pipe.close()


class Mirror:
    """A process that projects what it is told into MLflow while the study runs.

    `finished` must be given the whole record, what a resumed study finds in it included: it is what makes up
    `reports/trials.parquet`, and trials that MLflow already has are not written again. `stall_timeout` is how
    long `close` waits for the next sign of progress, in seconds. `process` was started before, by `early_process`. As a
    context manager it is closed whatever happens.
    """

    def __init__(
        self,
        info: StudyInfo,
        settings: MLflowSettings,
        stall_timeout: float = 60.0,
        process: subprocess.Popen[bytes] | None = None,
    ) -> None:
        self._stall_timeout = stall_timeout
        self._told = 0
        self._state: dict[str, Any] = {
            "done": 0,
            "steps": 0,
            "error": "",
            "parent": "",
            "experiment": "",
            "final": False,
            "note": "",
        }
        self._live: dict[int, LiveTrial] = {}
        self._heard = threading.Event()
        self._ended = threading.Event()  # Thread.is_alive is wrong once Ctrl-C has interrupted a join (Python < 3.13)
        self._closing = threading.Event()
        self._report: MirrorReport | None = None
        self._progressed = 0.0  # when the process last told of progress
        self._outbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._process = start_process(settings) if process is None else process
        self._threads = [
            threading.Thread(target=self._send, args=(("start", (info, settings)),), daemon=True),
            threading.Thread(target=self._listen, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    @property
    def problem(self) -> str:
        """One sentence when something keeps the projection back, else empty."""
        if self._process.poll() is not None and not self._state["final"]:
            code = self._process.returncode
            return f"The MLflow mirror process died ({f'signal {-code}' if code < 0 else f'exit code {code}'})."
        return str(self._state["error"])

    def wait_until_open(self) -> bool:
        """Wait for the process's first attempt; whether MLflow has been reached and the parent run is there."""
        while not self._state["parent"] and not self._state["error"] and not self._ended.is_set():
            self._heard.wait()
            self._heard.clear()
        return bool(self._state["parent"])

    def running(self, trial: LiveTrial) -> None:
        """A trial's cells so far; costs a dictionary entry until the trial has lasted two seconds."""
        self._live[trial.number] = trial

    def finished(self, trials: Sequence[FrozenTrial]) -> None:
        """Trials that are in the record."""
        self._told += len(trials)
        for trial in trials:
            self._live.pop(trial.number, None)
        if trials and self._process.poll() is None:
            self._outbox.put(("finished", list(trials)))

    def found(self, number: int, backtests: Sequence[BacktestResult]) -> None:
        """The winner is known, and not yet judged."""
        if self._process.poll() is None:
            self._outbox.put(("found", (number, backtests)))

    def conclude(self, result: StudyResult | None) -> None:
        """Hand over the result: from now on MLflow comes to the right end whatever becomes of this process."""
        if not self._closing.is_set():
            self._outbox.put(("close", result))
            self._outbox.put(None)
            self._closing.set()

    def close(
        self, result: StudyResult | None = None, progress: Callable[[int, int], None] | None = None
    ) -> MirrorReport:
        """Wait until everything is in MLflow, as long as there is progress; calls `progress(done, told)` meanwhile.

        After an exception, Ctrl-C's too, `give_up` or another call ends it. A result that was handed over before stays.
        """
        if self._report is None:
            self.conclude(result)
            self._wait(progress)
            self._report = self._stop(interrupted=False)
        return self._report

    def give_up(self) -> MirrorReport:
        """End the process at once; the report says `interrupted`, and what is missing."""
        if self._report is None:
            self._report = self._stop(interrupted=True)
        return self._report

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._report is None and kind is KeyboardInterrupt:
            self.conclude(None)
            self._ended.wait(HURRY)
            self.give_up()
        self.close()

    def _wait(self, progress: Callable[[int, int], None] | None) -> None:
        """Until the process has ended, or told of no progress for `stall_timeout` seconds."""
        self._progressed = time.monotonic()
        ended = False
        while not ended and time.monotonic() < self._progressed + self._stall_timeout:
            ended = self._ended.wait(0.1)
            if progress:
                progress(self._state["done"], self._told)

    def _stop(self, interrupted: bool) -> MirrorReport:
        """End the process, and wait for nothing long."""
        in_time = self._ended.is_set()
        with suppress(subprocess.TimeoutExpired):
            if in_time:
                self._process.wait(LAST_SECONDS)
        self._process.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(LAST_SECONDS)
        for thread in self._threads:
            thread.join(LAST_SECONDS)
        pipe = self._process.stdin
        if pipe is not None and not self._threads[0].is_alive():
            with suppress(OSError):
                pipe.close()
        state = self._state
        if interrupted:
            said = f"Interrupted before MLflow was up to date. {state['error']}".rstrip()
        elif in_time:
            said = self.problem
        else:
            said = f"MLflow was not up to date after {self._stall_timeout:g} seconds without progress."
            said = f"{said} {state['error']}".rstrip()
        missing = max(self._told - state["done"], 0)
        return MirrorReport(state["parent"], state["experiment"], missing, said, interrupted, state["note"])

    def _send(self, first: Message) -> None:
        """The thread that feeds the process; it ends with the last message or with the process. The pipe stays open
        until the process has ended: that it closes tells the process that this one is gone.
        """
        pipe = self._process.stdin
        assert pipe is not None
        with suppress(OSError):  # the process may be gone: `problem` says so
            write_message(pipe, first)
            shown: dict[int, LiveTrial] = {}
            going = True
            while going:
                pipe.flush()
                try:
                    messages = [self._outbox.get(timeout=LONG_TRIAL / 4)]
                except queue.Empty:
                    messages = [("running", self._long_trials(shown))]
                self._closing.wait(GATHER)
                while not self._outbox.empty():
                    messages.append(self._outbox.get())
                going = None not in messages
                for message in gathered(messages):
                    write_message(pipe, message)
            pipe.flush()

    def _long_trials(self, shown: dict[int, LiveTrial]) -> list[LiveTrial]:
        """Running trials older than two seconds that have news."""
        now = time.time()
        old = [
            t for t in list(self._live.values()) if now - t.start.timestamp() > LONG_TRIAL and shown.get(t.number) != t
        ]
        shown.update({trial.number: trial for trial in old})
        return old

    def _listen(self) -> None:
        """The thread that hears the process, until it ends."""
        pipe = self._process.stdout
        assert pipe is not None
        with pipe:
            for line in pipe:
                if not line.endswith(b"\n"):
                    break  # killed while it spoke
                before, self._state = self._state, json.loads(line)
                if (self._state["done"], self._state["steps"]) != (before["done"], before["steps"]):
                    self._progressed = time.monotonic()
                self._heard.set()
        self._ended.set()
        self._heard.set()
