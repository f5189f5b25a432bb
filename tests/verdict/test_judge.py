"""`optim judge`: other tools' results, made by these tools, against the functions called directly."""

from __future__ import annotations

import json
import math
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from optim.cli.parser import main
from optim.validation.bootstrap import sharpe_confidence_interval
from optim.validation.haircut import haircut_sharpe
from optim.validation.overfitting import probability_of_backtest_overfitting
from optim.validation.reality import romano_wolf
from optim.validation.statistics import deflated_sharpe_ratio, moments, probabilistic_sharpe_ratio, sharpe_ratios
from tests.studies import IBM

theirs = pytest.mark.filterwarnings("ignore")  # what other tools warn of


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


@theirs
def test_a_heat_map_of_backtesting_py(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import backtesting
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
    monkeypatch.setattr(backtesting, "Pool", ThreadPool)  # the tool's own way to run without processes
    _, heatmap = test.optimize(fast=[4, 8, 12], slow=[20, 40], maximize="Sharpe Ratio", return_heatmap=True)
    heatmap.to_csv(tmp_path / "heatmap.csv")
    told = judged(capsys, tmp_path / "heatmap.csv", "--years", "2.4")
    fast, slow = heatmap.idxmax()
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
    runs = [test.run(fast=fast, slow=20) for fast in (4, 8)]
    pd.DataFrame(runs).drop(columns=["_equity_curve", "_trades"]).to_csv(tmp_path / "stats.csv", index=False)
    told = judged(capsys, tmp_path / "stats.csv", "--winner", "Cross(fast=8,slow=20)")
    assert told["sharpe"] == pytest.approx(runs[1]["Sharpe Ratio"])
    assert told["years"] == pytest.approx((bars.index[-1] - bars.index[0]).days / 365.25)  # Start and End say it


@theirs
def test_a_table_of_vectorbt(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import vectorbt as vbt

    close = pd.read_csv(IBM, parse_dates=["date"], index_col="date")["close"].iloc[:500]
    fast, slow = vbt.MA.run_combs(close, [5, 10, 20, 40], short_names=["fast", "slow"])
    portfolio = vbt.Portfolio.from_signals(close, fast.ma_crossed_above(slow), fast.ma_crossed_below(slow), freq="1D")
    stats = portfolio.stats(agg_func=None, settings={"year_freq": "252 days"})
    for write, name in ((stats.to_csv, "stats.csv"), (stats.to_parquet, "stats.parquet")):
        write(tmp_path / name)
        told = judged(capsys, tmp_path / name)
        assert told["sharpe"] == pytest.approx(stats["Sharpe Ratio"].max())
        fast_best, slow_best = stats["Sharpe Ratio"].idxmax()
        assert told["winner"] == f"fast_window {fast_best}, slow_window {slow_best}"
        assert told["years"] == pytest.approx((close.index[-1] - close.index[0]).days / 365.25)
        assert told["what"].startswith("Sharpe ratios (Sharpe Ratio) of 6 trials, ")


@theirs
def test_a_trial_of_vectorbt_that_never_trades_has_no_ratio(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import vectorbt as vbt

    close = pd.read_csv(IBM, parse_dates=["date"], index_col="date")["close"].iloc[:500]
    entries = pd.DataFrame(False, index=close.index, columns=pd.Index([1, 2, 3], name="window"))
    entries.iloc[10, :2] = True
    exits = entries.shift(100, fill_value=False)
    exits[2] = entries[2].shift(200, fill_value=False)
    portfolio = vbt.Portfolio.from_signals(close, entries, exits, freq="1D")
    stats = portfolio.stats(agg_func=None)
    assert not math.isfinite(stats.loc[3, "Sharpe Ratio"])
    stats.to_csv(tmp_path / "stats.csv")
    told = judged(capsys, tmp_path / "stats.csv")
    assert told["sharpe"] == pytest.approx(stats.loc[[1, 2], "Sharpe Ratio"].max())
    assert (told["trials"], "3 trials, 1 of them without one" in told["what"]) == (3, True)


def epoch(number: int, profits: list[float], days: int) -> dict[str, Any]:
    """A line of a hyperopt file; `sharpe` after calculate_sharpe of freqtrade/data/metrics.py."""
    spread = float(np.std(profits)) if profits else 0.0
    per_day = sum(profits) / days
    sharpe = 0.0 if not profits else per_day / spread * math.sqrt(365) if spread else -100.0
    metrics = {
        "sharpe": sharpe, "total_trades": len(profits), "backtest_days": days, "profit_total": sum(profits),
        "strategy_name": "Sample\u2028",
    }  # fmt: skip
    return {
        "loss": -sharpe, "current_epoch": number, "is_best": False, "params_dict": {"buy_rsi": 20 + number},
        "results_metrics": metrics, "total_profit": sum(profits),
    }  # fmt: skip


def test_a_hyperopt_file_of_freqtrade(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four trades a day: the trades' annual Sharpe ratio is half of what freqtrade calls so."""
    path, rng = tmp_path / "strategy_Sample.fthypt", np.random.default_rng(1)
    many = [rng.normal(mean, 0.01, 4 * 731).tolist() for mean in (0.0001, 0.0004, -0.0002)]
    rows = [epoch(i + 1, profits, 731) for i, profits in enumerate([*many, [], [0.02]])]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    told = judged(capsys, path)
    assert (told["winner"], told["trials"]) == ("epoch 2", 5)
    assert told["sharpe"] == pytest.approx(np.mean(many[1]) / np.std(many[1]) * math.sqrt(4 * 365))
    assert told["sharpe"] == pytest.approx(rows[1]["results_metrics"]["sharpe"] / 2)
    assert (told["years"], told["periods_per_year"]) == (pytest.approx(731 / 365.25), 365)
    own = [np.mean(one) / np.std(one) * math.sqrt(4) for one in many]  # a day; those without a ratio do not vary it
    assert told["dsr"] == pytest.approx(
        deflated_sharpe_ratio(own[1], int(731 / 365.25 * 365), 5, float(np.var(own, ddof=1)), 0.0, 3.0)
    )


def test_one_strategy_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = returns()[["trial 3"]]
    frame.to_parquet(tmp_path / "one.parquet")
    told = judged(capsys, tmp_path / "one.parquet")
    alone, found = sharpe_confidence_interval(frame["trial 3"]), moments(frame["trial 3"])
    assert told["interval"] == pytest.approx([alone.lower * math.sqrt(252), alone.upper * math.sqrt(252)])
    assert (told["luck"], told["pbo"]) == (0.0, None)
    assert told["dsr"] == pytest.approx(probabilistic_sharpe_ratio(found.sharpe, 0.0, 1500, found.skew, found.kurtosis))


def test_dates_are_read_as_those_of_bars_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """20100104 is a day, not so many nanoseconds since 1970; a flat column and one called cash do no harm."""
    frame = returns().rename(columns={"trial 0": "cash"}).assign(flat=0.0)
    frame.set_axis(frame.index.strftime("%Y%m%d"), axis=0).to_csv(tmp_path / "r.csv")
    told = judged(capsys, tmp_path / "r.csv")
    assert (told["first"], told["last"], told["periods_per_year"]) == ("2010-01-04", "2015-10-02", 252)


def test_the_terminal_says_what_it_read_and_what_it_cannot_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    returns().to_csv(tmp_path / "r.csv")
    assert main(["judge", str(tmp_path / "r.csv")]) == 0
    said = capsys.readouterr().out
    assert "Read: returns of 9 trials over 1500 periods, 2010-01-04 to 2015-10-02, 252 a year." in said
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
        (lambda frame: "a,Sharpe Ratio\n1,1.0\n", ["--years", "0.01"], "at least 30 periods"),
        (lambda frame: "a,Sharpe Ratio\n1,1.0\n", ["--years", "1e300"], "at most 1000 years"),
        (lambda frame: "a,Sharpe Ratio\n1,1\n", ["--years", "2", "--benchmark", "b"], "--benchmark: needs the returns"),
        (lambda frame: "a,Sharpe Ratio\n1,1\n2,2\n", ["--years", "2", "--winner", "a 3"], "did you mean 'a 2'?"),
        (lambda frame: "a,1,2\nSharpe Ratio,1,2\n", ["--years", "2"], "it looks transposed"),
        (lambda frame: frame.to_csv(), ["--years", "2"], "--years: returns have their own dates"),
        (lambda frame: frame.to_csv(), ["--winner", "market", "--benchmark", "market"], "cannot be both"),
        (lambda frame: frame[["market"]].to_csv(), ["--benchmark", "market"], "there is no trial"),
        (lambda frame: frame.assign(z=0.0).to_csv(), ["--winner", "z"], "the returns of 'z' do not vary"),
        (lambda frame: (frame * 0.0).to_csv(), [], "do not vary"),
        (lambda frame: frame.reset_index(drop=True).to_csv(), [], "dates ('Unnamed: 0' is not"),
        (lambda frame: frame.iloc[:31].to_csv(), [], "31 periods"),
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
