"""The command line: verbs, flags, exit codes. Imports nothing heavy until a verb is known."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from optim import __version__
from optim.errors import OptimError

EXIT_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 2 with one sentence on stderr for anything the user can mend."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.verb(options))
    except OptimError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("interrupted; every finished trial is in the record", file=sys.stderr)  # noqa: T201
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The parser with all verbs."""
    parser = argparse.ArgumentParser(
        prog="optim", description="Hyperparameter optimisation for trading strategies whose results can be believed."
    )
    parser.add_argument("--version", action="version", version=f"optim {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run = _verb(verbs, "run", _run, "run a study, or resume it where it stopped")
    run.add_argument("-n", "--n-trials", type=int, metavar="N", help="total number of trials, resumed ones included")
    run.add_argument("-j", "--n-jobs", type=int, metavar="N", help="workers; -1 = all cores; never changes a result")
    run.add_argument("--seed", type=int, metavar="N", help="seed of the search")
    run.add_argument("--timeout", metavar="TIME", help="stop after the batch that passes this time, e.g. 90s, 10m, 2h")
    run.add_argument("--new-name", metavar="NAME", help="run under another study name")
    run.add_argument("--json", action="store_true", help="print the result as one JSON object, nothing else on stdout")
    _verb(verbs, "sync", _sync, "bring MLflow to exactly what the record says")
    return parser


def _verb(verbs: Any, name: str, function: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument("study", metavar="STUDY.toml", help="the study file")
    parser.set_defaults(verb=function)
    return parser


def _run(options: argparse.Namespace) -> int:
    from optim.spec import load_spec

    study = {"n_trials": options.n_trials, "seed": options.seed, "timeout": options.timeout, "name": options.new_name}
    parallel = {"n_jobs": options.n_jobs}
    overrides = {"study": _given(study), "parallel": _given(parallel)}
    spec = load_spec(options.study, {section: values for section, values in overrides.items() if values})
    from optim.run import run

    return run(spec, as_object=options.json)


def _sync(options: argparse.Namespace) -> int:
    from optim.spec import load_spec

    spec = load_spec(options.study)
    from optim.run import sync

    return sync(spec)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
