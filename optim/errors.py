"""optim's errors, one tree.

engine.errors.UserError
├── engine.errors.EngineError ...
└── OptimError
    ├── SpecError      a study file, search space or flag that breaks a rule: file, key, value, rule, remedy
    ├── CodeChangedError  a file of the strategy was edited while the study ran
    ├── RecordError    the persistent record cannot be read, written or belongs to another study
    ├── TrackingError  MLflow cannot be reached or refused
    ├── StatisticsError  returns or numbers that no statistic can be computed from; a ValueError too
"""

import re
import reprlib

from engine.errors import UserError


class OptimError(UserError):
    """Root of everything optim raises on purpose; the message is one sentence for the user."""


class SpecError(OptimError):
    """Bad input from a study file, a search space or the command line."""


class CodeChangedError(OptimError):
    """The strategy's code is not what the study began with."""


class RecordError(OptimError):
    """The persistent Optuna record cannot be used."""


class TrackingError(OptimError):
    """The tracking server cannot be used."""


class StatisticsError(OptimError, ValueError):
    """Input to a statistic that would make its result meaningless."""


_SHORT = 80  # characters of a value that a message repeats


def shown(value: object) -> str:
    """A value as a message repeats it: its repr on one line, true and false as a file has them, long ones cut."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 300:  # Python refuses to write very long ones out
        return f"a whole number of {value.bit_length()} bits"
    short = reprlib.Repr()
    short.maxlevel, short.maxstring, short.maxother, short.maxlong = 4, _SHORT, _SHORT, _SHORT
    short.maxlist = short.maxtuple = short.maxdict = 12
    try:
        text = str(value) if hasattr(value, "isoformat") else short.repr(value)
    except (RecursionError, ValueError):  # nested too deep, or a very long number inside
        text = f"a {type(value).__name__}"
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 23]} ... {text[-18:]}"


def cut(text: str, limit: int = 200) -> str:
    """Somebody else's words on one line, cut where they are long."""
    line = one_line(text)
    return line if len(line) <= limit else f"{line[:limit]} ..."


def cause(text: str) -> str:
    """What the system says of a connection, `Connection refused`, without the words of the libraries in between, or
    that there was no answer; all of the text where it says neither.
    """
    if silent := re.search(r"[Rr]ead timed out\. \(read timeout=([\d.]+)\)", text):
        return f"no answer within {silent[1]} seconds"
    found = re.search(r"\[Errno -?\d+\] ([^'\"()\[\]]+)", text)
    return found[1].strip() if found and "onnection" in text else text


def one_line(text: str) -> str:
    """The text without line breaks and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def counted(number: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def value_text(value: object) -> str:
    """A parameter's value for a person: six digits of what is no whole number."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)
