"""A study on bars with further columns: in every worker, in the data's hash, in the shuffled markets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.backtest import BacktestEngine
from engine.data.load import load_bars
from optim.api import Study
from optim.problem.plan import make_plan
from optim.spec.study import load_spec
from tests.studies import IBM, essence, load, run_here, write_study

PLAIN = """
def scored(df, params):
    return (df["score"] > params["threshold"]).astype(float)
"""
COMPILED = """
from typing import NamedTuple
import numpy as np
from engine import kernel, strategy

class Params(NamedTuple):
    threshold: float = 0.0

@kernel
def above(values, threshold):
    out = np.zeros(len(values))
    for t in range(len(values)):
        out[t] = 1.0 if values[t] > threshold else 0.0
    return out

@strategy
def scored(bars, p: Params):
    return above(bars.score, p.threshold)
"""
SPACE = {"parameters": {"threshold": {"type": "float", "low": -1.0, "high": 1.0}}}


def study_with(folder: Path, code: str, scale: float = 1.0, **changes: Any) -> Path:
    folder.mkdir(exist_ok=True)
    frame = pd.read_csv(IBM)
    frame["Score"] = scale * np.random.default_rng(5).standard_normal(len(frame))
    frame.to_csv(folder / "bars.csv", index=False)
    (folder / "mine.py").write_text(code)
    strategy = {"name": "mine.py:scored", "search_space": SPACE, "fixed": None}
    return write_study(folder, data={"path": "bars.csv"}, strategy=strategy, **{"study": {"n_trials": 8}, **changes})


def test_trials_are_the_same_compiled_or_not_here_or_in_worker_processes(tmp_path: Path) -> None:
    parallel = {"backend": "loky", "n_jobs": 2, "batch_size": 8, "trial_timeout": 60}  # with a limit nothing stays here
    plain = run_here(study_with(tmp_path / "plain", PLAIN))[1]
    compiled = run_here(study_with(tmp_path / "compiled", COMPILED))[1]
    spread = run_here(study_with(tmp_path / "spread", PLAIN, parallel=parallel))[1]
    assert essence(plain) == essence(compiled) == essence(spread)
    plan = make_plan(load_spec(tmp_path / "plain" / "study.toml"))
    engine = BacktestEngine(periods_per_year=plan.job.periods_per_year, fee_bps=10.0)
    bars = load_bars(tmp_path / "plain" / "bars.csv")
    last, trial = plan.cells[-1], plain[0]
    frame = pd.read_csv(tmp_path / "plain" / "bars.csv")
    target = (frame["Score"] > trial.params["threshold"]).to_numpy(float)
    part = type(bars)(*(column[: last.stop] for column in bars))
    own = engine.run_realistic(part, lambda df, params: target[: last.stop], {}, start=last.start)
    assert trial.user_attrs["cell_values"][-1] == own.metrics["sharpe_ratio"]


def test_a_changed_column_is_other_data(tmp_path: Path) -> None:
    path = study_with(tmp_path / "one", PLAIN)
    run_here(path)
    other = study_with(tmp_path / "two", PLAIN, scale=2.0)
    digests = [make_plan(load_spec(each)).datasets[0].digest for each in (path, other)]
    assert digests[0] != digests[1]
    (tmp_path / "one" / "bars.csv").write_text((tmp_path / "two" / "bars.csv").read_text())
    assert any("[data] bars of file 1 has changed" in said for said in Study.from_toml(path).changed_inputs())


def test_the_verdict_searches_markets_whose_features_stay(tmp_path: Path) -> None:
    """A score without a link to the bars is as good on shuffled ones."""
    validation = {"null": {"markets": 19}}
    path = study_with(tmp_path, COMPILED, validation=validation, parallel={"backend": "sequential", "n_jobs": 2})
    study = Study.from_toml(path)
    study.run()
    verdict = study.validate()
    assert verdict is not None
    assert [arm["markets"] for arm in verdict["null"]["arms"]] == [19, 19]
    assert len(load(tmp_path)) == 8


def test_what_some_instruments_lack_no_strategy_sees_and_it_is_said(tmp_path: Path) -> None:
    path = study_with(tmp_path, PLAIN)
    pd.read_csv(IBM).to_csv(tmp_path / "other.csv", index=False)
    plan = make_plan(load_spec(write_study(tmp_path, data={"path": None, "paths": ["bars.csv", "other.csv"]})))
    assert plan.notes[0] == "not every file has score: no strategy sees that"
    assert all(bars._fields == plan.job.instruments[0]._fields for bars in plan.job.instruments)
    assert path.exists()


def test_a_column_that_is_not_there_is_named_by_the_trial(tmp_path: Path) -> None:
    path = study_with(tmp_path, PLAIN.replace('"score"', '"rank"'))
    trials = run_here(path)[1]
    assert all(re.search(r"KeyError at \w+\.py:\d+: 'rank'", trial.user_attrs["error"]) for trial in trials)
