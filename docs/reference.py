"""Writes docs/reference.md, every key of a study file, from its JSON Schema: `python docs/reference.py`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PAGE = HERE / "reference.md"
SCHEMA = HERE.parent / "optim" / "spec" / "study.schema.json"
HEAD = """# Every key of a study file

Made from the schema by which editors check a study (`optim schema`). What the keys do together: [study.md](study.md);
the exact arithmetic of the rules under `[backtest]`: [engine.md](engine.md).
"""


def page(schema: dict[str, Any]) -> str:
    """The page's text."""
    return HEAD + "".join(_tables(schema))


def _tables(schema: dict[str, Any]) -> Iterator[str]:
    for name, table in schema["properties"].items():
        found, heading = _target(table, schema), f"[{name}]"
        if "properties" not in found:  # one table for each name of the user's
            heading, found = f"[{name}.NAME]", {"properties": {}}
        yield from _table(heading, found, schema)


def _table(heading: str, table: dict[str, Any], schema: dict[str, Any]) -> Iterator[str]:
    """A section, then the tables within it."""
    required = table.get("required", [])
    within: list[tuple[str, dict[str, Any]]] = []
    rows = ["| key | type | default | |", "|---|---|---|---|"]
    for key, one in table["properties"].items():
        target = _target(one, schema)
        if "properties" in target and target.get("additionalProperties") is False and not heading.endswith(".NAME]"):
            within.append((f"{heading[:-1]}.{key}]", target))
        elif isinstance(inner := target.get("additionalProperties"), dict) and "$ref" in inner:
            within.append((f"{heading[:-1]}.{key}.NAME]", _target(inner, schema)))
        default = "required" if key in required else _value(_default(one))
        text = one.get("description", "").replace("|", "\\|")
        rows.append(f"| `{key}` | {_type(one, schema)} | {default} | {text} |")
    if len(rows) == 2:
        rows = ["Any rule of `[backtest]`, for the instrument of this name: [study.md](study.md#instruments)."]
    yield f"\n## {heading}\n" + "\n".join(rows) + "\n"
    for name, inner in within:
        yield from _table(name, inner, schema)


def _target(one: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference stands for, or the thing itself."""
    one = one["allOf"][0] if "allOf" in one else one
    return schema["definitions"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one


def _default(one: dict[str, Any]) -> Any:
    return one.get("default", one["allOf"][0].get("default") if "allOf" in one else None)


def _value(value: Any) -> str:
    """A default as TOML has it; tables and lists without content, and what is absent, are not worth showing."""
    if value in (None, {}, [], "") or (isinstance(value, dict) and "name" not in value):
        return ""
    if isinstance(value, dict):
        return f"`{{ name = {json.dumps(value['name'])} }}`"
    return f"`{json.dumps(value)}`"


def _type(one: dict[str, Any], schema: dict[str, Any]) -> str:
    target = _target(one, schema)
    if "anyOf" in target:
        return " or ".join(dict.fromkeys(_type(part, schema) for part in target["anyOf"]))
    if "enum" in target:
        return ", ".join(f"`{json.dumps(word)}`" for word in target["enum"])
    if "const" in target:
        return f"`{json.dumps(target['const'])}`"
    if target.get("type") == "array":
        return f"list of {_type(target['items'], schema)}" if target.get("items") else "list"
    limits = [f"{sign} {target[key]}" for key, sign in _LIMITS.items() if key in target]
    names = {"string": "text", "integer": "whole number", "object": "table"}
    return " ".join([names.get(target["type"], target["type"]), *limits])


_LIMITS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}

if __name__ == "__main__":
    PAGE.write_text(page(json.loads(SCHEMA.read_text(encoding="utf-8"))), encoding="utf-8")
