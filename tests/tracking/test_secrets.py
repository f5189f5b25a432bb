"""No credential comes out again."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optim.errors import SpecError
from optim.secrets import expand, mask, mask_uri
from optim.tracking import MLflowSettings, settings_from

PASSWORDS = st.text(st.characters(codec="ascii", categories=("L", "N", "P"), exclude_characters="@\"'"), min_size=4)


@given(PASSWORDS)
def test_a_password_never_survives_in_a_uri(password: str) -> None:
    text = f"could not connect to postgresql+psycopg2://user:{password}@localhost:5432/mlflow, giving up"
    assert mask(text) == "could not connect to postgresql+psycopg2://user:***@localhost:5432/mlflow, giving up"


@pytest.mark.parametrize(
    "uri", ["sqlite:///mlflow.db", "./mlruns", "http://server:5000", "postgresql://user@host/db", "s3://bucket/path"]
)
def test_a_uri_without_a_password_stays(uri: str) -> None:
    assert mask_uri(uri) == uri


def test_passwords_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mask("postgresql://h/db?user=u&password=hunter22&x=1") == "postgresql://h/db?user=u&password=***&x=1"
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter22")
    assert mask("login failed with hunter22") == "login failed with ***"
    uri = "http://bob:p%40ss%2Fword@server"
    assert mask("p@ss/word and p%40ss%2Fword", uri) == "*** and ***"


def test_settings_never_show_the_password() -> None:
    settings = MLflowSettings("postgresql://bob:hunter22@db/mlflow")
    for text in (repr(settings), str(settings), f"{settings}", settings.masked):
        assert "hunter22" not in text


def test_variables() -> None:
    assert expand("postgresql://${USER_}:${PASS}@db", "x", {"USER_": "bob", "PASS": "$1"}) == "postgresql://bob:$1@db"
    with pytest.raises(SpecError, match=r"study.toml, tracking_uri: the environment variable ABSENT is not set"):
        expand("${ABSENT}", "study.toml, tracking_uri", {})


def test_relative_places_are_taken_from_the_files_folder() -> None:
    base = Path("/data/my studies")
    table = {"tracking_uri": "sqlite:///results/mlflow.db"}
    assert settings_from(table, "x", base).tracking_uri == "sqlite:////data/my studies/results/mlflow.db"
    assert settings_from({"tracking_uri": "./mlruns"}, "x", base).tracking_uri == "/data/my studies/mlruns"
    assert settings_from({"tracking_uri": "http://h:1"}, "x", base).tracking_uri == "http://h:1"
    location = settings_from(table, "x", base)._replace(experiment_name="a b").location()
    assert location == "file:///data/my%20studies/results/mlartifacts/a_b"
