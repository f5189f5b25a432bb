"""README.md and docs/: every snippet is executed, every table of a study parsed, every command accepted.

docs/tracking.md has tests of its own, tests/tracking/test_docs.py, for what it says of servers, and docs/porting.md in
tests/engine/test_peers.py, for what it says of peers.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import math
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml  # type: ignore[import-untyped]
from matplotlib.figure import Figure

from benchmarks import rates
from benchmarks.__main__ import names
from benchmarks.table import KEPT, PAGE, block
from engine import check_strategy, load_bars, load_strategy
from optim.cli.parser import build_parser
from optim.cli.verbs import VERBS
from optim.spec.study import StudySpec, load_spec
from tests.snippets import ROOT, Page, all_pages, pages_with_snippets
from tests.studies import IBM, command, write_study

README = Page("README.md")


def local_times(folder: Path) -> None:
    """ibm.csv as docs/engine.md reads it: by the minute, the day first."""
    times = pd.date_range("2019-12-31 23:58", "2020-07-01 00:01", freq="6h")
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 1.0), index=times)
    frame.to_csv(folder / "ibm.csv", index_label="date", date_format="%d/%m/%Y %H:%M")


def coinbase(folder: Path) -> None:
    """coinbase.csv as docs/data.md names its columns."""
    rows = "1704153600,183.89,188.44,187.15,185.64,82488700,x\n1704240000,183.43,185.88,184.22,184.25,58414500,x\n"
    (folder / "coinbase.csv").write_text(rows)


def readme_study(folder: Path) -> None:
    """The files of the README, and the data they name."""
    for name, text in README.files().items():
        (folder / name).write_text(text)
    (folder / "data").mkdir()
    shutil.copy(IBM, folder / "data")


def engine_page(folder: Path) -> None:
    shutil.copytree(ROOT / "studies" / "data", folder / "studies" / "data")
    local_times(folder)


def python_page(folder: Path) -> None:
    shutil.copytree(ROOT / "studies" / "data", folder / "data")


PYTHON: dict[str, Callable[[Path], None] | None] = {
    "README.md": readme_study,
    "docs/data.md": coinbase,
    "docs/engine.md": engine_page,
    "docs/howto/data.md": None,
    "docs/howto/metric.md": None,
    "docs/howto/python.md": python_page,
    "docs/howto/strategy.md": None,
    "docs/metrics.md": None,
    "docs/statistics.md": None,
}
TOML = (
    "README.md",
    "docs/data.md",
    *(
        f"docs/howto/{name}.md"
        for name in ("constraints", "machines", "metric", "mlflow", "objectives", "postgresql", "team")
    ),
    "docs/howto/strategy.md",
    "docs/scaling.md",
    "docs/study.md",
    "docs/verdict.md",
)
ELSEWHERE = {"docs/tracking.md", "docs/porting.md"}


def test_no_page_is_left_out() -> None:
    pages = {name: {kind for kind, _ in Page(name).fenced} for name in pages_with_snippets() - ELSEWHERE}
    assert {name for name, kinds in pages.items() if "python" in kinds} == set(PYTHON)
    assert {name for name, kinds in pages.items() if "toml" in kinds} == set(TOML)
    assert set.union(*pages.values()) == {"python", "toml", "bash", "yaml", ""}  # "": what is printed


@pytest.mark.parametrize("name", PYTHON)
def test_python_runs_and_prints_what_the_page_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    if prepare := PYTHON[name]:
        prepare(tmp_path)
    page = Page(name)
    assert page.run() == page.promised()


def part_of_a_study(text: str, folder: Path) -> StudySpec:
    """A study with what a toml block says in it: tables of a study, or a search space."""
    table: dict[str, Any] = tomllib.loads(text)
    if "parameters" not in table:
        return load_spec(write_study(folder, **table))
    (folder / "mine.py").write_text("def mine(df, params):\n    return df['close'] * 0.0\n")
    (folder / "goals.py").write_text("def calm(metrics):\n    return metrics['cagr']\n")
    return load_spec(write_study(folder, strategy={"name": "mine.py:mine", "search_space": table, "fixed": {}}))


def assert_within(said: dict[str, Any], found: dict[str, Any]) -> None:
    """What the page says has become what the study is."""
    for key, value in said.items():
        if isinstance(value, dict):
            assert_within(value, found[key])
        else:
            assert found[key] == value, key


@pytest.mark.parametrize(
    ("name", "number"), [(name, number) for name in TOML for number in range(len(Page(name).blocks("toml")))]
)
def test_tables_are_parts_of_a_study(name: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "secret")
    text = Page(name).blocks("toml")[number]
    spec, said = part_of_a_study(text, tmp_path), tomllib.loads(text)
    assert list(said.get("parameters", {})) in ([], [p.name for p in spec.search_space().parameters])
    if "parameters" not in said:
        assert_within(said, spec.model_dump())


def test_the_study_of_the_readme_and_its_strategy_pass_their_checks(tmp_path: Path) -> None:
    """By the commands of docs/security.md, which are about this study."""
    readme_study(tmp_path)
    for line in Page("docs/security.md").optim_commands()[:2]:
        done = command(*shlex.split(line), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    path = write_study(tmp_path, strategy={"name": "breakout.py:breakout", "search_space": None, "fixed": None})
    done = command("run", path, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["complete"] > 0


def test_the_strategy_of_the_engines_page_obeys_the_rules(tmp_path: Path) -> None:
    page = Page("docs/engine.md")
    (tmp_path / "my_crossover.py").write_text(page.files()["my_crossover.py"])
    (tmp_path / "search_spaces").mkdir()
    space = tomllib.loads((ROOT / "search_spaces" / "ma_crossover.toml").read_text())["parameters"]
    rows = [f"[parameters.{name}]\ntype = 'int'\nlow = {space[name]['low']}\nhigh = {space[name]['high']}\n"
            for name in ("fast_window", "slow_window")]  # fmt: skip
    (tmp_path / "search_spaces" / "my_crossover.toml").write_text("".join(rows))
    (line,) = page.optim_commands()
    done = command(*shlex.split(line.replace("FILE.py:function", "my_crossover.py:my_crossover")), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "obeys the rules (6 parameter sets)" in done.stdout


def test_both_strategies_of_the_how_to_want_the_same_and_obey_the_rules(tmp_path: Path) -> None:
    page = Page("docs/howto/strategy.md")
    for name, text in page.files().items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).with_suffix(".toml").write_text(page.blocks("toml")[0])
    bars, params = load_bars(IBM), {"days": 30, "fall": 0.05}
    wanted = []
    for name in ("dip", "fast_dip"):
        strategy = load_strategy(f"{name}.py:{name}", tmp_path)
        wanted.append(strategy.target(bars, strategy.bind(params)))
    assert 0.1 < wanted[0].mean() < 0.9
    assert np.array_equal(*wanted)
    assert not check_strategy("fast_dip.py:fast_dip", base=tmp_path).unproven  # the other takes ten seconds


def test_the_objective_of_the_how_to_is_undefined_where_it_says() -> None:
    namespace: dict[str, Any] = {}
    exec(Page("docs/howto/metric.md").files()["goals.py"], namespace)  # noqa: S102
    metrics = {"n_trades": 10, "cagr": 0.1, "max_drawdown": -0.15}
    assert namespace["calm"](metrics) == pytest.approx(0.5)
    assert math.isnan(namespace["calm"]({**metrics, "n_trades": 9}))


@pytest.mark.filterwarnings("ignore")  # what MLflow warns of while it is imported
def test_the_containers_and_the_nightly_run_use_commands_that_exist() -> None:
    from mlflow.cli import cli

    team = yaml.safe_load((ROOT / "docs" / "howto" / "team" / "compose.yaml").read_text(encoding="utf-8"))["services"]
    (line,) = team["mlflow"]["command"]
    name, verb, *rest = shlex.split(line.replace("$$PASSWORD", "secret"))
    assert (name, verb) == ("mlflow", "server")
    with cli.commands["server"].make_context(verb, rest):
        pass
    assert {service["entrypoint"][1] for service in team.values() if "dask" in service.get("entrypoint", [])} == {
        "scheduler",
        "worker",
    }
    (text,) = Page("docs/howto/nightly.md").blocks("yaml")
    steps = yaml.safe_load(text)["jobs"]["study"]["steps"]
    lines = [step["run"].removeprefix("optim ") for step in steps if step.get("run", "").startswith("optim ")]
    assert [build_parser().parse_args(shlex.split(line)).verb.name for line in lines] == ["run", "report", "validate"]


def script(name: str) -> ModuleType:
    """A program of docs/ as a module."""
    spec = spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_drawn_fills_are_those_the_page_speaks_of(tmp_path: Path) -> None:
    """Made anew by: python docs/draw_fills.py."""
    drawn, page = script("draw_fills"), Page("docs/howto/fills.md").text
    expected = {  # by hand
        "next_open": [(2, 103.0, "signal"), (4, 105.0, "signal")],
        "close": [(1, 103.0, "signal"), (3, 105.0, "signal")],
        "stop_inside": [(1, 102.0, "signal"), (3, 102 * 0.96, "stop_loss")],
        "stop_gap": [(1, 102.0, "signal"), (3, 95.0, "stop_loss")],
        "both_worst": [(1, 102.0, "signal"), (2, 102 * 0.96, "stop_loss")],
        "both_best": [(1, 102.0, "signal"), (2, 102 * 1.06, "take_profit")],
    }
    assert list(drawn.EXAMPLES) == list(expected)
    for name, example in drawn.EXAMPLES.items():
        fills = example.run().fills
        bars = (fills["time"] - pd.Timestamp("2024-01-01", tz="UTC")).dt.days
        found = list(zip(bars, fills["price"].round(9), fills["reason"], strict=True))
        assert found == [(t, round(price, 9), reason) for t, price, reason in expected[name]]
        assert (drawn.FOLDER / f"{name}.svg").is_file()
        assert f"images/fills/{name}.svg" in page
    drawn.draw(example, tmp_path / "one.svg")
    assert "<svg" in (tmp_path / "one.svg").read_text(encoding="utf-8")


def test_the_notebook_prints_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells in order, in one namespace. Outputs made anew by: python docs/execute_example.py."""
    notebook = json.loads((ROOT / "docs" / "example.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    monkeypatch.chdir(ROOT / "docs")
    namespace: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        code = ast.parse("".join(cell["source"]))
        last = code.body[-1]
        shown = ast.Expression(code.body.pop().value) if isinstance(last, ast.Expr) else None  # type: ignore[attr-defined]
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"cell {number}", "exec"), namespace)  # noqa: S102
            value = eval(compile(shown, f"cell {number}", "eval"), namespace) if shown else None  # noqa: S307
        kept = {output["output_type"]: output for output in cell["outputs"]}
        assert printed.getvalue() == "".join(kept["stream"]["text"] if "stream" in kept else "")
        if "execute_result" in kept:
            data = kept["execute_result"]["data"]
            assert ("image/png" in data) == isinstance(value, Figure)
            if not isinstance(value, Figure):
                assert value._repr_html_() == "".join(data["text/html"])
        else:
            assert value is None


def test_the_reference_is_what_the_schema_says() -> None:
    """Made anew by: python docs/reference.py."""
    made = script("reference")
    assert made.PAGE.read_text(encoding="utf-8") == made.page(json.loads(made.SCHEMA.read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", all_pages())
def test_commands_are_accepted(name: str) -> None:
    page = Page(name)
    verbs = {verb.name for verb in VERBS}
    for line in page.optim_commands():
        words = shlex.split(line.replace(" N", " 3"))
        if words[1:] and not words[1].startswith("-"):
            build_parser().parse_args(words)
        else:
            assert words[0] in {*verbs, "--help"}, f"{name}: optim {line}"
    for line in re.findall(r"python -m benchmarks ([\w ]+)", page.text):
        assert set(line.split()) <= set(names()), f"{name}: python -m benchmarks {line}"
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", page.text, re.MULTILINE)) <= set(targets)


def test_the_page_on_studies_has_every_verb_flag_and_key() -> None:
    page = Page("docs/study.md")
    assert {line.split()[0] for line in page.optim_commands()} == {verb.name for verb in VERBS}
    for verb in VERBS:
        for flags, _ in verb.flags:
            assert not flags[0].startswith("-") or any(flag in page.text for flag in flags), f"{verb.name} {flags}"
    sections = re.split(r"^## ", page.text, flags=re.MULTILINE)
    for name, field in StudySpec.model_fields.items():
        keys = getattr(field.annotation, "model_fields", None)
        if keys and name != "tracking":  # docs/tracking.md is about that
            (section,) = [text for text in sections if text.startswith(f"[{name}]")]
            assert not [key for key in keys if f"`{key}`" not in section], f"[{name}]"


def test_the_page_on_studies_has_the_defaults() -> None:
    """Those that are a value; a key that is None when it is left out has its default elsewhere."""
    sections = re.split(r"^## ", Page("docs/study.md").text, flags=re.MULTILINE)
    checked = set()
    for text in sections:
        fields = StudySpec.model_fields.get(text.partition("]")[0][1:])
        own = text.partition("| key of `[")[0]  # of tables within: docs/reference.md, which is made of the schema
        for key, said in re.findall(r"^\| `(\w+)` \| `?([\d\"{][^`|]*?)`? \|", own, re.MULTILINE):
            default = fields.annotation.model_fields[key].get_default(call_default_factory=True)  # type: ignore[union-attr]
            default = default if not hasattr(default, "model_dump") else default.model_dump()
            if default is not None:
                assert tomllib.loads(f"value = {said}")["value"] == default, key
                checked.add(key)
    assert {"n_trials", "seed", "sampler", "storage", "folds", "holdout", "aggregate", "min_trades"} <= checked


@pytest.mark.real("dask")
def test_dask_commands_have_these_options() -> None:
    from distributed.cli import dask_scheduler, dask_worker

    commands = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}
    lines = [shlex.split(line.partition("dask ")[2]) for line in Page("docs/scaling.md").commands() if "dask " in line]
    assert [words[0] for words in lines] == list(commands)
    for verb, *rest in lines:
        with commands[verb].make_context(verb, rest):
            pass


@pytest.mark.real("ray")
def test_ray_commands_have_these_options() -> None:
    from ray.scripts.scripts import start

    lines = [shlex.split(line) for line in Page("docs/scaling.md").commands() if line.startswith("ray start")]
    assert len(lines) == 2
    for _, _, *rest in lines:
        with start.make_context("start", rest):
            pass


def test_the_page_on_benchmarks_shows_what_was_measured() -> None:
    """Every number on it is the command's: the page and the file beside it are written together."""
    page = PAGE.read_text(encoding="utf-8")
    assert block(json.loads(KEPT.read_text(encoding="utf-8"))) in page
    assert rates.as_text(json.loads(rates.KEPT.read_text(encoding="utf-8"))) in page


@pytest.mark.parametrize("name", names())
def test_every_line_of_a_benchmark_names_a_figure_of_its_page(name: str) -> None:
    """A line whose figure is not there is left out of the table: none may be by mistake."""
    measured = {row["what"] for row in json.loads(KEPT.read_text(encoding="utf-8"))["rows"]}
    lines = getattr(import_module(f"benchmarks.{name}"), "LINES", ())
    assert {line.what for line in lines} <= measured
