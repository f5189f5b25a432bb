"""A notebook's cell shows a run in one output that is renewed; outside a notebook nobody watches."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from optim.report.cell import watching
from optim.report.view import Quiet
from tests.studies import ROOT, write_study

SCRIPT = """
import json, sys
from IPython.core.displaypub import CapturingDisplayPublisher
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
shell.display_pub = CapturingDisplayPublisher(parent=shell)
shell.kernel = "what a notebook's shell has and a terminal's has not"
from optim import Study

Study.from_toml(sys.argv[1]).run()
print(json.dumps([(one["data"]["text/plain"], one["transient"], one["update"]) for one in shell.display_pub.outputs]))
"""


def test_a_run_shows_itself_in_one_output(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={"n_trials": 300, "sampler": {"name": "RandomSampler"}}, parallel={"n_jobs": 1})
    command, environment = [sys.executable, "-c", SCRIPT, str(path)], {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    shown = json.loads(ended.stdout.splitlines()[-1])
    assert len({transient["display_id"] for _, transient, _ in shown}) == 1
    assert [update for _, _, update in shown] == [False] + [True] * (len(shown) - 1)
    assert shown[0][0].startswith("s: ")
    assert "/300 trials" in shown[0][0]
    assert shown[-1][0] == ""  # when it is over nothing of it stays


def test_nobody_watches_elsewhere() -> None:
    assert isinstance(watching(), Quiet)
