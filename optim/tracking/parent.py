"""The study's own run in MLflow, under which its trials' runs are: opened, given its files, ended."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from optim.errors import TrackingError
from optim.tracking import artifacts
from optim.tracking.info import StudyInfo, StudyResult
from optim.tracking.limits import MAX_TAG, fit_key
from optim.tracking.overview import OPENED_TAG, TOP, best_of, description, opened_view, study_points, trials_view
from optim.tracking.rows import NOTE_TAG, STUDY_TAG, MetricPoint, milliseconds, parent_row
from optim.tracking.store import RunStore, equal, unfinished
from optim.tracking.windows import log_windows
from optim.tracking.winner import mark_winner, opened, withdrawn

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


P_VALUE = "verdict/romano_wolf_p_value"  # as the study's own run has it of the winner


class ParentRun:
    """The run of one study. `progress` is called whenever something has been achieved."""

    def __init__(self, info: StudyInfo, progress: Callable[[], None]) -> None:
        self.info = info
        self.run_id = ""
        self.drawing: artifacts.Drawing | None = None  # of the winner, where it is known already
        self._progress = progress
        self._before: Any = None  # the run as it was found
        self._files_logged = False

    def open(self, store: RunStore) -> None:
        """Make sure that it is there, once, and running."""
        row = parent_row(self.info)
        found = store.find({STUDY_TAG: self.info.study_id, "optim.role": "study"})
        for surplus in found[1:]:
            store.client.delete_run(surplus.info.run_id)  # its children come under the first one
        if found:
            run = found[0]
            self.run_id = run.info.run_id
            self._before = self._before or run
            store.add(self.run_id, (), {k: v for k, v in row.params.items() if k not in run.data.params})
            store.set_tags(self.run_id, {k: v for k, v in row.tags.items() if k != "mlflow.runName"})
        else:
            self.run_id = store.create(row._replace(overflow={}))
        store.set_tags(self.run_id, {"status": "running"})
        store.client.update_run(self.run_id, status="RUNNING")

    def log_files(self, store: RunStore) -> None:
        """The study's configuration and data, after the trials: files that fail must not hold trials back."""
        if not self._files_logged:
            self._progress()
            artifacts.log_datasets(store.client, self.run_id, self.info, store.entities)
            artifacts.log_config(store.client, self.run_id, self.info)
            store.log_overflow(self.run_id, parent_row(self.info))
            self._files_logged = True

    def finish(
        self,
        store: RunStore,
        trials: Sequence[FrozenTrial],
        result: StudyResult | None,
        run_ids: Mapping[int, str],
        note: str = "",
    ) -> None:
        """What is known of the whole study, and its end. run_ids: of the trials that have a run; note: which have none.

        Raises:
            TrackingError: MLflow does not hold the run as it was ended.
        """
        client, experiment_id = store.client, store.experiment_id
        ends = [t.datetime_complete for t in trials if t.datetime_complete]
        end = milliseconds(max(ends, default=self.info.start))
        status = result.status if result else "interrupted"
        best_id = run_ids.get(result.best_number) if result and result.best_number is not None else None
        best = best_of(self.info, trials, TOP)
        top = [run_ids[trial.number] for trial in best if trial.number in run_ids]
        tags = {"status": status, "optim.top_runs": " ".join(top)}
        if best_id and result:
            tags |= {"optim.best_trial": str(result.best_number), "optim.best_run_id": best_id}
        if result and result.holdout:
            tags[OPENED_TAG] = fit_key(self.info.objectives[0])
        told = description(self.info, experiment_id, trials, result, self.run_id, best_id, top, note)
        tags[NOTE_TAG] = told[:MAX_TAG]
        store.set_tags(self.run_id, tags | dict(result.tags if result else {}))
        if result:
            self._log_result(store, result, best_id, len(trials))
        client.set_experiment_tag(experiment_id, *trials_view(self.info, self.run_id, best[:1]))
        if result and result.holdout:
            client.set_experiment_tag(experiment_id, *opened_view(self.info))
        self._log_new(store, study_points(self.info, trials, end))
        self._log_p_values(store, best, len(trials), result, run_ids)
        self._progress()
        artifacts.log_reports(client, self.run_id, self.info, trials, result)
        self._progress()
        if result:
            artifacts.log_backtests(client, self.run_id, best_id, result, self.drawing)
            self._progress()
            log_windows(store, self.info, self.run_id, result.windows, self._progress)
        ending = "FINISHED" if status == "finished" else "KILLED"
        store.end(self.run_id, ending, end)
        parents = store.find({STUDY_TAG: self.info.study_id, "optim.role": "study"})
        if [(run.info.run_id, run.info.status) for run in parents] != [(self.run_id, ending)]:
            raise TrackingError(f"MLflow holds {len(parents)} runs of the study itself, not one that is {ending}")

    def _log_new(self, store: RunStore, points: Sequence[MetricPoint]) -> None:
        known = {
            (m.key, m.step, m.value)
            for key in {p.key for p in points}
            for m in store.client.get_metric_history(self.run_id, key)
        }
        store.add(self.run_id, [p for p in points if (p.key, p.step, p.value) not in known])

    def _log_result(self, store: RunStore, result: StudyResult, best_id: str | None, step: int) -> None:
        """The result's own metrics, what the hold-out showed on the winner's run too, and the winner's mark."""
        former = withdrawn(store.client.get_run(self.run_id).data.metrics, result.metrics)
        self._log_changed(store, self.run_id, {**result.metrics, **former}, step)
        mark_winner(store, self.info, best_id)
        if best_id and (shown := opened(result.metrics)):
            self._log_changed(store, best_id, shown, step)

    def _log_changed(self, store: RunStore, run_id: str, metrics: Mapping[str, float], step: int) -> None:
        """The result's own metrics where they are news: of equal steps MLflow shows the latest."""
        now, known = milliseconds(datetime.now()), store.client.get_run(run_id).data.metrics
        points = [MetricPoint(fit_key(name), value, now, step) for name, value in metrics.items()]
        store.add(run_id, [p for p in points if p.key not in known or not equal(known[p.key], p.value)])

    def _log_p_values(
        self,
        store: RunStore,
        best: Sequence[FrozenTrial],
        n_trials: int,
        result: StudyResult | None,
        run_ids: Mapping[int, str],
    ) -> None:
        """On the best trials' runs, at the number of trials they were corrected for."""
        if result is None or result.p_values is None:
            return
        for trial in best:
            if trial.number in run_ids:
                value = result.p_values.get(trial.number, 1.0)
                self._log_changed(store, run_ids[trial.number], {P_VALUE: value}, n_trials)

    def ended_before(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether the run had already come to an end with no fewer trials than now."""
        before = self._before
        if before is None or unfinished(before):
            return False
        return bool(sum(v for key, v in before.data.metrics.items() if key.startswith("trials/")) >= len(trials))

    def end_as_before(self, store: RunStore) -> None:
        """A process that only looked in, and was stopped, leaves a study as it found it."""
        store.set_tags(self.run_id, {"status": self._before.data.tags.get("status", "finished")})
        store.end(self.run_id, self._before.info.status, self._before.info.end_time)
