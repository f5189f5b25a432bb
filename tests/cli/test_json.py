"""--json: one document on stdout, with the keys that docs/study.md promises, from every verb that has the flag."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from optim.api import Study
from optim.cli.parser import main
from optim.cli.verbs import VERBS
from tests.snippets import Page
from tests.studies import IBM, write_study

TABLE = re.search(r"^## As JSON\n(.*?)^## ", Page("docs/study.md").text, re.MULTILINE | re.DOTALL)
assert TABLE is not None
ROWS = [
    (command, keys)
    for commands, keys in re.findall(r"^\| (`.+?`) \| (.+) \|$", TABLE[1], re.MULTILINE)
    for command in re.findall(r"`([^`]+)`", commands)
]
WITHOUT_STUDY = {"list", "strategies", "metrics", "doctor"}
ELSEWHERE = {"validate", "judge"}  # their keys are in docs/verdict.md, their tests in tests/verdict
TRACKED = "sync"  # in tests/tracking/test_end_to_end.py, which has an MLflow


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study file."""
    path = write_study(tmp_path_factory.mktemp("json"))
    Study.from_toml(path, n_trials=12).run()
    return path


def test_every_verb_with_the_flag_is_in_the_table() -> None:
    having = {verb.name for verb in VERBS if any("--json" in names for names, _ in verb.flags)}
    assert {command.split()[0] for command, _ in ROWS} | ELSEWHERE == having


@pytest.mark.parametrize(
    ("command", "keys"), [row for row in ROWS if row[0] != TRACKED], ids=[name for name, _ in ROWS if name != TRACKED]
)
def test_it_prints_the_keys_of_the_page(
    command: str, keys: str, study: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    verb, *flags = shlex.split(command)
    given = [] if verb in WITHOUT_STUDY else [str(IBM)] if verb == "data" else [str(study)]
    given += [str(study)] if verb == "compare" else []
    assert main([verb, *given, *flags, "--json", *(["-n", "12"] if verb == "run" else [])]) in (0, 1)
    told: Any = json.loads(capsys.readouterr().out)
    assert isinstance(told, list) == keys.startswith("a list")
    found = set(told[0] if isinstance(told, list) else told)
    promised = set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", keys)))
    if verb == "show" and "--trial" in flags:
        promised |= set(re.findall(r"`(\w+)`", dict(ROWS)["show --top 5"]))
    if verb == "check":  # some are there only where they apply
        assert found <= promised
        assert promised - found <= {"secrets", "note", "warning", "luck", "power", "bars"}
    else:
        assert found == promised
