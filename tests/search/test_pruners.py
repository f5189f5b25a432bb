"""The percentile pruners that collect what they need answer as Optuna's own do, whatever the history."""

from __future__ import annotations

import math
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FrozenTrial, TrialState

from optim.record.memory_storage import MemoryStorage
from optim.search import pruners
from optim.search.samplers import make_pruner
from optim.spec.study import load_spec
from tests.studies import write_study

VALUES = st.one_of(st.floats(-3, 3), st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf]))
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "n_startup_trials": st.integers(0, 4),
        "n_warmup_steps": st.integers(0, 3),
        "interval_steps": st.integers(1, 3),
        "n_min_trials": st.integers(1, 4),
    },
)
# What happens to one of the running trials: it reports at a step, or ends. Two run at a time, so they may end in the
# other order, and one that ends late is put among those that have ended.
MOMENTS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.one_of(
            st.tuples(st.integers(0, 5), VALUES),
            st.sampled_from([TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL]),
        ),
    ),
    max_size=60,
)


@pytest.mark.filterwarnings("ignore:All-NaN")  # Optuna's own, before it answers NaN
@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("storage", [MemoryStorage, optuna.storages.InMemoryStorage])
@given(
    options=OPTIONS,
    percentile=st.one_of(st.none(), st.floats(0, 100)),
    direction=st.sampled_from(["minimize", "maximize"]),
    moments=MOMENTS,
)
def test_they_prune_what_optuna_prunes(
    storage: type, options: dict[str, int], percentile: float | None, direction: str, moments: list[tuple[int, Any]]
) -> None:
    kind: type = optuna.pruners.MedianPruner
    arguments: dict[str, Any] = dict(options)
    if percentile is not None:
        kind, arguments["percentile"] = optuna.pruners.PercentilePruner, percentile
    theirs, ours = kind(**arguments), pruners.cheaper(kind)(**arguments)
    assert type(ours) is not kind
    study = optuna.create_study(storage=storage(), direction=direction)
    running = [study.ask(), study.ask()]
    for which, moment in moments:
        if isinstance(moment, TrialState):
            study.tell(running[which], 0.0 if moment == TrialState.COMPLETE else None, state=moment)
            running[which] = study.ask()
        elif moment[0] not in study.trials[running[which].number].intermediate_values:
            running[which].report(moment[1], moment[0])
        for trial in running:
            frozen = study.trials[trial.number]
            assert ours.prune(study, frozen) == theirs.prune(study, frozen)


def reported(study: optuna.Study, value: float, *, step: int = 0) -> optuna.Trial:
    trial = study.ask()
    trial.report(value, step)
    return trial


def asking(study: optuna.Study, value: float) -> FrozenTrial:
    """A running trial that has reported this."""
    trial = reported(study, value)
    return study.trials[trial.number]


def prunes(pruner: optuna.pruners.BasePruner, study: optuna.Study, value: float) -> bool:
    """Whether a trial that has reported this would be pruned."""
    return bool(pruner.prune(study, asking(study, value)))


@pytest.mark.parametrize("sizes", [(1, 1), (3, 1), (1, 3)])
def test_a_study_that_is_another_one_is_read_anew(sizes: tuple[int, int]) -> None:
    """One pruner may be given to two studies, in turn; neither has a say in the other."""
    ours = pruners.MedianPruner(n_startup_trials=0)
    high, low = (optuna.create_study(storage=MemoryStorage(), direction="maximize") for _ in range(2))
    for study, level, size in ((high, 1.0, sizes[0]), (low, -1.0, sizes[1])):
        for _ in range(size):
            study.tell(reported(study, level), 0.0)
    for _ in range(2):
        assert [prunes(ours, high, 0.9), prunes(ours, low, -0.9)] == [True, False]


def test_a_trial_that_ends_after_later_ones_counts() -> None:
    """It stands before them: the last one is the same, and one more has ended."""
    ours = pruners.MedianPruner(n_startup_trials=0)
    study = optuna.create_study(storage=MemoryStorage(), direction="maximize")
    late = reported(study, 10.0)
    study.tell(reported(study, 0.0), 0.0)
    assert [prunes(ours, study, value) for value in (-0.1, 0.1)] == [True, False]
    study.tell(late, 0.0)
    assert [prunes(ours, study, value) for value in (4.9, 5.1)] == [True, False]


def test_steps_may_be_reported_in_any_order() -> None:
    """In intervals of 3 step 4 has asked for 5 already, wherever it stands; steps 0 and 1 have not."""
    study = optuna.create_study(direction="maximize")
    study.tell(reported(study, 1.0, step=5), 0.0)
    answers = []
    for steps in ((4, 0, 5), (0, 4, 5), (1, 0, 5), (0, 1, 5)):
        trial = study.ask()
        for step in steps:
            trial.report(0.0, step)
        frozen = study.trials[trial.number]
        arguments = {"n_startup_trials": 0, "interval_steps": 3}
        answers.append(pruners.MedianPruner(**arguments).prune(study, frozen))
        assert answers[-1] == optuna.pruners.MedianPruner(**arguments).prune(study, frozen)
    assert answers == [False, False, True, True]


@pytest.mark.filterwarnings("ignore:All-NaN")
def test_what_is_no_float_is_taken_for_one_as_optuna_does() -> None:
    odd: list[Any] = [True, None, 2**53 + 1, "1.5"]
    study = optuna.create_study(direction="maximize")
    for value in odd:
        study.add_trial(optuna.trial.create_trial(value=0.0, intermediate_values={0: value}))
    for value in (*odd, 1.4, 1.6, math.nan):
        trial = optuna.trial.create_trial(state=TrialState.RUNNING, intermediate_values={0: value})
        theirs = optuna.pruners.MedianPruner(n_startup_trials=0).prune(study, trial)
        assert pruners.MedianPruner(n_startup_trials=0).prune(study, trial) == theirs


def test_many_threads_may_ask_one_pruner() -> None:
    """What one of them has half collected is nobody else's business."""
    study = optuna.create_study(storage=MemoryStorage(), direction="maximize")
    for value in range(500):
        study.tell(reported(study, float(value)), 0.0)
    asked = [asking(study, value) for value in (249.0, 250.0)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(20):
            ours = pruners.MedianPruner()
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda i, one=ours: one.prune(study, asked[i % 2]), range(8)))
            assert answers == [True, False] * 4
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("name", ["MedianPruner", "PercentilePruner"])
def test_studies_have_them(name: str, tmp_path: Path) -> None:
    inner = {"name": name, **({"percentile": 30.0} if name == "PercentilePruner" else {})}
    plain = make_pruner(load_spec(write_study(tmp_path, study={"pruner": inner})), 3)
    assert type(plain) is getattr(pruners, name)
    (tmp_path / "patient").mkdir()
    patient = {"name": "PatientPruner", "wrapped_pruner": inner, "patience": 1}
    wrapped = make_pruner(load_spec(write_study(tmp_path / "patient", study={"pruner": patient})), 3)
    assert isinstance(wrapped, optuna.pruners.PatientPruner)
    assert getattr(pruners, name) in {type(value) for value in vars(wrapped).values()}


def test_what_has_no_cheaper_form_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pruners.cheaper(optuna.pruners.HyperbandPruner) is optuna.pruners.HyperbandPruner
    monkeypatch.setattr(optuna, "__version__", "5.1.0")
    assert pruners.cheaper(optuna.pruners.MedianPruner) is optuna.pruners.MedianPruner
