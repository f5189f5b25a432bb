"""The coordinator's handle on the mirror process: never blocks the study, never fails it, imports no MLflow.

The process is started with a plain pipe to its standard input and answers in JSON lines; unlike `multiprocessing` this
needs nothing of the caller's `__main__`. A thread does the pickling and writing: a slow or stuck process is never
waited for.
"""

from __future__ import annotations

import json
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from optim.interrupts import interrupts_held_back
from optim.tracking.info import LiveTrial, MirrorReport, StudyInfo, StudyResult
from optim.tracking.settings import MLflowSettings, prepare_environment

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

LONG_TRIAL = 2.0  # seconds after which a running trial is shown
GATHER = 0.2  # seconds between two messages: each one wakes a thread that competes with the search
_START = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); from optim.tracking.process import main; main()"
)


Message = tuple[str, Any]


class StudyMirror(Protocol):
    """What the study loop knows of tracking."""

    @property
    def problem(self) -> str: ...
    def running(self, trial: LiveTrial) -> None: ...
    def finished(self, trials: Sequence[FrozenTrial]) -> None: ...
    def close(self, result: StudyResult | None, progress: Callable[[int, int], None] | None = None) -> MirrorReport: ...


class NullMirror:
    """Tracking switched off."""

    problem = ""

    def running(self, trial: LiveTrial) -> None:
        """Nothing."""

    def finished(self, trials: Sequence[FrozenTrial]) -> None:
        """Nothing."""

    def close(self, result: StudyResult | None, progress: Callable[[int, int], None] | None = None) -> MirrorReport:
        """An empty report."""
        return MirrorReport("", "", 0, "")


class Mirror:
    """A process that projects what it is told into MLflow while the study runs.

    `finished` must be given the whole record, what a resumed study finds in it included: it is what makes up
    `reports/trials.parquet`, and trials that MLflow already has are not written again. `patience` bounds `close`, in
    seconds.
    """

    def __init__(self, info: StudyInfo, settings: MLflowSettings, patience: float = 60.0) -> None:
        prepare_environment(settings)
        self._patience = patience
        self._told = 0
        self._state: dict[str, Any] = {"done": 0, "error": "", "parent": "", "experiment": "", "final": False}
        self._live: dict[int, LiveTrial] = {}
        self._heard = threading.Event()
        self._closing = threading.Event()
        self._outbox: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        with interrupts_held_back():  # inherited: Ctrl-C reaches the whole group, and the mirror must finish its work
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
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
        self._heard.wait()
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

    def close(self, result: StudyResult | None, progress: Callable[[int, int], None] | None = None) -> MirrorReport:
        """Wait until everything is in MLflow, at most `patience` seconds; calls `progress(done, told)` meanwhile."""
        self._outbox.put(("close", result))
        self._outbox.put(None)
        self._closing.set()
        deadline = time.monotonic() + self._patience
        try:
            while self._threads[1].is_alive() and time.monotonic() < deadline:
                self._threads[1].join(0.1)
                if progress:
                    progress(self._state["done"], self._told)
        finally:
            problem = self._stop()
        state = self._state
        return MirrorReport(state["parent"], state["experiment"], max(self._told - state["done"], 0), problem)

    def _stop(self) -> str:
        """End the process; one sentence if it had not ended by itself."""
        in_time = not self._threads[1].is_alive()
        if not in_time:
            self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        if in_time:
            return self.problem
        return f"MLflow was not up to date after {self._patience:g} seconds. {self._state['error']}".rstrip()

    def _send(self, first: Message) -> None:
        """The thread that feeds the process; it ends with the last message or with the process."""
        pipe = self._process.stdin
        assert pipe is not None
        with suppress(OSError), pipe:  # the process may be gone: `problem` says so
            pickle.dump(sys.path, pipe)
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
                for message in _gathered(messages):
                    write_message(pipe, message)

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
                self._state = json.loads(line)
                self._heard.set()
        self._heard.set()


def _gathered(messages: Sequence[Message | None]) -> Iterator[Message]:
    """The same news in fewer messages: all finished trials in one."""
    told = [message for message in messages if message is not None and message[1] != []]
    trials = [trial for kind, content in told if kind == "finished" for trial in content]
    if trials:
        yield "finished", trials
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
