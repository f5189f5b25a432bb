"""Bars are kept by content: what is recalled is what would be read, and nothing that is damaged is believed."""

from __future__ import annotations

import builtins
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data import kept, load
from engine.data.formats import Reading
from engine.data.load import read_bars

TEXT = (
    "Date;Eröffnung;Hoch;Tief;Schluss;Stücke;score\n"
    "02.01.2020;1,5;2,5;1,0;2,0;1.000;0,25\n"
    "03.01.2020;2,0;2,5;1,5;2,25;2.000;\n"
    "16.01.2020;2,25;3,0;2,0;2,5;3.000;-1,5\n"
    ";;;;;;\n"
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPTIM_CACHE_DIR", str(tmp_path / "cache"))
    path = tmp_path / "bars.csv"
    path.write_text(TEXT)
    return path


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on pandas cannot be imported, and nothing of it is called."""

    def refuse(name: str, *rest: Any) -> Any:
        assert name.split(".")[0] != "pandas", name
        return real(name, *rest)

    real = builtins.__import__
    monkeypatch.setattr(builtins, "__import__", refuse)


def assert_same(found: tuple[Any, Reading], wanted: tuple[Any, Reading]) -> None:
    assert type(found[0]) is type(wanted[0])
    for mine, theirs in zip(found[0], wanted[0], strict=True):
        assert mine.dtype == theirs.dtype
        assert not mine.flags.writeable
        np.testing.assert_array_equal(mine, theirs)
    assert found[1] == wanted[1]


def held(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "bars").iterdir())


def test_what_is_recalled_is_what_was_read(file: Path, request: pytest.FixtureRequest) -> None:
    first = read_bars(file)
    assert first[1].features == {"score": "score"}
    assert first[1].dropped == (4,)
    assert len(read_bars(file, end="2020-01-05")[0].close) == 2
    request.getfixturevalue("refusing")
    assert_same(read_bars(file), first)


def test_a_part_of_the_bars_is_cut_without_a_copy(file: Path) -> None:
    whole = read_bars(file)[0]
    part = load.between(whole, "2020-01-03", None, None)
    assert len(part.close) == 2
    for mine, of in zip(part, whole, strict=True):
        assert np.shares_memory(mine, of)
        assert mine.flags.c_contiguous
        assert not mine.flags.writeable


def test_another_content_or_another_way_to_read_it_is_read(file: Path, tmp_path: Path) -> None:
    read_bars(file)
    assert read_bars(file, timezone="Europe/Berlin")[0].timestamp[0] == read_bars(file)[0].timestamp[0] - 3600 * 10**9
    assert len(held(tmp_path)) == 2
    before = file.stat()
    file.write_text(TEXT.replace("2,5", "2,6"))
    assert file.stat().st_size == before.st_size
    assert read_bars(file)[0].high[0] == 2.6


DAMAGES = (
    lambda raw: b"\xff" * 8 + raw[8:],
    lambda raw: raw[:-1],
    lambda raw: raw[:20],
    lambda raw: b"",
    lambda raw: raw + b"0",
)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_read_again_and_mended(file: Path, tmp_path: Path, damage: Any) -> None:
    wanted = read_bars(file)
    (place,) = held(tmp_path)
    whole = place.read_bytes()
    place.write_bytes(damage(whole))
    assert_same(read_bars(file), wanted)
    assert place.read_bytes() == whole


def test_a_file_that_is_written_while_it_is_read_is_kept_under_no_content(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = load.read_table

    def late(source: Any, told: Any) -> Any:
        file.write_text(TEXT.replace("2,5", "2,6"))
        return real(source, told)

    monkeypatch.setattr(load, "read_table", late)
    assert read_bars(file)[0].high[0] == 2.6
    monkeypatch.undo()
    monkeypatch.setenv("OPTIM_CACHE_DIR", str(tmp_path / "cache"))
    file.write_text(TEXT)
    assert read_bars(file)[0].high[0] == 2.5


def test_a_folder_that_cannot_be_written_keeps_nothing(file: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder would be")
    assert read_bars(file)[0].close[0] == 2.0


def test_what_was_not_used_for_the_longest_time_makes_room(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_bars(file)
    (first,) = held(tmp_path)
    monkeypatch.setattr(kept, "MOST_BYTES", first.stat().st_size * 5 // 2)
    read_bars(file, timezone="Asia/Tokyo")
    assert len(held(tmp_path)) == 2
    times = {place: 10.0 + (place == first) for place in held(tmp_path)}
    for place, when in times.items():
        os.utime(place, (when, when))
    read_bars(file, timezone="Europe/Berlin")
    assert first in held(tmp_path)
    assert len(held(tmp_path)) == 2
    monkeypatch.setattr(kept, "MOST_BYTES", 100)
    read_bars(file, timezone="America/New_York")
    assert len(held(tmp_path)) == 2
