"""What runs in the mirror process: take what the coordinator sends, project it, retry until it works, report."""

from __future__ import annotations

import gc
import importlib
import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from optim.errors import cause
from optim.record.garbage import look_seldom
from optim.spec.secrets import mask
from optim.tracking import mlflow_private
from optim.tracking.info import LiveTrial, MirrorReport, StudyInfo, StudyResult
from optim.tracking.projection import Projection
from optim.tracking.settings import MLflowSettings, environment, prepare_environment
from optim.tracking.turn import BusyError
from optim.tracking.wire import read_messages

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

PACE = 0.5  # seconds between writes while the study runs: many trials in one cost the search least
LAST_ATTEMPTS = 3  # after the study's end
LONGEST_PAUSE = 15.0  # seconds between attempts while it runs
WRITE_SECONDS = 10.0  # so long a mirror whose coordinator is gone still writes what it holds
ORPHAN_SECONDS = 30.0  # and then it ends, whatever it is doing: the next mirror waits for it


def main() -> None:
    """Entry point of the process."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not get among the answers
    with suppress(OSError, AttributeError):
        os.nice(10)  # the search comes first
    quiet_http()
    look_seldom()
    loading = threading.Thread(target=_import_mlflow, args=sys.argv[1:2], daemon=True)
    loading.start()
    messages = read_messages(sys.stdin.buffer)
    if (first := next(messages, None)) is None:
        os._exit(0)  # there is no study for it
    info, settings = first[1]
    state = MirrorState(info, settings, answers)
    inbox: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(messages, inbox, state), daemon=True).start()
    state.load(loading)
    threading.Thread(target=_import_drawing, daemon=True).start()
    with state.projection:
        state.run(inbox)
    for stream in (answers, sys.stdout, sys.stderr):
        with suppress(OSError):  # the coordinator may be gone
            stream.flush()
    os._exit(0)  # Python's own end visits all of MLflow once more, and the coordinator waits for it


_QUIET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_POOL_MAXSIZE": "32",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def quiet_http() -> None:
    """One quick attempt per call, no advertisement: repeating is the projection's business, MLflow's own would repeat a
    creation that has worked. For a process of our own."""
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)


_environment = threading.Lock()


@contextmanager
def quietly(settings: MLflowSettings) -> Iterator[None]:
    """The same in a process that is not ours alone: it has its own settings back afterwards."""
    with _environment:  # one at a time: the first to end would take the others' away
        added = [name for name in (*_QUIET, *environment(settings)) if name not in os.environ]
        quiet_http()
        prepare_environment(settings)
        try:
            yield
        finally:
            for name in added:
                os.environ.pop(name, None)


def _receive(messages: Any, inbox: queue.SimpleQueue[tuple[str, Any]], state: MirrorState) -> None:
    concluded = False
    for message in messages:
        inbox.put(message)
        concluded |= message[0] == "close"
    if not state.projection.opened and not concluded:
        os._exit(0)  # the coordinator was killed before anything was written: the next one need not wait for this
    state.left = time.monotonic()
    inbox.put(("gone", None))
    time.sleep(ORPHAN_SECONDS)
    os._exit(1)


def _import_mlflow(kind: str) -> None:
    """All that opening a store of this kind takes; "" where MLflow is not needed."""
    gc.disable()  # nothing of it is ever garbage: looking takes a quarter of the time
    with suppress(Exception):  # it is imported once more where it is used, and told there
        importlib.import_module("optim.tracking.store")
        if kind:
            mlflow_private.load(kind)
    gc.enable()


def _import_drawing() -> None:
    """What the end of a study takes, while it is searched."""
    with suppress(Exception):
        for name in ("pyarrow.parquet", "matplotlib.backends.backend_agg", "matplotlib.figure"):
            importlib.import_module(name)


class MirrorState:
    """The state of the mirror process."""

    def __init__(self, info: StudyInfo, settings: MLflowSettings, answers: Any) -> None:
        self.info = info
        self.settings = settings
        self.answers = answers
        self.trials: dict[int, FrozenTrial] = {}
        self.live: dict[int, LiveTrial] = {}
        self.result: StudyResult | None = None
        self._due: list[FrozenTrial] | None = None  # what _chosen has found
        self.searched = False
        self.ended = False
        self.error = ""
        self.unreadable: Exception | None = None
        self.steps = 0  # what has been achieved: the coordinator waits as long as it grows
        self.left = math.inf  # when the coordinator was found to be gone
        self.projection = Projection(info, settings, self._step, lambda: time.monotonic() > self.left + WRITE_SECONDS)

    def load(self, thread: threading.Thread) -> None:
        """Wait for MLflow's import, which takes a busy machine a minute: what the processor does is progress."""
        spent = 0.0
        while thread.is_alive():
            thread.join(1.0)
            if time.process_time() > spent:
                spent = time.process_time() + 0.01  # more than the looking takes
                self._step()

    def run(self, inbox: queue.SimpleQueue[tuple[str, Any]]) -> None:
        """Until the study has ended and is in MLflow, or the last attempts have failed."""
        pause = 0.0
        self._attempt()
        gc.freeze()  # MLflow's import leaves a million objects that every full collection would visit
        while not self.ended:
            pause = PACE if self._attempt() else min(2 * pause + PACE, LONGEST_PAUSE)
            due = time.monotonic() + pause
            if not self.error:
                self._take(inbox, None)
                if self.searched:  # what is there now is all there will be
                    continue
            while not self.ended and (left := due - time.monotonic()) > 0:
                self._take(inbox, left)
        for attempt in range(LAST_ATTEMPTS):
            if self._attempt():
                break
            time.sleep(0.5 * (attempt + 1))
        self._answer(final=True)

    def _take(self, inbox: queue.SimpleQueue[tuple[str, Any]], timeout: float | None) -> None:
        """Wait for a message, then take all there are: one write for many trials."""
        try:
            message = inbox.get(timeout=timeout)
        except queue.Empty:
            return
        self._handle(*message)
        while not inbox.empty():
            self._handle(*inbox.get())

    def _chosen(self) -> list[FrozenTrial]:
        """The trials that get a run, as far as they are known: looked for once after every message."""
        if self._due is None:
            self._due = self.projection.chosen(self.trials.values(), ended=self.ended)
        return self._due

    def _handle(self, kind: str, content: Any) -> None:
        self._due = None
        if kind == "finished":
            self.trials |= {trial.number: trial for trial in content}
            for trial in content:
                self.live.pop(trial.number, None)
        elif kind == "running":
            self.live |= {trial.number: trial for trial in content if trial.number not in self.trials}
        elif kind == "found":
            self.searched = True
            self.projection.found(*content)
        elif kind == "close":
            self.result, self.ended = content, True
        elif kind == "unreadable":
            self.unreadable = content
        elif kind == "gone":
            self.ended = True

    def _attempt(self) -> bool:
        """Project all that is known; whether it worked."""
        try:
            self.projection.project(self._chosen())
            self.projection.show_running(self.live.values())
            if self.ended:
                self.projection.finish(list(self.trials.values()), self.result)
            self.error = sentence(self.unreadable, self.settings) if self.unreadable else ""
        except Exception as error:  # noqa: BLE001 - whatever MLflow, a driver or a disk raises: told, and tried again
            self.error = sentence(error, self.settings)
            return False
        finally:
            self._answer()
        return True

    def _step(self) -> None:
        self.steps += 1
        self._answer()

    def _answer(self, *, final: bool = False) -> None:
        projection = self.projection
        state = {
            "done": len(self.trials) - projection.missing(self._chosen()),
            "steps": self.steps,
            "error": self.error,
            "parent": projection.parent_id,
            "experiment": projection.experiment_id,
            "final": final,
            "note": projection.note,
        }
        with suppress(OSError):  # the coordinator may be gone
            print(json.dumps(state), file=self.answers, flush=True)


def sync(
    info: StudyInfo, settings: MLflowSettings, trials: Sequence[FrozenTrial], result: StudyResult | None
) -> MirrorReport:
    """Bring MLflow to exactly the record, in this process. `trials` is the whole record: what is missing is written,
    what is incomplete repaired, what the record does not know deleted."""
    error = ""
    with quietly(settings), Projection(info, settings) as projection:
        for attempt in range(LAST_ATTEMPTS):
            time.sleep(0.5 * attempt)
            try:
                projection.project(projection.chosen(trials, ended=True))
                projection.finish(trials, result, exact=True)
            except BusyError as busy:
                error = sentence(busy, settings)
                break
            except Exception as failure:  # noqa: BLE001 - whatever MLflow, a driver or a disk raises becomes one sentence
                error = sentence(failure, settings)
            else:
                error = ""
                break
    missing = projection.missing(projection.chosen(trials, ended=True))
    return MirrorReport(projection.parent_id, projection.experiment_id, missing, error, note=projection.note)


def sentence(error: Exception, settings: MLflowSettings) -> str:
    """One line about a failure, without credentials."""
    text = " ".join(str(error).split()) or type(error).__name__
    said = mask(
        f"MLflow at {settings.masked}: {cause(text)}", settings.tracking_uri
    )  # before it is cut: no half a secret
    return said if len(said) <= 500 else f"{said[:500]} ..."
