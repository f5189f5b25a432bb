"""Pruned trials run to the end, against the same study without a pruner."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from optim.api import Study
from optim.problem.plan import make_plan
from optim.report import watched
from optim.report.console import as_json
from optim.report.summary import Summary
from optim.report.view import Quiet
from optim.search.search import make_pool, search
from optim.spec.study import load_spec
from optim.verdict import pruning
from optim.verdict.null import Null
from optim.verdict.pruning import Hindsight, hindsight
from tests.studies import run_here, write_study


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_it_is_what_the_study_without_a_pruner_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, direction: str
) -> None:
    study = {"n_trials": 60, "direction": direction}
    path = write_study(tmp_path, study=study, validation={"quick": 30})
    spec = load_spec(path)
    plan, trials = make_plan(spec), run_here(path)[1]
    write_study(tmp_path, study={**study, "pruner": {"name": "NopPruner"}, "patience": 1000})
    whole = {json.dumps(trial.params): trial for trial in search(make_plan(load_spec(path)))[0]}
    complete = sorted((t.values[0] for t in trials if t.state.name == "COMPLETE"), reverse=direction == "maximize")
    last = complete[math.ceil(len(complete) / 10) - 1]
    full = [whole[json.dumps(t.params)].values[0] for t in trials if t.state.name == "PRUNED"]
    sign = 1 if direction == "maximize" else -1
    expected = Hindsight(
        len(full),
        sum(sign * value > sign * last for value in full),
        sum(sign * value > sign * complete[0] for value in full),
        len(complete),
    )
    assert len(complete) >= 10
    assert expected.run > 8
    monkeypatch.setattr(pruning, "SAMPLE", 1000)
    with make_pool(plan) as pool:
        assert hindsight(plan, trials, "budget spent", pool, 30.0) == expected
        monkeypatch.setattr(pruning, "SAMPLE", 8)
        few = hindsight(plan, trials, "budget spent", pool, 30.0)
        assert few is not None
        assert few.run == 8
        assert few == hindsight(plan, trials, "budget spent", pool, 30.0)
        assert hindsight(plan, trials, "interrupted", pool, 1.0) is None
        nine = [t for t in trials if t.state.name == "COMPLETE"][:9]
        pruned = [t for t in trials if t.state.name == "PRUNED"]
        assert hindsight(plan, nine + pruned, "timeout", pool, 1.0) is None
        nothing = plan._replace(spec=load_spec(path, {"validation": {"quick": 0}}))
        assert hindsight(nothing, trials, "budget spent", pool, 30.0) is None


def test_ctrl_c_is_heard_while_pruned_trials_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A view that judges asks for an end; outside of it Ctrl-C would take the run's own end away."""
    watching: list[bool] = []

    class Watching(Quiet):
        inside = False

        @contextlib.contextmanager
        def judging(self) -> Iterator[Callable[[Null | None], None]]:
            self.inside = True
            yield lambda null: None
            self.inside = False

    view = Watching()
    monkeypatch.setattr(watched, "hindsight", lambda *_: watching.append(view.inside))
    path = write_study(tmp_path, study={"n_trials": 8}, validation={"quick": 0.2})
    Study.from_toml(path).run(view)
    assert watching == [True]
    Study.from_toml(path, n_trials=9).run(Stopped())
    assert watching == [True]


class Stopped(Quiet):
    """Ctrl-C came once the search had ended."""

    searched = False

    def found(self, summary: Summary) -> None:
        self.searched = True

    def should_stop(self) -> bool:
        return self.searched


def test_the_end_of_a_run_says_so_and_the_record_does_not(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={"n_trials": 60}, validation={"quick": 0.5})
    ended = Study.from_toml(path).run()
    told = as_json(ended.summary, ended.mlflow)["pruning"]
    assert told["run"] == 8
    best = told["among_best"] or "none"
    assert told["sentence"].startswith(f"Of 8 pruned trials run to the end, {best} would have ranked in the best 10 %")
    assert "run to the end" not in (tmp_path / "optuna.journal").read_text()
    assert len(Study.from_toml(path).trials) == 60
