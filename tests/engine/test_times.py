"""How load_bars reads times: exactly as they were written, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.load import load_bars
from engine.errors import DataError


def table(times: object, **more: object) -> pd.DataFrame:
    return pd.DataFrame({"date": times, **more}).assign(open=1.0, high=2.0, low=0.5, close=1.0)


def read(times: object, **options: str) -> list[str]:
    return shown(load_bars(table(times), **options).timestamp)


def shown(stamps: np.ndarray) -> list[str]:
    """Without a fraction or a time of day that is zero."""
    texts = stamps.astype("datetime64[ns]").astype(str)
    return [text.rstrip("0").removesuffix(".").removesuffix("T00:00:00") if "." in text else text for text in texts]


READ = [
    (["20200131", "20200203"], ["2020-01-31", "2020-02-03"]),
    ([20200131, 20200203], ["2020-01-31", "2020-02-03"]),
    ([20200131.0, 20200203.0], ["2020-01-31", "2020-02-03"]),
    ([20200131093015, 20200131093016], ["2020-01-31T09:30:15", "2020-01-31T09:30:16"]),
    (["202001310931", "202001310932"], ["2020-01-31T09:31:00", "2020-01-31T09:32:00"]),
    (["20200131 093015", "20200131 093016"], ["2020-01-31T09:30:15", "2020-01-31T09:30:16"]),
    (["31/01/2020", "01/02/2020"], ["2020-01-31", "2020-02-01"]),
    (["01/31/2020", "02/01/2020"], ["2020-01-31", "2020-02-01"]),
    (["01/02/2020", "13/02/2020"], ["2020-02-01", "2020-02-13"]),
    (["01/01/2020", "02/02/2020"], ["2020-01-01", "2020-02-02"]),  # both readings are one
    (["1/2/2020 9:30:15 PM", "1/13/2020 12:30:15 AM"], ["2020-01-02T21:30:15", "2020-01-13T00:30:15"]),
    (["31.01.2020 09:31", "01.02.2020 09:32"], ["2020-01-31T09:31:00", "2020-02-01T09:32:00"]),
    (["2020.01.31", "2020.02.01"], ["2020-01-31", "2020-02-01"]),
    (["2020/1/5", "2020/1/16"], ["2020-01-05", "2020-01-16"]),
    (["Jan 31, 2020", "Feb 3, 2020"], ["2020-01-31", "2020-02-03"]),
    (["31-Jan-2020", "01-Feb-2020"], ["2020-01-31", "2020-02-01"]),
    (["1 May 2020", "1 June 2020"], ["2020-05-01", "2020-06-01"]),
    ([" 2020-01-31 ", "2020-02-01"], ["2020-01-31", "2020-02-01"]),
    (["2020-01", "2020-02"], ["2020-01-01", "2020-02-01"]),
    (["2020-01-31T09:30:15Z", "2020-01-31T11:30:15.5+01:00"], ["2020-01-31T09:30:15", "2020-01-31T10:30:15.5"]),
    (["2020-01-31 09:30:15 UTC", "2020-02-01 09:30:15 UTC"], ["2020-01-31T09:30:15", "2020-02-01T09:30:15"]),
    ([1580463015.5, 1580463016.25], ["2020-01-31T09:30:15.5", "2020-01-31T09:30:16.25"]),
    (["1580463015.123456789", "1580463016"], ["2020-01-31T09:30:15.123456789", "2020-01-31T09:30:16"]),
    ([1580463015000, 1580463015001], ["2020-01-31T09:30:15", "2020-01-31T09:30:15.001"]),
]


@pytest.mark.parametrize(("times", "expected"), READ)
def test_times_are_read_as_they_are_written(times: list[object], expected: list[str], tmp_path: Path) -> None:
    assert read(times) == expected
    table(times).to_csv(tmp_path / "a.csv", index=False)
    assert shown(load_bars(tmp_path / "a.csv").timestamp) == expected


REFUSED = [
    (["01/02/2020", "01/03/2020"], r"could be day first \(1 Feb 2020\) or month first \(2 Jan 2020\).*\"%d/%m/%Y\""),
    (["01/12/2020", "02/11/2020"], r"only '%m/%d/%Y' is in order"),
    (["13/01/2020", "01/14/2020"], "row 1: '13/01/2020' is day first, row 2: '01/14/2020' is month first"),
    ([20200131, 20200230], "row 2: '20200230' is no date of the form %Y%m%d"),
    ([2019, 2020], "row 1: 2019 is no full date: it looks like the year 2019"),
    ([201911, 201912], "it looks like the month 2019-11"),
    ([43831, 43832], "row 1: 43831 is no date: as a serial number of Excel it would be 2020-01-01"),
    ([1, 2], "as seconds since 1970 it would be 1970-01-01T00:00:01, before 1990"),
    ([-86400, 0], "-86400 is no number of seconds"),
    ([315532800, 315619200], "would be 1980-01-01T00:00:00, before 1990"),
    ([1580463015, 1580463016000], "row 2: 1580463016000 counts milliseconds since 1970, but row 1 counts seconds"),
    ([2020013109, 2020013110], "could be a date and hour .* or seconds since 1970"),
    (["31/01/20", "01/02/20"], "has a year of two digits and could be 31 Jan 2020 or 20 Jan 2031"),
    (["31-Jan-20", "01-Feb-20"], "give date_format, e.g. '%d-%b-%y'"),
    (["2020-01-31T09:30Z", "2020-01-31T10:30"], "row 2: .* only one of them has an offset"),
    (["2020-01-31", "31/01/2020"], "row 2: '31/01/2020' is no timestamp of the form %Y-%m-%d"),
    (["2020-01-31", "2020-02-30"], "row 2: '2020-02-30' is no timestamp"),
    (["2020-02-01", "2020-01-30", "2020-01-31"], "row 2: its timestamp is before that of the row before"),
    (["0001-01-01", "0001-01-02"], "outside the years 1678 to 2261"),
    ([True, False], "'True' is no timestamp"),
    ([1580463015.5, float("inf")], "is no timestamp"),
]


@pytest.mark.parametrize(("times", "reason"), REFUSED)
def test_what_could_be_read_in_two_ways_is_refused(times: list[object], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(times)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"date_format": "%d/%m"}, "date_format = '%d/%m': must have a year"),
        ({"date_format": "%d/%m/%Y"}, "row 1: '2020-01-31' does not fit date_format"),
        ({"timezone": "Mars"}, "timezone = 'Mars': no such time zone"),
        ({"start": "01/02/2020"}, "'01/02/2020' is no date; write it as"),
        ({"start": "2020-02-30"}, "'2020-02-30' is no date"),
        ({"end": "9999"}, "'9999' is outside the years"),
    ],
)
def test_bad_options_are_named(options: dict[str, str], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        read(["2020-01-31", "2020-02-01"], **options)


def test_a_format_decides_and_a_lost_zero_does_not_fit_it() -> None:
    doubtful = ["01/02/2020", "01/03/2020"]
    assert read(doubtful, date_format="%d/%m/%Y") == ["2020-02-01", "2020-03-01"]
    assert read(doubtful, date_format="%m/%d/%Y") == ["2020-01-02", "2020-01-03"]
    assert read(["31/01/20", "01/02/20"], date_format="%d/%m/%y") == ["2020-01-31", "2020-02-01"]
    with pytest.raises(DataError, match="'1022020' does not fit"):
        read([1022020, 2022020], date_format="%d%m%Y")
    with pytest.raises(DataError, match="does not apply"):
        read(pd.to_datetime(["2020-01-31", "2020-02-01"]), date_format="%d/%m/%Y")


@pytest.mark.parametrize(
    ("dates", "clocks", "expected"),
    [
        (["2020.01.31"] * 2, ["09:30:00", "09:31:00"], "2020-01-31T09:31:00"),
        (["20200131"] * 2, ["093000", "093100"], "2020-01-31T09:31:00"),
        ([20200131] * 2, [93000, 93100], "2020-01-31T09:31:00"),
        ([20200131, 20200203], [0, 0], "2020-02-03"),
        (["31/01/2020"] * 2, ["0930", "0931"], "2020-01-31T09:31:00"),
        (["01/31/2020"] * 2, ["9:30 AM", "1:31 PM"], "2020-01-31T13:31:00"),
        (pd.to_datetime(["2020-01-31"] * 2), ["09:30", "09:31"], "2020-01-31T09:31:00"),
    ],
)
def test_a_date_column_is_joined_with_a_time_column(dates: object, clocks: list[object], expected: str) -> None:
    assert shown(load_bars(table(dates, time=clocks)).timestamp)[1] == expected


@pytest.mark.parametrize("clocks", [[930, 931], ["930", "1000"], ["09:30", "noon"], [1580463015, 1580463016]])
def test_a_time_column_that_is_not_plain_is_refused(clocks: list[object]) -> None:
    with pytest.raises(DataError, match=r"row \d: time = "):
        load_bars(table([20200131, 20200131], time=clocks))


def test_exports_are_read_by_their_header(tmp_path: Path) -> None:
    rows = "2020.01.31{s}09:30:00{s}1{s}2{s}0.5{s}1{s}7\n2020.01.31{s}09:31:00{s}1{s}2{s}0.5{s}1{s}8\n"
    head = "<DATE>{s}<TIME>{s}<OPEN>{s}<HIGH>{s}<LOW>{s}<CLOSE>{s}<VOLUME>\n"
    for separator in ",;\t":
        (tmp_path / "a.csv").write_text("\ufeff" + (head + rows).format(s=separator), encoding="utf-8")
        bars = load_bars(tmp_path / "a.csv")
        assert shown(bars.timestamp) == ["2020-01-31T09:30:00", "2020-01-31T09:31:00"]
        assert bars.volume.tolist() == [7.0, 8.0]
    (tmp_path / "b.csv").write_text("Date;Open;High;Low;Close\n31.01.2020;1,5;2,5;0,5;1,5\n03.02.2020;1;2;0,5;1\n")
    assert load_bars(tmp_path / "b.csv").open.tolist() == [1.5, 1.0]


def test_naive_times_are_in_the_zone_and_the_clocks_change() -> None:
    berlin = {"timezone": "Europe/Berlin"}
    assert read(["2020-03-29 01:59", "2020-03-29 03:00"], **berlin) == ["2020-03-29T00:59:00", "2020-03-29T01:00:00"]
    with pytest.raises(DataError, match="row 2: 2020-03-29 02:30:00 does not exist in Europe/Berlin"):
        read(["2020-03-28 02:30", "2020-03-29 02:30"], **berlin)
    with pytest.raises(DataError, match="row 2: 2020-10-25 02:30:00 happens twice in Europe/Berlin"):
        read(["2020-10-24 02:30", "2020-10-25 02:30"], **berlin)
    assert read(["2020-10-25T02:30+02:00", "2020-10-25T02:30+01:00"], **berlin)[1] == "2020-10-25T01:30:00"


def test_a_year_or_a_month_means_all_of_it_in_the_zone() -> None:
    days = pd.date_range("2019-12-30", "2021-01-02").strftime("%Y-%m-%d").tolist()
    options = {"timezone": "America/New_York"}
    assert read(days, start="2020", end="2020", **options)[::365] == ["2020-01-01T05:00:00", "2020-12-31T05:00:00"]
    assert len(read(days, start="2020-02", end="2020-02", **options)) == 29
    assert len(read(days, start="2020-02-03", end="2020-02-05", **options)) == 3
    assert read(days, start="2020-02-03T05:00Z", end="2020-02-04T00:00", **options) == [
        "2020-02-03T05:00:00",
        "2020-02-04T05:00:00",
    ]


FORMATS = (
    "%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M", "%Y.%m.%d",
    "%Y%m%d", "%Y%m%d %H%M%S", "%Y%m%d%H%M%S", "%Y%m%d%H%M", "%Y%m%d%H", "%Y%m", "%Y", "%d/%m/%Y", "%m/%d/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M", "%m-%d-%Y", "%d/%m/%y", "%y-%m-%d", "%d-%b-%Y", "%b %d, %Y", "%d %B %Y %H:%M", "%d-%b-%y",
    "%m/%d/%Y %I:%M %p", "%I:%M %p %d/%m/%Y", "%Y-%m-%d %H:%M:%S%z", "%d/%m/%Y %H:%M %z", "%A, %d %B %Y", "%c", "%j %Y",
)  # fmt: skip
MOMENTS = st.lists(
    st.datetimes(datetime(1990, 1, 1), datetime(2100, 1, 1)).map(lambda t: t.replace(microsecond=0)),
    min_size=2, max_size=8,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(
    moments=st.one_of(
        MOMENTS,
        st.tuples(MOMENTS, st.sampled_from([60, 3600, 86400])).map(
            lambda drawn: [drawn[0][0] + timedelta(seconds=drawn[1]) * i for i in range(8)]
        ),
    ),
    form=st.sampled_from(FORMATS),
    offset=st.sampled_from([0, 60, -300, 330]),
    as_numbers=st.booleans(),
)
def test_every_written_series_is_read_back_exactly_or_refused(
    moments: list[datetime], form: str, offset: int, as_numbers: bool
) -> None:
    zoned = [moment.replace(tzinfo=UTC) for moment in moments]
    if "%z" in form:
        written = [moment.astimezone(timezone(timedelta(minutes=offset))).strftime(form) for moment in zoned]
    else:
        written = [moment.strftime(form) for moment in moments]
    numbers = as_numbers and all(text.isdigit() for text in written)
    meant = [_kept(moment, form) for moment in zoned]
    try:
        bars = load_bars(table([int(text) for text in written] if numbers else written))
    except DataError:
        return
    as_written = [int(moment.timestamp()) * 10**9 for moment in meant]
    assert bars.timestamp.tolist() in (as_written, as_written[::-1])
    assert (np.diff(bars.timestamp) > 0).all()


def _kept(moment: datetime, form: str) -> datetime:
    """What a format keeps of a time."""
    kept = moment
    if "%S" not in form and "%c" not in form:
        kept = kept.replace(second=0)
    if "%M" not in form and "%c" not in form:
        kept = kept.replace(minute=0)
    if "%H" not in form and "%I" not in form and "%c" not in form:
        kept = kept.replace(hour=0)
    return kept


@settings(max_examples=200, deadline=None)
@given(
    start=st.integers(631_152_000_000, 4_102_444_800_000),
    steps=st.lists(st.integers(1, 10**9), min_size=1, max_size=6),
    digits=st.sampled_from([0, 3, 6, 9]),
    kind=st.sampled_from([int, str, float]),
)
def test_numbers_since_1970_are_read_exactly_or_refused(start: int, steps: list[int], digits: int, kind: type) -> None:
    unit = 10 ** (9 - digits)
    ticks = np.cumsum([start * 10**digits // 1000, *steps]).tolist()
    try:
        bars = load_bars(table([kind(tick) for tick in ticks]))
    except DataError:
        return
    expected = [int(float(tick)) * unit if kind is float else tick * unit for tick in ticks]
    assert np.abs(bars.timestamp - np.array(expected)).max() <= (256 if kind is float else 0)


@pytest.mark.parametrize("form", ["%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%Y%m%d", "%d-%b-%Y", "%d.%m.%Y %H:%M"])
def test_a_year_of_days_is_read_in_every_plain_form(form: str) -> None:
    days = pd.date_range("2020-01-01", "2020-12-31", freq="B")
    assert load_bars(table(days.strftime(form))).timestamp.tolist() == days.as_unit("ns").asi8.tolist()
