"""show, list, export, replay, check and --from, as a user calls them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import optuna
import pandas as pd
import pytest

from engine.metrics.catalogue import METRICS
from optim.record.table import trials_frame
from tests.studies import IBM, command, load, run_here, write_study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study file; not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    assert command("run", write_study(folder), "--json").returncode == 0
    return folder / "study.toml"


def test_show_prints_what_run_printed(finished: Path) -> None:
    again, shown = command("run", finished), command("show", finished)
    assert shown.returncode == 0
    table = again.stdout[again.stdout.index("Top trials") :]
    assert shown.stdout.endswith(table)


def test_show_as_json_is_what_run_said(finished: Path) -> None:
    said, shown = (json.loads(command(verb, finished, "--json").stdout) for verb in ("run", "show"))
    assert shown["reason"] == "as recorded"
    assert {**shown, "reason": said["reason"], "mlflow": said["mlflow"]} == said


def test_list_names_the_studies(finished: Path) -> None:
    assert command("list", finished).stdout == "s  24 trials\n"


def test_list_without_a_file_goes_through_the_folder(tmp_path: Path) -> None:
    for name, seed in (("a.toml", 1), ("b.toml", 2), ("c.toml", -1)):
        write_study(tmp_path, study={"name": name[0], "n_trials": 2, "seed": seed}).rename(tmp_path / name)
    (tmp_path / "space.toml").write_text("[parameters.x]\n")
    (tmp_path / "torn.toml").write_text("[study")
    run_here(tmp_path / "a.toml")
    before = sorted(path.name for path in tmp_path.iterdir())
    lines = command("list", cwd=tmp_path).stdout.splitlines()
    assert lines[:2] == ["a.toml  a  2 trials", "b.toml  b  not run yet"]
    assert "seed = -1" in lines[2]
    told = json.loads(command("list", "--json", cwd=tmp_path).stdout)
    assert [(one["file"], one["study"], one["trials"]) for one in told] == [
        ("a.toml", "a", 2), ("b.toml", "b", None), ("c.toml", "c", None),
    ]  # fmt: skip
    assert json.loads(command("list", "a.toml", "--json", cwd=tmp_path).stdout) == [{"study": "a", "trials": 2}]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_list_in_an_empty_folder_says_how_to_begin(tmp_path: Path) -> None:
    done = command("list", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "optim new FOLDER" in done.stderr


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_export_has_a_row_a_trial_and_every_metric(ending: str, finished: Path, tmp_path: Path) -> None:
    target = tmp_path / f"trials.{ending}"
    assert command("export", finished, "-o", target).returncode == 0
    frame = pd.read_csv(target) if ending == "csv" else pd.read_parquet(target)
    trials = load(finished.parent)
    assert frame["number"].tolist() == [t.number for t in trials]
    assert {"value", "state", "duration", "params_fast_window", "user_attrs_max_drawdown"} <= set(frame.columns)
    complete = frame[frame["state"] == "COMPLETE"]
    assert complete["value"].tolist() == [t.value for t in trials if t.state == optuna.trial.TrialState.COMPLETE]


def test_export_of_some_trials_has_their_rows(finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "some.csv"
    assert command("export", finished, "--trials", "5,1", "-o", target).returncode == 0
    assert pd.read_csv(target)["number"].tolist() == [1, 5]
    assert command("export", finished, "--best", "-o", target).returncode == 0
    best = max((t for t in load(finished.parent) if t.state.name == "COMPLETE"), key=lambda t: t.value or 0.0)
    assert pd.read_csv(target)["number"].tolist() == [best.number]


def test_export_as_toml_is_what_show_prints_and_backtest_reads(finished: Path, tmp_path: Path) -> None:
    target = tmp_path / "best.toml"
    for _ in range(2):  # over an earlier one
        assert command("export", finished, "--best", "-o", target).returncode == 0
    assert target.read_text() in command("show", finished).stdout
    winner, given = (command("backtest", finished, "--json", *f).stdout for f in ([], ["--params", str(target)]))
    assert json.loads(winner)["metrics"] == json.loads(given)["metrics"]
    target.write_text("[strategy]\n")
    done = command("export", finished, "--best", "-o", target)
    assert (done.returncode, "holds no trial's parameters" in done.stderr) == (2, True)
    assert target.read_text() == "[strategy]\n"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-o", "x.toml"], "add --best, or --trials N"),
        (["-o", "x.toml", "--trials", "1,2"], "add --best, or --trials N"),
        (["-o", "x.csv", "--trials", "1,24"], "the record has trials 0 to 23"),
        (["-o", "x.csv", "--trials", "1-3"], "must be numbers of trials"),
    ],
)
def test_export_refuses_what_is_no_trial(flags: list[str], words: str, finished: Path, tmp_path: Path) -> None:
    done = command("export", finished, *flags, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n"), words in done.stderr) == (2, 1, True), done.stderr
    assert not [*tmp_path.iterdir()]


def test_export_refuses_an_unknown_ending(finished: Path) -> None:
    done = command("export", finished, "-o", "trials.xlsx")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert ".csv or .parquet" in done.stderr


@pytest.mark.parametrize("which", [[], ["--best"], ["--trial", "3"]])
def test_replay_proves_every_digit(which: list[str], finished: Path) -> None:
    done = command("replay", finished, *which)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{'1 trial' if which else '24 trials'} replayed, every metric equal" in done.stdout


def test_replay_shows_which_input_differs(tmp_path: Path) -> None:
    rows = IBM.read_text().splitlines()
    day, open_, high, low, _, volume = rows[1000].split(",")
    data = tmp_path / "bars.csv"
    data.write_text("\n".join(rows))
    path = write_study(tmp_path, data={"path": "bars.csv"})
    run_here(path)
    rows[1000] = ",".join([day, open_, str(float(high) * 1.01), low, str(float(high) * 1.005), volume])
    data.write_text("\n".join(rows))
    done = command("replay", path)
    assert done.returncode == 1
    assert re.search(r"trial \d+: \w+ was [-\d.]+, is [-\d.]+", done.stdout)
    assert "[data] bars of file 1 has changed" in done.stdout
    refused = command("run", path, "-n", "30")
    assert refused.returncode == 2
    assert "[data] bars of file 1 has changed" in refused.stderr


def test_replay_notices_a_changed_record(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={"n_trials": 8})
    _, trials = run_here(path)
    journal = tmp_path / "optuna.journal"
    text = journal.read_text()
    value = repr(trials[5].user_attrs["total_return"])
    assert text.count(value) == 1
    journal.write_text(text.replace(value, repr(trials[5].user_attrs["total_return"] + 1e-15)))
    done = command("replay", path)
    assert done.returncode == 1
    assert "trial 5: total_return was" in done.stdout
    assert "1 of 8 trials differ" in done.stdout


def test_check_estimates_and_writes_nothing(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    done = command("check", path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"trial\s+\d+\.\d+ ms on one core", done.stdout)
    assert re.search(r"study\s+about \d+ s for 24 trials", done.stdout)
    assert "3270 bars, 2000-03-01T00:00:00Z to 2013-03-01T00:00:00Z" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.parametrize(("backend", "n_jobs"), [("sequential", 10_000), ("threading", 10_000), ("loky", 1000)])
def test_check_tries_no_more_trials_than_a_run_has_under_way(backend: str, n_jobs: int, tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    code = f"    with open({str(calls)!r}, 'a') as file:\n        file.write('.')\n"
    (tmp_path / "mine.py").write_text(f"def mine(df, params):\n{code}    return (df.close > df.open) * 1.0\n")
    strategy = {"name": "mine.py:mine", "fixed": {}, "lookahead_check": False}
    parallel = {"backend": backend, "n_jobs": n_jobs, "batch_size": 2}
    done = command("check", write_study(tmp_path, strategy=strategy, parallel=parallel))
    assert done.returncode == 0, done.stderr
    assert f"{n_jobs}, {backend}" in done.stdout
    assert len(calls.read_text()) <= 3 * (2 + 1)  # three folds; one for each that has work, and then the one measured


def test_check_says_what_a_run_takes_beside_its_trials(tmp_path: Path) -> None:
    code = "import time\n\ntime.sleep(3)\n\n\ndef mine(df, params):\n    return (df.close > df.open) * 1.0\n"
    (tmp_path / "mine.py").write_text(code)
    strategy = {"name": "mine.py:mine", "fixed": {}, "lookahead_check": False}
    parallel = {"backend": "loky", "n_jobs": 2}
    path = write_study(tmp_path, strategy=strategy, parallel=parallel, tracking={"enabled": True})
    done = command("check", path)
    assert done.returncode == 0, done.stderr
    found = re.search(
        r"^study\s+besides, .*: starting the workers \((\d+) s here\), telling MLflow$", done.stdout, re.M
    )
    assert found is not None
    assert int(found[1]) >= 3  # a worker reads the file, which takes as long


def test_from_starts_at_the_parameters_of_another_study(finished: Path, tmp_path: Path) -> None:
    shown = command("show", finished).stdout
    block = tmp_path / "best.toml"
    block.write_text(shown[shown.index("# s, trial") : shown.index("Look at it")])
    done = command("run", write_study(tmp_path, study={"seed": 99, "n_trials": 8}), "--from", block, "--json")
    assert done.returncode == 0, done.stderr
    best = max((t for t in load(finished.parent) if t.value is not None), key=lambda t: t.value or 0.0)
    first = load(tmp_path)[0]
    assert first.params == best.params
    assert first.value == best.value
    assert json.loads(done.stdout)["best"]["values"]["sharpe_ratio"] >= best.value


def test_a_pareto_front_is_printed_for_several_objectives(tmp_path: Path) -> None:
    study = {"objective": ["sharpe_ratio", "max_drawdown"], "pruner": None}
    done = command("run", write_study(tmp_path, study=study))
    assert done.returncode == 0, done.stderr
    assert "Pareto front" in done.stdout
    result = json.loads(command("run", tmp_path / "study.toml", "--json").stdout)
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "optuna.journal"))
    loaded = optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(backend))
    assert {row["number"] for row in result["top"]} == {t.number for t in loaded.best_trials}


@pytest.mark.parametrize("verb", ["show", "replay", "sync"])
def test_a_study_that_was_never_run_is_one_sentence(verb: str, tmp_path: Path) -> None:
    done = command(verb, write_study(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert [p.name for p in tmp_path.iterdir()] == ["study.toml"]


def test_the_trials_table_is_optunas(finished: Path) -> None:
    backend = optuna.storages.journal.JournalFileBackend(str(finished.parent / "optuna.journal"))
    study = optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(backend))
    expected = study.trials_dataframe().rename(columns={"value_sharpe_ratio": "value"})  # with one objective, as usual
    expected = expected[[name for name in expected.columns if not name.startswith("system_attrs_")]]
    pd.testing.assert_frame_equal(trials_frame(study.trials)[list(expected.columns)], expected, check_dtype=False)


def test_a_figure_of_a_year_made_of_a_few_days_stands_in_brackets(tmp_path: Path) -> None:
    """Two weeks of hold-out: the ratio is shown as what it is; what needs no year is shown plainly."""
    rows = IBM.read_text().splitlines()[:520]
    (tmp_path / "bars.csv").write_text("\n".join(rows) + "\n")
    study = {"n_trials": 4, "pruner": {"name": "NopPruner"}}
    path = write_study(tmp_path, study=study, data={"path": "bars.csv"}, evaluation={"folds": 1, "holdout": 0.02})
    command("run", path)
    shown = command("holdout", path).stdout
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.splitlines() if line.startswith("│")]
    searched, opened = (row[1:] for row in rows if row[0] == "cagr")
    assert not any(text.startswith("(") for text in searched)  # two years of searched bars
    assert len(opened) == 2  # the hold-out, and buying and holding over it
    assert all(re.fullmatch(r"\(-?\d+\.\d\d%\)|–", text) for text in opened)
    assert not any("(" in text for row in rows if row[0] == "total_return" for text in row)
    assert "fewer than 90 days" in shown


def test_no_command_shows_a_year_made_of_a_few_days_without_brackets(tmp_path: Path) -> None:
    """Every number beside the name of an annualised metric, in whatever is printed of three months of bars."""
    (tmp_path / "bars.csv").write_text("\n".join(IBM.read_text().splitlines()[:62]) + "\n")
    study = {"n_trials": 4, "pruner": {"name": "NopPruner"}}
    space = {"parameters": {"fast_window": {"type": "int", "low": 2, "high": 4}}}
    strategy = {"search_space": space, "fixed": {"slow_window": 6}}
    how = {"folds": 1, "holdout": 0.3}
    path = write_study(tmp_path, study=study, data={"path": "bars.csv"}, strategy=strategy, evaluation=how)
    calls = [
        ("run",), ("holdout",), ("show",), ("show", "--trial", "0"), ("show", "--sort", "cagr"),
        ("backtest", "--trial", "0"), ("backtest", "--set", "fast_window=3"), ("compare", "study.toml"),
    ]  # fmt: skip
    for verb, *rest in calls:
        done = command(verb, path, *rest, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        found = list(_annualised(done.stdout))
        assert len(found) > 3
        assert {text for text in found if not re.fullmatch(r"\(-?[\d.,]+%?\)|–|undefined", text)} == set(), verb
        assert "fewer than 90 days" in done.stdout


def _annualised(printed: str) -> Iterator[str]:
    """The texts of annualised metrics: of the rows that begin with one, and below a heading that is one."""
    names = {name for name, metric in METRICS.items() if metric.annualised}
    columns: list[int] = []
    for line in printed.splitlines():
        cells = [cell.strip() for cell in re.split("[│┃|]", line.replace("=", "|"))]
        words = [word for word in re.sub("[│┃=,]", " ", line).split() if word not in ("in", "one", "run")]
        if line.startswith("┃"):
            columns = [i for i, cell in enumerate(cells) if cell in names]
        elif words and words[0] in names:
            yield from words[1:] if line.startswith("│") else words[1:2]
        elif line.startswith("│"):
            yield from (cells[i] for i in columns)


def test_a_clock_that_is_not_the_bars_own_is_refused(tmp_path: Path) -> None:
    for verb in ("check", "run"):
        done = command(verb, write_study(tmp_path, data={"periods_per_year": 8760}))
        assert done.returncode == 2
        assert "[data] periods_per_year = 8760, but the bars have about 252 a year" in done.stderr
    given = {"periods_per_year": 8760, "clock": "as given"}
    done = command("check", write_study(tmp_path, data=given))
    assert done.returncode == 0, done.stderr
    assert "8760 bars a year, as given" in done.stdout
    assert not (tmp_path / "optuna.journal").exists()
