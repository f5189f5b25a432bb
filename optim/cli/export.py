"""`optim export`: the trials, the parameters of one or the fills of one, as a file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from optim.api import Study
from optim.cli.commands import say
from optim.errors import OptimError, SpecError, counted
from optim.problem.checks import check_target
from optim.record.files import foreign_fills, foreign_params, foreign_table, replace_whole
from optim.record.quiet import quiet_optuna
from optim.record.table import trials_frame, write_csv
from optim.report.backtested import Stretch
from optim.report.screen import Screen
from optim.report.summary import params_toml
from optim.search.ranking import chosen
from optim.spec.study import StudySpec

if TYPE_CHECKING:
    import pandas as pd


def export(spec: StudySpec, options: argparse.Namespace) -> int:
    """Write the trials table, or one trial's fills, as .csv or .parquet; or one trial's parameters as .toml."""
    target: Path = options.output
    if target.suffix not in (".csv", ".parquet", ".toml"):
        raise SpecError(f"--output {target}: the ending must be .csv or .parquet, or .toml for one trial's parameters")
    if options.instrument is not None and options.fills is None:
        raise SpecError(f"--instrument {options.instrument}: is of --fills N; a trial's row is of all instruments")
    write = _export_trials if options.fills is None else _export_fills
    try:
        what = write(Study(spec), target, options)
    except OSError as error:
        raise OptimError(f"--output {target}: cannot be written: {error.strerror}") from None
    say(Screen(), f"{what} written to {target}")
    return 0


def _export_trials(study: Study, target: Path, options: argparse.Namespace) -> str:
    with quiet_optuna():
        plan, record = study.recorded()
        trials = record.trials()
        wanted: list[int | None] = [None] if options.best else [*_numbers(options.trials)]
        trials = [chosen(plan, trials, number) for number in wanted] or trials
    params = target.suffix == ".toml"
    if params and len(trials) != 1:
        raise SpecError(f"--output {target}: parameters are of one trial; add --best, or --trials N")
    own = (plan.storage, plan.tracking_uri)
    check_target(study.spec, target.resolve(), own, foreign_params if params else foreign_table)
    if params:
        replace_whole(target.resolve(), lambda handle: handle.write(params_toml(plan, trials[0]).encode()))
        return f"The parameters of trial {trials[0].number}"
    table = trials_frame(trials)
    replace_whole(target.resolve(), partial(write_csv, table) if target.suffix == ".csv" else _writer(target, table))
    return counted(len(trials), "trial")


def _export_fills(study: Study, target: Path, options: argparse.Namespace) -> str:
    if target.suffix == ".toml":
        raise SpecError(f"--output {target}: fills are a table; the ending must be .csv or .parquet")
    with quiet_optuna():
        plan, _ = study.recorded()
    check_target(study.spec, target.resolve(), (plan.storage, plan.tracking_uri), foreign_fills)
    fills = study.backtest(options.fills, on=Stretch(options.instrument)).fills
    replace_whole(target.resolve(), _writer(target, fills))
    return f"{counted(len(fills), 'fill')} of trial {options.fills}"


def _numbers(text: str | None) -> list[int]:
    """`42` or `1,5,42`."""
    parts = text.split(",") if text else []
    if not all(part.strip().isdecimal() for part in parts):
        raise SpecError(f"--trials {text}: must be numbers of trials, 42 or 1,5,42")
    return list(dict.fromkeys(int(part) for part in parts))


def _writer(target: Path, table: pd.DataFrame) -> Callable[[BinaryIO], object]:
    write = table.to_csv if target.suffix == ".csv" else table.to_parquet
    return lambda handle: write(handle, index=False)
