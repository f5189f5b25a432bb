"""`optim demo`: a beautiful equity curve found on a random walk, and then the verdict."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console

from optim.api import Study
from optim.report.chart import line_of
from optim.report.judged import print_null, print_verdict

_BARS, _SEED = 1500, 98
_STUDY = """
[study]
name = "demo"
objective = "sharpe_ratio"
n_trials = 400
sampler = { name = "RandomSampler" }

[data]
path = "random_walk.csv"

[strategy]
name = "ma_crossover"

[evaluation]
folds = 1
holdout = 0.0
min_trades = 20

[validation]
quick = 0

[tracking]
enabled = false
"""


def demo(console: Console) -> None:
    """Search a market in which there is nothing to find, show what was found, and say what it is worth."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "random_walk.csv").write_text(random_walk())
        (folder / "study.toml").write_text(_STUDY)
        study = Study.from_toml(folder / "study.toml")
        console.print("Four hundred moving-average strategies on six years of daily bars ...\n")
        summary = study.run().summary
        window = summary.winner.searched
        assert window is not None
        metrics = window.metrics
        console.print(f"[bold]{line_of(window.backtests[0].equity.to_numpy())}[/]")
        console.print(
            f"The best one: Sharpe ratio {metrics['sharpe_ratio']:.2f}, {metrics['total_return']:+.0%} in all, "
            f"{metrics['n_trades']:.0f} trades. Would you trade it?\n",
            highlight=False,
        )
        told = "The market is a random walk: every price is a coin flip. There was nothing to find."
        console.print(f"{told}\nThe same search on shuffled copies of that market:\n", soft_wrap=True)
        verdict = study.validate()
        assert verdict is not None
        print_null(console, verdict)
        print_verdict(console, verdict, "")


def random_walk(number: int = 0) -> str:
    """Six years of daily bars whose changes are independent draws, as CSV; another market for another number."""
    rng = np.random.default_rng(_SEED + number)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.012, _BARS)))
    open_ = np.concatenate(([100.0], close[:-1]))
    high = np.maximum(open_, close) * np.exp(np.abs(rng.normal(0, 0.004, _BARS)))
    low = np.minimum(open_, close) * np.exp(-np.abs(rng.normal(0, 0.004, _BARS)))
    days = np.datetime_as_string(np.busday_offset("2018-01-01", np.arange(_BARS), roll="forward"))
    rows = zip(days, open_, high, low, close, strict=True)
    return "date,open,high,low,close,volume\n" + "".join(
        f"{day},{','.join(f'{price:.4f}' for price in prices)},1000\n" for day, *prices in rows
    )
