"""What results were made with: versions, the commit of the study's repository."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from optim import __version__
from optim.tracking.git import ask_git, get_git_sha


def versions() -> dict[str, str]:
    """The versions a result depends on."""
    found = {"python": platform.python_version(), "optim": __version__}
    for package in ("numba", "numpy", "optuna"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def git_state(folder: Path) -> dict[str, str]:
    """The commit of the repository the study file is in and whether it has uncommitted changes; empty outside one."""

    commit = get_git_sha(folder)
    changes = ask_git(folder, "status", "--porcelain", "-uno") if commit else None
    return {} if changes is None else {"commit_sha": commit, "git_dirty": str(bool(changes)).lower()}
