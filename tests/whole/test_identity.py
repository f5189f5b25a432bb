"""What a study is: code by its meaning, the flags that name it, the point it starts at. What changes it is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from engine.strategies.source import code_hashes, meaning_hash
from optim.errors import CodeChangedError
from optim.problem.plan import Plan, make_plan
from optim.record.differences import differences
from optim.record.record import open_record
from optim.search.search import make_pool
from optim.spec.study import load_spec, with_start
from tests.studies import ROOT, SPACE, command, essence, load, run_here, write_study

MINE = '''
"""A strategy."""
import helpers

def mine(df, params):
    """Above its mean."""
    fast = df["close"].rolling(params["fast_window"]).mean()  # a comment
    return (fast > helpers.level(df, params["slow_window"])).astype(float)
'''
HELPERS = 'def level(df, window):\n    return df["close"].rolling(window).mean()\n'
GOALS = "def goal(metrics):\n    return metrics['sharpe_ratio'] * 3\n"


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A study with a strategy that imports a neighbour, and an objective of the user's own."""
    for name, text in (("mine.py", MINE), ("helpers.py", HELPERS), ("goals.py", GOALS)):
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "helpers", raising=False)
    return write_study(
        tmp_path,
        study={"objective": "goals.py:goal", "direction": "maximize", "n_trials": 6},
        strategy={"name": "mine.py:mine", "fixed": None},
    )


def plan_of(path: Path) -> Plan:
    return make_plan(load_spec(path))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("mine.py", ".astype(float)", ".astype(float) * 0.5"),
        ("helpers.py", "mean()", "median()"),
        ("goals.py", "* 3", "* 4"),
    ],
)
def test_an_edit_of_any_own_file_is_another_study_and_said_in_words(study: Path, file: str, old: str, new: str) -> None:
    before = plan_of(study).fingerprint()
    path = study.with_name(file)
    path.write_text(path.read_text().replace(old, new))
    assert list(differences(before, plan_of(study).fingerprint())) == [f"[code] {file} has changed"]


def test_a_comment_a_blank_line_and_a_docstring_are_no_change(study: Path) -> None:
    before = plan_of(study).fingerprint()
    path = study.with_name("mine.py")
    text = path.read_text().replace("a comment", "another one").replace("A strategy.", "Text.")
    path.write_text(
        text.replace("import helpers\n", "\n\nimport helpers  # beside it\n").replace("Above its", "Over the")
    )
    assert not list(differences(before, plan_of(study).fingerprint()))


@pytest.mark.parametrize(
    ("one", "other"),
    [("x[1:]", "x[:1]"), ("f(a, b=1)", "f(a, c=1)"), ("a < b", "a <= b"), ("'a'", "b'a'"), ("1", "1.0"), ("x", "-x")],
)
def test_code_that_means_something_else_has_another_hash(one: str, other: str, tmp_path: Path) -> None:
    hashes = []
    for number, text in enumerate((one, other)):
        path = tmp_path / f"{number}.py"
        path.write_text(f"y = {text}\n")
        hashes.append(meaning_hash(path))
    assert hashes[0] != hashes[1]


@pytest.mark.parametrize(
    "module", ["strategies/signals", "simulator/simulate", "metrics/measure", "strategies/built_in/ma_crossover"]
)
def test_a_built_in_strategy_stands_on_the_engine(module: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "engine", tmp_path / "engine")
    script = (
        "from engine.strategies.source import ENGINE, code_hashes\n"
        "print(code_hashes([ENGINE / 'strategies' / 'built_in' / 'ma_crossover.py', ENGINE / 'evaluate.py']))"
    )

    def hashes() -> str:
        done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
        return done.stdout

    before = hashes()
    path = tmp_path / "engine" / f"{module}.py"
    path.write_text(path.read_text() + "# a remark\n")
    assert hashes() == before
    path.write_text(path.read_text() + "_EDITED = True\n")
    assert hashes() != before


def test_what_is_installed_is_not_hashed(study: Path) -> None:
    names = {Path(name).name for name in code_hashes([study.with_name("mine.py")])}
    assert names == {"mine.py", "helpers.py"} | {"engine"}


def test_a_strategy_edited_while_it_runs_keeps_its_meaning_or_stops_the_study(study: Path) -> None:
    plan = plan_of(study)
    point = {"fast_window": 5, "slow_window": 50}
    path = study.with_name("mine.py")
    with make_pool(plan) as pool:
        first = pool.run([plan.task(point, plan.cells)])[0].outcomes
        path.write_text(path.read_text().replace(".astype(float)", ".astype(float) * 0"))
        assert pool.run([plan.task(point, plan.cells)])[0].outcomes == first  # this process has it
    path.write_text(MINE)
    plan = plan_of(
        write_study(
            study.parent, strategy={"name": "mine.py:mine", "fixed": None}, parallel={"backend": "loky", "n_jobs": 2}
        )
    )
    path.write_text(MINE.replace(".astype(float)", ".astype(float) * 0"))
    with make_pool(plan) as pool, pytest.raises(CodeChangedError, match=r"mine\.py was edited while the study ran"):
        pool.run([plan.task(point, plan.cells)])


def test_patience_that_makes_a_search_of_a_sweep_makes_another_study(tmp_path: Path) -> None:
    blind = {"sampler": {"name": "RandomSampler"}, "pruner": {"name": "NopPruner"}}
    one = plan_of(write_study(tmp_path, study=blind)).fingerprint()
    other = plan_of(write_study(tmp_path, study={**blind, "patience": 5})).fingerprint()
    (said,) = differences(one, other)
    assert said == "[study] points was 'swept in one sequence', is 'asked in batches'"


def test_a_study_without_trials_takes_its_file_as_it_is_now(tmp_path: Path) -> None:
    plan = plan_of(write_study(tmp_path, study={"seed": 1}))
    identity = open_record(plan.storage, "s", ["maximize"], plan.fingerprint(), {}, ["sharpe_ratio"]).study_id
    path = write_study(tmp_path, study={"seed": 2, "objective": "annual_volatility"})
    assert command("run", path).returncode == 0
    again = open_record(plan.storage, "s", ["minimize"], plan_of(path).fingerprint(), {}, ["annual_volatility"])
    assert again.study_id == identity
    assert len(again.trials()) == 24
    refused = command("run", write_study(tmp_path, study={"seed": 3, "objective": "annual_volatility"}))
    assert refused.returncode == 2
    assert "[study] seed was 2, is 3" in refused.stderr


def test_new_name_and_from_mean_one_study_with_every_verb(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={"n_trials": 8})
    (tmp_path / "best.toml").write_text("[strategy.fixed]\nfast_window = 11\nslow_window = 77\n")
    begun = command("run", path, "--new-name", "it's", "--from", tmp_path / "best.toml", "-n", "5")
    assert begun.returncode == 0, begun.stderr
    assert load(tmp_path, "it's")[0].params == {"fast_window": 11, "slow_window": 77}
    assert command("run", path, "--new-name", "it's").returncode == 0  # resumes, the point is in the record
    assert len(load(tmp_path, "it's")) == 8
    for verb in (["replay"], ["show"], ["export", "-o", tmp_path / "trials.csv"], ["check"]):
        done = command(verb[0], path, "--new-name", "it's", *verb[1:])
        assert done.returncode == 0, done.stderr
    other = tmp_path / "other.toml"
    other.write_text("[strategy.fixed]\nfast_window = 12\n")
    refused = command("run", path, "--new-name", "it's", "--from", other, "-n", "9")
    assert refused.returncode == 2
    assert "[study] start" in refused.stderr


def test_the_file_in_mlflow_is_the_study_that_ran(tmp_path: Path) -> None:
    path = write_study(tmp_path, study={"n_trials": 8})
    best = tmp_path / "best.toml"
    best.write_text("[strategy.fixed]\nfast_window = 11\nslow_window = 77\n")
    spec = with_start(load_spec(path, {"study": {"seed": 9, "name": "b"}}), best)
    assert load_spec(path).as_toml() == path.read_text()
    copy = tmp_path / "copy.toml"
    copy.write_text(spec.as_toml())
    assert tomllib.loads(copy.read_text())["study"]["seed"] == 9
    ran = run_here(path, spec=spec)[1]
    (tmp_path / "optuna.journal").unlink()
    again = run_here(copy)[1]
    assert essence(again) == essence(ran)


def test_the_order_of_the_parameters_is_part_of_the_study(tmp_path: Path) -> None:
    """A grid and a sequence of random numbers go through the parameters in their order."""
    fast, slow = SPACE["parameters"].items()
    spaces = [{**SPACE, "parameters": dict(order)} for order in ((fast, slow), (slow, fast))]
    one, other = (plan_of(write_study(tmp_path, strategy={"search_space": space})).fingerprint() for space in spaces)
    (said,) = differences(one, other)
    assert said.startswith("[search_space] order was")


def test_the_code_that_is_loaded_is_the_code_that_is_hashed(study: Path) -> None:
    """A neighbour edited between two runs of one process is found as it is, whoever has imported it."""
    plan = plan_of(study)
    point = {"fast_window": 5, "slow_window": 50}
    with make_pool(plan) as pool:
        before = pool.run([plan.task(point, plan.cells)])[0].outcomes
    path = study.with_name("helpers.py")
    path.write_text(path.read_text().replace("mean()", "max()"))
    plan = plan_of(study)
    with make_pool(plan) as pool:
        after = pool.run([plan.task(point, plan.cells)])[0].outcomes
    assert after != before  # never above the highest close: no trades
    assert all(outcome.metrics["n_trades"] == 0 for outcome in after)
