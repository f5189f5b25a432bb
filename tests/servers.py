"""Real servers for the tests, each on a free port of 127.0.0.1, stopped by the id of its process."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy

from optim.spec.uris import with_driver
from tests.conftest import postgresql_bin
from tests.waiting import until

PASSWORD = "s3cr3t-Pa55word"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(
    command: list[str], log: Path, stop: signal.Signals = signal.SIGTERM, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own, ended with all its children."""
    with log.open("wb") as out:
        started = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True, **options)  # type: ignore[call-overload]
        try:
            yield started
        finally:
            end(started, stop)


def end(started: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM) -> None:
    """Stop a process group and wait for its leader."""
    if started.poll() is None:
        os.killpg(started.pid, how)
        try:
            started.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def answers(url: str) -> bool | None:
    """True as soon as something answers; 401 is an answer too."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except urllib.error.HTTPError as error:
        error.close()
        return error.code < 500 or None
    except OSError:
        return None


@contextmanager
def mlflow_server(folder: Path, *options: str, store: str = "", port: int = 0, **env: str) -> Iterator[str]:
    """`mlflow server` with one worker; its address."""
    port = port or free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "-w", "1"]
    command += ["--backend-store-uri", store or f"sqlite:///{folder}/mlflow.db", *options]
    quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    log = folder / f"server-{port}.log"
    with process(command, log, cwd=folder, env=os.environ | quiet | env) as server:
        url = f"http://127.0.0.1:{port}"

        def ready() -> bool | None:
            assert server.poll() is None, log.read_text()
            return answers(f"{url}/health")

        until(ready, f"the server did not start; see {log}")
        yield url


@contextmanager
def postgres_cluster() -> Iterator[str]:
    """A PostgreSQL cluster; the URI of its server without a database: `postgresql://optim:...@127.0.0.1:port`."""
    programs = postgresql_bin()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="optim-pg-"))
    options: dict[str, object] = {"cwd": folder}
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        shutil.chown(folder, "nobody")
        options |= {"user": "nobody"}
    port = free_port()
    (folder / "password").write_text(PASSWORD)
    (folder / "password").chmod(0o644)
    try:
        initdb = [str(programs / "initdb"), "-D", str(folder / "data"), "-U", "optim", "--auth=scram-sha-256"]
        initdb += ["--pwfile", str(folder / "password"), "--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C"]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
        command = [str(programs / "postgres"), "-D", str(folder / "data"), "-p", str(port), "-k", str(folder)]
        command += ["-c", "listen_addresses=127.0.0.1"]
        for safe in ("fsync", "synchronous_commit", "full_page_writes"):  # against a loss of power, which is not tried
            command += ["-c", f"{safe}=off"]
        command += ["-c", "max_connections=300"]  # those of tests that are over are closed when they are collected
        with process(command, folder / "log", signal.SIGINT, **options):  # do not wait for its clients
            ready = [str(programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
            until(lambda: subprocess.run(ready, check=False).returncode == 0, "PostgreSQL did not start")
            yield f"postgresql://optim:{PASSWORD}@127.0.0.1:{port}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def mariadb_server() -> Iterator[str]:
    """A MariaDB server; its URI without a database: `mysql+pymysql://optim:...@127.0.0.1:port`."""
    folder = Path(tempfile.mkdtemp(prefix="optim-mariadb-"))
    user = ["--user=root"] if os.geteuid() == 0 else []
    data = f"--datadir={folder}/data"
    port = free_port()
    (folder / "init.sql").write_text(
        f"CREATE USER optim@'%' IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO optim@'%';\n"
    )
    try:
        install = ["mariadb-install-db", "--no-defaults", data, "--auth-root-authentication-method=normal", *user]
        subprocess.run(install, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        command = [shutil.which("mariadbd") or "/usr/sbin/mariadbd", "--no-defaults", data, *user]
        command += [f"--port={port}", "--bind-address=127.0.0.1", f"--socket={folder}/socket", "--skip-name-resolve"]
        command += [f"--init-file={folder}/init.sql", "--innodb-buffer-pool-size=32M"]
        command += ["--innodb-flush-log-at-trx-commit=0", "--innodb-doublewrite=0"]  # as above
        server = f"mysql+pymysql://optim:{PASSWORD}@127.0.0.1:{port}"
        with process(command, folder / "log"):
            until(lambda: _accepts(f"{server}/mysql"), f"MariaDB did not start; see {folder / 'log'}")
            yield server
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _accepts(uri: str) -> bool | None:
    try:
        execute(uri, "SELECT 1")
    except sqlalchemy.exc.OperationalError:
        return None
    return True


def execute(uri: str, *statements: str) -> None:
    """Run statements on a database, each by itself."""
    engine = sqlalchemy.create_engine(with_driver(uri), isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(sqlalchemy.text(statement))


def create_database(server: str, name: str, template: str = "template1") -> str:
    """A new database; its URI."""
    if server.startswith("mysql"):
        execute(f"{server}/mysql", f"CREATE DATABASE `{name}`")
    else:
        execute(f"{server}/postgres", f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return f"{server}/{name}"


def end_sessions(uri: str) -> None:
    """End all other sessions on a database, as a server that is restarted does."""
    if not uri.startswith("mysql"):
        execute(
            uri,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        return
    engine = sqlalchemy.create_engine(uri, isolation_level="AUTOCOMMIT", poolclass=sqlalchemy.NullPool)
    with engine.connect() as connection:
        others = sqlalchemy.text(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        )
        for number in connection.execute(others).scalars().all():
            connection.execute(sqlalchemy.text(f"KILL {number}"))


@contextmanager
def nginx_proxy(folder: Path, upstream: str) -> Iterator[str]:
    """nginx with basic auth (alice) at /mlflow/ in front of an MLflow server, as in docs/tracking.md; its address."""
    port = free_port()
    digest = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], capture_output=True, text=True, check=True).stdout
    page = (Path(__file__).parents[1] / "docs" / "tracking.md").read_text()
    location = page.partition("```nginx\n")[2].partition("```")[0]
    location = location.replace("/etc/nginx/.htpasswd", f"{folder}/htpasswd").replace("http://localhost:5000", upstream)
    (folder / "htpasswd").write_text(f"alice:{digest}")
    folder.chmod(0o755)
    config = f"""
    daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log;
    events {{ worker_connections 64; }}
    http {{
      access_log off;
      client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
      uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
      server {{
        listen 127.0.0.1:{port};
        {location}
      }}
    }}"""
    if os.geteuid() == 0:
        config = "user root;" + config
    (folder / "nginx.conf").write_text(config)
    command = [shutil.which("nginx") or "nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with process(command, folder / "nginx.log"):
        until(lambda: answers(f"http://127.0.0.1:{port}/mlflow/health"), "nginx did not start")
        yield f"http://127.0.0.1:{port}/mlflow"


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """moto's S3; its endpoint."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with process(command, folder / "s3.log"):
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(url), "moto did not start")
        yield url
