"""The command line: verbs, flags, exit codes. Imports nothing heavy until a verb is known."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from engine.errors import UserError
from optim import __version__
from optim.errors import OptimError, SpecError, one_line
from optim.spec.secrets import mask, variables_sent

EXIT_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 2 with one sentence on stderr for anything the user can mend."""
    options = build_parser().parse_args(arguments)
    try:
        return _answer(options)
    except UserError as error:
        print(f"error: {mask(one_line(str(error)))}", file=sys.stderr)  # noqa: T201
        return EXIT_ERROR
    except KeyboardInterrupt:
        print("interrupted; every finished trial is in the record", file=sys.stderr)  # noqa: T201
        return 130


class Verb(NamedTuple):
    """One command: its name, what it does in a line, its flags, and what is called."""

    name: str
    text: str
    call: Callable[[Any, Any, argparse.Namespace], int]  # the module, the checked study, the options
    flags: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = ()
    study: bool = True  # it takes a study file
    module: str = "commands"  # of optim.cli


def _flag(*names: str, **rules: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return names, rules


_ONE_OF = ("--trial", "--best")  # flags of one verb that exclude one another
_JSON = _flag("--json", action="store_true", help="print the result as one JSON object, nothing else on stdout")
_STUDY_FLAGS = (
    _flag("--new-name", metavar="NAME", help="the study of this name instead of [study] name"),
    _flag("--from", dest="start", metavar="BEST.toml", help="try the parameters of this file first"),
    _flag("--no-env", action="store_true", help="send no variable of the environment anywhere"),
)
VERBS = (
    Verb(
        "run",
        "run a study, or resume it where it stopped",
        lambda commands, spec, options: commands.run(spec, as_object=options.json),
        (
            _flag("-n", "--n-trials", type=int, metavar="N", help="total number of trials, resumed ones included"),
            _flag("-j", "--n-jobs", type=int, metavar="N", help="workers; -1 = all cores; never changes a result"),
            _flag("--seed", type=int, metavar="N", help="seed of the search"),
            _flag("--timeout", metavar="TIME", help="stop after the batch that passes this time, e.g. 90s, 10m, 2h"),
            _JSON,
        ),
    ),
    Verb(
        "sync",
        "bring MLflow to exactly what the record says",
        lambda commands, spec, options: commands.sync(spec),
    ),
    Verb(
        "ui",
        "open the Optuna dashboard and MLflow on a study, until Ctrl-C",
        lambda commands, spec, options: commands.ui(spec, write=options.write),
        (_flag("--write", action="store_true", help="let the dashboards change and delete what they show"),),
    ),
    Verb(
        "show",
        "print the result of what is recorded so far",
        lambda commands, spec, options: commands.show(spec, as_object=options.json),
        (_JSON,),
    ),
    Verb(
        "report",
        "write the result as one HTML page to send: verdict, winner, charts, where it is from",
        lambda commands, spec, options: commands.report(spec, options.output),
        (_flag("-o", "--output", type=Path, metavar="FILE", help="an .html file; the study's name, here, by default"),),
    ),
    Verb(
        "list",
        "list the studies in the storage of a study file",
        lambda commands, spec, options: commands.list_studies(spec),
    ),
    Verb(
        "export",
        "write the trials table as CSV or Parquet",
        lambda commands, spec, options: commands.export(spec, Path(options.output)),
        (_flag("-o", "--output", required=True, metavar="FILE", help="a .csv or .parquet file"),),
    ),
    Verb(
        "replay",
        "run recorded trials again and prove every metric equal to the last digit",
        lambda commands, spec, options: commands.replay(spec, options.trial, options.best),
        (
            _flag("--trial", type=int, metavar="N", help="only this trial"),
            _flag("--best", action="store_true", help="only the best trial"),
        ),
        module="prove",
    ),
    Verb(
        "validate",
        "say whether the winner is skill or luck: the same search on shuffled markets",
        lambda commands, spec, options: commands.validate(spec, as_object=options.json),
        (
            _flag("-j", "--n-jobs", type=int, metavar="N", help="workers; -1 = all cores; never changes a result"),
            _flag("--json", action="store_true", help="print the verdict as one JSON object, nothing else on stdout"),
        ),
        module="prove",
    ),
    Verb(
        "holdout",
        "open the sealed hold-out for the winner, once, and write that down",
        lambda commands, spec, options: commands.holdout(spec),
        module="prove",
    ),
    Verb(
        "judge",
        "the statistics of a verdict for another tool's results: a table of returns, or of Sharpe ratios",
        lambda commands, spec, options: commands.judge(options),
        (
            _flag("file", metavar="FILE", help=".csv, .parquet or .fthypt: returns, dates first, or a table"),
            _flag(
                "--winner",
                metavar="COLUMN",
                help="the trial to judge, a row's name in a table; the largest Sharpe ratio by default",
            ),
            _flag("--benchmark", metavar="COLUMN", help="the column to hold it against; cash by default"),
            _flag("--years", type=float, metavar="Y", help="years behind a table of Sharpe ratios that does not say"),
            _flag("--periods-per-year", type=float, metavar="P", help="of the returns; inferred from their dates"),
            _flag("--json", action="store_true", help="print the result as one JSON object"),
        ),
        study=False,
        module="prove",
    ),
    Verb(
        "data",
        "what was understood of a file of bars, and what is strange about them",
        lambda commands, spec, options: commands.data(options),
        (
            _flag("file", metavar="FILE", help=".csv, .tsv, .txt, .zip, .json, .parquet or .feather"),
            _flag("--date-format", metavar="FORM", help="how times are written, as strptime takes it: %%d/%%m/%%Y"),
            _flag("--timezone", metavar="ZONE", help="of times without an offset, e.g. America/New_York"),
            _flag(
                "--columns", metavar="NAMES", help="open=Kurs,close=Schluss, or all names of a file without a header"
            ),
            _flag("--separator", metavar="CHARACTER", help="; or , or tab or blank"),
            _flag("--decimal", metavar="CHARACTER", help=". or ,"),
            _flag("--thousands", metavar="CHARACTER", help=", or . or ' or a blank"),
            _flag("--encoding", metavar="NAME", help="e.g. cp1252"),
            _flag("--epoch-unit", metavar="UNIT", help="of times that are numbers: s, ms, us or ns"),
            _flag("--repeated-hour", metavar="HOW", help="'in order': local times shown twice are told by their order"),
            _flag("--adjusted", action="store_true", help="all prices times Adj Close / Close"),
            _flag("--drop-empty", action="store_true", help="leave out rows without any price"),
            _flag("--json", action="store_true", help="print it as one JSON object"),
        ),
        study=False,
        module="data",
    ),
    Verb(
        "demo",
        "half a minute: a beautiful equity curve found on a random walk, and then the verdict",
        lambda commands, spec, options: commands.show_demo(),
        study=False,
        module="prove",
    ),
    Verb(
        "check",
        "say what a study would do and how long it would take; writes nothing",
        lambda commands, spec, options: commands.check(spec),
        (
            _flag("reference", nargs="?", help="with `check strategy`: FILE.py:function or a built-in name"),
            _flag("--features", default="", metavar="NAMES", help="with `check strategy`: further columns it reads"),
        ),
        module="prove",
    ),
)


def build_parser() -> argparse.ArgumentParser:
    """The parser with all verbs."""
    parser = argparse.ArgumentParser(
        prog="optim", description="Hyperparameter optimisation for trading strategies whose results can be believed."
    )
    parser.add_argument("--version", action="version", version=f"optim {__version__}")
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for verb in VERBS:
        one = verbs.add_parser(verb.name, help=verb.text, description=verb.text)
        one.set_defaults(verb=verb)
        if verb.study:
            one.add_argument("study", metavar="STUDY.toml", help="the study file")
        flags = (*verb.flags, *(_STUDY_FLAGS if verb.study else ()))
        either = one.add_mutually_exclusive_group() if any(names[0] in _ONE_OF for names, _ in flags) else one
        for names, rules in flags:
            (either if names[0] in _ONE_OF else one).add_argument(*names, **rules)
    return parser


def _answer(options: argparse.Namespace) -> int:
    """Load what is named, then what the verb needs."""
    if options.verb.name == "check" and options.study == "strategy":
        if options.reference is None:
            raise OptimError("optim check strategy: name the strategy, e.g. my_strategy.py:my_function")
        from optim.cli import prove

        return prove.check_strategy(options.reference, options.features)
    spec = _load(options) if options.verb.study else None
    commands = importlib.import_module(f"optim.cli.{options.verb.module}")
    return int(options.verb.call(commands, spec, options))


def _load(options: argparse.Namespace) -> Any:
    from optim.spec.study import load_spec, with_start

    study = {name: getattr(options, name, None) for name in ("n_trials", "seed", "timeout")}
    overrides = {"study": {**study, "name": options.new_name}, "parallel": {"n_jobs": getattr(options, "n_jobs", None)}}
    spec = load_spec(options.study, {name: values for name, table in overrides.items() if (values := _given(table))})
    for key, uri in spec.uris if options.no_env else ():
        if names := variables_sent(uri):
            raise SpecError(
                f"{spec.path}: {key} takes {', '.join(names)} from the environment, which --no-env forbids; write the "
                "value out, unset the variable, or leave --no-env away"
            )
    return spec if options.start is None else with_start(spec, Path(options.start))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
