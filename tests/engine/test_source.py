"""What a strategy's file imports is found beside it, is its own, and is part of the code that a result depends on."""

from __future__ import annotations

import os
import re
import sys
import types
import zipfile
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path

import pytest

from engine import load_bars
from engine.errors import StrategyError
from engine.strategies import source
from engine.strategies.base import Strategy, load_strategy
from engine.strategies.source import code_hashes
from tests.studies import IBM

MINE = "from beside_it import level\n\ndef mine(df, params):\n    return df.close * 0.0 + level\n"


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("beside_it", "package", "package.beside_it", "space", "space.package", "space.package.beside_it"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def written(folder: Path, level: float, text: str = MINE) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "mine.py").write_text(text)
    (folder / "beside_it.py").write_text(f"level = {level}\n")
    return folder


def level_of(folder: Path) -> float:
    strategy: Strategy = load_strategy("mine.py:mine", folder)
    (level,) = set(strategy.target(load_bars(IBM), strategy.bind({})))
    return float(level)


def own_files(folder: Path) -> set[str]:
    return {Path(name).name for name in code_hashes([folder / "mine.py"]) if name != "engine"}


def test_what_stands_beside_is_part_of_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    folder = written(tmp_path / "a", 0.25)
    assert level_of(folder) == 0.25
    assert own_files(folder) == {"mine.py", "beside_it.py"}
    before = code_hashes([folder / "mine.py"])
    written(folder, 0.125)
    assert level_of(folder) == 0.125
    assert code_hashes([folder / "mine.py"]) != before


def test_files_of_the_same_name_are_each_their_neighbours(tmp_path: Path) -> None:
    one, other = written(tmp_path / "a", 0.25), written(tmp_path / "b", 0.75)
    for _ in range(2):
        assert (level_of(one), level_of(other)) == (0.25, 0.75)
        for folder in (one, other):
            level_of(folder)
            assert str(folder / "beside_it.py") in code_hashes([folder / "mine.py"])
    written(one, 0.5)
    assert (level_of(other), level_of(one)) == (0.75, 0.5)


def test_so_are_modules_of_packages(tmp_path: Path) -> None:
    folders = []
    for name, level in (("a", 0.25), ("b", 0.75)):
        folder = written(tmp_path / name, 0.0, MINE.replace("beside_it", "package.beside_it"))
        written(folder / "package", level).joinpath("__init__.py").touch()
        folders.append(folder)
    assert [level_of(folder) for folder in (*folders, *folders)] == [0.25, 0.75, 0.25, 0.75]


def test_a_file_that_comes_later_is_found(tmp_path: Path) -> None:
    lenient = MINE.replace("from beside_it", "try:\n    from beside_it").replace(
        "level\n\n", "level\nexcept ImportError:\n    level = 0.0\n\n"
    )
    folder = written(tmp_path / "a", 0.25, lenient)
    (folder / "beside_it.py").unlink()
    assert level_of(folder) == 0.0
    assert own_files(folder) == {"mine.py"}
    written(folder, 0.25, lenient)
    assert level_of(folder) == 0.25
    assert own_files(folder) == {"mine.py", "beside_it.py"}


def test_so_is_one_that_comes_into_a_package(tmp_path: Path) -> None:
    text = MINE.replace(
        "from beside_it import level\n",
        "try:\n    from package.beside_it import level\nexcept ImportError:\n    level = 0.0\n",
    )
    folder = written(tmp_path / "a", 0.5, text)
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    assert level_of(folder) == 0.0
    assert own_files(folder) == {"mine.py", "__init__.py"}
    (folder / "package" / "beside_it.py").write_text("level = 0.25\n")
    assert level_of(folder) == 0.25
    assert own_files(folder) == {"mine.py", "__init__.py", "beside_it.py"}
    before = code_hashes([folder / "mine.py"])
    (folder / "package" / "beside_it.py").write_text("level = 0.125\n")
    assert level_of(folder) == 0.125
    assert code_hashes([folder / "mine.py"]) != before


def as_library(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder, made, as one of those that packages are installed into."""
    folder.mkdir()
    monkeypatch.setattr(source, "_INSTALLED", (*source._INSTALLED, str(folder)))
    monkeypatch.setattr(source, "_LIBRARIES", (*source._LIBRARIES, folder))
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    return folder


@pytest.mark.parametrize("kind", ["a file", "a package", "what is in a package", "a part of a namespace"])
def test_a_link_among_the_libraries_is_what_it_leads_to(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, own, folder = as_library(tmp_path / "library", monkeypatch), tmp_path / "own", tmp_path / "a"
    (own / "package").mkdir(parents=True)
    folder.mkdir()
    links = {
        "a file": ["beside_it.py"],
        "a package": ["package"],
        "what is in a package": ["package/__init__.py", "package/beside_it.py"],
        "a part of a namespace": ["space/package"],
    }[kind]
    for link in links:
        (library / link).parent.mkdir(exist_ok=True)
        (library / link).symlink_to(own / link.removeprefix("space/"))
    module = links[-1].removesuffix(".py").removesuffix("/beside_it").replace("/", ".")
    module += "" if module == "beside_it" else ".beside_it"
    for level in (0.25, 0.5):
        for path in (own / "beside_it.py", own / "package" / "beside_it.py", own / "package" / "__init__.py"):
            path.write_text(f"level = {level}\n")
        (folder / "mine.py").write_text(MINE.replace("beside_it", module))
        assert level_of(folder) == level
        assert "beside_it.py" in own_files(folder)


def test_a_file_that_comes_while_the_clock_stands_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = tmp_path / "beside"
    beside.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(beside)])
    folder = written(tmp_path / "a", 0.25, "def mine(df, params):\n    return df.close * 0.0\n")
    code_hashes([folder / "mine.py"])
    when = beside.stat().st_mtime_ns
    (beside / "package.py").write_text("level = 0.25\n")
    os.utime(beside, ns=(when, when))
    (folder / "mine.py").write_text(MINE.replace("beside_it", "package"))
    assert own_files(folder) == {"mine.py", "package.py"}


def test_what_is_inside_an_archive_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = tmp_path / "own.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("package/__init__.py", "level = 0.25\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(archive)])
    folder = written(tmp_path / "a", 0.25, MINE.replace("beside_it", "package"))
    with pytest.raises(StrategyError, match=r"package is inside .*own\.zip.*: unpack it"):
        load_strategy("mine.py:mine", folder)


def test_no_library_is_hidden(tmp_path: Path) -> None:
    folder = written(tmp_path / "a", 0.25)
    (folder / "colorsys.py").write_text("raise RuntimeError\n")
    sys.modules.pop("colorsys", None)
    assert level_of(folder) == 0.25
    import colorsys

    assert Path(colorsys.__file__).parent != folder


@pytest.mark.parametrize("name", ["beside_it", "statistics", "colorsys", "time", "numpy"])
def test_what_could_be_two_files_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of the folder where a command or a script is begun, Python's own, a library's: none is guessed."""
    folder, elsewhere = tmp_path / "a", tmp_path / "scripts"
    written(folder, 0.25, MINE.replace("beside_it", name))
    (folder / "beside_it.py").rename(folder / f"{name}.py")
    if name == "beside_it":
        written(elsewhere, 0.75)
        monkeypatch.setattr(sys, "path", [str(elsewhere), *sys.path])
    said = f"mine.py imports {name}: {folder / name}.py stands beside it, but Python takes "
    with pytest.raises(StrategyError, match=re.escape(said)):
        load_strategy("mine.py:mine", folder)


def test_the_file_that_imports_it_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path / "a", 0.25)
    (folder / "beside_it.py").write_text("import colorsys\n\nlevel = 0.25\n")
    (folder / "colorsys.py").touch()
    with pytest.raises(StrategyError, match=r"^beside_it\.py imports colorsys: "):
        load_strategy("mine.py:mine", folder)


def test_the_engine_is_the_one_that_runs(tmp_path: Path) -> None:
    """In the folder of a copy of the sources, say."""
    folder = written(tmp_path / "a", 0.25, "import engine\n" + MINE)
    (folder / "engine").mkdir()
    (folder / "engine" / "__init__.py").write_text("raise RuntimeError\n")
    assert level_of(folder) == 0.25


def test_a_module_that_a_script_has_imported_is_not_taken_for_a_neighbour(tmp_path: Path) -> None:
    folder = written(tmp_path / "a", 0.25)
    other = types.ModuleType("beside_it")
    other.__file__ = str(tmp_path / "scripts" / "beside_it.py")
    sys.modules["beside_it"] = other
    with pytest.raises(StrategyError, match=r"but Python takes .*scripts.beside_it\.py; rename one of them"):
        load_strategy("mine.py:mine", folder)


def test_an_edit_of_the_same_second_and_size_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python compares bytecode with a file by size and whole seconds."""
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    folder = written(tmp_path / "a", 0.25, MINE.replace("+ level", "+ level * 1"))
    for name in ("mine.py", "beside_it.py"):
        os.utime(folder / name, (1e9, 1e9))
    assert level_of(folder) == 0.25
    written(folder, 0.75, MINE.replace("+ level", "- level * 1"))
    for name in ("mine.py", "beside_it.py"):
        os.utime(folder / name, (1e9, 1e9))
    assert level_of(folder) == -0.75


def test_a_file_of_another_kind_is_no_strategy(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text(MINE)
    with pytest.raises(StrategyError, match=r"notes\.txt is no Python file"):
        load_strategy("notes.txt:mine", tmp_path)


class WithoutQuantStats:
    """Python's finder where QuantStats, which the engine imports if it is there, is not installed."""

    @staticmethod
    def find_spec(name: str, places: list[str] | None = None) -> ModuleSpec | None:
        if name == "quantstats":
            places = [place for place in sys.path if "site-packages" not in place]
        return PathFinder.find_spec(name, places)


def test_what_the_engine_imports_may_stand_beside_one_file_and_come_and_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source, "PathFinder", WithoutQuantStats)
    folders = [written(tmp_path / name, 0.25, f"from engine import sma\n{MINE}") for name in ("a", "b", "c")]
    beside = folders[0] / "quantstats.py"
    for folder in folders:
        assert level_of(folder) == 0.25
        assert str(beside) not in code_hashes([folder / "mine.py"])
    beside.write_text("x = 1\n")
    assert level_of(folders[0]) == 0.25
    before = code_hashes([folders[0] / "mine.py"])
    assert str(beside) in before
    beside.write_text("x = 2\n")
    assert code_hashes([folders[0] / "mine.py"]) != before
    beside.unlink()
    for folder in folders:
        assert level_of(folder) == 0.25
        assert str(beside) not in code_hashes([folder / "mine.py"])


def test_an_engine_that_is_edited_meanwhile_is_hashed_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "engine"
    inside.mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setattr(source, "ENGINE", inside)
    monkeypatch.setattr(source, "_INSIDE", f"{inside}{os.sep}")
    (inside / "__init__.py").touch()
    (inside / "tool.py").write_text("from engine.early import level\n")
    (inside / "early.py").write_text("level = 0.25\n")
    folder = written(tmp_path / "a", 0.25, f"from engine.tool import level as other\n{MINE}")
    hashes = [code_hashes([folder / "mine.py"])["engine"]]
    (inside / "early.py").rename(inside / "later.py")
    (inside / "tool.py").write_text("from engine.later import level\n")
    hashes.append(code_hashes([folder / "mine.py"])["engine"])
    (inside / "later.py").write_text("level = 0.5\n")
    hashes.append(code_hashes([folder / "mine.py"])["engine"])
    assert len(set(hashes)) == 3


def test_an_engine_that_is_found_later_is_hashed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = written(tmp_path / "a", 0.25, f"from engine import sma\n{MINE}")
    whole = code_hashes([folder / "mine.py"])
    source._imported_inside.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "path", [place for place in sys.path if not (Path(place or ".") / "engine").is_dir()])
        patch.setattr(sys, "meta_path", [PathFinder])
        code_hashes([folder / "mine.py"])
    assert code_hashes([folder / "mine.py"]) == whole
