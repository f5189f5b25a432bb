"""The house: imports point down from room to room, no circle between files, and docs/architecture.md says the same."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = {  # from the ground up; each imports from itself and from those before it
    "engine": (
        "errors", "compiled", "data", "simulator", "metrics", "strategies", "evaluate", "report", "backtest", "groups",
        "sweeps", "check",
    ),
    "optim": (
        "errors", "spec", "workers", "record", "tracking", "validation", "problem", "search", "verdict", "report",
        "api", "serve", "cli", "__main__",
    ),
}  # fmt: skip
PRIVATE = {  # the places that may use what a library keeps to itself, each for one thing
    "optuna": ("optim/record/optuna_private.py", "optim/search/tpe"),
    "joblib": ("optim/workers/joblib_private.py",),
    "mlflow": ("optim/tracking/mlflow_private",),
}
PLACES = tuple(place for places in PRIVATE.values() for place in places)
INTERNAL = ("joblib.externals", "mlflow.store", "mlflow.utils", "mlflow.tracking.")  # without an underscore, yet inner
LOOSE = {"engine": 8, "optim": 4}  # modules beside the rooms, __init__, __main__ and errors among them


def files(package: str) -> list[Path]:
    return [path for path in sorted((ROOT / package).rglob("*.py")) if "search_spaces" not in path.parts]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(path: Path) -> Iterator[str]:
    """Every module of this project that a file names in an import, lazy and TYPE_CHECKING ones included."""
    modules = {module_of(other) for package in ROOMS for other in files(package)}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name for name in inner if name in modules] or [str(node.module)]
        yield from (name for name in names if name in modules and name not in ROOMS)


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


@pytest.mark.parametrize("package", ROOMS)
def test_every_room_has_its_place_and_its_purpose(package: str) -> None:
    rooms = {room_of(module_of(path)) for path in files(package)} - {"__init__"}
    assert rooms == set(ROOMS[package])
    for folder in {path.parent for path in files(package)}:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
        assert text, f"{folder} says what it is for"
    assert len(list((ROOT / package).glob("*.py"))) <= LOOSE[package]


@pytest.mark.parametrize("path", [path for package in ROOMS for path in files(package)], ids=module_of)
def test_imports_point_down(path: Path) -> None:
    module = module_of(path)
    package, room = module.split(".")[0], room_of(module)
    for name in imported(path):
        if name.split(".")[0] != package:
            assert package == "optim", f"{module} imports {name}: the engine knows nothing above it"
        elif room != "__init__":  # the public face names everything, lazily
            order = ROOMS[package]
            assert order.index(room_of(name)) <= order.index(room), f"{module} imports {name}, which is above it"


def test_no_circle_between_files() -> None:
    graph = {module_of(p): set(imported(p)) - {module_of(p)} for package in ROOMS for p in files(package)}
    graph = {module: names for module, names in graph.items() if "." in module}
    while leaves := [module for module, names in graph.items() if not names & graph.keys()]:
        for leaf in leaves:
            del graph[leaf]
    assert not graph, f"these import one another: {sorted(graph)}"


@pytest.mark.parametrize("path", [path for package in ROOMS for path in files(package)], ids=module_of)
def test_a_module_is_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300  # 250 is the aim


def inner_attributes(path: Path) -> Iterator[str]:
    """Attributes with an underscore that a file reads or sets, on whatever it may be."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.endswith("__"):
            yield node.attr


def defined(path: Path) -> Iterator[str]:
    """What a file's own classes call their own: functions, class variables, `self._name = ...`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def test_what_a_library_keeps_to_itself_is_used_in_one_place() -> None:
    named_tuples = {"_asdict", "_replace", "_fields", "_field_defaults", "_make"}  # public, for all their underscore
    everywhere = {"_exit"} | named_tuples  # os._exit
    for path in (path for package in ROOMS for path in files(package)):
        place = path.relative_to(ROOT).as_posix()
        if place.startswith(PLACES):
            continue
        own = set(defined(path)) | everywhere
        assert {name for name in inner_attributes(path) if name not in own} == set(), place
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                modules = [f"{node.module}.{alias.name}" for alias in node.names]
            for module in modules:
                if module.split(".")[0] in PRIVATE:
                    inner = any(part.startswith("_") for part in module.split(".")) or module.startswith(INTERNAL)
                    assert not inner, f"{place} uses {module}"


@pytest.mark.parametrize("place", PLACES)
def test_what_a_library_keeps_to_itself_is_used_behind_its_version(place: str) -> None:
    path = ROOT / place if place.endswith(".py") else ROOT / place / "__init__.py"
    text = path.read_text(encoding="utf-8")
    assert "KNOWN = (" in text
    assert ".__version__.startswith(KNOWN)" in text or "version().startswith(KNOWN)" in text


@pytest.mark.parametrize("package", ROOMS)
def test_the_page_on_architecture_has_the_rooms_in_their_order(package: str) -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = []
    for room in ROOMS[package]:
        folder = ROOT / package / room
        place, file = (
            (f"{room}/", folder / "__init__.py") if folder.is_dir() else (f"{room}.py", folder.with_suffix(".py"))
        )
        purpose = str(ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))).splitlines()[0]
        rows.append(f"| `{package}/{place}` | {purpose} |")
    assert "\n".join(rows) in page
