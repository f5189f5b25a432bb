"""The wheel: a working command with the built-in strategies and their search spaces, from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.studies import ROOT, write_study


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built and installed into a folder of its own; its dependencies are this environment's."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"optim", "engine"}
    target = folder / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        str(target),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    return target


def run(installed: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(arguments, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_console_command_and_the_module_are_the_same(installed: Path, tmp_path: Path) -> None:
    script = run(installed, str(installed / "bin" / "optim"), "--version", cwd=tmp_path)
    module = run(installed, sys.executable, "-m", "optim", "--version", cwd=tmp_path)
    assert script.stdout == module.stdout
    assert script.stdout.startswith("optim ")


def test_built_in_strategies_and_search_spaces_come_along(installed: Path, tmp_path: Path) -> None:
    path = write_study(tmp_path, strategy={"search_space": None, "fixed": None}, study={"n_trials": 8})
    code = "import optim, engine; print(optim.__file__, engine.__file__)"
    assert str(installed) in run(installed, sys.executable, "-c", code, cwd=tmp_path).stdout
    done = run(installed, sys.executable, "-m", "optim", "run", str(path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "budget spent" in done.stdout
    assert {file.suffix for file in (installed / "optim" / "report" / "html").glob("report.*")} == {".html", ".css"}
    spaces = {file.stem for file in (ROOT / "search_spaces").glob("*.toml")}
    assert spaces == {file.stem for file in (installed / "optim" / "search_spaces").glob("*.toml")}
