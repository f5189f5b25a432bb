"""The first verdict: after a search that was quick, the compiler's time aside."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from optim.api import Study
from optim.problem.plan import make_plan
from optim.report.view import Quiet
from optim.search.search import make_pool
from optim.spec.study import load_spec
from optim.verdict.assess import Effort, without_statistics
from optim.verdict.spoken import first_verdict
from tests.studies import write_study


@pytest.mark.parametrize(("waits", "judged"), [(15.0, True), (0.0, False)])
def test_the_compiler_has_no_say_in_whether_a_search_was_quick(waits: float, judged: bool, tmp_path: Path) -> None:
    """Sixteen seconds of search: fifteen of them before the first trial ended, or all of them at work."""
    study = Study.from_toml(write_study(tmp_path, study={"n_trials": 12}))
    study.run()
    plan, record = study.recorded()
    plan = plan._replace(spec=load_spec(tmp_path / "study.toml", {"validation": {"quick": 2}}))
    trials = record.trials()
    first = trials[0]
    assert first.datetime_complete is not None
    first.datetime_complete += timedelta(seconds=waits)
    with make_pool(plan, here=True) as pool:
        told = first_verdict(plan, record, trials, "budget spent", pool, 16.0, lambda: False, lambda null: None)
    assert told is not None
    assert (told["statistics"] is not None) == judged
    why = "the search took longer than [validation] quick = 2 seconds, and they run every trial once more"
    assert judged or f"no statistics yet: {why}; optim validate does" in told["reasons"]


@pytest.mark.parametrize(
    ("compiled", "reason", "effort", "why"),
    [
        (False, "budget spent", "bare", "the search took longer than [validation] quick = 5 seconds, the start of its "
                                        "workers included"),
        (True, "timeout", "bare", "the search took longer than [validation] quick = 5 seconds"),
        (False, "interrupted", "bare", "it was stopped before them"),
        (True, "budget spent", "whole", "it was stopped before them"),
    ],
)  # fmt: skip
def test_why_there_are_no_statistics_is_said(
    compiled: bool, reason: str, effort: Effort, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(load_spec(write_study(tmp_path, validation={"quick": 5})))
    monkeypatch.setattr(plan.strategy, "compiled", compiled)
    said = f"no statistics yet: {why}, and they run every trial once more; optim validate does"
    assert without_statistics(plan, reason, effort) == said


class Impatient(Quiet):
    """Ctrl-C has come."""

    def should_stop(self) -> bool:
        return True


def test_validate_that_is_stopped_runs_no_more_backtests_and_takes_nothing_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_study(tmp_path, validation={"null": {"markets": 19}})
    study = Study.from_toml(path)
    study.run()
    with monkeypatch.context() as patch:
        patch.setattr("optim.verdict.assess.trial_returns", None)  # nobody may call it
        patch.setattr("optim.verdict.assess.stress", None)
        stopped = study.validate(Impatient())
    assert stopped is not None
    assert stopped["statistics"] is None or isinstance(stopped["statistics"], str)
    whole = study.validate()
    assert whole is not None
    assert study.validate(Impatient()) == whole == study.verdict
