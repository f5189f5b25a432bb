"""Cells: which instrument and which bars one evaluation sees. Integer ranges, no dates, no data."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from engine.errors import ParameterError


class Cell(NamedTuple):
    """The bars start <= t < stop of one instrument; instrument -1 is all of them with shared cash."""

    instrument: int
    start: int
    stop: int


def split(n_bars: int, *, folds: int, holdout: float, instrument: int = 0) -> tuple[tuple[Cell, ...], Cell | None]:
    """Cut the bars into consecutive folds and, at the end, the hold-out.

    folds: how many cells the search sees; their lengths differ by at most one bar. holdout: the last share of the bars,
    0 <= holdout < 1, that no search cell touches; None is returned for it when 0.
    """
    if not 0.0 <= holdout < 1.0:
        raise ParameterError(f"holdout = {holdout} breaks the rule 0 <= holdout < 1")
    if folds < 1:
        raise ParameterError(f"folds = {folds} breaks the rule folds >= 1")
    searched = n_bars - round(n_bars * holdout)
    if searched < 2 * folds or (holdout > 0 and n_bars - searched < 2):
        held = n_bars - searched
        told = f"{n_bars} bars are too few for folds = {folds} and holdout = {holdout}: "
        if holdout > 0 and held < 2:
            raise ParameterError(f"{told}the hold-out has {held} of them and needs 2; give a larger holdout, or 0")
        most = searched // 2
        remedy = f"at most folds = {most}" if most else "give a smaller holdout"
        raise ParameterError(f"{told}{searched} of them are searched, and a fold needs 2; {remedy}")
    edges = [searched * fold // folds for fold in range(folds + 1)]
    cells = tuple(Cell(instrument, start, stop) for start, stop in pairwise(edges))
    return cells, Cell(instrument, searched, n_bars) if holdout > 0 else None
