"""A strategy that is loaded again runs what its files say now, however they import one another."""

from __future__ import annotations

import json
import re
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import StrategyError
from engine.strategies import neighbours
from engine.strategies.base import load_strategy
from engine.strategies.neighbours import forget_edited

NAMES = ("near_one", "near_two", "near_pack")
FILES = ("near_one.py", "near_two.py", "near_pack/deep.py", "near_pack/deeper.py", "near_pack/low/end.py")
READS = (  # what a file imports, and what it then calls the level of another
    ("import near_one", "near_one.level", "near_one.py"),
    ("from near_one import level as a", "a", "near_one.py"),
    ("import near_two", "near_two.other()", "near_one.py"),
    ("from near_two import other as b", "b()", "near_one.py"),
    ("from near_pack import deep", "deep.level", "near_pack/deep.py"),
    ("import near_pack.deep", "near_pack.deep.level", "near_pack/deep.py"),
    ("from near_pack.deep import level as c", "c", "near_pack/deep.py"),
    ("from near_pack.deeper import deep as d", "d.level", "near_pack/deep.py"),
    ("from near_pack.low.end import level as e", "e", "near_pack/low/end.py"),
    ("import near_pack.low.end", "near_pack.low.end.level", "near_pack/low/end.py"),
    ("from near_pack.low import end", "end.level", "near_pack/low/end.py"),
    ("from near_pack import deeper", "deeper.end.level", "near_pack/low/end.py"),
)
IMPORTS = {
    "near_two.py": "from near_one import level as there\ndef other():\n    return there\n",
    "near_pack/deeper.py": "from . import deep\nfrom .low import end\n",
}


@contextmanager
def as_it_was() -> Iterator[None]:
    """No folder of an earlier test is looked through, and none of this one later."""
    path = [*sys.path]
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [one for one in sys.modules if one.startswith(NAMES)]:
            del sys.modules[name]


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    with as_it_was():
        yield


class Folder:
    """A strategy and its neighbours, and what they say now."""

    def __init__(self, place: Path, reads: list[int], packages: bool) -> None:
        self.place, self.reads = place, [READS[i] for i in reads]
        self.levels: dict[str, int] = {}
        for file in FILES:
            (place / file).parent.mkdir(parents=True, exist_ok=True)
            self.write(file, 0)
        for package in ("near_pack", "near_pack/low") if packages else ():
            (place / package / "__init__.py").touch()
        imports, values = "\n".join(read[0] for read in self.reads), ", ".join(read[1] for read in self.reads)
        (place / "mine.py").write_text(f"{imports}\n\ndef mine(df, params):\n    return [{values}]\n")

    def write(self, file: str, level: int) -> None:
        self.levels[file] = level
        (self.place / file).write_text(f"{IMPORTS.get(file, '')}level = {level}\n")

    def check(self) -> None:
        found = load_strategy("mine.py:mine", self.place).signal(None, {})
        assert found == [self.levels[file] for *_, file in self.reads]


reads = st.lists(st.integers(0, len(READS) - 1), min_size=1, max_size=4, unique=True)
edits = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(FILES), st.integers(0, 9)), max_size=6)


@given(made=st.tuples(reads, reads), packages=st.booleans(), edits=edits, data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_run_is_what_the_files_say(
    made: tuple[list[int], ...],
    packages: bool,
    edits: list[tuple[int, str, int]],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Two folders whose modules have the same names, in turns; the two are packages, or neither is."""
    both = [Folder(tmp_path_factory.mktemp("near"), reads, packages) for reads in made]
    with as_it_was():
        both[0].check()
        for which, file, level in edits:
            both[which].write(file, level)
            both[data.draw(st.integers(0, 1))].check()
        for folder in (*both, *both):
            folder.check()


def test_a_name_that_was_a_librarys_may_be_a_neighbours(tmp_path: Path) -> None:
    taken = types.ModuleType("near_one")
    taken.__file__ = json.__file__
    sys.modules["near_one"] = taken
    Folder(tmp_path / "other", [4], packages=True).check()
    del sys.modules["near_one"]
    mine = Folder(tmp_path / "mine", [0], packages=True)
    mine.check()
    mine.write("near_one.py", 1)
    mine.check()


@pytest.mark.parametrize("first", [True, False])
def test_a_package_and_a_folder_of_the_same_name(first: bool, tmp_path: Path) -> None:
    """Python prefers a package to a folder that is none, wherever they are: the wrong one is not taken for it."""
    package, folder = Folder(tmp_path / "a", [4], packages=True), Folder(tmp_path / "b", [4], packages=False)
    folder.write("near_pack/deep.py", 1)
    for one in (folder, package) if first else (package,):
        one.check()
    folder.write("near_pack/deep.py", 2)
    said = f"mine.py imports near_pack: {folder.place / 'near_pack'} stands beside it, but Python takes "
    with pytest.raises(StrategyError, match=re.escape(said)):
        folder.check()


def test_what_a_script_has_imported_stays_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pickle looks a function up by its module's name."""
    folder = Folder(tmp_path, [0], packages=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    import mine  # type: ignore[import-not-found]

    folder.check()
    assert sys.modules["mine"] is mine
    folder.write("near_one.py", 3)
    folder.check()
    assert sys.modules["mine"] is mine
    monkeypatch.delitem(sys.modules, "mine")


def test_what_a_script_has_imported_and_nobody_has_edited_is_what_its_strategy_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the state that the script gave it, and classes that can be pickled."""
    folder = Folder(tmp_path, [0], packages=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    import near_one  # type: ignore[import-not-found]

    near_one.level = 7
    monkeypatch.setattr(neighbours, "_STARTED", time.time_ns() + 10**12)  # no file is younger than the process
    assert load_strategy("mine.py:mine", tmp_path).signal(None, {}) == [7]
    assert sys.modules["near_one"] is near_one
    folder.write("near_one.py", 3)
    folder.check()


def test_odd_modules_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lazy, odd = types.ModuleType("near_lazy"), types.ModuleType("near_odd")
    odd.__file__ = tmp_path / "near_odd.py"  # type: ignore[assignment]
    lazy.__getattr__ = lambda name: types.ModuleType(name)  # type: ignore[method-assign]
    folder = Folder(tmp_path, [4], packages=False)
    folder.check()
    for name, one in {"near_lazy": lazy, "near_odd": odd, "near_none": None, "near_object": object()}.items():
        monkeypatch.setitem(sys.modules, name, one)
    monkeypatch.setitem(sys.modules, "near_lazy.deep", sys.modules["near_pack.deep"])
    folder.write("near_pack/deep.py", 1)
    folder.check()
    assert sys.modules["near_lazy"] is lazy


def test_what_a_package_holds_besides_is_still_found_in_it(tmp_path: Path) -> None:
    """By a script that imports it where it needs it."""
    folder = Folder(tmp_path, [4], packages=True)
    (tmp_path / "near_pack" / "besides.py").write_text("level = 7\n")
    folder.check()

    def besides() -> object:
        import near_pack.besides  # type: ignore[import-not-found]

        return near_pack.besides.level

    assert besides() == 7
    folder.write("near_pack/deep.py", 1)
    folder.check()
    assert besides() == 7


@pytest.mark.parametrize("packages", [True, False])
@pytest.mark.parametrize("reads", range(len(READS)))
def test_an_edit_is_seen_through_every_kind_of_import(reads: int, packages: bool, tmp_path: Path) -> None:
    folder = Folder(tmp_path, [reads], packages)
    for level in (0, 1):
        folder.write(READS[reads][2], level)
        folder.check()


def test_a_file_that_another_one_imports_is_as_it_is_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it was loaded by itself in between: an objective that reads its strategy's file, say."""
    monkeypatch.delitem(sys.modules, "near_one", raising=False)
    folder = Folder(tmp_path, [1], packages=False)
    folder.check()
    folder.write("near_one.py", 5)
    forget_edited(tmp_path / "near_one.py")
    folder.check()
