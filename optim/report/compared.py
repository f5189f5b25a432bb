"""Two studies side by side: where their settings differ, and what came of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.metrics.catalogue import IN_BRACKETS, SHORT_DAYS, bracketed, metric_text
from optim.errors import value_text
from optim.report.console import SHOWN
from optim.report.summary import Summary
from optim.verdict.finite import finite

_JUDGED_BY = ("data.", "evaluation.", "backtest.")  # settings by which numbers of two studies are no longer alike


def side(summary: Summary, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """One study as plain data. fingerprint: the settings it was begun with."""
    best, searched = summary.best, summary.winner.searched
    return dict(
        finite({
            "study": summary.name,
            "path": summary.paths["study"],
            "settings": dict(flat(fingerprint, "")),
            "counts": dict(summary.counts),
            "best": None if best is None else best.number,
            "values": {} if best is None else dict(zip(summary.objectives, best.values, strict=True)),
            "params": {} if best is None else best.params,
            "metrics": {"in_sample": summary.in_sample(), "searched": searched.metrics if searched else {}},
            "days": {"in_sample": summary.cell_days, "searched": searched.days if searched else None},
            "verdict": summary.verdict and summary.verdict["level"],
        })
    )  # fmt: skip


def as_object(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both studies, and the settings that differ: name -> [of the first, of the second], null where there is none."""
    mine, theirs = one["settings"], other["settings"]
    names = [name for name in dict.fromkeys([*mine, *theirs]) if mine.get(name) != theirs.get(name)]
    kept = [{key: value for key, value in part.items() if key != "settings"} for part in (one, other)]
    return {"settings": {name: [mine.get(name), theirs.get(name)] for name in names}, "studies": kept}


def print_compared(console: Console, told: Mapping[str, Any]) -> None:
    """Two tables: settings that differ, results."""
    studies = told["studies"]
    names = [part["study"] for part in studies]
    headings = names if names[0] != names[1] else [part["path"] for part in studies]
    if told["settings"]:
        console.print(_table("Settings that differ", headings, settings_rows(told["settings"])))
    else:
        console.print("The settings are the same.")
    console.print(_table("Results", headings, _results(*studies)))
    if any(days is not None and days < SHORT_DAYS for part in studies for days in part["days"].values()):
        console.print(f"({IN_BRACKETS})", highlight=False, markup=False)
    if any(name.startswith(_JUDGED_BY) for name in told["settings"]):
        console.print("Bars, costs or rules differ: the numbers are not of the same question.", soft_wrap=True)


def settings_rows(differing: Mapping[str, list[Any]]) -> Iterator[tuple[str, str, str]]:
    """A row a setting; a searched parameter that one study alone has is one row, whatever is said of it."""
    alone = [name.removesuffix("name") for name in differing if re.fullmatch(r"search_space\.[^.]+\.name", name)]
    for name, pair in differing.items():
        place = next((place for place in alone if name.startswith(place)), "")
        if not place:
            yield name, _said(pair[0]), _said(pair[1])
        elif name == f"{place}name":
            keys = {key.removeprefix(place): values for key, values in differing.items() if key.startswith(place)}
            mine, theirs = ({key: values[i] for key, values in keys.items()} for i in (0, 1))
            yield place[:-1], _range(mine), _range(theirs)


def _range(parameter: Mapping[str, Any]) -> str:
    """Where a parameter is searched; a dash where there is none of this name."""
    if parameter["name"] is None or parameter.get("choices"):
        return _said(parameter.get("choices"))
    return f"{_said(parameter.get('low'))} to {_said(parameter.get('high'))}"


def _results(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    def row(name: str, text: Any) -> tuple[str, str, str]:
        return name, text(one), text(other)

    for name in ("complete", "pruned", "failed", "infeasible"):
        yield row(name, lambda part, name=name: str(part["counts"][name]))
    yield row("winner", lambda part: "none" if part["best"] is None else f"trial {part['best']}")
    for name in dict.fromkeys((*one["values"], *other["values"])):
        yield row(name, lambda part, name=name: _score(part, name))
    for name in dict.fromkeys((*one["params"], *other["params"])):
        yield row(f"  {name}", lambda part, name=name: _said(part["params"].get(name)))
    shown = {*one["metrics"]["searched"], *other["metrics"]["searched"]}
    for name in (name for name in SHOWN if name in shown):
        yield row(f"{name}, in one run", lambda part, name=name: _in_one_run(part, name))
    yield row("verdict", lambda part: part["verdict"] or "none spoken")


def _score(part: Mapping[str, Any], name: str) -> str:
    value = part["values"].get(name)
    return _said(value) if value is None else bracketed(name, _said(value), part["days"]["in_sample"])


def _in_one_run(part: Mapping[str, Any], name: str) -> str:
    return metric_text(name, part["metrics"]["searched"].get(name), part["days"]["searched"] or 0.0)


def _table(title: str, headings: list[str], rows: Any) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("", overflow="fold")
    for heading in headings:
        table.add_column(escape(heading), justify="right", overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def flat(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Nested settings as dotted names and values."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{place}.{key}" if place else str(key))
    else:
        yield place, list(value) if isinstance(value, tuple) else value


def _said(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(_said, value))
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{56}\b", r"\1", value_text(value))
