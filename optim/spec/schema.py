"""The JSON Schema of a study file, for editors that complete and check it: made of the same models that read it."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

from engine.metrics.catalogue import METRICS
from engine.simulator.account import Account
from engine.strategies.base import builtin_names
from optim.spec.study import StudySpec

FILE = Path(__file__).with_name("study.schema.json")
_TABLES = ("study", "data", "strategy", "backtest", "instruments", "evaluation", "parallel", "validation", "tracking")
_INNER = {
    "data.format": "FormatSection",
    "data.features": "FeatureSection",
    "validation.null": "NullSection",
    "validation.walk_forward": "WalkForwardSection",
    "tracking.mlflow": "MLflowSection",
}
_NUMBER = {"type": "number"}
_LIMITS = {"gt": "exclusiveMinimum", "ge": "minimum", "le": "maximum"}
_TIME = {"type": "string", "pattern": r"^\d+(\.\d+)?\s*(s|m|h|d)$"}


def study_schema(described: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """The schema. described: a sentence for each table and key of docs/; keys it does not name have none."""
    made = StudySpec.model_json_schema()
    definitions = {name: _tidied(one) for name, one in made["$defs"].items()}
    tables = {name: _tidied(one) for name, one in made["properties"].items() if name in _TABLES}
    tables["backtest"] = {"type": "object", "additionalProperties": False, "properties": _rules()}
    targets = {name: definitions[table["$ref"].rpartition("/")[2]] for name, table in tables.items() if "$ref" in table}
    for name, target in {**targets, **{inner: definitions[kind] for inner, kind in _INNER.items()}}.items():
        for key, one in target.get("properties", {}).items():
            if (text := described.get((name, key))) is not None:
                whole = {"allOf": [one]} if "$ref" in one else one  # beside a $ref nothing is read
                target["properties"][key] = {**whole, "description": text}
    definitions["StudySection"]["required"].remove("pruner")  # it depends on the sampler
    names = definitions["StudySection"]["properties"]["objective"]["anyOf"][0]
    names["examples"] = list(METRICS)
    definitions["StrategySection"]["properties"]["name"]["examples"] = list(builtin_names())
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A study of optim",
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in made["required"] if name in _TABLES],
        "properties": tables,
        "definitions": definitions,
    }


def _tidied(node: Any) -> Any:
    """Without pydantic's titles and nulls, which TOML has not; times may be written with their unit."""
    if isinstance(node, list):
        return [_tidied(one) for one in node]
    if not isinstance(node, dict):
        return node.replace("#/$defs/", "#/definitions/") if isinstance(node, str) else node
    found = {key: _tidied(value) for key, value in node.items() if not (key == "title" and isinstance(value, str))}
    if "gt" in found or "ge" in found:  # of a field that is read by a function of ours first: seconds
        limits = {_LIMITS[key]: found.pop(key) for key in list(found) if key in _LIMITS}
        return {"anyOf": [{"type": found.pop("type"), **limits}, _TIME], **found}
    if found.get("default", 0) is None:
        del found["default"]
    if "anyOf" in found:
        found["anyOf"] = [one for one in found["anyOf"] if one != {"type": "null"}]
        if len(found["anyOf"]) == 1:
            return {**found.pop("anyOf")[0], **found}
    return found


def _rules() -> dict[str, Any]:
    """The account's rules, each with the comment behind it, and whether instruments share one account."""
    shared = {"type": "boolean", "default": False, "description": "all instruments share one account"}
    said = dict(re.findall(r"^    (\w+): .*?  # (.+)$", inspect.getsource(Account), re.MULTILINE))
    rules: dict[str, Any] = {"portfolio": shared}
    for name, declared in get_type_hints(Account).items():
        words = get_args(declared)
        kind = {"enum": list(words)} if words else {"type": "integer"} if declared is int else dict(_NUMBER)
        rules[name] = {**kind, "default": Account._field_defaults[name], "description": said[name]}
    return rules


def described_in(page: str) -> dict[tuple[str, str], str]:
    """What the tables of a page say of each key, without links and marks; `key of [a.b]` above a table names it."""
    found: dict[tuple[str, str], str] = {}
    table = ""
    for line in page.splitlines():
        if heading := re.match(r"#+ \[?([\w.]+)\]?|\| key of `\[([\w.]+?)(?:\.NAME)?\]`", line):
            table = heading[1] or heading[2]
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and cells[0].startswith("`"):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", cells[2]).replace("`", "").replace("\\|", "|")
            for key in re.findall(r"`(\w+)`", cells[0]):
                found.setdefault((table, key), text)
    return found


def written(folder: Path) -> str:
    """The file's text, made anew from the models and the tables of docs/."""
    described: dict[tuple[str, str], str] = {}
    for name in ("data.md", "study.md"):
        described |= described_in((folder / "docs" / name).read_text(encoding="utf-8"))
    return json.dumps(study_schema(described), indent=1) + "\n"
