"""Whoever reads what a command prints may go away (`| head -1`): the command does its work to the end all the same."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


def may_go() -> None:
    """From now on stdout and stderr take what nobody reads any more, without a word. A terminal stays as it is."""
    sys.stdout, sys.stderr = _kept_open(sys.stdout), _kept_open(sys.stderr)


def _kept_open(stream: TextIO) -> TextIO:
    if not isinstance(stream, io.TextIOWrapper) or stream.isatty():  # None without a console, or a caller's own
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Pipe(io.FileIO):
    def write(self, text: ReadableBuffer, /) -> int:
        try:
            return super().write(text)
        except BrokenPipeError:
            with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())  # for all that write here, processes begun later too
            return memoryview(text).nbytes
