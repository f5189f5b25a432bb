"""A study's runs in MLflow as a whole: counted, renamed, deleted. Importing it imports no MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from optim.errors import OptimError, TrackingError
from optim.tracking.process import quietly, sentence
from optim.tracking.rows import NAME_LIMIT, STUDY_TAG
from optim.tracking.settings import MLflowSettings
from optim.tracking.store import RunStore
from optim.tracking.turn import Turn
from optim.tracking.windows import WINDOWS_OF


class StudyRuns:
    """All runs of one study; no other process writes them meanwhile. Made by `held`."""

    def __init__(self, store: RunStore, study_id: str) -> None:
        self._store = store
        self._own = [str(run.info.run_id) for run in store.find({STUDY_TAG: study_id, "optim.role": "study"})]
        windows = [str(run.info.run_id) for run in store.find({WINDOWS_OF: study_id})]
        self._under = [child.run_id for child in store.children(study_id)] + windows

    def __len__(self) -> int:
        return len(self._own) + len(self._under)

    def rename(self, name: str) -> None:
        """The study's own run is called so from now on."""
        for run_id in self._own:
            self._store.client.update_run(run_id, name=name[:NAME_LIMIT])

    def delete(self) -> None:
        """As MLflow does: they can be restored. The study's own run goes last."""
        for runs in (self._under, self._own):
            for start in range(0, len(runs), self._store.chunk):
                self._store.delete(runs[start : start + self._store.chunk])


@contextmanager
def held(study_id: str, settings: MLflowSettings) -> Iterator[StudyRuns | None]:
    """The study's runs, held alone; None where there is no database yet.

    TrackingError in one sentence without credentials when MLflow cannot be reached or refuses, or another process
    writes the study.
    """
    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        yield None
        return
    turn = Turn(settings, study_id)
    try:
        with quietly(settings):
            store = RunStore(settings)
            turn.take(timeout=1.0)
            yield StudyRuns(store, study_id)
    except TrackingError as error:
        raise TrackingError(sentence(error, settings)) from None
    except OptimError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever MLflow, a driver or a disk raises becomes one sentence
        raise TrackingError(sentence(error, settings)) from None
    finally:
        turn.release()
