"""The conformance suite: what every strategy must obey. `optim check strategy FILE.py:fn` runs it on the user's own."""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.compiled.arrays import Array
from engine.data.bars import Bars, add_features, make_bars, slice_bars
from engine.data.cells import Cell
from engine.errors import EngineError, ParameterError, StrategyError
from engine.evaluate import evaluate
from engine.simulator.account import SEARCHABLE, Account
from engine.strategies.base import Strategy, load_strategy
from engine.strategies.levels import columns
from engine.strategies.lookahead import probe_lookahead
from engine.strategies.many import bind_many, targets_of_many
from engine.strategies.raised import reason

HOUR = 3_600_000_000_000
N_BARS = 700
LENGTHS = (1_500, 6_000, 24_000)  # of the markets looked ahead in, until the signal moves
_MONDAY = 10_959 * 24 * HOUR  # 2000-01-03


class Report(NamedTuple):
    """What was checked; printing it tells the user. `unproven`: the sets whose signal never changed."""

    strategy: str
    checks: tuple[str, ...]
    n_params: int
    unproven: tuple[Mapping[str, Any], ...] = ()

    def __str__(self) -> str:
        n_unproven = len(self.unproven)
        n_proven = self.n_params - n_unproven
        some = f"{n_proven} of {self.n_params}" if n_unproven else f"{n_proven}"
        lines = [f"{self.strategy}: obeys the rules ({some} parameter sets)"] if n_proven else []
        lines += [f"  ok  {check}" for check in self.checks if n_proven]
        lines += [f"{self.strategy}({dict(one)}): nothing proven, its signal never changes" for one in self.unproven]
        if n_unproven:
            others = f"; for the other {n_proven} every rule above is proven" if n_proven else ""
            lines.append(
                f"For {n_unproven} of {self.n_params} it is not proven that no later bar is used: on up to "
                f"{LENGTHS[-1]} random bars the signal stays as it is, and there was nothing to compare{others}. Check "
                "the strategy in its study, on bars on which it trades (optim check STUDY.toml), or take parameters "
                "with which it never trades out of its search space; one that only holds has nothing to prove"
            )
        return "\n".join(lines)


def check_strategy(
    reference: str | Strategy,
    params: Mapping[str, Any] | None = None,
    *,
    base: Path = Path(),
    seed: int = 0,
    features: Sequence[str] = (),
) -> Report:
    """Run every check on random bars; StrategyError says which rule is broken, for what parameters, at which bar.

    params: one parameter set to check. Without it, sets are drawn from the strategy's search space if it has one beside
    it or among the built-in ones (search_spaces/<name>.toml), else from the defaults its Params declare.
    features: further columns that the strategy reads, standard normal here.
    """
    strategy = reference if isinstance(reference, Strategy) else load_strategy(reference, base)
    rng = np.random.default_rng(seed)
    drawn = [dict(params)] if params is not None else list(draw_params(strategy, rng))
    k = strategy.n_instruments or 2
    instruments = tuple(random_bars(rng, features=features) for _ in range(k))
    unproven = []
    seconds = 0.2 if strategy.compiled else 6.0 / len(drawn)
    for one in drawn:
        for check in CHECKS:
            try:
                check(strategy, one, instruments, rng)
            except EngineError:
                raise
            except Exception as error:
                where = f"search_spaces/{strategy.name}.toml beside its file"
                hint = "" if one else f"; it was called without parameters: write those it takes to {where}"
                raise StrategyError(f"{reason(strategy, error)} for {dict(one)}{hint}") from error
        if not _looks_not_ahead(strategy, one, k, rng, seconds, features):
            unproven.append(one)
    checks = [*((check.__doc__ or "").rstrip(".") for check in CHECKS), _CAUSAL]
    if strategy.many is not None:
        _agrees_for_many(strategy, drawn, instruments)
        checks.append(_ALIKE)
    return Report(strategy.name, tuple(checks), len(drawn), tuple(unproven))


def is_target(strategy: Strategy, params: Mapping[str, Any], instruments: tuple[Bars, ...], rng: Any) -> None:
    """The signal is one finite number in [-1, 1] per bar."""
    signal(strategy, params, instruments)  # raises by itself


def repeats(strategy: Strategy, params: Mapping[str, Any], instruments: tuple[Bars, ...], rng: Any) -> None:
    """The signal is the same when it is asked for again, and for all it was asked in between."""
    first = signal(strategy, params, instruments)
    signal(strategy, params, tuple(slice_bars(bars, 100, 400) for bars in instruments))
    _same(strategy, params, first, signal(strategy, params, instruments), "differs when asked for again")


def leaves_bars_alone(strategy: Strategy, params: Mapping[str, Any], instruments: tuple[Bars, ...], rng: Any) -> None:
    """The bars are not written to."""
    before = [column.copy() for bars in instruments for column in bars]
    signal(strategy, params, instruments)
    after = [column for bars in instruments for column in bars]
    if not all(np.array_equal(x, y) for x, y in zip(before, after, strict=True)):
        raise StrategyError(f"{strategy.name}({dict(params)}) changes the bars it is given")


def warms_up(strategy: Strategy, params: Mapping[str, Any], instruments: tuple[Bars, ...], rng: Any) -> None:
    """The declared warm-up is a number of bars that is not negative."""
    warm = strategy.warmup_bars(strategy.bind(params))
    if warm < 0:
        raise StrategyError(f"{strategy.name}({dict(params)}).warmup_bars() is {warm}, must not be negative")


def trades(strategy: Strategy, params: Mapping[str, Any], instruments: tuple[Bars, ...], rng: Any) -> None:
    """A backtest of it gives metrics that are finite or undefined, never infinite."""
    cell = Cell(-1 if strategy.joint else 0, N_BARS // 3, N_BARS)
    outcome = evaluate(strategy, params, Account(fee_bps=10, slippage_bps=2), instruments, cell, 252.0)
    if outcome.error:
        raise StrategyError(f"{outcome.error}, in a backtest with {dict(params)}")
    if infinite := [name for name, value in outcome.metrics.items() if np.isinf(value)]:
        raise StrategyError(f"{strategy.name}({dict(params)}): {', '.join(infinite)} is infinite")


CHECKS = (is_target, repeats, leaves_bars_alone, warms_up, trades)


_CAUSAL = "The signal of bars 0 ... k is the same whether later bars are known or not"
_ALIKE = "The form for many parameter sets says of each what the strategy says of it alone"


def _agrees_for_many(strategy: Strategy, drawn: list[dict[str, Any]], instruments: tuple[Bars, ...]) -> None:
    """StrategyError where the two forms differ, the one for many fails, or there are no two sets to compare them on."""
    sets = [*drawn, *(other for one in drawn for other in _beside(strategy, one, instruments))]
    try:
        found = [(many, targets_of_many(strategy, instruments[0], many)) for many in bind_many(strategy, sets)]
    except (Exception, SystemExit) as error:
        raise StrategyError(f"{reason(strategy, error)}, in its form for many parameter sets") from error
    refused = set(range(len(sets))).difference(*(many.at for many, _ in found))
    if refused:
        one = sets[min(refused)]
        raise StrategyError(f"{strategy.name}({one}) is refused by its rules() only when asked with others, as arrays")
    for many, targets in found:
        for i, target in zip(many.at, targets, strict=True):
            alone = signal(strategy, sets[i], instruments)
            if alone.ndim > 1:
                raise StrategyError(f"{strategy.name} answers with levels, which its form for many cannot say")
            _same(strategy, sets[i], alone, target.astype(np.float64), "differs in its form for many parameter sets")
    if all(len({strategy.bind(sets[i]) for i in many.at}) < 2 for many, _ in found):
        raise StrategyError(
            f"{strategy.name} has a form for many parameter sets, but {drawn[0]} has no other set beside it to compare "
            f"them on: write search_spaces/{strategy.name}.toml beside its file, or leave the form out"
        )


def _beside(strategy: Strategy, one: Mapping[str, Any], instruments: tuple[Bars, ...]) -> Iterator[dict[str, Any]]:
    """Sets near this one that have a signal: a form that is asked for one set at a time proves nothing."""
    whole = strategy.bind(one)._asdict()
    for name, kind in zip(whole, strategy.kinds, strict=True):
        for factor in (1.25, 0.75) if kind else ():
            value = whole[name] * factor or factor - 1.0
            near = {**whole, name: value if kind is np.float64 else int(value) + (factor > 1.0)}
            with contextlib.suppress(Exception):  # beyond its rules, or out of what it was written for
                signal(strategy, near, instruments)
                yield near


def _looks_not_ahead(
    strategy: Strategy,
    params: Mapping[str, Any],
    k: int,
    rng: np.random.Generator,
    seconds: float,
    features: Sequence[str],
) -> bool:
    """Probe for look-ahead on markets of several calendars, longer ones until the signal moves; whether it ever did."""
    for n_bars in LENGTHS:
        probes = []
        for times in (_frozen(np.arange(N_BARS) * HOUR), _days(n_bars), _sessions(n_bars)):
            market = tuple(random_bars(rng, len(times), features)._replace(timestamp=times) for _ in range(k))
            probes.append(probe_lookahead(strategy, [params], market if strategy.joint else market[:1], seconds))
        if any(probe.moved[0] for probe in probes):
            return True
    return False


def _days(n_bars: int) -> NDArray[np.int64]:
    """Midnights of Mondays to Fridays."""
    day = np.arange(n_bars)
    return _frozen(_MONDAY + (day // 5 * 7 + day % 5) * 24 * HOUR)


def _sessions(n_bars: int) -> NDArray[np.int64]:
    """Seven hours of Mondays to Fridays, from 09:00."""
    hour = np.arange(n_bars)
    return _frozen(_days(n_bars // 7 + 1)[hour // 7] + (9 + hour % 7) * HOUR)


def _frozen(times: NDArray[np.int64]) -> NDArray[np.int64]:
    times.setflags(write=False)  # kernels are compiled for read-only arrays
    return times


def signal(strategy: Strategy, params: Mapping[str, Any], instruments: tuple[Bars, ...]) -> Array:
    """The strategy's target for one instrument, with its levels if it sets any, or its weights for several."""
    bound = strategy.bind(params)
    if strategy.joint:
        return columns(strategy.answer_all(instruments, bound))
    answer = strategy.answer(instruments[0], bound)
    strategy.refuse_unusable(answer.target)
    return columns(answer) if answer.moving.size else answer.target


def random_bars(rng: np.random.Generator, n: int = N_BARS, features: Sequence[str] = ()) -> Bars:
    """A random walk with trends, gaps and a flat stretch, in which nothing moves; features are standard normal."""
    drift = np.repeat(rng.normal(0, 0.002, n // 50 + 1), 50)[:n]
    steps = drift + rng.normal(0, 0.01, n)
    steps[n // 2 : n // 2 + 20] = 0.0
    close = 100.0 * np.exp(np.cumsum(steps))
    open_ = np.r_[100.0, close[:-1]] * np.exp(rng.normal(0, 0.002, n) * (steps != 0))
    spread = np.abs(rng.normal(0, 0.004, n)) * (steps != 0)
    high, low = np.maximum(open_, close) * (1 + spread), np.minimum(open_, close) * (1 - spread)
    bars = make_bars(np.arange(n) * HOUR, open_, high, low, close, rng.integers(1, 10_000, n).astype(float))
    return add_features(bars, {name: rng.standard_normal(n) for name in features}) if features else bars


def draw_params(strategy: Strategy, rng: np.random.Generator, n: int = 6) -> Iterator[dict[str, Any]]:
    """Parameter sets that satisfy the strategy's own rules; StrategyError when it is not known how to draw them."""
    table = _search_space(strategy)
    if table is None:
        fields = () if strategy.params is None else strategy.params._fields
        defaults = {} if strategy.params is None else strategy.params._field_defaults
        if missing := [name for name in fields if name not in defaults]:
            raise StrategyError(
                f"{strategy.name} has no search_spaces/{strategy.name}.toml and no default for {', '.join(missing)}: "
                "give its Params defaults, or write the search space beside the strategy's file"
            )
        yield dict(defaults)
        return
    if strategy.params is not None:  # a space may search the account's rules beside them
        rules = set(SEARCHABLE) - set(strategy.params._fields)
        table = {name: entry for name, entry in table.items() if name not in rules}
    found = 0
    for _ in range(1000):
        drawn = {name: _draw(entry, rng) for name, entry in table.items()}
        try:
            strategy.bind(drawn)
        except ParameterError:
            continue
        yield drawn
        found += 1
        if found == n:
            return
    if found == 0:
        raise StrategyError(f"{strategy.name}: no point of its search space satisfies its rules")


def _search_space(strategy: Strategy) -> dict[str, Any] | None:
    """The [parameters] table of the strategy's search space, from beside its file or from the built-in ones."""
    here = Path(strategy.reference.rpartition(":")[0]).parent if ":" in strategy.reference else None
    root = Path(__file__).parent.parent
    folders = [here / "search_spaces", here] if here else [root / "search_spaces", root / "optim" / "search_spaces"]
    for folder in folders:
        if (path := folder / f"{strategy.name}.toml").is_file():
            found: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("parameters", {})
            return found
    return None


def _draw(entry: Mapping[str, Any], rng: np.random.Generator) -> Any:
    if entry["type"] == "categorical":
        return entry["choices"][int(rng.integers(len(entry["choices"])))]
    low, high, step = entry["low"], entry["high"], entry.get("step", 1 if entry["type"] == "int" else None)
    if step is None:
        return float(np.exp(rng.uniform(np.log(low), np.log(high))) if entry.get("log") else rng.uniform(low, high))
    value = low + step * int(rng.integers(int((high - low) / step + 1e-9) + 1))
    return int(value) if entry["type"] == "int" else float(value)


def _same(strategy: Strategy, params: Mapping[str, Any], one: Array, other: Array, what: str) -> None:
    if len(one) != len(other):
        raise StrategyError(f"{strategy.name}({dict(params)}) {what}")
    differs = ((one != other) & ~(np.isnan(one) & np.isnan(other))).reshape(len(one), -1).any(axis=1)
    if differs.any():
        bar = int(differs.argmax())
        raise StrategyError(f"{strategy.name}({dict(params)}) {what}: bar {bar} is {one[bar]} and {other[bar]}")
