"""A verdict as plain data: what is kept in the record, printed, written as JSON and told to MLflow."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from optuna.trial import FrozenTrial

from engine.metrics.catalogue import bracketed
from optim.errors import value_text
from optim.problem.plan import Plan
from optim.record.record import Record
from optim.search.ranking import winner_of
from optim.verdict.evidence import Evidence
from optim.verdict.finite import finite
from optim.verdict.holdout import Opening
from optim.verdict.null import Null
from optim.verdict.rule import Verdict
from optim.verdict.stress import Stress
from optim.verdict.walk_forward import WalkForward, Window

VERDICT = "optim:verdict"  # in the record: the last verdict, and for how many trials it was spoken
Plain = Mapping[str, Any]


def as_plain(verdict: Verdict) -> dict[str, Any]:
    """The verdict, every number finite or null; docs/verdict.md has each key."""
    found: dict[str, Any] = {
        "level": verdict.level,
        "p_value": verdict.p_value,
        "sentence": verdict.sentence,
        "reasons": verdict.reasons,
        "earlier_searches": verdict.earlier,
        "null": None if verdict.null is None else _null(verdict.null),
        "statistics": _statistics(verdict.evidence),
        "plateau": None
        if verdict.plateau is None
        else {**verdict.plateau._asdict(), "neighbours": [n._asdict() for n in verdict.plateau.neighbours]},
        "stress": None if verdict.stress is None else _stress(verdict.stress),
        "subsets": None if verdict.subsets is None else verdict.subsets._asdict(),
        "walk_forward": None if verdict.walk is None else _walk(verdict.walk),
        "holdout": None if verdict.opened is None else verdict.opened._asdict(),
    }
    return dict(finite(found))


def winner_in_markdown(objectives: Sequence[str], best: FrozenTrial, days: float) -> str:
    """`Winner: trial 193, sharpe_ratio = 0.5095, with fast_window = 7.`: a line for the pages of others.

    days: of the shortest cell.
    """
    named = zip(objectives, best.values, strict=True)
    found = ", ".join(f"`{name}` = {bracketed(name, f'{value:.6g}', days)}" for name, value in named)
    params = ", ".join(f"`{name} = {value_text(value)}`" for name, value in best.params.items())
    return f"Winner: trial {best.number}, {found}, with {params}."


def verdict_in_markdown(verdict: Plain) -> str:
    """The level and its sentence."""
    sentence = verdict["sentence"].partition(": ")[2]
    return f"**Verdict: {verdict['level']}.** {sentence[:1].upper()}{sentence[1:]}"


def opening_as_plain(opening: Opening) -> dict[str, Any]:
    """What an opened hold-out showed, as plain data."""
    return dict(finite({**opening._asdict(), "opened": opening.opened._asdict()}))


def keep_verdict(record: Record, verdict: Plain, n_trials: int, winner: int) -> None:
    """Keep it with the record, for as many trials as there are and this winner among them."""
    record.note(VERDICT, {"trials": n_trials, "winner": winner, "verdict": verdict})


def kept_verdict(record: Record, plan: Plan, trials: Sequence[FrozenTrial]) -> Plain | None:
    """The verdict that was spoken over these trials and their winner; None if there is none."""
    kept = record.noted(VERDICT) or {}
    if kept.get("trials") != len(trials):
        return None
    best = winner_of(plan, trials)
    return kept["verdict"] if best is not None and kept.get("winner") == best.number else None


def metrics_of(verdict: Plain) -> dict[str, float]:
    """The verdict's numbers by name, for whoever sorts studies by them."""
    null, statistics, plateau, walk, parts = (
        verdict.get(name) or {} for name in ("null", "statistics", "plateau", "walk_forward", "subsets")
    )
    found = {
        "p_value": verdict["p_value"],
        "earlier_searches": verdict["earlier_searches"],
        "markets": min((arm["markets"] for arm in null.get("arms", ())), default=None),
        "luck": null.get("luck"),
        "skill": null.get("skill"),
        "deflated_sharpe_ratio": statistics.get("dsr"),
        "probabilistic_sharpe_ratio": statistics.get("psr_long_run"),
        "romano_wolf_p_value": (statistics.get("romano_wolf") or {}).get("buy and hold"),
        "probability_of_overfitting": statistics.get("pbo"),
        "plateau": plateau.get("kept"),
        "subsets_above_holding": parts.get("above_holding"),
        "walk_forward_efficiency": walk.get("efficiency"),
        "walk_forward_sharpe_ratio": walk.get("sharpe_ratio"),
    }
    return {f"verdict/{name}": float(value) for name, value in found.items() if value is not None}


def _null(null: Null) -> dict[str, Any]:
    arms = [
        {
            "kind": arm.kind,
            "markets": len(arm.winners),
            "as_good": arm.as_good,
            "p_value": arm.p_value,
            "certain": arm.certain,
            "winners": arm.winners,
        }
        for arm in null.arms
    ]
    return {
        "value": null.value,
        "luck": null.luck,
        "skill": null.skill,
        "direction": null.direction,
        "planned": null.planned,
        "complete": null.complete,
        "arms": arms,
    }


def _walk(walk: WalkForward) -> dict[str, Any]:
    return {**walk._asdict(), "windows": [window_as_plain(window) for window in walk.windows]}


def window_as_plain(window: Window) -> dict[str, Any]:
    """One window of a walk-forward; numbers may be NaN."""
    return {
        "train": _date(window.span.train),
        "test": _date(window.span.test),
        "params": window.params,
        "in_sample": window.in_sample,
        "out_of_sample": window.out_of_sample,
        "total_return": math.prod(1.0 + one for one in window.returns) - 1.0,
    }


def _stress(stress: Stress) -> dict[str, Any]:
    conditions = {name: one._asdict() for name, one in stress.conditions.items()}
    far = "beyond" if math.isinf(stress.distance) else stress.distance
    return {"conditions": conditions, "distance": far, "unit": stress.unit}


def _date(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1e9, UTC).isoformat(timespec="seconds")


def _statistics(evidence: Evidence | str) -> dict[str, Any] | None:
    if isinstance(evidence, str):
        return None
    return {**evidence._asdict(), "p_values": {str(number): p for number, p in evidence.p_values.items()}}
