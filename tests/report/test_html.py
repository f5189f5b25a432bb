"""The report on one page: whole, complete in itself, with the numbers of the record, and blind to the hold-out."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from engine.backtest import BacktestEngine
from engine.report.drawn import thinned
from optim.api import Study
from optim.cli.parser import main
from optim.errors import OptimError, SpecError
from optim.problem.plan import make_plan
from optim.problem.recorded import begun
from optim.report import watched
from optim.report.console import as_json
from optim.report.html.page import Origin, page_of
from optim.report.html.trials import importances
from optim.report.html.values import sampled
from optim.report.html.winner import months_table
from optim.spec.study import load_spec
from tests.studies import IBM, write_study
from tests.verdict.test_holdout import FIRST, LINES, turned

NAME = "<b>" + "long" * 20
VOID = {"meta", "link", "br", "img", "input", "hr"}
BYTES = 6_000_000
LEAKY = "def leaky(df, params):\n    raise ValueError('no answer from postgresql://me:hunter2@db.example/x <b>')\n"
CONDITIONAL = {
    "parameters": {
        "fast_window": {"type": "int", "low": 5, "high": 50},
        "slow_window": {"type": "int", "low": 60, "high": 200},
        "ma_type": {"type": "categorical", "choices": ["sma", "ema"]},
        "stop_pct": {"type": "float", "low": 0.02, "high": 0.2, "log": True, "when": 'ma_type == "ema"'},
    }
}
SWEEP = {"pruner": {"name": "NopPruner"}}
KINDS: dict[str, dict[str, Any]] = {
    "judged": {
        "study": {"name": NAME, "n_trials": 16},
        "evaluation": {"holdout": 0.2},
        "validation": {"null": {"markets": 19}, "walk_forward": {"train": "5y", "test": "3y"}},
        "parallel": {"n_jobs": 1},
    },
    "several": {
        "study": {"objective": ["sharpe_ratio", "max_drawdown"], "n_trials": 16, "pruner": None},
        "data": {"path": None, "paths": [str(IBM), str(IBM.with_name("msft_1d.csv"))]},
        "strategy": {"search_space": CONDITIONAL, "fixed": None},
    },
    "portfolio": {
        "study": {**SWEEP, "objective": "annual_volatility", "n_trials": 12},
        "data": {"path": None, "paths": [str(IBM), str(IBM.with_name("msft_1d.csv"))]},
        "backtest": {"portfolio": True},
    },
    "infeasible": {"study": {**SWEEP, "n_trials": 8}, "evaluation": {"constraints": ["max_drawdown > -0.0001"]}},
    "failed": {
        "study": {"n_trials": 3},
        "strategy": {
            "name": "leaky.py:leaky",
            "search_space": {"parameters": {"x": {"type": "int", "low": 1, "high": 9}}},
            "fixed": None,
            "lookahead_check": False,
        },
    },
    "empty": {},
}


class Read(HTMLParser):
    """A page as it is read: what is open, what it refers to, its text, and the numbers behind the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.refers: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.level = ""
        self.rows: list[list[str]] = []
        self.numbers: dict[str, list[float]] = {}
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "xlink:href", "action", "srcset", "data"):
                self.refers.append(str(value))
            if name == "data-level":
                self.level = str(value)
        if tag == "tr":
            self.rows.append([])
        if tag == "data":
            self.numbers.setdefault(self.rows[-1][0] if self.rows else "", []).append(float(str(dict(attrs)["value"])))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.stack and self.stack[-1] in ("th", "td") and self.rows:
            self.rows[-1].append(data)


class Made:
    """A study of some kind, and its page."""

    def __init__(self, kind: str, folder: Path) -> None:
        (folder / "leaky.py").write_text(LEAKY)
        path = write_study(folder, **KINDS[kind])
        self.study = Study.from_toml(path)
        if kind == "empty":
            begun(make_plan(load_spec(path)))
        else:
            self.study.run()
        if kind == "judged":
            self.study.validate()
        self.file = self.study.report(folder / "page.html")
        self.html = self.file.read_text(encoding="utf-8")
        self.page = Read(self.html)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """The page of each kind, made once."""
    return functools.cache(lambda kind: Made(kind, tmp_path_factory.mktemp(kind)))


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, pages: Callable[[str], Made]) -> Made:
    return pages(request.param)


def test_every_kind_of_study_has_a_whole_page_that_needs_nothing_else(made: Made) -> None:
    page = made.page
    assert page.stack == []
    assert len(page.ids) == len(set(page.ids))
    assert {one[1:] for one in page.refers if one.startswith("#")} <= set(page.ids)
    assert [one for one in page.refers if not one.startswith("#")] == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "embed"}
    assert not re.search(r"https?:|@import|url\((?!#)", made.html)
    assert set(re.findall(r"url\(#([^)]+)\)", made.html)) <= set(page.ids)
    assert len(made.html.encode()) < BYTES
    assert str(made.study.spec.folder) not in made.html
    assert "mathdefault" not in made.html
    assert "#0101" not in made.html  # every colour is the page's own


def test_its_verdict_and_numbers_are_those_of_the_record(made: Made) -> None:
    told = as_json(made.study.summary(), None)
    best, page = told["best"], made.page
    if best is None:
        assert page.level == "no winner"
        return
    assert page.level == ("not judged" if told["verdict"] is None else told["verdict"]["level"])
    in_run, held, search = (told["metrics"][name] for name in ("searched", "benchmark", "in_sample"))
    for shown, name in (("Sharpe ratio", "sharpe_ratio"), ("Maximum drawdown", "max_drawdown"), ("Trades", "n_trades")):
        assert page.numbers[shown] == [one[name] for one in (in_run, held, search)]
    assert page.numbers[str(best["number"])] == list(best["values"].values())
    for name, value in best["params"].items():
        assert any(row[:2] == [name, f"{value:.6g}" if isinstance(value, float) else str(value)] for row in page.rows)
    for reason in (told["verdict"] or {"reasons": ()})["reasons"]:
        assert reason in page.text


@pytest.mark.parametrize("kind", ["judged", "several"])
def test_importances_are_optunas_own_of_a_study_of_the_first_objective(pages: Callable[[str], Made], kind: str) -> None:
    plan, record = pages(kind).study.recorded()
    complete = [trial for trial in record.trials() if trial.state == optuna.trial.TrialState.COMPLETE]
    study = optuna.create_study(direction=plan.objective.goals[0].direction)
    for trial in complete:
        copied = {"params": trial.params, "distributions": trial.distributions}
        study.add_trial(optuna.create_trial(value=trial.values[0], **copied))
    assert importances(plan, complete) == optuna.importance.get_param_importances(study)


def test_what_is_missing_says_which_command_makes_it(pages: Callable[[str], Made]) -> None:
    unjudged = pages("portfolio").page.text
    for text in ("The winner has not been put under stress.", "No shuffled market has been searched."):
        assert f"{text} python -m optim validate study.toml" in unjudged
    assert "of the bars are sealed: nothing of them is on this page. python -m optim holdout study.toml" in unjudged
    assert "optim validate" not in pages("judged").page.text
    assert not re.search("optim (validate|holdout)", pages("infeasible").page.text)  # there is nothing to use them on


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("infeasible", "No trial is feasible: loosen the constraints"),
        ("failed", "Every trial failed"),
        ("empty", "No trial has ended yet"),
    ],
)
def test_without_a_winner_it_says_why(kind: str, said: str, pages: Callable[[str], Made]) -> None:
    found = pages(kind)
    assert said in found.page.text
    assert "hunter2" not in found.html
    assert ("no answer from postgresql://" in found.page.text) == (kind == "failed")


def test_names_are_text_and_a_whole_verdict_is_shown(pages: Callable[[str], Made]) -> None:
    found = pages("judged")
    assert f"<h1>&lt;b&gt;{NAME[3:]}</h1>" in found.html
    assert "b" not in found.page.tags
    assert {"gain1", "loss1"} <= set(re.findall(r'class="(\w+)"', found.html))
    verdict = found.study.verdict
    assert verdict is not None
    assert [
        row[0] for row in found.page.rows if row[:1] in [[w["test"][:10]] for w in verdict["walk_forward"]["windows"]]
    ]
    assert found.page.numbers["as it is"][0] == verdict["stress"]["conditions"]["as it is"]["total_return"]


def test_no_password_of_a_server_is_on_it(pages: Callable[[str], Made]) -> None:
    study = pages("portfolio").study
    plan, record = study.recorded()
    uri = "postgresql://me:hunter2@db.example/optuna"
    spec = plan.spec.model_copy(update={"study": plan.spec.study.model_copy(update={"storage": uri})})
    plan = plan._replace(spec=spec, storage=uri)
    page = page_of(plan, record.trials(), study.summary(), None, Origin(record.versions, ()))
    (section,) = [one for one in page.sections if one.key == "provenance"]
    assert "db.example" in str(section)
    assert "hunter2" not in str(page)


@pytest.fixture
def sealed(tmp_path: Path) -> Study:
    (tmp_path / "bars.csv").write_text("\n".join(LINES) + "\n")
    path = write_study(
        tmp_path, data={"path": "bars.csv"}, study={"n_trials": 12}, evaluation={"folds": 2, "holdout": 0.2}
    )
    study = Study.from_toml(path)
    study.run()
    return study


def test_changed_hold_out_bars_change_no_byte_before_it_is_opened(sealed: Study, tmp_path: Path) -> None:
    mine = sealed.report(tmp_path / "one.html").read_bytes()
    assert b"of the bars are sealed" in mine
    assert b"opened hold-out" not in mine
    bars = tmp_path / "bars.csv"
    bars.write_text("\n".join(LINES[:FIRST] + [turned(line) for line in LINES[FIRST:]]) + "\n")
    other = Study.from_toml(sealed.spec.path)
    assert other.report(tmp_path / "two.html").read_bytes() == mine
    opening = other.open_holdout()
    page = Read(other.report(tmp_path / "two.html").read_text())
    text = page.text
    kept = pd.read_csv(bars).iloc[FIRST - 1 :]
    market = kept["close"].iloc[-1] / (kept["open"].iloc[1] * 1.001) - 1  # bought at the second open, 10 bps paid
    assert page.numbers["Total return"][-2:] == pytest.approx([opening["metrics"]["total_return"], market])
    assert "behind the line the opened hold-out" in text
    assert "in-sample; hold-out to" in text
    assert f"Opened {opening['time'][:10]} for trial {opening['trial']}. It was blind" in text
    assert f"better than in {opening['opened']['rank']:.0%} of 200 equally long windows" in text


def test_searched_bars_that_are_others_now_are_told(sealed: Study, tmp_path: Path) -> None:
    file = sealed.report(tmp_path / "one.html")
    assert "no longer what was searched" not in Read(file.read_text()).text
    (tmp_path / "bars.csv").write_text("\n".join([*LINES[:900], turned(LINES[900]), *LINES[901:]]) + "\n")
    text = Read(Study.from_toml(sealed.spec.path).report(file).read_text()).text
    assert "What is run here is no longer what was searched: [data]" in text
    assert "changed since it was searched" in text


def test_an_opening_for_another_trial_shows_nothing(sealed: Study, tmp_path: Path) -> None:
    opened = sealed.open_holdout()["trial"]
    assert ", as of 12 trials" in Read(sealed.report(tmp_path / "before.html").read_text()).text
    more = Study.from_toml(sealed.spec.path, n_trials=40)
    more.run()
    assert more.best is not None
    assert more.best.number != opened
    text = Read(more.report(tmp_path / "page.html").read_text()).text
    assert ", as of 40 trials" in text
    assert f"opened for trial {opened}, which is not the winner: nothing of it is shown" in text


def test_it_is_written_over_nothing_but_a_report(
    pages: Callable[[str], Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = pages("failed").study
    path = study.spec.path
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert main(["report", str(path)]) == 1
        assert Path("s.html").read_text(encoding="utf-8") == pages("failed").html
    Path("other.html").write_text("<!doctype html>\n<p>mine\n")
    Path("folder.html").mkdir()
    for target, said in (
        ("other.html", "is no report"),
        ("folder.html", "is a folder"),
        (path, "is the file of"),
        ("page.txt", "ending must be .html"),
    ):
        with pytest.raises(SpecError, match=said):
            study.report(target)
    with pytest.raises(OptimError, match="cannot be written: No such file"):
        study.report("nowhere/page.html")
    assert Path("other.html").read_text() == "<!doctype html>\n<p>mine\n"
    assert {one.name for one in tmp_path.iterdir()} == {"s.html", "other.html", "folder.html"}


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=400), st.integers(4, 60))
def test_a_thinned_series_keeps_its_ends_and_extremes(values: list[float], most: int) -> None:
    column = np.array(values)
    kept = thinned(column, most=most)
    assert len(kept) <= max(most + 2, 1)
    assert (np.diff(kept) > 0).all()
    assert {0, len(values) - 1} <= set(kept)
    assert (column[kept].min(), column[kept].max()) == (column.min(), column.max())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=300), st.integers(2, 50), st.booleans())
def test_sampled_trials_have_the_best_half_among_them(values: list[float], most: int, maximise: bool) -> None:
    scores = np.array(values)
    kept = sampled(scores, maximise, most)
    assert len(kept) == len(set(kept)) == min(len(values), most)
    best = sorted(values, reverse=maximise)[: min(len(values), most) // 2]
    assert sorted(scores[kept], reverse=maximise)[: len(best)] == best


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.mark.real("chromium")
@pytest.mark.parametrize("kind", ["judged", "several", "failed"])
def test_a_phone_needs_not_scroll_sideways_and_nothing_is_asked_of_the_network(
    kind: str, pages: Callable[[str], Made], browser: Any
) -> None:
    made = pages(kind)
    asked: list[str] = []
    for width in (320, 390, 1280):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", lambda message: asked.append(message.text))
        page.goto(made.file.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if made.study.best is not None:
            widths = page.evaluate(
                "[...document.querySelectorAll('svg')].map(one => one.getBoundingClientRect().width)"
            )
            assert sorted({round(one) > 0 for one in widths}) == [False, True]  # one of the two drawings of each
            assert max(widths) <= width
        page.close()
    assert asked == [made.file.as_uri()] * 3


SHADES = "[...document.querySelectorAll('.box')].map(one => getComputedStyle(one).backgroundImage.split('rgb').length)"
WIDER = "[...document.querySelectorAll('.box')].filter(one => one.scrollWidth > one.clientWidth).length"


@pytest.mark.real("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_table_that_goes_on_beyond_the_edge_is_shaded_there(
    scheme: str, pages: Callable[[str], Made], browser: Any
) -> None:
    """Of a box half as wide as a phone: the last column of pixels is paper only where the table ends."""
    page = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
    page.goto(pages("judged").file.as_uri())
    assert page.evaluate(WIDER) > 0
    box = page.locator(".months.box").first
    box.scroll_into_view_if_needed()
    right, row = (page.evaluate(f"(b => b.{side})(document.querySelector('.months.box').getBoundingClientRect())")
                  for side in ("right", "top"))  # fmt: skip
    clip = {"x": right - 3, "y": row, "width": 2, "height": 1}  # above the caption's letters: nothing is written
    before = page.screenshot(clip=clip)
    page.evaluate("document.querySelector('.months.box').scrollLeft = 10000")
    assert page.screenshot(clip=clip) != before  # the shade is gone at the end
    page.emulate_media(media="print")
    assert set(page.evaluate(SHADES)) == {1}  # no gradient
    page.close()


def test_months_are_what_the_account_made_of_them() -> None:
    days = pd.date_range("2020-01-01", "2021-02-28", freq="D")
    close = 100.0 * 1.001 ** np.arange(len(days))
    frame = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": 1.0}, index=days)
    result = BacktestEngine(initial_cash=1000.0).run_realistic(frame, "buy_and_hold", {})
    first, second = months_table(result).rows
    assert [cell.text for cell in first[:1]] == ["2020"]
    assert first[3].exact == pytest.approx(1.001**31 - 1, rel=1e-9)  # March: held on each of its days
    assert first[3].text == "3.1"
    assert first[12].exact == pytest.approx(1.001**31 - 1, rel=1e-9)
    assert second[1].exact == pytest.approx(1.001**31 - 1, rel=1e-9)
    assert second[13].exact == pytest.approx(1.001 ** (31 + 28) - 1, rel=1e-9)
    assert second[14].exact == pytest.approx(1.001 ** (31 + 28) - 1, rel=1e-9)  # the market's own year
    assert first[14].exact == pytest.approx(1.001**365 - 1, rel=1e-9)  # from its first close on
    assert [cell.text for cell in second[3:13]] == [""] * 10


@pytest.fixture
def tracked(tmp_path: Path) -> Study:
    return Study.from_toml(write_study(tmp_path, tracking={"enabled": True}))


def page_on_mlflow(study: Study) -> str:
    """Run it; the page that lies at the study's run then, "" where there is none."""
    report = study.run().mlflow
    assert report is not None
    assert report.complete, report.error
    client = MlflowClient(tracking_uri=f"sqlite:///{study.spec.folder}/mlflow.db")
    assert client.get_run(report.parent_run_id).info.status == "FINISHED"
    if "reports/report.html" not in {file.path for file in client.list_artifacts(report.parent_run_id, "reports")}:
        return ""
    return Path(client.download_artifacts(report.parent_run_id, "reports/report.html")).read_text()


def test_a_long_run_puts_its_page_on_mlflow(tracked: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page_on_mlflow(tracked) == ""
    monkeypatch.setattr(watched, "PAGE_SECONDS", 0.0)
    assert page_on_mlflow(tracked) == tracked.report(tmp_path / "page.html").read_text()


def test_a_page_that_cannot_be_drawn_fails_no_run(tracked: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> str:
        raise ZeroDivisionError("in a drawing")

    monkeypatch.setattr(watched, "PAGE_SECONDS", 0.0)
    monkeypatch.setattr("optim.report.html.written.as_html", broken)
    assert page_on_mlflow(tracked) == ""
