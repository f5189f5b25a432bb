"""The percentile pruners that collect what they need answer as Optuna's own do, whatever the history."""

from __future__ import annotations

import math
from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState

from optim.record.memory_storage import MemoryStorage
from optim.search import pruners

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


def test_a_study_that_is_another_one_is_read_anew() -> None:
    """One pruner may be given to two studies; as many trials have ended in both."""
    ours = pruners.MedianPruner(n_startup_trials=0)
    answers = []
    for level in (1.0, -1.0):
        study = optuna.create_study(direction="maximize")
        trial = study.ask()
        trial.report(level, 0)
        study.tell(trial, 0.0)
        asked = study.ask()
        asked.report(0.0, 0)
        answers.append(ours.prune(study, study.trials[asked.number]))
    assert answers == [True, False]


def test_what_has_no_cheaper_form_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pruners.cheaper(optuna.pruners.HyperbandPruner) is optuna.pruners.HyperbandPruner
    monkeypatch.setattr(optuna, "__version__", "5.1.0")
    assert pruners.cheaper(optuna.pruners.MedianPruner) is optuna.pruners.MedianPruner
