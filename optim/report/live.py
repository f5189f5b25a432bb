"""What is seen of a study while it runs: lines that renew themselves on a terminal, elsewhere a plain one now and then.

Trials go into a Tally as they end; whoever draws asks it for the time left, the best so far and the counts. Nothing is
drawn when a trial ends: a terminal is drawn anew a few times a second, a log gets a line when one is due.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console, Group
from rich.live import Live as Renewed
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from engine.metrics.catalogue import bracketed
from optim.errors import cut
from optim.problem.plan import Plan
from optim.search.scoring import is_feasible
from optim.tracking.info import LONG_TRIAL, LiveTrial
from optim.verdict.null import Null

FIRST_LINES = (1.0, 5.0, 15.0)  # seconds after the beginning; then
LINE_SECONDS = 60.0  # or at every tenth of the whole, where those are
TENTH_SECONDS = 5.0  # apart
_RATE_SECONDS = 30.0  # the rate is that of so long back
_PER_SECOND = 4  # drawings on a terminal
_BAR = 24  # columns
_PARAMS = 120  # characters of the best parameters in a log


class Pace:
    """How far it is, how fast, and when it will be over."""

    def __init__(self, done: int, total: int | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.done, self.total = done, total
        self._clock = clock
        self._begun = False
        self._seen = deque([(clock(), done)])

    def reached(self, done: int, total: int | None) -> None:
        """So many are done now."""
        now = self._clock()
        if not self._begun:  # what came before it compiled and loaded
            self._seen.clear()
        self._begun, self.done, self.total = True, done, total
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] < now - _RATE_SECONDS:
            self._seen.popleft()

    def text(self, noun: str) -> str:
        """`1,234/5,000 trials, 812/s, eta 5 s`."""
        (since, before), now = self._seen[0], self._clock()
        rate = (self.done - before) / (now - since) if now > since else 0.0
        parts = [f"{self.done:,}{'' if self.total is None else f'/{self.total:,}'} {noun}"]
        if rate > 0.0:
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s" if rate >= 1 else f"{rate * 60:.1f}/min")
            if self.total is not None and self.total > self.done:
                parts.append(f"eta {duration((self.total - self.done) / rate)}")
        return ", ".join(parts)


class Tally:
    """The trials of one search: how they ended, the best so far, what runs for long."""

    def __init__(self, plan: Plan, done: Sequence[FrozenTrial], clock: Callable[[], float] = time.monotonic) -> None:
        goal = plan.objective.goals[0]
        self._sign = -1.0 if goal.direction == "minimize" else 1.0
        self._waiting = "the very first trial compiles the engine" if plan.strategy.compiled else "the first trial runs"
        self._cells = len(plan.cells)
        self._goal, self._days = goal.name, plan.days(plan.cells)
        self._counts: Counter[TrialState] = Counter()
        self._infeasible = 0
        self._best: FrozenTrial | None = None
        self._running: dict[int, tuple[LiveTrial, float]] = {}
        self._clock = clock
        self.pace = Pace(len(done), plan.spec.study.n_trials, clock)
        self._count(done)

    def finished(self, trials: Sequence[FrozenTrial]) -> None:
        """Take finished trials in; the best is that by the first objective."""
        self._count(trials)
        self.pace.reached(self.pace.done + len(trials), self.pace.total)

    def running(self, trial: LiveTrial) -> None:
        """A trial takes long, and has ended so many cells."""
        self._running[trial.number] = (trial, self._clock())

    def _count(self, trials: Sequence[FrozenTrial]) -> None:
        counts = self._counts
        for trial in trials:
            state = trial.state
            counts[state] += 1
            if "infeasible" in trial.user_attrs:
                self._infeasible += 1
            elif state == TrialState.COMPLETE and (self._best is None or self._better(trial)) and is_feasible(trial):
                self._best = trial
            if self._running:
                self._running.pop(trial.number, None)

    def _better(self, trial: FrozenTrial) -> bool:
        assert self._best is not None
        return bool(self._sign * trial.values[0] > self._sign * self._best.values[0])

    def best(self, limit: int) -> str:
        """`best 0.5123 (#17) fast_window=12, slow_window=80`, parameters cut after so many characters."""
        if self._best is None:
            return self._waiting if not self.pace.done else "no feasible trial yet"
        params = ", ".join(
            f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self._best.params.items()
        )
        value = bracketed(self._goal, f"{self._best.values[0]:.4f}", self._days)
        return f"best {value} (#{self._best.number}) {cut(params, limit)}"

    def counts(self) -> str:
        """`900 complete, 300 pruned, 0 failed, 34 infeasible`."""
        names = (("complete", TrialState.COMPLETE), ("pruned", TrialState.PRUNED), ("failed", TrialState.FAIL))
        said = (*(f"{self._counts[state]:,} {name}" for name, state in names), f"{self._infeasible:,} infeasible")
        return ", ".join(said)

    def at_work(self) -> str:
        """`2 trials at work: #41 in cell 3 of 5`: those that run for long; empty when there is none."""
        since = self._clock() - 2 * LONG_TRIAL  # one that was not heard of for longer has ended
        live = [trial for trial, heard in list(self._running.values()) if heard >= since or trial.values]
        if not live:
            return ""
        oldest = min(live, key=lambda trial: trial.number)
        cell = min(len(oldest.values) + 1, self._cells)
        return f"{len(live)} long at work: #{oldest.number} in cell {cell} of {self._cells}"


class Lines:
    """Draws lines on a terminal, in place; in a log or a pipe plain ones, when one is due. A context manager.

    lines: what to draw, the head first. share: how much of the whole is done, in [0, 1]; None where nobody knows. Drawn
    are they in a thread of their own on a terminal, elsewhere in the one that calls `tick`.
    """

    def __init__(
        self,
        console: Console,
        name: str,
        lines: Callable[[], Sequence[str]],
        share: Callable[[], float | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console, self._name, self._lines, self._share, self._clock = console, name, lines, share, clock
        self._began = clock()
        self._due = list(FIRST_LINES)
        self._tenth, self._last = 0, 0.0
        self._renew: Callable[[str], None] | None = getattr(console, "renew", None)  # of a cell (optim.report.cell)
        self._renewed: Renewed | None = None
        if renews(console):
            self._renewed = Renewed(
                console=console, get_renderable=self._drawing, refresh_per_second=_PER_SECOND, transient=True,
                redirect_stdout=False,
            )  # fmt: skip

    def __enter__(self) -> Lines:
        if self._renewed is not None:
            self._renewed.start(refresh=True)
        return self

    def __exit__(self, *_: object) -> None:
        if self._renewed is not None:
            self._renewed.stop()
        if self._renew is not None and self._last > 0.0:
            self._renew("")

    def tick(self) -> None:
        """Called often: writes a line where one is due."""
        elapsed = self._clock() - self._began
        if self._renew is not None:
            if elapsed >= self._last + 1.0 / _PER_SECOND:
                self._last = elapsed
                self._renew(f"{self._name}: " + "\n".join(line for line in self._lines() if line))
            return
        if self._renewed is not None or self._console.quiet or elapsed < FIRST_LINES[0]:
            return
        tenth = int(10 * (self._share() or 0.0))
        late = elapsed >= self._due[0]
        if not late and (tenth <= self._tenth or elapsed < FIRST_LINES[-1] or elapsed < self._last + TENTH_SECONDS):
            return
        while late and elapsed >= self._due[0]:
            last = self._due.pop(0)
            if not self._due:
                self._due.append(last + LINE_SECONDS)
        self._tenth, self._last = tenth, elapsed
        text = "; ".join((f"{self._name}: {self._lines()[0]}", *(line for line in self._lines()[1:] if line)))
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _drawing(self) -> Group:
        """One row a line, none longer than the terminal is wide."""
        head, *others = self._lines()
        row = Table.grid(padding=(0, 1), expand=False)
        share = self._share()
        name = Text(self._name, style="bold", no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(100.0, 100.0 * (share or 0.0), width=_BAR)
        row.add_row(name, bar, Text(head, no_wrap=True, overflow="ellipsis"))
        return Group(row, *(Text(line, no_wrap=True, overflow="ellipsis") for line in others if line))


class Live:
    """A search as it runs: `finished`, `running` and, often, `tick` are told from the thread that runs it."""

    def __init__(self, console: Console, plan: Plan, done: Sequence[FrozenTrial]) -> None:
        self._tally = tally = Tally(plan, done)
        limit = max(console.width, 20) if renews(console) else _PARAMS
        self._shown = Lines(
            console,
            plan.spec.study.name,
            lambda: (tally.pace.text("trials"), tally.best(limit), tally.counts(), tally.at_work()),
            lambda: min(tally.pace.done / max(tally.pace.total or 1, 1), 1.0),
        )
        self.running, self.tick = tally.running, self._shown.tick

    def __enter__(self) -> Live:
        self._shown.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.__exit__()

    def finished(self, trials: Sequence[FrozenTrial]) -> None:
        """Trials have ended."""
        self._tally.finished(trials)
        self.tick()


class Markets:
    """The shuffled markets as they are searched: how many, time left, and p so far."""

    def __init__(self, console: Console) -> None:
        self._pace = pace = Pace(0, None)
        self._found = ""
        self._shown = Lines(
            console,
            "shuffled markets",
            lambda: (pace.text("markets"), self._found),
            lambda: pace.done / pace.total if pace.total else None,
        )

    def __enter__(self) -> Markets:
        self._shown.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.__exit__()

    def searched(self, null: Null | None) -> None:
        """Another market has been searched."""
        if null is not None:
            self._found = f"p = {null.p_value:.3g} so far"
            self._pace.reached(sum(len(arm.winners) for arm in null.arms), null.planned * len(null.arms))
        self._shown.tick()


def renews(console: Console) -> bool:
    """Whether lines can be drawn in place: a log stays plain even where colours are forced upon it."""
    return console.is_interactive and console.file.isatty() and not console.quiet


def duration(seconds: float) -> str:
    """`5 s`, `2:05`, `1:02:05`."""
    whole = int(seconds + 0.5)
    minutes, rest = divmod(whole, 60)
    if whole < 60:
        return f"{whole} s"
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
