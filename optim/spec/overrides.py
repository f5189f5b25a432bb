"""Keyword arguments of a study from Python, by the tables of a study file that they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optim.errors import SpecError
from optim.spec.expressions import suggestion
from optim.spec.sections import ParallelSection, StudySection
from optim.spec.study import StudySpec

_SECTIONS: dict[str, Any] = {"study": StudySection, "parallel": ParallelSection}


def tables_of(overrides: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """{section: {key: value}} of keyword arguments."""
    tables: dict[str, dict[str, Any]] = {}
    for name, value in overrides.items():
        section = next((s for s, m in _SECTIONS.items() if name in m.model_fields), None)
        if section is None and name in StudySpec.model_fields and isinstance(value, Mapping):
            tables.setdefault(name, {}).update(value)
            continue
        if section is None:
            known = [*StudySection.model_fields, *ParallelSection.model_fields]
            near = suggestion(name, known)
            said = (
                near if "did you mean" in near else f"; they have {', '.join(known)}; a key of another is in its table"
            )
            raise SpecError(f"{where}: no key {name!r} in [study] or [parallel]{said}")
        tables.setdefault(section, {})[name] = value
    return tables
