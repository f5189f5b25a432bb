"""How often the verdict is wrong where there is nothing, and how often it finds what is there, over whole studies.

A study on each of many made-up markets (benchmarks.worlds), searched, tested and judged as `optim validate` does it.
Beside the verdict, on the same markets: the deflated Sharpe ratio and Romano-Wolf alone, and the packages of
benchmarks.verdict_peers that are installed. With --page the shares go into docs/benchmarks.md (benchmarks.rates).
OPTIM_VERDICT = "SETS SEARCH,SEARCH WORLD,WORLD" runs a part.
"""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks import worlds
from benchmarks.rates import as_text, write_page
from benchmarks.verdict_peers import verdicts

__all__ = ["main", "write_page"]
ROOT = Path(__file__).parents[1]
WORLDS = {
    "noise, independent": worlds.noise_iid,
    "noise, GARCH": worlds.noise_garch,
    "noise, seasonal volatility": worlds.noise_seasonal,
    "noise, bid-ask bounce": worlds.noise_bounce,
    "trends .0006": worlds.trend(0.0006),
    "trends .0009": worlds.trend(0.0009),
    "trends .0009 on GARCH": worlds.trend(0.0009, worlds.noise_garch),
    "trends .0012": worlds.trend(0.0012),
    "momentum .03": worlds.momentum(0.03),
    "momentum .05": worlds.momentum(0.05),
    "reversion .02": worlds.mean_reversion(0.02),
    "reversion .04": worlds.mean_reversion(0.04),
}
SEARCHES: dict[str, dict[str, Any]] = {
    "random": {"sampler": {"name": "RandomSampler"}, "pruner": {"name": "NopPruner"}},
    "grid": {"sampler": {"name": "GridSampler"}, "pruner": {"name": "NopPruner"}},
    "tpe": {"sampler": {"name": "TPESampler"}, "pruner": {"name": "MedianPruner", "n_warmup_steps": 1}},
}
SEARCHES["fade"] = SEARCHES["grid"]  # of bands that are faded, where the others follow a crossing of means
FOLDS = {"tpe": 5}
SETS, N_TRIALS, FIRST_SEED = 100, 200, 1000
GRID = {
    "constraints": ["fast_window < slow_window"],
    "parameters": {
        "fast_window": {"type": "int", "low": 5, "high": 50, "step": 3},
        "slow_window": {"type": "int", "low": 20, "high": 200, "step": 12},
    },
}

BANDS = {
    "constraints": [],
    "parameters": {
        "window": {"type": "int", "low": 10, "high": 100, "step": 5},
        "entry_width": {"type": "float", "low": 1.0, "high": 3.0, "step": 0.2},
    },
}


def main() -> dict[str, Any]:
    """Counts of studies by level and by each other method's p <= 5 %, for every search and world."""
    sets, searches, chosen = part()
    jobs = [(search, world, FIRST_SEED + i) for i in range(sets) for search in searches for world in chosen]
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        rows = list(pool.map(judged, jobs, chunksize=1))
    figures: dict[str, Any] = {}
    for search in searches:
        figures[search] = {
            world: counts_of([row for job, row in zip(jobs, rows, strict=True) if job[:2] == (search, world)])
            for world in chosen
        }
    print(as_text(figures))
    return figures


def part() -> tuple[int, list[str], list[str]]:
    """What is run: everything, or what OPTIM_VERDICT says."""
    sets, searches, chosen = [*os.environ.get("OPTIM_VERDICT", "").split(" ", 2), "", "", ""][:3]
    wanted = chosen.split(",") if chosen else []
    return (
        int(sets or SETS),
        searches.split(",") if searches else list(SEARCHES),
        [world for world in WORLDS if not wanted or any(world.startswith(one) for one in wanted)],
    )


def judged(job: tuple[str, str, int]) -> dict[str, Any]:
    """One study on one market: its verdict, and what the other methods say of its winner."""
    from optim.record.memory import MemoryRecord
    from optim.record.quiet import quiet_optuna
    from optim.search.ranking import winner_of
    from optim.search.search import make_pool, search
    from optim.verdict.evidence import Evidence, evidence
    from optim.verdict.markets import Market, kinds_of, winner_on
    from optim.verdict.null import null_of
    from optim.verdict.plateau import plateau
    from optim.verdict.returns import trial_returns
    from optim.verdict.rule import judge
    from optim.verdict.stress import quick_stress

    kind, world, seed = job
    plan = plan_on(kind, world, seed)
    with quiet_optuna(), make_pool(plan) as pool:
        trials, _ = search(plan, MemoryRecord(), pool=pool)
        best = winner_of(plan, trials)
        if best is None:
            return {"level": "no winner"}
        found: dict[str, list[float | None]] = {name: [] for name in kinds_of(plan)}
        null = None
        while null is None or not null.complete:
            for name, winners in found.items():
                winners.append(winner_on(plan, Market(name, len(winners))))
            null = null_of(best.values[0], "maximize", found, 199)
        returns = trial_returns(plan, trials, pool, (best.number,))
        told = evidence(returns, best.number)
        verdict = judge(null, told, plateau(plan, best.params, pool), quick_stress(plan, best.params, pool))
    row: dict[str, Any] = {"level": verdict.level, "null": null.p_value}
    row |= {f"null, {arm.kind}": arm.p_value for arm in null.arms}
    if isinstance(told, Evidence):
        row |= {"overfitting": told.pbo, "deflated Sharpe ratio": 1 - told.dsr, "PSR, uncorrected": 1 - told.psr}
        row |= {f"Romano-Wolf, {name}": p for name, p in told.romano_wolf.items()}
    return row | verdicts(returns.values[:, :-1], list(returns.names).index(best.number))


def counts_of(rows: list[dict[str, Any]]) -> dict[str, int]:
    """How many studies there are, and how many each method calls significant."""
    names = dict.fromkeys(name for row in rows for name in row if name != "level")
    found = {f"verdict {level}": sum(row["level"] == level for row in rows) for level in ("strong", "weak")}
    called = {name: sum(row.get(name, 1.0) <= 0.05 for row in rows) for name in names}
    return {"studies": len(rows), **found, **called}


def plan_on(kind: str, world: str, seed: int) -> Any:
    """The study of one search on one market."""
    from engine.data.cells import split
    from optim.problem.plan import make_plan
    from optim.spec.study import spec_from

    bars = worlds.market(WORLDS[world], seed)
    study = {"name": "verdict", "objective": "sharpe_ratio", "n_trials": N_TRIALS, "seed": seed, **SEARCHES[kind]}
    strategy: dict[str, Any] = {"name": "ma_crossover"}
    if kind == "grid":
        strategy |= {"search_space": GRID, "fixed": {"ma_type": "sma"}}
    if kind == "fade":
        strategy = {"name": "bollinger_reversion", "search_space": BANDS, "fixed": {"exit_width": 0.0}}
    table = {
        "study": study,
        "data": {"path": "ibm_1d.csv", "periods_per_year": 252},
        "strategy": strategy,
        "backtest": {"fee_bps": 2.0, "slippage_bps": 1.0},
        "evaluation": {"folds": FOLDS.get(kind, 1), "holdout": 0.0},
        "tracking": {"enabled": False},
        "parallel": {"n_jobs": 1},
    }
    plan = make_plan(spec_from(table, ROOT / "studies" / "data"))
    cells, _ = split(len(bars.close), folds=FOLDS.get(kind, 1), holdout=0.0)
    return plan._replace(job=plan.job._replace(instruments=(bars,)), cells=cells)
