"""The plots of a study, for a notebook: Optuna's own where it has them, under a title that says what is seen.

recorded trials -> a study of Optuna's in memory, its first objective alone -> Optuna's drawing -> a titled Figure.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from engine.report.words import in_words
from optim.errors import SpecError, cut
from optim.problem.plan import Plan
from optim.record.quiet import no_warnings, quiet_optuna
from optim.record.record import Record
from optim.report.html.trials import importances
from optim.report.showcase import show_winner, subject_of
from optim.search.ranking import chosen, winner_of
from optim.search.search import make_pool
from optim.spec.expressions import suggestion
from optim.verdict.holdout import last_opening

if TYPE_CHECKING:
    import optuna
    from matplotlib.figure import Figure

_FEWEST = 2  # complete trials for a picture
_CELLS = 12  # of a heat map along a parameter with more values than that
_NUMBERS = 150  # cells, up to which each says its value


class Plots:
    """`study.plot`: every method draws what is recorded now and returns a matplotlib Figure.

    Several objectives: the first. Raises OptimError where there is nothing to draw.
    """

    def __init__(self, plan: Plan, record: Record) -> None:
        self._plan, self._record = plan, record

    def history(self) -> Figure:
        """The objective of every trial by its number, and the best so far; grey: infeasible."""
        return self._drawn("plot_optimization_history", "history")

    def parallel(self, *params: str) -> Figure:
        """Every trial as a line over its parameters, all or those named."""
        return self._drawn("plot_parallel_coordinate", "parallel coordinates", params=self._known(params))

    def slice(self, *params: str) -> Figure:
        """The objective against each parameter, all or those named."""
        return self._drawn("plot_slice", "along each parameter", params=self._known(params))

    def importance(self) -> Figure:
        """The share of each parameter in what makes trials differ."""
        if len(self._plan.space.parameters) < 2:
            raise SpecError(f"{self._plan.spec.path}: one parameter is searched: there is nothing to compare it with")
        return self._drawn("plot_param_importances", "importance of the parameters")

    def heatmap(self, across: str | None = None, up: str | None = None) -> Figure:
        """The mean objective of the complete trials over two parameters, by default the two weightiest.

        A parameter of more than 12 values is cut into 12 equal parts, on its own scale. The winner is ringed.
        """
        from engine.report.picture import Picture

        trials, names = self._complete(), self._pair(across, up)
        both = [trial for trial in trials if all(name in trial.params for name in names)]
        if not both:
            raise SpecError(f"{self._plan.spec.path}: no complete trial has both {names[0]} and {names[1]}")
        x, y = (_Parts(self._plan, name, [trial.params[name] for trial in both]) for name in names)
        found = np.full((len(y.labels), len(x.labels)), np.nan)
        scores = np.array([trial.values[0] for trial in both])
        for row, column in {*zip(y.places, x.places, strict=True)}:
            found[row, column] = scores[(y.places == row) & (x.places == column)].mean()
        figure = Picture(9, 6.5)
        axes = figure.subplots()
        image = axes.imshow(found, origin="lower", aspect="auto", cmap="viridis")
        figure.colorbar(image, label=f"mean {self._objective}")
        axes.set_xticks(range(len(x.labels)), x.labels, rotation=30, ha="right")
        axes.set_yticks(range(len(y.labels)), y.labels)
        axes.set(xlabel=in_words(names[0]), ylabel=in_words(names[1]))
        if found.size <= _NUMBERS:
            for row, column in zip(*np.nonzero(~np.isnan(found)), strict=True):
                axes.text(column, row, f"{found[row, column]:.2f}", ha="center", va="center", fontsize=8, color="white",
                          bbox={"facecolor": "#22303c", "alpha": 0.45, "linewidth": 0, "pad": 1.5})  # fmt: skip
        best = winner_of(self._plan, trials)
        if best is not None and best in both:
            place = both.index(best)
            axes.plot([x.places[place]], [y.places[place]], "o", markersize=22, markerfacecolor="none",
                      markeredgecolor="#c0392b", markeredgewidth=2)  # fmt: skip
        return self._titled(figure, "over two parameters")

    def equity(self, trial: int | None = None) -> Figure:
        """The account of the winner, or of a trial, beside buying and holding: every instrument, or the portfolio.

        Where the hold-out was opened for this trial it follows on the same axis.
        """
        from engine.report.course import course
        from engine.report.figures import accounts_figure, summary_figure

        plan, opening = self._plan, last_opening(self._record)
        shown = chosen(plan, self._record.trials(), trial)
        opened = opening is not None and opening.trial == shown.number
        with quiet_optuna(), make_pool(plan, here=True) as pool:
            searched, held, later, _ = show_winner(plan, shown.params, pool, opened=opened)
        assert searched is not None
        if searched.error:
            raise SpecError(
                f"{plan.spec.path}: the backtest of trial {shown.number} failed: {cut(searched.error, 300)}"
            )
        count = len(searched.backtests)
        held_by = held.backtests if held and held.backtests else (None,) * count
        after = later.backtests if later and later.backtests else (None,) * count
        if count == 1:
            return summary_figure(searched.backtests[0], held_by[0], after[0])
        courses = [course(*three).thinned() for three in zip(searched.backtests, held_by, after, strict=True)]
        return accounts_figure(courses, f"{plan.spec.study.name}: trial {shown.number}")

    @property
    def _objective(self) -> str:
        return self._plan.objective.goals[0].name

    def _complete(self) -> list[FrozenTrial]:
        trials = [t for t in self._record.trials() if t.state == TrialState.COMPLETE and math.isfinite(t.values[0])]
        if len(trials) < _FEWEST:
            raise SpecError(f"{self._plan.spec.path}: fewer than {_FEWEST} trials are complete: nothing to draw yet")
        return trials

    def _known(self, params: Sequence[str]) -> list[str] | None:
        names = [p.name for p in self._plan.space.parameters]
        for name in params:
            if name not in names:
                raise SpecError(f"{self._plan.spec.path}: no parameter {name!r} is searched{suggestion(name, names)}")
        return list(params) or None

    def _pair(self, across: str | None, up: str | None) -> tuple[str, str]:
        given = [name for name in (across, up) if name is not None]
        self._known(given)
        with quiet_optuna():
            weights = importances(self._plan, self._complete())
        order = sorted((p.name for p in self._plan.space.parameters), key=lambda name: -weights.get(name, 0.0))
        rest = iter(name for name in order if name not in given)
        pair = [name if name is not None else next(rest, None) for name in (across, up)]
        if pair[0] is None or pair[1] is None or pair[0] == pair[1]:
            raise SpecError(f"{self._plan.spec.path}: a heat map is over two parameters that are searched")
        return pair[0], pair[1]

    def _drawn(self, function: str, what: str, **options: Any) -> Figure:
        """One of Optuna's drawings; what it sets for the whole process, style and open figures, is put back."""
        import matplotlib as mpl
        from matplotlib import pyplot as plt
        from optuna.visualization import matplotlib as drawings

        self._complete()
        study = _in_memory(self._plan, self._record.trials())
        with quiet_optuna(), no_warnings(), mpl.rc_context(), plt.ioff():
            found = getattr(drawings, function)(study, target_name=self._objective, **options)
            figure: Figure = np.ravel(found)[0].figure
            plt.close(figure)
            figure.set_size_inches(max(9.0, figure.get_figwidth()), 5.0)
            for place in ("left", "center", "right"):
                figure.axes[0].set_title("", loc=place)
            self._titled(figure, what)
            if len(figure.axes) == 1:  # a scale of colours beside them would be laid over the others
                figure.tight_layout(rect=(0, 0, 1, 0.93))
            return figure

    def _titled(self, figure: Figure, what: str) -> Figure:
        title = f"{self._plan.spec.study.name}: {self._objective}, {what}\n{subject_of(self._plan)}, in-sample"
        figure.suptitle(title, x=0.01, ha="left", fontsize=10.5)
        return figure


class _Parts:
    """The parts of one axis of a heat map: the part each trial is in, and what each is called."""

    def __init__(self, plan: Plan, name: str, values: Sequence[Any]) -> None:
        (parameter,) = [p for p in plan.space.parameters if p.name == name]
        own = list(parameter.choices) or sorted(set(values))
        if parameter.choices or len(own) <= _CELLS:
            self.places = np.array([own.index(value) for value in values])
            self.labels = [f"{one:.4g}" if isinstance(one, float) else str(one) for one in own]
            return
        edges = (np.geomspace if parameter.log else np.linspace)(min(values), max(values), _CELLS + 1)
        self.places = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, _CELLS - 1)
        self.labels = [f"{low:.4g}–{high:.4g}" for low, high in itertools.pairwise(edges)]


def _in_memory(plan: Plan, trials: Sequence[FrozenTrial]) -> optuna.Study:
    """The trials as Optuna's own study, under their numbers, with their first objective."""
    import optuna

    with quiet_optuna(), no_warnings():
        study = optuna.create_study(direction=plan.objective.goals[0].direction)
        study.add_trials([
            optuna.create_trial(
                state=trial.state, value=trial.values[0] if trial.state == TrialState.COMPLETE else None,
                params=trial.params, distributions=trial.distributions, constraints=trial.constraints,
            )
            for trial in trials
        ])  # fmt: skip
    return study
