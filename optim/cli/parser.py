"""The command line: verbs, flags, exit codes. Imports nothing heavy until a verb is known."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import UserError
from optim import __version__
from optim.errors import OptimError, SpecError, one_line
from optim.spec.secrets import mask, variables_sent

EXIT_ERROR = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; 0 on success, 2 with one sentence on stderr for anything the user can mend."""
    options = build_parser().parse_args(arguments)
    try:
        return int(options.verb(options))
    except UserError as error:
        print(f"error: {mask(one_line(str(error)))}", file=sys.stderr)  # noqa: T201
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
    run.add_argument("--json", action="store_true", help="print the result as one JSON object, nothing else on stdout")
    _verb(verbs, "sync", _sync, "bring MLflow to exactly what the record says")
    ui = _verb(verbs, "ui", _ui, "open the Optuna dashboard and MLflow on a study, until Ctrl-C")
    ui.add_argument("--write", action="store_true", help="let the dashboards change and delete what they show")
    _verb(verbs, "show", _show, "print the result of what is recorded so far")
    _verb(verbs, "list", _list, "list the studies in the storage of a study file")
    export = _verb(verbs, "export", _export, "write the trials table as CSV or Parquet")
    export.add_argument("-o", "--output", required=True, metavar="FILE", help="a .csv or .parquet file")
    replay = _verb(verbs, "replay", _replay, "run recorded trials again and prove every metric equal to the last digit")
    which = replay.add_mutually_exclusive_group()
    which.add_argument("--trial", type=int, metavar="N", help="only this trial")
    which.add_argument("--best", action="store_true", help="only the best trial")
    check = _verb(verbs, "check", _check, "say what a study would do and how long it would take; writes nothing")
    check.add_argument("reference", nargs="?", help="with `check strategy`: FILE.py:function or a built-in name")
    return parser


def _verb(verbs: Any, name: str, function: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(name, help=text, description=text)
    parser.add_argument("study", metavar="STUDY.toml", help="the study file")
    parser.add_argument("--new-name", metavar="NAME", help="the study of this name instead of [study] name")
    parser.add_argument("--from", dest="start", metavar="BEST.toml", help="try the parameters of this file first")
    parser.add_argument("--no-env", action="store_true", help="send no variable of the environment anywhere")
    parser.set_defaults(verb=function)
    return parser


def _run(options: argparse.Namespace) -> int:
    study = {"n_trials": options.n_trials, "seed": options.seed, "timeout": options.timeout}
    spec = _load(options, study=study, parallel={"n_jobs": options.n_jobs})
    from optim.cli import commands

    return commands.run(spec, as_object=options.json)


def _load(options: argparse.Namespace, **overrides: dict[str, Any]) -> Any:
    from optim.spec.study import load_spec, with_start

    overrides["study"] = {**overrides.get("study", {}), "name": options.new_name}
    spec = load_spec(options.study, {name: values for name, table in overrides.items() if (values := _given(table))})
    for key, uri in spec.uris if options.no_env else ():
        if names := variables_sent(uri):
            raise SpecError(
                f"{spec.path}: {key} takes {', '.join(names)} from the environment, which --no-env forbids; write the "
                "value out, unset the variable, or leave --no-env away"
            )
    return spec if options.start is None else with_start(spec, Path(options.start))


def _sync(options: argparse.Namespace) -> int:
    spec = _load(options)
    from optim.cli import commands

    return commands.sync(spec)


def _ui(options: argparse.Namespace) -> int:
    spec = _load(options)
    from optim.cli import commands

    return commands.ui(spec, write=options.write)


def _show(options: argparse.Namespace) -> int:
    spec = _load(options)
    from optim.cli import commands

    return commands.show(spec)


def _list(options: argparse.Namespace) -> int:
    spec = _load(options)
    from optim.cli import commands

    return commands.list_studies(spec)


def _export(options: argparse.Namespace) -> int:
    spec = _load(options)
    from optim.cli import commands

    return commands.export(spec, Path(options.output))


def _replay(options: argparse.Namespace) -> int:
    spec = _load(options)
    from optim.cli import commands

    return commands.replay(spec, options.trial, options.best)


def _check(options: argparse.Namespace) -> int:
    if options.study == "strategy":
        if options.reference is None:
            raise OptimError("optim check strategy: name the strategy, e.g. my_strategy.py:my_function")
        from optim.cli import commands

        return commands.check_strategy(options.reference)
    spec = _load(options)
    from optim.cli import commands

    return commands.check(spec)


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
