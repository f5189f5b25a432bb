import pickle
from pathlib import Path

import pytest

from optim.problem.plan import make_plan
from optim.report.showcase import Showcase, show_winner
from optim.report.summary import commands
from optim.search.search import make_pool
from optim.spec.secrets import expand
from optim.spec.study import load_spec
from optim.workers.tasks import run_task
from tests.studies import IBM, write_study

POINT = {"fast_window": 14, "slow_window": 153}
RULES = (
    {},
    {"volatility_target": 0.2},
    {"volatility_target": 0.2, "max_leverage": 2.0, "stop_pct": 0.05},
    {"risk_per_trade": 0.01, "trailing_stop_pct": 0.08, "trade_on": "close"},
)


def show(path: Path, point: dict[str, int]) -> tuple[Showcase, list[list[dict[str, float]]]]:
    """What is shown of a point, and the metrics a trial of the search would have on the same bars."""
    plan = make_plan(load_spec(path))
    with make_pool(plan) as pool:
        shown = show_winner(plan, point, pool, opened=bool(plan.holdouts))
    cells = (plan.searched, plan.holdouts)
    return shown, [[o.metrics for o in run_task(plan.job, plan.task(point, part)).outcomes] for part in cells]


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("files", [1, 2])
@pytest.mark.parametrize("portfolio", [False, True])
def test_what_is_shown_saved_and_judged_is_one_backtest(
    tmp_path: Path, rules: dict[str, float], files: int, portfolio: bool
) -> None:
    paths = []
    for number in range(files):
        paths.append(str(tmp_path / f"share{number}.csv"))
        Path(paths[-1]).write_bytes(IBM.read_bytes())
    backtest = {**rules, "portfolio": portfolio}
    path = write_study(tmp_path, data={"path": None, "paths": paths}, evaluation={"holdout": 0.25}, backtest=backtest)
    shown, judged = show(path, POINT)
    for window, metrics in zip((shown.searched, shown.holdout), judged, strict=True):
        assert window is not None
        assert [dict(b.metrics) for b in window.backtests] == [pytest.approx(m, nan_ok=True) for m in metrics]
        if len(metrics) == 1:
            assert window.metrics == pytest.approx(metrics[0], nan_ok=True)
        names = ["portfolio"] if portfolio else [f"share{number}" for number in range(files)]
        assert [b.instrument for b in window.backtests] == names
    assert pickle.loads(pickle.dumps(shown)).holdout.metrics.keys() == shown.holdout.metrics.keys()


def test_the_benchmark_buys_once_at_the_first_open_and_holds(tmp_path: Path) -> None:
    path = write_study(tmp_path, evaluation={"holdout": 0.25}, backtest={"fee_bps": 10.0, "stop_pct": 0.01})
    shown, _ = show(path, POINT)
    bars = make_plan(load_spec(path)).job.instruments[0]
    first = 0
    for own, window in ((shown.searched, shown.benchmark), (shown.holdout, shown.holdout_benchmark)):
        assert own is not None
        assert window is not None
        (held,) = window.backtests
        stop = first + len(held.equity)
        units = 10_000 / (bars.open[first + 1] * 1.001)  # the fee is paid out of the same cash
        assert held.equity.iloc[-1] == pytest.approx(units * bars.close[stop - 1])
        assert window.metrics["total_return"] == pytest.approx(units * bars.close[stop - 1] / 10_000 - 1)
        assert list(own.backtests[0].equity.index) == list(held.equity.index)
        first = stop
    assert stop == len(bars.close)


def test_the_benchmark_pays_what_the_winner_pays(tmp_path: Path) -> None:
    path = write_study(
        tmp_path,
        strategy={
            "search_space": {"parameters": {"fee_bps": {"type": "float", "low": 0.0, "high": 500.0}}},
            "fixed": POINT,
        },
        backtest={"fee_bps": None},
    )
    shown, _ = show(path, {"fee_bps": 500.0})
    assert shown.benchmark is not None
    assert shown.benchmark.metrics["fees_paid"] == pytest.approx(10_000 * 0.05 / 1.05)


def test_a_password_beside_a_variable_is_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBHOST", "127.0.0.1")
    monkeypatch.setenv("PW", "secret-from-outside")
    spec = load_spec(write_study(tmp_path, tracking={"enabled": True}))
    plan = make_plan(spec)
    for raw, shown in (
        ("postgresql://optim:hunter2secret@${DBHOST}/optim", "***"),
        ("postgresql://:hunter2secret@${DBHOST}/optim", "***"),
        ("postgresql://optim:${PW}hunter2secret@${DBHOST}/optim", "***"),
        ("postgresql://optim:hunter2secret@with@${DBHOST}/optim", "***"),
        ("postgresql://optim:${PW}@${DBHOST}/optim", "${PW}"),
        ("postgresql://${DBHOST}/optim?password=hunter2secret", "***"),
    ):
        other = spec.model_copy(update={"study": spec.study.model_copy(update={"storage": raw})})
        said = commands(plan._replace(spec=other, storage=expand(raw, "here")))["optuna"]
        assert "hunter2secret" not in said
        assert "secret-from-outside" not in said
        assert shown in said
