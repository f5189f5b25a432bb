"""What a study knows of tracking, and what it has when tracking is switched off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from optim.tracking.info import LiveTrial, MirrorReport, StudyResult

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from engine.report.result import BacktestResult


class StudyMirror(Protocol):
    """Where a study tells what happens."""

    @property
    def problem(self) -> str: ...
    def running(self, trial: LiveTrial) -> None: ...
    def finished(self, trials: Sequence[FrozenTrial]) -> None: ...
    def found(self, number: int, backtests: Sequence[BacktestResult]) -> None: ...
    def conclude(self, result: StudyResult | None) -> None: ...
    def close(self, result: StudyResult | None, progress: Callable[[int, int], None] | None = None) -> MirrorReport: ...
    def give_up(self) -> MirrorReport: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class NullMirror:
    """Tracking switched off."""

    problem = ""

    def running(self, trial: LiveTrial) -> None:
        """Nothing."""

    def finished(self, trials: Sequence[FrozenTrial]) -> None:
        """Nothing."""

    def found(self, number: int, backtests: Sequence[BacktestResult]) -> None:
        """Nothing."""

    def conclude(self, result: StudyResult | None) -> None:
        """Nothing."""

    def close(self, result: StudyResult | None, progress: Callable[[int, int], None] | None = None) -> MirrorReport:
        """An empty report."""
        return MirrorReport("", "", 0, "")

    def give_up(self) -> MirrorReport:
        """An empty report."""
        return MirrorReport("", "", 0, "", interrupted=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None
