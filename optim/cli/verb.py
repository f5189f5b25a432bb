"""What a row of the table of verbs is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple


class Verb(NamedTuple):
    """One command: its name, what it does in a line, an example, what is called, its flags."""

    name: str
    text: str
    example: str  # the last line of its help
    call: Callable[[Any, Any, argparse.Namespace], int]  # the module, the checked study, the options
    flags: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = ()
    study: bool = True  # it takes a study file
    optional: bool = False  # which may be left out
    module: str = "commands"  # of optim.cli


def flag(*names: str, **rules: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """A flag's names, and what argparse is told of it."""
    return names, rules
