"""BacktestEngine: one backtest with everything a reader wants to see of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from engine.data.bars import Bars, detail_of, is_bars, slice_bars
from engine.data.calendar import union
from engine.data.clock import periods_per_year_of
from engine.data.detail import NOT_TOGETHER, attach, check_coverage
from engine.data.load import content_hash, load_bars
from engine.errors import ParameterError
from engine.evaluate import run_portfolio, run_single, warmup_start
from engine.metrics.measure import as_metrics, measure
from engine.report.result import BacktestResult as BacktestResult
from engine.report.tables import ledger_of
from engine.simulator.account import CONTRACT, make_account, make_contract
from engine.simulator.simulate import Simulation
from engine.strategies.base import Strategy, load_strategy
from engine.strategies.given import on_given

if TYPE_CHECKING:
    import pandas as pd

StrategyLike = str | Strategy | Callable[..., Any]


class BacktestTracker(Protocol):
    """What a backtest logs to; optim.tracking has implementations."""

    def log_params(self, params: Mapping[str, Any]) -> None: ...
    def log_metrics(self, metrics: Mapping[str, float]) -> None: ...
    def log_artifact(self, path: str | Path, artifact_path: str | None = None) -> None: ...
    def set_tags(self, tags: Mapping[str, Any]) -> None: ...


class BacktestEngine:
    """Backtests under one set of account rules, each given by name: BacktestEngine(fee_bps=10, stop_pct=0.02).

    periods_per_year: bars in a year; inferred from the bars when None (engine.data.clock). tracker: logs config,
    metrics, plots and trades. contracts: of a portfolio, for each instrument its multiplier, tick_size and
    fee_per_contract, as far as they are other than the account's. detail: bars of a finer time frame of the one
    instrument, or what load_bars reads; what a bar touched first is looked up in them (docs/engine.md).
    Raises ParameterError on an unknown rule or a value out of range.
    """

    def __init__(
        self,
        *,
        periods_per_year: float | None = None,
        tracker: BacktestTracker | None = None,
        contracts: Sequence[Mapping[str, float]] = (),
        detail: Any = None,
        **account: Any,
    ) -> None:
        self.account = make_account(account)
        self.contracts = tuple(make_contract(self.account, given) for given in contracts)
        self.detail = detail
        self.periods_per_year = periods_per_year
        self.tracker = tracker

    def run_realistic(
        self,
        df: pd.DataFrame | Bars | Sequence[Bars],
        strategy_fn: StrategyLike,
        params: Mapping[str, Any],
        *,
        start: int = 0,
    ) -> BacktestResult:
        """Backtest bars from `start` on; the bars before it only warm the signal up.

        df: a DataFrame, Bars, or several for a portfolio, on the union of their times. strategy_fn: a built-in name, a
        "file.py:function", a @strategy, or any callable (df, params) -> Series of target exposure; it gets
        a DataFrame whose index has the times with its own index and columns.
        Raises DataError, StrategyError or ParameterError.
        """
        strategy = as_strategy(strategy_fn)
        bound = strategy.bind(params)
        instruments = _instruments(df)
        strategy = on_given(strategy, _parts(df), instruments)
        instruments, told = self._detailed(union(instruments))
        warm = warmup_start(strategy.warmup_bars(bound), self.account, start)
        seen = tuple(slice_bars(bars, warm, len(bars.close)) for bars in instruments)
        rate = periods_per_year_of(instruments[0].timestamp, self.periods_per_year)
        run, market = self._simulate(strategy, bound, seen, start - warm, rate, portfolio=_is_portfolio(df))
        timestamp = seen[0].timestamp[start - warm :]
        values = measure(timestamp, market, run, float(self.account.initial_cash), rate, True)
        used = dict(bound._asdict() if hasattr(bound, "_asdict") else bound)
        result = BacktestResult(
            strategy.name,
            used,
            self.account,
            as_metrics(values),
            ledger_of(timestamp, run, market, self._multipliers(run.n_instruments)),
            {**self._config(strategy, used, seen, timestamp, rate), **told},
        )
        if self.tracker is not None:
            log(result, self.tracker)
        return result

    def _detailed(self, instruments: tuple[Bars, ...]) -> tuple[tuple[Bars, ...], dict[str, Any]]:
        """The instruments with their finer bars, and what is told of these: the share of bars that have some."""
        if self.detail is None:
            detail = detail_of(instruments[0])
            return instruments, {} if detail is None else {"detail": {"share": float((detail[:, 0, 0] > 0).mean())}}
        if len(instruments) > 1:
            raise ParameterError(NOT_TOGETHER)
        bars, coverage = attach(instruments[0], _instruments(self.detail)[0])
        check_coverage(coverage)
        differing = {"differing": int(coverage.differing.sum()), "rows": coverage.rows()}
        return (bars,), {"detail": {"share": coverage.share, **differing}}

    def _simulate(
        self, strategy: Strategy, bound: Any, seen: tuple[Bars, ...], first: int, rate: float, *, portfolio: bool
    ) -> tuple[Simulation, Any]:
        if portfolio:
            if self.contracts and len(self.contracts) != len(seen):
                raise ParameterError(
                    f"there are {len(seen)} instruments, but {len(self.contracts)} contracts; give one each"
                )
            answer = strategy.answer_all(seen, bound)
            return run_portfolio(seen, first, answer, self.account, rate, self.contracts, fills=True)
        if self.contracts:
            raise ParameterError("contracts are of a portfolio; the rules of one instrument are the account's own")
        bars = seen[0]
        return run_single(bars, first, strategy, bound, self.account, rate, fills=True), bars.close[first:]

    def _multipliers(self, count: int) -> list[float]:
        return [one.multiplier for one in self.contracts or [self.account] * count]

    def _config(
        self, strategy: Strategy, used: dict[str, Any], seen: tuple[Bars, ...], timestamp: Any, rate: float
    ) -> dict[str, Any]:
        return {
            "strategy": strategy.name,
            "params": used,
            "account": self.account._asdict(),
            **(
                {"contracts": [{k: getattr(one, k) for k in CONTRACT} for one in self.contracts]}
                if self.contracts
                else {}
            ),
            "periods_per_year": rate,
            "data_sha256": [content_hash(bars) for bars in seen],
            "data_start": str(timestamp[0].astype("datetime64[ns]").astype("datetime64[s]")),
            "data_end": str(timestamp[-1].astype("datetime64[ns]").astype("datetime64[s]")),
            "n_bars": len(timestamp),
        }


def as_strategy(given: StrategyLike) -> Strategy:
    """A Strategy from a name, a "file.py:function", a Strategy or a callable (df, params) -> Series."""
    if isinstance(given, Strategy):
        return given
    return load_strategy(given, Path()) if isinstance(given, str) else Strategy(given, compiled=False)


def log(result: BacktestResult, tracker: BacktestTracker) -> None:
    """Log a backtest's config, metrics, plots, reports and trades to the tracker's current run."""
    tracker.log_params({"strategy": result.strategy, **result.params, **result.account._asdict()})
    tracker.log_metrics(result.metrics)
    tracker.set_tags({"strategy": result.strategy, "data_sha256": ",".join(result.config["data_sha256"])})
    with tempfile.TemporaryDirectory() as folder:
        for path in result.save(folder):
            inside = path.relative_to(folder).parent.as_posix()
            tracker.log_artifact(str(path), artifact_path=None if inside == "." else inside)


def _is_portfolio(df: Any) -> bool:
    return isinstance(df, (list, tuple)) and not is_bars(df)


def _instruments(df: Any) -> tuple[Bars, ...]:
    return tuple(part if is_bars(part) else load_bars(part) for part in _parts(df))


def _parts(df: Any) -> Sequence[Any]:
    return df if _is_portfolio(df) else (df,)
