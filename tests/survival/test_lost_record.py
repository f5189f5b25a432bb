"""The file of a record is deleted, replaced, cut or damaged: no trial is lost, and the message is true."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial

from optim.cli.parser import main
from optim.errors import RecordError
from optim.problem.plan import make_plan
from optim.record.guard import sole_writer
from optim.record.record import load_record, open_record
from optim.record.storages import open_storage
from optim.search.events import Listener
from optim.search.loop import Search
from optim.search.search import make_pool
from optim.spec.study import load_spec
from tests.studies import essence, run_here, write_study

Damage = Callable[[Path], object]
FOREIGN = b"somebody else's\n" * 3000


def replaced(path: Path) -> None:
    path.with_name("other").write_bytes(FOREIGN)
    path.with_name("other").replace(path)


def copied(path: Path) -> None:
    """As an editor saves a file: the same bytes, another file; what we wrote to the old one would be gone."""
    path.with_name("other").write_bytes(path.read_bytes())
    path.with_name("other").replace(path)


DAMAGE: dict[str, Damage] = {
    "deleted": Path.unlink,
    "replaced": replaced,
    "copied": copied,
    "emptied": lambda path: os.truncate(path, 0),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "written anew": lambda path: path.write_bytes(FOREIGN),
    "moved away": lambda path: path.rename(path.with_name("moved")),
}


def run_until_damaged(study: Path, damage: Damage, after: int) -> str:
    """Run a study and damage its record once `after` trials are in it; what the run then says."""
    plan = make_plan(load_spec(study))
    path = Path(plan.storage.removeprefix("sqlite:///"))
    told = 0

    def finished(trials: list[FrozenTrial]) -> None:
        nonlocal told
        before, told = told, told + len(trials)
        if before < after <= told:
            damage(path)

    with sole_writer(plan.storage, "s") as guard, make_pool(plan) as pool:
        record = open_record(plan.storage, "s", ["maximize"], plan.fingerprint(), {}, ["sharpe_ratio"])
        record.claim("a test", guard)
        search = Search(plan, record, pool, Listener(finished, lambda _: None, lambda: False))
        with pytest.raises(RecordError) as caught:
            (search.run(), record.trials())  # with the trials the summary begins
    return str(caught.value)


@pytest.mark.parametrize("after", [3, 24])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_lost_journal_is_rescued_and_resumed(damage: Damage, after: int, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    _, whole = run_here(write_study(tmp_path / "whole"))
    journal = tmp_path / "optuna.journal"
    after_damage: list[bytes | None] = []

    def damaged(path: Path) -> None:
        damage(path)
        after_damage.append(path.read_bytes() if path.exists() else None)

    said = run_until_damaged(write_study(tmp_path), damaged, after)
    rescued = tmp_path / "optuna.rescue.journal"
    assert str(rescued) in said
    assert "are safe" not in said
    assert (journal.read_bytes() if journal.exists() else None) == after_damage[0]  # nothing is written into it
    record = load_record(str(rescued), "s")
    assert record is not None
    kept = record.trials()
    assert f"All its {len(kept)} trials are in" in said
    assert len(kept) >= after
    assert essence(kept) == essence(whole[: len(kept)])
    _, resumed = run_here(write_study(tmp_path, study={"storage": rescued.name}))
    assert essence(resumed) == essence(whole)


@pytest.mark.parametrize("damage", ["deleted", "replaced", "copied", "moved away"])
def test_a_lost_sqlite_database_is_rescued_and_resumed(damage: str, tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    _, whole = run_here(write_study(tmp_path / "whole"))
    said = run_until_damaged(write_study(tmp_path, study={"storage": "sqlite:///optuna.db"}), DAMAGE[damage], 3)
    rescued = tmp_path / "optuna.rescue.journal"
    assert str(rescued) in said
    _, resumed = run_here(write_study(tmp_path, study={"storage": rescued.name}))
    assert essence(resumed) == essence(whole)


def test_an_earlier_rescue_is_not_written_over(tmp_path: Path) -> None:
    earlier = tmp_path / "optuna.rescue.journal"
    earlier.write_text("mine")
    assert "optuna.rescue-2.journal" in run_until_damaged(write_study(tmp_path), Path.unlink, 3)
    assert earlier.read_text() == "mine"


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b"\x00\x00\n",
        b'{"op_code":4,"worker_id"\n',
        b"{}\n",
        b"3\n",
        b'{"op_code":77,"worker_id":"x"}\n',
        b'{"op_code":4,"worker_id":"x","study_id":0}\n',
        b'{"op_code":2,"worker_id":"x"}\n',
    ],
)
def test_what_is_no_entry_is_named_by_file_and_line(
    line: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(tmp_path)
    run_here(study)
    journal = tmp_path / "optuna.journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:6], line, *lines[6:]]))
    before = journal.read_bytes()
    for command in (["run"], ["show"], ["list"], ["replay"], ["export", "-o", str(tmp_path / "x.csv")]):
        assert main([command[0], str(study), *command[1:]]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"error: the record {journal}: line 7 ("), said
        assert said.count("\n") == 1
        assert journal.read_bytes() == before
    journal.write_bytes(b"".join(lines))  # the line taken out, as the message says
    assert main(["show", str(study)]) == 0


def test_an_entry_that_another_process_spoils_while_the_study_runs_is_named(tmp_path: Path) -> None:
    def spoil(path: Path) -> None:
        with path.open("ab") as handle:
            handle.write(b"garbage\n" + json.dumps({"op_code": 77, "worker_id": "x"}).encode() + b"\n")

    said = run_until_damaged(write_study(tmp_path), spoil, 3)
    assert f"the record {tmp_path / 'optuna.journal'}: line " in said
    assert "'garbage'" in said


def test_a_rescued_study_of_several_objectives_keeps_its_directions_and_names(tmp_path: Path) -> None:
    from optim.record.rescue import keep, rescue

    storage = str(tmp_path / "a.journal")
    record = open_record(storage, "s", ["maximize", "minimize"], {"a": 1}, {}, ["one", "two"])
    record.append([optuna.trial.create_trial(values=[1.0, 2.0])])
    said = str(rescue(keep(record.study, open_storage(storage), Path(storage)), record.trials()))
    assert "a.rescue.journal" in said
    again = load_record(str(tmp_path / "a.rescue.journal"), "s")
    assert again is not None
    assert again.study.metric_names == ["one", "two"]
    assert (again.study.directions, again.spec) == (record.study.directions, {"a": 1})
    assert essence(again.trials()) == essence(record.trials())
