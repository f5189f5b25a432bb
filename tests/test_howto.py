"""docs/ as a way in: the how-to pages, their pictures, the notebook and the reference are what they say they are."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import math
import shlex
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml  # type: ignore[import-untyped]
from matplotlib.figure import Figure

from engine import check_strategy, load_bars, load_strategy
from optim.cli.parser import build_parser
from tests.snippets import ROOT, Page
from tests.studies import IBM


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
