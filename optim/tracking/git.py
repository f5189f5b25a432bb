"""What git says of a folder."""

from __future__ import annotations

import subprocess
from pathlib import Path


def get_git_sha(folder: str | Path = ".") -> str:
    """The commit, 40 hex digits, that the repository around `folder` is at; "" outside one, before its first commit, or
    without git.
    """
    return ask_git(folder, "rev-parse", "--verify", "--quiet", "HEAD") or ""


def ask_git(folder: str | Path, *arguments: str) -> str | None:
    """What git answers in `folder`; None where it cannot."""
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=5)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
