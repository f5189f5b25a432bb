"""No credential comes out again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optim.cli.parser import main
from optim.errors import SpecError
from optim.problem.plan import make_plan
from optim.record.record import open_record
from optim.report.tracked import study_info
from optim.spec.secrets import expand, mask, mask_uri
from optim.spec.study import load_spec
from optim.tracking import MLflowSettings, settings_from
from tests.studies import write_study

PASSWORDS = st.text(
    st.sampled_from("@'\"/:#?%& abzAZ019é漢€😀") | st.characters(exclude_categories=("C", "Z")), min_size=4, max_size=20
).filter(lambda text: len(text.strip()) > 3 and not {*text} <= {*"*/"})
SCHEMES = st.sampled_from(["postgresql+psycopg2", "mysql+pymysql", "http", "https", "s3"])


def written(secret: str) -> set[str]:
    """A secret as somebody may write it."""
    return {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}


def assert_hidden(secret: str, text: str) -> None:
    for form in written(secret):
        assert form not in text.replace("://user:***@localhost:5432/mlflow", "").replace("://***@", ""), (form, text)


@given(PASSWORDS, SCHEMES, st.sampled_from([str, lambda text: quote(text, safe=""), quote_plus]))
def test_a_password_never_survives_in_a_uri(password: str, scheme: str, how: Callable[[str], str]) -> None:
    uri = f"{scheme}://user:{how(password)}@localhost:5432/mlflow"
    user = "***" if scheme in ("http", "https") else "user:***"
    shown = f"{scheme}://{user}@localhost:5432/mlflow"
    assert mask_uri(uri) == shown
    for around in ("could not connect to {}, giving up", 'storage = "{}"', "{}"):
        assert_hidden(password, mask(around.format(uri), uri))
    for form in written(password):
        assert_hidden(password, mask(f"no password {form} is right", uri))
    assert_hidden(password, repr(MLflowSettings(uri)))


@given(PASSWORDS, st.sampled_from(["password", "token", "sslpassword", "access_token", "Password"]))
def test_a_password_in_the_query_never_survives(password: str, key: str) -> None:
    uri = f"postgresql://h/db?user=u&{key}={quote(password, safe='')}&x=1"
    assert mask_uri(uri) == f"postgresql://h/db?user=u&{key}=***&x=1"
    for form in written(password):
        assert_hidden(password, mask(f"no password {form} is right", uri))


@given(PASSWORDS)
def test_a_token_that_is_a_user_name_never_survives(token: str) -> None:
    uri = f"https://{quote(token, safe='')}@host/path"
    assert mask_uri(uri) == "https://***@host/path"
    for form in written(token):
        assert_hidden(token, mask(f"refused for {form} here", uri))


@pytest.mark.parametrize(
    ("uri", "part"),
    [
        ("http://a:p@ssw0rd@h", "ssw0rd"),
        ("postgresql://a:it's@h/db", "it's"),
        ("postgresql://a:half/other@h/db", "other"),
        ("https://TOKEN@h", "TOKEN"),
        ("https://ghp_0123456789abcdef:x-oauth-basic@h", "ghp_0123456789abcdef"),
        ("redis://:alone@h", "alone"),
    ],
)
def test_what_was_shown_once(uri: str, part: str) -> None:
    assert part not in mask_uri(uri)
    assert part not in mask(uri)
    assert part not in mask(f"cannot open {uri}: giving up")
    assert part.lower() not in mask(f"no host {part.lower()}", uri)


@given(PASSWORDS, st.sampled_from(["postgresql", "mysql"]), st.booleans())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_failed_connection_and_the_console_say_no_password(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], password: str, scheme: str, encoded: bool
) -> None:
    """Nothing listens on port 1; whatever a library makes of the URI, its words are masked."""
    uri = f"{scheme}://me:{quote(password, safe='') if encoded else password}@127.0.0.1:1/none"
    path = write_study(tmp_path, study={"storage": "${STORAGE_}"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_", uri)
        for verb in ("run", "show", "list"):
            assert main([verb, str(path)]) == 2
            printed = "".join(capsys.readouterr())
            assert_hidden(password, printed.replace(str(path), ""))
        literal = write_study(tmp_path, study={"storage": uri})
        assert main(["run", str(literal)]) == 2
        assert_hidden(password, "".join(capsys.readouterr()).replace(str(path), ""))


@given(PASSWORDS.filter(lambda text: max(text) <= "\uffff"))  # JSON, by which the test writes TOML, escapes the rest
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mlflow_is_told_no_password(tmp_path: Path, password: str) -> None:
    """The study file as a tag, the record's place and the user's own tags."""
    uri = f"http://me:{password}@127.0.0.1:1"
    tracking = {"enabled": True, "mlflow": {"tracking_uri": uri}, "tags": {"note": f"the password is {password}"}}
    path = write_study(tmp_path, tracking=tracking, study={"n_trials": 2})
    plan = make_plan(load_spec(path))
    names = [goal.name for goal in plan.objective.goals]
    info = study_info(plan, open_record(plan.storage, "s", ["maximize"], plan.fingerprint(), {}, names))
    for text in (info.config_toml, info.storage, info.tags["note"]):
        assert_hidden(password, text.replace(str(tmp_path), ""))
        assert json.dumps(password)[1:-1] not in text


def test_check_names_the_variables_and_no_env_refuses_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECORD_", "recorded-here")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "hunter22")
    tracking = {"enabled": True, "mlflow": {"tracking_uri": "http://127.0.0.1:1"}}
    path = write_study(tmp_path, study={"storage": "${RECORD_}.journal"}, tracking=tracking)
    assert main(["check", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "secrets   RECORD_ of the environment: [study] storage, to ${RECORD_}.journal" in printed
    assert "MLFLOW_TRACKING_TOKEN of the environment: [tracking.mlflow] tracking_uri, to http://127.0.0.1:1" in printed
    assert "hunter22" not in printed
    for verb in ("check", "run", "show", "list", "replay", "ui", "sync"):
        assert main([verb, str(path), "--no-env"]) == 2
        said = capsys.readouterr().err
        assert "[study] storage takes RECORD_ from the environment, which --no-env forbids" in said
    plain = write_study(tmp_path, tracking=tracking)
    assert main(["run", str(plain), "--no-env"]) == 2
    assert "tracking_uri takes MLFLOW_TRACKING_TOKEN" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["study.toml"]
    assert main(["run", str(write_study(tmp_path)), "--no-env"]) == 0


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
    given_ = MLflowSettings("postgresql://bob:hunter22@db/mlflow")
    for text in (repr(given_), str(given_), f"{given_}", given_.masked):
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


def test_mlflow_reports_to_nobody() -> None:
    """In the environment of a user who has never heard of telemetry; asked of MLflow itself."""
    code = (
        "from optim.tracking.settings import MLflowSettings, prepare_environment\n"
        "prepare_environment(MLflowSettings())\n"
        "from mlflow.telemetry.client import get_telemetry_client\n"
        "from mlflow.telemetry.utils import is_telemetry_disabled\n"
        "print(is_telemetry_disabled(), get_telemetry_client())"
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "CI")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=clean)
    assert done.stdout.split() == ["True", "None"]
