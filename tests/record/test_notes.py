"""What is kept beside the trials, however long it is, in every kind of storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from optim.record.notes import PART, parts_of, whole
from optim.record.record import Record, load_record, open_record
from tests import servers


@pytest.fixture(
    params=[
        "journal",
        "sqlite",
        pytest.param(servers.postgres_cluster, marks=pytest.mark.real("postgresql"), id="postgresql"),
        pytest.param(servers.mariadb_server, marks=pytest.mark.real("mariadb"), id="mariadb"),
    ]
)
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param in ("journal", "sqlite"):
        yield {"journal": str(tmp_path / "optuna.journal"), "sqlite": f"sqlite:///{tmp_path}/optuna.db"}[request.param]
        return
    with request.param() as uri:
        yield servers.create_database(uri, "notes")


def test_a_long_note_comes_back_whole_and_leaves_nothing_when_it_is_replaced(storage: str) -> None:
    record = open_record(storage, "s", ["maximize"], {}, {}, ["sharpe_ratio"])
    days = [index / 7 for index in range(10_000)]  # ten thousand daily returns: 200 KB, in two windows
    for value in ({"windows": [days, days]}, {"windows": [days, ["€" * 70_000]]}, {"windows": []}):
        record.note("long", value)
        again = load_record(storage, "s")
        assert isinstance(again, Record)
        assert again.noted("long") == value
    left = again.study._storage.get_study_system_attrs(again.number)
    assert {name for name, kept in left.items() if name.startswith("long") and kept != ""} == {"long"}


PLAIN = st.recursive(
    st.none() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values=st.lists(st.tuples(PLAIN, st.integers(0, 3 * PART)), min_size=1, max_size=4), cut=st.integers(0, 12))
def test_a_writer_that_dies_leaves_the_old_note_or_the_new_one(values: list[tuple[Any, int]], cut: int) -> None:
    attributes: dict[str, Any] = {}
    before: Any = None
    for value, length in values:
        note = [value, "x" * length]
        steps = list(parts_of("note", note, attributes.get("note")))
        attributes.update(steps[:cut])
        assert whole(attributes, "note") in (before, note)
        attributes.update(steps)
        assert whole(attributes, "note") == note
        assert all(len(str(kept)) <= PART + 1000 for kept in attributes.values())
        before = note
