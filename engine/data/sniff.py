"""The beginning of a text file -> its layout: encoding, separator, where the header is, whose file it is."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from engine.data.formats import PRICES, Format, name_columns, plain_name
from engine.errors import DataError

HEAD = 1 << 16  # bytes that are looked at
_SEPARATORS = (",", ";", "\t", "|")
_SPOKEN = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar", " ": "a blank"}
_BANNER = 40  # lines among which the header is looked for
_NUMBER = re.compile(r"[-+]?[$€£]?\d[\d.,'’  ]*(?:[eE][-+]?\d+)?[KMB%]?|[-+]?\.\d+", re.ASCII)
LINE_END = re.compile(r"\r\n|\n|\r")
_EMPTY = ("", "null", "nan", "na", "n/a", "-")
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_OHLCV = (*PRICES, "volume")
_MORE = ("close_time", "quote_volume", "count", "taker_buy_volume", "taker_buy_quote_volume", "ignore")
BINANCE = ("open_time", *_OHLCV, *_MORE)
_EPOCH, _DAY, _TIME = r"\d{10,16}(?:\.\d+)?", r"\d{4}\.\d\d\.\d\d", r"\d\d:\d\d(?::\d\d)?"
_HEADERLESS = (  # name, separator, what the first fields look like, names of the columns
    ("Binance klines", ",", (_EPOCH,), BINANCE),
    ("Kraken", ",", (_EPOCH,), ("time", *_OHLCV, "trades")),
    ("Kraken", ",", (_EPOCH,), ("time", *PRICES, "vwap", "volume", "trades")),
    ("MetaTrader 4", ",", (_DAY, _TIME), ("date", "time", *_OHLCV)),
    ("HistData", ";", (r"\d{8} \d{6}",), ("timestamp", *_OHLCV)),
)
_HEADERS = (  # name, columns that only its files have
    ("MetaTrader 5", {"<date>", "<tickvol>", "<spread>"}),
    ("Stooq", {"<ticker>", "<per>", "<date>", "<open>"}),
    ("Dukascopy", {"gmt time"}),
    ("Dukascopy", {"local time"}),
    ("Binance klines", {"open_time", "close_time", "taker_buy_volume"}),
    ("Yahoo", {"date", "adj close", "close"}),
    ("CryptoDataDownload", {"unix", "date", "symbol"}),
    ("Investing.com", {"price", "vol.", "change %"}),
)


class Layout(NamedTuple):
    """How the lines of a text are read."""

    format: str = "CSV"
    separator: str = ","
    encoding: str = "utf-8"
    header: int | None = 0  # its line, counted from 0; None: there is none
    skip: tuple[int, ...] = ()  # lines left out, counted from 0
    names: tuple[str, ...] = ()  # of the columns, as the file or the layout has them
    trailing: bool = False  # every line of data ends with a separator

    @property
    def first_line(self) -> int:
        """The line of the first row of data, counted from 1."""
        before = [*self.skip, *(() if self.header is None else (self.header,))]
        return max(before, default=-1) + 2


def sniff(head: bytes, told: Format) -> Layout:
    """The layout of a text that begins so. DataError where it cannot be read without being told more."""
    encoding = told.encoding or _encoding(head)
    lines = _lines(head, encoding)
    if not lines:
        return Layout(encoding=encoding)
    if re.match(r"\s*<(?:!doctype|html)", lines[0], re.IGNORECASE):
        raise DataError("is a web page, no table: what was downloaded is an error or a login; download it again")
    separator = _separator(lines, told)
    rows = [_fields(line, separator) for line in lines]
    if not isinstance(told.columns, Mapping) and told.columns:
        return _named(rows, separator, encoding, tuple(told.columns))
    header = next((i for i, row in enumerate(rows[:_BANNER]) if _is_header(row, told)), None)
    if header is not None:
        return _with_header(rows, header, separator, encoding)
    first = next((i for i, row in enumerate(rows) if _numeric(row) >= len(PRICES)), None)
    if first is None or (_numeric(rows[0]) < 2 and any(_words(rows[0])) and first == 1):
        return Layout(separator=separator, encoding=encoding, names=tuple(rows[0]))  # a header in unknown words
    return _headerless(rows, first, separator, encoding)


def _encoding(head: bytes) -> str:
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if head[1::2].count(0) > len(head) // 4:
        return "utf-16-le"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            return "cp1252"
    return "utf-8"


def _lines(head: bytes, encoding: str) -> list[str]:
    """Whole lines; the last one only where it is all there is, or the file ends with it."""
    try:
        text = head.decode(encoding, errors="replace")
    except LookupError:
        raise DataError(f"format encoding = {encoding!r}: no such encoding; e.g. 'utf-8', 'cp1252'") from None
    lines = LINE_END.split(text)
    if len(head) >= HEAD and len(lines) > 1:
        lines.pop()
    while lines and not lines[-1].strip():
        lines.pop()
    return lines[:400]


def _fields(line: str, separator: str) -> list[str]:
    if separator == " ":
        return line.split()
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=separator), [])]
    except csv.Error:
        return line.split(separator)


def _numeric(row: Sequence[str]) -> int:
    return sum(_NUMBER.fullmatch(field) is not None for field in row)


def _words(row: Sequence[str]) -> list[str]:
    return [field for field in row if any(c.isalpha() for c in field) and field.lower() not in _EMPTY]


def _score(lines: Sequence[str], separator: str) -> int:
    """Numbers a line has, split so; the median of the last lines."""
    counts = sorted(_numeric(_fields(line, separator)) for line in lines[-20:])
    return counts[len(counts) // 2]


def _separator(lines: Sequence[str], told: Format) -> str:
    scores = {one: _score(lines, one) for one in _SEPARATORS}
    best = max(scores, key=lambda one: scores[one])
    given = told.separator
    if given is not None:
        if scores[best] >= len(PRICES) > _score(lines, given):
            raise DataError(
                f"format separator = {given!r}: the separator looks like {_SPOKEN[best]}; write {best!r}, or nothing"
            )
        return given
    if scores[best] < len(PRICES):
        if _score(lines, " ") >= len(PRICES) and _score(lines, " ") > 2 * scores[best]:
            raise DataError('the columns look separated by blanks: give [data.format] separator = " "')
        best = next((one for one in _SEPARATORS if sum(one in line for line in lines[:2]) == len(lines[:2])), ",")
    return best


def _is_header(row: Sequence[str], told: Format) -> bool:
    if isinstance(told.columns, Mapping) and told.columns:
        names = {plain_name(field) for field in row}
        return all(plain_name(theirs) in names for theirs in told.columns.values())
    if len(row) < len(PRICES) or _numeric(row):
        return False
    try:
        found = name_columns(row, Format())
    except DataError:  # a name that is there twice: said when the table is read
        return True
    return sum(price in found for price in PRICES) >= 3


def _with_header(rows: Sequence[list[str]], header: int, separator: str, encoding: str) -> Layout:
    names = rows[header]
    plain = {name.strip().lower() for name in names}
    skip, name = [*range(header)], next((name for name, known in _HEADERS if known <= plain), "CSV")
    after = [plain_name(row[0]) if row else "" for row in rows[header + 1 : header + 3]]
    if plain_name(names[0]) == "price" and after[:1] == ["ticker"]:
        tickers = sorted({field for field in rows[header + 1][1:] if field})
        if len(tickers) > 1:
            raise DataError(
                f"line {header + 2}: holds several instruments ({', '.join(tickers[:5])}); save one file for each"
            )
        skip += [header + 1] + [header + 2] * (after[1:] == ["date"])
        name, names = "yfinance", ["Date", *names[1:]]
    data = [row for row in rows[max([header, *skip]) + 1 :] if row][:20]
    trailing = bool(data) and all(len(row) == len(names) + 1 and not row[-1] for row in data)
    return Layout(name, separator, encoding, header, tuple(skip), tuple(names), trailing)


def _named(rows: Sequence[list[str]], separator: str, encoding: str, names: tuple[str, ...]) -> Layout:
    """The columns are told: the data begin with the first line that has numbers."""
    first = next((i for i, row in enumerate(rows) if _numeric(row) >= len(PRICES)), 0)
    if len(rows[first]) != len(names):
        raise DataError(
            f"format columns: {len(names)} names, but line {first + 1} has {len(rows[first])} fields: "
            f"{_cut(rows[first])}"
        )
    unique = tuple(name if name and name not in names[:i] else f"column {i + 1}" for i, name in enumerate(names))
    return Layout("CSV without a header", separator, encoding, None, tuple(range(first)), unique)


def _headerless(rows: Sequence[list[str]], first: int, separator: str, encoding: str) -> Layout:
    sample = [row for row in rows[first:] if len(row) == len(rows[first])]
    for name, between, begins, names in _HEADERLESS:
        fits = separator == between and len(names) == len(rows[first])
        if fits and all(re.fullmatch(look, row[i]) for row in sample for i, look in enumerate(begins)):
            at = [names.index(price) for price in PRICES]
            if all(_ordered([row[i] for i in at]) for row in sample):
                return Layout(name, separator, encoding, None, tuple(range(first)), names)
    raise DataError(
        f"no header row? line {first + 1} reads {_cut(rows[first])}: name its {len(rows[first])} columns, e.g. "
        '[data.format] columns = ["date", "open", "high", "low", "close", "volume"]'
    )


def _ordered(prices: Sequence[str]) -> bool:
    """Whether the second of open, high, low, close is the highest and the third the lowest."""
    try:
        open_, high, low, close = map(float, prices)
    except ValueError:
        return False
    return low <= min(open_, close) <= max(open_, close) <= high


def _cut(row: Sequence[str]) -> str:
    """A line as a message repeats it."""
    text = ",".join(row)
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
