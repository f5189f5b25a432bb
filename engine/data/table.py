"""A file or a frame -> a table with our names of columns, and what was understood. The only module that opens data."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.data.formats import (
    TIME_NAMES,
    UNNAMED,
    Format,
    Reading,
    check_columns,
    name_columns,
    plain_name,
    volume_note,
)
from engine.data.sniff import BINANCE, HEAD, LINE_END, Layout, sniff
from engine.data.times import TIME_COLUMNS
from engine.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

_EMPTY = "is empty: it needs a line with the names of its columns, and rows below it"
_TEXT = (".csv", ".tsv", ".txt")
_BINARY = {".parquet": ("read_parquet", "Parquet"), ".pq": ("read_parquet", "Parquet")} | {
    ".feather": ("read_feather", "Feather")
}
_CANDLES = {  # columns of a JSON list of lists, by their number
    6: ("ccxt", ("timestamp", "open", "high", "low", "close", "volume")),
    8: ("Kraken", ("time", "open", "high", "low", "close", "vwap", "volume", "trades")),
    12: ("Binance klines", BINANCE),
}  # fmt: skip


class Table(NamedTuple):
    """A table of bars as it was read."""

    frame: pd.DataFrame  # columns timestamp (or date, time, ...), open, high, low, close, volume, adj_close
    reading: Reading
    as_text: Callable[[], pd.DataFrame]  # the same with every number as it is written
    others: Mapping[str, str] = {}  # columns that are none of ours: their name in the frame -> the file's
    lines: Callable[[], list[int]] = list  # the line of each row in its text, from 1; none where it is no text

    @property
    def present(self) -> list[str]:
        """What the file calls its columns, in its order."""
        theirs = {**self.others, **self.reading.columns}
        return [theirs[str(name)] for name in self.frame]


def read_table(source: Any, told: Format, *, prices: bool = True) -> Table:
    """A file by its ending, or a frame of pandas, polars or Arrow. DataError where it cannot be read.

    prices: it must have open, high, low and close.
    """
    table = _read(source, told)
    if prices:
        check_columns(table.reading.columns, table.present)
    return table


def _read(source: Any, told: Format) -> Table:
    import pandas as pd

    if not isinstance(source, str | Path):
        frame = _frame(source)
        return _named(frame, told, Reading("DataFrame", {}), lambda: frame)
    path = Path(source)
    suffix = _ending(path)
    try:
        if path.is_file() and path.stat().st_size == 0:
            raise DataError(_EMPTY)
        if suffix in _BINARY:
            reader, name = _BINARY[suffix]
            frame = getattr(pd, reader)(path)
            return _named(frame, told, Reading(name, {}), lambda: frame)
        if suffix == ".json":
            return _json(_open(path)(-1), told)
        if suffix in (*_TEXT, ".gz"):
            return _text(path, told)
        if suffix == ".zip":
            return _zip(path, told)
    except FileNotFoundError:
        raise DataError("no such file") from None
    except pd.errors.EmptyDataError:
        raise DataError(_EMPTY) from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"cannot be read as {error.encoding}: {error.reason}; give [data.format] encoding, e.g. 'cp1252'"
        ) from None
    except (OSError, ValueError, EOFError, pd.errors.ParserError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"cannot be read: {(str(error).splitlines() or ['broken'])[0]}") from None
    raise DataError(
        f"cannot tell the format from the ending {path.suffix!r}; "
        "use .csv, .tsv, .txt, .zip, .json, .parquet or .feather"
    )


def is_readable(name: str) -> bool:
    """Whether a file's ending is that of a table."""
    return _ending(Path(name)) in (*_TEXT, *_BINARY, ".json", ".gz", ".zip")


def _ending(path: Path) -> str:
    suffixes = [one.lower() for one in path.suffixes[-2:]]
    if suffixes[-1:] == [".gz"] and suffixes[0] in (*_TEXT, ".json"):
        return suffixes[0]
    return suffixes[-1] if suffixes else ""


def _open(path: Path) -> Callable[[int], bytes]:
    """Reads so many bytes from the beginning of a file, unpacked."""

    def read(size: int) -> bytes:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as handle:
            return handle.read(size)

    return read


def _frame(source: Any) -> pd.DataFrame:
    """A frame of any library as one of pandas."""
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source
    if hasattr(source, "__arrow_c_stream__"):
        import pyarrow

        frame: pd.DataFrame = pyarrow.table(source).to_pandas()
        return frame
    if hasattr(source, "to_pandas"):
        whole: pd.DataFrame = source.to_pandas()
        return whole
    raise DataError(
        f"{type(source).__name__} is no file name and no frame; give a path, or a frame of pandas or polars"
    )


def _text(path: Path, told: Format) -> Table:
    return _csv(path, _open(path)(HEAD), told)


def _zip(path: Path, told: Format) -> Table:
    with zipfile.ZipFile(path) as archive:
        members = [one for one in archive.namelist() if not one.endswith("/") and not one.startswith("__MACOSX")]
        if len(members) != 1:
            raise DataError(f"holds {len(members)} files ({', '.join(members[:5])}); a .zip must hold one, unpack it")
        inner = Path(members[0]).suffix.lower()
        if inner not in (*_TEXT, ".json"):
            raise DataError(
                f"holds {members[0]!r}, whose ending {inner!r} is none of {', '.join(_TEXT)}, .json; unpack it"
            )
        try:
            data = archive.read(members[0])
        except RuntimeError as error:  # it needs a password
            raise DataError(f"cannot be read: {error}; unpack it") from None
    return _json(data, told) if inner == ".json" else _csv(data, data[:HEAD], told)


def _csv(source: Path | bytes, head: bytes, told: Format) -> Table:
    """Times stay texts, so that no leading zero and no digit of them is lost."""
    import pandas as pd

    layout = sniff(head, told)
    texts = _texts(layout, told)
    options: dict[str, Any] = {"sep": r"\s+" if layout.separator == " " else layout.separator}
    if layout.encoding != "utf-8":
        options["encoding"] = layout.encoding
    if layout.skip:
        options["skiprows"] = list(layout.skip)
    if layout.header is None or layout.format == "yfinance":
        options |= {"header": None, "names": list(layout.names)}
    if layout.format == "yfinance":
        options["skiprows"] = [*layout.skip, layout.header]
    if layout.trailing:
        options["index_col"] = False

    def read(dtype: Any) -> pd.DataFrame:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        frame: pd.DataFrame = pd.read_csv(file, dtype=dtype, **options)
        shifted = bool(layout.names) and not isinstance(frame.index, pd.RangeIndex) and frame.index.nlevels == 1
        return frame.reset_index(names="Unnamed: 0") if shifted else frame  # the header lacks the first name

    told_style = told.decimal is not None or told.thousands is not None
    frame = read(str if told_style else texts)
    reading = Reading(layout.format, {}, layout.separator, encoding=layout.encoding, first_line=layout.first_line)
    table = _named(frame, told, reading, (lambda: frame) if told_style else (lambda: read(str)))
    return table._replace(lines=lambda: _row_lines(source, layout))


def _row_lines(source: Path | bytes, layout: Layout) -> list[int]:
    text = (source if isinstance(source, bytes) else _open(source)(-1)).decode(layout.encoding, errors="replace")
    left_out = {*layout.skip, layout.header}
    return [i + 1 for i, line in enumerate(LINE_END.split(text)) if line.strip() and i not in left_out]


def _texts(layout: Layout, told: Format) -> dict[str, type]:
    """The columns that hold times, by the names that pandas gives them."""
    given = told.columns if hasattr(told.columns, "items") else {}
    named = {plain_name(given[ours]) for ours in ("timestamp", "date", "time") if ours in given}  # type: ignore[call-overload]
    names = [name or (UNNAMED.capitalize() if i == 0 else name) for i, name in enumerate(layout.names)]
    plain = {name: plain_name(name) for name in names}
    return {name: str for name, bare in plain.items() if bare in {*TIME_COLUMNS, *TIME_NAMES, UNNAMED, *named}}


def _json(data: bytes, told: Format) -> Table:
    """Lists of six, as ccxt and freqtrade write them, of eight or twelve as exchanges do, or objects with names."""
    import pandas as pd

    try:
        rows = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(f"is no JSON: {error}") from None
    if isinstance(rows, dict) and isinstance(rows.get("result"), dict):  # Kraken's answer
        rows = next((one for one in rows["result"].values() if isinstance(one, list)), None)
    if not isinstance(rows, list) or not rows:
        raise DataError("is no list of candles, as [[time, open, high, low, close, volume], ...]")
    if all(isinstance(row, dict) for row in rows):
        frame = pd.DataFrame(rows)
        return _named(frame, told, Reading("JSON", {}), lambda: frame)
    width = len(rows[0]) if isinstance(rows[0], list) else 0
    if any(not isinstance(row, list) or len(row) != width for row in rows):
        raise DataError("is no list of candles: its rows differ in length")
    name, names = _CANDLES.get(width, ("JSON", ()))
    if told.columns and not hasattr(told.columns, "items"):
        names = tuple(told.columns)
    if len(names) != width:
        raise DataError(f'its rows have {width} fields: name them with [data.format] columns = ["timestamp", ...]')
    frame = pd.DataFrame(rows, columns=list(names))
    return _named(frame, told, Reading(name, {}), lambda: frame)


def _named(frame: pd.DataFrame, told: Format, reading: Reading, as_text: Callable[[], pd.DataFrame]) -> Table:
    """The table with our names of its columns; its index is kept, which may be the times."""
    if frame.empty:
        raise DataError("no rows below the names of its columns")
    present = list(frame.columns)
    found = name_columns(present, told)
    ours = {at: name for name, at in found.items()}
    names = [ours.get(i, f"not read {i}") for i in range(len(present))]
    columns = {name: str(present[at]) for name, at in found.items()}
    reading = reading._replace(columns=columns, notes=volume_note(found, present))
    others = {name: str(present[i]) for i, name in enumerate(names) if i not in ours}
    return Table(frame.set_axis(names, axis=1), reading, lambda: as_text().set_axis(names, axis=1), others)
