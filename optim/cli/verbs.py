"""The table of verbs: what each is called, its flags, and the function that does it. Imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from optim.cli.verb import Verb
from optim.cli.verb import flag as _flag

ONE_OF = ("--trial", "--best", "--params", "--trials", "--fills")  # flags of one verb that exclude one another
_JSON = _flag("--json", action="store_true", help="print the result as one JSON object, nothing else on stdout")
_QUIET = _flag("-q", "--quiet", action="store_true", help="show no progress")
_VERBOSE = _flag("-v", "--verbose", action="store_true", help="say on stderr what is used, and what took how long")
_YES = _flag("--yes", action="store_true", help="do not ask")
STUDY_FLAGS = (
    _flag("--new-name", metavar="NAME", help="the study of this name instead of [study] name"),
    _flag("--from", dest="first_point", metavar="BEST.toml", help="try the parameters of this file first"),
    _flag("--no-env", action="store_true", help="send no variable of the environment anywhere"),
)
VERBS = (
    Verb(
        "run",
        "run a study, or resume it where it stopped",
        "optim run study.toml -n 500",
        lambda commands, spec, options: commands.run(spec, options),
        (
            _flag("-n", "--n-trials", type=int, metavar="N", help="total number of trials, resumed ones included"),
            _flag("-j", "--n-jobs", type=int, metavar="N", help="workers; -1 = all cores; never changes a result"),
            _flag("--seed", type=int, metavar="N", help="seed of the search"),
            _flag("--timeout", metavar="TIME", help="stop after the batch that passes this time, e.g. 90s, 10m, 2h"),
            _QUIET,
            _VERBOSE,
            _JSON,
        ),
        module="start",
    ),
    Verb(
        "sync",
        "bring MLflow to exactly what the record says",
        "optim sync study.toml",
        lambda commands, spec, options: commands.sync(spec, as_object=options.json),
        (_JSON,),
    ),
    Verb(
        "ui",
        "open the Optuna dashboard and MLflow on a study, until Ctrl-C",
        "optim ui study.toml",
        lambda commands, spec, options: commands.ui(spec, write=options.write),
        (_flag("--write", action="store_true", help="let the dashboards change and delete what they show"),),
    ),
    Verb(
        "show",
        "print the result of what is recorded so far, or the trials that are asked for",
        "optim show study.toml --where 'n_trades > 30' --sort cagr",
        lambda commands, spec, options: commands.show(spec, options),
        (
            _flag("--top", type=int, metavar="N", help="so many trials, the best first; 20 with the flags below"),
            _flag("--where", metavar="CONDITION", help="over objectives, metrics, parameters, trial and state"),
            _flag("--sort", metavar="NAME", help="by one of them, the better first; parameters ascend"),
            _flag("--trial", type=int, metavar="N", help="one trial, with its metrics and its equity"),
            _JSON,
        ),
    ),
    Verb(
        "backtest",
        "one backtest on the searched bars: the winner, another trial, or parameters of your own",
        "optim backtest study.toml --set fast_window=20 --set slow_window=50",
        lambda commands, spec, options: commands.backtest(spec, options),
        (
            _flag("--trial", type=int, metavar="N", help="this trial of the record; the winner by default"),
            _flag(
                "--params", type=Path, metavar="FILE", help="a best_params.toml, or what show --json printed (.json)"
            ),
            _flag(
                "--set",
                action="append",
                metavar="NAME=VALUE",
                help="a parameter or account rule, repeatedly; with --trial or --params theirs is changed",
            ),
            _flag("--instrument", metavar="NAME", help="one of several"),
            _flag("--start", metavar="DATE", help="from this day, month or year on; earlier bars warm the signal up"),
            _flag("--end", metavar="DATE", help="to this day, month or year, inclusive; never into the hold-out"),
            _flag(
                "--out", type=Path, metavar="FOLDER", help="write plots, reports, trades, fills into this new folder"
            ),
            _JSON,
        ),
        module="backtest",
    ),
    Verb(
        "report",
        "write the result as one HTML page to send: verdict, winner, charts, where it is from",
        "optim report study.toml -o result.html",
        lambda commands, spec, options: commands.report(spec, options.output),
        (_flag("-o", "--output", type=Path, metavar="FILE", help="an .html file; the study's name, here, by default"),),
    ),
    Verb(
        "compare",
        "two studies side by side: settings that differ, winners, verdicts",
        "optim compare study.toml other.toml",
        lambda commands, spec, options: commands.compare(spec, options),
        (_flag("other", type=Path, metavar="OTHER.toml", help="the study to hold beside it"), _JSON),
        module="compare",
    ),
    Verb(
        "list",
        "list the studies in the storage of a study file, or the study files in this folder",
        "optim list",
        lambda commands, spec, options: commands.list_studies(spec, options),
        (_flag("--json", action="store_true", help="print them as one JSON list"),),
        optional=True,
    ),
    Verb(
        "rename",
        "give a study another name: in its record, in MLflow and in the study file",
        "optim rename study.toml tried_in_may",
        lambda commands, spec, options: commands.rename(spec, options.name, yes=options.yes),
        (_flag("name", metavar="NEW_NAME", help="no study in the storage has it"), _YES),
        module="change",
    ),
    Verb(
        "delete",
        "take a study out of its record and out of MLflow; asks first",
        "optim delete study.toml",
        lambda commands, spec, options: commands.delete(spec, yes=options.yes),
        (_YES,),
        module="change",
    ),
    Verb(
        "export",
        "write the trials table or one trial's fills as CSV or Parquet, or its parameters as TOML",
        "optim export study.toml --best -o best.toml",
        lambda export, spec, options: export.export(spec, options),
        (
            _flag("-o", "--output", type=Path, required=True, metavar="FILE", help="a .csv, .parquet or .toml file"),
            _flag("--trials", metavar="N,N", help="only these trials"),
            _flag("--best", action="store_true", help="only the winner"),
            _flag("--fills", type=int, metavar="N", help="the fills of this trial on the searched bars instead"),
            _flag("--instrument", metavar="NAME", help="with --fills: one of several"),
        ),
        module="export",
    ),
    Verb(
        "replay",
        "run recorded trials again and prove every metric equal to the last digit",
        "optim replay study.toml --best",
        lambda commands, spec, options: commands.replay(spec, options.trial, options.best, as_object=options.json),
        (
            _flag("--trial", type=int, metavar="N", help="only this trial"),
            _flag("--best", action="store_true", help="only the best trial"),
            _JSON,
        ),
        module="prove",
    ),
    Verb(
        "validate",
        "say whether the winner is skill or luck: the same search on shuffled markets",
        "optim validate study.toml -j -1",
        lambda commands, spec, options: commands.validate(spec, as_object=options.json, quiet=options.quiet),
        (
            _flag("-j", "--n-jobs", type=int, metavar="N", help="workers; -1 = all cores; never changes a result"),
            _QUIET,
            _flag("--json", action="store_true", help="print the verdict as one JSON object, nothing else on stdout"),
        ),
        module="prove",
    ),
    Verb(
        "holdout",
        "open the sealed hold-out for the winner, once, and write that down",
        "optim holdout study.toml",
        lambda commands, spec, options: commands.holdout(spec, as_object=options.json),
        (_JSON,),
        module="prove",
    ),
    Verb(
        "judge",
        "the statistics of a verdict for another tool's results: a table of returns, or of Sharpe ratios",
        "optim judge returns.csv --benchmark SPY",
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
        "optim data bars.csv --timezone America/New_York",
        lambda commands, spec, options: commands.data(options),
        (
            _flag(
                "file", metavar="FILE", help=".csv, .tsv, .txt, .zip, .json, .parquet, .feather, or a folder of them"
            ),
            _flag("--symbol-column", metavar="NAME", help="of a long table of many instruments: whose bar a row is"),
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
        "strategies",
        "the built-in strategies: what they do, their parameters and ranges",
        "optim strategies",
        lambda commands, spec, options: commands.strategies(options.json),
        (_flag("--json", action="store_true", help="print them as one JSON list"),),
        study=False,
        module="known",
    ),
    Verb(
        "metrics",
        "every metric: which direction is better, its definition",
        "optim metrics",
        lambda commands, spec, options: commands.metrics(options.json),
        (_flag("--json", action="store_true", help="print them as one JSON list"),),
        study=False,
        module="known",
    ),
    Verb(
        "new",
        "begin: a folder with a strategy of your own, its search space, a study, data and a test",
        "optim new my_folder --strategy momentum",
        lambda commands, spec, options: commands.new(options.folder, options.strategy),
        (
            _flag("folder", type=Path, metavar="FOLDER", help="no file in it is written over"),
            _flag("--strategy", default="ma_crossover", metavar="NAME", help="the built-in one to begin from"),
        ),
        study=False,
        module="new",
    ),
    Verb(
        "schema",
        "the JSON Schema of a study file, for editors that complete and check it",
        "optim schema",
        lambda known, spec, options: known.schema(),
        study=False,
        module="known",
    ),
    Verb(
        "completion",
        "what makes a shell complete commands, flags and files",
        "optim completion bash",
        lambda commands, spec, options: commands.completion(options.shell),
        (_flag("shell", choices=("bash", "zsh", "fish", "powershell"), help="for this shell"),),
        study=False,
        module="completion",
    ),
    Verb(
        "doctor",
        "is everything there: versions, cores, caches, disk, and a study's record and MLflow",
        "optim doctor study.toml",
        lambda commands, spec, options: commands.doctor(spec, options.json),
        (_flag("--json", action="store_true", help="print it as one JSON list"),),
        optional=True,
        module="doctor",
    ),
    Verb(
        "demo",
        "half a minute: a beautiful equity curve found on a random walk, and then the verdict",
        "optim demo",
        lambda commands, spec, options: commands.show_demo(),
        study=False,
        module="prove",
    ),
    Verb(
        "check",
        "say what a study would do and how long it would take; writes nothing",
        "optim check study.toml",
        lambda commands, spec, options: commands.check(spec, as_object=options.json),
        (
            _flag("reference", nargs="?", help="with `check strategy`: FILE.py:function or a built-in name"),
            _flag("--features", default="", metavar="NAMES", help="with `check strategy`: further columns it reads"),
            _JSON,
        ),
        module="check",
    ),
)
