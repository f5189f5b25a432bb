"""BacktestEngine, its result and its files; sweep; align; the lazy package."""

from __future__ import annotations

import gzip
import json
import math
import os
import pickle
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from engine import BacktestEngine, load_bars, sweep
from engine.backtest import as_strategy
from engine.check import random_bars
from engine.compiled.jit import config
from engine.data.bars import slice_bars
from engine.data.calendar import common
from engine.data.cells import Cell
from engine.data.load import to_frame
from engine.errors import DataError, EngineError, ParameterError, StrategyError
from engine.evaluate import Outcome, evaluate
from engine.metrics.catalogue import METRICS
from engine.simulator.account import Account, make_account
from engine.simulator.panel import make_panel
from engine.strategies.base import load_strategy

ROOT = Path(__file__).parents[2]
PARAMS = {"fast_window": 5, "slow_window": 20}
RNG = np.random.default_rng(11)
HOURLY = 8760.0  # the clock that is inferred for bars of every hour
BARS, OTHER = random_bars(RNG, 400), random_bars(RNG, 400)


class RecordingTracker:
    def __init__(self):
        self.params, self.metrics, self.tags, self.files = {}, {}, {}, []

    def log_params(self, params):
        self.params |= params

    def log_metrics(self, metrics):
        self.metrics |= metrics

    def set_tags(self, tags):
        self.tags |= tags

    def log_artifact(self, path, artifact_path=None):
        assert Path(path).stat().st_size > 0
        self.files.append((artifact_path, Path(path).name))


FILES = {
    "plots/equity_curve.png",
    "plots/drawdown.png",
    "plots/trades_distribution.png",
    "plots/monthly_returns.png",
    "reports/backtest_report.txt",
    "reports/trades_summary.json",
    "reports/risk_metrics.json",
    "reports/trades.csv.gz",
    "reports/fills.csv.gz",
    "config/config_snapshot.json",
}


def test_a_dataframe_bars_and_evaluate_give_one_result():
    engine = BacktestEngine(fee_bps=10, stop_pct=0.03)
    one = engine.run_realistic(to_frame(BARS), "ma_crossover", PARAMS)
    two = engine.run_realistic(BARS, load_strategy("ma_crossover"), PARAMS)
    outcome = evaluate(load_strategy("ma_crossover"), PARAMS, engine.account, (BARS,), Cell(0, 0, 400), HOURLY)
    assert one.metrics == two.metrics == outcome.metrics
    pd.testing.assert_series_equal(one.equity, two.equity)
    late = engine.run_realistic(BARS, "ma_crossover", PARAMS, start=150)
    assert (
        late.metrics
        == evaluate(load_strategy("ma_crossover"), PARAMS, engine.account, (BARS,), Cell(0, 150, 400), HOURLY).metrics
    )
    assert len(late.equity) == 250


def test_a_callable_on_a_dataframe_is_a_strategy():
    def crossing(df, params):
        fast, slow = (df["close"].rolling(params[name]).mean() for name in ("fast_window", "slow_window"))
        return (fast > slow).astype(float)

    engine = BacktestEngine()
    own = engine.run_realistic(BARS, crossing, PARAMS)
    built_in = engine.run_realistic(BARS, "ma_crossover", PARAMS)
    assert own.metrics["n_trades"] == pytest.approx(
        built_in.metrics["n_trades"], abs=2
    )  # the flat stretch: ties by rounding
    assert own.strategy == "crossing"


def test_equity_trades_and_returns_belong_together():
    result = BacktestEngine(fee_bps=10).run_realistic(BARS, "ma_crossover", PARAMS)
    assert result.equity.index.tz is not None
    assert list(result.trades.columns) == [
        *("entry_time", "exit_time", "entry_price", "exit_price", "size", "pnl", "return", "fees", "bars_held"),
        "exit_reason",
    ]
    assert 10_000 + result.trades["pnl"].sum() == pytest.approx(result.equity.iloc[-1])
    assert 10_000 * (1 + result.returns).prod() == pytest.approx(result.equity.iloc[-1])
    assert result.drawdown.min() == pytest.approx(result.metrics["max_drawdown"])
    assert (result.trades["exit_time"] >= result.trades["entry_time"]).all()


def test_save_writes_every_file_and_the_result_survives_pickling(tmp_path):
    engine = BacktestEngine(fee_bps=10, take_profit_pct=0.02)
    result = pickle.loads(pickle.dumps(engine.run_realistic(BARS, "ma_crossover", PARAMS)))
    written = {path.relative_to(tmp_path).as_posix() for path in result.save(tmp_path)}
    assert written == FILES
    for name in FILES:
        if name.endswith(".png"):
            assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        if name.endswith(".json"):
            json.loads((tmp_path / name).read_text(), parse_constant=lambda constant: pytest.fail(constant))
    with gzip.open(tmp_path / "reports/trades.csv.gz", "rt") as file:
        assert len(pd.read_csv(file)) == len(result.trades)
    report = (tmp_path / "reports/backtest_report.txt").read_text()
    assert "fee_bps = 10" in report
    assert "take_profit" in report
    assert all(name in report for name in METRICS)
    assert result.plot().get_axes()[1].get_ylabel() == "drawdown (%)"


def test_a_run_without_trades_can_be_saved_too(tmp_path):
    result = BacktestEngine().run_realistic(BARS, "momentum", {"lookback": 10, "threshold": 9.0})
    assert len(result.trades) == 0
    assert {path.relative_to(tmp_path).as_posix() for path in result.save(tmp_path)} == FILES
    assert f"{'win_rate':<30}{'–':>14}" in (tmp_path / "reports/backtest_report.txt").read_text(encoding="utf-8")


def test_a_tracker_gets_config_metrics_plots_and_trades():
    tracker = RecordingTracker()
    result = BacktestEngine(fee_bps=7, tracker=tracker).run_realistic(BARS, "ma_crossover", PARAMS)
    assert tracker.params["fast_window"] == 5
    assert tracker.params["fee_bps"] == 7
    assert tracker.params["strategy"] == "ma_crossover"
    assert tracker.metrics == result.metrics
    assert {f"{folder}/{name}" for folder, name in tracker.files} == FILES
    assert len(tracker.tags["data_sha256"]) == 64


def test_a_portfolio_runs_through_the_engine(tmp_path):
    engine = BacktestEngine(fee_bps=5)
    result = engine.run_realistic([BARS, OTHER], "zscore_pairs", {"window": 20, "entry": 1.5, "exit": 0.2})
    assert set(result.trades["instrument"]) == {0, 1}
    assert {path.relative_to(tmp_path).as_posix() for path in result.save(tmp_path)} == FILES
    cell = evaluate(
        load_strategy("zscore_pairs"), result.params, Account(fee_bps=5), (BARS, OTHER), Cell(-1, 0, 400), HOURLY
    )
    assert cell.metrics == result.metrics


def test_common_keeps_the_common_bars():
    one, two = common([slice_bars(BARS, 0, 300), slice_bars(OTHER, 100, 400)])
    np.testing.assert_array_equal(one.timestamp, BARS.timestamp[100:300])
    np.testing.assert_array_equal(two.close, OTHER.close[100:300])
    with pytest.raises(DataError, match="fewer than 2"):
        common([slice_bars(BARS, 0, 100), slice_bars(OTHER, 99, 400)])
    with pytest.raises(DataError, match="instrument 1 differ"):
        make_panel([slice_bars(BARS, 0, 300), slice_bars(OTHER, 100, 400)])


TABLE = pd.DataFrame([(f, s) for f in (3, 5, 8) for s in (10, 20, 40)], columns=["fast_window", "slow_window"])


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_sweep_equals_evaluate_row_by_row(n_jobs):
    swept = sweep(BARS, "ma_crossover", TABLE, fee_bps=10, stop_pct=0.02, n_jobs=n_jobs)
    assert list(swept.columns) == ["fast_window", "slow_window", *METRICS]
    strategy, account = load_strategy("ma_crossover"), Account(fee_bps=10, stop_pct=0.02)
    for row in swept.to_dict("records"):
        params = {name: row[name] for name in TABLE.columns}
        expected = evaluate(strategy, params, account, (BARS,), Cell(0, 0, 400), HOURLY).metrics
        np.testing.assert_array_equal([row[name] for name in METRICS], list(expected.values()))


def test_sweep_takes_a_stream_chosen_metrics_and_account_rules_per_row():
    seen = []
    rows = ({"fast_window": 5, "slow_window": 20, "stop_pct": stop} for stop in (0.0, 0.01, 0.02))
    names = ["sharpe_ratio", "n_trades"]
    swept = sweep(BARS, "ma_crossover", rows, metrics=names, progress=lambda done, total: seen.append((done, total)))
    assert list(swept.columns) == ["fast_window", "slow_window", "stop_pct", *names]
    assert swept["sharpe_ratio"].nunique() == 3
    assert seen == [(3, None)]
    full = sweep(BARS, "ma_crossover", [PARAMS], stop_pct=0.01)
    assert full["sharpe_ratio"][0] == swept["sharpe_ratio"][1]


def test_sweep_keeps_going_and_says_why_a_row_failed(capsys):
    rows = [{"fast_window": 30, "slow_window": 20}, PARAMS]
    swept = sweep(BARS, "ma_crossover", rows, progress=True)
    assert "breaks the rule fast_window < slow_window" in swept["error"][0]
    assert np.isnan(swept["sharpe_ratio"][0])
    assert swept["error"][1] == ""
    assert "2/2" in capsys.readouterr().err

    def bad(df, params):
        raise RuntimeError("no luck")

    assert sweep(BARS, bad, [{}])["error"][0] == (
        f"bad raised RuntimeError at test_backtest.py:{bad.__code__.co_firstlineno + 1}: no luck"
    )
    assert len(sweep(BARS, "ma_crossover", TABLE[:0])) == 0
    nearly = sweep(BARS, "ma_crossover", [{**PARAMS, "stop_pctt": 0.1}, {**PARAMS, "fast_windw": 3}])["error"]
    assert nearly[0] == "ma_crossover has no parameter stop_pctt; did you mean stop_pct?"
    assert nearly[1] == "ma_crossover has no parameter fast_windw; did you mean fast_window?"


@pytest.mark.parametrize("n_bars", [400, 60])
@pytest.mark.parametrize("group_bars", [0, 900, 10**6])
def test_a_group_of_rows_is_what_each_row_is_alone(monkeypatch, group_bars, n_bars):
    monkeypatch.setattr("engine.groups.GROUP_BARS", group_bars)
    bars = slice_bars(BARS, 0, n_bars)
    rows = [
        {"level": 1.0},
        {"level": math.nan},
        {"level": 0.5, "volatility_target": 0.2},
        {"level": -2.0},
        {"level": -1.0, "fee_bps": 3.0},
        {"level": 1.0, "fee_bps": -1.0},
        {"level": "high"},
        {"level": 0.7},
    ]

    def moody(df, params):
        return params["level"] * (df["close"] > df["close"].rolling(3).mean())

    swept = sweep(bars, moody, rows, n_jobs=1)
    for row, found in zip(rows, swept.to_dict("records"), strict=True):
        rules = {name: value for name, value in row.items() if name != "level"}
        try:
            expected = evaluate(
                as_strategy(moody), {"level": row["level"]}, make_account(rules), (bars,), Cell(0, 0, n_bars), HOURLY
            )
        except ParameterError as error:
            expected = Outcome({}, str(error))
        assert found["error"] == expected.error
        metrics = list(expected.metrics.values()) or [math.nan] * len(METRICS)
        np.testing.assert_array_equal([found[name] for name in METRICS], metrics)
    assert [bool(error) for error in swept["error"]] == [False, True, False, True, False, True, True, False]


def test_sweep_over_a_portfolio():
    swept = sweep([BARS, OTHER], "ma_crossover", TABLE[:2], fee_bps=10)
    expected = BacktestEngine(fee_bps=10).run_realistic(
        [BARS, OTHER], "ma_crossover", {"fast_window": 3, "slow_window": 10}
    )
    assert swept["sharpe_ratio"][0] == expected.metrics["sharpe_ratio"]


def test_bad_input_is_named():
    with pytest.raises(ParameterError, match=r"unknown account rule fee_bp; did you mean fee_bps\?"):
        BacktestEngine(fee_bp=1)
    with pytest.raises(ParameterError, match="unknown metric sharp"):
        sweep(BARS, "ma_crossover", TABLE, metrics=["sharp"])
    for rules, sentence in (
        ({"stop_pct": 1.5}, "stop_pct = 1.5 must be below 1"),
        ({"risk_per_trade": 0.01}, "risk_per_trade needs a stop"),
        ({"fixed_cash": 10, "fixed_fraction": 0.5}, "fixed_fraction and fixed_cash both set the position's size"),
        ({"trade_on": "monday"}, "trade_on = 'monday' must be 'next_open' or 'close'"),
        ({"intrabar": "both"}, "intrabar = 'both' must be 'worst' or 'best'"),
        ({"max_holding_bars": 2.5}, "max_holding_bars = 2.5 must be a whole number"),
        ({"max_leverage": 0}, "max_leverage = 0 must be above 0"),
        ({"slippage_bps": 9_999, "spread_bps": 9_999}, r"slippage_bps \+ spread_bps / 2 must be below"),
        ({"borrow_bps": 10_000}, "borrow_bps = 10000 must be below 10000"),
        ({"volatility_target": 0.2, "volatility_window": 1}, "volatility_window = 1 must be at least 2"),
    ):
        with pytest.raises(ParameterError, match=sentence):
            BacktestEngine(**rules)
    columns = {"fast_window": [5, 6], "slow_window": [20, 30]}
    with pytest.raises(ParameterError, match="params_table is one mapping: give a DataFrame of its columns"):
        sweep(BARS, "ma_crossover", columns)
    with pytest.raises(ParameterError, match=r"a row of params_table is \(5, 20\): give a mapping of parameters"):
        sweep(BARS, "ma_crossover", [(5, 20)])
    for n_jobs in (0, "2", 1.5, True, None):
        with pytest.raises(ParameterError, match=f"n_jobs = {n_jobs!r} must be a whole number"):
            sweep(BARS, "ma_crossover", TABLE, n_jobs=n_jobs)
    assert len(sweep(BARS, "ma_crossover", TABLE[:2], n_jobs=np.int64(2))) == 2
    with pytest.raises(StrategyError, match="unknown strategy 'nonsense'"):
        BacktestEngine().run_realistic(BARS, "nonsense", {})
    assert issubclass(StrategyError, EngineError)


def fresh(code: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_engine_imports_neither_optuna_mlflow_joblib_nor_optim():
    code = (
        "import sys, engine, engine.backtest, engine.sweeps, engine.evaluate, engine.check\n"
        "print([m for m in ('optuna', 'mlflow', 'joblib', 'optim', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    assert fresh(code) == "[]"


def test_the_light_modules_import_nothing_heavy():
    code = (
        "import sys, engine, engine.simulator.account, engine.metrics.catalogue, engine.data.cells, engine.errors\n"
        "print([m for m in ('numpy', 'numba', 'pandas') if m in sys.modules])"
    )
    assert fresh(code) == "[]"


def test_kernels_are_cached_by_the_sources_of_the_engine(tmp_path):
    code = (
        "from engine.compiled.cache import cache_root; from engine.compiled.kept import engine_hash; "
        "print(cache_root(), engine_hash())"
    )
    folder, digest = fresh(code, OPTIM_CACHE_DIR=str(tmp_path)).split()
    assert folder == str(tmp_path)
    assert len(digest) == 16
    use = "import numpy as np; from engine.strategies.indicators import roc; roc(np.ones(5), 2)"
    fresh(use, OPTIM_CACHE_DIR=str(tmp_path), NUMBA_DISABLE_JIT="0")
    assert [path.name for path in tmp_path.iterdir()] == [f"kernels-{digest}"]
    assert any(tmp_path.rglob("*.nbi"))


def test_a_users_kernel_is_cached_by_its_content(tmp_path):
    strategy = (
        "import numpy as np\nfrom typing import NamedTuple\n"
        "from engine.compiled.jit import kernel\nfrom engine.strategies.base import strategy\n"
        "@kernel\ndef fill(n):\n    return np.full(n, {weight})\n"
        "class P(NamedTuple):\n    pass\n"
        "@strategy\ndef held(bars, p: P):\n    return fill(len(bars.close))\n"
    )
    code = (
        "from engine.strategies.base import load_strategy; from engine.check import random_bars; import numpy as np\n"
        "s = load_strategy('mine.py:held'); b = random_bars(np.random.default_rng(0), 50)\n"
        "print(s.target(b, s.bind({})).mean())"
    )
    for weight in ("0.5", "0.7", "0.5"):
        (tmp_path / "mine.py").write_text(strategy.format(weight=weight))
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env={**os.environ, "OPTIM_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert float(done.stdout) == pytest.approx(float(weight))


def test_the_sample_data_loads():
    bars = [load_bars(ROOT / "studies" / "data" / f"{name}_1d.csv") for name in ("ibm", "aapl", "msft")]
    assert {len(one.close) for one in bars} == {3270}
    assert len(common(bars)) == 3


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="tunes glibc's allocator")
@pytest.mark.skipif(bool(config.DISABLE_JIT), reason="a million bars take minutes without the compiler")
def test_long_backtests_do_not_page_their_memory_in_again():
    code = (
        "import resource, numpy as np\n"
        "from engine import sweep\n"
        "from engine.check import random_bars\n"
        "bars = random_bars(np.random.default_rng(0), 1_000_000)\n"
        "rows = [{'fast_window': 5, 'slow_window': 40 + i} for i in range(20)]\n"
        "def faults(rows):\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    sweep(bars, 'ma_crossover', rows, metrics=['sharpe_ratio'], n_jobs=1)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "faults(rows)\n"
        "print(faults(rows))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pages_of_one_array = 8_000_000 // os.sysconf("SC_PAGE_SIZE")
    assert int(done.stdout) < 3 * pages_of_one_array  # of four arrays in each of 20 rows; a mean of them all is kept
