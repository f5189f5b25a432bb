"""What is known once a search has ended: counts, the best trials, the winner in-sample and on the hold-out,
and how to look at it all.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from optuna.trial import FrozenTrial, TrialState

from engine.metrics.catalogue import SHORT_DAYS
from engine.simulator.account import SEARCHABLE
from optim.problem.plan import Plan
from optim.report.showcase import Showcase, show_winner
from optim.search.ranking import ranked
from optim.spec.secrets import mask_uri
from optim.spec.uris import is_url
from optim.tracking.info import MirrorReport
from optim.verdict.pruning import Hindsight
from optim.workers.pool import Pool

TOP = 5
REASONS = 3


class Summary(NamedTuple):
    """The result of a study, ready to be printed, written as JSON or put into MLflow."""

    name: str
    reason: str  # why the search ended
    objectives: tuple[str, ...]
    directions: tuple[str, ...]
    counts: Mapping[str, int]  # complete, pruned, failed, infeasible
    failures: Mapping[str, int]  # why trials failed and how many did, the most frequent reasons first
    obstacles: Mapping[str, int]  # likewise, why trials were infeasible
    top: tuple[FrozenTrial, ...]  # best first; the Pareto front when there are several objectives
    metrics: tuple[str, ...]
    cells: str  # how the in-sample metrics came about, e.g. "over 5 cells"
    cell_days: float  # of the shortest of them
    clock: str  # bars in a year, and whether that was given
    winner: Showcase  # the best on whole stretches of bars
    verdict: Mapping[str, Any] | None  # is it skill or luck: optim.verdict.plain
    commands: Mapping[str, str]
    paths: Mapping[str, str]
    flags: str  # what a command needs beside the study file
    pruning: Hindsight | None = None  # was pruning right; known at the end of a run only

    @property
    def best(self) -> FrozenTrial | None:
        """The winner: the best feasible trial, or None."""
        return self.top[0] if self.top else None

    @property
    def short(self) -> bool:
        """Whether some annualised figures of it mean little."""
        return self.cell_days < SHORT_DAYS or any(window is not None and window.short for window in self.winner)

    def in_sample(self) -> dict[str, float]:
        """The winner's metrics over the cells of the search."""
        attrs = self.best.user_attrs if self.best else {}
        return {name: attrs[name] for name in self.metrics if name in attrs}


class Ended(NamedTuple):
    """How a run ended."""

    summary: Summary
    mlflow: MirrorReport | None  # None when tracking is off

    @property
    def interrupted(self) -> bool:
        """Whether it was stopped before its time."""
        return self.summary.reason == "interrupted" or (self.mlflow is not None and self.mlflow.interrupted)


def summarise(
    plan: Plan,
    trials: Sequence[FrozenTrial],
    reason: str,
    pool: Pool,
    verdict: Mapping[str, Any] | None = None,
    opened_for: int | None = None,
) -> Summary:
    """Rank the record and show the winner on all searched bars; `pool` backtests.

    opened_for: the trial for which the hold-out has been opened; it is shown for no other one.
    """
    from engine.metrics.catalogue import METRICS

    directions = tuple(goal.direction for goal in plan.objective.goals)
    top = ranked(plan, trials)[: TOP if len(directions) == 1 else None]
    return Summary(
        plan.spec.study.name,
        reason,
        tuple(goal.name for goal in plan.objective.goals),
        directions,
        count(trials),
        reasons(trials, "error"),
        reasons(trials, "infeasible"),
        top,
        tuple(METRICS),
        _cells_text(plan),
        plan.days(plan.cells),
        plan.clock,
        show_winner(plan, top[0].params, pool, opened=top[0].number == opened_for) if top else Showcase(),
        verdict,
        commands(plan),
        {"study": str(plan.spec.path), "record": mask_uri(plan.storage), "mlflow": mask_uri(plan.tracking_uri)},
        plan.spec.flags,
    )


def _cells_text(plan: Plan) -> str:
    how = {"mean": "over", "median": "median of", "min": "worst of", "worst_stress": "under the worst stress of"}
    if len(plan.cells) == 1:
        return "1 cell" if plan.spec.evaluation.aggregate != "worst_stress" else "1 cell under the worst stress"
    return f"{how[plan.spec.evaluation.aggregate]} {len(plan.cells)} cells"


def reasons(trials: Sequence[FrozenTrial], attribute: str) -> dict[str, int]:
    """The most frequent reasons in a user attribute of the trials, and how many have each."""
    found = Counter(str(trial.user_attrs[attribute]) for trial in trials if trial.user_attrs.get(attribute))
    return dict(found.most_common(REASONS))


def count(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    """How many trials ended how; infeasible ones are complete or pruned ones that broke a constraint."""
    states = Counter(trial.state for trial in trials)
    return {
        "complete": states[TrialState.COMPLETE],
        "pruned": states[TrialState.PRUNED],
        "failed": states[TrialState.FAIL],
        "infeasible": sum("infeasible" in trial.user_attrs for trial in trials),
    }


def best_params_toml(plan: Plan, summary: Summary) -> str:
    """The winner as a block to paste into a study file; empty without one."""
    return "" if summary.best is None else params_toml(plan, summary.best)


def params_toml(plan: Plan, trial: FrozenTrial) -> str:
    """A trial as a block to paste into a study file: fixed parameters and the account rules it was found with."""
    rules = {k: v for k, v in trial.params.items() if k in SEARCHABLE}
    params = {**plan.spec.strategy.fixed, **{k: v for k, v in trial.params.items() if k not in rules}}
    lines = [
        f"# {plan.spec.study.name}, trial {trial.number}",
        "[strategy]",
        f"name = {_toml(plan.spec.strategy.name)}",
        "",
    ]
    lines += ["[strategy.fixed]", *(f"{_toml_key(name)} = {_toml(value)}" for name, value in params.items())]
    if rules:
        lines += ["", "[backtest]", *(f"{_toml_key(name)} = {_toml(value)}" for name, value in rules.items())]
    return "\n".join(lines) + "\n"


def commands(plan: Plan) -> dict[str, str]:
    """The shell commands that open the Optuna dashboard and MLflow on what was written.

    A URI with variables is shown unexpanded.
    """
    raw = plan.spec.study.storage
    record = _shell(raw if _only_variables(raw) else _near(plan.storage))
    shown = {"optuna": f"{_tool('optuna-dashboard')} {record}"}
    if not plan.spec.tracking.enabled:
        return shown
    raw = plan.spec.tracking.mlflow.tracking_uri
    if plan.tracking_uri.startswith(("http://", "https://")):
        shown["mlflow"] = f"open {mask_uri(plan.tracking_uri)} in a browser"
        return shown
    file_store = "://" not in plan.tracking_uri or plan.tracking_uri.startswith("file:")
    prefix = "MLFLOW_ALLOW_FILE_STORE=true " if file_store else ""
    store = _shell(raw if _only_variables(raw) else _near(plan.tracking_uri))
    shown["mlflow"] = f"{prefix}{_tool('mlflow')} ui --backend-store-uri {store}"
    return shown


def _only_variables(raw: str) -> bool:
    """Whether a URI has variables, and no secret that is written out: it can be shown as it stands in the file."""
    bare = re.sub(r"\$\{\w+\}", "", raw)
    userinfo = bare.partition("://")[2].rpartition("@")[0]
    password = userinfo.partition(":")[2]
    rest = bare.replace(f"{userinfo}@", "", 1)
    return bare != raw and not password and mask_uri(rest) == rest


def _tool(name: str) -> str:
    """The command as the user can type it here.

    By name where that finds it, else by its path beside this Python.
    """
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name)
    if found is not None and (not beside.exists() or Path(found).resolve() == beside.resolve()):
        return name
    return shlex.quote(os.path.relpath(beside)) if beside.exists() else name


def _near(location: str) -> str:
    """A path relative to here where that is shorter; credentials masked."""
    if location.startswith("sqlite:///"):
        return f"sqlite:///{_near(location.removeprefix('sqlite:///'))}"
    if is_url(location):
        return mask_uri(location)
    return min(location, os.path.relpath(location), key=len)


def _shell(text: str) -> str:
    return f'"{text}"' if "${" in text else shlex.quote(text)


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):  # JSON's escapes are TOML's but for one character
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
