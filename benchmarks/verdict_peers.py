"""The verdicts of four packages on the returns of all trials, at their defaults: the extra `verdicts` installs them.

tokio-ai: Romano-Wolf over the matrix, the winner against a mean of zero. trialgate: its gates (observations, PBO,
deflated Sharpe ratio). quant-harness: PASS or KILL of combinatorial purged cross-validation. alphaengine: its sweep.
None of them repeats the search.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

YEAR = 252  # bars


def tokio_ai(returns: Any, winner: int) -> bool:
    """Whether the winner's p-value, corrected for all columns, is at most 5 %."""
    from tokio_ai import check_backtest

    found = check_backtest(returns, periods_per_year=YEAR).strategies[winner]
    return bool(found.reportable and found.p_adjusted <= 0.05)


def trialgate(returns: Any, winner: int) -> bool:
    """Whether every gate is passed; bars on which the winner earns nothing are no observations."""
    import trialgate as peer

    ratios = [float(one) for one in returns.mean(axis=0) / returns.std(axis=0, ddof=1) * YEAR**0.5]
    deflated = peer.deflated_sharpe_ratio(
        returns[:, winner].tolist(), trial_sharpes=ratios, periods_per_year=YEAR, effective_trials=returns.shape[1]
    ).deflated_sharpe_ratio
    pbo = peer.probability_of_backtest_overfitting(returns.tolist()).pbo
    observations = int(np.count_nonzero(returns[:, winner]))
    report = peer.evaluate_gates(observations=observations, pbo=pbo, deflated_sharpe=deflated)
    return all(check.passed for check in report.checks)


def quant_harness(returns: Any, winner: int) -> bool:
    """Whether it says PASS. A column trades where it begins or ceases to earn."""
    import pandas as pd
    from harness import CPCVConfig, Thresholds, run_cpcv_returns

    held = (returns != 0.0).astype(int)
    trades = np.abs(np.diff(held, axis=0, prepend=0)).T
    days = pd.date_range("2010-01-01", periods=len(returns), freq="1D", tz="UTC")
    grid = [{"column": i} for i in range(returns.shape[1])]
    told = run_cpcv_returns(returns.T, trades, days, grid, CPCVConfig(n_groups=10, k_test=2), Thresholds())
    return bool(told["verdict"] == "PASS")


def alphaengine(returns: Any, winner: int) -> bool:
    """Whether its sweep over these columns is called robust."""
    import pandas as pd
    from alphaengine import sweep

    days = pd.date_range("2010-01-01", periods=len(returns), freq="B")
    table = pd.DataFrame(returns, index=days)

    def earned(column: int) -> Any:
        return table[column]

    told = sweep(earned, {"column": list(range(returns.shape[1]))}).verdict()
    return bool(told["verdict"] == "robust")


PEERS: dict[str, tuple[str, Callable[[Any, int], bool]]] = {
    "tokio-ai": ("tokio_ai", tokio_ai),
    "trialgate": ("trialgate", trialgate),
    "quant-harness": ("harness", quant_harness),
    "alphaengine": ("alphaengine", alphaengine),
}


def verdicts(returns: Any, winner: int) -> dict[str, float]:
    """0 where a package calls the winner significant, 1 where it does not; those that are installed.

    returns: daily, float64[T, N]. winner: its column. A column that never trades is left out: some refuse it.
    """
    moving = returns.std(axis=0) > 0.0
    column = int(np.count_nonzero(moving[:winner]))
    installed = {name: judge for name, (module, judge) in PEERS.items() if find_spec(module) is not None}
    kept = np.ascontiguousarray(returns[:, moving])
    return {name: 0.0 if judge(kept, column) else 1.0 for name, judge in installed.items()}
