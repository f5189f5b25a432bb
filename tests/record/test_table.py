"""The trials table against Optuna's own and against pandas' CSV, whatever trials have."""

from __future__ import annotations

import io
import math
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

import optuna
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from optim.record import table
from optim.record.table import trials_frame, write_csv

START = datetime(2026, 1, 31, 12)
VALUES = st.sampled_from([1.0, 0.1, -0.0, 1e22, math.inf])
CHOICES = {"whole": (1, 2), "mixed": (1, "auto", True), "flag": (True, False), "text": ("a", "")}
ATTRS = {"number": VALUES, "word": st.sampled_from(["a", "b,c"]), "list": st.lists(VALUES, max_size=2)}


@st.composite
def trials(draw: st.DrawFn, n_values: int) -> list[FrozenTrial]:
    found = []
    for number in range(draw(st.integers(1, 6))):
        params = draw(st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in CHOICES.items()}))
        took = draw(st.timedeltas(timedelta(days=-2), timedelta(days=2)))
        state = draw(st.sampled_from([TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING]))
        found.append(
            FrozenTrial(
                number=number,
                state=state,
                value=None,
                values=[draw(VALUES) for _ in range(n_values)] if state == TrialState.COMPLETE else None,
                datetime_start=START,
                datetime_complete=START + took if state.is_finished() else None,
                params=params,
                distributions={name: CategoricalDistribution(CHOICES[name]) for name in params},
                user_attrs=draw(st.fixed_dictionaries({}, optional=ATTRS)),
                system_attrs={},
                intermediate_values={},
                trial_id=number,
            )
        )
    return found


@given(data=st.data(), n_values=st.sampled_from([1, 2]), at_once=st.sampled_from([1, 2, 500]))
def test_a_trials_table_is_optuna_own_in_another_order(data: st.DataObject, n_values: int, at_once: int) -> None:
    some = data.draw(trials(n_values))
    study = optuna.create_study(directions=["minimize"] * n_values)
    for trial in some:
        study.add_trial(trial)
    attrs: Any = ("number", "value", "datetime_start", "datetime_complete", "duration", "params", "user_attrs", "state")
    theirs = study.trials_dataframe(attrs)
    with patch.object(table, "_AT_ONCE", at_once):
        ours = trials_frame(data.draw(st.permutations(some)))
    assert [*ours] == [name for name in ours if name in theirs]
    assert {*theirs} - {*ours} <= {"value", "values_0", "values_1"}  # of no trial that has any
    for name in ours:
        mixed = name.startswith("params_") and len({type(v) for v in theirs[name].dropna()}) > 1
        if mixed:
            expected = [str(value) if value == value else None for value in theirs[name]]
            assert ours[name].dtype == object
            assert ours[name].tolist() == expected
        else:
            pd.testing.assert_series_equal(ours[name], theirs[name], check_exact=True, check_dtype=len(some) > 1)


@given(
    durations=st.lists(
        st.one_of(
            st.none(),
            st.timedeltas(timedelta(days=-9), timedelta(days=9)),
            st.sampled_from([timedelta(0), timedelta(days=1), timedelta(microseconds=1), timedelta(seconds=1)]),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_durations_are_written_as_pandas_writes_them(durations: list[timedelta | None]) -> None:
    frame = pd.DataFrame({"duration": pd.Series(durations, dtype="timedelta64[us]"), "n": range(len(durations))})
    ours = io.BytesIO()
    write_csv(frame, ours)
    ours.seek(0)
    pd.testing.assert_frame_equal(pd.read_csv(ours), pd.read_csv(io.StringIO(frame.to_csv(index=False))))


@pytest.mark.parametrize("n_values", [1, 2])
def test_the_columns_come_in_the_order_of_the_page(n_values: int) -> None:
    trial = optuna.trial.create_trial(values=[1.0] * n_values, user_attrs={"z": 1.0, "a": 2.0})
    values = ["value"] if n_values == 1 else ["values_0", "values_1"]
    expected = ["number", *values, "datetime_start", "datetime_complete", "duration", "user_attrs_z", "user_attrs_a"]
    assert [*trials_frame([trial])] == [*expected, "state"]


def test_a_table_of_no_trial_says_nothing_of_kinds() -> None:
    assert {str(kind) for kind in trials_frame([]).dtypes} == {"object"}


def test_a_choice_that_is_no_number_is_not_taken_for_one_that_is_missing() -> None:
    """Studies refuse such a choice; a trial of another tool's may have it."""
    choices = CategoricalDistribution((math.nan, "x"))
    some = [
        optuna.trial.create_trial(value=0.0, params={"c": choice}, distributions={"c": choices})
        for choice in choices.choices
    ]
    some.append(optuna.trial.create_trial(value=0.0))
    for number, trial in enumerate(some):
        trial.number = number
    assert trials_frame(some)["params_c"].tolist() == ["nan", "x", None]
