"""What a user sees: both dashboards on a study, in a headless browser."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import optuna
import psutil
import pytest

from optim.record.record import open_record
from optim.serve.ui import Shown, mlflow_links, open_dashboards
from optim.tracking import MLflowSettings, StudyResult, sync
from optim.tracking.links import study_link
from tests.tracking.builders import backtest, make_trials, study_info

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.real("chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
MANY = 10_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of forty trials, and one of ten thousand in an experiment of its own."""
    folder = tmp_path_factory.mktemp("dashboards")
    settings = MLflowSettings(f"sqlite:///{folder}/mlflow.db", "browser")
    trials = make_trials(40)
    result = StudyResult(39, [backtest()], [], "fast_window = 44\n", "Best: **0.39**")
    assert sync(study_info(), settings, trials, result).complete
    many = study_info(study_id="a11", name="many")
    assert sync(
        many, settings._replace(experiment_name="many"), make_trials(MANY), StudyResult(MANY - 1, (), (), "", "")
    ).complete
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "optuna.journal"))
    record = optuna.create_study(
        storage=optuna.storages.JournalStorage(backend), study_name="ma_crossover_ibm", direction="maximize"
    )
    record.add_trials(trials)
    return folder


@pytest.fixture(scope="module")
def study(folder: Path) -> Shown:
    settings = MLflowSettings(f"sqlite:///{folder}/mlflow.db", "browser")
    return Shown("ma_crossover_ibm", study_info().study_id, 0, str(folder / "optuna.journal"), settings)


@pytest.fixture(scope="module")
def started() -> list[psutil.Process]:
    """The dashboards' processes: other tests may have theirs below this one too."""
    return []


@pytest.fixture(scope="module")
def printed(study: Shown, started: list[psutil.Process]) -> Iterator[dict[str, str]]:
    """The links as `optim ui` prints them."""
    before = psutil.Process().children()
    with open_dashboards(study) as (_, links):
        started += [child for child in psutil.Process().children() if child not in before]
        many = study._replace(study_id="a11", name="many", mlflow=study.mlflow._replace(experiment_name="many"))
        root = links[1].url.partition("#")[0]
        yield {link.title: link.url for link in links} | {"many": mlflow_links(many, root)[1].url}


@pytest.fixture(scope="module")
def links(printed: dict[str, str]) -> dict[str, str]:
    """The links once the browser has the cookies."""
    plain = {title: re.sub(r"\?token=[\w-]+", "", url) for title, url in printed.items()}
    return plain | {"root": plain["MLflow, the study"].partition("/#")[0]}


@pytest.fixture(scope="module")
def page(printed: dict[str, str]) -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1900, "height": 1000})
        page.set_default_timeout(60_000)
        for title in ("Optuna dashboard", "MLflow, the study"):
            page.goto(printed[title])
        yield page
        browser.close()


def visit(page: Page, url: str) -> None:
    page.goto("about:blank")  # a change behind the # alone would not load the page
    page.goto(url)


def test_children_are_nested_under_the_parent(page: Page, links: dict[str, str]) -> None:
    visit(page, f"{links['root']}/{study_link('1')}")
    page.get_by_role("link", name="ma_crossover_ibm").wait_for()
    assert page.get_by_role("link", name="trial_0039").count() == 0
    page.get_by_role("gridcell").filter(has_text="ma_crossover_ibm").get_by_role("button").first.click()
    page.get_by_role("link", name="trial_0039").wait_for()


def test_the_trials_link_shows_the_studys_columns_with_the_best_first(page: Page, links: dict[str, str]) -> None:
    visit(page, links["MLflow, its trials"])
    rows = page.get_by_role("link", name="trial_")
    rows.first.wait_for()
    assert rows.all_inner_texts()[:3] == [
        "trial_0039_fast44_slow99",
        "trial_0038_fast43_slow98",
        "trial_0037_fast42_slow97",
    ]
    for name in ("sharpe_ratio", "max_drawdown", "fast_window", "slow_window", "ma_type"):
        assert page.get_by_test_id(f"sort-header-{name}").is_visible()
    assert page.get_by_text("40 matching runs").is_visible()


def test_its_charts_are_those_of_the_study_and_no_assistant_is_in_the_way(page: Page, links: dict[str, str]) -> None:
    visit(page, f"{links['MLflow, its trials']}&compareRunsMode=CHART")
    page.get_by_text("max_drawdown vs. sharpe_ratio").wait_for()
    assert page.get_by_text("Parallel Coordinates").is_visible()
    assert page.locator("[data-testid='experiment-view-compare-runs-card'], .js-plotly-plot").count() >= 2
    assert page.evaluate("localStorage['mlflow.assistant.fab.autoOpenedOnFirstLoad_v1']") == "true"


def test_the_best_ten_are_compared_in_parallel_coordinates(page: Page, links: dict[str, str]) -> None:
    visit(page, links["MLflow, the best 10 compared"])
    page.get_by_text("Comparing 10 Runs").wait_for()
    axes = page.locator("svg .axis-title")
    axes.first.wait_for()
    assert {"fast_window", "slow_window", "sharpe_ratio"} <= set(axes.all_text_contents())


def test_the_description_leads_to_the_best_trial(page: Page, links: dict[str, str]) -> None:
    visit(page, links["MLflow, the study"])
    target = page.get_by_role("link", name="best trial").get_attribute("href")
    visit(page, f"{links['root']}/{target}")
    page.get_by_text("trial_0039_fast44_slow99").first.wait_for()


def test_artifacts_are_previewed(page: Page, links: dict[str, str]) -> None:
    visit(page, links["MLflow, the study"].replace("?", "/artifacts?"))
    page.get_by_text("plots", exact=True).click()
    page.get_by_text("equity_curve.png", exact=True).click()
    image = page.get_by_role("img", name="plots/equity_curve.png")
    image.wait_for(state="attached")
    page.wait_for_function("document.querySelector('img[alt=\"plots/equity_curve.png\"]').naturalWidth > 500")
    page.get_by_text("reports", exact=True).click()
    page.get_by_text("backtest_report.txt", exact=True).click()
    page.get_by_text("Risk-adjusted").first.wait_for()


def test_optunas_dashboard_shows_history_importance_and_a_trials_metrics(page: Page, links: dict[str, str]) -> None:
    visit(page, links["Optuna dashboard"])
    page.get_by_text("Hyperparameter Importance").wait_for()
    page.locator(".trace.scatter .point").first.wait_for(state="attached")
    page.locator("#graph-hyperparameter-importances .bars .point").first.wait_for(state="attached")
    visit(page, links["Optuna dashboard"] + "/trials?numbers=39")
    page.get_by_text("max_drawdown -0.15").wait_for()


def test_ten_thousand_children_stay_usable(page: Page, links: dict[str, str]) -> None:
    visit(page, links["many"])
    page.get_by_role("link", name=f"trial_{MANY - 1}").wait_for()
    page.get_by_test_id("sort-header-fast_window").click()  # sorted anew by the server
    page.get_by_role("link", name=f"trial_{MANY - 1}").wait_for(state="detached")
    assert page.get_by_role("link", name="trial_").count() > 10


def asked(url: str, method: str = "GET", **headers: str) -> tuple[int, str]:
    """Status and text of an answer; headers by their names with _ for -."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection.request(method, target, body=b"{}" if method in ("POST", "PATCH", "PUT") else None, headers=named)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace")


PAGES = ["Optuna dashboard", "MLflow, the study"]
DELETIONS = {
    "Optuna dashboard": [
        ("DELETE", "/api/studies/0"),
        ("POST", "/api/studies/0/rename"),
        ("PUT", "/api/studies/0/note"),
    ],
    "MLflow, the study": [
        ("POST", "/ajax-api/2.0/mlflow/experiments/delete"),
        ("POST", "/ajax-api/2.0/mlflow/runs/set-tag"),
        ("POST", "/api/2.0/mlflow/runs/delete"),
        ("PATCH", "/ajax-api/2.0/mlflow/registered-models/update"),
        ("DELETE", "/ajax-api/3.0/mlflow/datasets/1"),
        ("POST", "/ajax-api/2.0/mlflow/runs/search/../delete"),
    ],
}


@pytest.mark.parametrize("title", PAGES)
def test_the_gate_opens_to_the_token_under_its_own_address_alone(title: str, printed: dict[str, str]) -> None:
    with_token = printed[title].partition("#")[0]
    parts = urlsplit(with_token)
    token = parts.query.removeprefix("token=")
    plain = f"http://{parts.netloc}{parts.path}"
    cookie = f"optim_{parts.port}={token}"
    assert asked(with_token)[0] == (200 if title.startswith("MLflow") else 303)
    assert asked(plain, Cookie=cookie)[0] == 200
    assert asked(plain, Cookie=cookie, Host=f"localhost:{parts.port}")[0] == 200
    assert asked(plain, Cookie=cookie, Origin=f"http://{parts.netloc}")[0] == 200
    for refused in (
        asked(plain),
        asked(f"{plain}?token={token[:-1]}"),
        asked(plain, Cookie=f"optim_{parts.port}=x"),
        asked(plain, Cookie=f"optim_1={token}"),
        asked(with_token, Host="evil.example"),
        asked(with_token, Host=f"evil.example:{parts.port}"),
        asked(with_token, Host="127.0.0.1"),
        asked(plain, Cookie=cookie, Host=f"127.0.0.1.evil.example:{parts.port}"),
        asked(plain, Cookie=cookie, Origin="http://127.0.0.1:1"),
        asked(plain, Cookie=cookie, Origin="null"),
    ):
        assert refused[0] == 403
        assert token not in refused[1]


@pytest.mark.parametrize("title", PAGES)
def test_nothing_is_changed_without_write(title: str, printed: dict[str, str]) -> None:
    parts = urlsplit(printed[title])
    cookie = f"optim_{parts.port}={parts.query.removeprefix('token=')}"
    for method, path in DELETIONS[title]:
        status, said = asked(f"http://{parts.netloc}{path}", method, Cookie=cookie, Content_Type="application/json")
        assert (status, "--write" in said) == (403, True), (method, path)


def test_searching_is_reading(printed: dict[str, str]) -> None:
    parts = urlsplit(printed["MLflow, the study"])
    cookie = f"optim_{parts.port}={parts.query.removeprefix('token=')}"
    url = f"http://{parts.netloc}/ajax-api/2.0/mlflow/experiments/search"
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    headers = {"Cookie": cookie, "Content-Type": "application/json"}
    connection.request("POST", urlsplit(url).path, body=b'{"max_results": 5}', headers=headers)
    answer = connection.getresponse()
    found = json.load(answer)
    assert answer.status == 200
    assert "browser" in [experiment["name"] for experiment in found["experiments"]]


def test_nothing_but_the_gates_listens(printed: dict[str, str], started: list[psutil.Process]) -> None:
    """The dashboards are processes of ours; what they listen on is in no table of ports."""
    below = [one for child in started for one in (child, *child.children(recursive=True))]
    assert len(below) >= 2
    ports = {c.laddr.port for p in below for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN}
    assert ports == set()


def test_the_cookie_is_for_the_browser_alone(page: Page, printed: dict[str, str]) -> None:
    page.goto(printed["Optuna dashboard"])
    assert "token" not in page.url
    assert "optim_" not in str(page.evaluate("document.cookie"))
    cookies = {cookie["name"]: cookie for cookie in page.context.cookies()}
    held = cookies[f"optim_{urlsplit(page.url).port}"]
    assert (held["httpOnly"], held["sameSite"]) == (True, "Strict")


def test_with_write_a_study_of_any_name_can_be_deleted(tmp_path: Path) -> None:
    storage = str(tmp_path / "it's.journal")
    record = open_record(storage, 'it\'s "mine"', ["maximize"], {}, {}, ["x"])
    study = Shown('it\'s "mine"', record.study_id, record.number, storage, None)
    with open_dashboards(study, write=True) as (_, links):
        parts = urlsplit(links[0].url)
        cookie = f"optim_{parts.port}={parts.query.removeprefix('token=')}"
        root = f"http://{parts.netloc}"
        assert (
            json.loads(asked(f"{root}/api/studies", Cookie=cookie)[1])["study_summaries"][0]["study_name"] == study.name
        )
        assert asked(f"{root}/api/studies/{study.number}", "DELETE")[0] == 403
        assert asked(f"{root}/api/studies/{study.number}", "DELETE", Cookie=cookie)[0] == 204
        assert json.loads(asked(f"{root}/api/studies", Cookie=cookie)[1])["study_summaries"] == []


def test_mlflow_finds_a_study_whose_name_has_an_apostrophe(tmp_path: Path) -> None:
    settings = MLflowSettings(f"sqlite:///{tmp_path}/mlflow.db", "it's")
    assert sync(study_info(name="it's"), settings, make_trials(3), None).complete
    study = Shown("it's", study_info().study_id, 0, str(tmp_path / "x.journal"), settings)
    assert [link.title for link in mlflow_links(study, "http://h/")][:2] == ["MLflow, the study", "MLflow, its trials"]
