"""Workers: two against one, the idle gaps between batches as a timeline, and a projection to 1,000 workers.

The projection replaces the workers by tasks that sleep: what is left is the coordinator's own loop.
"""

from __future__ import annotations

import heapq
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from engine.evaluate import Outcome
from optim.problem.plan import make_plan
from optim.record.record import open_record
from optim.search.events import Listener
from optim.search.loop import Search
from optim.search.search import make_pool
from optim.spec.study import load_spec
from optim.workers.executors import Executor, Processes, Threads
from optim.workers.pool import Pool
from optim.workers.tasks import Result, run_task
from tests.studies import write_study

BURN = """
def burn(df, params):
    total = 0.0
    for i in range({steps}):  # the same work in every cell
        total += i
    return (df["close"] > df["close"].rolling(params["fast_window"]).mean()).astype(float)
"""
WIDTH = 72


def main() -> dict[str, Any]:
    """Speed-up of two workers, idle shares, and the trial rates of 1 to 1,000 sleeping workers."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as name:
        return {
            "ms_per_task": {"threading": task_cost(Threads(2)), "loky": task_cost(Processes(2))},
            "two_workers": speed_up(Path(name)),
            "projection": projection(Path(name)),
        }


def task_cost(executor: Executor, n_tasks: int = 2_000) -> float:
    """Milliseconds of the coordinator's processor time for handing out a task that does nothing and taking it back."""
    for n in (50, n_tasks):  # the first ones start the workers
        flights: list[Future[Any]] = []
        start = time.process_time()
        for _ in range(n):
            if not executor.free:
                flights[0].result()
                executor.release(flights.pop(0))
            flights.append(executor.submit(os.getpid))
        for future in flights:
            future.result()
            executor.release(future)
        spent = time.process_time() - start
    executor.close()
    return 1000 * spent / n_tasks


def speed_up(folder: Path) -> list[dict[str, Any]]:
    """Random and TPE, with and without asking ahead, on one and on two worker processes."""
    rows = []
    for sampler, ahead in [("RandomSampler", 0), ("TPESampler", 0), ("TPESampler", 1)]:
        seconds, idle, cost = {}, {}, {}
        for n_jobs in (1, 2):
            inner = folder / f"{sampler}{ahead}{n_jobs}"
            inner.mkdir()
            (inner / "burn.py").write_text(BURN.format(steps=300_000))
            parallel = {"backend": "loky", "n_jobs": n_jobs, "ahead": ahead}
            path = write_study(
                inner,
                study={"n_trials": 80, "sampler": {"name": sampler}, "pruner": {"name": "MedianPruner"}},
                strategy={"name": "burn.py:burn", "fixed": {}},
                parallel=parallel,
            )
            results = search(path)
            results.sort(key=lambda result: result.started)
            first = results[len(results) // 10].started  # past the workers' start
            results = [result for result in results if result.started >= first]
            span = max(result.ended for result in results) - first
            busy = sum(result.ended - result.started for result in results)
            seconds[n_jobs] = span / len(results)
            idle[n_jobs] = 1 - busy / (span * n_jobs)
            cost[n_jobs] = 1000 * busy / len(results)
            if n_jobs == 2:
                print(f"{sampler}, ahead = {ahead}")
                print(timeline(results, first, span))
        rows.append(
            {
                "sampler": sampler, "ahead": ahead, "ms_per_backtest": cost[1], "ms_per_backtest_with_two": cost[2],
                "speed_up": seconds[1] / seconds[2], "idle_share_one": idle[1], "idle_share_two": idle[2],
                "idle_share_at_the_ends_of_batches": idle[2] - idle[1],  # one worker idles between tasks only
            }
        )  # fmt: skip
    return rows


def search(path: Path, prepare: Callable[[Pool], None] = lambda _: None) -> list[Result]:
    """Run a study without tracking; all results, with the times and workers they were made at."""
    plan = make_plan(load_spec(path))
    with make_pool(plan) as pool:
        prepare(pool)
        seen: list[Result] = []
        collect = pool.collect

        def noting(seconds: float = 0.1) -> list[tuple[Any, Result]]:
            pairs = collect(seconds)
            seen.extend(result for _, result in pairs)
            return pairs

        pool.collect = noting  # type: ignore[method-assign]
        record = open_record(plan.storage, "s", ["maximize"], plan.fingerprint(), {}, ["sharpe_ratio"])
        Search(plan, record, pool, Listener(lambda _: None, lambda _: None, lambda: False)).run()
        return seen


def timeline(results: list[Result], first: float, span: float) -> str:
    """A line per worker: `#` busy, `.` idle for more than half of the interval."""
    part = min(span, 2.0)
    lines = []
    for worker in sorted({result.worker for result in results}):
        busy = [0.0] * WIDTH
        for result in results:
            for i in range(WIDTH) if result.worker == worker else ():
                left, right = first + part * i / WIDTH, first + part * (i + 1) / WIDTH
                busy[i] += max(0.0, min(right, result.ended) - max(left, result.started))
        lines.append("".join("#" if share > 0.5 * part / WIDTH else "." for share in busy))
    return "\n".join(lines)


class Sleepers:
    """Workers that do nothing for a while and then answer: one thread resolves all futures when their time is up."""

    def __init__(self, n_jobs: int, seconds: float, result: Result):
        self.free = n_jobs
        self._seconds = seconds
        self._result = result
        self._due: list[tuple[float, int, Future[Any], int]] = []
        self._number = itertools.count()
        self._changed = threading.Condition()
        threading.Thread(target=self._work, daemon=True).start()

    def submit(self, function: Any, path: str, work: Any, *_: Any) -> Future[Any]:
        self.free -= 1
        future: Future[Any] = Future()
        with self._changed:
            due = time.monotonic() + self._seconds * len(work)
            heapq.heappush(self._due, (due, next(self._number), future, len(work)))
            self._changed.notify()
        return future

    def release(self, future: Future[Any], *, kill: bool = False) -> None:
        self.free += 1

    def close(self) -> None:
        """Nothing."""

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(max(0.0, self._due[0][0] - time.monotonic()) if self._due else None)
                _, _, future, n_tasks = heapq.heappop(self._due)
            future.set_result([self._result] * n_tasks)


def projection(folder: Path) -> list[dict[str, Any]]:
    """Trials per second with N sleeping workers and backtests of 1 s, against N: where the coordinator saturates."""
    rows = []
    for n_jobs in (1, 10, 100, 1000):
        inner = folder / f"sleep{n_jobs}"
        inner.mkdir()
        path = write_study(
            inner,
            study={"n_trials": 2 * n_jobs if n_jobs > 1 else 3, "pruner": {"name": "MedianPruner"}},
            evaluation={"folds": 1},
            parallel={"backend": "loky", "n_jobs": 2, "batch_size": n_jobs, "ahead": 1},
        )
        plan = make_plan(load_spec(path))
        known = run_task(plan.job, plan.task({"fast_window": 5, "slow_window": 50}, plan.cells))
        result = Result((Outcome(known.outcomes[0].metrics, ""),), time.time(), time.time() + 1.0)

        def sleeping(pool: Pool, result: Result = result, n_jobs: int = n_jobs) -> None:
            pool.n_jobs, pool._pace.trials = n_jobs, 0
            pool._executor = Sleepers(n_jobs, 1.0, result)

        started = time.perf_counter()
        n_trials = len(search(path, sleeping))
        seconds = time.perf_counter() - started
        rate = n_trials / seconds
        rows.append({"workers": n_jobs, "trials_per_second": rate, "efficiency": rate / n_jobs})
    return rows
