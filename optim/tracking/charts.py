"""Charts that MLflow's page draws of runs, in the form in which it keeps them itself (MLflow 3.17, runs page)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_SECTION = "optim"
_MOST_RUNS = 1000  # that a chart takes of those in the table


def trial_charts(objective: str, params: Sequence[str], metrics: Sequence[str]) -> dict[str, Any]:
    """Of a study's trials: the parameters beside the objective, its values, and the objective against each metric."""
    parallel = {"type": "PARALLEL", "selectedParams": list(params), "selectedMetrics": [objective], "showAllRuns": True}
    bars = {"type": "BAR", "metricKey": objective, "runsCountToCompare": 20}
    against = [_scatter(name, objective) for name in metrics if name != objective]
    return _page([parallel | {"displayName": f"{objective} and the parameters"}, bars, *against])


def study_charts(objective: str, opened: str) -> dict[str, Any]:
    """Of the studies of an experiment: what they found against what their opened hold-outs say."""
    return _page([_scatter(objective, opened)])


def _scatter(x: str, y: str) -> dict[str, Any]:
    axes = {name: {"key": key, "type": "METRIC"} for name, key in (("xaxis", x), ("yaxis", y))}
    return {"type": "SCATTER", **axes, "displayName": f"{y} against {x}"}


def _page(charts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One section with these charts, before those that the page makes itself."""
    common = {"deleted": False, "isGenerated": False, "metricSectionId": _SECTION, "runsCountToCompare": _MOST_RUNS}
    section = {"uuid": _SECTION, "name": _SECTION, "display": True, "isReordered": True, "deleted": False}
    return {
        "compareRunCharts": [{**common, "uuid": f"{_SECTION}-{i}", **chart} for i, chart in enumerate(charts)],
        "compareRunSections": [section | {"isGenerated": False}],
        "isAccordionReordered": True,
        "runsHiddenMode": "SHOWALL",
    }
