"""A plan and the record it goes on with: the same study, or a sentence that says what differs."""

from __future__ import annotations

from typing import Any

from optim.errors import SpecError
from optim.problem.plan import Plan
from optim.problem.provenance import versions
from optim.record.differences import differences
from optim.record.record import VERSIONS, Record, load_record, open_record


def continued(plan: Plan) -> tuple[Plan, Record] | None:
    """A study that has trials, and its plan: begun with --from it is the same study without the flag; else None.

    Nothing is written. SpecError or RecordError when it cannot be gone on with.
    """
    record = load_record(plan.storage, plan.spec.study.name)
    if record is None or not record.trials():
        return None
    point = record.spec.get("study", {}).get("start") if plan.spec.start is None else None
    if point is not None:
        plan = plan._replace(spec=plan.spec.starting_at(point))
    check_fingerprint(plan, record)
    return plan, record


def begun(plan: Plan) -> Record:
    """The record of a study that has no trial yet."""
    goals = plan.objective.goals
    directions, names = [goal.direction for goal in goals], [goal.name for goal in goals]
    return open_record(plan.storage, plan.spec.study.name, directions, plan.fingerprint(), versions(), names)


def check_fingerprint(plan: Plan, record: Record) -> None:
    """Refuse to go on with a record that was made from something else."""
    record.refuse_other_numbers()
    changes = list(differences(record.spec, plan.fingerprint()))
    if changes:
        raise SpecError(
            f"{plan.spec.path}: study {plan.spec.study.name!r} was begun with other settings: {'; '.join(changes)}; "
            "undo the change, or give [study] another name (--new-name NAME)"
        )


def changed_inputs(plan: Plan, record: Record) -> list[str]:
    """What one trial depends on and is no longer what it was when the study began, as sentences."""
    changed = list(differences(_of_a_trial(record.spec), _of_a_trial(plan.fingerprint())))
    then, now = record.study.user_attrs.get(VERSIONS, {}), versions()
    return changed + [
        f"version of {name} was {then.get(name)}, is {now[name]}" for name in now if then.get(name) != now[name]
    ]


def _of_a_trial(fingerprint: dict[str, Any]) -> dict[str, Any]:
    """What one trial depends on, whose parameters are in the record: not on how they were found."""
    found = {name: part for name, part in fingerprint.items() if name not in ("search_space", "parallel")}
    return {**found, "study": {key: fingerprint["study"].get(key) for key in ("objective", "direction")}}
