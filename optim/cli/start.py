"""optim run: the mirror's process first, then everything else that takes time to import."""

from __future__ import annotations

import importlib
from argparse import Namespace

from optim.spec.study import StudySpec
from optim.tracking.early import early_mirror


def run(spec: StudySpec, options: Namespace) -> int:
    """Run or resume a study and print its result; exit code as `optim.cli.commands.run`."""
    with early_mirror(spec) as process:
        commands = importlib.import_module("optim.cli.commands")
        return int(commands.run(spec, process, options))
