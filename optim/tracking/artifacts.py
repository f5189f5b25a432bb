"""The files of a study and of its best trial, written into a folder and uploaded as they lie there."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from optim.record.table import trials_frame
from optim.tracking.info import StudyInfo, StudyResult

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from engine.report.result import BacktestResult


def log_config(client: Any, run_id: str, info: StudyInfo) -> None:
    """`config/study.toml` on the parent run."""
    client.log_text(run_id, info.config_toml, "config/study.toml")


def log_reports(
    client: Any, run_id: str, info: StudyInfo, trials: Sequence[FrozenTrial], result: StudyResult | None
) -> None:
    """`reports/trials.parquet` and, once the search has ended, `reports/best_params.toml` on the parent run; after
    `validate`, `holdout`, `sync` and a long search also `reports/report.html`.
    """
    with TemporaryDirectory() as name:
        reports = Path(name) / "reports"
        reports.mkdir()
        trials_frame(trials).to_parquet(reports / "trials.parquet")
        if result and result.best_params_toml:
            (reports / "best_params.toml").write_text(result.best_params_toml)
        if result and result.page:
            (reports / "report.html").write_text(result.page, encoding="utf-8", errors="replace")
        client.log_artifacts(run_id, name)


class Drawing:
    """The files of a winner's backtest, written while others still judge it: the plots take a second."""

    def __init__(self, number: int, backtests: Sequence[BacktestResult]) -> None:
        """number: the winner's."""
        self.number, self._backtests = number, backtests
        self._room = TemporaryDirectory()
        self._written = False
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        with suppress(Exception):  # it is written once more where it is needed, and told there
            _save(self._backtests, Path(self._room.name) / "best")
            self._written = True

    def put(self, number: int | None, folder: Path) -> bool:
        """Move the files there, where they are this trial's and were not taken before; whether they were."""
        self._thread.join()
        mine = self._written and number == self.number
        if mine:
            shutil.move(Path(self._room.name) / "best", folder)
            self._written = False
        return mine

    def close(self) -> None:
        """Nothing of it is left."""
        self._thread.join()
        self._room.cleanup()


def log_backtests(
    client: Any, parent_id: str, best_id: str | None, result: StudyResult, drawing: Drawing | None = None
) -> None:
    """The best trial's backtest (plots/ reports/ config/) on its own run, plots and tables on the parent too; the
    hold-out's under `holdout/` on the parent. Of several instruments each has a folder in these.
    """
    with TemporaryDirectory() as name:
        folder = Path(name) / "best"
        if drawing is None or not drawing.put(result.best_number, folder):
            _save(result.best, folder)
        for part in sorted(path.name for path in folder.glob("*")):
            if best_id:
                client.log_artifacts(best_id, str(folder / part), part)
            if part != "config":
                client.log_artifacts(parent_id, str(folder / part), part)
        folder = Path(name) / "holdout"
        if _save(result.holdout, folder):
            client.log_artifacts(parent_id, str(folder), "holdout")


def _save(backtests: Sequence[BacktestResult], folder: Path) -> bool:
    """Write the files of all backtests below `folder`, by their kind; whether there are any."""
    for backtest in backtests:
        with TemporaryDirectory() as name:
            for path in backtest.save(name):
                kind, _, file = path.relative_to(name).as_posix().partition("/")
                target = folder / kind / (backtest.instrument if len(backtests) > 1 else "") / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(path, target)
    return bool(backtests)


def log_datasets(client: Any, run_id: str, info: StudyInfo, make: Any) -> None:
    """The bars as MLflow dataset inputs; MLflow's digest holds 36 characters, the whole hash is in the profile.

    make: MLflow's entities.
    """
    inputs = []
    for data in info.datasets:
        source = json.dumps({"uri": data.source})
        profile = json.dumps({"rows": data.n_bars, "start": data.start, "end": data.end, "sha256": data.digest})
        dataset = make.Dataset(data.name, data.digest[:32], "local", source, profile=profile)
        inputs.append(make.DatasetInput(dataset, [make.InputTag("mlflow.data.context", "optimisation")]))
    if inputs:
        client.log_inputs(run_id, inputs)
