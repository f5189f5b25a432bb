"""`optim judge`: other tools' results, made by these tools, against the functions called directly."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optim.cli.parser import main
from optim.validation.haircut import haircut_sharpe
from optim.validation.overfitting import probability_of_backtest_overfitting
from optim.validation.reality import romano_wolf
from optim.validation.statistics import deflated_sharpe_ratio, moments, sharpe_ratios
from tests.studies import IBM

pytestmark = pytest.mark.filterwarnings("ignore")  # what other tools warn of is theirs


def returns() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    days = pd.bdate_range("2010-01-04", periods=1500, name="date")
    market = rng.normal(0.0003, 0.01, 1500)
    table = {f"trial {i}": market * 0.5 + rng.normal(0.0001 * i, 0.008, 1500) for i in range(8)}
    return pd.DataFrame({**table, "market": market}, index=days)


def judged(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert main(["judge", *map(str, arguments), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_returns_are_judged_as_the_functions_have_it(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame, path = returns(), tmp_path / f"returns.{ending}"
    _ = frame.to_csv(path) if ending == "csv" else frame.to_parquet(path)
    told = judged(capsys, path, "--benchmark", "market")
    trials = frame.drop(columns="market")
    ratios = sharpe_ratios(trials)
    best = max(ratios, key=lambda name: ratios[name])
    found = moments(trials[best])
    assert told["winner"] == best
    assert told["periods_per_year"] == 252  # business days: within 5 % of it
    assert told["sharpe"] == pytest.approx(found.sharpe * math.sqrt(told["periods_per_year"]))
    spread = float(np.var(list(ratios.values()), ddof=1))
    assert told["dsr"] == pytest.approx(
        deflated_sharpe_ratio(found.sharpe, 1500, 8, spread, found.skew, found.kurtosis)
    )
    assert told["romano_wolf"] == {"market": pytest.approx(romano_wolf(frame, "market").p_values[best])}
    assert told["pbo"] == pytest.approx(probability_of_backtest_overfitting(trials).pbo)
    other = judged(capsys, path, "--winner", "trial 2", "--periods-per-year", "252")
    assert other["sharpe"] == pytest.approx(moments(frame["trial 2"]).sharpe * math.sqrt(252))
    assert list(other["romano_wolf"]) == ["cash"]


def test_a_heat_map_of_backtesting_py(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from backtesting import Backtest, Strategy

    class Cross(Strategy):  # type: ignore[misc]
        fast, slow = 5, 20

        def init(self) -> None:
            self.a = self.I(lambda x: pd.Series(x).rolling(self.fast).mean(), self.data.Close)
            self.b = self.I(lambda x: pd.Series(x).rolling(self.slow).mean(), self.data.Close)

        def next(self) -> None:
            if self.a[-1] > self.b[-1] and not self.position:
                self.buy()
            elif self.a[-1] < self.b[-1] and self.position:
                self.position.close()

    bars = pd.read_csv(IBM, parse_dates=["date"], index_col="date").iloc[:600]
    bars.columns = bars.columns.str.title()
    test = Backtest(bars, Cross, cash=100_000, commission=0.001)
    found = [test.run(fast=fast, slow=slow)["Sharpe Ratio"] for fast in (4, 8, 12) for slow in (20, 40)]
    index = pd.MultiIndex.from_product([(4, 8, 12), (20, 40)], names=["fast", "slow"])
    heatmap = pd.Series(found, index=index, name="Sharpe Ratio")  # as optimize(return_heatmap=True) gives it
    heatmap.to_csv(tmp_path / "heatmap.csv")
    told = judged(capsys, tmp_path / "heatmap.csv", "--years", "2.4")
    fast, slow = heatmap.idxmax()  # type: ignore[misc]
    assert told["winner"] == f"fast {fast}, slow {slow}"
    assert told["sharpe"] == pytest.approx(heatmap.max())
    n = int(2.4 * 252)
    own = {i: value / math.sqrt(252) for i, value in enumerate(heatmap)}
    best = max(own, key=lambda i: own[i])
    for method in ("bonferroni", "holm", "bhy"):
        assert told["haircut"][method]["p_value"] == pytest.approx(
            haircut_sharpe(own, n, method)[best].adjusted_p_value
        )
    spread = float(np.var(list(own.values()), ddof=1))
    assert told["dsr"] == pytest.approx(deflated_sharpe_ratio(own[best], n, 6, spread, 0.0, 3.0))


def test_a_table_of_vectorbt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import vectorbt as vbt

    close = pd.read_csv(IBM, parse_dates=["date"], index_col="date")["close"].iloc[:500]
    fast, slow = vbt.MA.run_combs(close, [5, 10, 20, 40], short_names=["fast", "slow"])
    portfolio = vbt.Portfolio.from_signals(close, fast.ma_crossed_above(slow), fast.ma_crossed_below(slow), freq="1D")
    stats = portfolio.stats(agg_func=None, settings={"year_freq": "252 days"})
    stats.to_csv(tmp_path / "stats.csv")
    told = judged(capsys, tmp_path / "stats.csv", "--years", "2")
    assert told["sharpe"] == pytest.approx(stats["Sharpe Ratio"].max())
    assert told["what"] == "a table of 6 trials with Sharpe Ratio"


def test_a_hyperopt_file_of_freqtrade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "strategy_Sample.fthypt"
    rows = [
        {"loss": -s, "params_dict": {"buy_rsi": 20 + i}, "results_metrics": {"sharpe": s, "backtest_days": 731}}
        for i, s in enumerate([0.4, 1.9, -0.3, 1.1])
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    told = judged(capsys, path)
    assert (told["winner"], told["sharpe"]) == ("epoch 2", pytest.approx(1.9))
    assert told["years"] == pytest.approx(731 / 365.25)


def test_the_terminal_says_what_it_read_and_what_it_cannot_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    returns().to_csv(tmp_path / "r.csv")
    assert main(["judge", str(tmp_path / "r.csv")]) == 0
    said = capsys.readouterr().out
    assert "Read: returns of 9 trials over 1500 periods." in said
    assert "not known: the null" in said


def transposed(frame: pd.DataFrame) -> str:
    return frame.T.to_csv()


@pytest.mark.parametrize(
    ("write", "flags", "sentence"),
    [
        (transposed, [], "the first column of a table of returns is its dates"),
        (lambda frame: frame.iloc[::-1].to_csv(), [], "the dates are not in order"),
        (lambda frame: frame.mask(frame > 0.03).to_csv(), [], "every return must be a number"),
        (lambda frame: frame.iloc[:20].to_csv(), [], "30"),
        (lambda frame: frame.assign(note="x").to_csv(), [], "column 'note' holds no numbers"),
        (lambda frame: frame.to_csv(), ["--benchmark", "markt"], "did you mean 'market'?"),
        (lambda frame: "a,Sharpe Ratio\n1,0.5\n2,0.7\n", [], "say --years Y"),
        (lambda frame: "a,Sharpe Ratio\n1,x\n", ["--years", "2"], "no row has a number"),
        (lambda frame: "a,Sharpe Ratio\n1,1.0\n", ["--years", "-2"], "must be a number above 0"),
        (lambda frame: "", [], "cannot be read as a table"),
    ],
)
def test_mistakes_are_one_sentence(
    write: Any, flags: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "results.csv"
    path.write_text(write(returns()))
    assert main(["judge", str(path), *flags]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert sentence in said


def test_files_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.fthypt").write_text("{}\n")
    for name, sentence in (("missing.csv", "no such file"), ("x.fthypt", "line 1 is no epoch")):
        assert main(["judge", str(tmp_path / name)]) == 2
        assert sentence in capsys.readouterr().err
