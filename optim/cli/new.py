"""`optim new`: a folder to begin in, with a strategy of one's own, its search space, a study, data and a test."""

from __future__ import annotations

import inspect
import json
import re
import shlex
from pathlib import Path

from engine.strategies.base import Strategy, builtin_names, load_strategy
from optim.cli.commands import say
from optim.cli.demo import random_walk
from optim.errors import OptimError, SpecError, shown
from optim.report.screen import Screen
from optim.spec.expressions import suggestion
from optim.spec.schema import FILE
from optim.spec.study import space_folder

_STUDY = """\
#:schema ./study.schema.json
# optim check {study}    says what this would do
# optim run {study}      does it, and goes on where it stopped

[study]
name = {title}
objective = "sharpe_ratio"
n_trials = 200
seed = 1

[data]
# A random walk: there is nothing to find in it. Put your own bars in its place.
{data}

[strategy]
name = "{name}.py:{name}"             # its search space is {name}.toml

[backtest]
initial_cash = 10_000.0
fee_bps = 10.0
slippage_bps = 2.0
{portfolio}
[evaluation]
folds = 5
holdout = 0.2                         # the last fifth of the bars, sealed until optim holdout

[tracking.mlflow]
tracking_uri = "sqlite:///mlflow.db"
"""
_TEST = '''\
"""pytest {test}"""

from pathlib import Path

from engine import check_strategy
from optim import Study

HERE = Path(__file__).parent


def test_the_strategy_obeys_the_rules() -> None:
    """No look-ahead, targets in range, the warm-up it declares."""
    report = check_strategy("{name}.py:{name}", base=HERE)
    assert not report.unproven


def test_the_search_finds_trials_that_trade(tmp_path: Path) -> None:
    """Eight trials, recorded elsewhere."""
    study = Study.from_toml(
        HERE / "{study}", n_trials=8, storage=str(tmp_path / "optuna.journal"), tracking={{"enabled": False}}
    )
    study.run()
    assert study.best is not None
    assert len(study.backtest().trades) > 0
'''


def new(folder: Path, name: str) -> int:
    """Write the folder; nothing is written over. Raises OptimError."""
    if name not in builtin_names():
        raise SpecError(f"--strategy {shown(name)}: no such built-in strategy{suggestion(name, builtin_names())}")
    files = scaffold(folder.resolve().name or name, name)
    for file in files:
        if (there := folder / file).exists() or there.is_symlink():
            raise SpecError(f"{there}: is there already, and nothing is written over; name another folder")
    try:
        for file, text in files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            with (folder / file).open("x", encoding="utf-8") as handle:
                handle.write(text)
    except OSError as error:
        raise OptimError(f"{folder}: cannot be written: {error.strerror}") from None
    console = Screen()
    for file in files:
        say(console, f"{folder / file}")
    say(console, f"Next: cd {shlex.quote(str(folder))} && optim check study.toml && optim run study.toml")
    return 0


def scaffold(title: str, name: str) -> dict[str, str]:
    """The files by their names: a built-in strategy as one's own, on as many random walks as it trades."""
    strategy = load_strategy(name)
    count = max(strategy.n_instruments, 1)
    data = [f"data/random_walk{'' if k == 0 else f'_{k + 1}'}.csv" for k in range(count)]
    words = {
        "name": name,
        "study": "study.toml",
        "test": f"test_{name}.py",
        "title": json.dumps(title),
        "data": f"path = {json.dumps(data[0])}" if count == 1 else f"paths = {json.dumps(data)}",
        "portfolio": "portfolio = true                      # all instruments share one account\n" * strategy.joint,
    }
    return {
        "study.toml": _STUDY.format(**words),
        "study.schema.json": FILE.read_text(encoding="utf-8"),
        f"{name}.py": _own_source(strategy),
        f"{name}.toml": (space_folder() / f"{name}.toml").read_text(encoding="utf-8"),
        f"test_{name}.py": _TEST.format(**words),
        **{file: random_walk(k) for k, file in enumerate(data)},
    }


def _own_source(strategy: Strategy) -> str:
    """A built-in strategy's file as a user writes it: everything of the engine from its public face."""
    module = inspect.getmodule(strategy.signal)
    assert module is not None  # a built-in strategy is a file
    text = inspect.getsource(module)
    deep = re.findall(r"^from engine\.[\w.]+ import (.+)\n", text, re.MULTILINE)
    names = sorted({one.strip() for line in deep for one in line.split(",")} - {"Array"})
    bare = re.sub(r"^from engine\.[\w.]+ import .+\n", "", text, flags=re.MULTILINE).replace(
        "-> Array:", "-> np.ndarray:"
    )
    bare = bare.replace("\nimport numpy as np\n\n", "", 1)
    head, _, rest = bare.partition("\n\n\n")
    return f"{head.rstrip()}\n\nimport numpy as np\n\nfrom engine import {', '.join(names)}\n\n\n{rest.lstrip()}"
