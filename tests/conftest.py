"""`@pytest.mark.real("postgresql")`: skipped where the component is absent, an error under OPTIM_REQUIRE_ALL=1."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

COMPONENTS = {
    "postgresql": lambda: bool(postgresql_bin()),
    "mariadb": lambda: bool(shutil.which("mariadb-install-db")) and find_spec("pymysql") is not None,
    "nginx": lambda: bool(shutil.which("nginx")),
    "chromium": lambda: bool(shutil.which("chromium")) and find_spec("playwright") is not None,
    "dask": lambda: find_spec("distributed") is not None,
    "ray": lambda: find_spec("ray") is not None,
    "zsh": lambda: bool(shutil.which("zsh")),
    "fish": lambda: bool(shutil.which("fish")),
    "s3": lambda: find_spec("moto") is not None and find_spec("boto3") is not None,
}


def postgresql_bin() -> Path | None:
    """The folder of the newest installed PostgreSQL server's programs."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None, key=lambda folder: int(folder.parent.name))


WAITING = ("workers", "tracking", "survival", "browser")  # their tests wait for other processes most of the time


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Half of the workers begin with the tests that wait, so that the others compute meanwhile.

    `--dist worksteal` gives every worker as many tests, in a row; one that is done takes some of another's last ones.
    """
    n_workers = getattr(config, "workerinput", {}).get("workercount", 1)
    n_begin = max(1, n_workers // 2)
    waiting = [item for item in items if item.path.parent.name in WAITING]
    modules = list(dict.fromkeys(item.path for item in waiting))
    others = [item for item in items if item.path.parent.name not in WAITING]
    left, items[:] = len(items), []
    for worker in range(n_workers):
        mine = modules[worker::n_begin] if worker < n_begin else []
        first = [item for path in mine for item in waiting if item.path == path]
        share = left // (n_workers - worker)
        room = max(0, share - len(first))
        items += [*first, *others[:room]]
        others, left = others[room:], left - share
    items += others


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("real"):
        for component in mark.args:
            if not COMPONENTS[component]():
                if os.environ.get("OPTIM_REQUIRE_ALL") == "1":
                    pytest.fail(f"{component} is required (OPTIM_REQUIRE_ALL=1) and not installed")
                pytest.skip(f"{component} is not installed")


# The same examples in every run; OPTIM_RANDOM_TESTS=1 looks for new ones, and prints how to repeat what it finds.
settings.register_profile(
    "optim", deadline=None, derandomize=os.environ.get("OPTIM_RANDOM_TESTS") != "1", print_blob=True
)
settings.load_profile("optim")
