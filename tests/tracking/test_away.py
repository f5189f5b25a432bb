"""MLflow's server is down: the run says why and how to catch up, and offers no link that leads nowhere."""

from __future__ import annotations

import re
import socket
from pathlib import Path

import pytest
import requests

from optim.cli.parser import main
from optim.errors import cause
from tests.servers import free_port
from tests.studies import command, load, write_study


def test_a_run_says_why_and_what_to_do(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    path = write_study(tmp_path, tracking={"enabled": True, "mlflow": {"tracking_uri": url}})
    done = command("run", path, "-q")
    assert done.returncode == 0, done.stderr
    assert len(load(tmp_path)) == 24
    *_, last = done.stdout.partition("\nLook at it:")[0].splitlines()
    assert re.fullmatch(
        rf"MLflow at {url}: Connection refused; 24 trials are in the record but not in MLflow yet: "
        rf"python -m optim sync {path}",
        last,
    )
    offered = done.stdout.partition("\nLook at it:")[2]
    assert url not in offered
    assert f"python -m optim sync {path}" in offered


def test_a_server_that_takes_a_call_and_never_answers_is_told_in_few_words() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(requests.Timeout) as caught:
        requests.get(f"http://127.0.0.1:{silent.getsockname()[1]}/api", timeout=0.25)
    assert cause(str(caught.value)) == "no answer within 0.25 seconds"


def test_doctor_says_the_systems_reason_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    path = write_study(tmp_path, tracking={"enabled": True, "mlflow": {"tracking_uri": url}})
    assert main(["doctor", str(path)]) == 1
    assert f"{url} does not answer: Connection refused\n" in capsys.readouterr().out
