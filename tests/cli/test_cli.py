"""The command line as a user meets it: two processes deep, nothing faked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from optim.cli.parser import is_interrupt, main
from optim.validation.statistics import expected_maximum_sharpe
from tests.studies import IBM, ROOT, SPACE, command, essence, load, run_here, write_study
from tests.waiting import until

INT = {"type": "int", "low": 1, "high": 2}
WINDOWS = {"fast_window": INT, "slow_window": INT}


def test_a_run_prints_the_winner_and_how_to_look_at_it(tmp_path: Path) -> None:
    path = write_study(tmp_path, evaluation={"holdout": 0.2}, validation={"quick": 20})
    done = command("run", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"s: 24 trials \(\d+ complete, \d+ pruned, 0 failed; \d+ infeasible\), budget spent", done.stdout)
    assert "hold-out" not in done.stdout  # sealed
    assert "\nVerdict: " in done.stdout
    assert "[strategy.fixed]" in done.stdout
    assert re.search(r"optuna-dashboard optuna\.journal$", done.stdout, re.MULTILINE)
    assert "\x1b" not in done.stdout  # no colours, no progress bar: stdout is no terminal
    assert "━━━━━━━━━━" not in done.stdout.split("Top trials")[0]


def test_the_same_from_any_folder_and_a_second_run_says_it_is_finished(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    assert command("run", path, cwd=Path("/")).returncode == 0
    before = essence(load(tmp_path))
    again = command("run", path)
    assert again.returncode == 0
    assert "Study 's' is finished: 24 of 24 trials" in again.stdout
    assert essence(load(tmp_path)) == before


def test_json_is_one_object_and_nothing_else(tmp_path: Path) -> None:
    done = command("run", write_study(tmp_path), "--json", "-n", "8", "-j", "1", "--seed", "11")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["study"] == "s"
    assert sum(result["counts"][k] for k in ("complete", "pruned", "failed")) == 8
    assert result["best"]["values"]["sharpe_ratio"] == result["metrics"]["in_sample"]["sharpe_ratio"]
    assert result["metrics"]["holdout"] == {}
    assert result["verdict"] is None  # quick = 0
    assert result["paths"]["record"] == str(tmp_path / "optuna.journal")
    best = load(tmp_path)[result["best"]["number"]]
    assert best.params == result["best"]["params"]


def test_the_pasted_block_gives_the_same_backtest(tmp_path: Path) -> None:
    import tomllib

    result = json.loads(command("run", write_study(tmp_path), "--json").stdout)
    printed = command("run", tmp_path / "study.toml").stdout
    block = tomllib.loads(printed[printed.index("# s, trial") : printed.index("Look at it")])
    assert block["strategy"]["fixed"] == {"ma_type": "sma", **result["best"]["params"]}
    (tmp_path / "again").mkdir()
    only = {"parameters": {"fast_window": {"type": "int", "low": 1, "high": 300}}}
    fixed = {k: v for k, v in block["strategy"]["fixed"].items() if k != "fast_window"}
    enqueue = [{"fast_window": block["strategy"]["fixed"]["fast_window"]}]
    path = write_study(
        tmp_path / "again", study={"n_trials": 1, "enqueue": enqueue}, strategy={"search_space": only, "fixed": fixed}
    )
    _, trials = run_here(path)
    assert trials[0].user_attrs["sharpe_ratio"] == result["metrics"]["in_sample"]["sharpe_ratio"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"study": {"n_trial": 3}}, r"\[study\] n_trial: unknown key; did you mean 'n_trials'"),
        ({"study": {"n_trials": "many"}}, r"\[study\] n_trials = 'many': must be a whole number$"),
        ({"study": {"objective": "sharp_ratio"}}, "sharpe_ratio"),
        ({"study": {"sampler": {"name": "TPE"}}}, "unknown sampler"),
        ({"study": {"pruner": {"name": "Median"}}}, "did you mean 'MedianPruner'"),
        ({"study": {"enqueue": [{"fast_windo": 3}]}}, "did you mean 'fast_window'"),
        ({"data": {"path": "none.csv"}}, r"\[data\] path = 'none.csv': no such file"),
        ({"data": {"start": "yesterday-ish"}}, "yesterday-ish"),
        ({"strategy": {"name": "ma_crosover"}}, "did you mean ma_crossover"),
        ({"strategy": {"name": "none.py:f"}}, "no such file"),
        ({"data": {"timezone": "Mars"}}, "timezone = 'Mars': no such time zone"),
        ({"data": {"date_format": "%d/%m/%Y"}}, "row 1: '2000-03-01' does not fit date_format = '%d/%m/%Y'"),
        ({"strategy": {"fixed": {"ma_typ": "sma"}}}, "has no parameter 'ma_typ'; did you mean 'ma_type'"),
        ({"strategy": {"search_space": {"parameters": {"fast": INT}}}}, "has no parameter 'fast'"),
        (
            {"strategy": {"search_space": {"parameters": {"fast_window": {"type": "int", "low": 9, "high": 2}}}}},
            "low <= high must hold, but low = 9 and high = 2",
        ),
        (
            {"strategy": {"search_space": {"parameters": {**WINDOWS}, "constraints": ["fast_window > 9000"]}}},
            r"leave no point: none of \d+ drawn satisfies 'fast_window > 9000'",
        ),
        ({"strategy": {"search_space": "none.toml"}}, "no such file"),
        ({"backtest": {"fee_bsp": 3.0}}, "did you mean 'fee_bps'"),
        ({"backtest": {"fee_bps": "ten"}}, "must be a number"),
        ({"backtest": {"fee_bps": -1.0}}, "fee_bps"),
        ({"evaluation": {"folds": 4000, "holdout": 0.0}}, r"too few .*: 3270 of them .* at most folds = 1635$"),
        ({"evaluation": {"folds": 4000, "holdout": 0.2}}, r"too few .*: 2616 of them .* at most folds = 1308$"),
        ({"evaluation": {"holdout": 0.0001}}, r"the hold-out has 0 of them and needs 2; give a larger holdout, or 0$"),
        ({"evaluation": {"holdout": 0.9999}}, r"0 of them are searched, .* give a smaller holdout$"),
        ({"evaluation": {"holdout": "a lot"}}, r"\[evaluation\] holdout = 'a lot': must be a number$"),
        ({"parallel": {"batch_size": 2.5}}, r"\[parallel\] batch_size = 2.5: must be a whole number$"),
        ({"strategy": {"lookahead_check": "no"}}, r"lookahead_check = 'no': must be true or false$"),
        ({"tracking": {"children": "ten"}}, r"children = 'ten': must be 'auto', 'all' or 'top:N' with a number$"),
        ({"study": {"enqueue": 3}}, r"\[study\] enqueue = 3: must be a list$"),
        ({"study": {"objective": 3}}, r"\[study\] objective = 3: must be a text or a list$"),
        ({"data": {"start": "2050"}}, r"path = '[^']*ibm_1d.csv': fewer than 2 bars from start 2050: 0 of the 3270 "),
        ({"evaluation": {"constraints": ["n_trades >"]}}, "is not an expression"),
        ({"parallel": {"n_jobs": 0}}, "must be a number of workers"),
        ({"parallel": {"n_jobs": 10**6}}, "must be a number of workers up to 10000, or -1 for all cores"),
        ({"tracking": {"enabled": True, "mlflow": {"tracking_uri": "${NO_SUCH}"}}}, "NO_SUCH is not set"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence_and_writes_nothing(
    changes: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_study(tmp_path, **changes)
    assert main(["run", str(path)]) == 2
    output, errors = capsys.readouterr()
    assert re.search(message, errors), errors
    assert errors.startswith(f"error: {path}")
    assert errors.count("\n") == 1
    assert output == ""
    assert [p.name for p in tmp_path.iterdir()] == ["study.toml"]


def test_why_trials_failed_is_said_at_the_end(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def mine(df, params):\n    raise RuntimeError('no luck')\n")
    path = write_study(tmp_path, study={"n_trials": 8}, strategy={"name": "mine.py:mine", "fixed": {}})
    printed = command("run", path).stdout
    reason = "cell 0: mine raised RuntimeError at mine.py:2: no luck"
    assert f"  8 failed: {reason}\nEvery trial failed: mend the strategy" in printed
    assert json.loads(command("run", path, "--json").stdout)["failures"] == {reason: 8}
    assert command("replay", path).returncode == 0
    (tmp_path / "mine.py").write_text("# a comment\ndef mine(df, params):\n    raise RuntimeError('no luck')\n")
    assert command("replay", path).returncode == 0  # the line has moved, the trial is what it was


def test_why_no_trial_is_feasible_is_said_at_the_end(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={"n_trials": 8}, evaluation={"constraints": ["n_trades >= 9000"]})
    printed = command("run", path).stdout
    assert "infeasible: n_trades >= 9000\nNo trial is feasible" in printed


def test_broken_toml_and_missing_files_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("[study\nname = 3")
    for name, message in (("broken.toml", "not valid TOML"), ("none.toml", "no such file")):
        done = command("run", tmp_path / name)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)
        assert message in done.stderr


def test_an_edited_study_is_refused_with_the_difference(tmp_path: Path) -> None:
    run_here(write_study(tmp_path))
    done = command("run", write_study(tmp_path, backtest={"fee_bps": 5.0}), "-n", "30")
    assert done.returncode == 2
    assert "[backtest] fee_bps was 10.0, is 5.0" in done.stderr
    assert len(load(tmp_path)) == 24
    renamed = command("run", tmp_path / "study.toml", "--new-name", "other")
    assert renamed.returncode == 0
    assert len(load(tmp_path, "other")) == 24


def test_ctrl_c_keeps_everything_and_a_second_run_finishes_exactly(tmp_path: Path) -> None:
    slow = "def slow(df, params):\n    sum(range(500_000))\n    return (df['close'] > params['level']).astype(float)\n"
    (tmp_path / "slow.py").write_text(slow)
    space = {"parameters": {"level": {"type": "float", "low": 40.0, "high": 120.0}}}
    changes = {"strategy": {"name": "slow.py:slow", "search_space": space, "fixed": {}}, "study": {"n_trials": 40}}
    path = write_study(tmp_path, **changes, parallel={"batch_size": 4})
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-m", "optim", "run", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    journal = tmp_path / "optuna.journal"
    until(lambda: journal.exists() and journal.read_bytes().count(b'"op_code":4') >= 8, "no eight trials in the record")
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in output
    assert "Look at it" in output
    kept = len(load(tmp_path))
    assert 8 <= kept < 40
    assert command("run", path).returncode == 0
    trials = load(tmp_path)
    assert len(trials) == 40
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "slow.py").write_text(slow)
    _, whole = run_here(write_study(tmp_path / "whole", **changes, parallel={"batch_size": 4}))
    assert essence(trials) == essence(whole)


def test_every_built_in_strategy_can_be_named(tmp_path: Path) -> None:
    from engine.strategies.base import builtin_names
    from optim.problem.plan import make_plan
    from optim.spec.study import load_spec

    for name in builtin_names():
        paths = [str(IBM), str(IBM.with_name("aapl_1d.csv"))]
        data = {"path": None, "paths": paths} if name == "zscore_pairs" else {}
        backtest = {"portfolio": True} if name == "zscore_pairs" else {}
        path = write_study(
            tmp_path, data=data, backtest=backtest, strategy={"name": name, "search_space": None, "fixed": None}
        )
        plan = make_plan(load_spec(path))
        assert plan.strategy.name == name


def test_account_rules_can_be_searched(tmp_path: Path) -> None:
    space = {"parameters": {**SPACE["parameters"], "slippage_bps": {"type": "float", "low": 0.0, "high": 50.0}}}
    path = write_study(tmp_path, study={"n_trials": 8}, strategy={"search_space": space})
    _, trials = run_here(path)
    assert all("slippage_bps" in t.params for t in trials)
    done = command("run", write_study(tmp_path, strategy={"search_space": space}, backtest={"slippage_bps": 1.0}))
    assert "[backtest] slippage_bps is searched too" in done.stderr


def test_the_demo_fools_and_tells() -> None:
    done = command("demo")
    assert done.returncode == 0, done.stderr
    found = re.search(r"Sharpe ratio (\d\.\d\d), \+(\d+)% in all", done.stdout)
    assert found is not None
    assert float(found[1]) > 1.0
    assert int(found[2]) > 100
    assert "random walk" in done.stdout
    assert "Verdict: no evidence" in done.stdout


def test_check_says_what_the_data_can_bear(tmp_path: Path) -> None:
    """What chance shows in the best of 24, by its formula; what is told from luck by 60 shuffled markets."""
    study = {"pruner": {"name": "NopPruner"}}
    done = command("check", write_study(tmp_path, study=study, evaluation={"holdout": 0.0}, validation={"quick": 20}))
    assert done.returncode == 0, done.stderr
    years = 13.0  # 2000-03-01 to 2013-03-01
    most = expected_maximum_sharpe(24)
    best = "chance    by a formula, the best of 24 independent trials without skill"
    assert f"\n{best} shows a Sharpe ratio of {most / years**0.5:.2f} on these {years} years" in done.stdout
    assert f"below 1 it takes {most**2:.1f} years" in done.stdout
    assert "\nluck " not in done.stdout  # that is a verdict's word, for another number
    power = re.search(r"power +sharpe_ratio must be truly (\S+) to be told from luck .* \(60 shuffled", done.stdout)
    assert power is not None
    assert float(power[1]) > 0.0
    assert re.search(r"bars +1,635 for each searched parameter", done.stdout)
    quiet = command("check", write_study(tmp_path, study=study, validation={"quick": 0}))
    assert "power" not in quiet.stdout


def left_unheld(error: BaseException | None) -> None:
    """A lock is left that is not held any more, because of this error if there is one."""
    lock = threading.Condition()
    with lock:
        lock.release()
        if error is not None:
            raise error


def test_ctrl_c_in_a_threads_lock_is_still_ctrl_c() -> None:
    for error in (KeyboardInterrupt(), ValueError(), None):
        with pytest.raises(RuntimeError) as made:
            left_unheld(error)
        assert is_interrupt(made.value) == isinstance(error, KeyboardInterrupt)
    assert is_interrupt(KeyboardInterrupt())
