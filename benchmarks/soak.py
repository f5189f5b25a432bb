"""Does anything grow? 300 studies in one process, then 20,000 and 100,000 trials of one study, tracking on.

Memory, open files, threads and child processes of the coordinator, over the studies and over the trials, in figures and
as a picture: benchmarks/results/soak.png. Flat is what it should be, but for the trials themselves, which are kept.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial

from benchmarks.sweep_study import bars
from optim import Study
from optim.problem.plan import Plan
from optim.report.view import Quiet

N_STUDIES, N_TRIALS = 300, (20_000, 100_000)
MOST_CHILDREN = 20_000  # runs in MLflow; a longer study has its best ones there
NAMES = ("memory_mb", "files", "threads", "children")


def main(n_studies: int = N_STUDIES, n_trials: Sequence[int] = N_TRIALS) -> dict[str, Any]:
    """Each curve's first and last value, and its slope over the second half."""
    curves: dict[str, list[tuple[float, ...]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bars(500).to_parquet(folder / "bars.parquet")
        curves[f"{n_studies} studies of 20 trials"] = many(folder, n_studies)
        for count in n_trials:
            curves[f"one study of {count} trials, tracked"] = long(folder, count)
    draw(curves, Path(__file__).parent / "results" / "soak.png")
    return {title: _figures(rows) for title, rows in curves.items()}


def many(folder: Path, n_studies: int) -> list[tuple[float, ...]]:
    """Studies one after another in this process, each with a record of its own."""
    rows: list[tuple[float, ...]] = []
    for number in range(n_studies):
        Study.from_dict(_table(f"s{number}", 20, "RandomSampler", tracked=False), folder).run()
        rows.append((float(number), *held()))
        (folder / f"s{number}.journal").unlink()
    return rows


def long(folder: Path, n_trials: int) -> list[tuple[float, ...]]:
    """One sweep with every trial a child run in MLflow."""
    watch = Watch()
    ended = Study.from_dict(_table(f"long{n_trials}", n_trials, "RandomSampler", tracked=True), folder).run(watch)
    assert ended.mlflow is not None
    assert ended.mlflow.complete, ended.mlflow
    return watch.rows


class Watch(Quiet):
    """Notes what the process holds while trials come in."""

    def __init__(self) -> None:
        self.rows: list[tuple[float, ...]] = []
        self._done = 0
        self._next = 0.0

    def searching(self, plan: Plan, done: Sequence[FrozenTrial]) -> Any:
        """From the beginning."""
        self._next = time.monotonic()
        return super().searching(plan, done)

    def finished(self, trials: Sequence[FrozenTrial]) -> None:
        """Four times a second at the most."""
        self._done += len(trials)
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.25
            self.rows.append((float(self._done), *held()))


def held() -> tuple[float, float, float, float]:
    """Resident memory (MB), open files, threads and child processes of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    children = sum(len(path.read_text().split()) for path in Path("/proc/self/task").glob("*/children"))
    memory = pages * os.sysconf("SC_PAGESIZE") / 2**20
    return memory, float(len(os.listdir("/proc/self/fd"))), float(threading.active_count()), float(children)


def draw(curves: dict[str, list[tuple[float, ...]]], path: Path) -> None:
    """A row a curve, a column a quantity."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14, 3 * len(curves)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(curves), len(NAMES), squeeze=False)
    for row, (title, points) in zip(axes, curves.items(), strict=True):
        table = np.array(points)
        for one, column in zip(row, range(len(NAMES)), strict=True):
            one.plot(table[:, 0], table[:, column + 1], color="#1f5fa8")
            one.set_ylim(0, 1.2 * max(table[:, column + 1].max(), 1))
            one.set_title(NAMES[column], fontsize=9)
            one.spines[["top", "right"]].set_visible(False)
        row[0].set_ylabel(title, fontsize=8)
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=100)


def _figures(rows: list[tuple[float, ...]]) -> dict[str, float]:
    table = np.array(rows)
    half = table[len(table) // 2 :]
    found: dict[str, float] = {}
    for column, name in enumerate(NAMES, start=1):
        found |= {f"{name}_first": float(table[0, column]), f"{name}_last": float(table[-1, column])}
    steps = half[-1, 0] - half[0, 0]
    return {**found, "memory_kb_per_step": float(1024 * (half[-1, 1] - half[0, 1]) / steps) if steps else 0.0}


def _table(name: str, n_trials: int, sampler: str, *, tracked: bool) -> dict[str, Any]:
    return {
        "study": {
            "name": name,
            "objective": "sharpe_ratio",
            "n_trials": n_trials,
            "sampler": {"name": sampler},
            "storage": f"{name}.journal",
        },
        "data": {"path": "bars.parquet"},
        "strategy": {
            "name": "ma_crossover",
            "fixed": {"ma_type": "sma"},
            "search_space": {
                "constraints": ["fast_window < slow_window"],
                "parameters": {
                    "fast_window": {"type": "int", "low": 2, "high": 400},
                    "slow_window": {"type": "int", "low": 3, "high": 1000},
                },
            },
            "lookahead_check": False,
        },
        "evaluation": {"folds": 1, "holdout": 0.0},
        "parallel": {"n_jobs": 1},
        "tracking": {"enabled": tracked, "children": "all" if n_trials <= MOST_CHILDREN else f"top:{MOST_CHILDREN}"},
    }
