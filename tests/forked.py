"""`python -m optim ...` as a process of its own, forked from one that has imported optim: it saves the start.

command() -> a line of JSON -> this module as a process, which forks -> the child goes on as `python -m optim`
          <- the exit code <-
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_TURN = threading.Lock()


def command(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python -m optim ...` as a user would, with all of this process's environment."""
    words = [sys.executable, "-m", "optim", *map(str, arguments)]
    with _TURN, tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        where = str(cwd or Path.cwd())
        code = _ask({"argv": words[2:], "cwd": where, "env": _environment(), "stdout": str(out), "stderr": str(err)})
        return subprocess.CompletedProcess(words, code, out.read_text(), err.read_text())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def _ask(request: dict[str, Any]) -> int:
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    print(json.dumps(request), file=server.stdin, flush=True)
    return int(server.stdout.readline())


@cache
def _server() -> subprocess.Popen[str]:
    """Ends with this process, whose pipe it reads."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.forked"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(),
        cwd=ROOT,
    )


def _import_all() -> None:
    """All of optim and engine that a command imports, and what those import."""
    for package in ("engine", "optim"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if not module.name.endswith("__main__") and "mlflow" not in module.name:
                importlib.import_module(module.name)


def _load_kernels() -> None:
    """Those of a small study."""
    studies = importlib.import_module("tests.studies")
    with tempfile.TemporaryDirectory() as folder:
        studies.run_here(studies.write_study(Path(folder), study={"n_trials": 2}))


def _serve() -> list[str]:
    """Fork for every request; returns in the children alone, as what the request says."""
    assert threading.active_count() == 1, "forking loses threads"
    gc.freeze()  # what is here already is never looked at again, nor freed one by one at the end
    for line in sys.stdin:
        request = json.loads(line)
        child = os.fork()
        if not child:
            return _become(**request)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    sys.exit()


def _become(argv: list[str], cwd: str, env: dict[str, str], stdout: str, stderr: str) -> list[str]:
    for number, (path, how) in enumerate([(os.devnull, os.O_RDONLY), (stdout, os.O_WRONLY), (stderr, os.O_WRONLY)]):
        opened = os.open(path, how | (os.O_CREAT if number else 0))
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    signal.alarm(300)  # seconds: a command that hangs is ended, with an exit code that no test expects
    return argv


if __name__ == "__main__":
    _import_all()
    _load_kernels()
    sys.argv = _serve()
    runpy.run_module("optim", run_name="__main__", alter_sys=True)
