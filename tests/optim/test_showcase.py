import pickle
from pathlib import Path

import pytest

from optim.plan import make_plan
from optim.showcase import backtests
from optim.spec import load_spec
from optim.tasks import run_task
from tests.optim.studies import write_study


def test_what_is_shown_is_what_was_judged(tmp_path: Path) -> None:
    plan = make_plan(load_spec(write_study(tmp_path, evaluation={"folds": 1, "holdout": 0.25})))
    point = {"fast_window": 14, "slow_window": 153}
    searched, holdout = backtests(plan, point)
    assert searched is not None
    assert holdout is not None
    for cells, shown in ((plan.cells, searched), (plan.holdouts, holdout)):
        judged = run_task(plan.job, plan.task(point, cells)).outcomes[0].metrics
        assert shown.metrics == pytest.approx(judged, nan_ok=True)
        assert len(shown.equity) == cells[0].stop - cells[0].start
    assert searched.strategy == "ma_crossover"
    assert pickle.loads(pickle.dumps(holdout)).metrics.keys() == holdout.metrics.keys()
