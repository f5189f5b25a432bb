"""An error about a searched parameter names the file in which it is searched."""

from __future__ import annotations

from pathlib import Path

import pytest

from optim.errors import SpecError
from optim.problem.plan import make_plan
from optim.spec.study import load_spec
from tests.studies import write_study

FAST = "[parameters.fast_window]\ntype = 'int'\nlow = 5\nhigh = 9\n"
SLOW = "[parameters.slow_window]\ntype = 'int'\nlow = 10\nhigh = 20\n"


def refused(folder: Path, space: str, **changes: object) -> str:
    (folder / "space.toml").write_text(space)
    strategy = {"search_space": "space.toml", **changes}
    with pytest.raises(SpecError) as caught:
        make_plan(load_spec(write_study(folder, strategy=strategy)))
    return str(caught.value)


@pytest.mark.parametrize(
    ("space", "said"),
    [
        (FAST.replace("fast", "fats"), " [parameters.fats_window]: strategy 'ma_crossover' has no parameter"),
        (FAST + SLOW.replace("slow_window", "fee_bpss"), " [parameters.fee_bpss]: strategy 'ma_crossover' has no"),
        (FAST.replace("5", "5.5").replace("int", "float") + SLOW, " [parameters.fast_window] reaches 5.5: must be a"),
        (FAST + SLOW + SLOW.replace("slow_window", "stop_pct").replace("20", "200"), " [parameters.stop_pct] reaches"),
        ("constraints = ['fast_window > 90']\n" + FAST + SLOW, ": the constraints of the search space leave no point"),
    ],
)
def test_what_is_searched_is_named_with_its_file(space: str, said: str, tmp_path: Path) -> None:
    assert refused(tmp_path, space).startswith(f"{tmp_path / 'space.toml'}{said}")


def test_what_is_fixed_or_missing_is_named_with_the_study(tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    told = refused(tmp_path, FAST)
    assert told.startswith(f"{study}: parameter 'slow_window' of strategy 'ma_crossover' has no value; add it to")
    assert f"({tmp_path / 'space.toml'}) or to [strategy] fixed" in told
    told = refused(tmp_path, FAST + SLOW, fixed={"ma_typ": "sma"})
    assert told.startswith(f"{study}: [strategy.fixed] ma_typ: strategy 'ma_crossover' has no parameter 'ma_typ'")
