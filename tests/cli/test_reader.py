"""A reader that goes away (`| head -1`) ends no command: the same work, the same exit code, not a word on stderr."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from optim.api import Study
from optim.cli.verbs import VERBS
from tests.studies import ROOT, load, write_study


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study file."""
    path = write_study(tmp_path_factory.mktemp("read"))
    Study.from_toml(path).run()
    return path


def unread(*arguments: str | Path, both: bool = False) -> tuple[int, str]:
    """Exit code and stderr of a command whose stdout, or `both`, nobody has ever read."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "optim", *map(str, arguments)],
            stdout=writing,
            stderr=writing if both else subprocess.PIPE,
            text=True,
            cwd=ROOT,
            timeout=300,
            check=False,
        )
    finally:
        os.close(writing)
    return done.returncode, done.stderr or ""


@pytest.mark.parametrize("verb", [verb.name for verb in VERBS])
def test_no_verb_minds(verb: str) -> None:
    assert unread(verb, "--help") == (0, "")


@pytest.mark.parametrize("flags", ["show", "show --json", "show --top 9", "check", "list --json", "doctor", "report"])
def test_what_a_verb_prints_is_for_whoever_reads_it(flags: str, study: Path, tmp_path: Path) -> None:
    verb, *more = flags.split()
    more += ["-o", str(tmp_path / "page.html")] if verb == "report" else []
    assert unread(verb, study, *more) == (0, "")
    assert (tmp_path / "page.html").is_file() == (verb == "report")


def test_an_error_is_still_told_and_counts(tmp_path: Path) -> None:
    code, said = unread("show", tmp_path / "none.toml")
    assert (code, said.count("\n"), said[:7]) == (2, 1, "error: ")
    assert unread("show", tmp_path / "none.toml", both=True) == (2, "")


def test_a_run_that_nobody_reads_ends_its_search(tmp_path: Path) -> None:
    assert unread("run", write_study(tmp_path), both=True) == (0, "")
    assert len(load(tmp_path)) == 24
