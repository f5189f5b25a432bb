"""optim strategies, optim metrics: all there are, as their own files and pages have them."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from optim.cli.parser import main
from tests.studies import ROOT

SPACES = sorted((ROOT / "search_spaces").glob("*.toml"))


def test_strategies_are_those_with_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["strategies", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    files = (ROOT / "engine" / "strategies" / "built_in").glob("[a-z]*.py")
    assert [one["name"] for one in told] == sorted(path.stem for path in files) == [path.stem for path in SPACES]
    assert all(one["text"].endswith(".") for one in told)


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_ranges_are_those_of_the_search_space(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tomllib.loads(path.read_text())
    assert main(["strategies", "--json"]) == 0
    (told,) = (one for one in json.loads(capsys.readouterr().out) if one["name"] == path.stem)
    assert told["constraints"] == table.get("constraints", [])
    by_name = {one["name"]: one for one in told["parameters"]}
    assert by_name.keys() == table["parameters"].keys()
    for name, row in table["parameters"].items():
        assert {key: by_name[name][key] for key in row} == row
    assert main(["strategies"]) == 0
    paragraph = re.search(rf"^{path.stem}\b.*?^$", capsys.readouterr().out, re.MULTILINE | re.DOTALL)
    assert paragraph
    assert all(name in paragraph[0] for name in by_name)


def test_metrics_are_those_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (higher|lower) \| \w+ \| \w* ?\| (.+) \|$", page, re.MULTILINE)
    assert main(["metrics", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    better = {"maximize": "higher", "minimize": "lower"}
    found = [(one["name"], better[one["direction"]], one["description"].replace("|", "\\|")) for one in told]
    assert found == rows
    assert main(["metrics"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert re.findall(r"^(\w+) +(higher|lower) ", out, re.MULTILINE) == [row[:2] for row in rows]
