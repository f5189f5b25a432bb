"""A plan as it travels to another process, and what becomes of it there: the same plan, loaded and not read again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from engine.simulator.account import make_account
from optim.problem.objective import build_objective
from optim.problem.plan import Plan
from optim.spec.sections import TrackingSection
from optim.spec.study import StudySpec
from optim.workers.tasks import Job, known_strategy


class Parcel(NamedTuple):
    """What of a plan is plain data; the rest follows from it and the user's files."""

    spec: StudySpec
    job: Job
    plain: dict[str, Any]  # the other fields of Plan that hold no code


_MADE = ("spec", "space", "objective", "strategy", "job", "account")
_NOWHERE = {"storage": "", "tracking_uri": ""}  # a search in memory writes nowhere, and passwords stay here


def packed(plan: Plan) -> Parcel:
    """The plan without code, and without the places it writes to."""
    study = plan.spec.study.model_copy(update={"storage": ""})
    silent = {"text": "", "overrides": {}, "study": study, "tracking": TrackingSection(enabled=False)}
    plain = {name: value for name, value in plan._asdict().items() if name not in _MADE}
    return Parcel(plan.spec.model_copy(update=silent), plan.job, plain | _NOWHERE)


def unpacked(parcel: Parcel) -> Plan:
    """The plan again. Raises CodeChangedError when a file it is made of was edited since."""
    spec, job, plain = parcel
    strategy = known_strategy(job.strategy, job.folder, job.code, job.zone)
    account = make_account({k: v for k, v in spec.backtest.items() if k != "portfolio"})
    return Plan(spec, spec.search_space(), build_objective(spec), strategy, job, account, **plain)


def load_parcel(path: Path) -> Plan:
    """The plan whose parcel was dumped to a file with joblib; its bars are mapped, not copied."""
    import joblib

    from optim.workers.tasks import read_only

    spec, job, plain = joblib.load(path, mmap_mode="r")
    return unpacked(Parcel(spec, read_only(Job(*job)), plain))
