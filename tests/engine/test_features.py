"""Further columns of a file: they reach a strategy by name, belong to the data, and cost nothing where unused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import BacktestEngine, check_strategy, kernel, load_bars, strategy, sweep
from engine.check import random_bars
from engine.data.bars import Bars, bars_with, features_of, make_bars, plain_bars, slice_bars
from engine.data.calendar import common
from engine.data.load import content_hash, read_bars, to_frame
from engine.data.shuffle import noisy, resampled, shuffled
from engine.errors import DataError, StrategyError
from engine.simulator.simulate import simulate
from engine.strategies.lookahead import probe_lookahead
from tests.studies import ROOT

N = 300


class Params(NamedTuple):
    threshold: float = 0.0


@kernel
def above(values: Any, threshold: float) -> Any:
    out = np.zeros(len(values))
    for t in range(len(values)):
        out[t] = 1.0 if values[t] > threshold else 0.0  # NaN is not
    return out


@strategy
def by_score(bars: Any, p: Params) -> Any:
    return above(bars.score, p.threshold)


def by_column(df: pd.DataFrame, params: dict[str, Any]) -> pd.Series:
    return (df["score"] > params["threshold"]).astype(float)


def one_ahead(df: pd.DataFrame, params: dict[str, Any]) -> pd.Series:
    return (df["score"].shift(-1) > 0).astype(float).fillna(0.0)


def walk(n: int, seed: int) -> Bars:
    return random_bars(np.random.default_rng(seed), n)


def scored(seed: int = 1, n: int = N) -> tuple[Bars, np.ndarray]:
    """Random bars with a score, which is missing now and then."""
    rng = np.random.default_rng(seed)
    score = np.where(rng.random(n) < 0.1, np.nan, rng.standard_normal(n))
    return make_bars(*walk(n, seed), features={"score": score}), score


@pytest.mark.parametrize("function", [by_score, by_column])
def test_a_strategy_trades_on_a_further_column(function: Any) -> None:
    bars, score = scored()
    own = BacktestEngine(fee_bps=5.0, periods_per_year=252).run_realistic(bars, function, {"threshold": 0.3})
    target = (np.nan_to_num(score, nan=-9.0) > 0.3).astype(float)

    def told(df: pd.DataFrame, params: dict[str, Any]) -> np.ndarray:
        return target

    by_hand = BacktestEngine(fee_bps=5.0, periods_per_year=252).run_realistic(plain_bars(bars), told, {})
    assert len(own.trades) > 20
    pd.testing.assert_series_equal(own.equity, by_hand.equity)
    pd.testing.assert_frame_equal(own.trades, by_hand.trades)
    rows = sweep(bars, function, [{"threshold": 0.3}], periods_per_year=252, fee_bps=5.0)
    assert rows["total_return"][0] == pytest.approx(by_hand.metrics["total_return"])


def test_the_simulator_and_the_built_in_strategies_are_compiled_for_plain_bars_only() -> None:
    bars, _ = scored()
    engine = BacktestEngine(periods_per_year=252)
    plain = engine.run_realistic(plain_bars(bars), "ma_crossover", {"fast_window": 5, "slow_window": 20})

    def compiled() -> int:
        return len(getattr(simulate, "signatures", ()))  # none without the compiler

    before = compiled()
    own = engine.run_realistic(bars, "ma_crossover", {"fast_window": 5, "slow_window": 20})
    sweep(bars, "ma_crossover", [{"fast_window": 5, "slow_window": 20}], periods_per_year=252)
    assert compiled() == before
    pd.testing.assert_series_equal(own.equity, plain.equity)


def test_every_column_of_numbers_of_a_file_is_there_by_its_name(tmp_path: Path) -> None:
    bars = walk(40, 3)
    frame = to_frame(bars).reset_index()
    frame["Fear & Greed"], frame["2nd"], frame["symbol"], frame["flag"] = np.arange(40), 0.5, "BTC", frame.index > 20
    frame["empty"] = np.nan
    frame.to_csv(tmp_path / "bars.csv", index=False)
    frame.iloc[::-1].to_csv(tmp_path / "newest.csv", index=False)
    frame.to_parquet(tmp_path / "bars.parquet")
    for name in ("bars.csv", "newest.csv", "bars.parquet"):
        found, reading = read_bars(tmp_path / name)
        assert list(features_of(found)) == ["fear_greed", "column_2nd", "flag"]
        assert reading.features["fear_greed"] == "Fear & Greed"
        np.testing.assert_array_equal(found.fear_greed, np.arange(40.0))  # type: ignore[attr-defined]
        np.testing.assert_array_equal(found.flag, np.arange(40) > 20)  # type: ignore[attr-defined]
        assert not found.flag.flags.writeable  # type: ignore[attr-defined]
    later = load_bars(tmp_path / "bars.csv", start=str(frame["timestamp"][10]))
    np.testing.assert_array_equal(later.fear_greed, np.arange(10.0, 40.0))  # type: ignore[attr-defined]


def test_decimal_commas_hold_for_further_columns_too(tmp_path: Path) -> None:
    rows = "".join(f"{day:02d}.03.2020;10,5;11,5;9,5;10,25;100;{day},75\n" for day in range(13, 29))
    (tmp_path / "bars.csv").write_text("Datum;Eröffnung;Hoch;Tief;Schluss;Volumen;Güte\n" + rows)
    found = load_bars(tmp_path / "bars.csv")
    np.testing.assert_array_equal(features_of(found)["güte"], np.arange(13, 29) + 0.75)


def test_names_that_no_strategy_could_read_or_that_are_two_are_refused() -> None:
    for name in ("2nd", "class", "count", "close", "_x", "a b"):
        with pytest.raises(DataError, match="cannot be the name of a feature"):
            bars_with((name,))
    frame = to_frame(walk(10, 1)).assign(**{"my score": 1.0, "My-Score": 2.0})
    with pytest.raises(DataError, match="'my score' and 'My-Score' would both be the feature my_score"):
        load_bars(frame)


def test_the_hash_of_the_data_holds_features_and_their_names() -> None:
    bars, score = scored()
    plain = content_hash(plain_bars(bars))
    other = make_bars(*plain_bars(bars), features={"score": np.nan_to_num(score)})
    renamed = make_bars(*plain_bars(bars), features={"rank": score})
    assert len({plain, content_hash(bars), content_hash(other), content_hash(renamed)}) == 4
    assert content_hash(make_bars(*plain_bars(bars), features={"score": score})) == content_hash(bars)


def test_a_strategy_that_knows_the_next_value_of_a_feature_is_found_out() -> None:
    from engine.strategies.base import Strategy

    bars, _ = scored()
    assert probe_lookahead(by_score, [{"threshold": 0.0}], (bars,)).n_compared > 10
    with pytest.raises(StrategyError, match="looks ahead"):
        probe_lookahead(Strategy(one_ahead, compiled=False), [{}], (bars,))


@given(seed=st.integers(0, 50), start=st.integers(0, 100), length=st.integers(2, 150))
def test_whatever_is_done_to_bars_is_done_to_their_features(seed: int, start: int, length: int) -> None:
    bars, score = scored(seed)
    part = slice_bars(bars, start, start + length)
    np.testing.assert_array_equal(features_of(part)["score"], score[start : start + length])
    (one, two) = common([bars, slice_bars(bars, start, start + length)])
    np.testing.assert_array_equal(features_of(one)["score"], features_of(two)["score"])
    frame = to_frame(bars)
    np.testing.assert_array_equal(features_of(load_bars(frame))["score"], score)
    rng = np.random.default_rng(seed)
    for moved in (
        shuffled([bars], rng)[0],
        noisy([bars], rng, 0.1)[0],
    ):
        np.testing.assert_array_equal(features_of(moved)["score"], score)
        assert not np.array_equal(moved.close, bars.close)
    counted = make_bars(*plain_bars(bars), features={"row": np.arange(N, dtype=float)})
    (drawn,) = resampled([counted], rng, 20)
    rows = features_of(drawn)["row"].astype(int)
    np.testing.assert_array_equal(drawn.volume, bars.volume[rows])  # a bar that is drawn again brings its feature along


def test_another_process_reads_bars_with_features_and_runs_the_cached_kernel(tmp_path: Path) -> None:
    import pickle

    bars, _ = scored()
    expected = by_score.target(bars, Params(0.3))
    (tmp_path / "bars.pickle").write_bytes(pickle.dumps(bars))
    code = (
        "import pickle, sys\nfrom tests.engine.test_features import Params, by_score\n"
        "bars = pickle.load(open(sys.argv[1], 'rb'))\nprint(by_score.target(bars, Params(0.3)).tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bars.pickle")],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(expected.tolist())


def test_the_conformance_suite_gives_the_columns_that_are_named() -> None:
    assert check_strategy(by_score, features=["score"]).unproven == ()
    with pytest.raises(StrategyError, match="score"):
        check_strategy(by_score)
