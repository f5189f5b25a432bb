"""A search as a function: a plan in, trials out; no console, no MLflow, no guard, no signal, nothing left behind."""

from __future__ import annotations

import contextlib

from optuna.trial import FrozenTrial

from optim.problem.plan import Plan
from optim.record.memory import MemoryRecord, TrialRecord
from optim.search.events import QUIET, Listener
from optim.search.loop import Search
from optim.search.sweep import Sweep
from optim.workers.pool import Pool


def search(
    plan: Plan, record: TrialRecord | None = None, *, pool: Pool | None = None, listener: Listener = QUIET
) -> tuple[list[FrozenTrial], str]:
    """Search until the budget is spent; the trials, in order of their numbers, and why it ended.

    record: goes on where it stands; one in memory when None. pool: workers that stay open; the study's own, for this
    search alone, when None. The trials depend on the plan only, to the last digit: `optim run` gives the same.
    """
    record = MemoryRecord() if record is None else record
    with contextlib.ExitStack() as stack:
        workers = stack.enter_context(make_pool(plan)) if pool is None else pool
        kind = Sweep if plan.spec.sweeps else Search
        reason = kind(plan, record, workers, listener).run()
    return record.trials(), reason


def make_pool(plan: Plan, *, here: bool = False) -> Pool:
    """The workers of [parallel]; `here`: on this machine although the study's are elsewhere."""
    given = plan.spec.parallel
    backend = "auto" if here and given.backend in ("dask", "ray") else given.backend
    return Pool(plan.job, n_jobs=given.n_jobs, backend=backend, timeout=given.trial_timeout, address=given.address)
