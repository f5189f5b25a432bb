"""What the tests of a verdict begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from optim.problem.plan import make_plan
from optim.search.ranking import winner_of
from optim.search.search import search
from optim.spec.study import load_spec
from tests.studies import write_study


def searched(folder: Path, **changes: Any) -> Any:
    """A plan, its trials and its winner."""
    plan = make_plan(load_spec(write_study(folder, evaluation={"folds": 1, "holdout": 0.2}, **changes)))
    trials, _ = search(plan)
    best = winner_of(plan, trials)
    assert best is not None
    return plan, trials, best
