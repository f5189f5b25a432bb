"""The command line: verbs, flags, exit codes. Imports nothing heavy until a verb is known."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from engine.errors import UserError
from optim import __version__
from optim.cli.verbs import ONE_OF, STUDY_FLAGS, VERBS
from optim.errors import OptimError, one_line
from optim.spec.secrets import mask, refuse_sent

EXIT_ERROR = 2
EXIT_CODES = (
    "exit codes: 0 done; 1 done, with nothing found or something wrong found; 2 bad input, or a record or server that "
    "cannot be used, in one sentence; 130 interrupted"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 2 with one sentence on stderr for anything the user can mend."""
    given = sys.argv[1:] if arguments is None else arguments
    named = given[0] if given and any(verb.name == given[0] for verb in VERBS) else None
    options = build_parser(named).parse_args(given)
    try:
        return _answer(options)
    except UserError as error:
        print(f"error: {mask(one_line(str(error)))}", file=sys.stderr)  # noqa: T201
        return EXIT_ERROR
    except (KeyboardInterrupt, RuntimeError) as error:
        if not is_interrupt(error):
            raise
        print("interrupted; every finished trial is in the record", file=sys.stderr)  # noqa: T201
        return 130


def is_interrupt(error: BaseException) -> bool:
    """Whether it is Ctrl-C, or the RuntimeError that it becomes in the middle of a thread's lock (Python 3.11)."""
    return isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt)


@cache
def build_parser(named: str | None = None) -> argparse.ArgumentParser:
    """The parser with all verbs, or with the one that was named: to build one takes less than to build all."""
    parser = argparse.ArgumentParser(
        prog="optim",
        formatter_class=_formatter,
        description="Hyperparameter optimisation for trading strategies whose results can be believed.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"optim {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb in VERBS if named is None else [verb for verb in VERBS if verb.name == named]:
        one = verbs.add_parser(
            verb.name,
            help=verb.text,
            description=verb.text,
            epilog=f"example: {verb.example}",
            formatter_class=_formatter,
        )
        one.set_defaults(verb=verb)
        if verb.study:
            many: dict[str, Any] = {"nargs": "?"} if verb.optional else {}
            one.add_argument("study", metavar="STUDY.toml", help="the study file", **many)
        flags = (*verb.flags, *(STUDY_FLAGS if verb.study else ()))
        either = one.add_mutually_exclusive_group() if any(names[0] in ONE_OF for names, _ in flags) else one
        for names, rules in flags:
            (either if names[0] in ONE_OF else one).add_argument(*names, **rules)
    return parser


def _formatter(prog: str) -> Any:
    """Loaded where something is to be formatted: most commands print no help. Where no colour is seen none is made."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        return argparse.HelpFormatter(prog)
    from rich_argparse import RichHelpFormatter

    return RichHelpFormatter(prog)


def _answer(options: argparse.Namespace) -> int:
    """Load what is named, then what the verb needs."""
    if options.verb.name == "check" and options.study == "strategy":
        if options.reference is None:
            raise OptimError("optim check strategy: name the strategy, e.g. my_strategy.py:my_function")
        from optim.cli import check

        return check.check_strategy(options.reference, options.features)
    spec = _load(options) if options.verb.study and options.study is not None else None
    commands = importlib.import_module(f"optim.cli.{options.verb.module}")
    return int(options.verb.call(commands, spec, options))


def _load(options: argparse.Namespace) -> Any:
    from optim.spec.study import load_spec, with_start

    study = {name: getattr(options, name, None) for name in ("n_trials", "seed", "timeout")}
    overrides = {"study": {**study, "name": options.new_name}, "parallel": {"n_jobs": getattr(options, "n_jobs", None)}}
    spec = load_spec(options.study, {name: values for name, table in overrides.items() if (values := _given(table))})
    if options.no_env:
        refuse_sent(spec.path, spec.uris)
    return spec if options.first_point is None else with_start(spec, Path(options.first_point))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
