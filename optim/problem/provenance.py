"""What results were made with: versions, the commit of the study's repository."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from optim import __version__


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

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=5
        )
        return done.stdout.strip()

    try:
        return {
            "commit_sha": git("rev-parse", "HEAD"),
            "git_dirty": str(bool(git("status", "--porcelain", "-uno"))).lower(),
        }
    except (OSError, subprocess.SubprocessError):
        return {}
