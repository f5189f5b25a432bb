"""What a user sees: both dashboards on a study, in a headless browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import optuna
import pytest

from optim.tracking import MLflowSettings, StudyResult, sync
from optim.tracking.links import study_link
from optim.ui import Study, mlflow_links, open_dashboards
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
def links(folder: Path) -> Iterator[dict[str, str]]:
    settings = MLflowSettings(f"sqlite:///{folder}/mlflow.db", "browser")
    with open_dashboards(Study("ma_crossover_ibm", str(folder / "optuna.journal"), settings)) as (servers, links):
        root = servers[1].url
        by_title = {link.title: link.url for link in links}
        many = mlflow_links("many", settings._replace(experiment_name="many"), root)
        yield by_title | {"root": root, "many": many[1].url}


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=FLAGS)
        page = browser.new_page(viewport={"width": 1900, "height": 1000})
        page.set_default_timeout(60_000)
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
    page.get_by_text("Risk-adjusted").wait_for()


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
