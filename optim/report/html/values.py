"""What the page shows, as plain values: nothing is drawn and no HTML written here."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.report.course import Course as Course
from engine.report.drawn import Floats as Floats
from engine.report.drawn import Times as Times


class Trading(NamedTuple):
    """Closes, and the fills on them."""

    times: Times
    price: Floats
    bought: tuple[Times, Floats]
    sold: tuple[Times, Floats]


class Winners(NamedTuple):
    """Winners of shuffled markets, and the study's own."""

    found: Floats
    own: float
    metric: str


class History(NamedTuple):
    """The score of each complete trial by its number, the best so far, and where trials were pruned."""

    numbers: NDArray[np.int64]
    scores: Floats
    best: Floats
    pruned: NDArray[np.int64]
    winner: tuple[int, float] | None
    metric: str


class Shares(NamedTuple):
    """A share of the whole for each name."""

    names: tuple[str, ...]
    shares: tuple[float, ...]


class Axis(NamedTuple):
    """One parameter's values in the trials; of a categorical one the places of its choices."""

    name: str
    places: Floats
    choices: tuple[str, ...]
    log: bool
    winner: float  # NaN where it has none


class Slices(NamedTuple):
    """The score against each parameter."""

    axes: tuple[Axis, ...]
    scores: tuple[Floats, ...]  # of the trials that have the parameter
    winner: float
    neighbours: tuple[tuple[Floats, Floats], ...]  # places and scores of the winner's neighbours along each
    metric: str


class Field(NamedTuple):
    """The score over two parameters."""

    across: Axis
    up: Axis
    scores: Floats
    metric: str
    maximise: bool


Drawing = Course | Trading | Winners | History | Shares | Slices | Field


class Chart(NamedTuple):
    """A drawing, and what it shows in words."""

    drawing: Drawing
    caption: str


class Value(NamedTuple):
    """What a cell of a table says; exact: the number behind it; tone: how it is coloured, "" not at all."""

    text: str
    exact: float | None = None
    tone: str = ""


class Table(NamedTuple):
    """Rows under their headings; the first column names them."""

    heading: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    caption: str = ""
    kind: Literal["figures", "facts", "months"] = "figures"


class Missing(NamedTuple):
    """Why there is nothing, and the command that makes it."""

    text: str
    command: str = ""


Block = Chart | Table | Missing | str


class Section(NamedTuple):
    """A heading and what stands under it, in this order."""

    key: str
    title: str
    blocks: tuple[Block, ...]


class Banner(NamedTuple):
    """The verdict on top."""

    level: str
    sentence: str
    reasons: tuple[str, ...]
    command: str  # that searches what is missing; "" where nothing is


class Page(NamedTuple):
    """The whole page."""

    title: str
    subtitle: str
    banner: Banner
    facts: tuple[tuple[str, Value, str], ...]  # a name, its value, what to hold it against
    sections: tuple[Section, ...]


def row(name: str, *cells: Value | str) -> tuple[Value, ...]:
    """A row of a table."""
    return tuple(cell if isinstance(cell, Value) else Value(cell) for cell in (name, *cells))


def figure(value: float | None, form: str = ".3g") -> Value:
    """A number as a cell; a dash where it is undefined."""
    if value is None or math.isnan(value):
        return Value("–")
    return Value(format(value, form).replace("-", "−"), float(value))


def sampled(scores: Floats, maximise: bool, most: int = 800) -> NDArray[np.int64]:
    """Places of so many scores at the most, in order: the best half of them, and evenly some of the others."""
    if len(scores) <= most:
        return np.arange(len(scores))
    order = np.argsort(-scores if maximise else scores, kind="stable")
    best, others = order[: most // 2], order[most // 2 :]
    even = others[np.linspace(0, len(others) - 1, most - len(best)).round().astype(int)]
    return np.sort(np.r_[best, even])
