"""A study in a notebook: its plots say what is seen, it shows itself, and a callback hears of every trial."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest

from engine.report.course import course
from engine.report.drawn import grown, wants_log
from optim import OptimError, Study
from optim.report.showcase import HELD_OUT
from tests.studies import essence, load, write_study

NAME = "<b>mine"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study that has run, with its hold-out sealed."""
    path = write_study(tmp_path_factory.mktemp("notebook"), study={"name": NAME}, evaluation={"holdout": 0.2})
    found = Study.from_toml(path)
    found.run()
    return found


def test_every_plot_says_study_objective_instrument_range_and_sample(study: Study) -> None:
    before = dict(mpl.rcParams)
    for draw in (study.plot.history, study.plot.parallel, study.plot.slice, study.plot.importance, study.plot.heatmap):
        figure = draw()
        title = figure.get_suptitle()
        for word in (NAME, "sharpe_ratio", "ibm_1d", "2000-03-01", "in-sample"):
            assert word in title, (draw.__name__, title)
        assert figure.axes
    assert dict(mpl.rcParams) == before  # Optuna's style is not left behind
    from matplotlib import pyplot as plt

    assert plt.get_fignums() == []


def test_the_heat_map_shows_the_mean_of_the_trials_in_each_cell(study: Study) -> None:
    axes = study.plot.heatmap("fast_window", "slow_window").axes[0]
    found = np.ma.filled(np.ma.asarray(axes.images[0].get_array(), float), np.nan)
    table = study.trials[study.trials["state"] == "COMPLETE"]
    fast, slow, score = (table[name].to_numpy(float) for name in ("params_fast_window", "params_slow_window", "value"))

    def place(values: np.ndarray) -> np.ndarray:
        if len(set(values)) <= 12:
            return np.array([sorted(set(values)).index(value) for value in values])
        width = (values.max() - values.min()) / 12
        return np.minimum((values - values.min()) // width, 11).astype(int)

    across, up = place(fast), place(slow)
    wanted = np.full(found.shape, np.nan)
    for row, column in zip(up, across, strict=True):
        wanted[row, column] = np.mean([s for s, y, x in zip(score, up, across, strict=True) if (y, x) == (row, column)])
    np.testing.assert_allclose(found, wanted)
    with pytest.raises(OptimError, match="no parameter 'fast'"):
        study.plot.heatmap("fast")
    with pytest.raises(OptimError, match="over two parameters"):
        study.plot.heatmap("fast_window", "fast_window")


def test_a_study_and_a_backtest_show_themselves_and_escape_what_they_show(study: Study) -> None:
    text = study._repr_html_()
    best = study.best
    assert best is not None
    assert "&lt;b&gt;mine" in text
    assert NAME not in text
    assert f"<td>{best.number}</td><td>{best.values[0]:.4f}</td>" in text
    assert "24 of 24 trials" in text
    shown = study.backtest()._replace(instrument="<i>")._repr_html_()
    assert "<i>" not in shown
    assert "in-sample" in shown
    assert len(shown) < 8_000
    for one in (text, shown):
        parser = HTMLParser()
        parser.feed(one)
        parser.close()
    assert "run it first" in Study.from_toml(study.spec.path, name="other")._repr_html_()


def test_the_hold_out_is_drawn_once_it_is_open(tmp_path: Path) -> None:
    own = Study.from_toml(write_study(tmp_path, study={"n_trials": 8}, evaluation={"holdout": 0.2, "folds": 1}))
    own.run()
    sealed = own.plot.equity()
    assert HELD_OUT not in sealed.get_suptitle()
    own.open_holdout()
    opened = own.plot.equity()
    assert f"in-sample; {HELD_OUT} to" in opened.get_suptitle()
    held, account = (line.get_ydata() for line in opened.axes[0].lines[:2])
    before = len(sealed.axes[0].lines[1].get_ydata())
    np.testing.assert_array_equal(account[:before], sealed.axes[0].lines[1].get_ydata())
    later = own.summary().winner.holdout
    assert later is not None
    one = later.backtests[0]
    np.testing.assert_allclose(account[before:] / account[before - 1], one.equity / one.account.initial_cash)
    np.testing.assert_allclose(held[before:] / held[before - 1], one.market)
    assert sealed._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_a_callback_hears_of_every_trial_and_what_it_raises_ends_the_run(tmp_path: Path) -> None:
    heard: list[int] = []

    def stop(trial: object) -> None:
        heard.append(trial.number)  # type: ignore[attr-defined]
        if len(heard) == 3:
            raise RuntimeError("enough")

    broken = Study.from_toml(write_study(tmp_path))
    with pytest.raises(RuntimeError, match="enough"):
        broken.run(on_trial=stop)
    assert heard == [0, 1, 2]
    kept = len(broken.trials)
    assert 3 <= kept < 24
    broken.run(on_trial=lambda trial: heard.append(trial.number))
    assert heard == [0, 1, 2, *range(kept, 24)]
    (tmp_path / "whole").mkdir()
    Study.from_toml(write_study(tmp_path / "whole")).run()
    assert essence(load(tmp_path)) == essence(load(tmp_path / "whole"))


def test_an_axis_is_logarithmic_for_long_or_steep_courses_alone(study: Study) -> None:
    days = np.datetime64("2000-01-01", "ns") + np.arange(0, 3000, 30) * np.timedelta64(1, "D")
    flat = np.full(len(days), 100.0)
    assert wants_log(days, flat)
    assert not wants_log(days[:12], flat[:12])
    assert wants_log(days[:12], np.linspace(1.0, 4.1, 12))
    assert not wants_log(days, np.linspace(0.0, 5.0, len(days)))
    result = study.backtest()
    found = course(result)
    np.testing.assert_allclose(found.depth, result.drawdown)
    years = grown(result.returns.to_numpy(), found.times, "Y")
    total = np.prod([1.0 + one for one in years.values()]) - 1.0
    assert total == pytest.approx(result.metrics["total_return"])
