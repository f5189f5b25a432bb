"""`optim compare`: two studies side by side."""

from __future__ import annotations

import argparse
import json

from optim.api import Study
from optim.cli.commands import say_changed
from optim.record.quiet import quiet_optuna
from optim.report.compared import as_object, print_compared, side
from optim.report.screen import Screen
from optim.spec.secrets import refuse_sent
from optim.spec.study import StudySpec, load_spec


def compare(spec: StudySpec, options: argparse.Namespace) -> int:
    """Print where two studies differ and what came of each. SpecError when one was never run."""
    other = load_spec(options.other)
    if options.no_env:
        refuse_sent(other.path, other.uris)
    studies = Study(spec), Study(other)
    told = as_object(*map(_side, studies))
    say_changed(*studies)
    if options.json:
        print(json.dumps(told, allow_nan=False))  # noqa: T201 - the object on stdout
    else:
        print_compared(Screen(), told)
    return 0


def _side(study: Study) -> dict[str, object]:
    with quiet_optuna():
        _, record = study.recorded()
    return side(study.summary(), record.spec)
