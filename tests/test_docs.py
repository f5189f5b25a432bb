"""README.md and docs/: every snippet is executed, every table of a study parsed, every command accepted.

docs/tracking.md has tests of its own, tests/tracking/test_docs.py, for what it says of servers, and docs/porting.md in
tests/engine/test_peers.py, for what it says of peers.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmarks import rates
from benchmarks.__main__ import names
from benchmarks.table import KEPT, PAGE, block
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
        for name in ("constraints", "data", "machines", "metric", "mlflow", "objectives", "postgresql", "team")
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
    monkeypatch.syspath_prepend(tmp_path)  # as a notebook's folder is
    assert page.run() == page.promised()
    for module in [key for key, one in sys.modules.items() if str(tmp_path) in str(getattr(one, "__file__", ""))]:
        del sys.modules[module]


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
